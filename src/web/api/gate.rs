//! The gate of deployments: pass, fail or wait, by a rule or an error budget.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use sqlx::PgConnection;

use super::budget;
use super::call::{Answer, Call, finite, json};
use super::identity::is_signed;
use super::parameter::{self, AGAINST, Parameter, RULE, SLO, VERSION};
use super::types::{Gate, GateData};
use crate::domain::verdict::Verdict;
use crate::evaluate::gate::{self, BudgetEvidence, Decision, Firing, Judged, RuleEvidence};
use crate::store::read::gate as read;
use crate::store::read::overview::{self, FiringRow};
use crate::web::error::PageError;
use crate::web::params::Params;
use crate::web::problem::Problem;
use crate::web::view::overview::Job;
use crate::web::{Shared, reading, selection};

pub(super) const PARAMETERS: &[Parameter] = &[RULE, SLO, VERSION, AGAINST];

/// Most targets and alerts that are read.
const MOST: i64 = 1_000;

/// Answers 200 with any decision: pollers take other answers for failures of the gate itself.
pub(super) async fn show(State(shared): State<Arc<Shared>>, Path(job): Path<String>, call: Call) -> Answer {
    call.answer(&shared, PARAMETERS, Some(&job), async |connection| {
        json(&decide(connection, &shared, &job, &call.params).await?)
    })
    .await
}

/// May the change advance? 200 on `pass`; 403 on `fail` and `wait`, on which Flagger waits.
pub(super) async fn promotion(
    State(shared): State<Arc<Shared>>,
    Path((job, signature)): Path<(String, String)>,
    call: Call,
) -> Answer {
    let answer = signed(&shared, &job, &signature, &call.params).await?;
    Ok(hook(answer, "pass"))
}

/// Must the change go back? Flagger rolls back on any success, so 200 only on `fail`, and 403 on everything else: a fault of
/// ours must never roll back a deployment.
pub(super) async fn rollback(
    State(shared): State<Arc<Shared>>,
    Path((job, signature)): Path<(String, String)>,
    call: Result<Call, Problem>,
) -> Response {
    let refused =
        |problem: Problem| Problem::new(StatusCode::FORBIDDEN, problem.detail.unwrap_or(problem.title)).into_response();
    let call = match call {
        Ok(call) => call,
        Err(problem) => return refused(problem),
    };
    match signed(&shared, &job, &signature, &call.params).await {
        Ok(answer) => hook(answer, "fail"),
        Err(problem) => refused(problem),
    }
}

fn hook(gate: Gate, wanted: &str) -> Response {
    if gate.data.decision == wanted {
        return axum::Json(gate).into_response();
    }
    Problem::new(StatusCode::FORBIDDEN, format!("{}: {}", gate.data.decision, gate.data.reason)).into_response()
}

async fn signed(shared: &Shared, job: &str, signature: &str, params: &Params) -> Result<Gate, Problem> {
    if !is_signed(shared, signature, ("gate", job)) {
        let words = "the signature in the address is not right; `trueup links` prints the addresses";
        return Err(Problem::new(StatusCode::FORBIDDEN, words));
    }
    parameter::check(params, PARAMETERS)?;
    let gate = reading::snapshot(shared, async |connection| decide(connection, shared, job, params).await).await?;
    Ok(gate)
}

async fn decide(
    connection: &mut PgConnection,
    shared: &Shared,
    name: &str,
    params: &Params,
) -> Result<Gate, PageError> {
    let refuse = |words: &str| Err(PageError::BadRequest(words.to_owned()));
    if params.get("against").is_some() {
        return refuse("versions are not compared yet: leave out `against`, and the rule's limit decides");
    }
    let job = selection::job(connection, name).await?;
    let about = &job.about;
    let version = params.get("version");
    let links = shared.links.clone().unwrap_or_default();
    let (decided, url) = match (params.get("rule"), params.get("slo")) {
        (Some(rule), None) => {
            let rule = selection::known(rule, about.rules.iter().map(|rule| rule.name.as_str()), "rule")?;
            (by_rule(connection, &job, (&rule, version)).await?, links.rule(name, &rule))
        }
        (None, Some(_)) if version.is_some() => {
            return refuse("an objective counts all versions together: leave out `version`, or name a `rule`");
        }
        (None, Some(slo)) => {
            let slo = selection::known(slo, about.slos.iter().map(|slo| slo.name.as_str()), "objective")?;
            (by_budget(connection, &job, &slo).await?, links.budget(name, &slo))
        }
        (Some(_), Some(_)) => return refuse("name a `rule` or an `slo`, not both"),
        (None, None) => return refuse("name the `rule` or the `slo` that decides"),
    };
    Ok(Gate { data: data(decided, url) })
}

async fn by_rule(
    connection: &mut PgConnection,
    of: &Job,
    (rule, version): (&str, Option<&str>),
) -> sqlx::Result<gate::Gate> {
    let (job, about) = (of.row.job.as_str(), &of.about);
    let firing = reading::all(connection, async |c| overview::firing(c, Some(job), MOST).await).await?;
    let concerns = |alert: &&FiringRow| {
        alert.rule == rule && version.is_none_or(|version| alert.model_version.as_deref() == Some(version))
    };
    let rows = reading::all(connection, async |c| read::newest_verdicts(c, (job, rule), version, MOST).await).await?;
    let needed = about.rules.iter().find(|known| known.name == rule).map(|rule| rule.min_samples);
    Ok(gate::by_rule(&RuleEvidence {
        judged: rows
            .into_iter()
            .map(|row| Judged {
                // A word of a later version is not known to be a breach or a pass.
                verdict: Verdict::parse(&row.verdict).unwrap_or(Verdict::Error),
                cohort: row.cohort,
                version: row.model_version,
                window_end: row.window_end,
                value: row.value,
                limit: row.limit_value,
                labeled: row.labeled,
                reason: row.reason,
            })
            .collect(),
        firing: firing
            .iter()
            .filter(concerns)
            .map(|alert| Firing {
                cohort: alert.cohort.clone(),
                version: alert.model_version.clone(),
                value: alert.value,
                limit: alert.limit_value,
            })
            .collect(),
        is_late: of.row.is_late,
        needed: needed.filter(|needed| *needed > 0),
    }))
}

async fn by_budget(connection: &mut PgConnection, of: &Job, slo: &str) -> sqlx::Result<gate::Gate> {
    let (job, about) = (of.row.job.as_str(), &of.about);
    let newest = reading::all(connection, async |c| budget::newest(c, job, slo).await).await?;
    let burns: Vec<&str> = about
        .slos
        .iter()
        .filter(|known| known.name == slo)
        .flat_map(|slo| slo.burns.iter().map(|burn| burn.alert.as_str()))
        .collect();
    let firing = reading::all(connection, async |c| overview::firing(c, Some(job), MOST).await).await?;
    Ok(gate::by_budget(&BudgetEvidence {
        left: newest.as_ref().and_then(|row| row.budget_left),
        total: newest.as_ref().map(|row| row.total),
        period_end: newest.as_ref().map(|row| row.period_end),
        burning: firing.into_iter().map(|alert| alert.rule).filter(|rule| burns.contains(&rule.as_str())).collect(),
        is_late: of.row.is_late,
    }))
}

fn data(decided: gate::Gate, url: String) -> GateData {
    let (decision, ok) = match decided.decision {
        Decision::Pass => ("pass", Some(true)),
        Decision::Fail => ("fail", Some(false)),
        Decision::Wait => ("wait", None),
    };
    GateData {
        decision,
        ok,
        value: finite(decided.value),
        limit: finite(decided.limit),
        labeled: decided.labeled,
        needed: decided.needed,
        cohort: decided.cohort,
        window_end: decided.window_end,
        reason: decided.reason,
        url,
    }
}
