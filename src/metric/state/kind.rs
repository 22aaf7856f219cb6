//! The histograms that buckets may keep.

use super::{histogram, score};
use crate::metric::confusion;
use crate::metric::task::Task;

/// One histogram of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HistogramKind {
    /// |e| of pairs, in the target unit.
    Errors,
    /// Seconds from event to label.
    Latency,
    /// Scores of pairs with a positive label.
    Positives,
    /// Scores of pairs with a negative label.
    Negatives,
    /// Scores of all predictions, labeled or not.
    Scores,
    /// Predicted and actual classes of pairs.
    Confusion,
}

/// All kinds, in the order of their columns.
pub const KINDS: [HistogramKind; 6] = [
    HistogramKind::Errors,
    HistogramKind::Latency,
    HistogramKind::Positives,
    HistogramKind::Negatives,
    HistogramKind::Scores,
    HistogramKind::Confusion,
];

impl HistogramKind {
    /// Its name: columns of the bucket table are `<name>_bins` and `<name>_counts`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Errors => "error",
            Self::Latency => "latency",
            Self::Positives => "positive",
            Self::Negatives => "negative",
            Self::Scores => "score",
            Self::Confusion => "confusion",
        }
    }

    /// Returns the SQL for the bin of a row: see [`super::Sum::row_sql`] for its columns. `latency` is the seconds from event to
    /// label of a pair. Null where the row is not in the histogram.
    pub fn bin_sql(self, task: &Task) -> String {
        let scores = |score: &str| score::bin_sql(score, task);
        match self {
            Self::Errors => histogram::bin_sql("abs(q.e)"),
            Self::Latency => histogram::bin_sql("q.latency"),
            Self::Positives => format!("case when q.a = 1 then {} end", scores("q.p")),
            Self::Negatives => format!("case when q.a = 0 then {} end", scores("q.p")),
            Self::Scores => format!("case when q.v is not null then {} end", scores("q.v")),
            Self::Confusion => confusion::bin_sql("q.p", "q.a"),
        }
    }
}

/// The histograms that a job keeps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Histograms([bool; KINDS.len()]);

impl Histograms {
    /// True if it keeps one of a kind.
    pub fn has(self, kind: HistogramKind) -> bool {
        self.0[kind as usize]
    }

    /// The kinds that it keeps, in order.
    pub fn kinds(self) -> impl Iterator<Item = HistogramKind> {
        KINDS.into_iter().filter(move |kind| self.has(*kind))
    }

    /// Their names in the bucket table.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        self.kinds().map(HistogramKind::name)
    }
}

impl FromIterator<HistogramKind> for Histograms {
    fn from_iter<I: IntoIterator<Item = HistogramKind>>(kinds: I) -> Self {
        let mut kept = Self::default();
        for kind in kinds {
            kept.0[kind as usize] = true;
        }
        kept
    }
}
