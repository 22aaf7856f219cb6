//! A receiver, and what one attempt to deliver to it came to.

use chrono::TimeDelta;
use uuid::Uuid;

use crate::notify::email::EmailReceiver;
use crate::notify::message::Notice;
use crate::notify::webhook::WebhookReceiver;

/// Somewhere to send to.
#[derive(Debug)]
pub enum Receiver {
    Email(Box<EmailReceiver>),
    Webhook(Box<WebhookReceiver>),
}

/// What an attempt came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// The receiver took it: 2xx, or the SMTP reply to the end of the data.
    Accepted { status: Option<u16> },
    /// Worth another attempt.
    Failed { status: Option<u16>, failure: String, retry_after: Option<TimeDelta> },
    /// Another attempt would end the same.
    Refused { status: Option<u16>, failure: String },
}

impl Receiver {
    /// Makes one attempt. It ends within seconds, one way or the other.
    pub async fn deliver(&self, id: Uuid, topic: &str, notice: &Notice) -> Delivery {
        match self {
            Self::Email(email) => email.deliver(id, topic, notice).await,
            Self::Webhook(webhook) => webhook.deliver(id, notice).await,
        }
    }
}
