//! Small SMTP and HTTP servers on loopback that keep what they receive. Their answers can be set, for tests of faults.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// One request or mail, as it was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Header lines of a request; empty for mail, whose headers are part of its data.
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// Status or reply code of the answer.
    pub answer: u16,
}

impl Received {
    /// Returns a header of a request.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// Answers queued for a server, and the messages it received.
#[derive(Debug, Clone, Default)]
pub struct Book {
    received: Arc<Mutex<Vec<Received>>>,
    answers: Arc<Mutex<VecDeque<u16>>>,
}

impl Book {
    /// Returns everything received so far, oldest first.
    pub fn all(&self) -> Vec<Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Queues answers for the next requests; later ones succeed again.
    pub fn answer_next(&self, codes: &[u16]) {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).extend(codes);
    }

    fn next_answer(&self, well: u16) -> u16 {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).pop_front().unwrap_or(well)
    }

    fn keep(&self, received: Received) {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).push(received);
    }
}

/// A server on loopback. It ends with the runtime.
#[derive(Debug, Clone)]
pub struct LocalReceiver {
    pub address: SocketAddr,
    pub book: Book,
}

impl LocalReceiver {
    /// Starts a server for webhooks.
    pub async fn http() -> Result<Self> {
        Self::listen(|stream, book| async move { serve_http(stream, &book).await }).await
    }

    /// Starts a server for mail. A queued code of 4xx or 5xx answers the recipient, as greylisting does.
    pub async fn smtp() -> Result<Self> {
        Self::listen(|stream, book| async move { serve_smtp(stream, &book).await }).await
    }

    async fn listen<F, Fut>(serve: F) -> Result<Self>
    where
        F: Fn(TcpStream, Book) -> Fut + Send + 'static,
        Fut: Future<Output = std::io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("could not listen on loopback")?;
        let address = listener.local_addr()?;
        let book = Book::default();
        let shared = book.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A client that disconnects is not a failure of the server.
                tokio::spawn(serve(stream, shared.clone()));
            }
        });
        Ok(Self { address, book })
    }
}

async fn serve_http(stream: TcpStream, book: &Book) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let mut headers = Vec::new();
        loop {
            let mut header = String::new();
            stream.read_line(&mut header).await?;
            match header.trim_end().split_once(':') {
                Some((name, value)) => headers.push((name.to_owned(), value.trim().to_owned())),
                None => break,
            }
        }
        let length = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        let length = length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let answer = book.next_answer(200);
        book.keep(Received { headers, body: String::from_utf8_lossy(&body).into_owned(), answer });
        stream.write_all(format!("HTTP/1.1 {answer} As-told\r\ncontent-length: 0\r\n\r\n").as_bytes()).await?;
    }
}

async fn serve_smtp(stream: TcpStream, book: &Book) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 demo ESMTP\r\n").await?;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let command = line.trim_end().to_ascii_uppercase();
        let reply = if command.starts_with("RCPT") {
            match book.next_answer(250) {
                250 => "250 ok".to_owned(),
                code => {
                    book.keep(Received { headers: Vec::new(), body: String::new(), answer: code });
                    format!("{code} come back later")
                }
            }
        } else if command.starts_with("EHLO") || command.starts_with("HELO") {
            "250 demo".to_owned()
        } else if command == "DATA" {
            stream.write_all(b"354 go ahead\r\n").await?;
            let body = read_data(&mut stream).await?;
            book.keep(Received { headers: Vec::new(), body, answer: 250 });
            "250 kept".to_owned()
        } else if command == "QUIT" {
            stream.write_all(b"221 bye\r\n").await?;
            return Ok(());
        } else {
            "250 ok".to_owned()
        };
        stream.write_all(format!("{reply}\r\n").as_bytes()).await?;
    }
}

async fn read_data(stream: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut data = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 || line == ".\r\n" {
            return Ok(data);
        }
        data.push_str(line.strip_prefix('.').unwrap_or(&line));
    }
}

/// Returns the plain-text part of a mail, decoded.
pub fn plain_text(mail: &str) -> String {
    let Some(start) = mail.find("Content-Type: text/plain") else { return String::new() };
    let part = &mail[start..];
    let Some((headers, rest)) = part.split_once("\r\n\r\n") else { return String::new() };
    let body = rest.split("\r\n--").next().unwrap_or_default();
    if headers.contains("quoted-printable") {
        quoted_printable(body)
    } else if headers.contains("base64") {
        base64_text(body)
    } else {
        body.to_owned()
    }
}

/// Returns a header of a mail, unfolded, with encoded words left as they are.
pub fn mail_header(mail: &str, name: &str) -> Option<String> {
    let head = mail.split("\r\n\r\n").next()?.replace("\r\n ", " ").replace("\r\n\t", " ");
    let prefix = format!("{}:", name.to_ascii_lowercase());
    head.lines()
        .find(|line| line.to_ascii_lowercase().starts_with(&prefix))
        .map(|line| line[prefix.len()..].trim().to_owned())
}

fn base64_text(body: &str) -> String {
    use base64::Engine as _;
    let joined: String = body.split_whitespace().collect();
    base64::engine::general_purpose::STANDARD
        .decode(joined)
        .map_or_else(|_| body.to_owned(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn quoted_printable(body: &str) -> String {
    let joined = body.replace("=\r\n", "");
    let mut bytes = Vec::with_capacity(joined.len());
    let mut rest = joined.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let code = (first == b'=').then(|| after.get(..2)).flatten().and_then(|hex| std::str::from_utf8(hex).ok());
        match code.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
