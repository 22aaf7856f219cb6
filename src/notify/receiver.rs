//! A receiver, and what one attempt to deliver to it came to.

use crate::notify::message::Notice;
use crate::notify::template::Templates;
use crate::notify::transport::alertmanager::AlertmanagerReceiver;
use crate::notify::transport::email::EmailReceiver;
use crate::notify::transport::webhook::WebhookReceiver;

/// Name of the receiver that heartbeats go to; no other may have it.
pub const WATCHDOG: &str = "watchdog";

/// Somewhere to send to, with the words that its users want.
#[derive(Debug)]
pub struct Receiver {
    pub transport: Transport,
    pub templates: Templates,
}

/// How it gets there.
#[derive(Debug)]
pub enum Transport {
    Email(Box<EmailReceiver>),
    Webhook(Box<WebhookReceiver>),
    Alertmanager(Box<AlertmanagerReceiver>),
}

impl From<Transport> for Receiver {
    fn from(transport: Transport) -> Self {
        Self { transport, templates: Templates::default() }
    }
}

impl Receiver {
    /// Connects and sends nothing, or says in our words why not.
    pub async fn reach(&self) -> Result<(), String> {
        match &self.transport {
            Transport::Email(email) => email.reach().await,
            Transport::Webhook(webhook) => webhook.endpoint.reach().await,
            Transport::Alertmanager(alertmanager) => alertmanager.endpoint.reach().await,
        }
    }

    /// A message in the words that its users want.
    pub fn worded(&self, mut notice: Notice) -> Notice {
        self.templates.fill(&mut notice);
        notice
    }
}
