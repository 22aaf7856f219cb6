//! `/`: all jobs, worst first.

use std::collections::BTreeSet;
use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::State;

use super::{Page, render};
use crate::store::read::overview as read;
use crate::web::Shared;
use crate::web::etag::{self, Asked};
use crate::web::frame::{self, Frame, Section};
use crate::web::params::Params;
use crate::web::reading;
use crate::web::session::Visitor;
use crate::web::view::overview::{self as view, Filter, Line, STATES};
use crate::web::view::panel::Panel;

/// Most alerts that fire which are read.
const MOST_FIRING: i64 = 10_000;
/// Values of a sparkline.
const RECENT: i64 = 60;

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    frame: Frame,
    panel: Panel,
    lines: Vec<Line>,
    /// How many jobs are in each state, worst first, with the address that shows only them.
    counts: Vec<(&'static str, &'static str, usize, String)>,
    total: usize,
    owners: BTreeSet<String>,
    filter: Filter,
}

pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    Extension(visitor): Extension<Visitor>,
    asked: Asked,
    params: Params,
) -> Page {
    frame::check(&params, &["q", "owner", "severity", "state"], &shared)?;
    let filter = Filter {
        text: params.get("q").map(str::to_owned),
        owner: params.get("owner").map(str::to_owned),
        state: params.one_of("state", &STATES)?.map(str::to_owned),
        severity: params.one_of("severity", &["page", "ticket", "info"])?.map(str::to_owned),
    };
    etag::answer(&shared, &asked, None, async |connection| {
        let frame = Frame::read(connection, (&shared, &visitor, &params), Section::Overview).await?;
        let mut panel = panel(&params);
        let all = view::jobs(reading::all(connection, async |c| read::jobs(c, None).await).await?);
        let recent = reading::panel(connection, async |c| read::recent(c, &view::shown(&all), RECENT).await).await?;
        let recent = panel.take(recent);
        let (jobs, slos) = view::objectives(&all);
        let budgets = reading::panel(connection, async |c| read::budgets(c, &jobs, &slos).await).await?;
        let budgets = panel.take(budgets);
        let firing = reading::panel(connection, async |c| read::firing(c, None, MOST_FIRING).await).await?;
        let firing = panel.take(firing);
        let lines: Vec<Line> = {
            let some: Vec<view::Job> = all.iter().filter(|job| filter.admits(job)).cloned().collect();
            view::lines(&some, &recent, (&budgets, &firing), (frame.now, frame.zone))
        };
        let counts = STATES
            .iter()
            .map(|state| {
                let count = all.iter().filter(|job| job.row.state == *state).count();
                (*state, view::letter(state), count, format!("/{}", params.with(&[("state", Some(state))])))
            })
            .filter(|(_, _, count, _)| *count > 0)
            .collect();
        let owners = all.iter().filter_map(|job| job.about.owner.clone()).collect();
        panel = panel.empty_if(all.is_empty(), "No job has run yet. `trueup run JOB` or `trueup serve` runs one.");
        panel = panel.empty_if(lines.is_empty(), "No job matches these filters.");
        render(&OverviewPage { frame, panel, lines, counts, total: all.len(), owners, filter })
    })
    .await
}

fn panel(params: &Params) -> Panel {
    Panel::new("jobs", "Jobs", "Every job as it is now: what fires first, what cannot be judged, what is late, and the rest.")
        .sql("select job, state, pages, tickets, firing_since, unsure_rule, unsure_reason, published_as_of\nfrom trueup.job_state\norder by job;")
        .download("JSON", "/api/v1/jobs".to_owned())
        .download("CSV", "/api/v1/jobs.csv".to_owned())
        .alone(format!("/{}", params.with(&[("panel", Some("jobs"))])))
}
