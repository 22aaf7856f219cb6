//! Loads the history that rules are replayed over.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;

use super::fetch;
use crate::domain::target::Target;
use crate::domain::window::{Slice, Window};
use crate::evaluate::history::{History, Revision};
use crate::plan::PlannedJob;
use crate::plan::rule::{Limits, Rule};
use crate::store::history::replay as store;
use crate::store::history::replay::SeriesQuery;

/// Loads the windows that end within a range, with everything that rules compare them with.
pub async fn load(
    connection: &mut PgConnection,
    job: &PlannedJob,
    rules: &[&Rule],
    range: &Range<DateTime<Utc>>,
) -> sqlx::Result<History> {
    let tests = || rules.iter().flat_map(|rule| rule.when.tests());
    let mut names: BTreeSet<&str> = tests().map(|test| test.window.as_str()).collect();
    names.extend(rules.iter().map(|rule| rule.window.as_str()));
    let mut history = History::default();
    for name in names {
        let Some(window) = job.windows.all.iter().find(|window| window.name == *name) else { continue };
        let reach = tests().filter(|test| test.window == name).map(|test| reach(&test.limits, window)).max();
        let asked = SeriesQuery {
            job: &job.name,
            window: name,
            // Load one more window length: for other windows the most recent is used.
            from: range.start - reach.unwrap_or_default() - window.longest() * 2,
            until: range.end,
            all_cohorts: rules.iter().any(|rule| rule.cohorts != crate::plan::rule::CohortChoice::All),
        };
        store::each(connection, asked, |row| {
            let target = Target { cohort: row.cohort, model_version: row.model_version };
            let slice = Slice { start: row.window_start, end: row.window_end };
            history.push(
                name,
                target,
                (slice, row.settled_at),
                Revision { as_of: row.as_of, sample: Arc::new(fetch::sample(&row.sample)) },
            );
        })
        .await?;
    }
    for baseline in store::validation(connection, &job.name).await? {
        let target = Target { cohort: baseline.cohort, model_version: baseline.model_version };
        history.validation.insert((baseline.metric, target), baseline.value);
    }
    history.incidents = incidents(connection, job, range.end).await?;
    Ok(history)
}

/// Loads the incidents that users annotated for a job. One that has not ended lasts until `now`.
pub async fn incidents(
    connection: &mut PgConnection,
    job: &PlannedJob,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<Slice>> {
    let rows = store::incidents(connection, &job.name).await?;
    Ok(rows.into_iter().map(|(start, end)| Slice { start, end: end.unwrap_or(now.max(start)) }).collect())
}

fn reach(limits: &Limits, window: &Window) -> TimeDelta {
    match limits {
        Limits::Fixed(_) => TimeDelta::zero(),
        Limits::Relative { baseline, .. } => baseline.reach(window),
    }
}
