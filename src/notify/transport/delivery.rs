//! What one attempt to deliver came to.

use chrono::TimeDelta;

/// What an attempt came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// The receiver took it: 2xx, or the SMTP reply to the end of the data.
    Accepted { status: Option<u16> },
    /// Some took it. The others refused it for good, or are asked again.
    Partly { status: Option<u16>, failure: String, is_final: bool },
    /// Worth another attempt.
    Failed { status: Option<u16>, failure: String, retry_after: Option<TimeDelta> },
    /// Another attempt would end the same.
    Refused { status: Option<u16>, failure: String },
    /// The receiver is gone for good, and wants nothing more.
    Gone { status: Option<u16>, failure: String },
}
