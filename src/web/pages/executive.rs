//! `/executive`: what was promised and kept, for a month or the last days.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::State;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::{Page, render};
use crate::domain::name::text_literal;
use crate::text::links::Links;
use crate::web::error::PageError;
use crate::web::frame::{self, Frame, Section};
use crate::web::params::Params;
use crate::web::report::{self, Report};
use crate::web::session::Visitor;
use crate::web::view::panel::{Panel, time_literal};
use crate::web::view::period::{LENGTHS, Period};
use crate::web::{Shared, reading};

#[derive(Template)]
#[template(path = "executive.html")]
struct ExecutivePage {
    frame: Frame,
    report: Report,
    panel: Panel,
    periods: Vec<(&'static str, String, bool)>,
    owner: Option<String>,
    month: String,
    is_linked: bool,
}

pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    Extension(visitor): Extension<Visitor>,
    params: Params,
) -> Page {
    frame::check(&params, &["period", "month", "week", "owner"], &shared)?;
    let owner = params.get("owner").map(str::to_owned);
    let page = reading::snapshot(&shared, async |connection| {
        let frame = Frame::read(connection, (&shared, &visitor, &params), Section::Executive).await?;
        let period = period(&params, frame.now, frame.zone)?;
        let report = report::read(connection, &period, owner.as_deref(), frame.zone).await?;
        let panel = panel(&period, owner.as_deref(), &params);
        let empty = if owner.is_some() { "No job has this owner." } else { "No job has run yet." };
        Ok(ExecutivePage {
            panel: panel.empty_if(report.lines.is_empty(), empty),
            periods: periods(&params),
            owner: owner.clone(),
            month: params.get("month").unwrap_or_default().to_owned(),
            frame: frame.titled(format!("Promises, {}", report.name)),
            report,
            is_linked: true,
        })
    })
    .await?;
    render(&page)
}

fn period(params: &Params, now: DateTime<Utc>, zone: Tz) -> Result<Period, PageError> {
    let given = ["period", "month", "week"].iter().filter(|name| params.get(name).is_some()).count();
    if given > 1 {
        return Err(PageError::BadRequest("choose one of `period`, `month` and `week`".to_owned()));
    }
    let wrong =
        |name: &str, hint: &str| PageError::BadRequest(format!("`{name}` is not a {name}; write one such as `{hint}`"));
    if let Some(month) = params.get("month") {
        return Period::month(month, zone).ok_or_else(|| wrong("month", "2026-10"));
    }
    if let Some(week) = params.get("week") {
        return Period::week(week, zone).ok_or_else(|| wrong("week", "2026-W41"));
    }
    let length = params.one_of("period", &LENGTHS.map(|(name, _)| name))?.unwrap_or("30d");
    let days = LENGTHS.iter().find(|(name, _)| *name == length).map_or(30, |(_, days)| *days);
    Period::days(days, now).ok_or_else(|| wrong("period", "30d"))
}

fn periods(params: &Params) -> Vec<(&'static str, String, bool)> {
    let here = Links::default().executive();
    let current = match (params.get("month"), params.get("week")) {
        (None, None) => params.get("period").unwrap_or("30d"),
        _ => "",
    };
    let link = |(name, _): &(&'static str, u64)| {
        let query = params.with(&[("period", Some(name)), ("month", None), ("week", None)]);
        (*name, format!("{here}{query}"), *name == current)
    };
    LENGTHS.iter().map(link).collect()
}

fn panel(period: &Period, owner: Option<&str>, params: &Params) -> Panel {
    let here = Links::default().executive();
    let owner = owner.map_or(String::new(), |owner| {
        format!("\n  and job in (select job from trueup.job_state where owner = {})", text_literal(owner))
    });
    Panel::new("promises", "Promises", "Broken promises first, then what got worse against the period before.")
        .sql(format!(
            "-- The error of a long range: from sums, never as a mean of roots.\nselect job, sqrt(sum(value * labeled) / sum(labeled)) as \
             rmse, sum(labeled) as labeled\nfrom trueup.metric_history\nwhere metric = 'mse' and window_name = 'tumbling 1d' and cohort = \
             'all' and model_version is null\n  and window_end > {} and window_end <= {} and value is not null{owner}\ngroup by job\norder by job;",
            time_literal(period.from),
            time_literal(period.to)
        ))
        .alone(format!("{here}{}", params.with(&[("panel", Some("promises"))])))
}
