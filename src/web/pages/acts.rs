//! Acts of users: acknowledge, resolve, note, decide, mark, annotate. By POST alone: programs that follow links act on nothing.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Redirect};
use axum::routing::post;
use axum::{Extension, Router};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;
use tracing::{error, info};

use super::incident::{number, unknown};
use super::{Page, conflict};
use crate::dispatch::acknowledge::{self, Kind, ManualAction, Outcome};
use crate::domain::duration;
use crate::postgres::held;
use crate::store::alerting::annotation::{self, NewAnnotation};
use crate::store::alerting::incident::{self, NewNote};
use crate::store::read::{incident as read, incidents};
use crate::text::links::{Links, with_query};
use crate::web::error::PageError;
use crate::web::params::Params;
use crate::web::session::Visitor;
use crate::web::{Acts, Shared, reading, selection};

/// Longest note, in characters.
const LONGEST: usize = 2_000;
const DECISIONS: [&str; 6] = ["rollback", "retrain", "recalibrate", "repair", "hotfix", "accept"];
const KINDS: [&str; 6] = ["deploy", "retrain", "schema_change", "experiment", "incident", "backfill"];

/// State, user, path and body of a request to act.
type Asked = (State<Arc<Shared>>, Extension<Visitor>, Path<String>, String);

pub(super) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/incidents/{id}/ack", post(async |asked: Asked| of_incident(asked, Kind::Acknowledge).await))
        .route("/incidents/{id}/resolve", post(async |asked: Asked| of_incident(asked, Kind::Resolve).await))
        .route("/alerts/{id}/ack", post(async |asked: Asked| of_alert(asked, Kind::Acknowledge).await))
        .route("/alerts/{id}/resolve", post(async |asked: Asked| of_alert(asked, Kind::Resolve).await))
        .route("/incidents/{id}/notes", post(note))
        .route("/incidents/{id}/decision", post(decide))
        .route("/incidents/{id}/mark", post(mark_incident))
        .route("/alerts/{id}/mark", post(mark_alert))
        .route("/jobs/{job}/annotations", post(annotate))
}

/// Returns what acting needs, if the pages offer it and the user may act.
pub(super) fn allowed<'a>(shared: &'a Shared, visitor: &Visitor) -> Result<&'a Acts, PageError> {
    let Some(acts) = &shared.acts else {
        let words = "These pages are read-only. Use the pages of `trueup serve`, or the command line.";
        return Err(PageError::Forbidden(words.to_owned()));
    };
    if visitor.may_act {
        return Ok(acts);
    }
    Err(PageError::Forbidden("Your groups may read, but not act; see `act` in [web] proxy.".to_owned()))
}

/// Returns a text of a form, without surrounding space; empty if it is not given.
pub(super) fn text(form: &Params, name: &str) -> Result<String, PageError> {
    let text = form.get(name).unwrap_or_default().trim().to_owned();
    if text.chars().count() > LONGEST {
        return Err(PageError::BadRequest(format!("`{name}` is longer than {LONGEST} characters")));
    }
    Ok(text)
}

/// Returns a text that must be given, with the reason why.
pub(super) fn needed(form: &Params, name: &str, why: &str) -> Result<String, PageError> {
    let text = text(form, name)?;
    if text.is_empty() { Err(PageError::BadRequest(format!("`{name}` is needed: {why}"))) } else { Ok(text) }
}

pub(super) fn to(address: &str, did: &str) -> Page {
    Ok(Redirect::to(&with_query(address, &[("did", Some(did))])).into_response())
}

/// The alerts of an act.
struct Subject {
    incident: Option<i64>,
    alert: Option<i64>,
    /// Page that the user returns to.
    back: String,
    anchor: String,
}

async fn of_incident((State(shared), Extension(visitor), Path(id), body): Asked, kind: Kind) -> Page {
    let acts = allowed(&shared, &visitor)?;
    let id = number(&id, "incident")?;
    reading::snapshot(&shared, async |connection| known(connection, id).await).await?;
    let back = Links::default().incident(id);
    let subject = Subject { incident: Some(id), alert: None, back, anchor: String::new() };
    act((&shared, &visitor, acts), subject, kind, &body).await
}

async fn of_alert((State(shared), Extension(visitor), Path(id), body): Asked, kind: Kind) -> Page {
    let acts = allowed(&shared, &visitor)?;
    let id = number(&id, "alert")?;
    let (job, incident) = reading::snapshot(&shared, async |connection| alert(connection, id).await).await?;
    let links = Links::default();
    let back = incident.map_or_else(|| links.job(&job), |incident| links.incident(incident));
    let subject = Subject { incident: None, alert: Some(id), back, anchor: format!("#alert-{id}") };
    act((&shared, &visitor, acts), subject, kind, &body).await
}

async fn known(connection: &mut PgConnection, id: i64) -> Result<(), PageError> {
    incidents::find(connection, id).await?.map(drop).ok_or_else(|| unknown(id))
}

async fn alert(connection: &mut PgConnection, id: i64) -> Result<(String, Option<i64>), PageError> {
    let found = read::of_alert(connection, id).await?;
    found.ok_or_else(|| PageError::NotFound(format!("There is no alert {id}. `trueup alerts` lists them.")))
}

/// Acknowledges or resolves.
async fn act(
    (shared, visitor, acts): (&Arc<Shared>, &Visitor, &Acts),
    subject: Subject,
    kind: Kind,
    body: &str,
) -> Page {
    let form = Params::parse(body)?;
    form.expect(&["note", "seen"])?;
    let note = match kind {
        Kind::Acknowledge => text(&form, "note")?,
        Kind::Resolve => needed(&form, "note", "it says later why the alert ended without a recovery")?,
    };
    let seen = seen(&form)?;
    let action = ManualAction { kind, author: &visitor.name, note: &note };
    let ids: Vec<i64> = subject.alert.into_iter().collect();
    let incidents: Vec<i64> = subject.incident.into_iter().collect();
    let outcome = acknowledge::act_as_seen(&acts.pool, (&ids, &incidents), seen, action, &acts.routing).await;
    let outcome = outcome.map_err(|failure| {
        error!(error = %failure, "an act of a user failed");
        PageError::Unavailable("The alerts could not be changed. Try again.".to_owned())
    })?;
    let address = |did: &str| format!("{}{}", with_query(&subject.back, &[("did", Some(did))]), subject.anchor);
    let of = (subject.incident, subject.alert);
    match outcome {
        Outcome::Done(alerts) => {
            let (act, did) = match kind {
                Kind::Acknowledge => ("acknowledge", "acknowledged"),
                Kind::Resolve => ("resolve", "resolved"),
            };
            log(visitor, act, of);
            info!(user = visitor.name, alerts = alerts.len(), act, "alerts were acted on");
            Ok(Redirect::to(&address(did)).into_response())
        }
        Outcome::Already => Ok(Redirect::to(&address("already")).into_response()),
        Outcome::NothingFires => {
            let says = "Nothing was done: none of these alerts fires any more.";
            conflict::show((shared, visitor), of, seen, (says, subject.back)).await
        }
        Outcome::Changed => {
            let says = "Nothing was done: the alerts have changed since your page was read.";
            conflict::show((shared, visitor), of, seen, (says, subject.back)).await
        }
    }
}

fn seen(form: &Params) -> Result<Option<DateTime<Utc>>, PageError> {
    let Some(text) = form.get("seen") else { return Ok(None) };
    let wrong = || PageError::BadRequest("`seen` is not a time; open the page again".to_owned());
    DateTime::parse_from_rfc3339(text).map(|at| Some(at.to_utc())).map_err(|_| wrong())
}

/// Logs an act: who, what, on which number. Names of cohorts and texts stay out of the log.
fn log(visitor: &Visitor, act: &str, (incident, alert): (Option<i64>, Option<i64>)) {
    info!(user = visitor.name, act, incident.id = incident, alert.id = alert, "a user acted");
}

async fn note((State(shared), Extension(visitor), Path(id), body): Asked) -> Page {
    let acts = allowed(&shared, &visitor)?;
    let id = number(&id, "incident")?;
    let form = Params::parse(&body)?;
    form.expect(&["text"])?;
    let text = needed(&form, "text", "an empty note says nothing")?;
    let new = NewNote { incident: id, alert: None, kind: "note", author: &visitor.name, text: &text };
    write((acts, &visitor), new).await?;
    to(&Links::default().incident(id), "noted")
}

async fn decide((State(shared), Extension(visitor), Path(id), body): Asked) -> Page {
    let acts = allowed(&shared, &visitor)?;
    let id = number(&id, "incident")?;
    let form = Params::parse(&body)?;
    form.expect(&["decision", "note"])?;
    let missing = || PageError::BadRequest(format!("choose a decision: {}", DECISIONS.join(", ")));
    let decision = form.one_of("decision", &DECISIONS)?.ok_or_else(missing)?;
    let note = text(&form, "note")?;
    let text = if note.is_empty() { decision.to_owned() } else { format!("{decision}: {note}") };
    let new = NewNote { incident: id, alert: None, kind: "decision", author: &visitor.name, text: &text };
    write((acts, &visitor), new).await?;
    to(&Links::default().incident(id), "decided")
}

async fn mark_incident((State(shared), Extension(visitor), Path(id), body): Asked) -> Page {
    let acts = allowed(&shared, &visitor)?;
    let id = number(&id, "incident")?;
    mark((acts, &visitor), (id, None), &body).await
}

async fn mark_alert((State(shared), Extension(visitor), Path(id), body): Asked) -> Page {
    let acts = allowed(&shared, &visitor)?;
    let id = number(&id, "alert")?;
    let (_, incident) = reading::snapshot(&shared, async |connection| alert(connection, id).await).await?;
    let never = || PageError::BadRequest(format!("alert {id} has never fired: there is nothing to judge"));
    mark((acts, &visitor), (incident.ok_or_else(never)?, Some(id)), &body).await
}

/// Records that an incident or alert was useful, or a false alarm.
async fn mark(who: (&Acts, &Visitor), (incident, alert): (i64, Option<i64>), body: &str) -> Page {
    let form = Params::parse(body)?;
    form.expect(&["mark", "note"])?;
    let missing = || PageError::BadRequest("choose `useful` or `false_alarm`".to_owned());
    let kind = form.one_of("mark", &["useful", "false_alarm"])?.ok_or_else(missing)?;
    let text = text(&form, "note")?;
    write(who, NewNote { incident, alert, kind, author: &who.1.name, text: &text }).await?;
    to(&Links::default().incident(incident), "marked")
}

async fn write((acts, visitor): (&Acts, &Visitor), new: NewNote<'_>) -> Result<(), PageError> {
    let stored =
        held::within(&acts.pool, held::SHORT, async |connection| incident::note(connection, new).await).await?;
    if !stored {
        return Err(unknown(new.incident));
    }
    log(visitor, new.kind, (Some(new.incident), new.alert));
    Ok(())
}

async fn annotate((State(shared), Extension(visitor), Path(job), body): Asked) -> Page {
    let acts = allowed(&shared, &visitor)?;
    let form = Params::parse(&body)?;
    form.expect(&["kind", "at", "note", "suppress", "incident"])?;
    let now = reading::snapshot(&shared, async |connection| {
        selection::job(connection, &job).await?;
        Ok(crate::store::read::overview::moment(connection).await?.now)
    })
    .await?;
    let missing = || PageError::BadRequest(format!("choose a kind: {}", KINDS.join(", ")));
    let note = text(&form, "note")?;
    let new = NewAnnotation {
        job: Some(&job),
        kind: form.one_of("kind", &KINDS)?.ok_or_else(missing)?,
        starts_at: form.time("at", now)?,
        ends_at: None,
        note: &note,
        author: Some(&visitor.name),
        suppress: lasting(&form, "suppress")?,
    };
    held::within(&acts.pool, held::SHORT, async |connection| annotation::add(connection, new).await).await?;
    info!(user = visitor.name, act = "annotate", job.name = job, "a user acted");
    let links = Links::default();
    let from = form.number("incident", 1..=i64::MAX)?;
    to(&from.map_or_else(|| links.job(&job), |id| links.incident(id)), "annotated")
}

/// Returns a duration of a form, from a second to a year.
pub(super) fn lasting(form: &Params, name: &str) -> Result<Option<TimeDelta>, PageError> {
    let Some(text) = form.get(name) else { return Ok(None) };
    let lasts = duration::parse(text).map_err(|why| PageError::BadRequest(format!("`{name}`: {why}")))?;
    if lasts <= TimeDelta::zero() || lasts > TimeDelta::days(366) {
        return Err(PageError::BadRequest(format!("`{name}` is at most a year, and more than nothing")));
    }
    Ok(Some(lasts))
}
