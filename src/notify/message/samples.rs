//! Sample notifications of every kind, to test receivers' templates and our own wording.

use chrono::{DateTime, TimeDelta, Utc};

use super::{AlertFacts, JobFacts, Notice, Point, RuleFacts, SCHEMA, Section};

/// Builds a notification of one alert of a made-up job: `firing`, `resolved` or `test`.
pub fn notice(kind: &str, cohort: &str) -> Notice {
    let now = DateTime::from_timestamp(1_714_630_500, 0).unwrap_or_default();
    let state = if kind == "resolved" { "resolved" } else { "firing" };
    let alert = AlertFacts {
        id: Some(7),
        incident: Some(3),
        url: None,
        cohort: cohort.to_owned(),
        model_version: Some("v2".to_owned()),
        state: state.to_owned(),
        is_new: true,
        value: Some(412.345),
        limit: Some(250.0),
        baseline: None,
        unit: " MW".to_owned(),
        ci_low: Some(371.5),
        ci_high: Some(466.25),
        labeled: 91,
        predictions: 96,
        coverage: Some(91.0 / 96.0),
        window_start: now - TimeDelta::hours(24),
        window_end: now,
        status: "provisional".to_owned(),
        since: Some(now - TimeDelta::minutes(30)),
        squared_error_share: None,
        fired_at: Some(now),
        acknowledged_by: None,
        note: None,
        closed: None,
        query: String::new(),
    };
    let reason = match kind {
        "resolved" => "all_resolved",
        "test" => "test",
        _ => "first",
    };
    Notice {
        schema: SCHEMA.to_owned(),
        id: "0190".to_owned(),
        kind: kind.to_owned(),
        reason: reason.to_owned(),
        digest: false,
        as_of: now,
        title: String::new(),
        text: String::new(),
        url: None,
        group: "load".to_owned(),
        job: JobFacts {
            name: "load".to_owned(),
            description: Some("Day-ahead load".to_owned()),
            owner: Some("grid@example.org".to_owned()),
            unit: Some("MW".to_owned()),
        },
        rules: vec![section("rmse-high", vec![alert], now)],
        note: None,
    }
}

/// Builds a section with alerts of a made-up rule.
pub fn section(rule: &str, alerts: Vec<AlertFacts>, now: DateTime<Utc>) -> Section {
    Section {
        rule: RuleFacts {
            name: rule.to_owned(),
            severity: "page".to_owned(),
            metric: "rmse".to_owned(),
            window: "rolling 24h".to_owned(),
            condition: "above 250".to_owned(),
            persistence: 3,
            lasting: "for 3 windows in a row".to_owned(),
            runbook: Some("https://runbooks.example.org/load".to_owned()),
            owner: None,
            judged: None,
        },
        alerts,
        omitted: 0,
        changes: Vec::new(),
        query: "select * from trueup.window_history".to_owned(),
        series: series(now),
    }
}

/// A metric that is steady, then doubles.
fn series(now: DateTime<Utc>) -> Vec<Point> {
    (0..40_i32)
        .map(|n| {
            let calm = 180.0 + 25.0 * f64::from((n * 7) % 5);
            let value = if n < 37 { calm } else { calm + 190.0 };
            Point {
                window_end: now - TimeDelta::minutes(15) * (39 - n),
                value: Some(value),
                ci_low: Some(value * 0.9),
                ci_high: Some(value * 1.13),
                labeled: 91,
                coverage: Some(0.95),
                label_latency_p50: Some(1_800.0),
            }
        })
        .collect()
}
