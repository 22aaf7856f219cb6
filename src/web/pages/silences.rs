//! `/silences`: who muted what, why, until when, and which alerts that hides. A new one is previewed before it is created.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, State};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;
use tracing::info;

use super::acts::{allowed, lasting, needed, to};
use super::incident::number;
use super::{Page, render};
use crate::domain::duration;
use crate::domain::name::text_literal;
use crate::notify::policy::matcher::Matcher;
use crate::postgres::held;
use crate::store::alerting::silence::{self, NewSilence};
use crate::store::read::silences::{self as read, FiredRow, SilenceFilter, SilenceRow};
use crate::text::links::Links;
use crate::web::error::PageError;
use crate::web::frame::{self, Frame, Section};
use crate::web::params::Params;
use crate::web::session::Visitor;
use crate::web::view::panel::Panel;
use crate::web::view::silences::{self as view, Line, MutedLine};
use crate::web::{Shared, reading, selection};

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
    given: Given,
    matches: String,
    lines: Vec<MutedLine>,
}

/// The fields of a form, as given.
#[derive(Debug, Clone)]
struct Given {
    job: Option<String>,
    rule: Option<String>,
    cohort: Option<String>,
    severity: Option<String>,
    lasts: TimeDelta,
    reason: String,
}

impl Given {
    fn read(form: &Params) -> Result<Self, PageError> {
        let pattern = |name: &str| form.get(name).map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
        let missing = || PageError::BadRequest(format!("`for` is needed: {}", duration::HINT));
        Ok(Self {
            job: pattern("job"),
            rule: pattern("rule"),
            cohort: pattern("cohort"),
            severity: form.one_of("severity", &["page", "ticket", "info"])?.map(str::to_owned),
            lasts: lasting(form, "for")?.ok_or_else(missing)?,
            reason: needed(form, "reason", "it explains later why nobody was notified")?,
        })
    }

    fn matcher(&self) -> Matcher {
        Matcher {
            job: self.job.clone(),
            rule: self.rule.clone(),
            severity: self.severity.clone(),
            owner: None,
            cohort: self.cohort.clone(),
        }
    }

    fn duration(&self) -> String {
        duration::format(self.lasts)
    }
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
    given: Option<Given>,
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
    let query = params.with(&[("panel", None), ("tz", None), ("theme", None)]);
    let says = "Muted counts the alerts that fired while the silence was in force and that its pattern matches.";
    Panel::new("silences", "Silences", says)
        .sql(sql)
        .download("JSON", format!("/api/v1/silences{query}"))
        .alone(format!("{}{}", Links::default().silences(), params.with(&[("panel", Some("silences"))])))
}

/// Creates a silence; with `preview`, shows what it would mute and writes nothing.
pub(super) async fn add(
    State(shared): State<Arc<Shared>>,
    Extension(visitor): Extension<Visitor>,
    body: String,
) -> Page {
    let acts = allowed(&shared, &visitor)?;
    let form = Params::parse(&body)?;
    form.expect(&["job", "rule", "cohort", "severity", "for", "reason", "preview"])?;
    let given = Given::read(&form)?;
    let is_preview = form.one_of("preview", &["1"])?.is_some();
    let params = Params::default();
    let page = reading::snapshot(&shared, async |connection| {
        // A pattern may match jobs that do not exist yet.
        if let Some(job) = given.job.as_deref().filter(|job| !job.contains('*')) {
            selection::job(connection, job).await.map_err(|_| {
                let job = crate::text::line::clipped(job, 60);
                PageError::BadRequest(format!("there is no job `{job}`; write its name, or a pattern with `*`"))
            })?;
        }
        match is_preview {
            true => page(connection, (&shared, &visitor), &params, Some(given.clone())).await.map(Some),
            false => Ok(None),
        }
    });
    if let Some(page) = page.await? {
        return render(&page);
    }
    let new = NewSilence {
        job: given.job.as_deref(),
        rule: given.rule.as_deref(),
        cohort: given.cohort.as_deref(),
        severity: given.severity.as_deref(),
        lasts: given.lasts,
        reason: &given.reason,
        author: &visitor.name,
    };
    let (id, _) = held::within(&acts.pool, held::SHORT, async |connection| silence::add(connection, new).await).await?;
    info!(user = visitor.name, act = "silence", silence.id = id, "a user acted");
    to(&Links::default().silences(), "silenced")
}

/// Ends a silence now.
pub(super) async fn expire(
    State(shared): State<Arc<Shared>>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
) -> Page {
    let acts = allowed(&shared, &visitor)?;
    let id = number(&id, "silence")?;
    let ended = held::within(&acts.pool, held::SHORT, async |connection| silence::expire(connection, id).await).await?;
    if !ended {
        return Err(PageError::Conflict(format!("Silence {id} is not in force: it has ended, or there is none.")));
    }
    info!(user = visitor.name, act = "expire", silence.id = id, "a user acted");
    to(&Links::default().silences(), "expired")
}
