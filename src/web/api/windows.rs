//! One window with all its metrics, and one metric of all cohorts.

use std::sync::Arc;

use axum::extract::{Path, State};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;

use super::call::{Answer, Call, file, finite, json};
use super::csv::{self, Cell};
use super::parameter::{AS_OF, COHORT, FROM, METRIC, Parameter, TO, VERSION, WINDOW};
use super::types::{CohortEntry, Window, WindowMetric};
use crate::store::read::cohort_values::{self as read, CohortRow, CohortSelector};
use crate::store::read::series as series_read;
use crate::store::read::window::{self, WindowKey};
use crate::text::links::{Links, instant};
use crate::web::Shared;
use crate::web::error::PageError;
use crate::web::reading;
use crate::web::selection;

pub(super) const OF_WINDOW: &[Parameter] = &[COHORT, VERSION, AS_OF];
pub(super) const OF_COHORTS: &[Parameter] = &[WINDOW, METRIC, VERSION, FROM, TO, AS_OF];

const COLUMNS: [&str; 12] = [
    "cohort",
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
    "share",
];

/// Most values of an answer.
const MOST_VALUES: usize = 50_000;

pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    Path((job, kind, end)): Path<(String, String, String)>,
    call: Call,
) -> Answer {
    call.answer(&shared, OF_WINDOW, Some(&job), async |connection| {
        let about = selection::job(connection, &job).await?.about;
        let kinds = about.windows.iter().map(|window| window.name.as_str());
        let window = selection::known(&kind, kinds, "window")?;
        let wrong = || PageError::NotFound("The end of a window is a time such as 2026-11-20T09:30:00Z.".to_owned());
        let end = DateTime::parse_from_rfc3339(&end).map_err(|_| wrong())?.to_utc();
        let key = WindowKey {
            job: job.clone(),
            window,
            end,
            cohort: selection::cohort(&call.params)?,
            version: call.params.get("version").map(str::to_owned),
            as_of: call.params.time("as_of", Utc::now())?,
        };
        json(&read_window(connection, key, &shared.links.clone().unwrap_or_default()).await?)
    })
    .await
}

async fn read_window(connection: &mut PgConnection, key: WindowKey, links: &Links) -> Result<Window, PageError> {
    let rows = reading::all(connection, async |c| window::metrics(c, &key).await).await?;
    let Some(first) = rows.first() else {
        return Err(PageError::NotFound("There is no such window of this cohort and version.".to_owned()));
    };
    Ok(Window {
        url: links.window(&key.job, &key.window, key.end),
        status: first.status.clone(),
        revision: first.revision,
        labeled: first.labeled,
        predictions: first.predictions,
        computed_at: first.computed_at,
        job: key.job,
        window: key.window,
        window_end: key.end,
        cohort: key.cohort,
        version: key.version,
        metrics: rows
            .into_iter()
            .map(|row| WindowMetric {
                metric: row.metric,
                value: finite(row.value),
                ci_low: finite(row.ci_low),
                ci_high: finite(row.ci_high),
                first_reported: finite(row.first_value),
                first_ci_low: finite(row.first_ci_low),
                first_ci_high: finite(row.first_ci_high),
                first_labeled: row.first_labeled,
            })
            .collect(),
    })
}

pub(super) async fn cohorts(State(shared): State<Arc<Shared>>, Path(job): Path<String>, call: Call) -> Answer {
    call.answer(&shared, OF_COHORTS, Some(&job), async |connection| {
        json(&cohort_entries(connection, &job, &call).await?)
    })
    .await
}

pub(super) async fn cohorts_csv(State(shared): State<Arc<Shared>>, Path(job): Path<String>, call: Call) -> Answer {
    call.answer(&shared, OF_COHORTS, Some(&job), async |connection| {
        let entries = cohort_entries(connection, &job, &call).await?;
        Ok(file("text/csv; charset=utf-8", csv::table(COLUMNS, entries.iter().map(cells))))
    })
    .await
}

/// Without `from`, the values of the newest window alone.
async fn cohort_entries(connection: &mut PgConnection, job: &str, call: &Call) -> Result<Vec<CohortEntry>, PageError> {
    let selected = selection::select(connection, job, &call.params).await?.of;
    let (mut from, mut to) = (selected.from, selected.to);
    if call.params.get("from").is_none() {
        let until = call.params.get("to").map(|_| to).or(selected.as_of);
        match series_read::newest(connection, (job, &selected.window), until, 1).await? {
            Some((first, last)) => (from, to) = (first - TimeDelta::milliseconds(1), last),
            None => return Ok(Vec::new()),
        }
    }
    let of = CohortSelector {
        job: selected.job,
        window: selected.window,
        metric: selected.metric,
        version: selected.version,
        from,
        to,
        as_of: selected.as_of,
    };
    let most = i64::try_from(MOST_VALUES).unwrap_or(i64::MAX);
    let rows = reading::all(connection, async |c| read::values(c, &of, most + 1).await).await?;
    if rows.len() > MOST_VALUES {
        let words =
            format!("The range has more than {MOST_VALUES} values, up to {}; choose a shorter one.", instant(to));
        return Err(PageError::BadRequest(words));
    }
    Ok(rows.into_iter().map(entry).collect())
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
fn entry(row: CohortRow) -> CohortEntry {
    CohortEntry {
        coverage: (row.predictions > 0).then(|| row.labeled as f64 / row.predictions as f64),
        cohort: row.cohort,
        window_start: row.window_start,
        window_end: row.window_end,
        value: finite(row.value),
        ci_low: finite(row.ci_low),
        ci_high: finite(row.ci_high),
        labeled: row.labeled,
        predictions: row.predictions,
        status: row.status,
        revision: row.revision,
        share: finite(row.share),
    }
}

fn cells(entry: &CohortEntry) -> [Cell; 12] {
    [
        entry.cohort.as_str().into(),
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
        entry.share.into(),
    ]
}
