//! Email by SMTP: text and HTML, the same Message-ID on every retry, one thread per topic.

use std::time::Duration;

use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, MultiPart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::notify::message::Notice;
use crate::notify::receiver::Delivery;

const TIMEOUT: Duration = Duration::from_secs(15);

/// How the connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpSecurity {
    StartTls,
    Implicit,
    /// For loopback only.
    None,
}

/// Where mail goes and who it is from.
#[derive(Debug)]
pub struct EmailReceiver {
    to: Vec<Mailbox>,
    from: Mailbox,
    transport: AsyncSmtpTransport<Tokio1Executor>,
}

/// The server that takes the mail.
#[derive(Debug, Clone)]
pub struct SmtpServer {
    pub host: String,
    pub port: u16,
    pub security: SmtpSecurity,
    pub credentials: Option<(String, SecretString)>,
}

impl EmailReceiver {
    /// Prepares a receiver; nothing is connected yet.
    pub fn new(to: Vec<Mailbox>, from: Mailbox, server: &SmtpServer) -> Result<Self, String> {
        let tls = |host: &str| {
            TlsParameters::new(host.to_owned()).map_err(|e| format!("could not prepare TLS for `{host}`: {e}"))
        };
        let security = match server.security {
            SmtpSecurity::StartTls => Tls::Required(tls(&server.host)?),
            SmtpSecurity::Implicit => Tls::Wrapper(tls(&server.host)?),
            SmtpSecurity::None => Tls::None,
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&server.host)
            .port(server.port)
            .tls(security)
            .timeout(Some(TIMEOUT));
        if let Some((user, password)) = &server.credentials {
            builder = builder.credentials(Credentials::new(user.clone(), password.expose_secret().to_owned()));
        }
        Ok(Self { to, from, transport: builder.build() })
    }

    /// Makes one attempt.
    pub async fn deliver(&self, id: Uuid, topic: &str, notice: &Notice) -> Delivery {
        let message = match self.message(id, topic, notice) {
            Ok(message) => message,
            Err(error) => {
                return Delivery::Refused { status: None, failure: format!("the mail could not be written: {error}") };
            }
        };
        match tokio::time::timeout(TIMEOUT * 2, self.transport.send(message)).await {
            Ok(Ok(response)) => Delivery::Accepted { status: Some(response.code().into()) },
            Ok(Err(error)) => failed(&error),
            Err(_) => Delivery::Failed {
                status: None,
                failure: "the mail server did not answer in time".to_owned(),
                retry_after: None,
            },
        }
    }

    fn message(&self, id: Uuid, topic: &str, notice: &Notice) -> Result<Message, lettre::error::Error> {
        let thread: String =
            Sha256::digest(topic.as_bytes()).iter().take(12).map(|byte| format!("{byte:02x}")).collect();
        let raw =
            |name: &'static str, value: &str| HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned());
        let mut builder = Message::builder()
            .from(self.from.clone())
            .subject(notice.title())
            .message_id(Some(format!("<{id}@trueup>")))
            .references(format!("<topic-{thread}@trueup>"))
            .raw_header(raw("Auto-Submitted", "auto-generated"));
        for to in &self.to {
            builder = builder.to(to.clone());
        }
        builder.multipart(MultiPart::alternative_plain_html(notice.text(), notice.html()))
    }
}

/// A permanent refusal ends it; everything else, a greylisting 4xx or a broken connection, is worth another attempt.
fn failed(error: &lettre::transport::smtp::Error) -> Delivery {
    let status = error.status().map(u16::from);
    let failure = match status {
        Some(code) => format!("the mail server answered {code}"),
        None if error.is_timeout() => "the mail server did not answer in time".to_owned(),
        None if error.is_tls() => "TLS with the mail server failed".to_owned(),
        None => "the mail server could not be reached".to_owned(),
    };
    if error.is_permanent() {
        Delivery::Refused { status, failure }
    } else {
        Delivery::Failed { status, failure, retry_after: None }
    }
}
