//! `/jobs/{job}`: one job for on-call.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, State};
use sqlx::PgConnection;

use super::{Page, render};
use crate::chart::{self, Size, Svg};
use crate::domain::name::text_literal;
use crate::store::read::overview::{self as jobs, RecentRow, Shown};
use crate::store::read::series::{self as read, Names, OpenAlertRow};
use crate::store::read::window::{self, MetricRow, WindowKey};
use crate::text::links::{Links, with_query};
use crate::web::error::PageError;
use crate::web::etag::{self, Asked};
use crate::web::frame::{self, Frame, Section};
use crate::web::params::Params;
use crate::web::selection::{self, KNOWN, MOST_WINDOWS, Selection};
use crate::web::session::Visitor;
use crate::web::view::job::{self as view, AlertLine, Fact, Kind, Tab, TableRow};
use crate::web::view::panel::Panel;
use crate::web::view::series::{self, Rows};
use crate::web::{Shared, reading};

/// Values of the small charts of all kinds of windows.
const RECENT: i64 = 60;
/// Cohorts and versions that the filters offer.
const MOST_NAMES: i64 = 200;

#[derive(Template)]
#[template(path = "job.html")]
struct JobPage {
    frame: Frame,
    selection: Selection,
    tabs: Vec<Tab>,
    banner: Option<view::Banner>,
    names: Names,
    /// How the newest corrected window has moved since its first report.
    drift: Option<String>,
    chart: Panel,
    drawing: Svg,
    table: Vec<TableRow>,
    marks: Vec<chart::Mark>,
    usual: Option<String>,
    kinds: Panel,
    small: Vec<Kind>,
    labels: Panel,
    facts: Vec<Fact>,
    alerts: Panel,
    open: Vec<AlertLine>,
}

/// Rows of the page.
struct Read {
    rows: Rows,
    names: Names,
    recent: Vec<RecentRow>,
    newest: Vec<MetricRow>,
    open: Vec<OpenAlertRow>,
}

pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    Extension(visitor): Extension<Visitor>,
    Path(name): Path<String>,
    asked: Asked,
    params: Params,
) -> Page {
    frame::check(&params, &KNOWN, &shared)?;
    etag::answer(&shared, &asked, Some(&name), async |connection| {
        let selection = selection::select(connection, &name, &params).await?;
        let frame = Frame::read(connection, (&shared, &visitor, &params), Section::Elsewhere).await?;
        render(&page(connection, frame.titled(&name), selection, &params).await?)
    })
    .await
}

async fn page(
    connection: &mut PgConnection,
    mut frame: Frame,
    selection: Selection,
    params: &Params,
) -> Result<JobPage, PageError> {
    let [mut chart, mut kinds, mut labels, mut alerts] = panels(&selection, params);
    let read = read(connection, &selection, [&mut chart, &mut kinds, &mut labels, &mut alerts]).await?;
    let of = &selection.of;
    let zone = frame.zone;
    let series = selection::chart(&selection, &read.rows, zone);
    let metric = selection.about().metric(&of.metric);
    let label = format!("{} of {}, {}", of.metric, of.window, of.cohort);
    let unit = metric.map_or(String::new(), |metric| metric.unit.trim().to_owned());
    let drawing = chart::svg::series(&series, &Size { height: 260, zone, unit, label });
    chart = chart.empty_if(series.points.is_empty(), view::why_empty(&selection));
    frame.exact = Some(with_query(
        &Links::default().job(&of.job),
        &exact(&selection, frame.now).iter().map(|(n, v)| (*n, v.as_deref())).collect::<Vec<_>>(),
    ));
    let entries = series::entries(of, selection.about(), &read.rows);
    Ok(JobPage {
        drift: view::drift(&entries, metric, zone),
        tabs: view::tabs(&selection.job, "now"),
        banner: view::banner(&selection.job, &read.open, frame.now),
        table: view::table(&selection, &entries, zone),
        marks: series.marks,
        usual: read.rows.usual_correction().map(view::usual_words),
        small: view::kinds(&selection, &read.recent),
        facts: view::label_facts(&read.newest),
        open: view::alert_lines(&read.open, frame.now),
        names: read.names,
        frame,
        selection,
        chart,
        drawing,
        kinds,
        labels,
        alerts,
    })
}

/// Absolute times and the moment, so that the address shows the same tomorrow.
fn exact(selection: &Selection, now: chrono::DateTime<chrono::Utc>) -> [(&'static str, Option<String>); 7] {
    let of = &selection.of;
    let at = |at| Some(crate::text::links::instant(at));
    [
        ("window", Some(of.window.clone())),
        ("metric", Some(of.metric.clone())),
        ("cohort", Some(of.cohort.clone())),
        ("version", of.version.clone()),
        ("from", at(of.from)),
        ("to", at(of.to)),
        ("as_of", at(of.as_of.unwrap_or(now))),
    ]
}

async fn read(
    connection: &mut PgConnection,
    selection: &Selection,
    [chart, kinds, labels, alerts]: [&mut Panel; 4],
) -> Result<Read, PageError> {
    let of = &selection.of;
    let rows = reading::panel(connection, async |c| selection::rows(c, selection).await).await?;
    let mut rows = chart.take(rows);
    if rows.revisions.len() > 2 * MOST_WINDOWS {
        let words = format!("There are more than {MOST_WINDOWS} windows. Choose a shorter range, or a longer window.");
        (rows, chart.empty) = (Rows::default(), Some(words));
    }
    let shown = shown(selection);
    let recent = reading::panel(connection, async |c| jobs::recent(c, &shown, RECENT).await).await?;
    let newest = rows.revisions.last().map(|row| row.window_end);
    let (mut metrics, mut names) = (Vec::new(), Names { cohorts: vec!["all".to_owned()], versions: Vec::new() });
    if let Some(end) = newest {
        let key = WindowKey {
            job: of.job.clone(),
            window: of.window.clone(),
            end,
            cohort: of.cohort.clone(),
            version: of.version.clone(),
            as_of: of.as_of,
        };
        metrics = labels.take(reading::panel(connection, async |c| window::metrics(c, &key).await).await?);
        names =
            reading::all(connection, async |c| read::names(c, (&of.job, &of.window), end, MOST_NAMES).await).await?;
    }
    let open = reading::panel(connection, async |c| read::open_alerts(c, &of.job).await).await?;
    Ok(Read { rows, names, recent: kinds.take(recent), newest: metrics, open: alerts.take(open) })
}

/// The selected metric in each kind of window.
fn shown(selection: &Selection) -> Shown {
    let windows: Vec<String> = selection.about().windows.iter().map(|window| window.name.clone()).collect();
    Shown {
        jobs: vec![selection.of.job.clone(); windows.len()],
        metrics: vec![selection.of.metric.clone(); windows.len()],
        windows,
    }
}

fn panels(selection: &Selection, params: &Params) -> [Panel; 4] {
    let of = &selection.of;
    let job = text_literal(&of.job);
    let here = Links::default().job(&of.job);
    let alone = |id: &str| format!("{here}{}", params.with(&[("panel", Some(id))]));
    let query = params.with(&[("panel", None), ("tz", None), ("theme", None)]);
    let api = format!("/api/v1/jobs/{}/series", crate::text::links::escaped(&of.job));
    let chart = Panel::new("chart", format!("{} of {}", of.metric, of.window), view::chart_says(selection))
        .sql(selection::sql(of))
        .download("CSV", format!("{api}.csv{query}"))
        .download("JSON", format!("{api}{query}"))
        .download("SVG", format!("{api}.svg{query}"))
        .alone(alone("chart"));
    let kinds = Panel::new("kinds", "All windows", format!("{} of everything, the last 60 of each kind.", of.metric))
        .sql(format!(
            "select window_name, window_end, value, status\nfrom trueup.metric_history\nwhere job = {job} and metric = {} and cohort = \
             'all' and model_version is null\norder by window_name, window_end desc;",
            text_literal(&of.metric)
        ))
        .alone(alone("kinds"));
    let labels = Panel::new("labels", "Labels", "How much the newest window rests on.")
        .sql(view::labels_sql(of))
        .alone(alone("labels"));
    let alerts = Panel::new("alerts", "Alerts", "What fires or is about to, worst first.")
        .sql(format!(
            "select rule, cohort, model_version, severity, state, since, value, limit_value, acked_by\nfrom trueup.alert_state\nwhere job = \
             {job} and state in ('firing', 'pending')\norder by state, since;"
        ))
        .alone(alone("alerts"));
    [chart, kinds, labels, alerts]
}
