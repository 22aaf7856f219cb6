//! Alertmanager as a receiver, for users who route there: alerts are posted to it repeatedly while they fire.

use chrono::{TimeDelta, Utc};

use crate::notify::format;
use crate::notify::message::Notice;
use crate::notify::transport::delivery::Delivery;
use crate::notify::transport::http::Endpoint;

/// Lifetime of a posted alert in multiples of `resend`, so that one or two posts may be lost.
const LASTS: i32 = 4;
/// Most alerts in one request.
const MOST_ALERTS: usize = 5_000;

/// An Alertmanager that alerts are posted to.
#[derive(Debug)]
pub struct AlertmanagerReceiver {
    /// Includes the path of the API.
    pub endpoint: Endpoint,
    /// Interval at which firing alerts are resent.
    pub resend: TimeDelta,
}

impl AlertmanagerReceiver {
    /// Path that alerts are posted to.
    pub const PATH: &str = "/api/v2/alerts";

    /// Makes one attempt.
    pub async fn deliver(&self, notice: Notice) -> Delivery {
        match format::posted(&notice.capped(MOST_ALERTS), Utc::now(), self.resend * LASTS) {
            Some(body) => self.endpoint.post(&[], body.to_string().into_bytes()).await,
            None => Delivery::Accepted { status: None },
        }
    }
}
