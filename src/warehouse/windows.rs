//! Third stage: buckets merged into windows.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use crate::domain::window::{Slice, floor};
use crate::metric::measurement::{Counts, Measurement};
use crate::metric::ranking::Ranking;
use crate::metric::state::kind::HistogramKind;
use crate::metric::{ExactQuantiles, MergedHistograms};
use crate::plan::source::SourceFacts;
use crate::plan::{PlannedJob, rollup};
use crate::sql::{PlannedSql, window};
use crate::warehouse::finish::{self, Merged};
use crate::warehouse::session::{self, Bind};

/// A window to measure.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DueWindow {
    pub name: String,
    pub slice: Slice,
}

/// Measures windows: one measurement per cohort and version that has predictions. `as_of` determines which labels are due.
pub async fn measure(
    connection: &mut PgConnection,
    job: &PlannedJob,
    facts: &SourceFacts,
    plan_id: i64,
    as_of: DateTime<Utc>,
    windows: &[DueWindow],
) -> sqlx::Result<Vec<Measurement>> {
    let parts = Parts::of(job, as_of, windows);
    let binds = [
        Bind::Id(plan_id),
        Bind::Numbers(&parts.numbers),
        Bind::Numbers(&parts.grains),
        Bind::Times(&parts.starts),
        Bind::Times(&parts.ends),
        Bind::Flags(&parts.due),
    ];
    let kept = job.histograms();
    let mut histograms: HashMap<Key, MergedHistograms> = HashMap::new();
    for kind in kept.kinds() {
        for (key, bins) in bins_of(connection, job, kind, &binds).await? {
            histograms.entry(key).or_default().insert(kind, bins.into_iter());
        }
    }
    let pairs = FromPairs { job, facts, plan_id, as_of, windows, parts: &parts };
    let wanted = |kind| job.parameters.exact && kept.has(kind);
    let mut exact = if wanted(HistogramKind::Errors) { pairs.quantiles(connection).await? } else { HashMap::new() };
    let mut rankings =
        if wanted(HistogramKind::Positives) { pairs.rankings(connection).await? } else { HashMap::new() };
    let rows = session::fetch(connection, &window::merge(job), &binds).await?;
    let merged: Vec<Merged> = rows
        .iter()
        .map(|row| {
            let key = Key::of(row)?;
            let histograms = histograms.remove(&key).unwrap_or_default();
            let (exact, exact_ranking) = (exact.remove(&key), rankings.remove(&key));
            Ok(Merged { histograms, exact, exact_ranking, ..merged(job, windows, row, key)? })
        })
        .collect::<sqlx::Result<_>>()?;
    Ok(finish::finish(job, &merged))
}

/// Windows split into runs of whole buckets, as parallel arrays.
#[derive(Default)]
struct Parts {
    numbers: Vec<i32>,
    grains: Vec<i32>,
    starts: Vec<DateTime<Utc>>,
    ends: Vec<DateTime<Utc>>,
    due: Vec<bool>,
}

impl Parts {
    fn of(job: &PlannedJob, as_of: DateTime<Utc>, windows: &[DueWindow]) -> Self {
        let grains = rollup::grains(&job.windows);
        // Labels of events before this time are due. Parts end there, so that each is due entirely or not at all.
        let due_until = floor(as_of - job.windows.label_due, job.windows.bucket);
        let mut parts = Self::default();
        for (number, window) in (0..).zip(windows) {
            let Slice { start, end } = window.slice;
            let split = due_until.clamp(start, end);
            for (slice, due) in [(Slice { start, end: split }, true), (Slice { start: split, end }, false)] {
                for part in rollup::cover(slice, &grains) {
                    parts.numbers.push(number);
                    parts.grains.push(part.grain);
                    parts.starts.push(part.start);
                    parts.ends.push(part.end);
                    parts.due.push(due);
                }
            }
        }
        parts
    }
}

/// Key of a row of the merging statements.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    number: i32,
    cohort_set: i16,
    /// `None`: the rest outside the top cohorts.
    values: Option<Vec<Option<String>>>,
    model_version: Option<String>,
}

impl Key {
    fn of(row: &PgRow) -> sqlx::Result<Self> {
        let values: Option<Vec<Option<String>>> = row.try_get("cohort_values")?;
        let other: bool = row.try_get("is_other")?;
        Ok(Self {
            number: row.try_get("no")?,
            cohort_set: row.try_get("cohort_set")?,
            values: values.filter(|_| !other),
            model_version: row.try_get("model_version")?,
        })
    }
}

/// Loads bins and counts of the histograms of one kind of the same windows.
async fn bins_of(
    connection: &mut PgConnection,
    job: &PlannedJob,
    kind: HistogramKind,
    binds: &[Bind<'_>],
) -> sqlx::Result<Vec<(Key, Vec<(i64, i64)>)>> {
    let rows = session::fetch(connection, &window::merge_histogram(job, kind), binds).await?;
    rows.iter()
        .map(|row| {
            let bins: Vec<i64> = row.try_get("bins")?;
            let counts: Vec<i64> = row.try_get("counts")?;
            Ok((Key::of(row)?, bins.into_iter().zip(counts).collect()))
        })
        .collect()
}

/// Reads all pairs of the windows from the source, for values that no histogram gives.
struct FromPairs<'a> {
    job: &'a PlannedJob,
    facts: &'a SourceFacts,
    plan_id: i64,
    as_of: DateTime<Utc>,
    windows: &'a [DueWindow],
    parts: &'a Parts,
}

impl FromPairs<'_> {
    async fn rows(&self, connection: &mut PgConnection, sql: &PlannedSql) -> sqlx::Result<Vec<PgRow>> {
        let starts: Vec<DateTime<Utc>> = self.windows.iter().map(|window| window.slice.start).collect();
        let ends: Vec<DateTime<Utc>> = self.windows.iter().map(|window| window.slice.end).collect();
        let numbers: Vec<i32> = (0..).take(self.windows.len()).collect();
        let (Some(first), Some(last)) = (starts.iter().min(), ends.iter().max()) else { return Ok(Vec::new()) };
        let binds = [
            Bind::Id(self.plan_id),
            Bind::Time(self.as_of),
            Bind::Time(*first),
            Bind::Time(*last),
            Bind::Numbers(&self.parts.numbers),
            Bind::Numbers(&self.parts.grains),
            Bind::Times(&self.parts.starts),
            Bind::Times(&self.parts.ends),
            Bind::Flags(&self.parts.due),
            Bind::Numbers(&numbers),
            Bind::Times(&starts),
            Bind::Times(&ends),
        ];
        session::fetch(connection, sql, &binds).await
    }

    async fn quantiles(&self, connection: &mut PgConnection) -> sqlx::Result<HashMap<Key, ExactQuantiles>> {
        let rows = self.rows(connection, &window::exact_quantiles(self.job, self.facts)).await?;
        rows.iter()
            .map(|row| {
                let exact = ExactQuantiles {
                    abs_error: row.try_get("abs_error")?,
                    squared_error: row.try_get("squared_error")?,
                };
                Ok((Key::of(row)?, exact))
            })
            .collect()
    }

    async fn rankings(&self, connection: &mut PgConnection) -> sqlx::Result<HashMap<Key, Ranking>> {
        let rows = self.rows(connection, &window::exact_scores(self.job, self.facts)).await?;
        rows.iter()
            .map(|row| {
                let (positives, negatives): (Vec<i64>, Vec<i64>) =
                    (row.try_get("positives")?, row.try_get("negatives")?);
                let scores: Vec<f64> = row.try_get("scores")?;
                let labels = positives.into_iter().zip(negatives);
                let scores = scores.into_iter().zip(labels).map(|(score, (one, zero))| (score, one, zero));
                Ok((Key::of(row)?, Ranking::exact(scores)))
            })
            .collect()
    }
}

fn merged(job: &PlannedJob, windows: &[DueWindow], row: &PgRow, key: Key) -> sqlx::Result<Merged> {
    let window = usize::try_from(key.number).ok().and_then(|number| windows.get(number)).ok_or_else(|| {
        sqlx::Error::Protocol(format!("the server returned window {}, which was not requested", key.number))
    })?;
    Ok(Merged {
        window: window.name.clone(),
        slice: window.slice,
        cohort: job.cohort(key.cohort_set, key.values),
        model_version: key.model_version,
        counts: Counts {
            predictions: row.try_get("predictions")?,
            labeled: row.try_get("labeled")?,
            excluded: row.try_get("excluded")?,
            duplicates: row.try_get("duplicates")?,
            ambiguous: row.try_get("ambiguous")?,
        },
        sums: row.try_get("sums")?,
        histograms: MergedHistograms::default(),
        exact: None,
        exact_ranking: None,
        due: (row.try_get("due")?, row.try_get("received")?),
        digest: row.try_get("digest")?,
    })
}
