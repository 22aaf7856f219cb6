//! Profile of a job's data, beyond its column types.

use sqlx::{PgConnection, Row as _};

use crate::plan::PlannedJob;
use crate::plan::source::Relation;
use crate::sql::sample;
use crate::warehouse::session;

/// Profile of a job's data, beyond its column types.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Habits {
    /// Seconds until 95 % of the labels had arrived.
    pub label_latency: Option<f64>,
    /// Number of values of each cohort dimension, in the job's order, each counted up to `MOST_VALUES` + 1.
    pub cardinality: Vec<i64>,
    /// Planner estimates of the rows of predictions and of labels. `None` if unknown, or for a query.
    pub rows: (Option<f64>, Option<f64>),
    /// Predictions and labels that a run reads: those that arrived between two runs, and in the overlap. `None` if
    /// indexes for it are missing.
    pub each_run: Option<(i64, i64)>,
}

/// More values than this indicate that a column is not meant as a cohort dimension.
pub const MOST_VALUES: u32 = 1_000;

/// Profiles the newest predictions.
pub async fn data_profile(connection: &mut PgConnection, job: &PlannedJob, indexed: bool) -> sqlx::Result<Habits> {
    let mut data_profile = Habits::default();
    if let Some(sql) = sample::label_latency(job) {
        let rows = session::fetch(connection, &sql, &[]).await?;
        data_profile.label_latency = rows.first().map(|row| row.try_get("latency")).transpose()?.flatten();
    }
    if let Some(sql) = sample::cardinality(job, MOST_VALUES) {
        let rows = session::fetch(connection, &sql, &[]).await?;
        data_profile.cardinality = rows.first().map(|row| row.try_get("values")).transpose()?.unwrap_or_default();
    }
    data_profile.rows =
        (estimate(connection, &job.predictions.relation).await?, estimate(connection, &job.labels.relation).await?);
    let span = job.schedule.cadence.usual_gap() + job.schedule.overlap;
    if let Some([predictions, labels]) = sample::arrivals(job, span.num_seconds()).filter(|_| indexed) {
        let mut counts = Vec::new();
        for sql in [predictions, labels] {
            let rows = session::fetch(connection, &sql, &[]).await?;
            counts.extend(rows.first().map(|row| row.try_get::<i64, _>("n")).transpose()?);
        }
        data_profile.each_run = counts.first().copied().zip(counts.get(1).copied());
    }
    Ok(data_profile)
}

/// Returns the planner's estimate of a table's rows.
async fn estimate(connection: &mut PgConnection, relation: &Relation) -> sqlx::Result<Option<f64>> {
    let Relation::Table(table) = relation else { return Ok(None) };
    let rows: Option<f64> = sqlx::query_scalar(
        "select case when reltuples > 0 then reltuples end::float8 from pg_class where oid = to_regclass($1)",
    )
    .bind(table.to_string())
    .fetch_optional(connection)
    .await?
    .flatten();
    Ok(rows)
}
