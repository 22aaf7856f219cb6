//! `/runs` and `/runs/{id}`: what ran, when, for how long, and how it ended.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, State};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{Page, render};
use crate::store::read::overview as jobs;
use crate::store::read::runs::{self as read, Neighbors, RunFilter, RunRow};
use crate::text::links::{Links, instant};
use crate::web::error::PageError;
use crate::web::frame::{self, Frame, Section};
use crate::web::params::Params;
use crate::web::session::Visitor;
use crate::web::view::overview;
use crate::web::view::panel::Panel;
use crate::web::view::runs::{self as view, Effect, Fact, GridLine, RunLine, STATES, TRIGGERS};
use crate::web::view::words::{self, When};
use crate::web::{Shared, reading};

/// Runs of a job in the grid, and runs of a page of the list.
const GRID: i64 = 48;
const LISTED: i64 = 50;
/// Changes and notifications of one run that are shown.
const MOST_EFFECTS: i64 = 100;

#[derive(Template)]
#[template(path = "runs.html")]
struct RunsPage {
    frame: Frame,
    grid: Panel,
    jobs: Vec<GridLine>,
    list: Panel,
    lines: Vec<RunLine>,
    older: Option<String>,
    newest: Option<String>,
    filter: RunFilter,
    from: String,
    to: String,
    names: Vec<String>,
}

impl RunsPage {
    fn states(&self) -> [&'static str; 5] {
        STATES
    }

    fn triggers(&self) -> [&'static str; 5] {
        TRIGGERS
    }
}

pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    Extension(visitor): Extension<Visitor>,
    params: Params,
) -> Page {
    frame::check(&params, &["job", "state", "trigger", "from", "to", "before"], &shared)?;
    let page = reading::snapshot(&shared, async |connection| {
        let frame = Frame::read(connection, (&shared, &visitor, &params), Section::Runs).await?;
        runs_page(connection, frame.titled("Runs"), &params).await
    })
    .await?;
    render(&page)
}

async fn runs_page(connection: &mut PgConnection, frame: Frame, params: &Params) -> Result<RunsPage, PageError> {
    let filter = filter(params, frame.now)?;
    let here = Links::default().runs();
    let all = overview::jobs(reading::all(connection, async |c| jobs::jobs(c, None).await).await?);
    let names: Vec<String> = all.iter().map(|job| job.row.job.clone()).collect();
    let shown: Vec<String> =
        names.iter().filter(|name| filter.job.as_ref().is_none_or(|job| job == *name)).cloned().collect();
    let alone = |id: &str| format!("{here}{}", params.with(&[("panel", Some(id))]));
    let query = params.with(&[("panel", None), ("tz", None), ("theme", None), ("before", None)]);
    let mut grid = Panel::new("grid", "By job", "The last 48 runs of each job, the newest at the right. A square is a run.")
        .sql("select job, scheduled_for, state, trigger, run_id, failure, reason\nfrom trueup.run_history\norder by job, scheduled_for desc;")
        .alone(alone("grid"));
    let mut list = Panel::new("list", "All runs", "Newest first, by the time at which they were due.")
        .sql(view::sql(&filter))
        .download("CSV", format!("/api/v1/runs.csv{query}"))
        .download("JSON", format!("/api/v1/runs{query}"))
        .alone(alone("list"));
    let recent = reading::panel(connection, async |c| read::recent(c, &shown, filter.to, GRID).await).await?;
    let recent = grid.take(recent);
    let rows = reading::panel(connection, async |c| read::list(c, &filter).await).await?;
    let mut rows = list.take(rows);
    let last = usize::try_from(LISTED).unwrap_or_default();
    let older = (rows.len() > last).then(|| {
        rows.truncate(last);
        let row = &rows[last - 1];
        let before = format!("{}~{}", instant(row.scheduled_for), row.run_id);
        format!("{here}{}", params.with(&[("before", Some(&before))]))
    });
    let time = (frame.now, frame.zone);
    let why = if query.is_empty() { "No job has run yet." } else { "No run matches these filters." };
    Ok(RunsPage {
        jobs: view::grid(&all, &recent, time),
        grid: grid.empty_if(recent.is_empty(), "No job has run yet."),
        list: list.empty_if(rows.is_empty(), why),
        lines: view::lines(&rows, time),
        older,
        newest: filter.before.map(|_| format!("{here}{}", params.with(&[("before", None)]))),
        from: params.get("from").unwrap_or_default().to_owned(),
        to: params.get("to").unwrap_or_default().to_owned(),
        names,
        filter,
        frame,
    })
}

fn filter(params: &Params, now: DateTime<Utc>) -> Result<RunFilter, PageError> {
    let before = params.get("before").map(|text| {
        let (at, id) = text.split_once('~')?;
        Some((DateTime::parse_from_rfc3339(at).ok()?.to_utc(), id.parse().ok()?))
    });
    if before == Some(None) {
        return Err(PageError::BadRequest("`before` is not the place of a run; follow the link `older`".to_owned()));
    }
    Ok(RunFilter {
        job: params.get("job").map(str::to_owned),
        state: params.one_of("state", &STATES)?.map(str::to_owned),
        trigger: params.one_of("trigger", &TRIGGERS)?.map(str::to_owned),
        from: params.time("from", now)?,
        to: params.time("to", now)?,
        before: before.flatten(),
        limit: LISTED + 1,
    })
}

#[derive(Template)]
#[template(path = "run.html")]
struct RunPage {
    frame: Frame,
    run: Panel,
    line: RunLine,
    times: Vec<(&'static str, When)>,
    facts: Vec<Fact>,
    definition: Option<String>,
    effects: Panel,
    changes: Vec<Effect>,
    notices: Vec<Effect>,
    before: Option<String>,
    after: Option<String>,
}

pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
    params: Params,
) -> Page {
    frame::check(&params, &[], &shared)?;
    let page = reading::snapshot(&shared, async |connection| {
        let missing = || PageError::NotFound(format!("There is no run `{}`.", crate::text::line::clipped(&id, 40)));
        let number: i64 = id.parse().map_err(|_| missing())?;
        let row = reading::all(connection, async |c| read::one(c, number).await).await?.ok_or_else(missing)?;
        let frame = Frame::read(connection, (&shared, &visitor, &params), Section::Runs).await?;
        run_page(connection, frame.titled(format!("Run {number}")), &row).await
    })
    .await?;
    render(&page)
}

async fn run_page(connection: &mut PgConnection, frame: Frame, row: &RunRow) -> Result<RunPage, PageError> {
    let id = row.run_id;
    let run = Panel::new("run", "What it did", "Counts of rows and buckets, by the run itself.")
        .sql(format!("select *\nfrom trueup.run_history\nwhere run_id = {id};"));
    let mut effects = Panel::new("effects", "What it changed", "Alerts whose state it changed, and messages it wrote last.")
        .sql(format!(
            "select changed_at, rule, cohort, model_version, from_state, to_state, reason\nfrom trueup.alert_history\nwhere run_id = \
             {id}\norder by changed_at, alert_id;"
        ));
    let changes = reading::panel(connection, async |c| read::changes(c, row, MOST_EFFECTS).await).await?;
    let changes = view::changes(&effects.take(changes));
    let notices = reading::panel(connection, async |c| read::notices(c, row, MOST_EFFECTS).await).await?;
    let notices = view::notices(&effects.take(notices));
    let Neighbors { before, after } = read::neighbors(connection, row).await?;
    let link = |id: Option<i64>| id.map(|id| Links::default().run(id));
    let times = [
        ("due", Some(row.scheduled_for)),
        ("started", row.started_at),
        ("finished", row.finished_at),
        ("arrivals seen until", row.as_of),
    ];
    let zone = frame.zone;
    let plan = row.plan_id.map(|plan| plan.to_string());
    let definition = Links::default().job_part(&row.job, "definition");
    Ok(RunPage {
        run,
        line: view::line(row, (frame.now, zone)),
        times: times.into_iter().filter_map(|(name, at)| Some((name, words::when(at?, zone)))).collect(),
        facts: view::facts(row),
        definition: plan.map(|plan| crate::text::links::with_query(&definition, &[("plan", Some(&plan))])),
        effects: effects
            .empty_if(changes.is_empty() && notices.is_empty(), "It changed no alert and wrote no message."),
        changes,
        notices,
        before: link(before),
        after: link(after),
        frame,
    })
}
