//! Monthly partitions of history tables. Runners have no DDL rights: functions of the schema's owner create and drop the months.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// A table that is partitioned by month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Monthly {
    /// By the end of its window.
    Measurement,
    /// By the end of its window.
    Verdict,
    /// By the end of its period.
    SloEvaluation,
}

impl Monthly {
    fn table(self) -> &'static str {
        match self {
            Self::Measurement => "measurement",
            Self::Verdict => "verdict",
            Self::SloEvaluation => "slo_evaluation",
        }
    }
}

/// Creates the months for rows of these moments, where they are missing.
///
/// Usually none is missing. A catalog lookup costs a tenth of the call, which each new session must compile.
pub async fn add(connection: &mut PgConnection, table: Monthly, moments: &[DateTime<Utc>]) -> sqlx::Result<()> {
    let missing = sqlx::query_scalar!(
        r#"
        select exists (
            select from unnest($2::timestamptz[]) as moment
            where not exists (
                select from pg_class c
                where c.relnamespace = 'trueup'::regnamespace and c.relispartition
                  and c.relname = $1 || to_char(moment at time zone 'UTC', '_YYYY_MM')
            )
        ) as "missing!"
        "#,
        table.table(),
        moments
    )
    .fetch_one(&mut *connection)
    .await?;
    if missing {
        sqlx::query_scalar!("select trueup.add_months($1, $2)", table.table(), moments).fetch_one(connection).await?;
    }
    Ok(())
}

/// All monthly tables.
pub const ALL: [Monthly; 3] = [Monthly::Measurement, Monthly::Verdict, Monthly::SloEvaluation];

/// Tables of which nothing is kept forever: their old months are dropped.
pub const EXPIRING: [Monthly; 2] = [Monthly::Verdict, Monthly::SloEvaluation];

/// Drops the months of an expiring table that ended before `before`, and returns their number.
///
/// Fails if a session reads the table for longer than two seconds; the next call tries again.
pub async fn drop_before(connection: &mut PgConnection, table: Monthly, before: DateTime<Utc>) -> sqlx::Result<i32> {
    sqlx::query_scalar!(r#"select trueup.drop_months($1, $2) as "dropped!""#, table.table(), before)
        .fetch_one(connection)
        .await
}
