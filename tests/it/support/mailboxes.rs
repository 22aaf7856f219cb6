//! A mail server on loopback whose mailboxes answer each for itself.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::proxy::lock;

/// What a mailbox does. One that is not named takes everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mailbox {
    /// Refuses the address with this answer.
    Answers(&'static str),
    /// Takes the whole mail, and never says so.
    Hangs,
}

/// A server, and what it took: address and Message-ID.
#[derive(Debug, Clone)]
pub struct Mailboxes {
    pub address: SocketAddr,
    boxes: Arc<Mutex<BTreeMap<&'static str, Mailbox>>>,
    taken: Arc<Mutex<Vec<(String, String)>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Mailboxes {
    pub async fn start(boxes: &[(&'static str, Mailbox)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let boxes = Arc::new(Mutex::new(boxes.iter().cloned().collect()));
        let this = Self { address, boxes, taken: Arc::default(), asked: Arc::default() };
        let shared = this.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = shared.clone();
                // A client that is killed is what some of this is about.
                tokio::spawn(async move { shared.serve(stream).await });
            }
        });
        this
    }

    /// A mailbox takes everything from now on.
    pub fn mend(&self, address: &str) {
        lock(&self.boxes).remove(address);
    }

    /// What was taken: address and Message-ID, in order.
    pub fn taken(&self) -> Vec<(String, String)> {
        lock(&self.taken).clone()
    }

    /// How often an address was named to the server.
    pub fn asked(&self, address: &str) -> usize {
        lock(&self.asked).iter().filter(|asked| *asked == address).count()
    }

    /// Settings of a receiver `mail` of this server.
    pub fn settings(&self, to: &[&str]) -> String {
        format!(
            "[receivers.mail]\ntype = \"email\"\nto = {to:?}\nfrom = \"trueup@example.org\"\nsmtp = {{ host = \"127.0.0.1\", port = {}, tls = \"none\" }}\n",
            self.address.port()
        )
    }

    async fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        stream.write_all(b"220 mailboxes\r\n").await?;
        let mut to = String::new();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let command = line.trim_end();
            let reply = if let Some(address) = command.strip_prefix("RCPT TO:<").and_then(|rest| rest.split('>').next())
            {
                address.clone_into(&mut to);
                lock(&self.asked).push(to.clone());
                match lock(&self.boxes).get(address) {
                    Some(Mailbox::Answers(answer)) => (*answer).to_owned(),
                    _ => "250 ok".to_owned(),
                }
            } else if command == "DATA" {
                stream.write_all(b"354 go on\r\n").await?;
                let id = message_id(&mut stream).await?;
                lock(&self.taken).push((to.clone(), id));
                if lock(&self.boxes).get(to.as_str()) == Some(&Mailbox::Hangs) {
                    return std::future::pending().await;
                }
                "250 kept".to_owned()
            } else {
                "250 ok".to_owned()
            };
            stream.write_all(format!("{reply}\r\n").as_bytes()).await?;
        }
    }
}

async fn message_id(stream: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut id = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 || line == ".\r\n" {
            return Ok(id);
        }
        if let Some(found) = line.strip_prefix("Message-ID: ") {
            found.trim().clone_into(&mut id);
        }
    }
}
