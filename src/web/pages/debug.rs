//! `/jobs/{job}/debug`: the errors of single predictions.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, State};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;

use super::{Page, render};
use crate::chart::density::CELLS;
use crate::chart::{Svg, bars, density, heatmap, histogram};
use crate::store::read::latency::{self, LatencyRow};
use crate::store::read::residuals::{self as read, BinRow, CellRow, HourRow, LeftOutRow, Scope, SliceRow, SummaryRow};
use crate::store::read::samples::{self, SampleRow};
use crate::text::links::{Links, instant};
use crate::web::error::PageError;
use crate::web::frame::{self, Frame, Section};
use crate::web::params::Params;
use crate::web::selection::{self, Selection};
use crate::web::session::Visitor;
use crate::web::view::debug::{self as view, Bins, LeftOutLine};
use crate::web::view::debug_sql as sql;
use crate::web::view::job::{self as tabs, Fact, Tab};
use crate::web::view::panel::Panel;
use crate::web::view::rhythm::{self, HourLine};
use crate::web::view::window::{SampleLine, sample_lines};
use crate::web::view::words::{self, When};
use crate::web::{Shared, reading, scope};

/// Range unless the address names one.
const DAYS: i64 = 28;
/// Samples in the table, slices of the autocorrelation, and keys of a reason.
const MOST_SAMPLES: i64 = 20;
const MOST_SLICES: i64 = 4_000;
const MOST_KEYS: i64 = 5;

#[derive(Template)]
#[template(path = "debug.html")]
struct DebugPage {
    frame: Frame,
    selection: Selection,
    params: Params,
    tabs: Vec<Tab>,
    from: When,
    to: When,
    sampled: String,
    is_log: bool,
    /// Pairs have an error: not those of several classes.
    has_errors: bool,
    /// The error of a pair, in words.
    error: &'static str,
    panels: Panels,
    facts: Vec<Fact>,
    errors: Svg,
    bars: Vec<(String, String)>,
    beyond: Option<String>,
    density: Svg,
    samples: Vec<SampleLine>,
    hours: Svg,
    hour_lines: Vec<HourLine>,
    lags: Svg,
    lag_says: String,
    lag_lines: Vec<(usize, String, String)>,
    latency: Svg,
    latency_facts: Vec<Fact>,
    latency_bars: Vec<(String, String)>,
    left_out: Vec<LeftOutLine>,
}

pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    Extension(visitor): Extension<Visitor>,
    Path(name): Path<String>,
    params: Params,
) -> Page {
    frame::check(&params, &["from", "to", "cohort", "version", "scale", "pairs"], &shared)?;
    params.one_of("scale", &["linear", "log"])?;
    params.one_of("pairs", &["sample"])?;
    let page = reading::snapshot(&shared, async |connection| {
        let selection = selection::select(connection, &name, &params).await?;
        let frame = Frame::read(connection, (&shared, &visitor, &params), Section::Elsewhere).await?;
        page(connection, frame.titled(format!("{name}, debug")), selection, &params).await
    })
    .await?;
    render(&page)
}

/// Rows of all panels of the page.
#[derive(Default)]
struct Read {
    summary: SummaryRow,
    bins: Option<Bins>,
    errors: Vec<BinRow>,
    cells: Vec<CellRow>,
    worst: Vec<SampleRow>,
    hours: Vec<HourRow>,
    slices: Vec<SliceRow>,
    latency: LatencyRow,
    latencies: Vec<BinRow>,
    left_out: Vec<LeftOutRow>,
}

async fn page(
    connection: &mut PgConnection,
    mut frame: Frame,
    selection: Selection,
    params: &Params,
) -> Result<DebugPage, PageError> {
    let range = range(&selection, params);
    let mut panels = Panels::new(&selection, params);
    let chosen = scope::choose(connection, &selection, range).await?;
    let mut read = Read::default();
    let mut sampled = String::new();
    match chosen {
        Ok(scope) => {
            sampled = scope::sampled(&scope);
            read = read_panels(connection, (&selection, &scope), &mut panels).await?;
        }
        Err(why) => panels.all_empty(why),
    }
    let here = Links::default().job_part(&selection.of.job, "debug");
    let (from, to) = (instant(range.0), instant(range.1));
    frame.exact = Some(format!("{here}{}", params.with(&[("from", Some(&from)), ("to", Some(&to))])));
    Ok(build((frame, selection, params.clone()), range, sampled, read, panels))
}

/// Returns the range of event times: that of the address, or the newest four weeks.
fn range(selection: &Selection, params: &Params) -> (DateTime<Utc>, DateTime<Utc>) {
    let of = &selection.of;
    let from = if params.get("from").is_some() { of.from } else { of.to - TimeDelta::days(DAYS) };
    (from, of.to)
}

async fn read_panels(
    connection: &mut PgConnection,
    (selection, scope): (&Selection, &Scope),
    panels: &mut Panels,
) -> Result<Read, PageError> {
    let zone = zone(selection);
    panels.errors.sql = sql::errors(scope);
    panels.density.sql = crate::web::view::residual_sql::worst(scope, MOST_SAMPLES);
    panels.hours.sql = sql::hours(scope, zone);
    panels.lags.sql = sql::slices(scope, MOST_SLICES);
    panels.latency.sql = sql::latency(scope);
    panels.left_out.sql = sql::left_out(scope);
    if selection.about().is_multiclass() {
        return read_labels(connection, scope, panels, Read::default()).await;
    }
    let summary = panels.errors.take(reading::panel(connection, async |c| read::summary(c, scope).await).await?);
    let mut read = Read { bins: view::error_bins(&summary), summary, ..Read::default() };
    let why = view::why_empty(selection.about());
    let is_empty = read.summary.pairs == 0;
    for panel in [&mut panels.errors, &mut panels.density, &mut panels.hours, &mut panels.lags] {
        if is_empty && panel.empty.is_none() {
            panel.empty = Some(why.clone());
        }
    }
    if !is_empty {
        read_pairs(connection, (scope, zone), panels, &mut read).await?;
    }
    read_labels(connection, scope, panels, read).await
}

/// Reads the panels about labels, which every kind of prediction has.
async fn read_labels(
    connection: &mut PgConnection,
    scope: &Scope,
    panels: &mut Panels,
    mut read: Read,
) -> Result<Read, PageError> {
    let read_latency = reading::panel(connection, async |c| latency::latency(c, scope).await).await?;
    read.latency = panels.latency.take(read_latency);
    if let Some(bins) = view::latency_bins(&read.latency) {
        let by = (bins.width, bins.last);
        let rows = reading::panel(connection, async |c| latency::latencies(c, scope, by).await).await?;
        read.latencies = panels.latency.take(rows);
    }
    let left_out = reading::panel(connection, async |c| read::left_out(c, scope, MOST_KEYS).await).await?;
    read.left_out = panels.left_out.take(left_out);
    Ok(read)
}

/// Reads the panels about labeled pairs.
async fn read_pairs(
    connection: &mut PgConnection,
    (scope, zone): (&Scope, &str),
    panels: &mut Panels,
    read: &mut Read,
) -> Result<(), PageError> {
    if let Some(bins) = read.bins {
        let by = (bins.width, bins.first, bins.last);
        let rows = reading::panel(connection, async |c| read::errors(c, scope, by).await).await?;
        read.errors = panels.errors.take(rows);
    }
    if let Some((low, width)) = view::cell_width(&read.summary) {
        let by = (low, width, i64::try_from(CELLS).unwrap_or(1));
        let rows = reading::panel(connection, async |c| read::cells(c, scope, by).await).await?;
        read.cells = panels.density.take(rows);
    }
    let worst = reading::panel(connection, async |c| samples::worst(c, scope, MOST_SAMPLES).await).await?;
    read.worst = panels.density.take(worst);
    read.hours = panels.hours.take(reading::panel(connection, async |c| read::hours(c, scope, zone).await).await?);
    let slices = reading::panel(connection, async |c| read::slices(c, scope, MOST_SLICES).await).await?;
    read.slices = panels.lags.take(slices);
    Ok(())
}

/// Zone of the job's days.
fn zone(selection: &Selection) -> &str {
    let zone = selection.about().timezone.as_str();
    if zone.is_empty() { "UTC" } else { zone }
}

fn build(
    (frame, selection, params): (Frame, Selection, Params),
    range: (DateTime<Utc>, DateTime<Utc>),
    sampled: String,
    read: Read,
    mut panels: Panels,
) -> DebugPage {
    let unit = selection.about().unit.clone().unwrap_or_default();
    let is_log = params.get("scale") == Some("log");
    let summary = &read.summary;
    let errors = read.bins.map(|bins| view::errors(summary, bins, &read.errors, (&unit, is_log))).unwrap_or_default();
    let width = view::cell_width(summary).unwrap_or((0.0, 1.0));
    let resemblance = rhythm::resemblance(&read.slices);
    panels.lags =
        panels.lags.empty_if(resemblance.is_none(), "There are too few time slices, or the error does not vary.");
    let latency = view::latency_bins(&read.latency).map(|bins| view::latencies(&read.latency, bins, &read.latencies));
    let latency = latency.unwrap_or_default();
    panels.latency = panels.latency.empty_if(read.latency.labels == 0, &view::why_empty(selection.about()));
    panels.left_out = panels
        .left_out
        .empty_if(read.left_out.is_empty(), "Nothing is left out: every prediction has a label that counts.");
    DebugPage {
        has_errors: !selection.about().is_multiclass(),
        error: words::residual(selection.about()),
        facts: view::facts(summary, &unit, selection.about()),
        beyond: read.bins.and_then(|bins| view::beyond(summary, bins, &unit)),
        bars: view::bar_lines(&errors),
        errors: histogram::svg(&errors),
        density: density::svg(&view::density(width, &read.cells, &read.worst, &unit)),
        samples: sample_lines(&read.worst, selection.about().unit.as_deref(), frame.zone),
        hours: heatmap::svg(&rhythm::hours(&read.hours, &unit)),
        hour_lines: rhythm::hour_lines(&read.hours),
        lags: bars::svg(&resemblance.as_ref().map(rhythm::bars).unwrap_or_default()),
        lag_says: resemblance.as_ref().map(rhythm::says).unwrap_or_default(),
        lag_lines: resemblance.as_ref().map(rhythm::lag_lines).unwrap_or_default(),
        latency_bars: view::bar_lines(&latency),
        latency: histogram::svg(&latency),
        latency_facts: view::latency_facts(&read.latency),
        left_out: view::left_out(&read.left_out),
        tabs: tabs::tabs(&selection.job, "debug"),
        from: words::when(range.0, frame.zone),
        to: words::when(range.1, frame.zone),
        sampled,
        is_log,
        panels,
        frame,
        selection,
        params,
    }
}

/// The panels of the page.
struct Panels {
    errors: Panel,
    density: Panel,
    hours: Panel,
    lags: Panel,
    latency: Panel,
    left_out: Panel,
}

impl Panels {
    fn new(selection: &Selection, params: &Params) -> Self {
        let here = Links::default().job_part(&selection.of.job, "debug");
        let panel = |id: &'static str, title: &str, says: &str| {
            Panel::new(id, title, says).alone(format!("{here}{}", params.with(&[("panel", Some(id))])))
        };
        let is_binary = selection.about().is_binary();
        let (errors, errors_say) = match is_binary {
            true => ("Distance of score and label", "Score less label, which is 1 for positive and 0 for negative."),
            false => ("Errors", "Predicted less actual: right of zero the model predicts too much."),
        };
        let (density, density_says) = match is_binary {
            true => (
                "Score against label",
                "Below are negative labels, above positive ones; the dots are the worst samples.",
            ),
            false => {
                ("Predicted against actual", "On the diagonal a prediction is right; the dots are the worst samples.")
            }
        };
        let error = words::residual(selection.about());
        Self {
            errors: panel("errors", errors, errors_say),
            density: panel("density", density, density_says),
            hours: panel(
                "hours",
                "By hour and weekday",
                &format!("Root mean squared {error} by the hour of the event in {}.", zone(selection)),
            ),
            lags: panel(
                "lags",
                "Autocorrelation",
                &format!("How much the mean {error} of a time slice resembles that of earlier slices."),
            ),
            latency: panel(
                "latency",
                "Label latency",
                "Time from the event to its label; labels known before count as no time.",
            ),
            left_out: panel(
                "left-out",
                "Left out",
                "Predictions that no metric averages, and the newest of their keys.",
            ),
        }
    }

    fn all_empty(&mut self, why: &str) {
        for panel in [
            &mut self.errors,
            &mut self.density,
            &mut self.hours,
            &mut self.lags,
            &mut self.latency,
            &mut self.left_out,
        ] {
            panel.empty = Some(why.to_owned());
        }
    }
}
