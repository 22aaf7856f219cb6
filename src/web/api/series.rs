//! One metric through time, as JSON, CSV, SVG and PNG.

use std::sync::Arc;

use axum::extract::{Path, State};
use sqlx::PgConnection;

use super::call::{Answer, Call, file, finite, json};
use super::csv::{self, Cell};
use super::parameter::SELECTION;
use super::types::SeriesEntry;
use crate::chart::{self, Missing, Size};
use crate::web::Shared;
use crate::web::error::PageError;
use crate::web::selection::{self, MOST_WINDOWS, Selection};
use crate::web::view::series::{self, Entry, Rows};

const COLUMNS: [&str; 16] = [
    "window_start",
    "window_end",
    "value",
    "ci_low",
    "ci_high",
    "labeled",
    "predictions",
    "coverage",
    "status",
    "revision",
    "first_reported",
    "limit",
    "baseline",
    "verdict",
    "later_verdict",
    "missing",
];

pub(super) async fn entries(State(shared): State<Arc<Shared>>, Path(job): Path<String>, call: Call) -> Answer {
    call.answer(&shared, SELECTION, Some(&job), async |connection| json(&read(connection, &job, &call).await?)).await
}

pub(super) async fn table(State(shared): State<Arc<Shared>>, Path(job): Path<String>, call: Call) -> Answer {
    call.answer(&shared, SELECTION, Some(&job), async |connection| {
        let entries = read(connection, &job, &call).await?;
        Ok(file("text/csv; charset=utf-8", csv::table(COLUMNS, entries.iter().map(cells))))
    })
    .await
}

pub(super) async fn drawing(State(shared): State<Arc<Shared>>, Path(job): Path<String>, call: Call) -> Answer {
    call.answer(&shared, SELECTION, Some(&job), async |connection| {
        let (selection, rows) = select(connection, &job, &call).await?;
        let of = &selection.of;
        let metric = selection.about().metric(&of.metric);
        let unit = metric.map_or(String::new(), |metric| metric.unit.trim().to_owned());
        let label = format!("{}: {} of {}, {}", of.job, of.metric, of.window, of.cohort);
        let size = Size { height: 260, zone: shared.zone, unit, label };
        let drawing = chart::svg::standalone(&selection::chart(&selection, &rows, shared.zone), &size);
        Ok(file("image/svg+xml", drawing.to_string()))
    })
    .await
}

pub(super) async fn picture(State(shared): State<Arc<Shared>>, Path(job): Path<String>, call: Call) -> Answer {
    call.answer(&shared, SELECTION, Some(&job), async |connection| {
        let (selection, rows) = select(connection, &job, &call).await?;
        let picture = chart::png::series(&selection::chart(&selection, &rows, shared.zone));
        let none = || PageError::NotFound("Fewer than two windows of this range have a value to draw.".to_owned());
        Ok(file("image/png", picture.ok_or_else(none)?))
    })
    .await
}

async fn read(connection: &mut PgConnection, job: &str, call: &Call) -> Result<Vec<SeriesEntry>, PageError> {
    let (selection, rows) = select(connection, job, call).await?;
    Ok(series::entries(&selection.of, selection.about(), &rows).iter().map(entry).collect())
}

async fn select(connection: &mut PgConnection, job: &str, call: &Call) -> Result<(Selection, Rows), PageError> {
    let selection = selection::select(connection, job, &call.params).await?;
    let rows = selection::rows(connection, &selection).await?;
    if rows.revisions.len() > 2 * MOST_WINDOWS {
        let words = format!("The range has more than {MOST_WINDOWS} windows; choose a shorter one or longer windows.");
        return Err(PageError::BadRequest(words));
    }
    Ok((selection, rows))
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
fn entry(entry: &Entry) -> SeriesEntry {
    let status = match (entry.revision, entry.is_final) {
        (0, _) => "missing",
        (_, true) => "final",
        (_, false) => "provisional",
    };
    SeriesEntry {
        window_start: entry.start,
        window_end: entry.end,
        value: finite(entry.value),
        ci_low: finite(entry.ci_low),
        ci_high: finite(entry.ci_high),
        labeled: entry.labeled,
        predictions: entry.predictions,
        coverage: (entry.predictions > 0).then(|| entry.labeled as f64 / entry.predictions as f64),
        status: status.to_owned(),
        revision: entry.revision,
        first_reported: finite(entry.first_reported),
        limit: finite(entry.limit),
        baseline: finite(entry.baseline),
        verdict: entry.verdict.map(|verdict| verdict.as_str().to_owned()),
        later_verdict: entry.later_verdict.map(|verdict| verdict.as_str().to_owned()),
        missing: entry.missing.map(|missing| Missing::label(missing).to_owned()),
    }
}

fn cells(entry: &SeriesEntry) -> [Cell; 16] {
    [
        entry.window_start.into(),
        entry.window_end.into(),
        entry.value.into(),
        entry.ci_low.into(),
        entry.ci_high.into(),
        entry.labeled.into(),
        entry.predictions.into(),
        entry.coverage.into(),
        entry.status.as_str().into(),
        entry.revision.into(),
        entry.first_reported.into(),
        entry.limit.into(),
        entry.baseline.into(),
        entry.verdict.as_deref().into(),
        entry.later_verdict.as_deref().into(),
        entry.missing.as_deref().into(),
    ]
}
