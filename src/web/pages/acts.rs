//! Forms of users' acts: acknowledge, resolve, note, decide, mark, annotate. By POST alone: programs that follow links act on
//! nothing.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Redirect};
use axum::routing::post;
use axum::{Extension, Router};
use chrono::{DateTime, Utc};

use super::{Page, conflict};
use crate::dispatch::acknowledge::{Kind, Outcome};
use crate::text::links::{Links, with_query};
use crate::web::acting::alerts::{self, ActRequest, Subject};
use crate::web::acting::annotations::{self, AnnotationRequest};
use crate::web::acting::notes::{self, DecisionRequest, MarkRequest, NoteRequest};
use crate::web::acting::{Acting, allowed, number};
use crate::web::error::PageError;
use crate::web::params::Params;
use crate::web::session::Visitor;
use crate::web::{Shared, reading};

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

pub(super) fn to(address: &str, did: &str) -> Page {
    Ok(Redirect::to(&with_query(address, &[("did", Some(did))])).into_response())
}

/// Returns a field of a form as a request has it.
pub(super) fn field(form: &Params, name: &str) -> Option<String> {
    form.get(name).map(str::to_owned)
}

async fn of_incident((State(shared), Extension(visitor), Path(id), body): Asked, kind: Kind) -> Page {
    let acting = allowed(&shared, &visitor)?;
    act(acting, Subject::Incident(number(&id, "incident")?), kind, &body).await
}

async fn of_alert((State(shared), Extension(visitor), Path(id), body): Asked, kind: Kind) -> Page {
    let acting = allowed(&shared, &visitor)?;
    act(acting, Subject::Alert(number(&id, "alert")?), kind, &body).await
}

/// Acknowledges or resolves, and leads back to the incident.
async fn act(acting: Acting<'_>, subject: Subject, kind: Kind, body: &str) -> Page {
    let found = alerts::find(acting, subject).await?;
    let form = Params::parse(body)?;
    form.expect(&["note", "seen"])?;
    let request = ActRequest { note: field(&form, "note"), seen: seen(&form)? };
    let links = Links::default();
    let back = found.incident.map_or_else(|| links.job(&found.job), |incident| links.incident(incident));
    let outcome = alerts::act(acting, subject, kind, &request).await?;
    if let Some(says) = alerts::refusal(&outcome) {
        return conflict::show(acting, subject, request.seen, (says, back)).await;
    }
    let did = match (&outcome, kind) {
        (Outcome::Already, _) => "already",
        (_, Kind::Acknowledge) => "acknowledged",
        (_, Kind::Resolve) => "resolved",
    };
    let anchor = if let Subject::Alert(id) = subject { format!("#alert-{id}") } else { String::new() };
    let address = format!("{}{anchor}", with_query(&back, &[("did", Some(did))]));
    Ok(Redirect::to(&address).into_response())
}

fn seen(form: &Params) -> Result<Option<DateTime<Utc>>, PageError> {
    let Some(text) = form.get("seen") else { return Ok(None) };
    let wrong = || PageError::BadRequest("`seen` is not a time; open the page again".to_owned());
    DateTime::parse_from_rfc3339(text).map(|at| Some(at.to_utc())).map_err(|_| wrong())
}

async fn note((State(shared), Extension(visitor), Path(id), body): Asked) -> Page {
    let acting = allowed(&shared, &visitor)?;
    let id = number(&id, "incident")?;
    let form = Params::parse(&body)?;
    form.expect(&["text"])?;
    notes::note(acting, id, &NoteRequest { text: field(&form, "text").unwrap_or_default() }).await?;
    to(&Links::default().incident(id), "noted")
}

async fn decide((State(shared), Extension(visitor), Path(id), body): Asked) -> Page {
    let acting = allowed(&shared, &visitor)?;
    let id = number(&id, "incident")?;
    let form = Params::parse(&body)?;
    form.expect(&["decision", "note"])?;
    let decision = field(&form, "decision").unwrap_or_default();
    notes::decide(acting, id, &DecisionRequest { decision, note: field(&form, "note") }).await?;
    to(&Links::default().incident(id), "decided")
}

async fn mark_incident((State(shared), Extension(visitor), Path(id), body): Asked) -> Page {
    let acting = allowed(&shared, &visitor)?;
    mark(acting, Subject::Incident(number(&id, "incident")?), &body).await
}

async fn mark_alert((State(shared), Extension(visitor), Path(id), body): Asked) -> Page {
    let acting = allowed(&shared, &visitor)?;
    mark(acting, Subject::Alert(number(&id, "alert")?), &body).await
}

async fn mark(acting: Acting<'_>, subject: Subject, body: &str) -> Page {
    let form = Params::parse(body)?;
    form.expect(&["mark", "note"])?;
    let request = MarkRequest { mark: field(&form, "mark").unwrap_or_default(), note: field(&form, "note") };
    let incident = notes::mark(acting, subject, &request).await?;
    to(&Links::default().incident(incident), "marked")
}

async fn annotate((State(shared), Extension(visitor), Path(job), body): Asked) -> Page {
    let acting = allowed(&shared, &visitor)?;
    let form = Params::parse(&body)?;
    form.expect(&["kind", "at", "note", "suppress", "incident"])?;
    let now =
        reading::snapshot(&shared, async |connection| Ok(crate::store::read::overview::moment(connection).await?.now))
            .await?;
    let request = AnnotationRequest {
        kind: field(&form, "kind").unwrap_or_default(),
        at: form.time("at", now)?,
        note: field(&form, "note"),
        suppress: field(&form, "suppress"),
    };
    let from = form.number("incident", 1..=i64::MAX)?;
    annotations::add(acting, &job, &request).await?;
    let links = Links::default();
    to(&from.map_or_else(|| links.job(&job), |id| links.incident(id)), "annotated")
}
