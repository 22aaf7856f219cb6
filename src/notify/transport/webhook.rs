//! Webhooks: notifications in the format that the receiver expects, signed as in Standard Webhooks.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::Utc;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value as Json;
use sha2::Sha256;
use uuid::Uuid;

use crate::notify::format::{self, Format};
use crate::notify::message::Notice;
use crate::notify::transport::delivery::Delivery;
use crate::notify::transport::http::Endpoint;

/// Endpoint, format and signing secrets of a webhook.
#[derive(Debug)]
pub struct WebhookReceiver {
    pub endpoint: Endpoint,
    pub format: Format,
    /// Several during rotation.
    pub secrets: Vec<SigningSecret>,
    /// PagerDuty's integration key.
    pub routing_key: Option<SecretString>,
}

/// Signing key, as base64.
#[derive(Debug)]
pub struct SigningSecret(SecretString);

impl SigningSecret {
    /// Parses `whsec_` and base64, the notation of Standard Webhooks.
    pub fn new(text: &SecretString) -> Result<Self, String> {
        let encoded = text.expose_secret().strip_prefix("whsec_").unwrap_or(text.expose_secret());
        match STANDARD.decode(encoded) {
            Ok(key) if key.len() >= 16 => Ok(Self(SecretString::from(encoded))),
            Ok(_) => Err("the signing secret is shorter than 16 bytes".to_owned()),
            Err(_) => Err("the signing secret is not `whsec_` followed by base64".to_owned()),
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
    /// Creates an unsigned receiver of our own format.
    pub fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, format: Format::Trueup, secrets: Vec::new(), routing_key: None }
    }

    /// Makes one attempt, with the user-defined body `own` if there is one, otherwise in the receiver's format.
    pub async fn deliver(&self, id: Uuid, name: &str, notice: Notice, own: Option<Json>) -> Delivery {
        let key = self.routing_key.as_ref().map(|key| key.expose_secret());
        let mut last = Delivery::Accepted { status: None };
        let bodies = own.map_or_else(|| format::bodies(self.format, notice, name, key), |own| vec![own]);
        for body in bodies {
            last = self.post(id, body.to_string().into_bytes()).await;
            // A retry sends all bodies again; a receiver that accepted the first ones recognizes them by their key.
            if !matches!(last, Delivery::Accepted { .. }) {
                break;
            }
        }
        last
    }

    async fn post(&self, id: Uuid, body: Vec<u8>) -> Delivery {
        let timestamp = Utc::now().timestamp();
        let id = id.to_string();
        let signatures: Vec<String> =
            self.secrets.iter().filter_map(|secret| secret.sign(&id, timestamp, &body)).collect();
        let mut headers = vec![("webhook-timestamp", timestamp.to_string()), ("webhook-id", id)];
        if !signatures.is_empty() {
            headers.push(("webhook-signature", signatures.join(" ")));
        }
        self.endpoint.post(&headers, body).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Test vector of the Standard Webhooks reference libraries.
    #[test]
    fn a_signature_equals_the_published_vector() {
        let secret = SigningSecret::new(&SecretString::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")).unwrap();
        let signature = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b"{\"test\": 2432232314}").unwrap();
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_is_not_shown() {
        let secret = SigningSecret::new(&SecretString::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")).unwrap();
        assert!(!format!("{secret:?}").contains("MfKQ9"));
    }
}
