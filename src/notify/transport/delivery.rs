//! Outcome of one delivery attempt.

use chrono::TimeDelta;

/// Outcome of a delivery attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// The receiver accepted it: 2xx, or the SMTP reply to the end of the data.
    Accepted { status: Option<u16> },
    /// Some recipients accepted it. The others refused it permanently (`is_final`), or are tried again.
    Partly { status: Option<u16>, failure: String, is_final: bool },
    /// Worth another attempt.
    Failed { status: Option<u16>, failure: String, retry_after: Option<TimeDelta> },
    /// Another attempt would fail the same way.
    Refused { status: Option<u16>, failure: String },
    /// The receiver was removed permanently and wants no more notifications.
    Gone { status: Option<u16>, failure: String },
}
