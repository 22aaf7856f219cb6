//! `[receivers.*]`: checked when read; secrets are fetched only before sending.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use chrono::TimeDelta;
use lettre::Address;
use lettre::message::Mailbox;
use secrecy::SecretString;

use super::environment;
use crate::domain::duration;
use crate::notify::format::Format;
use crate::notify::message::{Notice, samples};
use crate::notify::receiver::{Receiver, Transport};
use crate::notify::template::body::Body;
use crate::notify::template::{self, Templates};
use crate::notify::transport::alertmanager::AlertmanagerReceiver;
use crate::notify::transport::email::{EmailReceiver, SmtpSecurity, SmtpServer};
use crate::notify::transport::http::{Endpoint, header_name};
use crate::notify::transport::network::AllowedNetworks;
use crate::notify::transport::webhook::{SigningSecret, WebhookReceiver};
use crate::spec::Document;
use crate::spec::diagnostic::Diagnostic;
use crate::spec::receivers::{
    OneOrMany, ReceiverKind, ReceiverSpec, SecretSpec, SmtpSpec, SmtpTls, TemplatesSpec, TextOrSecret, WatchdogSpec,
    WebhookFormat,
};
use crate::text::links::Links;

/// A declared and checked receiver.
#[derive(Debug, Clone)]
pub struct ReceiverSettings {
    kind: Kind,
    templates: Templates,
    links: Option<Links>,
    /// True if it is notified when an alert resolves.
    pub send_resolved: bool,
    /// How often a firing alert must be sent again, for receivers that expire it otherwise.
    pub resend: Option<TimeDelta>,
}

#[derive(Debug, Clone)]
enum Kind {
    Email { to: Vec<Mailbox>, from: Mailbox, smtp: SmtpSpec },
    Webhook { http: Http, format: Format, secrets: Vec<SecretSpec>, routing_key: Option<SecretSpec> },
    Alertmanager { http: Http, resend: TimeDelta },
}

/// An address, its headers, and how it may be reached.
#[derive(Debug, Clone)]
pub struct Http {
    url: TextOrSecret,
    allow_http: bool,
    allowed: AllowedNetworks,
    headers: BTreeMap<String, TextOrSecret>,
}

impl Http {
    /// Fetches the secrets in it. The error names the missing secret, never a value.
    pub fn connect(&self) -> Result<Endpoint, String> {
        let url = text_or_secret(&self.url)?;
        let mut endpoint = Endpoint::new(secrecy::ExposeSecret::expose_secret(&url), self.allow_http, &self.allowed)?;
        for (name, value) in &self.headers {
            endpoint = endpoint.with_header(name, &text_or_secret(value)?)?;
        }
        Ok(endpoint)
    }
}

fn text_or_secret(given: &TextOrSecret) -> Result<SecretString, String> {
    match given {
        TextOrSecret::Text(text) => Ok(SecretString::from(text.clone())),
        TextOrSecret::Secret(reference) => secret(reference),
    }
}

impl ReceiverSettings {
    /// Fetches the secrets and prepares the receiver. The error names the missing secret, never a value.
    pub fn connect(&self) -> Result<Receiver, String> {
        let transport = match &self.kind {
            Kind::Email { to, from, smtp } => {
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
                Transport::Email(Box::new(EmailReceiver::new(to.clone(), from.clone(), &server)?))
            }
            Kind::Webhook { http, format, secrets, routing_key } => {
                let keys = secrets.iter().map(|reference| SigningSecret::new(&secret(reference)?));
                Transport::Webhook(Box::new(WebhookReceiver {
                    endpoint: http.connect()?,
                    format: *format,
                    secrets: keys.collect::<Result<_, _>>()?,
                    routing_key: routing_key.as_ref().map(secret).transpose()?,
                }))
            }
            Kind::Alertmanager { http, resend } => {
                let endpoint = http.connect()?.at(AlertmanagerReceiver::PATH);
                Transport::Alertmanager(Box::new(AlertmanagerReceiver { endpoint, resend: *resend }))
            }
        };
        Ok(Receiver { transport, templates: self.templates.clone(), links: self.links.clone() })
    }
}

/// Returns the value of a secret.
pub(super) fn secret(reference: &SecretSpec) -> Result<SecretString, String> {
    match (&reference.env, &reference.file) {
        (Some(name), None) => {
            environment(name).map(SecretString::from).ok_or(format!("the environment variable `{name}` is not set"))
        }
        (None, Some(path)) => match std::fs::read_to_string(Path::new(path)) {
            Ok(text) => Ok(SecretString::from(text.trim_end_matches(['\r', '\n']).to_owned())),
            Err(error) => Err(format!("could not read the secret file `{path}`: {error}")),
        },
        _ => Err("a secret must have exactly one of `env` and `file`".to_owned()),
    }
}

/// Returns a sample message of every kind, with the default texts.
fn messages(links: Option<&Links>) -> impl Iterator<Item = (&'static str, Notice)> {
    ["firing", "resolved", "test"].into_iter().map(move |kind| {
        let mut notice = samples::notice(kind, "region=north");
        if let Some(links) = links {
            notice.link(links);
        }
        Templates::default().fill(&mut notice);
        (kind, notice)
    })
}

/// Converts an international domain to the form that mail and name servers use: `xn--...`.
fn ascii_domain(domain: &str) -> Option<String> {
    if domain.is_ascii() {
        return Some(domain.to_owned());
    }
    let url = reqwest::Url::parse(&format!("http://{domain}/")).ok()?;
    url.host_str().filter(|host| host.is_ascii()).map(str::to_owned)
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

/// Builds one receiver, or returns all mistakes in it.
pub(super) fn build(
    document: &Document,
    name: &str,
    spec: &ReceiverSpec,
    links: Option<&Links>,
) -> Result<ReceiverSettings, Vec<Diagnostic>> {
    let mut checker = Checker { document, path: format!("receivers.{name}"), links, findings: Vec::new() };
    let kind = match spec.kind {
        ReceiverKind::Email => checker.email(spec),
        ReceiverKind::Webhook => checker.webhook(spec),
        ReceiverKind::Alertmanager => checker.alertmanager(spec),
    };
    let templates = checker.templates(spec);
    match kind {
        Some(kind) if checker.findings.is_empty() => {
            let resend = match &kind {
                Kind::Alertmanager { resend, .. } => Some(*resend),
                Kind::Email { .. } | Kind::Webhook { .. } => None,
            };
            let send_resolved = spec.send_resolved.unwrap_or(true);
            Ok(ReceiverSettings { kind, templates, links: links.cloned(), send_resolved, resend })
        }
        _ => Err(checker.findings),
    }
}

/// Checks the address of the heartbeat.
pub(super) fn watchdog(document: &Document, spec: &WatchdogSpec) -> Result<Http, Vec<Diagnostic>> {
    let mut checker = Checker { document, path: "watchdog".to_owned(), links: None, findings: Vec::new() };
    let networks = spec.allow_networks.as_deref();
    match checker.http(Some(&spec.url), spec.allow_http, networks, None) {
        Some(http) if checker.findings.is_empty() => Ok(http),
        _ => Err(checker.findings),
    }
}

struct Checker<'a> {
    document: &'a Document,
    path: String,
    links: Option<&'a Links>,
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

    fn email(&mut self, spec: &ReceiverSpec) -> Option<Kind> {
        self.misplaced(
            &[
                ("url", spec.url.is_some()),
                ("format", spec.format.is_some()),
                ("allow_http", spec.allow_http.is_some()),
                ("allow_networks", spec.allow_networks.is_some()),
                ("signing_secret", spec.signing_secret.is_some()),
                ("routing_key", spec.routing_key.is_some()),
                ("headers", spec.headers.is_some()),
                ("resend", spec.resend.is_some()),
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
        Some(Kind::Email { to, from, smtp })
    }

    fn mailbox(&mut self, key: &str, text: &str) -> Option<Mailbox> {
        let Ok(parsed) = text.parse::<Mailbox>() else {
            self.error(key, "bad-address", format!("`{text}` is not a mail address"), "write `name@example.org`");
            return None;
        };
        if !parsed.email.user().is_ascii() {
            let message = format!("`{text}` has characters before the `@` that many mail servers reject (SMTPUTF8)");
            self.error(key, "bad-address", message, "use only ASCII letters and digits in the part before the @");
            return None;
        }
        let domain = ascii_domain(parsed.email.domain());
        let email = domain.and_then(|domain| Address::new(parsed.email.user(), domain).ok());
        if email.is_none() {
            let message = format!("the domain of `{text}` cannot be converted to ASCII");
            self.error(key, "bad-address", message, "write the domain as `xn--...`, or correct it");
        }
        Some(Mailbox::new(parsed.name, email?))
    }

    fn smtp(&mut self, smtp: &SmtpSpec) {
        let loopback =
            smtp.host == "localhost" || smtp.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        if smtp.tls == Some(SmtpTls::None) && !loopback {
            let message = format!("mail to `{}` would be sent unencrypted", smtp.host);
            self.error(
                "smtp.tls",
                "tls-required",
                message,
                "use `starttls` or `implicit`; `none` is allowed on loopback only",
            );
        }
        if smtp.username.is_some() != smtp.password.is_some() {
            self.error(
                "smtp",
                "half-credentials",
                "`username` and `password` must be set together".to_owned(),
                "add the missing one, or remove both",
            );
        }
        if let Some(password) = &smtp.password {
            self.secret("smtp.password", password);
        }
    }

    fn secret(&mut self, key: &str, reference: &SecretSpec) {
        if reference.env.is_some() == reference.file.is_some() {
            let message = "a secret must have exactly one of `env` and `file`".to_owned();
            self.error(key, "bad-secret", message, "write { env = \"NAME\" } or { file = \"/run/secrets/name\" }");
        }
    }

    fn webhook(&mut self, spec: &ReceiverSpec) -> Option<Kind> {
        let misplaced = [
            ("to", spec.to.is_some()),
            ("from", spec.from.is_some()),
            ("smtp", spec.smtp.is_some()),
            ("resend", spec.resend.is_some()),
        ];
        self.misplaced(&misplaced, "a webhook receiver");
        let format = match spec.format {
            None | Some(WebhookFormat::Trueup) => Format::Trueup,
            Some(WebhookFormat::Alertmanager) => Format::Alertmanager,
            Some(WebhookFormat::Pagerduty) => Format::Pagerduty,
            Some(WebhookFormat::Slack) => Format::Slack,
        };
        match (format, &spec.routing_key) {
            (Format::Pagerduty, None) => {
                let message = "PagerDuty needs its integration key".to_owned();
                self.error("", "no-routing-key", message, "add `routing_key = { env = \"NAME\" }`");
            }
            (Format::Pagerduty, Some(reference)) => self.secret("routing_key", reference),
            (_, Some(_)) => self.misplaced(&[("routing_key", true)], "a webhook of this format"),
            (_, None) => {}
        }
        let secrets = match &spec.signing_secret {
            None => Vec::new(),
            Some(OneOrMany::One(one)) => vec![one.clone()],
            Some(OneOrMany::Many(many)) => many.clone(),
        };
        for reference in &secrets {
            self.secret("signing_secret", reference);
        }
        let networks = spec.allow_networks.as_deref();
        let http = self.http(spec.url.as_ref(), spec.allow_http, networks, spec.headers.as_ref())?;
        Some(Kind::Webhook { http, format, secrets, routing_key: spec.routing_key.clone() })
    }

    fn alertmanager(&mut self, spec: &ReceiverSpec) -> Option<Kind> {
        let misplaced = [
            ("to", spec.to.is_some()),
            ("from", spec.from.is_some()),
            ("smtp", spec.smtp.is_some()),
            ("format", spec.format.is_some()),
            ("signing_secret", spec.signing_secret.is_some()),
            ("routing_key", spec.routing_key.is_some()),
        ];
        self.misplaced(&misplaced, "an Alertmanager receiver");
        let resend = match spec.resend.as_deref().map(duration::parse) {
            None => TimeDelta::minutes(1),
            Some(Ok(resend)) => resend,
            Some(Err(message)) => {
                self.error("resend", "bad-duration", message, duration::HINT);
                TimeDelta::minutes(1)
            }
        };
        let networks = spec.allow_networks.as_deref();
        let http = self.http(spec.url.as_ref(), spec.allow_http, networks, spec.headers.as_ref())?;
        Some(Kind::Alertmanager { http, resend })
    }

    /// Checks an address and its headers.
    fn http(
        &mut self,
        url: Option<&TextOrSecret>,
        allow_http: Option<bool>,
        networks: Option<&[String]>,
        headers: Option<&BTreeMap<String, TextOrSecret>>,
    ) -> Option<Http> {
        let allowed = match AllowedNetworks::parse(networks.unwrap_or_default()) {
            Ok(allowed) => allowed,
            Err(message) => {
                self.error("allow_networks", "bad-network", message, "write `10.1.0.0/16` or one address");
                return None;
            }
        };
        let Some(url) = url.cloned() else {
            self.error(
                "",
                "no-url",
                "the receiver has no `url`".to_owned(),
                "add `url = \"https://hooks.example.org/\"` or `url = { env = \"NAME\" }`",
            );
            return None;
        };
        let allow_http = allow_http.unwrap_or(false);
        match &url {
            TextOrSecret::Secret(reference) => self.secret("url", reference),
            TextOrSecret::Text(text) => {
                if let Err(message) = Endpoint::new(text, allow_http, &allowed) {
                    self.error("url", "bad-url", message, "use an https address that trueup may reach");
                }
            }
        }
        let headers = headers.cloned().unwrap_or_default();
        for (name, value) in &headers {
            if let Err(message) = header_name(name) {
                self.error(&format!("headers.{name}"), "bad-header", message, "use a name such as `Authorization`");
            }
            match value {
                TextOrSecret::Secret(reference) => self.secret(&format!("headers.{name}"), reference),
                TextOrSecret::Text(_) if name.eq_ignore_ascii_case("authorization") => {
                    let message = "the settings file contains a password in plain text".to_owned();
                    self.error(&format!("headers.{name}"), "open-secret", message, "write { env = \"NAME\" }");
                }
                TextOrSecret::Text(_) => {}
            }
        }
        Some(Http { url, allow_http, allowed, headers })
    }

    /// Renders templates with sample messages of every kind, so that a mistake fails `check` and not a notification at night.
    fn templates(&mut self, spec: &ReceiverSpec) -> Templates {
        let Some(given) = &spec.templates else { return Templates::default() };
        for (name, text) in [("title", &given.title), ("text", &given.text)] {
            let Some(text) = text else { continue };
            let mut mistakes = messages(self.links)
                .filter_map(|(kind, notice)| Some((kind, template::render(name, text, &notice).err()?)));
            if let Some((kind, mistake)) = mistakes.next() {
                let message = format!("the template fails on a `{kind}` message: {mistake}");
                let hint = "use the one variable `notice`: `{{ notice.title }}`, `{{ notice.job.name }}`, \
                            `{{ notice.rules[0].alerts[0].value }}`";
                self.error(&format!("templates.{name}"), "bad-template", message, hint);
            }
        }
        Templates { title: given.title.clone(), text: given.text.clone(), body: self.body(spec, given) }
    }

    /// Builds a custom body, which replaces `format`.
    fn body(&mut self, spec: &ReceiverSpec, given: &TemplatesSpec) -> Option<Body> {
        let shape = given.body.clone()?;
        let is_webhook = spec.kind == ReceiverKind::Webhook;
        if !is_webhook || spec.format.is_some() {
            let kind = if is_webhook { "a webhook with a `format`" } else { "a receiver that is not a webhook" };
            self.misplaced(&[("templates.body", true)], kind);
            return None;
        }
        let hint = "each text in it is a template: `templates = { body = { text = \"{{ notice.text }}\" } }`";
        let tried = Body::new(shape).and_then(|body| {
            match messages(self.links).find_map(|(_, notice)| body.mistake(&notice)) {
                Some(mistake) => Err(format!("the body fails on a sample message: {mistake}")),
                None => Ok(body),
            }
        });
        tried.map_err(|message| self.error("templates.body", "bad-template", message, hint)).ok()
    }
}
