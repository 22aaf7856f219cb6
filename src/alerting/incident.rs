//! Opens an incident when alerts of a job begin to fire, and freezes the evidence: by the time a user investigates, residuals
//! are deleted and labels have changed the numbers.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use sqlx::PgConnection;

use super::Origin;
use crate::dispatch::compose;
use crate::notify::message::{AlertFacts, Point, RuleContext};
use crate::store::alerting::evidence::{self, PartRow, SampleRow};
use crate::store::alerting::incident;
use crate::store::history::baseline::Targets;
use crate::warehouse::failure::RunError;

/// An alert that has just begun to fire.
#[derive(Debug)]
pub(crate) struct Fired {
    pub alert_id: i64,
    pub about: RuleContext,
    pub facts: AlertFacts,
}

/// Most windows of a series, parts of a window, worst samples, and alerts of one rule that get a series.
const MOST_POINTS: i64 = 60;
const MOST_PARTS: i64 = 20;
const MOST_SAMPLES: i64 = 10;
const MOST_DETAILED: usize = 20;

/// Adds alerts to the incidents of their severities, with evidence.
pub(crate) async fn open(connection: &mut PgConnection, origin: Origin<'_>, fired: Vec<Fired>) -> Result<(), RunError> {
    let mut by_severity: BTreeMap<String, BTreeMap<String, Vec<Fired>>> = BTreeMap::new();
    for one in fired {
        let rules = by_severity.entry(one.about.rule.severity.clone()).or_default();
        rules.entry(one.about.rule.name.clone()).or_default().push(one);
    }
    for (severity, rules) in by_severity {
        let ids: Vec<i64> = rules.values().flatten().map(|one| one.alert_id).collect();
        let incident = incident::join(connection, origin.job_id, &severity, &ids).await?;
        for fired in rules.into_values() {
            let evidence = of_rule(connection, origin, fired).await?;
            let (ids, evidence): (Vec<i64>, Vec<Json>) = evidence.into_iter().unzip();
            incident::freeze(connection, incident, &ids, &evidence).await?;
        }
    }
    Ok(())
}

/// Collects the evidence of alerts of one rule, worst first. Limited evidence goes to the worst.
async fn of_rule(
    connection: &mut PgConnection,
    origin: Origin<'_>,
    mut fired: Vec<Fired>,
) -> Result<Vec<(i64, Json)>, RunError> {
    fired.sort_by(|a, b| b.facts.excess().total_cmp(&a.facts.excess()));
    let Some(worst) = fired.first() else { return Ok(Vec::new()) };
    let rule = worst.about.rule.clone();
    let of_windows = origin.job.rules.iter().any(|known| known.name == rule.name);
    let (job_id, window_end) = (origin.job_id, worst.facts.window_end);
    let facts: Vec<AlertFacts> = fired.iter().map(|one| one.facts.clone()).collect();
    let changes = compose::changes_before(connection, &origin.job.name, &facts).await?;
    let mut series: BTreeMap<usize, Vec<Point>> = BTreeMap::new();
    let (mut parts, mut samples) = (Vec::new(), Vec::new());
    if of_windows {
        let detailed = &facts[..facts.len().min(MOST_DETAILED)];
        let cohorts: Vec<String> = detailed.iter().map(|facts| facts.cohort.clone()).collect();
        let versions: Vec<Option<String>> = detailed.iter().map(|facts| facts.model_version.clone()).collect();
        let targets = Targets { cohorts: &cohorts, versions: &versions };
        let of = (rule.window.as_str(), rule.metric.as_str());
        for row in evidence::series(connection, job_id, of, targets, window_end, MOST_POINTS).await? {
            let Some(place) = usize::try_from(row.target).ok().and_then(|place| place.checked_sub(1)) else { continue };
            series.entry(place).or_default().push(Point {
                window_end: row.window_end,
                value: row.value,
                ci_low: row.ci_low,
                ci_high: row.ci_high,
                labeled: row.labeled,
                coverage: row.coverage,
                label_latency_p50: row.label_latency_p50,
            });
        }
        parts = evidence::parts(connection, job_id, of, window_end, MOST_PARTS).await?;
        let slice = (worst.facts.window_start, window_end);
        if let Some(plan_id) = origin.plan_id {
            samples = evidence::worst_residuals(connection, plan_id, slice, MOST_SAMPLES).await?;
        }
    }
    let shared = json!({
        "rule": rule,
        "plan": { "id": origin.plan_id, "fingerprint": origin.job.fingerprint() },
        "as_of": origin.as_of,
        "changes": changes,
        "parts": parts.iter().map(part).collect::<Vec<_>>(),
        "worst_samples": samples.iter().map(sample).collect::<Vec<_>>(),
    });
    Ok(fired
        .into_iter()
        .enumerate()
        .map(|(place, one)| {
            let mut evidence = shared.clone();
            evidence["alert"] = json!(one.facts);
            evidence["series"] = json!(series.get(&place).map_or(&[][..], Vec::as_slice));
            if place > 0 {
                // Only the worst alert of a rule carries these.
                evidence["parts"] = json!([]);
                evidence["worst_samples"] = json!([]);
            }
            (one.alert_id, evidence)
        })
        .collect())
}

fn part(row: &PartRow) -> Json {
    json!({
        "cohort": row.cohort, "model_version": row.model_version, "value": row.value, "labeled": row.labeled,
        "predictions": row.predictions,
    })
}

fn sample(row: &SampleRow) -> Json {
    json!({
        "prediction_key": row.prediction_key, "model_version": row.model_version, "event_at": row.event_at,
        "predicted": row.predicted, "actual": row.actual,
        "error": row.predicted.zip(row.actual).map(|(predicted, actual)| predicted - actual), "label_at": row.label_at,
    })
}
