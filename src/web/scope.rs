//! The residuals that a page reads: a range, a cohort, a version, and a sample where there are too many.

use chrono::{DateTime, Utc};
use serde_json::{Value as Json, json};
use sqlx::PgConnection;

use super::selection::Selection;
use crate::store::read::residuals::{self, Scope};

/// Most residuals that are read for one page.
const MOST: f64 = 200_000.0;

/// Residuals to read, or the reason why the selected cohort cannot be read from them.
pub type Readable = Result<Scope, &'static str>;

/// Chooses the residuals of a selection whose events are in a range.
pub async fn choose(
    connection: &mut PgConnection,
    selection: &Selection,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
) -> sqlx::Result<Readable> {
    let of = &selection.of;
    let cohort = match of.cohort.as_str() {
        "all" => json!({}),
        cohort => match residuals::cohort_values(connection, (&of.job, &of.window), cohort).await? {
            Some(Json::Object(values)) if !values.is_empty() => Json::Object(values),
            Some(_) => {
                return Ok(Err(
                    "The cohorts beyond the top ones are summed together; their pairs cannot be told apart.",
                ));
            }
            None => return Ok(Err("Nothing was measured for this cohort.")),
        },
    };
    let mut scope = Scope { job: of.job.clone(), from, to, cohort, version: of.version.clone(), one_in: 1 };
    let rate = residuals::rate(connection, &scope, &of.window).await?;
    #[expect(clippy::cast_precision_loss, reason = "seconds stay far below 2^53")]
    let expected = rate.unwrap_or(0.0) * (to - from).num_seconds() as f64;
    #[expect(clippy::cast_possible_truncation, reason = "bounded")]
    let one_in = (expected / MOST).ceil().clamp(1.0, 1e9) as i64;
    scope.one_in = one_in;
    Ok(Ok(scope))
}

/// ` A sample: 1 in 4 keys.`, or nothing.
pub fn sampled(scope: &Scope) -> String {
    if scope.one_in > 1 { format!(" A sample: 1 in {} keys.", scope.one_in) } else { String::new() }
}
