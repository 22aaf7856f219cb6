//! `/jobs/{job}/rules/{rule}`: verdicts and firings of a rule, and whether they were right.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, State};
use sqlx::PgConnection;

use super::{Page, render};
use crate::chart::{self, Size, Svg};
use crate::domain::about::About;
use crate::domain::name::text_literal;
use crate::store::read::firings::{self as read, FiringFilter, StripFilter, TargetRow};
use crate::text::line::clipped;
use crate::text::links::Links;
use crate::web::error::PageError;
use crate::web::frame::{self, Frame, Section};
use crate::web::params::Params;
use crate::web::selection::{self, Selection};
use crate::web::session::Visitor;
use crate::web::view::cells::{Cell, conditions};
use crate::web::view::job_title::{JobTitle, job_title};
use crate::web::view::overview::Job;
use crate::web::view::panel::{Panel, equals, time_literal};
use crate::web::view::rule::{self as view, FiringLine, RuleTab, TargetLink};
use crate::web::view::series::Rows;
use crate::web::view::words;
use crate::web::{Shared, reading};

/// Windows of the strip, firings, and targets that are shown.
const WINDOWS: i64 = 192;
const MOST_FIRINGS: i64 = 100;
const MOST_TARGETS: i64 = 60;

#[derive(Template)]
#[template(path = "rule.html")]
struct RulePage {
    frame: Frame,
    title: JobTitle,
    rule: String,
    condition: String,
    tabs: Vec<RuleTab>,
    of: String,
    with_alerts: String,
    targets: Vec<TargetLink>,
    verdicts: Panel,
    drawing: Option<Svg>,
    strip: Vec<(Cell, bool)>,
    counts: Vec<(String, &'static str)>,
    firings: Panel,
    quality: Vec<(String, String)>,
    lines: Vec<FiringLine>,
    has_more: bool,
}

pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    Extension(visitor): Extension<Visitor>,
    Path((name, rule)): Path<(String, String)>,
    params: Params,
) -> Page {
    frame::check(&params, &["cohort", "version", "from", "to"], &shared)?;
    let page = reading::snapshot(&shared, async |connection| {
        let job = selection::job(connection, &name).await?;
        let with_alerts = read::rules(connection, &name).await?;
        let tabs = view::tabs(&name, &job.about, &with_alerts, &rule);
        if !tabs.iter().any(|tab| tab.is_current) {
            let known: Vec<String> = tabs.into_iter().map(|tab| tab.name).collect();
            let words = format!("The job has no rule `{}`; it has {}.", clipped(&rule, 60), known.join(", "));
            return Err(PageError::NotFound(words));
        }
        let frame = Frame::read(connection, (&shared, &visitor, &params), Section::Elsewhere).await?;
        let frame = frame.titled(format!("{rule} of {name}"));
        page(connection, frame, (&job, &rule, tabs), &params).await
    })
    .await?;
    render(&page)
}

async fn page(
    connection: &mut PgConnection,
    frame: Frame,
    (job, rule, tabs): (&Job, &str, Vec<RuleTab>),
    params: &Params,
) -> Result<RulePage, PageError> {
    let name = &job.row.job;
    let mut targets = read::targets(connection, name, rule, MOST_TARGETS).await?;
    // A cohort that is hidden has no verdicts of its own here.
    targets.retain(|target| !reading::hides(&target.cohort));
    let mut strip = strip_filter((name, rule), params, &frame)?;
    if params.get("cohort").is_none() && params.get("version").is_none() {
        let (cohort, version) = usual_target(connection, (name, rule), &targets).await?;
        if !reading::hides(&cohort) {
            (strip.cohort, strip.version) = (cohort, version);
        }
    }
    let firing = firing_filter(&strip, params, &frame);
    let [mut verdicts, mut firings] = panels(&strip, &firing, params);
    let judged = reading::panel(connection, async |c| read::strip(c, &strip).await).await?;
    let judged = verdicts.take(judged);
    let fired = reading::panel(connection, async |c| read::list(c, &firing).await).await?;
    let mut fired = firings.take(fired);
    let most = usize::try_from(MOST_FIRINGS).unwrap_or_default();
    let has_more = fired.len() > most;
    fired.truncate(most);
    let mut drawing = None;
    if let Some(selection) = selected(connection, &job.about, &strip, params).await {
        let rows = reading::panel(connection, async |c| selection::rows(c, &selection).await).await?;
        drawing = draw(&selection, &verdicts.take(rows), frame.zone);
    }
    let about = job.about.rules.iter().find(|one| one.name == rule);
    let slo = job.about.slos.iter().find(|slo| slo.burns.iter().any(|burn| burn.alert == rule));
    let owner = about.and_then(|rule| rule.owner.as_deref()).or(slo.and_then(|slo| slo.owner.as_deref()));
    let runbook = about.and_then(|rule| rule.runbook.as_deref()).or(slo.and_then(|slo| slo.runbook.as_deref()));
    let of = (strip.cohort.as_str(), strip.version.as_deref());
    Ok(RulePage {
        title: job_title(job, "rules", owner, runbook),
        condition: view::condition(&job.about, rule),
        rule: rule.to_owned(),
        tabs,
        of: words::target(of.0, of.1),
        with_alerts: words::plural(i64::try_from(targets.len()).unwrap_or(i64::MAX), "target"),
        targets: view::targets(name, rule, &targets),
        strip: view::strip(name, &judged, of, frame.zone),
        counts: view::counts(&judged),
        verdicts: verdicts.empty_if(judged.is_empty(), "The rule has judged no window of this cohort in this range."),
        drawing,
        quality: if fired.is_empty() { Vec::new() } else { view::quality_facts(view::quality(&fired)) },
        lines: view::firings(&fired, view::Finality::of(job, rule), (frame.now, frame.zone)),
        firings: firings.empty_if(fired.is_empty(), "It did not fire in this range."),
        has_more,
        frame,
    })
}

/// The target that is shown unless one is chosen: an open alert, else everything or what the rule judges instead.
async fn usual_target(
    connection: &mut PgConnection,
    (job, rule): (&str, &str),
    targets: &[TargetRow],
) -> sqlx::Result<(String, Option<String>)> {
    let open = targets.iter().find(|target| target.state == "firing" || target.state == "pending");
    if let Some(open) = open {
        return Ok((open.cohort.clone(), open.model_version.clone()));
    }
    let judged = read::judged_target(connection, job, rule).await?;
    Ok(judged.unwrap_or_else(|| ("all".to_owned(), None)))
}

fn strip_filter((job, rule): (&str, &str), params: &Params, frame: &Frame) -> Result<StripFilter, PageError> {
    let (from, to) = (params.time("from", frame.now)?, params.time("to", frame.now)?);
    if from.zip(to).is_some_and(|(from, to)| from >= to) {
        return Err(PageError::BadRequest("`from` is not before `to`".to_owned()));
    }
    Ok(StripFilter {
        job: job.to_owned(),
        rule: rule.to_owned(),
        cohort: selection::cohort(params)?,
        version: params.get("version").map(str::to_owned),
        from,
        to,
        limit: WINDOWS,
    })
}

/// Firings of the chosen cohort, or of all.
fn firing_filter(strip: &StripFilter, params: &Params, frame: &Frame) -> FiringFilter {
    FiringFilter {
        jobs: vec![strip.job.clone()],
        rule: Some(strip.rule.clone()),
        severity: None,
        cohort: params.get("cohort").map(str::to_owned),
        version: params.get("version").map(str::to_owned),
        from: strip.from.unwrap_or_default(),
        to: strip.to.unwrap_or(frame.now),
        limit: MOST_FIRINGS + 1,
    }
}

/// Draws the metric that the rule judges, if pages show it.
fn draw(selection: &Selection, rows: &Rows, zone: chrono_tz::Tz) -> Option<Svg> {
    let series = selection::chart(selection, rows, zone);
    let of = &selection.of;
    let unit = selection.about().metric(&of.metric).map_or(String::new(), |metric| metric.unit.trim().to_owned());
    let label = format!("{} of {}, {}", of.metric, of.window, of.cohort);
    (!series.points.is_empty()).then(|| chart::svg::series(&series, &Size { height: 200, zone, unit, label }))
}

async fn selected(
    connection: &mut PgConnection,
    about: &About,
    strip: &StripFilter,
    params: &Params,
) -> Option<Selection> {
    let rule = about.rules.iter().find(|one| one.name == strip.rule)?;
    about.metric(&rule.metric)?;
    let chosen = params.with(&[
        ("window", Some(&rule.window)),
        ("metric", Some(&rule.metric)),
        ("cohort", Some(&strip.cohort)),
        ("version", strip.version.as_deref()),
        ("panel", None),
    ]);
    let chosen = Params::parse(chosen.trim_start_matches('?')).ok()?;
    let mut selection = selection::select(connection, &strip.job, &chosen).await.ok()?;
    selection.rules.retain(|name| *name == strip.rule);
    Some(selection)
}

fn panels(strip: &StripFilter, firing: &FiringFilter, params: &Params) -> [Panel; 2] {
    let here = Links::default().rule(&strip.job, &strip.rule);
    let alone = |id: &str| format!("{here}{}", params.with(&[("panel", Some(id))]));
    let judged = conditions([
        Some(format!("job = {}", text_literal(&strip.job))),
        Some(format!("rule = {}", text_literal(&strip.rule))),
        Some(format!("cohort = {}", text_literal(&strip.cohort))),
        Some(equals("model_version", strip.version.as_deref())),
        strip.from.map(|at| format!("window_end > {}", time_literal(at))),
        strip.to.map(|at| format!("window_end <= {}", time_literal(at))),
    ]);
    let verdicts = Panel::new("verdicts", "Verdicts", "The newest windows, oldest first. Underlined: later labels judged otherwise.")
        .sql(format!(
            "select window_end, verdict, retroactive, value, limit_value, labeled, reason\nfrom trueup.verdict_history\n{judged}order by \
             window_end desc, evaluated_at;"
        ))
        .alone(alone("verdicts"));
    let event_time = "coalesce((evidence ->> 'window_end')::timestamptz, since, changed_at)";
    let fired = conditions([
        Some(format!("job = {}", text_literal(&strip.job))),
        Some(format!("rule = {}", text_literal(&strip.rule))),
        Some("to_state = 'firing' and from_state <> 'firing'".to_owned()),
        firing.cohort.as_ref().map(|cohort| format!("cohort = {}", text_literal(cohort))),
        firing.version.as_ref().map(|version| format!("model_version = {}", text_literal(version))),
        strip.from.map(|at| format!("{event_time} > {}", time_literal(at))),
        strip.to.map(|at| format!("{event_time} <= {}", time_literal(at))),
    ]);
    let firings = Panel::new(
        "firings",
        "Firings and alert quality",
        "A firing is confirmed if all windows that made it fire are in breach by the newest labels.",
    )
    .sql(format!(
        "select changed_at, alert_id, cohort, model_version, severity, since, value, limit_value\nfrom trueup.alert_history\n{fired}order \
         by changed_at desc;"
    ))
    .alone(alone("firings"));
    [verdicts, firings]
}
