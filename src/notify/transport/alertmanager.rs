//! Alertmanager as a receiver, for those who have their routing there: alerts are posted to it, again and again while they fire.

use chrono::{TimeDelta, Utc};

use crate::notify::format;
use crate::notify::message::Notice;
use crate::notify::transport::delivery::Delivery;
use crate::notify::transport::http::Endpoint;

/// How many times `resend` an alert lasts there without being sent again: one or two may be lost.
const LASTS: i32 = 4;
/// Alerts in one request.
const MOST_ALERTS: usize = 5_000;

/// Where alerts are posted.
#[derive(Debug)]
pub struct AlertmanagerReceiver {
    /// With the path of its API.
    pub endpoint: Endpoint,
    /// How often what fires is sent again.
    pub resend: TimeDelta,
}

impl AlertmanagerReceiver {
    /// The path that alerts are posted to.
    pub const PATH: &str = "/api/v2/alerts";

    /// Makes one attempt.
    pub async fn deliver(&self, notice: Notice) -> Delivery {
        match format::posted(&notice.capped(MOST_ALERTS), Utc::now(), self.resend * LASTS) {
            Some(body) => self.endpoint.post(&[], body.to_string().into_bytes()).await,
            None => Delivery::Accepted { status: None },
        }
    }
}
