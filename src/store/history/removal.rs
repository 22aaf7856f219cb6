//! Limits and results of one round of retention.

use chrono::{DateTime, Utc};

/// Age limits of one round.
#[derive(Debug, Clone)]
pub struct Old<'a> {
    /// Windows that ended before this, and everything else of that age.
    pub windows: DateTime<Utc>,
    /// Buckets of `jobs` that end before this: no window needs them any more.
    pub buckets: DateTime<Utc>,
    pub jobs: &'a [String],
    /// For each of `jobs`: rolling windows that ended before this are thinned to one a day.
    pub rolling: &'a [DateTime<Utc>],
}

/// Rows deleted in one round.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    pub rows: u64,
    /// True if more rows of this kind may remain.
    pub more: bool,
}

impl Removed {
    /// Result of a statement that deleted `rows` with a limit of `most`.
    pub(crate) fn of(rows: u64, most: i64) -> Self {
        Self { rows, more: rows >= most.unsigned_abs() }
    }
}
