//! Jobs as they are now.

use std::sync::Arc;

use axum::extract::{Path, State};
use sqlx::PgConnection;

use super::call::{Answer, Call, file, finite, json};
use super::csv::{self, Cell};
use super::parameter::{JOB_STATE, OWNER, Parameter};
use super::types::{BudgetLeft, Firing, Job};
use crate::store::read::overview::{self as read, BudgetRow, FiringRow};
use crate::text::links::Links;
use crate::web::Shared;
use crate::web::error::PageError;
use crate::web::reading;
use crate::web::selection;
use crate::web::view::overview::{self as view, Filter};

pub(super) const LIST: &[Parameter] = &[OWNER, JOB_STATE];

/// Most alerts that fire which are listed.
const MOST_FIRING: i64 = 10_000;

pub(super) async fn list(State(shared): State<Arc<Shared>>, call: Call) -> Answer {
    call.answer(&shared, LIST, None, async |connection| json(&jobs(connection, &shared, &call).await?)).await
}

pub(super) async fn list_csv(State(shared): State<Arc<Shared>>, call: Call) -> Answer {
    call.answer(&shared, LIST, None, async |connection| {
        let jobs = jobs(connection, &shared, &call).await?;
        let columns = ["job", "state", "is_late", "firing", "severity", "owner", "published_as_of", "url"];
        let rows = jobs.iter().map(|job| {
            let severity = job.firing.first().map(|alert| alert.severity.as_str());
            [
                Cell::from(job.job.as_str()),
                job.state.as_str().into(),
                if job.is_late { "true" } else { "false" }.into(),
                i64::try_from(job.firing.len()).unwrap_or(i64::MAX).into(),
                severity.into(),
                job.owner.as_deref().into(),
                job.published_as_of.into(),
                job.url.as_str().into(),
            ]
        });
        Ok(file("text/csv; charset=utf-8", csv::table(columns, rows)))
    })
    .await
}

pub(super) async fn show(State(shared): State<Arc<Shared>>, Path(name): Path<String>, call: Call) -> Answer {
    call.answer(&shared, &[], Some(&name), async |connection| {
        let found = selection::job(connection, &name).await?;
        let jobs = complete(connection, &shared, vec![found]).await?;
        json(&jobs.first())
    })
    .await
}

async fn jobs(connection: &mut PgConnection, shared: &Shared, call: &Call) -> Result<Vec<Job>, PageError> {
    let text = |name: &str| call.params.get(name).map(str::to_owned);
    let filter = Filter { owner: text("owner"), state: text("state"), ..Filter::default() };
    let all = view::jobs(reading::all(connection, async |c| read::jobs(c, None).await).await?);
    complete(connection, shared, all.into_iter().filter(|job| filter.admits(job)).collect()).await
}

/// Adds alerts and budgets.
async fn complete(connection: &mut PgConnection, shared: &Shared, jobs: Vec<view::Job>) -> Result<Vec<Job>, PageError> {
    let only = match jobs.as_slice() {
        [one] => Some(one.row.job.clone()),
        _ => None,
    };
    let firing = reading::all(connection, async |c| read::firing(c, only.as_deref(), MOST_FIRING).await).await?;
    let (names, slos) = view::objectives(&jobs);
    let budgets = reading::all(connection, async |c| read::budgets(c, &names, &slos).await).await?;
    let links = shared.links.clone().unwrap_or_default();
    Ok(jobs.into_iter().map(|job| answer(job, (&firing, &budgets), &links)).collect())
}

fn answer(job: view::Job, (firing, budgets): (&[FiringRow], &[BudgetRow]), links: &Links) -> Job {
    let name = job.row.job.clone();
    let names = |names: Vec<&String>| names.into_iter().cloned().collect();
    Job {
        url: links.job(&name),
        state: job.row.state,
        is_late: job.row.is_late,
        firing: firing.iter().filter(|alert| alert.job == name).map(alert).collect(),
        budget: budgets.iter().filter(|budget| budget.job == name).map(left).collect(),
        published_as_of: job.row.published_as_of,
        next_due_at: job.row.next_due_at,
        windows: names(job.about.windows.iter().map(|window| &window.name).collect()),
        metrics: names(job.about.metrics.iter().map(|metric| &metric.name).collect()),
        rules: names(job.about.rules.iter().map(|rule| &rule.name).collect()),
        owner: job.about.owner,
        runbook: job.about.runbook,
        description: job.about.description,
        job: name,
    }
}

fn alert(row: &FiringRow) -> Firing {
    Firing {
        alert_id: row.alert_id,
        rule: row.rule.clone(),
        severity: row.severity.clone(),
        cohort: row.cohort.clone(),
        version: row.model_version.clone(),
        since: row.since,
        value: finite(row.value),
        limit: finite(row.limit_value),
        acked_by: row.acked_by.clone(),
        incident_id: row.incident_id,
    }
}

fn left(row: &BudgetRow) -> BudgetLeft {
    BudgetLeft {
        slo: row.slo.clone(),
        left: finite(row.budget_left),
        exhausted_at: row.exhausted_at,
        period_end: row.period_end,
    }
}
