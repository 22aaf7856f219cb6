//! `[web]`: address, sign-in and database of the pages, checked when read.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use chrono_tz::Tz;
use ipnet::IpNet;
use secrecy::SecretString;

use super::receivers;
use crate::domain::duration;
use crate::spec::Document;
use crate::spec::diagnostic::{Diagnostic, did_you_mean};
use crate::spec::receivers::{LoginSpec, ProxySpec, SecretSpec, WebDatabaseSpec, WebSection};
use crate::text::links::Links;

/// Settings of the pages, probes and metrics over HTTP.
#[derive(Debug, Clone)]
pub struct Web {
    pub listen: SocketAddr,
    /// Addresses of the pages in messages. `None` if `base_url` is not set: messages then carry no links.
    pub links: Option<Links>,
    pub hosts: Vec<String>,
    pub login: Login,
    pub database: WebDatabase,
    /// Origins of pages that may show these in a frame.
    pub embed: Vec<String>,
    /// Jobs whose badges are public.
    pub badges: Vec<String>,
    /// Time zone of the pages.
    pub timezone: Tz,
    token: Option<SecretSpec>,
}

/// How users of the pages are identified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// No sign-in: only on loopback addresses.
    None,
    /// A form that asks for the token.
    Token,
    /// A reverse proxy in one of these networks names the user in a header.
    Proxy(Proxy),
}

/// Headers of a reverse proxy that authenticates users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    pub from: Vec<IpNet>,
    /// Name of the header with the user.
    pub user: String,
    /// Name of the header with the groups of the user, separated by commas.
    pub groups: Option<String>,
    /// Groups that may acknowledge, resolve and silence. Empty: all users.
    pub act: Vec<String>,
}

/// Database connection of the pages.
#[derive(Debug, Clone)]
pub struct WebDatabase {
    url: Option<SecretSpec>,
    pub max_connections: u32,
    /// Limit of one statement.
    pub timeout: Duration,
}

impl Web {
    /// Pages for the user of this machine: on a loopback address, without sign-in.
    pub fn local(listen: SocketAddr) -> Self {
        Self {
            listen,
            links: None,
            hosts: Vec::new(),
            login: Login::None,
            database: WebDatabase::default(),
            embed: Vec::new(),
            badges: Vec::new(),
            timezone: Tz::UTC,
            token: None,
        }
    }

    /// The same at another address. Refuses one that other machines can reach if no sign-in is required.
    pub fn at(self, listen: SocketAddr) -> Result<Self, String> {
        if self.login == Login::None && !listen.ip().is_loopback() {
            return Err(format!(
                "{listen} can be reached from other machines, and no sign-in is required: set `token` or `proxy` in [web]"
            ));
        }
        Ok(Self { listen, ..self })
    }

    /// Fetches the token. The error says that it is missing, never its value.
    pub fn token(&self) -> Result<Option<SecretString>, String> {
        self.token.as_ref().map(receivers::secret).transpose()
    }
}

impl Default for WebDatabase {
    fn default() -> Self {
        Self { url: None, max_connections: 4, timeout: Duration::from_secs(2) }
    }
}

impl WebDatabase {
    /// Fetches the address of the pages' own database role, if one is set.
    pub fn url(&self) -> Result<Option<SecretString>, String> {
        self.url.as_ref().map(receivers::secret).transpose()
    }
}

/// Checks `[web]`. Returns `None` if it cannot be used.
pub(super) fn build(document: &Document, spec: &WebSection, findings: &mut Vec<Diagnostic>) -> Option<Web> {
    let mut checker = Checker { document, findings };
    let listen = checker.listen(spec);
    let links = spec.base_url.as_deref().and_then(|url| checker.links(url, spec.hosts.as_deref().unwrap_or_default()));
    let login = checker.login(spec, listen);
    let database = checker.database(spec.database.as_ref());
    let timezone = checker.timezone(spec.timezone.as_deref());
    for (index, origin) in spec.embed.iter().flatten().enumerate() {
        if !is_origin(origin) {
            let message = format!("`{origin}` is not the origin of a site");
            checker.error(&format!("web.embed[{index}]"), "bad-origin", message, "write `https://portal.example.org`");
        }
    }
    Some(Web {
        listen: listen?,
        links,
        hosts: spec.hosts.clone().unwrap_or_default(),
        login: login?,
        database: database?,
        embed: spec.embed.clone().unwrap_or_default(),
        badges: spec.public.as_ref().and_then(|public| public.badges.clone()).unwrap_or_default(),
        timezone,
        token: spec.token.clone(),
    })
}

struct Checker<'a> {
    document: &'a Document,
    findings: &'a mut Vec<Diagnostic>,
}

impl Checker<'_> {
    fn error(&mut self, path: &str, code: &'static str, message: String, hint: &str) {
        self.findings.push(self.document.error(path, code, message).hint(hint));
    }

    fn listen(&mut self, spec: &WebSection) -> Option<SocketAddr> {
        let parsed = spec.listen.parse().ok();
        if parsed.is_none() {
            let message = format!("`{}` is not an address and a port", spec.listen);
            self.error("web.listen", "bad-listen", message, "write `127.0.0.1:9187`");
        }
        parsed
    }

    /// The links point to a host that this process accepts, or every one of them would be refused with 421.
    fn links(&mut self, url: &str, hosts: &[String]) -> Option<Links> {
        let Some(links) = Links::new(url) else {
            let message = format!("`{url}` is not the address of a site");
            let hint = "write the full address, as in https://trueup.example.org, and list its host in `hosts`";
            self.error("web.base_url", "bad-base-url", message, hint);
            return None;
        };
        let host = links.host();
        let is_loopback = ["localhost", "127.0.0.1", "[::1]"].contains(&host);
        if !is_loopback && !hosts.iter().any(|known| known == "*" || known.eq_ignore_ascii_case(host)) {
            let message = format!("links would point to `{host}`, which `hosts` does not list");
            self.error("web.base_url", "bad-base-url", message, &format!("add `hosts = [\"{host}\"]`"));
        }
        Some(links)
    }

    fn login(&mut self, spec: &WebSection, listen: Option<SocketAddr>) -> Option<Login> {
        let is_loopback = listen.is_none_or(|listen| listen.ip().is_loopback());
        let chosen = spec.login.unwrap_or(match (&spec.proxy, &spec.token) {
            (Some(_), _) => LoginSpec::Proxy,
            (None, Some(_)) => LoginSpec::Token,
            (None, None) => LoginSpec::None,
        });
        let is_open = !is_loopback && (chosen == LoginSpec::None || (spec.token.is_none() && spec.proxy.is_none()));
        if is_open {
            let message = format!("{} can be reached from other machines, and no sign-in is required", spec.listen);
            let hint = "add `token = { env = \"NAME\" }`, or listen on 127.0.0.1";
            self.error("web.listen", "open-web", message, hint);
            return None;
        }
        match chosen {
            LoginSpec::None => Some(Login::None),
            LoginSpec::Token if spec.token.is_none() => {
                let message = "`login` is \"token\", and there is no token".to_owned();
                self.error("web.login", "bad-login", message, "add `token = { env = \"NAME\" }`");
                None
            }
            LoginSpec::Token => Some(Login::Token),
            LoginSpec::Proxy => self.proxy(spec.proxy.as_ref()),
        }
    }

    fn proxy(&mut self, spec: Option<&ProxySpec>) -> Option<Login> {
        let hint = "write proxy = { from = [\"10.0.0.0/8\"], user = \"X-Forwarded-Email\" }";
        let Some(spec) = spec else {
            let message = "`login` is \"proxy\", and there is no `proxy`".to_owned();
            self.error("web.login", "bad-login", message, hint);
            return None;
        };
        if spec.from.is_empty() {
            let message = "`from` lists no address, so any client could name any user".to_owned();
            self.error("web.proxy.from", "bad-login", message, hint);
        }
        let mut from = Vec::new();
        for (index, text) in spec.from.iter().enumerate() {
            match text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)) {
                Ok(network) => from.push(network),
                Err(_) => {
                    let message = format!("`{text}` is not a network");
                    self.error(&format!("web.proxy.from[{index}]"), "bad-network", message, "write `10.0.0.0/8`");
                }
            }
        }
        for (key, header) in [("user", Some(&spec.user)), ("groups", spec.groups.as_ref())] {
            if header.is_some_and(|name| axum::http::HeaderName::try_from(name.as_str()).is_err()) {
                let message = "this is not a valid header name".to_owned();
                self.error(&format!("web.proxy.{key}"), "bad-header", message, "write `X-Forwarded-Email`");
            }
        }
        let act = spec.act.clone().unwrap_or_default();
        Some(Login::Proxy(Proxy { from, user: spec.user.clone(), groups: spec.groups.clone(), act }))
    }

    fn database(&mut self, spec: Option<&WebDatabaseSpec>) -> Option<WebDatabase> {
        let default = WebDatabase::default();
        let Some(spec) = spec else { return Some(default) };
        let max_connections = match spec.max_connections {
            None => default.max_connections,
            Some(n @ 1..=100) => u32::try_from(n).unwrap_or(default.max_connections),
            Some(n) => {
                let message = format!("`max_connections` is {n}");
                self.error("web.database.max_connections", "bad-max-connections", message, "use 1 to 100");
                return None;
            }
        };
        let timeout = match spec.timeout.as_deref().map(duration::parse) {
            None => default.timeout,
            Some(Ok(timeout)) => timeout.to_std().unwrap_or(default.timeout),
            Some(Err(message)) => {
                self.error("web.database.timeout", "bad-duration", message, duration::HINT);
                return None;
            }
        };
        Some(WebDatabase { url: spec.url.clone(), max_connections, timeout })
    }

    fn timezone(&mut self, name: Option<&str>) -> Tz {
        let Some(name) = name else { return Tz::UTC };
        name.parse().unwrap_or_else(|_| {
            let message = format!("`{name}` is not a time zone");
            let near = did_you_mean(name, chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()));
            let hint = near.map_or("use an IANA name such as `Europe/Bucharest` or `UTC`".to_owned(), |near| {
                format!("did you mean `{near}`?")
            });
            self.error("web.timezone", "unknown-timezone", message, &hint);
            Tz::UTC
        })
    }
}

/// True for `https://host` with an optional port: a value that may stand in `frame-ancestors`.
fn is_origin(text: &str) -> bool {
    Links::new(text).is_some_and(|links| links.is_origin() && !text.ends_with('/'))
}
