//! The alerts of one rule as a table, one line for each cohort.

use chrono::{DateTime, Utc};

use super::{AlertFacts, MOST_NAMED, Section, limit};
use crate::text::line::{clipped, single_line};
use crate::text::number::{amount, percent};
use crate::text::time::minute;

/// Longest cohort name in a message: it comes from data and may be of any length.
pub(super) const LONGEST_NAME: usize = 200;

/// Several alerts with values. Columns that no alert has a value for are left out.
pub(super) struct AlertTable {
    /// Titles of the columns after the cohort.
    pub columns: Vec<&'static str>,
    pub rows: Vec<AlertRow>,
    /// The window that all rows share, and the notes of single ones.
    pub remarks: Vec<String>,
}

/// One alert.
pub(super) struct AlertRow {
    /// Cohort, version and state.
    pub name: String,
    /// Page of the alert.
    pub url: Option<String>,
    /// One cell for each column; empty where the alert has no such value.
    pub cells: Vec<String>,
}

/// Title of a column, and its cell for an alert.
type Column = (&'static str, fn(&AlertFacts) -> Option<String>);

const COLUMNS: [Column; 5] = [
    ("value", |alert| Some(amount(alert.value, &alert.unit))),
    ("limit", |alert| alert.limit.map(|_| limit(alert))),
    ("samples", |alert| Some(format!("{} of {}", alert.labeled, alert.predictions))),
    ("share of error", |alert| alert.squared_error_share.map(percent)),
    ("since (UTC)", |alert| alert.since.map(|at| at.format("%Y-%m-%d %H:%M").to_string())),
];

impl Section {
    /// Returns the table of the named alerts. `None` for a single alert, and for alerts about runs, which have no values.
    pub(super) fn table(&self) -> Option<AlertTable> {
        let named = &self.alerts[..self.alerts.len().min(MOST_NAMED)];
        if self.alerts.len() < 2 || named.iter().any(|alert| alert.operation_note().is_some()) {
            return None;
        }
        let used = || COLUMNS.iter().filter(|(_, cell)| named.iter().any(|alert| cell(alert).is_some()));
        let row = |alert: &AlertFacts| AlertRow {
            name: single_line(&clipped(&alert.name(), LONGEST_NAME)),
            url: alert.url.clone(),
            cells: used().map(|(_, cell)| single_line(&cell(alert).unwrap_or_default())).collect(),
        };
        let columns = used().map(|(title, _)| *title).collect();
        Some(AlertTable { columns, rows: named.iter().map(row).collect(), remarks: remarks(named) })
    }
}

/// Returns the window that all alerts share, and the notes of single alerts.
fn remarks(named: &[AlertFacts]) -> Vec<String> {
    let window = |alert: &AlertFacts| -> (DateTime<Utc>, DateTime<Utc>, String) {
        (alert.window_start, alert.window_end, alert.status.clone())
    };
    let first = named.first().map(window).filter(|first| named.iter().all(|alert| window(alert) == *first));
    let shared = first.map(|(start, end, status)| format!("Window {} to {} ({status})", minute(start), minute(end)));
    let notes = named.iter().filter_map(|alert| Some(format!("{}: {}", alert.target(), alert.note.as_deref()?)));
    shared.into_iter().chain(notes).map(|remark| single_line(&clipped(&remark, 2 * LONGEST_NAME))).collect()
}

impl AlertFacts {
    /// Caption, and the user who acknowledged the alert.
    fn name(&self) -> String {
        match &self.acknowledged_by {
            Some(who) => format!("{}, acknowledged by {who}", self.caption()),
            None => self.caption(),
        }
    }
}
