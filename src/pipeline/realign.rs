//! Keeps a single alignment in the history: after a change of time zone, days of the new zone replace those of the old.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::store::history::alignment::{self, Overlapped};
use crate::store::history::measurement::{self, Batch, Publisher};
use crate::warehouse::failure::RunError;
use crate::warehouse::windows::DueWindow;

/// Ends the measurements of windows that overlap these but begin or end elsewhere. Their last revision records the
/// removal, and earlier revisions stay. Returns the number of revisions written.
pub(super) async fn replace(
    connection: &mut PgConnection,
    publisher: Publisher,
    job: &str,
    windows: &[(i64, &DueWindow)],
) -> Result<usize, RunError> {
    let windows: Vec<&DueWindow> = windows.iter().map(|(_, window)| *window).collect();
    let old: BTreeMap<i64, DateTime<Utc>> =
        replaced(connection, job, &windows).await?.into_iter().map(|window| (window.id, window.end)).collect();
    let Some(batch) = Batch::new(old) else { return Ok(0) };
    Ok(measurement::publish(connection, publisher, &batch, &[]).await?.len())
}

/// Returns the stored windows that these would replace.
pub(super) async fn replaced(
    connection: &mut PgConnection,
    job: &str,
    windows: &[&DueWindow],
) -> Result<Vec<Overlapped>, RunError> {
    let names: Vec<String> = windows.iter().map(|window| window.name.clone()).collect();
    let starts: Vec<DateTime<Utc>> = windows.iter().map(|window| window.slice.start).collect();
    let ends: Vec<DateTime<Utc>> = windows.iter().map(|window| window.slice.end).collect();
    Ok(alignment::overlapped(connection, job, &names, &starts, &ends).await?)
}
