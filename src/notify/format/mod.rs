//! A message in the shape that a receiver expects.

mod alertmanager;
mod pagerduty;
mod slack;

use serde_json::{Value as Json, json};

pub use alertmanager::posted;

use crate::notify::message::Notice;

/// Shape of a webhook body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Our own: every fact, and the words.
    Trueup,
    /// As Alertmanager posts to its webhook receivers, version 4.
    Alertmanager,
    /// Events API v2.
    Pagerduty,
    /// Incoming webhooks.
    Slack,
}

/// Alerts in a body: one of a storm stays within what receivers take.
const MOST_ALERTS: usize = 100;

/// The bodies of a webhook, mostly one. `routing_key` is needed by PagerDuty only. None: the format has no word for such a
/// message.
pub fn bodies(format: Format, notice: Notice, receiver: &str, routing_key: Option<&str>) -> Vec<Json> {
    let notice = notice.capped(MOST_ALERTS);
    match format {
        Format::Trueup => vec![json!(notice)],
        Format::Alertmanager => alertmanager::webhook(&notice, receiver).into_iter().collect(),
        Format::Pagerduty => pagerduty::events(&notice, routing_key.unwrap_or_default()),
        Format::Slack => vec![slack::message(&notice)],
    }
}
