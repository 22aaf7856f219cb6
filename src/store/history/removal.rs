//! What retention removes, and how much of it there was.

use chrono::{DateTime, Utc};

/// What is old enough to go.
#[derive(Debug, Clone)]
pub struct Old<'a> {
    /// Windows that ended before this, and all that is as old.
    pub windows: DateTime<Utc>,
    /// Buckets of these jobs that end before this: no window needs them any more.
    pub buckets: DateTime<Utc>,
    pub jobs: &'a [String],
    /// Of each of these jobs: of rolling windows that ended before this one a day stays.
    pub rolling: &'a [DateTime<Utc>],
}

/// What one round removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    pub rows: u64,
    /// There may be more of the kind.
    pub more: bool,
}

impl Removed {
    /// So many of a statement that removes `most` at once.
    pub(crate) fn of(rows: u64, most: i64) -> Self {
        Self { rows, more: rows >= most.unsigned_abs() }
    }
}
