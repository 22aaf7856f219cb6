//! `/incidents/{id}`: one incident for on-call, at night, on a phone. `/incidents/{id}/postmortem.md` and `/alerts/{id}`.

mod panels;
mod reads;

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse as _;
use sqlx::PgConnection;

use super::{Page, render};
use crate::chart::{self, Size, Svg};
use crate::dispatch::record;
use crate::notify::postmortem;
use crate::store::read::incident::{self as read};
use crate::text::links::{Links, with_query};
use crate::web::acting::{number, unknown};
use crate::web::error::PageError;
use crate::web::frame::{self, Frame, Section};
use crate::web::params::Params;
use crate::web::session::Visitor;
use crate::web::view::breach::is_about_data;
use crate::web::view::evidence::{self, MovedTable, ShapeLine, VersionLine};
use crate::web::view::firing::{self, SampleLine, WindowLine};
use crate::web::view::incident::{self as view, Head};
use crate::web::view::legend;
use crate::web::view::record::{self as lines, AlertLine, ChangeLine, EventLine, NoteLine, NotifiedLine};
use crate::web::{Shared, reading};
use panels::Panels;
use reads::Read;

#[derive(Template)]
#[template(path = "incident.html")]
struct IncidentPage {
    frame: Frame,
    id: i64,
    job: String,
    head: Head,
    acts: Addresses,
    /// True if the windows are shown as known when it fired.
    is_then: bool,
    panels: Panels,
    drawing: Option<Svg>,
    marks: Vec<chart::Mark>,
    legend: String,
    /// Labels stand in for the true outcome.
    is_proxy: bool,
    /// Pairs have an error: not those of several classes.
    has_errors: bool,
    /// The alert is about errors: then their distribution matters.
    is_about_errors: bool,
    answer: (&'static str, String),
    windows: Vec<WindowLine>,
    changes: Vec<ChangeLine>,
    moved: Vec<MovedTable>,
    alerts: Vec<AlertLine>,
    /// Alerts that are left out.
    more_alerts: usize,
    versions: Vec<VersionLine>,
    shape: Vec<ShapeLine>,
    samples: Vec<SampleLine>,
    decisions: Vec<NoteLine>,
    /// Marks as useful or false alarm.
    judged: Vec<NoteLine>,
    events: Vec<EventLine>,
    notified: Vec<NotifiedLine>,
    query: String,
    status: String,
    /// Rule and cohort that a silence would name.
    rule: String,
    cohort: String,
}

/// Addresses of the forms and links of the page.
struct Addresses {
    job: String,
    ack: String,
    resolve: String,
    notes: String,
    decision: String,
    mark: String,
    annotations: String,
    silences: String,
    postmortem: String,
    then: String,
    now: String,
}

impl Addresses {
    fn of(id: i64, job: &str, params: &Params) -> Self {
        let links = Links::default();
        let part = |part: &str| links.incident_part(id, part);
        let believed = |word| format!("{}{}#chart", links.incident(id), params.with(&[("believed", word)]));
        Self {
            job: links.job(job),
            ack: part("ack"),
            resolve: part("resolve"),
            notes: part("notes"),
            decision: part("decision"),
            mark: part("mark"),
            annotations: links.job_part(job, "annotations"),
            silences: links.silences(),
            postmortem: part("postmortem.md"),
            then: believed(Some("then")),
            now: believed(None),
        }
    }
}

pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
    params: Params,
) -> Page {
    frame::check(&params, &["believed"], &shared)?;
    let id = number(&id, "incident")?;
    let is_then = params.one_of("believed", &["then", "now"])? == Some("then");
    let page = reading::snapshot(&shared, async |connection| {
        let frame = Frame::read(connection, (&shared, &visitor, &params), Section::Incidents).await?;
        let link = shared.links.as_ref().map(|links| links.incident(id));
        page(connection, (id, is_then), frame, (&params, link.as_deref())).await
    })
    .await?;
    render(&page)
}

async fn page(
    connection: &mut PgConnection,
    (id, is_then): (i64, bool),
    frame: Frame,
    (params, link): (&Params, Option<&str>),
) -> Result<IncidentPage, PageError> {
    let (mut panels, read) = reads::read(connection, (id, is_then), params).await?;
    let Read { incident, firings, main, .. } = &read;
    let zone = frame.zone;
    let mut head = view::head(incident, firings, &read.closing, (frame.now, zone));
    head.drift = read.drift().filter(|_| !is_then);
    let hindsight = read.hindsight();
    let verdicts = read.verdicts_of_main();
    let drawing = read.drawing(zone);
    panels.chart =
        panels.chart.empty_if(drawing.points.is_empty(), "This alert is about runs, not about windows of a metric.");
    let size = Size { height: 200, zone, unit: read.unit(), label: format!("{} of incident {id}", read.metric()) };
    let about = read.about();
    let status = view::status_text(id, incident, firings, &head, link);
    let mut page = IncidentPage {
        id,
        job: incident.job.clone(),
        acts: Addresses::of(id, &incident.job, params),
        is_then,
        answer: firing::answer(firing::look_back(main.as_ref().and_then(|main| main.rule.as_ref()), &verdicts)),
        windows: main.as_ref().map(|main| firing::windows(main, &verdicts, zone)).unwrap_or_default(),
        changes: lines::change_lines(&read.recorded, main.as_ref().and_then(|main| Some(main.span()?.0)), zone),
        moved: evidence::moved(&incident.job, &read.window(), &read.around.shares),
        alerts: lines::alert_lines(firings, &hindsight, zone),
        more_alerts: firings.len().saturating_sub(lines::MOST_ALERTS),
        versions: evidence::versions(&about, &read.metric(), &read.around.versions),
        shape: evidence::shape(&about, &read.around.metrics),
        samples: main.as_ref().map(|main| firing::samples(main, zone)).unwrap_or_default(),
        decisions: lines::note_lines(&read.notes, &["decision"], zone),
        judged: lines::note_lines(&read.notes, &["useful", "false_alarm"], zone),
        events: lines::event_lines(&read.events, zone),
        notified: lines::notified_lines(&read.notified, zone),
        query: main.as_ref().and_then(|main| Some(main.alert.as_ref()?.query.clone())).unwrap_or_default(),
        rule: main.as_ref().map(|main| main.row.rule.clone()).unwrap_or_default(),
        cohort: main.as_ref().map(|main| main.row.cohort.clone()).unwrap_or_default(),
        marks: drawing.marks.clone(),
        legend: legend::legend(&drawing),
        is_proxy: about.proxy,
        has_errors: !about.is_multiclass(),
        is_about_errors: !is_about_data(&read.rule_metric()),
        drawing: (!drawing.points.is_empty()).then(|| chart::svg::series(&drawing, &size)),
        status,
        head,
        frame: frame.titled(format!("Incident {id}, {}", incident.job)),
        panels,
    };
    page.say_why_empty();
    Ok(page)
}

impl IncidentPage {
    /// Says of each panel without data which reason it is.
    fn say_why_empty(&mut self) {
        let Panels { real, changed, whom, canary, shape, worst, notified, .. } = &mut self.panels;
        let say = |panel: &mut crate::web::view::panel::Panel, is_empty: bool, why: &str| {
            *panel = std::mem::take(panel).empty_if(is_empty, why);
        };
        say(real, self.windows.is_empty(), "This rule judges no windows, or retention removed their verdicts.");
        say(
            changed,
            self.changes.is_empty(),
            "No change was reported in the week before. Pages know only reported ones: let deployments run trueup annotate.",
        );
        say(whom, self.moved.is_empty(), "The window has no cohorts, or no errors to share out.");
        say(canary, self.versions.is_empty(), "The window has no model versions.");
        say(shape, self.shape.is_empty(), "No metric of the window is kept.");
        say(
            worst,
            self.samples.is_empty(),
            "No samples were frozen: another alert of the rule carries them, or residuals are not kept.",
        );
        say(
            notified,
            self.notified.is_empty(),
            "No notification names this incident: it is suppressed, deferred, or has no receiver.",
        );
    }
}

pub(super) async fn postmortem(State(shared): State<Arc<Shared>>, Path(id): Path<String>, params: Params) -> Page {
    params.expect(&[])?;
    let id = number(&id, "incident")?;
    let record = reading::snapshot(&shared, async |connection| {
        reading::all(connection, async |c| record::read(c, id).await).await?.ok_or_else(|| unknown(id))
    })
    .await?;
    let kind = [(header::CONTENT_TYPE, "text/markdown; charset=utf-8")];
    Ok((kind, postmortem::draft(&record)).into_response())
}

/// A permalink of an alert: leads to its newest incident, or to its job if it never fired.
pub(super) async fn of_alert(State(shared): State<Arc<Shared>>, Path(id): Path<String>, params: Params) -> Page {
    frame::check(&params, &["believed"], &shared)?;
    let id = number(&id, "alert")?;
    let address = reading::snapshot(&shared, async |connection| alert_address(connection, id, &params).await).await?;
    Ok((StatusCode::FOUND, [(header::LOCATION, address)]).into_response())
}

async fn alert_address(connection: &mut PgConnection, id: i64, params: &Params) -> Result<String, PageError> {
    let links = Links::default();
    match read::of_alert(connection, id).await? {
        Some((_, Some(incident))) => Ok(format!("{}{}#alert-{id}", links.incident(incident), params.with(&[]))),
        Some((job, None)) => Ok(with_query(&links.job(&job), &[])),
        None => Err(PageError::NotFound(format!("There is no alert {id}. `trueup alerts` lists them."))),
    }
}
