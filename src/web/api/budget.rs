//! An error budget through time.

use std::sync::Arc;

use axum::extract::{Path, State};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::call::{Answer, Call, finite, json};
use super::parameter::{FROM, Parameter, TO};
use super::types::{Budget, Evaluation};
use crate::domain::about::AboutSlo;
use crate::store::read::budget;
use crate::store::read::overview::{self, BudgetRow};
use crate::web::Shared;
use crate::web::error::PageError;
use crate::web::reading;
use crate::web::selection;

pub(super) const PARAMETERS: &[Parameter] = &[FROM, TO];

/// Most evaluations of an answer.
const MOST: i64 = 5_000;

pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    Path((job, slo)): Path<(String, String)>,
    call: Call,
) -> Answer {
    call.answer(&shared, PARAMETERS, Some(&job), async |connection| {
        let about = selection::job(connection, &job).await?.about;
        let slo = selection::known(&slo, about.slos.iter().map(|slo| slo.name.as_str()), "objective")?;
        let now = overview::moment(connection).await?.now;
        let range = (call.params.time("from", now)?, call.params.time("to", now)?);
        let url = shared.links.clone().unwrap_or_default().budget(&job, &slo);
        let objective = about.slos.into_iter().find(|known| known.name == slo).unwrap_or_default();
        json(&read(connection, &job, &objective, range, url).await?)
    })
    .await
}

async fn read(
    connection: &mut PgConnection,
    job: &str,
    slo: &AboutSlo,
    range: (Option<DateTime<Utc>>, Option<DateTime<Utc>>),
    url: String,
) -> Result<Budget, PageError> {
    let newest = newest(connection, job, &slo.name).await?;
    let firing = reading::all(connection, async |c| overview::firing(c, Some(job), MOST).await).await?;
    let history =
        reading::all(connection, async |c| budget::evaluations(c, (job, &slo.name), range, MOST).await).await?;
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    let allowed = newest.as_ref().map(|row| (1.0 - row.objective) * row.total as f64);
    let is_burn = |rule: &str| slo.burns.iter().any(|burn| burn.alert == rule);
    Ok(Budget {
        job: job.to_owned(),
        slo: slo.name.clone(),
        objective: newest.as_ref().map(|row| row.objective),
        left: finite(newest.as_ref().and_then(|row| row.budget_left)),
        exhausted_at: newest.as_ref().and_then(|row| row.exhausted_at),
        period_start: newest.as_ref().map(|row| row.period_start),
        period_end: newest.as_ref().map(|row| row.period_end),
        good: newest.as_ref().map(|row| row.good),
        bad: newest.as_ref().map(|row| row.bad),
        total: newest.as_ref().map(|row| row.total),
        allowed,
        burning: firing.into_iter().map(|alert| alert.rule).filter(|rule| is_burn(rule)).collect(),
        history: history
            .into_iter()
            .map(|row| Evaluation {
                kind: row.kind,
                period_end: row.period_end,
                bad: row.bad,
                total: row.total,
                left: finite(row.budget_left),
                evaluated_at: row.evaluated_at,
            })
            .collect(),
        url,
    })
}

/// The newest evaluation of an objective.
pub(super) async fn newest(connection: &mut PgConnection, job: &str, slo: &str) -> sqlx::Result<Option<BudgetRow>> {
    Ok(overview::budgets(connection, &[job.to_owned()], &[slo.to_owned()]).await?.pop())
}
