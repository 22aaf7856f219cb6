//! What the history said, written down as it was said: nothing of it may change afterwards.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::Row;

use super::oracle::rows;
use crate::support::world::World;

/// Name, end, cohort and version of a window.
type Key = (String, DateTime<Utc>, String, Option<String>);
/// Pairs and their mean squared error.
type Said = (i64, Option<f64>);

/// What was said so far.
#[derive(Default)]
pub(super) struct Record {
    first_reports: BTreeMap<Key, Said>,
    /// When the history was last looked at, and what it said then.
    believed: Option<(DateTime<Utc>, BTreeMap<Key, Said>)>,
}

/// Revisions that do not follow each other: a gap, two that count now, or a time at which neither or both counted.
const BROKEN: &str = "select count(*) from (
    select revision, superseded_as_of, row_number() over chain as place, lead(as_of) over chain as next
    from trueup.window_revisions
    window chain as (partition by window_name, window_end, cohort, model_version order by revision)
) as r where revision <> place or superseded_as_of is distinct from next";

impl Record {
    /// Compares what is said of the past with what was said, and writes down what is said as of `now`. Returns how many
    /// measurements were believed at the last look.
    pub(super) async fn check(&mut self, world: &World, now: DateTime<Utc>, context: &str) -> u64 {
        assert_eq!(world.db.scalar::<i64>(BROKEN).await, 0, "{context}: revisions that do not follow each other");
        let firsts = said(world, "select window_name, window_end, cohort, model_version, labeled, coalesce(mse, (extra ->> 'brier')::float8) from trueup.window_revisions where first_reported").await;
        for (key, known) in &self.first_reports {
            assert_eq!(firsts.get(key), Some(known), "{context}: what was reported first of {key:?}");
        }
        self.first_reports = firsts;
        let mut compared = 0;
        if let Some((then, believed)) = &self.believed {
            let sql = format!(
                "select window_name, window_end, cohort, model_version, labeled, value from trueup.metric_history_as_of('{then}') where metric in ('mse', 'brier')"
            );
            assert_eq!(&said(world, &sql).await, believed, "{context}: what was believed at {then}");
            compared = believed.len() as u64;
        }
        let sql = "select window_name, window_end, cohort, model_version, labeled, coalesce(mse, (extra ->> 'brier')::float8) from trueup.window_history";
        self.believed = Some((now, said(world, sql).await));
        compared
    }
}

async fn said(world: &World, sql: &str) -> BTreeMap<Key, Said> {
    let key = |row: &sqlx::postgres::PgRow| (row.get(0), row.get(1), row.get(2), row.get(3));
    rows(world, sql).await.iter().map(|row| (key(row), (row.get(4), row.get(5)))).collect()
}
