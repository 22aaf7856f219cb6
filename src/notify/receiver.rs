//! Receivers of notifications.

use crate::notify::message::Notice;
use crate::notify::template::Templates;
use crate::notify::transport::alertmanager::AlertmanagerReceiver;
use crate::notify::transport::email::EmailReceiver;
use crate::notify::transport::webhook::WebhookReceiver;
use crate::text::links::Links;

/// Reserved name of the receiver of heartbeats.
pub const WATCHDOG: &str = "watchdog";

/// A transport with the templates of its users and the links that its messages carry.
#[derive(Debug)]
pub struct Receiver {
    pub transport: Transport,
    pub templates: Templates,
    /// Addresses of the pages. `None`: messages carry no links.
    pub links: Option<Links>,
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
        Self { transport, templates: Templates::default(), links: None }
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

    /// Fills in the links and the texts of a notification.
    pub fn worded(&self, mut notice: Notice) -> Notice {
        if let Some(links) = &self.links {
            notice.link(links);
        }
        self.templates.fill(&mut notice);
        notice
    }
}
