//! The story: a job, its replay, the alert, the messages, a late label, and how to query it all in SQL.

use anyhow::{Context as _, Result};
use chrono::{DateTime, TimeDelta, Utc};
use owo_colors::OwoColorize as _;

use super::receivers::{mail_header, plain_text};
use super::scene::{JOB, Scene};
use super::{heading, psql};
use crate::alerting::StateChange;
use crate::chart::sparkline;
use crate::cli::Output;
use crate::commands::output::{self, Table, progress};
use crate::evaluate::state::State;
use crate::postgres::local::{LocalDatabase, LocalServer};
use crate::store::read::history::{self, HistoryFilter};
use crate::text::number::number;
use crate::text::visible;

/// A state change of an alert, with its tick.
struct Moment {
    at: DateTime<Utc>,
    told: StateChange,
}

pub(super) async fn tell(scene: &Scene, server: &LocalServer) -> Result<()> {
    heading("The job: one TOML file")?;
    output::print_lines(JOB.trim_end())?;
    let moments = replay(scene).await?;
    regions(scene).await?;
    heading("The alert")?;
    for moment in &moments {
        let told = &moment.told;
        let word = match told.to {
            State::Firing => format!("{}", "FIRING  ".red().bold()),
            State::Resolved => format!("{}", "RESOLVED".green().bold()),
            State::Pending | State::Inactive => continue,
        };
        let value = told.value.map_or("-".to_owned(), number);
        // Each rule has its own unit: a share of labels is not a power.
        let rule = scene.job.rules.iter().find(|rule| rule.name == told.rule);
        let name = rule.map_or("value", |rule| rule.metric().name());
        let metric = scene.job.metrics.iter().find(|metric| metric.name() == name);
        let unit = metric.map_or(String::new(), |metric| metric.unit().of(scene.job.unit.as_deref()));
        output::print_styled(&format!(
            "{}  {word}  {} {}: {name} {value}{unit}, limit {}",
            moment.at.format("%Y-%m-%d %H:%M"),
            told.rule,
            visible::line(&told.cohort),
            told.limit.map_or("none".to_owned(), |limit| format!("{limit}{unit}"))
        ))?;
    }
    messages(scene)?;
    late_label(server)?;
    query(server)
}

/// Replays the last three days, tick by tick, as the scheduler would have run them.
async fn replay(scene: &Scene) -> Result<Vec<Moment>> {
    let instant = |text: &str| text.parse::<DateTime<Utc>>().with_context(|| format!("`{text}` is not an instant"));
    let (first, last) = (instant("2025-04-30T00:00:00Z")?, instant("2025-05-03T00:00:00Z")?);
    heading("Replaying three days, every 15 minutes, as the scheduler would")?;
    let ticks = scene.job.schedule.cadence.slots(first - TimeDelta::seconds(1), last, usize::MAX);
    let bar = progress::bar(u64::try_from(ticks.len()).unwrap_or(0), "runs");
    let mut moments = Vec::new();
    let (mut read, mut written) = (0, 0);
    let started = std::time::Instant::now();
    for tick in &ticks {
        let published = scene.tick(*tick).await?;
        read += published.done.rows_read;
        written += published.done.windows_written;
        moments.extend(published.transitions.into_iter().map(|told| Moment { at: *tick, told }));
        bar.step();
    }
    bar.finish();
    output::print(&format!(
        "{} runs in {:.1} s: {read} rows read, {written} measurements written. Each run reads only what arrived since the last.",
        ticks.len(),
        started.elapsed().as_secs_f64()
    ))?;
    Ok(moments)
}

/// Prints the RMSE of each region over the replayed days.
async fn regions(scene: &Scene) -> Result<()> {
    heading("RMSE by region, rolling 6h, in MW; a full block marks the limit of 450")?;
    let mut table = Table::new(&["region", "lowest", "highest", "last", "every_2_hours"]);
    for region in ["east", "north", "south", "west"] {
        let filter = HistoryFilter {
            job: scene.job.name.clone(),
            metric: Some("rmse".to_owned()),
            window: Some("rolling 6h".to_owned()),
            cohort: Some(format!("region={region}")),
            as_of: None,
            limit: 100_000,
        };
        let rows = history::metrics(&mut *scene.pool.acquire().await?, &filter).await?;
        let values: Vec<Option<f64>> =
            rows.iter().filter(|row| row.model_version.is_none()).map(|row| row.value).collect();
        let known = values.iter().flatten().copied();
        let every: Vec<Option<f64>> = values.iter().step_by(8).copied().collect();
        table.push(vec![
            region.into(),
            known.clone().reduce(f64::min).into(),
            known.clone().reduce(f64::max).into(),
            known.last().into(),
            sparkline::text(&every, 450.0).into(),
        ]);
    }
    output::print_table(&table, Output::Table)
}

/// Prints the first email and the first webhook, as the receivers got them.
fn messages(scene: &Scene) -> Result<()> {
    let mails = scene.mail.book.all();
    let first = mails.first().context("no email was received")?;
    heading(&format!("The email, as an SMTP server received it (1 of {})", mails.len()))?;
    for name in ["From", "To", "Subject", "Message-ID", "References"] {
        output::print(&format!("{name}: {}", mail_header(&first.body, name).unwrap_or_default()))?;
    }
    output::print_lines(&format!("\n{}", plain_text(&first.body).replace("\r\n", "\n").trim_end()))?;
    let hooks = scene.hook.book.all();
    let first = hooks.first().context("no webhook was received")?;
    heading(&format!("The webhook, as an HTTP server received it (1 of {})", hooks.len()))?;
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        output::print(&format!("{name}: {}", first.header(name).unwrap_or_default()))?;
    }
    let mut body: serde_json::Value = serde_json::from_str(&first.body).context("the webhook's body is not JSON")?;
    let cut = shorten(&mut body);
    output::print_json(&format!("{body:#}"))?;
    match cut {
        0 => Ok(()),
        cut => output::print(&format!("(shown: the first and last point of each series; {cut} more were sent)")),
    }
}

/// Keeps only the ends of long series of points. Returns the number of points removed.
fn shorten(value: &mut serde_json::Value) -> usize {
    match value {
        serde_json::Value::Array(points) if points.len() > 4 && points.iter().all(|p| p.get("value").is_some()) => {
            let middle = points.len() - 2;
            points.drain(1..=middle);
            middle
        }
        serde_json::Value::Array(items) => items.iter_mut().map(shorten).sum(),
        serde_json::Value::Object(fields) => fields.values_mut().map(shorten).sum(),
        _ => 0,
    }
}

/// Shows how a label that came two days late changed the history.
fn late_label(server: &LocalServer) -> Result<()> {
    heading("A late label revises a metric; the first report is kept")?;
    output::print("The south's meter readings for the afternoon of 30 April arrived on 2 May at 16:40:")?;
    let query = "select revision, as_of, status, labeled || ' of ' || predictions as labeled, round(rmse::numeric, 1) as rmse_mw \
                 from trueup.window_revisions where job = 'load' and window_name = 'tumbling 1d' \
                 and window_start = '2025-04-30 00:00Z' and cohort = 'region=south' and model_version is null \
                 and (revision = 1 or as_of >= '2025-05-02 16:00Z') order by revision";
    show(server, query)
}

fn query(server: &LocalServer) -> Result<()> {
    heading("Query the history in SQL")?;
    let query = "select cohort, model_version, round(rmse::numeric, 1) as rmse_mw, round(bias::numeric, 1) as bias_mw, labeled, status \
                 from trueup.window_history where job = 'load' and window_name = 'tumbling 1d' \
                 and window_start = '2025-05-01 00:00Z' and cohort <> 'all' and model_version is not null order by rmse desc";
    output::print(&format!("{} -c \"{query}\"", server.psql(LocalDatabase::Demo.name())))?;
    show(server, query)
}

fn show(server: &LocalServer, query: &str) -> Result<()> {
    match psql(server, query)? {
        Some(answer) => output::print_lines(&format!("\n{answer}")),
        None => output::print("(psql is not installed here, so the answer is not shown)"),
    }
}
