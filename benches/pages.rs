//! Times the pages over a large history: `cargo bench --bench pages` (1 M measurements), or with `-- 10000000`.
//!
//! Requests go over HTTP to the pages as users open them, one after the other; the first of each page is not counted. Bytes are
//! those of the answer, plain and compressed.

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

mod support;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::{Value as Json, json};
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection};
use support::{END, LargeHistory};
use tokio::sync::watch;
use trueup::postgres::connect;
use trueup::settings::Login;
use trueup::web::{self, Site};

/// Requests of each page that are counted.
const TIMES: usize = 40;

#[tokio::main(flavor = "multi_thread")]
async fn main() -> Result<()> {
    let wanted = std::env::args().skip(1).find_map(|word| word.parse::<i64>().ok()).unwrap_or(1_000_000);
    let history = LargeHistory::build(wanted).await?;
    let mut connection = history.options().connect().await?;
    describe(&mut connection).await?;
    operate(&mut connection).await?;
    let reader = connect::reading_pool(history.options(), 4, Duration::from_secs(10)).await?;
    let site = Site {
        reader,
        acts: None,
        runner: None,
        token: None,
        hosts: Vec::new(),
        login: Login::None,
        local_user: "bench".to_owned(),
        links: None,
        embed: Vec::new(),
        badges: Vec::new(),
        zone: chrono_tz::Tz::UTC,
        retention: web::Retention::default(),
    };
    let (_stop, stopped) = watch::channel(false);
    let address = web::listen(SocketAddr::from(([127, 0, 0, 1], 0)), site, stopped).await?;
    println!("{:<58} {:>7} {:>7} {:>8} {:>8}", "page", "p50 ms", "p95 ms", "KB", "KB gz");
    trueup::notify::transport::http::install_tls();
    let client = reqwest::Client::new();
    for path in PATHS {
        let timed = time(&client, &format!("http://{address}{path}")).await.context(path)?;
        println!(
            "{path:<58} {:>7.1} {:>7.1} {:>8.1} {:>8.1}",
            timed.median, timed.slow, timed.kilobytes, timed.compressed
        );
    }
    drop(connection);
    history.remove()
}

/// The pages that are timed: every kind, and those whose ranges are long.
const PATHS: [&str; 24] = [
    "/",
    "/jobs/load",
    "/jobs/load?window=tumbling+1d",
    "/jobs/load?window=tumbling+1d&from=2025-11-20",
    "/jobs/load?cohort=region%3Dr7&version=v1",
    "/jobs/load?as_of=2026-11-01T00:00:00Z",
    "/jobs/load/cohorts",
    "/jobs/load/cohorts?top=40",
    "/jobs/load/windows/tumbling-1d/2026-11-18T00:00:00Z",
    "/jobs/load/rules/rmse-high",
    "/jobs/load/budget/near",
    "/jobs/load/versions",
    "/jobs/load/debug",
    "/jobs/load/definition",
    "/incidents",
    "/incidents/1",
    "/runs",
    "/runs/1",
    "/deliveries",
    "/silences",
    "/executive?period=365d",
    "/about",
    "/api/v1/jobs",
    "/api/v1/jobs/load/series?window=tumbling-1d&from=2025-11-20",
];

struct Timed {
    median: f64,
    slow: f64,
    kilobytes: f64,
    compressed: f64,
}

async fn time(client: &reqwest::Client, address: &str) -> Result<Timed> {
    let mut times = Vec::new();
    let mut size = 0;
    for n in 0..=TIMES {
        let started = Instant::now();
        let answer = client.get(address).send().await?.error_for_status()?;
        size = answer.bytes().await?.len();
        if n > 0 {
            times.push(started.elapsed().as_secs_f64() * 1_000.0);
        }
    }
    times.sort_by(f64::total_cmp);
    let compressed = client.get(address).header("accept-encoding", "gzip").send().await?.bytes().await?.len();
    #[expect(clippy::cast_precision_loss, reason = "bytes of a page")]
    let kilo = |bytes: usize| bytes as f64 / 1_000.0;
    let (median, slow) = (times[TIMES / 2], times[TIMES * 95 / 100]);
    Ok(Timed { median, slow, kilobytes: kilo(size), compressed: kilo(compressed) })
}

/// Describes the jobs, as a run does when it publishes.
async fn describe(connection: &mut PgConnection) -> Result<()> {
    let metrics = ["mse", "rmse", "mae", "bias", "mape", "r2", "label_latency_p50", "label_latency_p95"];
    let metrics: Vec<Json> =
        metrics.iter().map(|name| json!({ "name": name, "unit": " MW", "better": "lower" })).collect();
    let about = json!({
        "owner": "team@example.org", "unit": "MW", "timezone": "UTC", "interval_seconds": 3_600, "label_wait_seconds": 172_800,
        "dimensions": ["region"], "has_versions": true, "metrics": metrics,
        "windows": [
            { "name": "rolling 24h", "seconds": 86_400, "is_rolling": true },
            { "name": "tumbling 1d", "seconds": 86_400, "is_rolling": false },
        ],
        "rules": [{ "name": "rmse-high", "metric": "rmse", "window": "rolling 24h", "condition": "above 2", "severity": "page" }],
        "slos": [{ "name": "near", "objective": 0.95, "period_seconds": 2_592_000, "good": "predictions with abs(error) <= 2" }],
    });
    sqlx::query("update trueup.job set about = $1, published_as_of = $2::text::timestamptz")
        .bind(about)
        .bind(END)
        .execute(connection)
        .await?;
    Ok(())
}

/// Adds the rest of what pages show: runs, an incident, notifications, silences, and a budget through thirty days. There are no
/// residuals, so the page of single errors is timed without them.
async fn operate(connection: &mut PgConnection) -> Result<()> {
    let evidence = json!({
        "as_of": "2026-11-18T00:00:00Z",
        "rule": { "name": "rmse-high", "severity": "page", "metric": "rmse", "window": "rolling 24h", "condition": "above 2",
                  "persistence": 1, "lasting": "", "runbook": null, "owner": null },
        "alert": { "cohort": "all", "model_version": null, "state": "firing", "value": 12.0, "limit": 2.0, "unit": " MW",
                   "ci_low": 11.0, "ci_high": 13.0, "labeled": 900, "predictions": 1_000, "coverage": 0.9, "status": "final",
                   "window_start": "2026-11-17T00:00:00Z", "window_end": "2026-11-18T00:00:00Z", "since": "2026-11-17T00:00:00Z" },
    });
    for sql in [
        format!("insert into trueup.run (job_id, plan_id, scheduled_for, trigger, state, started_at, finished_at, as_of)
            select j.id, j.id, t, 'schedule', 'ok', t, t + interval '20 seconds', t
            from trueup.job as j, generate_series(timestamptz '{END}' - interval '20 days', '{END}', interval '1 hour') as t"),
        "insert into trueup.incident (job_id, severity) select id, 'page' from trueup.job where name = 'load'".to_owned(),
        format!("insert into trueup.alert (job_id, rule, rule_fingerprint, severity, cohort, state, since, fired_at, dispatched, about, incident_id)
            select job_id, 'rmse-high', 'f', 'page', 'all', 'firing', '{END}', '{END}', true, '{{}}', id from trueup.incident"),
        format!("insert into trueup.incident_evidence (incident_id, alert_id, evidence)
            select incident_id, id, '{evidence}' from trueup.alert"),
        format!("insert into trueup.alert_transition (alert_id, run_id, severity, from_state, to_state, reason, value, limit_value, since, evidence)
            select id, 1, 'page', 'inactive', 'firing', 'the newest window is in breach', 12, 2, '{END}',
                '{{\"window_end\": \"2026-11-18T00:00:00Z\"}}' from trueup.alert"),
        "insert into trueup.notification (id, job_id, receiver, topic, kind, body, state, attempt, settled_at)
            select gen_random_uuid(), j.id, 'mail', 't', 'firing', '{\"rules\": []}', 'sent', 1, clock_timestamp()
            from trueup.job as j, generate_series(1, 50)".to_owned(),
        "insert into trueup.silence (job, starts_at, ends_at, reason, author)
            select 'load', clock_timestamp() - n * interval '1 day', clock_timestamp() - n * interval '1 day' + interval '2 hours', 'x', 'kim'
            from generate_series(1, 200) as n".to_owned(),
        format!("select trueup.add_months('slo_evaluation', array(
            select generate_series(timestamptz '{END}' - interval '60 days', '{END}', interval '1 day')))"),
        format!("insert into trueup.slo_evaluation (job_id, slo, fingerprint, kind, run_id, as_of, period_start, period_end, objective, good, total,
                budget_left, burn)
            select j.id, 'near', 'f', 'evaluation', 1, t, t - interval '30 days', t, 0.95, 690, 720, 0.2, '[]'
            from trueup.job as j, generate_series(timestamptz '{END}' - interval '30 days', '{END}', interval '1 hour') as t"),
    ] {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *connection).await?;
    }
    Ok(())
}
