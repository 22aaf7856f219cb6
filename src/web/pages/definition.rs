//! `/jobs/{job}/definition`: job files through time, and the difference between two.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, State};
use sqlx::PgConnection;

use super::{Page, render};
use crate::domain::name::text_literal;
use crate::store::read::plans::{self as read, PlanRow};
use crate::text::links::Links;
use crate::text::visible;
use crate::web::error::PageError;
use crate::web::frame::{self, Frame, Section};
use crate::web::params::Params;
use crate::web::session::Visitor;
use crate::web::view::definition::{self as view, DiffKind, DiffLine, PlanLine};
use crate::web::view::job_title::{JobTitle, job_title};
use crate::web::view::overview::Job;
use crate::web::view::panel::Panel;
use crate::web::{Shared, reading, selection};

/// Definitions that are listed.
const MOST: i64 = 100;

#[derive(Template)]
#[template(path = "definition.html")]
struct DefinitionPage {
    frame: Frame,
    title: JobTitle,
    list: Panel,
    plans: Vec<PlanLine>,
    has_more: bool,
    difference: Panel,
    plan: Option<i64>,
    against: Option<i64>,
    words: Vec<String>,
    lines: Vec<DiffLine>,
    file: Panel,
    text: String,
}

pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    Extension(visitor): Extension<Visitor>,
    Path(name): Path<String>,
    params: Params,
) -> Page {
    frame::check(&params, &["plan", "against"], &shared)?;
    let plan = params.number("plan", 1..=i64::MAX)?;
    let against = params.number("against", 1..=i64::MAX)?;
    let page = reading::snapshot(&shared, async |connection| {
        let job = selection::job(connection, &name).await?;
        let frame = Frame::read(connection, (&shared, &visitor, &params), Section::Elsewhere).await?;
        page(connection, frame.titled(format!("Definition of {name}")), &job, (plan, against)).await
    })
    .await?;
    render(&page)
}

async fn page(
    connection: &mut PgConnection,
    frame: Frame,
    job: &Job,
    asked: (Option<i64>, Option<i64>),
) -> Result<DefinitionPage, PageError> {
    let name = &job.row.job;
    let mut rows = read::list(connection, name, MOST + 1).await?;
    let most = usize::try_from(MOST).unwrap_or_default();
    let has_more = rows.len() > most;
    rows.truncate(most);
    let (plan, against) = chosen(&rows, asked);
    let text = text(connection, name, plan).await?;
    let before = text_if(connection, name, against).await?;
    let lines = before.as_deref().map_or_else(Vec::new, |before| view::diff(before, &text));
    let words = before.as_deref().map_or_else(Vec::new, |before| view::changes(before, &text));
    let [list, difference, file] = panels(name, plan, against);
    let why = if against.is_none() { "There is no earlier definition." } else { "The two files are the same." };
    Ok(DefinitionPage {
        title: job_title(job, "definition", None, None),
        plans: view::plans(name, &rows, (plan, against), frame.zone),
        list: list.empty_if(rows.is_empty(), "The job has not run yet."),
        has_more,
        difference: difference.empty_if(lines.is_empty(), why),
        plan,
        against,
        words,
        lines,
        file: file.empty_if(text.is_empty(), "The job has not run yet."),
        text: visible::lines(&text),
        frame,
    })
}

/// The definition that is shown, and the one that it is compared with: unless they are named, the newest and the one before.
fn chosen(rows: &[PlanRow], (plan, against): (Option<i64>, Option<i64>)) -> (Option<i64>, Option<i64>) {
    let plan = plan.or(rows.first().map(|row| row.plan_id));
    let at = rows.iter().position(|row| Some(row.plan_id) == plan);
    let before = at.and_then(|at| rows.get(at + 1)).map(|row| row.plan_id);
    (plan, against.or(before))
}

async fn text(connection: &mut PgConnection, job: &str, plan: Option<i64>) -> Result<String, PageError> {
    Ok(text_if(connection, job, plan).await?.unwrap_or_default())
}

async fn text_if(connection: &mut PgConnection, job: &str, plan: Option<i64>) -> Result<Option<String>, PageError> {
    let Some(plan) = plan else { return Ok(None) };
    let text = read::text(connection, job, plan).await?;
    text.map(Some).ok_or_else(|| PageError::NotFound(format!("The job has no definition {plan}.")))
}

fn panels(job: &str, plan: Option<i64>, against: Option<i64>) -> [Panel; 3] {
    let here = Links::default().job_part(job, "definition");
    let alone = |id: &str| crate::text::links::with_query(&here, &[("panel", Some(id))]);
    let job = text_literal(job);
    let specs = |ids: &[Option<i64>]| {
        let ids: Vec<String> = ids.iter().flatten().map(i64::to_string).collect();
        format!(
            "select plan_id, spec\nfrom trueup.plan_history\nwhere job = {job} and plan_id in ({});",
            ids.join(", ")
        )
    };
    let list = Panel::new("plans", "Definitions", "Each change of what is measured, newest first. A change of rules alone is no new definition.")
        .sql(format!(
            "select plan_id, created_at, used_at, measured_as_of, is_current\nfrom trueup.plan_history\nwhere job = {job}\norder by \
             created_at desc;"
        ))
        .alone(alone("plans"));
    let mut difference = Panel::new("difference", "What changed", "By key, and by line.").alone(alone("difference"));
    let mut file =
        Panel::new("file", "Job file", "As it was when this definition was first used.").alone(alone("file"));
    if plan.is_some() {
        difference = difference.sql(specs(&[plan, against]));
        file = file.sql(specs(&[plan]));
    }
    [list, difference, file]
}
