//! `/jobs/{job}/windows/{kind}/{end}`: one window.

use std::collections::BTreeSet;
use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, State};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;

use super::{Page, render};
use crate::chart::Svg;
use crate::chart::steps;
use crate::store::read::parts::{self, PartRow};
use crate::store::read::residuals::Scope;
use crate::store::read::runs::{self, RunFilter};
use crate::store::read::samples::{self, SampleRow};
use crate::store::read::window::{self as read, AgeRow, FactsRow, JudgedRow, MetricRow, RunRow, WindowKey};
use crate::text::links::{Links, instant};
use crate::web::error::PageError;
use crate::web::frame::{self, Frame, Section};
use crate::web::params::Params;
use crate::web::selection::{self, Selection};
use crate::web::session::Visitor;
use crate::web::view::ages::{self, AgeLine, RunLine, VerdictLine};
use crate::web::view::job::{self as tabs, Tab};
use crate::web::view::panel::Panel;
use crate::web::view::window::{self as view, CountLine, Head, MetricLine, PartLine, SampleLine};
use crate::web::view::{residual_sql, window_sql, words};
use crate::web::{Shared, reading};

/// Parts, verdicts and samples that are listed.
const MOST_PARTS: usize = 100;
const MOST_VERDICTS: i64 = 500;
const MOST_SAMPLES: i64 = 20;
/// Runs that are ticks of the chart.
const MOST_RUNS: i64 = 500;

#[derive(Template)]
#[template(path = "window.html")]
struct WindowPage {
    frame: Frame,
    selection: Selection,
    tabs: Vec<Tab>,
    head: Head,
    panels: Panels,
    lines: Vec<MetricLine>,
    counts: Vec<CountLine>,
    drawing: Svg,
    revisions: Vec<AgeLine>,
    judged: Vec<VerdictLine>,
    measured_by: Vec<RunLine>,
    shares: Vec<PartLine>,
    has_more_parts: bool,
    samples: Vec<SampleLine>,
}

pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    Extension(visitor): Extension<Visitor>,
    Path((name, kind, end)): Path<(String, String, String)>,
    params: Params,
) -> Page {
    frame::check(&params, &["cohort", "version", "metric", "as_of"], &shared)?;
    let end = instant_of(&end)?;
    let page = reading::snapshot(&shared, async |connection| {
        let selection = selection::window(connection, &name, &kind, &params).await?;
        let frame = Frame::read(connection, (&shared, &visitor, &params), Section::Elsewhere).await?;
        let frame = frame.titled(format!("{name}, {}", selection.of.window));
        page(connection, frame, (selection, end), &params).await
    })
    .await?;
    render(&page)
}

/// The end of a window in an address.
fn instant_of(text: &str) -> Result<DateTime<Utc>, PageError> {
    DateTime::parse_from_rfc3339(text).map(|at| at.to_utc()).map_err(|_| {
        let text = crate::text::line::clipped(text, 60);
        PageError::BadRequest(format!(
            "`{text}` is not the end of a window; write a time in UTC such as `2026-11-20T09:30:00Z`"
        ))
    })
}

async fn page(
    connection: &mut PgConnection,
    mut frame: Frame,
    (selection, end): (Selection, DateTime<Utc>),
    params: &Params,
) -> Result<WindowPage, PageError> {
    let of = &selection.of;
    let key = WindowKey {
        job: of.job.clone(),
        window: of.window.clone(),
        end,
        cohort: of.cohort.clone(),
        version: of.version.clone(),
        as_of: of.as_of,
    };
    let facts = reading::all(connection, async |c| read::facts(c, &key).await).await?.ok_or_else(|| missing(&key))?;
    let neighbors = read::neighbors(connection, &key).await?;
    let mut panels = Panels::new(&selection, &key, params);
    let read = read_panels(connection, &selection, (&key, &facts), &mut panels).await?;
    let (about, zone) = (selection.about(), frame.zone);
    let metric = about.metric(&of.metric);
    let mut head = view::head(&key, &facts, (neighbors.previous, neighbors.next), (about, &of.metric, zone));
    head.first = read
        .ages
        .first()
        .filter(|_| read.ages.len() > 1 && key.as_of.is_none())
        .map(|first| view::link(&key, &of.metric, key.end, Some(first.as_of)));
    frame.exact = Some(view::link(&key, &of.metric, key.end, Some(key.as_of.unwrap_or(frame.now))));
    let label = format!("{} of {} by age of labels", of.metric, head.target);
    let (shares, has_more_parts) = view::part_lines(&key, about, &of.metric, &read.parts, MOST_PARTS);
    let limit = ages::limit(&read.verdicts, &selection.rules);
    let ticks = ages::unchanged(&read.published, &read.ages, key.end);
    Ok(WindowPage {
        lines: view::metric_lines(&key, about, &of.metric, &read.metrics),
        counts: view::counts(&facts, read.metrics.first()),
        drawing: steps::svg(&ages::steps(&read.ages, (limit, ticks), (metric, zone), label)),
        revisions: ages::age_lines(&read.ages, &read.verdicts, &selection.rules, (metric, zone)),
        judged: ages::verdict_lines(&key, about, &read.verdicts, zone),
        measured_by: ages::run_lines(&read.runs, zone),
        samples: view::sample_lines(&read.samples, about.unit.as_deref(), zone),
        tabs: tabs::tabs(&selection.job, "windows"),
        frame,
        head,
        shares,
        has_more_parts,
        panels: panels.judged(&read),
        selection,
    })
}

fn missing(key: &WindowKey) -> PageError {
    let target = words::target(&crate::text::line::clipped(&key.cohort, 60), key.version.as_deref());
    let when = if key.as_of.is_some() { " by the time in `as_of`" } else { "" };
    PageError::NotFound(format!(
        "No window `{}` that ends at {} was measured for {target}{when}. The page of the job links to its windows.",
        key.window,
        instant(key.end)
    ))
}

/// Rows of all panels of the page.
struct Read {
    metrics: Vec<MetricRow>,
    ages: Vec<AgeRow>,
    verdicts: Vec<JudgedRow>,
    runs: Vec<RunRow>,
    /// Runs since the first report that published, whether they changed the window or not.
    published: Vec<runs::RunRow>,
    parts: Vec<PartRow>,
    samples: Vec<SampleRow>,
}

async fn read_panels(
    connection: &mut PgConnection,
    selection: &Selection,
    (key, facts): (&WindowKey, &FactsRow),
    panels: &mut Panels,
) -> Result<Read, PageError> {
    let metric = &selection.of.metric;
    let metrics = panels.metrics.take(reading::panel(connection, async |c| read::metrics(c, key).await).await?);
    let ages = panels.age.take(reading::panel(connection, async |c| read::revisions(c, key, metric).await).await?);
    let verdicts = reading::panel(connection, async |c| read::verdicts(c, key, MOST_VERDICTS).await).await?;
    let verdicts = panels.verdicts.take(verdicts);
    let numbers: BTreeSet<i64> =
        ages.iter().filter_map(|row| row.run_id).chain(verdicts.iter().filter_map(|row| row.run_id)).collect();
    let numbers: Vec<i64> = numbers.into_iter().collect();
    let runs = panels.runs.take(reading::panel(connection, async |c| read::runs(c, &key.job, &numbers).await).await?);
    panels.runs.sql = window_sql::runs_sql(&key.job, &numbers);
    let most = i64::try_from(MOST_PARTS + 1).unwrap_or(i64::MAX);
    let parts = reading::panel(connection, async |c| parts::parts(c, key, metric, most).await).await?;
    let parts = panels.parts.take(parts);
    let samples = match selection.about().is_multiclass() {
        true => Vec::new(),
        false => worst(connection, key, facts, &mut panels.worst).await?,
    };
    let published = published(connection, selection, key, (&ages, &mut panels.age)).await?;
    Ok(Read { metrics, ages, verdicts, runs, published, parts, samples })
}

/// Reads the runs that published from the first report of a window until it was final.
async fn published(
    connection: &mut PgConnection,
    selection: &Selection,
    key: &WindowKey,
    (ages, panel): (&[AgeRow], &mut Panel),
) -> Result<Vec<runs::RunRow>, PageError> {
    let Some(first) = ages.first() else { return Ok(Vec::new()) };
    let is_final = key.end + TimeDelta::seconds(selection.about().label_wait_seconds);
    let last = ages.last().map_or(is_final, |last| last.as_of.max(is_final));
    let filter = RunFilter {
        job: Some(key.job.clone()),
        state: Some("ok".to_owned()),
        from: Some(first.as_of),
        to: Some(key.as_of.map_or(last, |at| at.min(last))),
        limit: MOST_RUNS,
        ..RunFilter::default()
    };
    let read = reading::panel(connection, async |c| runs::list(c, &filter).await).await?;
    Ok(panel.take(read))
}

/// Reads the worst samples: those kept with the window, else those of the residuals.
async fn worst(
    connection: &mut PgConnection,
    key: &WindowKey,
    facts: &FactsRow,
    panel: &mut Panel,
) -> Result<Vec<SampleRow>, PageError> {
    if facts.cohort_values == serde_json::json!({}) && key.cohort != "all" {
        panel.empty =
            Some("The cohorts beyond the top ones are summed together; their samples cannot be told apart.".to_owned());
        return Ok(Vec::new());
    }
    let cohort = &facts.cohort_values;
    let kept = reading::panel(connection, async |c| samples::kept_samples(c, key, cohort, MOST_SAMPLES).await).await?;
    let kept = panel.take(kept);
    if !kept.is_empty() || panel.empty.is_some() {
        panel.sql = residual_sql::kept(key, cohort, MOST_SAMPLES);
        return Ok(kept);
    }
    let scope = Scope {
        job: key.job.clone(),
        from: facts.start,
        to: key.end,
        cohort: cohort.clone(),
        version: key.version.clone(),
        one_in: 1,
    };
    panel.sql = residual_sql::worst(&scope, MOST_SAMPLES);
    let found = reading::panel(connection, async |c| samples::worst(c, &scope, MOST_SAMPLES).await).await?;
    Ok(panel.take(found))
}

/// The panels of the page.
struct Panels {
    metrics: Panel,
    age: Panel,
    verdicts: Panel,
    runs: Panel,
    parts: Panel,
    worst: Panel,
}

impl Panels {
    fn new(selection: &Selection, key: &WindowKey, params: &Params) -> Self {
        let metric = &selection.of.metric;
        let here = Links::default().window(&key.job, &key.window, key.end);
        let query = params.with(&[("panel", None), ("tz", None), ("theme", None), ("metric", None)]);
        let panel = |id: &'static str, title: &str, says: &str| {
            Panel::new(id, title, says).alone(format!("{here}{}", params.with(&[("panel", Some(id))])))
        };
        let now = if key.as_of.is_some() { "then" } else { "now" };
        Self {
            metrics: panel("metrics", "First report and now", &format!("Every metric as it was first reported, and as it is {now}."))
                .sql(window_sql::metrics_sql(key))
                .download("JSON", format!("/api/v1{here}{query}")),
            age: panel(
                "age",
                &format!("{metric} by age of labels"),
                "Each step is a revision: a run that saw other labels. Across is the time from the end of the window to that run; a tick at the bottom is a run that changed nothing.",
            )
            .sql(window_sql::ages_sql(key, metric)),
            verdicts: panel("verdicts", "Verdicts, then and later", "A verdict by later labels is recorded and moves no alert.")
                .sql(window_sql::verdicts_sql(key)),
            runs: panel("runs", "Runs", "The runs that measured or judged this window."),
            parts: panel(
                "parts",
                "Parts",
                "Cohorts and versions in this window, the largest share of squared error first.",
            )
            .sql(window_sql::parts_sql(key, metric)),
            worst: panel(
                "worst",
                "Worst samples",
                &format!(
                    "The predictions with the largest {}, with the labels known now.",
                    if selection.about().is_binary() { words::residual(selection.about()) } else { "errors" }
                ),
            ),
        }
    }

    /// Says why a panel has nothing to show.
    fn judged(mut self, read: &Read) -> Self {
        self.metrics =
            self.metrics.empty_if(read.metrics.is_empty(), "No metric was measured for this cohort and version.");
        self.age = self.age.empty_if(read.ages.is_empty(), "This metric was not measured for this cohort and version.");
        self.verdicts = self.verdicts.empty_if(
            read.verdicts.is_empty(),
            "No rule judged this cohort and version in this window, or retention removed its verdicts.",
        );
        self.runs =
            self.runs.empty_if(read.runs.is_empty(), "The runs are older than the time for which runs are kept.");
        self.parts = self.parts.empty_if(read.parts.is_empty(), "Nothing was measured in this window.");
        self.worst = self.worst.empty_if(
            read.samples.is_empty(),
            "There are no labeled pairs, or their residuals are no longer kept. `residuals.worst` keeps the worst samples of each window longer.",
        );
        self
    }
}
