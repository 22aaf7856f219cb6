//! The months that history tables are kept in. Runners may define nothing: functions of the schema's owner make and drop them.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// A table that is kept in months.
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

/// Makes the months that rows of these moments go into, where they are missing.
///
/// Mostly none is: a look at the catalogue costs a tenth of calling the function, which a new session compiles first.
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

/// All of them.
pub const ALL: [Monthly; 3] = [Monthly::Measurement, Monthly::Verdict, Monthly::SloEvaluation];

/// Those of which nothing is kept for good: their old months are dropped.
pub const PASSING: [Monthly; 2] = [Monthly::Verdict, Monthly::SloEvaluation];

/// Drops the months of a passing table that ended before. Returns how many.
///
/// Fails when somebody reads the table for longer than two seconds: then it is for the next time.
pub async fn drop_before(connection: &mut PgConnection, table: Monthly, before: DateTime<Utc>) -> sqlx::Result<i32> {
    sqlx::query_scalar!(r#"select trueup.drop_months($1, $2) as "dropped!""#, table.table(), before)
        .fetch_one(connection)
        .await
}
