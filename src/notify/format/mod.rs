//! Notifications in the format that a receiver expects.

mod alertmanager;
mod pagerduty;
mod slack;

use serde_json::{Value as Json, json};

pub use alertmanager::posted;

use crate::notify::message::Notice;

/// Format of a webhook body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Our own: all facts and the text.
    Trueup,
    /// As Alertmanager posts to its webhook receivers, version 4.
    Alertmanager,
    /// Events API v2.
    Pagerduty,
    /// Incoming webhooks.
    Slack,
}

/// Most alerts in a body, so that an alert storm stays within the size that receivers accept.
const MOST_ALERTS: usize = 100;

/// Builds the bodies of a webhook, usually one. Only PagerDuty needs `routing_key`. Empty if the format cannot express the
/// notification.
pub fn bodies(format: Format, notice: Notice, receiver: &str, routing_key: Option<&str>) -> Vec<Json> {
    let notice = notice.capped(MOST_ALERTS);
    match format {
        Format::Trueup => vec![json!(notice)],
        Format::Alertmanager => alertmanager::webhook(&notice, receiver).into_iter().collect(),
        Format::Pagerduty => pagerduty::events(&notice, routing_key.unwrap_or_default()),
        Format::Slack => vec![slack::message(&notice)],
    }
}
