//! Webhooks by HTTP: the notice as JSON, signed as in Standard Webhooks, to addresses that may be reached.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::{Client, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use uuid::Uuid;

use crate::notify::message::Notice;
use crate::notify::network::{AllowedNetworks, GuardedResolver};
use crate::notify::receiver::Delivery;

const TIMEOUT: Duration = Duration::from_secs(15);

/// Where to post and how to sign.
pub struct WebhookReceiver {
    url: Url,
    secret: Option<SigningSecret>,
    client: Client,
}

impl std::fmt::Debug for WebhookReceiver {
    /// The address may hold a token: only its host is shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebhookReceiver").field("host", &self.url.host_str()).finish_non_exhaustive()
    }
}

/// The key of a signature, decoded.
pub struct SigningSecret(SecretString);

impl SigningSecret {
    /// Takes `whsec_` and base64, as Standard Webhooks writes it.
    pub fn new(text: &SecretString) -> Result<Self, String> {
        let encoded = text.expose_secret().strip_prefix("whsec_").unwrap_or(text.expose_secret());
        match STANDARD.decode(encoded) {
            Ok(key) if key.len() >= 16 => Ok(Self(SecretString::from(encoded))),
            Ok(_) => Err("the signing secret is shorter than 16 bytes".to_owned()),
            Err(_) => Err("the signing secret is not `whsec_` and base64".to_owned()),
        }
    }

    /// `v1,<base64 HMAC-SHA256 of id.timestamp.body>`.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> Option<String> {
        let key = STANDARD.decode(self.0.expose_secret()).ok()?;
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
    }
}

impl WebhookReceiver {
    /// Prepares a receiver; nothing is connected yet. Says what is wrong with the address.
    pub fn new(
        url: &str,
        allow_http: bool,
        allowed: &AllowedNetworks,
        secret: Option<SigningSecret>,
    ) -> Result<Self, String> {
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
        crate::notify::webhook::install_tls();
        let client = Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .dns_resolver(Arc::new(GuardedResolver { allowed: allowed.clone() }))
            .user_agent(concat!("trueup/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| format!("could not prepare an HTTP client: {e}"))?;
        Ok(Self { url, secret, client })
    }

    /// Makes one attempt.
    pub async fn deliver(&self, id: Uuid, notice: &Notice) -> Delivery {
        let body = match serde_json::to_vec(notice) {
            Ok(body) => body,
            Err(error) => {
                return Delivery::Refused { status: None, failure: format!("the body could not be written: {error}") };
            }
        };
        let timestamp = Utc::now().timestamp();
        let mut request = self
            .client
            .post(self.url.clone())
            .header("content-type", "application/json")
            .header("webhook-id", id.to_string())
            .header("webhook-timestamp", timestamp.to_string());
        if let Some(signature) = self.secret.as_ref().and_then(|secret| secret.sign(&id.to_string(), timestamp, &body))
        {
            request = request.header("webhook-signature", signature);
        }
        match request.body(body).send().await {
            Ok(response) => answered(response.status(), response.headers()),
            Err(error) => Delivery::Failed { status: None, failure: unreachable(&error), retry_after: None },
        }
    }
}

/// The answer's body is never read: nothing of it is shown anywhere.
fn answered(status: StatusCode, headers: &reqwest::header::HeaderMap) -> Delivery {
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
        _ => Delivery::Refused { status: code, failure },
    }
}

/// `Retry-After` in seconds or as a date.
fn retry_after(headers: &reqwest::header::HeaderMap) -> Option<TimeDelta> {
    let text = headers.get("retry-after")?.to_str().ok()?;
    match text.parse() {
        Ok(seconds) => TimeDelta::try_seconds(seconds),
        Err(_) => DateTime::parse_from_rfc2822(text).ok().map(|until| until.with_timezone(&Utc) - Utc::now()),
    }
}

/// In our words: the library's own text repeats the address, which may be a secret.
fn unreachable(error: &reqwest::Error) -> String {
    let words = if error.is_timeout() {
        "the receiver did not answer in time"
    } else if error.is_connect() {
        "the receiver could not be connected to"
    } else {
        "the request failed"
    };
    words.to_owned()
}

/// Installs the TLS provider, once per process: without one the HTTP client would panic.
pub fn install_tls() {
    // An error means that one is installed already.
    drop(rustls::crypto::ring::default_provider().install_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of the Standard Webhooks reference libraries.
    #[test]
    fn a_signature_equals_the_published_vector() {
        let secret = SigningSecret::new(&SecretString::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")).unwrap();
        let signature = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b"{\"test\": 2432232314}").unwrap();
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

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
            assert!(WebhookReceiver::new(url, false, &none, None).is_err(), "{url}");
        }
        assert!(WebhookReceiver::new("https://example.org/hook", false, &none, None).is_ok());
    }

    #[test]
    fn answers_are_told_apart() {
        let headers = reqwest::header::HeaderMap::new();
        let kind = |code: u16| match answered(StatusCode::from_u16(code).unwrap(), &headers) {
            Delivery::Accepted { .. } => "accepted",
            Delivery::Failed { .. } => "failed",
            Delivery::Refused { .. } => "refused",
        };
        for (code, expected) in [
            (200, "accepted"),
            (204, "accepted"),
            (301, "refused"),
            (400, "refused"),
            (410, "refused"),
            (429, "failed"),
            (500, "failed"),
            (503, "failed"),
        ] {
            assert_eq!(kind(code), expected, "{code}");
        }
    }

    #[test]
    fn debug_shows_no_token() {
        let receiver =
            WebhookReceiver::new("https://example.org/t0ken", false, &AllowedNetworks::default(), None).unwrap();
        assert!(!format!("{receiver:?}").contains("t0ken"));
    }
}
