//! HTTP endpoints: how requests are posted, and what the responses mean.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, StatusCode, Url};
use secrecy::{ExposeSecret as _, SecretString};

use crate::notify::transport::delivery::Delivery;
use crate::notify::transport::network::{AllowedNetworks, GuardedResolver};

const TIMEOUT: Duration = Duration::from_secs(15);
/// Headers that define the request itself or are part of the signature.
const RESERVED: [&str; 9] = [
    "host",
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "user-agent",
];

/// Endpoint that bodies are posted to.
pub struct Endpoint {
    url: Url,
    client: Client,
    headers: HeaderMap,
    allowed: AllowedNetworks,
}

impl std::fmt::Debug for Endpoint {
    /// Shows only the host: the address may contain a token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("host", &self.url.host_str()).finish_non_exhaustive()
    }
}

impl Endpoint {
    /// Prepares an endpoint without connecting. The error says what is wrong with the address.
    pub fn new(url: &str, allow_http: bool, allowed: &AllowedNetworks) -> Result<Self, String> {
        let url = Url::parse(url).map_err(|e| format!("the address is not a URL: {e}"))?;
        match url.scheme() {
            "https" => {}
            "http" if allow_http => {}
            "http" => return Err("the address is http://; use https, or set `allow_http = true`".to_owned()),
            other => return Err(format!("the address is {other}://, not https://")),
        }
        let host = url.host_str().ok_or("the address has no host")?;
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        if literal.is_ok_and(|address| !allowed.allow(address)) {
            return Err("the address is in a network that is not public; list it in `allow_networks`".to_owned());
        }
        install_tls();
        let client = Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .dns_resolver(Arc::new(GuardedResolver { allowed: allowed.clone() }))
            .user_agent(concat!("trueup/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| format!("could not prepare an HTTP client: {e}"))?;
        Ok(Self { url, client, headers: HeaderMap::new(), allowed: allowed.clone() })
    }

    /// Appends a path to the address.
    pub fn at(mut self, path: &str) -> Self {
        let base = self.url.path().trim_end_matches('/').to_owned();
        self.url.set_path(&format!("{base}{path}"));
        self
    }

    /// Adds a header to every request. The value is a secret.
    pub fn with_header(mut self, name: &str, value: &SecretString) -> Result<Self, String> {
        let name = header_name(name)?;
        let mut value = HeaderValue::from_str(value.expose_secret())
            .map_err(|_| format!("the value of the header `{name}` has characters that are not allowed in a header"))?;
        value.set_sensitive(true);
        self.headers.insert(name, value);
        Ok(self)
    }

    /// Connects to the endpoint and sends nothing.
    pub async fn reach(&self) -> Result<(), String> {
        let refused = || "could not connect to the receiver".to_owned();
        let host = self.url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let port = self.url.port_or_known_default().unwrap_or(443);
        let found = tokio::time::timeout(TIMEOUT, tokio::net::lookup_host((host, port)));
        let found = found.await.map_err(|_| refused())?.map_err(|_| "the host name does not resolve".to_owned())?;
        let addresses: Vec<_> = found.filter(|address| self.allowed.allow(address.ip())).collect();
        if addresses.is_empty() {
            return Err("the address is in a network that is not public; see `allow_networks`".to_owned());
        }
        let opened = tokio::time::timeout(TIMEOUT, tokio::net::TcpStream::connect(addresses.as_slice())).await;
        opened.map_err(|_| refused())?.map(drop).map_err(|_| refused())
    }

    /// Makes one attempt. The response body is never read, so that none of it can be shown.
    pub async fn post(&self, headers: &[(&'static str, String)], body: Vec<u8>) -> Delivery {
        let mut request =
            self.client.post(self.url.clone()).headers(self.headers.clone()).header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        match request.body(body).send().await {
            Ok(response) => answered(response.status(), response.headers()),
            Err(error) => Delivery::Failed { status: None, failure: unreachable(&error), retry_after: None },
        }
    }
}

/// Parses the name of a header that users may set.
pub fn header_name(name: &str) -> Result<HeaderName, String> {
    let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{name}` is not a valid header name"))?;
    if RESERVED.contains(&parsed.as_str()) {
        return Err(format!("the header `{name}` is set by trueup itself"));
    }
    Ok(parsed)
}

fn answered(status: StatusCode, headers: &HeaderMap) -> Delivery {
    let code = Some(status.as_u16());
    let failure = format!("the receiver answered {}", status.as_u16());
    match status {
        status if status.is_success() => Delivery::Accepted { status: code },
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
            Delivery::Failed { status: code, failure, retry_after: retry_after(headers) }
        }
        status if status.is_server_error() => {
            Delivery::Failed { status: code, failure, retry_after: retry_after(headers) }
        }
        StatusCode::GONE => Delivery::Gone { status: code, failure },
        _ => Delivery::Refused { status: code, failure },
    }
}

/// Parses `Retry-After`, in seconds or as a date. A date is relative to the receiver's `Date`, because our clock may be wrong.
fn retry_after(headers: &HeaderMap) -> Option<TimeDelta> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    let date = |text: &str| DateTime::parse_from_rfc2822(text).ok().map(|date| date.with_timezone(&Utc));
    let asked = text("retry-after")?;
    match asked.parse() {
        Ok(seconds) => TimeDelta::try_seconds(seconds),
        Err(_) => date(asked).map(|until| until - text("date").and_then(date).unwrap_or_else(Utc::now)),
    }
}

/// Describes the error in our words: the library's text repeats the address, which may be a secret.
fn unreachable(error: &reqwest::Error) -> String {
    let words = if error.is_timeout() {
        "the receiver did not answer in time"
    } else if error.is_connect() && has_proxy() {
        "could not connect to the receiver (webhooks connect directly: the proxy in `HTTPS_PROXY` is not used)"
    } else if error.is_connect() {
        "could not connect to the receiver"
    } else {
        "the request failed"
    };
    words.to_owned()
}

/// True if the environment names a proxy. It is not used: a proxy resolves names itself, so the address that is connected to
/// could not be checked.
fn has_proxy() -> bool {
    ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// Installs the TLS provider once per process; without it the HTTP client would panic.
pub fn install_tls() {
    // An error means that it is installed already.
    drop(rustls::crypto::ring::default_provider().install_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_must_not_be_reached_are_refused() {
        let none = AllowedNetworks::default();
        for url in [
            "http://example.org/",
            "ftp://example.org/",
            "https://127.0.0.1/",
            "https://[::1]/",
            "https://169.254.169.254/",
            "https://0x7f.1/",
            "https://2130706433/",
        ] {
            assert!(Endpoint::new(url, false, &none).is_err(), "{url}");
        }
        assert!(Endpoint::new("https://example.org/hook", false, &none).is_ok());
    }

    #[test]
    fn answers_are_told_apart() {
        let headers = HeaderMap::new();
        let kind = |code: u16| match answered(StatusCode::from_u16(code).unwrap(), &headers) {
            Delivery::Accepted { .. } => "accepted",
            Delivery::Failed { .. } => "failed",
            Delivery::Refused { .. } => "refused",
            Delivery::Gone { .. } => "gone",
            Delivery::Partly { .. } => "partly",
        };
        for (code, expected) in [
            (200, "accepted"),
            (204, "accepted"),
            (301, "refused"),
            (400, "refused"),
            (404, "refused"),
            (410, "gone"),
            (408, "failed"),
            (429, "failed"),
            (500, "failed"),
            (503, "failed"),
        ] {
            assert_eq!(kind(code), expected, "{code}");
        }
    }

    #[test]
    fn a_receiver_says_when_it_wants_the_next_attempt() {
        let asked = |text: &str| {
            let headers = HeaderMap::from_iter([(HeaderName::from_static("retry-after"), text.parse().unwrap())]);
            retry_after(&headers).map(|wait| wait.num_seconds())
        };
        assert_eq!(asked("90"), Some(90));
        let soon = (Utc::now() + TimeDelta::seconds(120)).to_rfc2822();
        assert!(asked(&soon).is_some_and(|wait| (100..=120).contains(&wait)));
        assert_eq!(asked("soon"), None);
        let both = [("retry-after", "Fri, 01 May 2020 00:02:00 GMT"), ("date", "Fri, 01 May 2020 00:00:00 GMT")];
        let headers = both.map(|(name, date)| (HeaderName::from_static(name), date.parse().unwrap()));
        assert_eq!(retry_after(&HeaderMap::from_iter(headers)), Some(TimeDelta::minutes(2)));
    }

    #[test]
    fn headers_that_the_request_needs_cannot_be_overridden() {
        for name in ["Host", "content-length", "Webhook-Signature", "bad name", "x\r\ny"] {
            assert!(header_name(name).is_err(), "{name}");
        }
        assert!(header_name("Authorization").is_ok());
        let endpoint = Endpoint::new("https://example.org/", false, &AllowedNetworks::default()).unwrap();
        assert!(endpoint.with_header("X-Key", &SecretString::from("a\r\nb")).is_err());
    }

    #[test]
    fn debug_shows_no_token() {
        let endpoint = Endpoint::new("https://example.org/t0ken", false, &AllowedNetworks::default()).unwrap();
        let endpoint = endpoint.with_header("Authorization", &SecretString::from("Bearer s3cret")).unwrap();
        let shown = format!("{endpoint:?}");
        assert!(!shown.contains("t0ken") && !shown.contains("s3cret"));
    }
}
