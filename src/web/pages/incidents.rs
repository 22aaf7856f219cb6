//! `/incidents`: all incidents, open ones first.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::State;

use super::{Page, render};
use crate::domain::name::text_literal;
use crate::store::read::incidents::{self as read, IncidentRow, Wanted};
use crate::text::links::Links;
use crate::web::error::PageError;
use crate::web::frame::{self, Frame, Section};
use crate::web::params::Params;
use crate::web::session::Visitor;
use crate::web::view::incidents::{self as view, Line};
use crate::web::view::panel::Panel;
use crate::web::{Shared, reading};

/// Incidents on a page.
const MOST: usize = 50;

#[derive(Template)]
#[template(path = "incidents.html")]
struct IncidentsPage {
    frame: Frame,
    panel: Panel,
    lines: Vec<Line>,
    jobs: Vec<String>,
    wanted: Wanted,
    /// Address of the next page.
    more: Option<String>,
}

pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    Extension(visitor): Extension<Visitor>,
    params: Params,
) -> Page {
    frame::check(&params, &["state", "job", "severity", "after"], &shared)?;
    let wanted = wanted(&params)?;
    let page = reading::snapshot(&shared, async |connection| {
        let frame = Frame::read(connection, (&shared, &visitor, &params), Section::Incidents).await?;
        let mut panel = panel(&params, &wanted);
        let most = i64::try_from(MOST + 1).unwrap_or(i64::MAX);
        let rows = reading::panel(connection, async |c| read::list(c, &wanted, most).await).await?;
        let mut rows = panel.take(rows);
        let more = more(&params, &mut rows);
        let jobs = read::jobs(connection).await?;
        let is_filtered = wanted.is_open.is_some() || wanted.job.is_some() || wanted.severity.is_some();
        panel = panel.empty_if(rows.is_empty() && is_filtered, "No incident matches these filters.");
        panel = panel.empty_if(rows.is_empty(), "There were no incidents. One opens when an alert fires.");
        let lines = view::lines(&rows, (frame.now, frame.zone));
        Ok(IncidentsPage { frame: frame.titled("Incidents"), panel, lines, jobs, wanted, more })
    })
    .await?;
    render(&page)
}

fn wanted(params: &Params) -> Result<Wanted, PageError> {
    let state = params.one_of("state", &["open", "closed"])?;
    let after = params.get("after").map(|cursor| {
        view::place(cursor)
            .ok_or_else(|| PageError::BadRequest("`after` is no place in the list; follow the link to more".to_owned()))
    });
    Ok(Wanted {
        is_open: state.map(|state| state == "open"),
        job: params.get("job").map(str::to_owned),
        severity: params.one_of("severity", &["page", "ticket", "info"])?.map(str::to_owned),
        after: after.transpose()?,
    })
}

/// Cuts the list to one page, and returns the address of the next one.
fn more(params: &Params, rows: &mut Vec<IncidentRow>) -> Option<String> {
    let is_more = rows.len() > MOST;
    rows.truncate(MOST);
    let last = rows.last().filter(|_| is_more)?;
    Some(format!("{}{}", Links::default().incidents(), params.with(&[("after", Some(&view::cursor(last)))])))
}

fn panel(params: &Params, wanted: &Wanted) -> Panel {
    let mut conditions = Vec::new();
    if let Some(is_open) = wanted.is_open {
        conditions.push(format!("closed_at is {}null", if is_open { "" } else { "not " }));
    }
    if let Some(job) = &wanted.job {
        conditions.push(format!("job = {}", text_literal(job)));
    }
    if let Some(severity) = &wanted.severity {
        conditions.push(format!("severity = {}", text_literal(severity)));
    }
    if let Some((is_open, id)) = wanted.after {
        conditions.push(format!("(closed_at is null, incident_id) < ({is_open}, {id})"));
    }
    let filter = if conditions.is_empty() { String::new() } else { format!("\nwhere {}", conditions.join(" and ")) };
    let sql = format!(
        "select incident_id, job, severity, opened_at, closed_at, alerts, rules, acked_at, decision, judged\nfrom \
         trueup.incident_history{filter}\norder by (closed_at is null) desc, incident_id desc\nlimit {MOST};"
    );
    let says = "Alerts of one job and severity that fired at overlapping times. Open ones first, then the newest.";
    let query = params.with(&[("panel", None), ("tz", None), ("theme", None), ("before", None)]);
    Panel::new("incidents", "Incidents", says)
        .sql(sql)
        .download("CSV", format!("/api/v1/incidents.csv{query}"))
        .download("JSON", format!("/api/v1/incidents{query}"))
        .alone(format!("{}{}", Links::default().incidents(), params.with(&[("panel", Some("incidents"))])))
}
