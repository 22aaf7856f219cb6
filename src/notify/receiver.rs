//! Receivers of notifications.

use crate::notify::message::Notice;
use crate::notify::template::Templates;
use crate::notify::transport::alertmanager::AlertmanagerReceiver;
use crate::notify::transport::email::EmailReceiver;
use crate::notify::transport::webhook::WebhookReceiver;

/// Reserved name of the receiver of heartbeats.
pub const WATCHDOG: &str = "watchdog";

/// A transport with the templates of its users.
#[derive(Debug)]
pub struct Receiver {
    pub transport: Transport,
    pub templates: Templates,
}

/// Transport of notifications.
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
    /// Connects and sends nothing. The error is in our words.
    pub async fn reach(&self) -> Result<(), String> {
        match &self.transport {
            Transport::Email(email) => email.reach().await,
            Transport::Webhook(webhook) => webhook.endpoint.reach().await,
            Transport::Alertmanager(alertmanager) => alertmanager.endpoint.reach().await,
        }
    }

    /// Fills in the texts of a notification from its templates.
    pub fn worded(&self, mut notice: Notice) -> Notice {
        self.templates.fill(&mut notice);
        notice
    }
}
