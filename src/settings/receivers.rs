//! `[receivers.*]`: checked when read, secrets fetched only when something is sent.

use std::net::IpAddr;
use std::path::Path;

use lettre::message::Mailbox;
use secrecy::SecretString;

use super::environment;
use crate::notify::email::{EmailReceiver, SmtpSecurity, SmtpServer};
use crate::notify::network::AllowedNetworks;
use crate::notify::receiver::Receiver;
use crate::notify::webhook::{SigningSecret, WebhookReceiver};
use crate::spec::Document;
use crate::spec::diagnostic::Diagnostic;
use crate::spec::receivers::{ReceiverKind, ReceiverSpec, SecretSpec, SmtpSpec, SmtpTls, TextOrSecret, WebhookFormat};

/// A receiver as it was declared and checked.
#[derive(Debug, Clone)]
pub enum ReceiverSettings {
    Email { to: Vec<Mailbox>, from: Mailbox, smtp: SmtpSpec },
    Webhook { url: TextOrSecret, allow_http: bool, allowed: AllowedNetworks, signing_secret: Option<SecretSpec> },
}

impl ReceiverSettings {
    /// Fetches the secrets and prepares the receiver. Says which secret is missing, never what one is.
    pub fn connect(&self) -> Result<Receiver, String> {
        match self {
            Self::Email { to, from, smtp } => {
                let security = security(smtp);
                let credentials = match (&smtp.username, &smtp.password) {
                    (Some(user), Some(password)) => Some((user.clone(), secret(password)?)),
                    _ => None,
                };
                let server = SmtpServer {
                    host: smtp.host.clone(),
                    port: smtp.port.unwrap_or(default_port(security)),
                    security,
                    credentials,
                };
                EmailReceiver::new(to.clone(), from.clone(), &server).map(|email| Receiver::Email(Box::new(email)))
            }
            Self::Webhook { url, allow_http, allowed, signing_secret } => {
                let address = match url {
                    TextOrSecret::Text(text) => SecretString::from(text.clone()),
                    TextOrSecret::Secret(reference) => secret(reference)?,
                };
                let signing =
                    signing_secret.as_ref().map(|reference| SigningSecret::new(&secret(reference)?)).transpose()?;
                let address = secrecy::ExposeSecret::expose_secret(&address);
                WebhookReceiver::new(address, *allow_http, allowed, signing)
                    .map(|webhook| Receiver::Webhook(Box::new(webhook)))
            }
        }
    }
}

/// The value of a secret.
fn secret(reference: &SecretSpec) -> Result<SecretString, String> {
    match (&reference.env, &reference.file) {
        (Some(name), None) => {
            environment(name).map(SecretString::from).ok_or(format!("the environment variable `{name}` is not set"))
        }
        (None, Some(path)) => match std::fs::read_to_string(Path::new(path)) {
            Ok(text) => Ok(SecretString::from(text.trim_end_matches(['\r', '\n']).to_owned())),
            Err(error) => Err(format!("could not read the secret file `{path}`: {error}")),
        },
        _ => Err("a secret names either `env` or `file`".to_owned()),
    }
}

fn security(smtp: &SmtpSpec) -> SmtpSecurity {
    match smtp.tls {
        Some(SmtpTls::Implicit) => SmtpSecurity::Implicit,
        Some(SmtpTls::None) => SmtpSecurity::None,
        Some(SmtpTls::Starttls) | None => SmtpSecurity::StartTls,
    }
}

fn default_port(security: SmtpSecurity) -> u16 {
    match security {
        SmtpSecurity::StartTls => 587,
        SmtpSecurity::Implicit => 465,
        SmtpSecurity::None => 25,
    }
}

/// Checks one receiver, or says all that is wrong with it.
pub(super) fn build(document: &Document, name: &str, spec: &ReceiverSpec) -> Result<ReceiverSettings, Vec<Diagnostic>> {
    let mut checker = Checker { document, path: format!("receivers.{name}"), findings: Vec::new() };
    let built = match spec.kind {
        ReceiverKind::Email => checker.email(spec),
        ReceiverKind::Webhook => checker.webhook(spec),
    };
    match built {
        Some(settings) if checker.findings.is_empty() => Ok(settings),
        _ => Err(checker.findings),
    }
}

struct Checker<'a> {
    document: &'a Document,
    path: String,
    findings: Vec<Diagnostic>,
}

impl Checker<'_> {
    fn error(&mut self, key: &str, code: &'static str, message: String, hint: &str) {
        let path = if key.is_empty() { self.path.clone() } else { format!("{}.{key}", self.path) };
        self.findings.push(self.document.error(&path, code, message).hint(hint));
    }

    fn misplaced(&mut self, present: &[(&str, bool)], kind: &str) {
        for (key, _) in present.iter().filter(|(_, present)| *present) {
            self.error(key, "unused-key", format!("`{key}` has no effect on {kind}"), "remove it");
        }
    }

    fn email(&mut self, spec: &ReceiverSpec) -> Option<ReceiverSettings> {
        self.misplaced(
            &[
                ("url", spec.url.is_some()),
                ("format", spec.format.is_some()),
                ("allow_http", spec.allow_http.is_some()),
                ("allow_networks", spec.allow_networks.is_some()),
                ("signing_secret", spec.signing_secret.is_some()),
            ],
            "an email receiver",
        );
        let addresses = spec.to.clone().unwrap_or_default();
        if addresses.is_empty() {
            self.error(
                "to",
                "no-recipient",
                "the receiver has no `to`".to_owned(),
                "add `to = [\"oncall@example.org\"]`",
            );
        }
        let to: Vec<Mailbox> =
            addresses.iter().enumerate().filter_map(|(n, text)| self.mailbox(&format!("to[{n}]"), text)).collect();
        let Some(from) = spec.from.as_deref() else {
            self.error(
                "from",
                "no-sender",
                "the receiver has no `from`".to_owned(),
                "add `from = \"trueup@example.org\"`",
            );
            return None;
        };
        let from = self.mailbox("from", from)?;
        let Some(smtp) = spec.smtp.clone() else {
            self.error(
                "smtp",
                "no-smtp",
                "the receiver has no `smtp`".to_owned(),
                "add `smtp = { host = \"mail.example.org\" }`",
            );
            return None;
        };
        self.smtp(&smtp);
        Some(ReceiverSettings::Email { to, from, smtp })
    }

    fn mailbox(&mut self, key: &str, text: &str) -> Option<Mailbox> {
        let parsed = text.parse().ok();
        if parsed.is_none() {
            self.error(key, "bad-address", format!("`{text}` is not a mail address"), "write `name@example.org`");
        }
        parsed
    }

    fn smtp(&mut self, smtp: &SmtpSpec) {
        let loopback =
            smtp.host == "localhost" || smtp.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        if smtp.tls == Some(SmtpTls::None) && !loopback {
            let message = format!("mail to `{}` would travel unprotected", smtp.host);
            self.error(
                "smtp.tls",
                "tls-required",
                message,
                "use `starttls` or `implicit`; `none` is for loopback only",
            );
        }
        if smtp.username.is_some() != smtp.password.is_some() {
            self.error(
                "smtp",
                "half-credentials",
                "`username` and `password` belong together".to_owned(),
                "add the missing one, or remove both",
            );
        }
        if let Some(password) = &smtp.password {
            self.secret("smtp.password", password);
        }
    }

    fn secret(&mut self, key: &str, reference: &SecretSpec) {
        if reference.env.is_some() == reference.file.is_some() {
            let message = "a secret names either `env` or `file`".to_owned();
            self.error(key, "bad-secret", message, "write { env = \"NAME\" } or { file = \"/run/secrets/name\" }");
        }
    }

    fn webhook(&mut self, spec: &ReceiverSpec) -> Option<ReceiverSettings> {
        let misplaced = [("to", spec.to.is_some()), ("from", spec.from.is_some()), ("smtp", spec.smtp.is_some())];
        self.misplaced(&misplaced, "a webhook receiver");
        if let Some(format) = spec.format.filter(|format| *format != WebhookFormat::Trueup) {
            let message =
                format!("the format `{}` is not supported by this version", format!("{format:?}").to_lowercase());
            self.error("format", "not-supported-yet", message, "use `trueup`");
        }
        let allowed = match AllowedNetworks::parse(spec.allow_networks.as_deref().unwrap_or_default()) {
            Ok(allowed) => allowed,
            Err(message) => {
                self.error("allow_networks", "bad-network", message, "write `10.1.0.0/16` or one address");
                return None;
            }
        };
        let Some(url) = spec.url.clone() else {
            self.error(
                "",
                "no-url",
                "the receiver has no `url`".to_owned(),
                "add `url = \"https://...\"` or `url = { env = \"NAME\" }`",
            );
            return None;
        };
        let allow_http = spec.allow_http.unwrap_or(false);
        match &url {
            TextOrSecret::Secret(reference) => self.secret("url", reference),
            TextOrSecret::Text(text) => {
                if let Err(message) = WebhookReceiver::new(text, allow_http, &allowed, None) {
                    self.error("url", "bad-url", message, "use an https address that trueup may reach");
                }
            }
        }
        if let Some(reference) = &spec.signing_secret {
            self.secret("signing_secret", reference);
        }
        Some(ReceiverSettings::Webhook { url, allow_http, allowed, signing_secret: spec.signing_secret.clone() })
    }
}
