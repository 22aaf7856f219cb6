//! `/silences`: who muted what, why, until when, and which alerts that hides. A new one is previewed before it is created.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, State};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;

use super::acts::{field, to};
use super::{Page, render};
use crate::domain::name::text_literal;
use crate::store::read::silences::{self as read, FiredRow, SilenceFilter, SilenceRow};
use crate::text::links::Links;
use crate::web::acting::silences::{self, Planned, SilenceRequest};
use crate::web::acting::{allowed, number};
use crate::web::error::PageError;
use crate::web::frame::{self, Frame, Section};
use crate::web::params::Params;
use crate::web::session::Visitor;
use crate::web::view::panel::Panel;
use crate::web::view::silences::{self as view, Line, MutedLine};
use crate::web::{Shared, reading};

/// Silences on a page, and firings that are compared with them.
const MOST: usize = 100;
const MOST_FIRINGS: i64 = 5_000;

#[derive(Template)]
#[template(path = "silences.html")]
struct SilencesPage {
    frame: Frame,
    panel: Panel,
    lines: Vec<Line>,
    state: Option<String>,
    job: Option<String>,
    jobs: Vec<String>,
    more: Option<String>,
    preview: Option<Preview>,
    action: String,
}

/// A silence that is not created yet, and what it would mute.
struct Preview {
    given: Planned,
    matches: String,
    lines: Vec<MutedLine>,
}

pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    Extension(visitor): Extension<Visitor>,
    params: Params,
) -> Page {
    frame::check(&params, &["state", "job", "before"], &shared)?;
    let page =
        reading::snapshot(&shared, async |connection| page(connection, (&shared, &visitor), &params, None).await);
    render(&page.await?)
}

/// Reads the list; with a silence to preview, also what it would mute.
async fn page(
    connection: &mut PgConnection,
    (shared, visitor): (&Shared, &Visitor),
    params: &Params,
    given: Option<Planned>,
) -> Result<SilencesPage, PageError> {
    let frame = Frame::read(connection, (shared, visitor, params), Section::Silences).await?;
    let state = params.one_of("state", &["active", "ended"])?;
    let in_force = state.map(|state| state == "active");
    let job = params.get("job");
    let before = params.number("before", 1..=i64::MAX)?;
    let mut panel = panel(params, (in_force, job), before);
    let filter = SilenceFilter {
        in_force,
        job: job.map(str::to_owned),
        with_general: false,
        before,
        limit: i64::try_from(MOST + 1).unwrap_or(i64::MAX),
    };
    let rows = reading::panel(connection, async |c| read::list(c, &filter).await).await?;
    let mut rows = panel.take(rows);
    let more = more(params, &mut rows);
    let range = range(&rows, frame.now);
    let fired = reading::panel(connection, async |c| read::firings(c, range, MOST_FIRINGS).await).await?;
    let fired: Vec<FiredRow> = panel.take(fired);
    let is_filtered = state.is_some() || job.is_some();
    panel = panel.empty_if(rows.is_empty() && is_filtered, "No silence matches these filters.");
    panel = panel.empty_if(rows.is_empty(), "There are no silences.");
    let preview = given.map(|given| {
        let matcher = given.matcher();
        Preview { matches: matcher.to_string(), lines: view::would_mute(&matcher, &fired, frame.zone), given }
    });
    Ok(SilencesPage {
        lines: view::lines(&rows, &fired, (frame.now, frame.zone)),
        state: state.map(str::to_owned),
        job: job.map(str::to_owned),
        jobs: crate::store::read::incidents::jobs(connection).await?,
        action: Links::default().silences(),
        frame: frame.titled("Silences"),
        panel,
        more,
        preview,
    })
}

/// The time in which firings matter: from the start of the oldest silence until now.
fn range(rows: &[SilenceRow], now: DateTime<Utc>) -> (DateTime<Utc>, DateTime<Utc>) {
    (rows.iter().map(|row| row.starts_at).min().unwrap_or(now).min(now), now + TimeDelta::minutes(1))
}

fn more(params: &Params, rows: &mut Vec<SilenceRow>) -> Option<String> {
    let is_more = rows.len() > MOST;
    rows.truncate(MOST);
    let last = rows.last().filter(|_| is_more)?.silence_id.to_string();
    Some(format!("{}{}", Links::default().silences(), params.with(&[("before", Some(&last))])))
}

fn panel(params: &Params, (in_force, job): (Option<bool>, Option<&str>), before: Option<i64>) -> Panel {
    let conditions = [
        in_force.map(|in_force| if in_force { "in_force".to_owned() } else { "not in_force".to_owned() }),
        job.map(|job| format!("job = {}", text_literal(job))),
        before.map(|before| format!("silence_id < {before}")),
    ];
    let conditions: Vec<String> = conditions.into_iter().flatten().collect();
    let filter = if conditions.is_empty() { String::new() } else { format!("\nwhere {}", conditions.join(" and ")) };
    let sql = format!(
        "select silence_id, job, rule, cohort, severity, starts_at, ends_at, reason, author, in_force\nfrom \
         trueup.silence_history{filter}\norder by silence_id desc\nlimit {MOST};"
    );
    // The API has its own words for the state, and lists silences of all jobs with those of one.
    let state = in_force.map(|in_force| if in_force { "in_force" } else { "over" });
    let query = params.with(&[("panel", None), ("tz", None), ("theme", None), ("state", state)]);
    let says = "Muted counts the alerts that fired while the silence was in force and that its pattern matches.";
    Panel::new("silences", "Silences", says)
        .sql(sql)
        .download("CSV", format!("/api/v1/silences.csv{query}"))
        .download("JSON", format!("/api/v1/silences{query}"))
        .alone(format!("{}{}", Links::default().silences(), params.with(&[("panel", Some("silences"))])))
}

/// Creates a silence; with `preview`, shows what it would mute and writes nothing.
pub(super) async fn add(
    State(shared): State<Arc<Shared>>,
    Extension(visitor): Extension<Visitor>,
    body: String,
) -> Page {
    let acting = allowed(&shared, &visitor)?;
    let form = Params::parse(&body)?;
    form.expect(&["job", "rule", "cohort", "severity", "for", "reason", "preview"])?;
    let request = SilenceRequest {
        job: field(&form, "job"),
        rule: field(&form, "rule"),
        cohort: field(&form, "cohort"),
        severity: field(&form, "severity"),
        lasts: field(&form, "for").unwrap_or_default(),
        reason: field(&form, "reason").unwrap_or_default(),
        preview: form.one_of("preview", &["1"])?.is_some(),
    };
    let planned = Planned::read(&request)?;
    let params = Params::default();
    let page = reading::snapshot(&shared, async |connection| {
        planned.expect_job(connection).await?;
        match request.preview {
            true => page(connection, (&shared, &visitor), &params, Some(planned.clone())).await.map(Some),
            false => Ok(None),
        }
    });
    if let Some(page) = page.await? {
        return render(&page);
    }
    silences::add(acting, &planned).await?;
    to(&Links::default().silences(), "silenced")
}

/// Ends a silence now.
pub(super) async fn expire(
    State(shared): State<Arc<Shared>>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
) -> Page {
    let acting = allowed(&shared, &visitor)?;
    silences::expire(acting, number(&id, "silence")?).await?;
    to(&Links::default().silences(), "expired")
}
