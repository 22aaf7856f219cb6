//! Times for people: one format everywhere, in UTC.

use chrono::{DateTime, Utc};

/// To the minute.
pub fn minute(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M UTC").to_string()
}
