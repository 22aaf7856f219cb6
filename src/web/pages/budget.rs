//! `/jobs/{job}/budget/{slo}`: what is left of an error budget, and who spent it.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, State};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;

use super::{Page, render};
use crate::chart::{Svg, bars, steps};
use crate::domain::about::{About, AboutSlo};
use crate::domain::name::text_literal;
use crate::evaluate::spending;
use crate::store::read::budget::{self as read, AdjustmentRow, BudgetRange, DayRow, EvaluationRow, LeftRow};
use crate::text::line::clipped;
use crate::text::links::{Links, escaped, instant};
use crate::web::error::PageError;
use crate::web::frame::{self, Frame, Section};
use crate::web::params::Params;
use crate::web::session::Visitor;
use crate::web::view::budget::{self as view, BurnLine, CohortLine, DayLine, Now};
use crate::web::view::job_title::{JobTitle, job_title};
use crate::web::view::overview::Job;
use crate::web::view::panel::{Panel, time_literal};
use crate::web::{Shared, reading, selection};

/// Steps of the line, adjustments and cohorts that are shown.
const MOST_STEPS: i32 = 400;
const MOST_ADJUSTMENTS: i64 = 40;
const MOST_COHORTS: i64 = 20;

#[derive(Template)]
#[template(path = "budget.html")]
struct BudgetPage {
    frame: Frame,
    title: JobTitle,
    slo: AboutSlo,
    promise: String,
    others: Vec<(String, String, bool)>,
    now: Option<Now>,
    gate: String,
    left: Panel,
    drawing: Option<Svg>,
    adjustments: Vec<String>,
    burns: Panel,
    rates: Vec<BurnLine>,
    days: Panel,
    bars: Option<Svg>,
    by_day: Vec<DayLine>,
    coming_back: Option<String>,
    cohorts: Panel,
    by_cohort: Vec<CohortLine>,
}

pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    Extension(visitor): Extension<Visitor>,
    Path((name, slo)): Path<(String, String)>,
    params: Params,
) -> Page {
    frame::check(&params, &["from", "to", "as_of"], &shared)?;
    let page = reading::snapshot(&shared, async |connection| {
        let job = selection::job(connection, &name).await?;
        let slo = objective(&job.about, &slo)?;
        let frame = Frame::read(connection, (&shared, &visitor, &params), Section::Elsewhere).await?;
        let frame = frame.titled(format!("{} of {name}", slo.name));
        page(connection, frame, (&job, slo), &params).await
    })
    .await?;
    render(&page)
}

fn objective(about: &About, name: &str) -> Result<AboutSlo, PageError> {
    about.slos.iter().find(|slo| slo.name == name).cloned().ok_or_else(|| {
        let known: Vec<&str> = about.slos.iter().map(|slo| slo.name.as_str()).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        PageError::NotFound(format!("The job has no objective `{}`; it has {known}.", clipped(name, 60)))
    })
}

/// The rows of the page.
#[derive(Default)]
struct Read {
    newest: Option<EvaluationRow>,
    left: Vec<LeftRow>,
    adjustments: Vec<AdjustmentRow>,
    days: Vec<DayRow>,
    cohorts: Vec<read::CohortRow>,
}

async fn page(
    connection: &mut PgConnection,
    frame: Frame,
    (job, slo): (&Job, AboutSlo),
    params: &Params,
) -> Result<BudgetPage, PageError> {
    let range = range(&job.row.job, &slo, params, frame.now)?;
    let window = day_window(&job.about);
    let [mut left, burns, mut days, mut cohorts] = panels(&range, &slo, window, params);
    let read = read(connection, &range, (&slo, window), [&mut left, &mut days, &mut cohorts]).await?;
    let zone = frame.zone;
    let newest = read.newest.as_ref();
    let rates = newest.map_or_else(Vec::new, |row| view::burns(&range.job, &slo, row));
    let label = format!("what is left of the budget of {}", slo.name);
    let drawing = view::drawing(&read.left, &read.adjustments, zone, label);
    let coming_back = newest.and_then(|row| {
        let allowed = spending::allowed(row.objective, row.total);
        let back = spending::coming_back(
            &view::spent(&read.days),
            (row.period_start, row.period_start + view::SOON),
            allowed,
        )?;
        Some(view::coming_back_words(back, allowed, zone))
    });
    let metric = slo.metric.as_deref().unwrap_or_default();
    let links = Links::default();
    let others = job.about.slos.iter();
    let others =
        others.map(|one| (one.name.clone(), links.budget(&range.job, &one.name), one.name == slo.name)).collect();
    let gate = format!("/api/v1/jobs/{}/gate?slo={}", escaped(&range.job), escaped(&slo.name));
    Ok(BudgetPage {
        title: job_title(job, "budget", slo.owner.as_deref(), slo.runbook.as_deref()),
        promise: view::promise(&slo),
        others,
        now: newest.map(|row| view::now(row, frame.now, zone)),
        gate,
        left: left.empty_if(read.left.is_empty(), "No run has evaluated this objective in this range."),
        drawing: (!read.left.is_empty()).then(|| steps::svg(&drawing)),
        adjustments: read.adjustments.iter().rev().map(|row| view::adjustment_words(row, zone)).collect(),
        burns: burns.empty_if(rates.is_empty(), "The objective has no burn rate that fires an alert."),
        rates,
        by_day: view::days(&read.days, (&range.job, window.unwrap_or_default(), metric), zone),
        bars: (!read.days.is_empty())
            .then(|| bars::svg(&view::bars(&read.days, zone, "bad predictions by day".to_owned()))),
        days: days.empty_if(read.days.is_empty(), why_no_days(&slo, window)),
        coming_back,
        by_cohort: view::cohorts(&read.cohorts, &range.job),
        cohorts: cohorts.empty_if(read.cohorts.is_empty(), why_no_days(&slo, window)),
        slo,
        frame,
    })
}

fn why_no_days(slo: &AboutSlo, window: Option<&str>) -> &'static str {
    match (&slo.metric, window) {
        (None, _) => "The objective counts windows, not predictions.",
        (_, None) => "The job keeps no `tumbling 1d` windows; with them, the page shows who spent the budget and when.",
        _ => "Nothing was measured in this period.",
    }
}

/// The range of the line: two periods, so that one sees what comes back.
fn range(job: &str, slo: &AboutSlo, params: &Params, now: DateTime<Utc>) -> Result<BudgetRange, PageError> {
    let as_of = params.time("as_of", now)?;
    let to = params.time("to", now)?.or(as_of).unwrap_or(now);
    let usual = to - TimeDelta::seconds(slo.period_seconds.clamp(0, 366 * 86_400) * 2);
    let from = params.time("from", now)?.unwrap_or(usual);
    if from >= to {
        return Err(PageError::BadRequest("`from` is not before `to`".to_owned()));
    }
    Ok(BudgetRange { job: job.to_owned(), slo: slo.name.clone(), from, to, as_of })
}

/// Days, if the job measures them.
fn day_window(about: &About) -> Option<&str> {
    let day = about.windows.iter().find(|window| !window.is_rolling && window.seconds == 86_400);
    day.map(|window| window.name.as_str())
}

async fn read(
    connection: &mut PgConnection,
    range: &BudgetRange,
    (slo, window): (&AboutSlo, Option<&str>),
    [left, days, cohorts]: [&mut Panel; 3],
) -> Result<Read, PageError> {
    let name = (range.job.as_str(), range.slo.as_str());
    let newest = reading::panel(connection, async |c| read::newest(c, name, Some(range.to), range.as_of).await).await?;
    let mut read = Read { newest: left.take(newest), ..Read::default() };
    let mut range = range.clone();
    // History that ended long before now is shown up to its end.
    if let Some(newest) = &read.newest
        && newest.period_end <= range.from
    {
        let length = range.to - range.from;
        (range.from, range.to) = (newest.period_end - length, newest.period_end);
    }
    let steps = reading::panel(connection, async |c| read::left(c, &range, MOST_STEPS).await).await?;
    read.left = left.take(steps);
    let adjusted = reading::panel(connection, async |c| read::adjustments(c, &range, MOST_ADJUSTMENTS).await).await?;
    read.adjustments = left.take(adjusted);
    if let (Some(metric), Some(window), Some(newest)) = (&slo.metric, window, &read.newest) {
        let of = (range.job.as_str(), window, metric.as_str());
        let period = (newest.period_start, newest.period_end);
        read.days = days.take(reading::panel(connection, async |c| read::days(c, of, period).await).await?);
        let spent = reading::panel(connection, async |c| read::cohorts(c, of, period, MOST_COHORTS).await).await?;
        read.cohorts = cohorts.take(spent);
    }
    Ok(read)
}

fn panels(range: &BudgetRange, slo: &AboutSlo, window: Option<&str>, params: &Params) -> [Panel; 4] {
    let here = Links::default().budget(&range.job, &range.slo);
    let alone = |id: &str| format!("{here}{}", params.with(&[("panel", Some(id))]));
    let query = params.with(&[("panel", None), ("tz", None), ("theme", None)]);
    let of = format!("where job = {} and slo = {}", text_literal(&range.job), text_literal(&range.slo));
    let known = range.as_of.map_or(String::new(), |at| format!(" and as_of <= {}", time_literal(at)));
    let left = Panel::new("left", "Left over time", "By the end of the period; labels had their time for everything before it.")
        .sql(format!(
            "select kind, period_end, bad, total, budget_left, exhausted_at\nfrom trueup.slo_history\n{of}{known}\n  and period_end <= \
             {}\norder by period_end;",
            time_literal(range.to)
        ))
        .download("JSON", format!("/api/v1/jobs/{}/budget/{}{query}", escaped(&range.job), escaped(&range.slo)))
        .alone(alone("left"));
    let burns = Panel::new("burns", "Burn rates", "1× spends the budget exactly over the period. An alert fires if both windows are faster than its factor.")
        .sql(format!(
            "select period_end, rate.value ->> 'long' as long, rate.value ->> 'short' as short, rate.value ->> 'long_burn' as long_burn, \
             rate.value ->> 'short_burn' as short_burn, rate.value ->> 'factor' as factor\nfrom (select * from trueup.slo_history {of}{known} and kind = \
             'evaluation' and period_end <= {} order by period_end desc, evaluated_at desc limit 1) as newest\ncross join jsonb_array_elements(burn) as rate;",
            time_literal(range.to)
        ))
        .alone(alone("burns"));
    let source = format!(
        "where job = {} and window_name = {} and metric = {} and model_version is null",
        text_literal(&range.job),
        text_literal(window.unwrap_or_default()),
        text_literal(slo.metric.as_deref().unwrap_or_default())
    );
    let counts = "sum(labeled - round(coalesce(value, 0) * labeled))::bigint as bad, sum(labeled)::bigint as total";
    let until = instant(range.to);
    let days = Panel::new("days", "By day", "Bad predictions of each day of the period; the line across a bar is the first report.")
        .sql(format!(
            "select window_end, {counts}\nfrom trueup.metric_history\n{source} and cohort = 'all' and window_end <= '{until}'\ngroup by \
             window_end\norder by window_end desc;"
        ))
        .alone(alone("days"));
    let cohorts = Panel::new("cohorts", "By cohort", "Who spent it: whole days of the period, most bad predictions first.")
        .sql(format!(
            "select cohort, {counts}\nfrom trueup.metric_history\n{source} and cohort <> 'all' and window_end <= '{until}'\ngroup by \
             cohort\norder by bad desc, cohort;"
        ))
        .alone(alone("cohorts"));
    [left, burns, days, cohorts]
}
