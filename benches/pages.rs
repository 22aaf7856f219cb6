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
use sqlx::{ConnectOptions as _, PgConnection};
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
    for path in paths() {
        let timed = time(&client, &format!("http://{address}{path}")).await.with_context(|| path.clone())?;
        println!(
            "{path:<58} {:>7.1} {:>7.1} {:>8.1} {:>8.1}",
            timed.median, timed.slow, timed.kilobytes, timed.compressed
        );
    }
    drop(connection);
    history.remove()
}

/// The pages that are timed.
fn paths() -> Vec<String> {
    [
        "/",
        "/jobs/load",
        "/jobs/load?window=tumbling+1d",
        "/jobs/load?window=tumbling+1d&from=2025-11-20",
        "/jobs/load?cohort=region%3Dr7&version=v1",
    ]
    .map(str::to_owned)
    .to_vec()
}

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
    });
    sqlx::query("update trueup.job set about = $1, published_as_of = $2::text::timestamptz")
        .bind(about)
        .bind(END)
        .execute(connection)
        .await?;
    Ok(())
}
