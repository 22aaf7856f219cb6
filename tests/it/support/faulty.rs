//! Receivers that misbehave: each does one thing wrong a number of times, and is well afterwards.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What goes wrong with a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpFault {
    /// The connection is reset before anything is read.
    Reset,
    /// The request is read and never answered.
    Silent,
    /// The answer comes byte by byte, and does not end.
    Drip,
    /// The request is read and the connection closed.
    CloseAfterRequest,
    /// The request is accepted, and the answer breaks off in its first line.
    HalfAnswer,
    /// What comes back is no HTTP.
    Garbage,
    /// A body without end.
    EndlessBody,
    /// A header of a megabyte.
    HugeHeader,
    /// A redirect to somewhere else.
    Redirect,
    /// This status, with `Retry-After: 1`.
    Status(u16),
}

/// All of them: what is retried, then what is final.
pub const HTTP_FAULTS: [HttpFault; 15] = [
    HttpFault::Reset,
    HttpFault::Silent,
    HttpFault::Drip,
    HttpFault::CloseAfterRequest,
    HttpFault::HalfAnswer,
    HttpFault::Garbage,
    HttpFault::EndlessBody,
    HttpFault::HugeHeader,
    HttpFault::Status(408),
    HttpFault::Status(429),
    HttpFault::Status(500),
    HttpFault::Status(503),
    HttpFault::Redirect,
    HttpFault::Status(404),
    HttpFault::Status(410),
];

impl HttpFault {
    /// Whether another attempt would end the same.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Redirect | Self::Status(404 | 410))
    }
}

/// What goes wrong with a mail server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpFault {
    /// The connection is closed before the greeting.
    Close,
    /// No greeting ever comes.
    Silent,
    /// The greeting is no SMTP.
    Garbage,
    /// This code instead of a greeting.
    Greeting(u16),
    /// This code to the recipient.
    Recipient(u16),
    /// This code to the end of the data.
    Data(u16),
    /// The mail is taken, and the connection closed without an answer.
    CloseAfterData,
}

pub const SMTP_FAULTS: [SmtpFault; 8] = [
    SmtpFault::Close,
    SmtpFault::Silent,
    SmtpFault::Garbage,
    SmtpFault::Greeting(421),
    SmtpFault::Recipient(451),
    SmtpFault::Data(452),
    SmtpFault::CloseAfterData,
    SmtpFault::Recipient(550),
];

impl SmtpFault {
    pub fn is_final(self) -> bool {
        self == Self::Recipient(550)
    }
}

/// A message that a server took, by its own account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    pub id: String,
    pub kind: String,
}

/// A server on loopback, and what it took.
#[derive(Debug, Clone)]
pub struct Faulty {
    pub address: SocketAddr,
    taken: Arc<Mutex<Vec<Taken>>>,
    left: Arc<Mutex<usize>>,
}

impl Faulty {
    pub fn taken(&self) -> Vec<Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn take(&self, id: String, kind: &str) {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).push(Taken { id, kind: kind.to_owned() });
    }

    /// Whether this one goes wrong.
    fn fails(&self) -> bool {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let fails = *left > 0;
        *left = left.saturating_sub(1);
        fails
    }

    /// A webhook that goes wrong `times` times.
    pub async fn http(fault: HttpFault, times: usize) -> Self {
        Self::listen(times, move |stream, this| async move { http(stream, fault, &this).await }).await
    }

    /// A mail server that goes wrong `times` times.
    pub async fn smtp(fault: SmtpFault, times: usize) -> Self {
        Self::listen(times, move |stream, this| async move { smtp(stream, fault, &this).await }).await
    }

    async fn listen<F, Fut>(times: usize, serve: F) -> Self
    where
        F: Fn(TcpStream, Self) -> Fut + Send + 'static,
        Fut: Future<Output = std::io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let this = Self { address, taken: Arc::default(), left: Arc::new(Mutex::new(times)) };
        let shared = this.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A client that breaks off is what some of this is about.
                tokio::spawn(serve(stream, shared.clone()));
            }
        });
        this
    }
}

async fn http(stream: TcpStream, fault: HttpFault, this: &Faulty) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let fails = this.fails();
        if fails && fault == HttpFault::Reset {
            stream.get_ref().set_zero_linger()?;
            return Ok(());
        }
        let Some((id, kind)) = request(&mut stream).await? else {
            // Nothing came: it was no request that went wrong.
            return Ok(());
        };
        if !fails {
            this.take(id, &kind);
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await?;
            continue;
        }
        match fault {
            HttpFault::Reset | HttpFault::CloseAfterRequest => return Ok(()),
            HttpFault::Silent => return std::future::pending().await,
            HttpFault::Drip => loop {
                stream.write_all(b"H").await?;
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            },
            HttpFault::HalfAnswer => {
                this.take(id, &kind);
                stream.write_all(b"HTTP/1.1 2").await?;
                return Ok(());
            }
            HttpFault::Garbage => {
                stream.write_all(b"\x00\x01 what is this\r\n\r\n").await?;
                return Ok(());
            }
            HttpFault::EndlessBody => {
                this.take(id, &kind);
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
                loop {
                    stream.write_all(&[b'x'; 65_536]).await?;
                }
            }
            HttpFault::HugeHeader => {
                let head = format!("HTTP/1.1 500 No\r\nx: {}\r\n\r\n", "x".repeat(1 << 20));
                stream.write_all(head.as_bytes()).await?;
                return Ok(());
            }
            HttpFault::Redirect => {
                stream
                    .write_all(b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n")
                    .await?;
            }
            HttpFault::Status(code) => {
                let head = format!("HTTP/1.1 {code} No\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n");
                stream.write_all(head.as_bytes()).await?;
            }
        }
    }
}

/// The id and kind of one request.
async fn request(stream: &mut BufReader<TcpStream>) -> std::io::Result<Option<(String, String)>> {
    let (mut id, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("webhook-id") => id = value.to_owned(),
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse().unwrap_or(0),
            None if line == "\r\n" => break,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    Ok(Some((id, body["kind"].as_str().unwrap_or_default().to_owned())))
}

async fn smtp(stream: TcpStream, fault: SmtpFault, this: &Faulty) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let fails = this.fails();
    match fault {
        SmtpFault::Close if fails => return Ok(()),
        SmtpFault::Silent if fails => return std::future::pending().await,
        SmtpFault::Garbage if fails => {
            stream.write_all(b"HTTP/1.1 400 What\r\n\r\n").await?;
            return Ok(());
        }
        SmtpFault::Greeting(code) if fails => {
            stream.write_all(format!("{code} not now\r\n").as_bytes()).await?;
            return Ok(());
        }
        _ => stream.write_all(b"220 faulty\r\n").await?,
    }
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let command = line.trim_end().to_ascii_uppercase();
        let reply = match fault {
            _ if command == "QUIT" => {
                stream.write_all(b"221 bye\r\n").await?;
                return Ok(());
            }
            _ if command == "DATA" => {
                stream.write_all(b"354 go ahead\r\n").await?;
                let mut data = String::new();
                loop {
                    let mut line = String::new();
                    if stream.read_line(&mut line).await? == 0 || line == ".\r\n" {
                        break;
                    }
                    data += &line;
                }
                let id = data
                    .lines()
                    .find_map(|line| line.strip_prefix("Message-ID: <")?.split('@').next().map(str::to_owned));
                let kind = if data.contains("[RESOLVED]") { "resolved" } else { "firing" };
                match fault {
                    SmtpFault::Data(code) if fails => format!("{code} not now"),
                    SmtpFault::CloseAfterData if fails => {
                        this.take(id.unwrap_or_default(), kind);
                        return Ok(());
                    }
                    _ => {
                        this.take(id.unwrap_or_default(), kind);
                        "250 kept".to_owned()
                    }
                }
            }
            SmtpFault::Recipient(code) if fails && command.starts_with("RCPT") => format!("{code} not now"),
            _ => "250 ok".to_owned(),
        };
        stream.write_all(format!("{reply}\r\n").as_bytes()).await?;
    }
}
