//! A webhook and a mail server on loopback that decide at two moments: when they have a message, and when they have answered.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use std::sync::Mutex;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::proxy::lock;

/// Which side effect has happened, as its sender cannot know yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    Received,
    Answered,
}

/// What a receiver does with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    Take,
    /// Refused with this status, and not kept.
    Status(u16),
    /// The connection ends before the message is kept.
    Close,
    /// Kept, and the connection ends without an answer.
    TakeAndClose,
    /// Not kept, and not answered for this long.
    Hang(Duration),
}

type Decide = dyn Fn(&str, Heard) -> Reply + Send + Sync;

/// A receiver, and what it took: the bodies by the id of the message.
#[derive(Clone)]
pub struct Witness {
    pub address: SocketAddr,
    taken: Arc<Mutex<BTreeMap<String, Vec<String>>>>,
    decide: Arc<Decide>,
}

impl Witness {
    /// Takes webhooks. It is asked with the path of the request, or `mail` for mail.
    pub async fn http(decide: impl Fn(&str, Heard) -> Reply + Send + Sync + 'static) -> Self {
        Self::listen(decide, |stream, this| async move { this.serve_http(stream).await }).await
    }

    /// Takes mail.
    pub async fn smtp(decide: impl Fn(&str, Heard) -> Reply + Send + Sync + 'static) -> Self {
        Self::listen(decide, |stream, this| async move { this.serve_smtp(stream).await }).await
    }

    /// Bodies by the id of the message; several where it came again.
    pub fn taken(&self) -> BTreeMap<String, Vec<String>> {
        lock(&self.taken).clone()
    }

    async fn listen<F, Fut>(decide: impl Fn(&str, Heard) -> Reply + Send + Sync + 'static, serve: F) -> Self
    where
        F: Fn(TcpStream, Self) -> Fut + Send + 'static,
        Fut: Future<Output = std::io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let this = Self { address, taken: Arc::default(), decide: Arc::new(decide) };
        let shared = this.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A sender that dies is what this is for.
                tokio::spawn(serve(stream, shared.clone()));
            }
        });
        this
    }

    fn keep(&self, id: &str, body: &str) {
        lock(&self.taken).entry(id.to_owned()).or_default().push(body.to_owned());
    }

    async fn serve_http(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        while let Some((path, id, body)) = read_request(&mut stream).await? {
            let status = match (self.decide)(&path, Heard::Received) {
                Reply::Close => return Ok(()),
                Reply::Hang(time) => return Ok(tokio::time::sleep(time).await),
                Reply::Status(status) => status,
                Reply::TakeAndClose => return Ok(self.keep(&id, &body)),
                Reply::Take => {
                    self.keep(&id, &body);
                    200
                }
            };
            stream.write_all(format!("HTTP/1.1 {status} As-told\r\ncontent-length: 0\r\n\r\n").as_bytes()).await?;
            (self.decide)(&path, Heard::Answered);
        }
        Ok(())
    }

    async fn serve_smtp(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        stream.write_all(b"220 here\r\n").await?;
        let mut line = String::new();
        loop {
            line.clear();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let reply = match line.trim_end().to_ascii_uppercase().as_str() {
                "DATA" => {
                    stream.write_all(b"354 go on\r\n").await?;
                    let (id, mail) = read_mail(&mut stream).await?;
                    if (self.decide)("mail", Heard::Received) == Reply::Close {
                        return Ok(());
                    }
                    self.keep(&id, &mail);
                    stream.write_all(b"250 kept\r\n").await?;
                    (self.decide)("mail", Heard::Answered);
                    continue;
                }
                "QUIT" => return stream.write_all(b"221 bye\r\n").await,
                _ => "250 ok\r\n",
            };
            stream.write_all(reply.as_bytes()).await?;
        }
    }
}

/// Path, message id and body of a request. None: the sender has closed.
async fn read_request(stream: &mut BufReader<TcpStream>) -> std::io::Result<Option<(String, String, String)>> {
    let mut first = String::new();
    if stream.read_line(&mut first).await? == 0 {
        return Ok(None);
    }
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let (mut id, mut length) = (String::new(), 0);
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).await?;
        let Some((name, value)) = header.trim_end().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "webhook-id" => value.trim().clone_into(&mut id),
            "content-length" => length = value.trim().parse().unwrap_or(0),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(Some((path, id, String::from_utf8_lossy(&body).into_owned())))
}

/// Id and text of a mail, up to the line with a dot.
async fn read_mail(stream: &mut BufReader<TcpStream>) -> std::io::Result<(String, String)> {
    let (mut id, mut mail) = (String::new(), String::new());
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 || line == ".\r\n" {
            return Ok((id, mail));
        }
        if let Some(found) = line.strip_prefix("Message-ID: <") {
            id = found.split('@').next().unwrap_or_default().to_owned();
        }
        mail += &line;
    }
}
