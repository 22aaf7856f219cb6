//! Email over SMTP: text, HTML and a chart, the same Message-ID on every retry, one thread per incident.

use std::collections::BTreeSet;
use std::time::Duration;

use lettre::address::Envelope;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Attachment, Mailbox, Message, MultiPart, SinglePart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::notify::chart;
use crate::notify::message::{CHART, Notice};
use crate::notify::transport::delivery::Delivery;
use crate::text::line::clipped;

const TIMEOUT: Duration = Duration::from_secs(15);

/// Protection of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpSecurity {
    StartTls,
    Implicit,
    /// For loopback only.
    None,
}

/// Sender, recipients and server of mail.
#[derive(Debug)]
pub struct EmailReceiver {
    to: Vec<Mailbox>,
    from: Mailbox,
    transport: AsyncSmtpTransport<Tokio1Executor>,
}

/// The server that accepts the mail.
#[derive(Debug, Clone)]
pub struct SmtpServer {
    pub host: String,
    pub port: u16,
    pub security: SmtpSecurity,
    pub credentials: Option<(String, SecretString)>,
}

impl EmailReceiver {
    /// Prepares a receiver without connecting.
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

    /// Connects to the server, with TLS and password, and sends nothing.
    pub async fn reach(&self) -> Result<(), String> {
        match tokio::time::timeout(TIMEOUT * 2, self.transport.test_connection()).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err("the server does not answer like a mail server".to_owned()),
            Ok(Err(error)) => match failed(&error) {
                Delivery::Failed { failure, .. } | Delivery::Refused { failure, .. } => Err(failure),
                Delivery::Accepted { .. } | Delivery::Partly { .. } | Delivery::Gone { .. } => {
                    Err("the mail server could not be reached".to_owned())
                }
            },
            Err(_) => Err("the mail server did not answer in time".to_owned()),
        }
    }

    /// Returns the recipients without duplicates.
    pub fn addresses(&self) -> Vec<Address> {
        let mut seen = BTreeSet::new();
        self.to.iter().map(|to| to.email.clone()).filter(|address| seen.insert(address.to_string())).collect()
    }

    /// Returns the formatted mail, the same for each address and attempt, or the reason why it cannot be written.
    pub fn written(&self, id: Uuid, notice: &Notice) -> Result<Vec<u8>, String> {
        let message = self.message(id, notice).map_err(|error| format!("could not compose the mail: {error}"))?;
        Ok(message.formatted())
    }

    /// Sends the mail to one address, because a server's reply about one address says nothing about another.
    pub async fn send(&self, address: &Address, mail: &[u8]) -> Delivery {
        let envelope = match Envelope::new(Some(self.from.email.clone()), vec![address.clone()]) {
            Ok(envelope) => envelope,
            Err(error) => return Delivery::Refused { status: None, failure: error.to_string() },
        };
        match tokio::time::timeout(TIMEOUT * 2, self.transport.send_raw(&envelope, mail)).await {
            Ok(Ok(response)) => Delivery::Accepted { status: Some(response.code().into()) },
            Ok(Err(error)) => failed(&error),
            Err(_) => Delivery::Failed {
                status: None,
                failure: "the mail server did not answer in time".to_owned(),
                retry_after: None,
            },
        }
    }

    /// Builds the mail. Firing, repeats and the resolve of one incident form one thread.
    pub fn message(&self, id: Uuid, notice: &Notice) -> Result<Message, lettre::error::Error> {
        let threads = threads(notice);
        let raw =
            |name: &'static str, value: &str| HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned());
        let mut builder = Message::builder()
            .from(self.from.clone())
            .subject(clipped(&notice.title, 400))
            .message_id(Some(format!("<{id}@trueup>")))
            .references(threads.join(" "))
            .raw_header(raw("Auto-Submitted", "auto-generated"));
        if notice.kind == "firing" && notice.severity() == "page" {
            builder = builder.raw_header(raw("Importance", "high"));
        }
        for to in &self.to {
            builder = builder.to(to.clone());
        }
        let png = ContentType::parse("image/png").ok();
        let chart = notice.rules.first().filter(|section| section.is_firing()).and_then(chart::draw);
        let html = notice.html(chart.is_some());
        match chart.zip(png) {
            None => builder.multipart(MultiPart::alternative_plain_html(notice.text.clone(), html)),
            Some((chart, png)) => {
                let picture = Attachment::new_inline(CHART.to_owned()).body(chart, png);
                let shown = MultiPart::related().singlepart(SinglePart::html(html)).singlepart(picture);
                let text = SinglePart::plain(notice.text.clone());
                builder.multipart(MultiPart::alternative().singlepart(text).multipart(shown))
            }
        }
    }
}

/// Returns the threads of a mail: its incidents, otherwise its group.
fn threads(notice: &Notice) -> Vec<String> {
    let mut incidents: Vec<i64> = notice.alerts().filter_map(|(_, alert)| alert.incident).collect();
    incidents.sort_unstable();
    incidents.dedup();
    let group = || {
        let digest = Sha256::digest(notice.group.as_bytes());
        format!("<group-{}@trueup>", digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect::<String>())
    };
    match incidents.as_slice() {
        [] => vec![group()],
        // Clients thread by the first.
        several => several.iter().take(10).map(|id| format!("<incident-{id}@trueup>")).collect(),
    }
}

/// Returns the server's own words about an address or a mail. Replies about a password are dropped: they may repeat part of it.
fn answer(error: &lettre::transport::smtp::Error) -> Option<String> {
    const ABOUT_PASSWORDS: std::ops::RangeInclusive<u16> = 530..=539;
    let is_about_passwords = error.status().is_some_and(|code| ABOUT_PASSWORDS.contains(&code.into()));
    let words = std::error::Error::source(error).filter(|_| !is_about_passwords)?.to_string();
    let words = words.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let words = words.collect::<Vec<_>>().join(" ");
    Some(clipped(&words, 200)).filter(|words| !words.is_empty())
}

/// A permanent refusal is final; other failures, such as a greylisting 4xx or a broken connection, are worth another attempt.
fn failed(error: &lettre::transport::smtp::Error) -> Delivery {
    let status = error.status().map(u16::from);
    let failure = match status {
        Some(code) => match answer(error) {
            Some(words) => format!("the mail server answered {code} ({words})"),
            None => format!("the mail server answered {code}"),
        },
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
