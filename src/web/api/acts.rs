//! Acts: acknowledge, resolve, note, decide, mark, silence, expire, annotate. The checks and the record are those of the forms.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::routing::post;
use chrono::TimeDelta;
use schemars::JsonSchema;
use serde::Deserialize;

use super::call::{Answer, json};
use super::operation::{self, Operation};
use super::posted::{ACT, Posted};
use super::types::Acted;
use crate::dispatch::acknowledge::{Kind, Outcome};
use crate::store::read::overview;
use crate::store::read::silences as read;
use crate::text::links::Links;
use crate::web::acting::alerts::{self, ActRequest, Subject};
use crate::web::acting::annotations::{self, AnnotationRequest};
use crate::web::acting::notes::{self, DecisionRequest, MarkRequest, NoteRequest};
use crate::web::acting::silences::{self, Planned, SilenceRequest};
use crate::web::acting::{Acting, number};
use crate::web::error::PageError;
use crate::web::view::silences as view;
use crate::web::{Shared, reading};

/// Firings that a silence is compared with, as on the page of silences.
const MOST_FIRINGS: i64 = 5_000;
/// Changes that a refusal names.
const MOST_CHANGES: usize = 5;

/// State, path and request.
type Asked<T> = (State<Arc<Shared>>, Path<String>, Posted<T>);

/// A request without fields.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Empty {}

pub(super) fn operations() -> Vec<Operation> {
    let act = |path, summary, handler| Operation::new(path, summary, ACT, operation::json::<Acted>(), handler);
    vec![
        act(
            "/incidents/{id}/ack",
            "Acknowledge all alerts of an incident",
            post(async |asked| of_incident(asked, Kind::Acknowledge).await),
        )
        .taking::<ActRequest>(),
        act(
            "/incidents/{id}/resolve",
            "End all alerts of an incident by hand",
            post(async |asked| of_incident(asked, Kind::Resolve).await),
        )
        .taking::<ActRequest>(),
        act(
            "/alerts/{alert}/ack",
            "Acknowledge an alert",
            post(async |asked| of_alert(asked, Kind::Acknowledge).await),
        )
        .taking::<ActRequest>(),
        act(
            "/alerts/{alert}/resolve",
            "End an alert by hand",
            post(async |asked| of_alert(asked, Kind::Resolve).await),
        )
        .taking::<ActRequest>(),
        act("/incidents/{id}/notes", "Add a note to an incident", post(note)).taking::<NoteRequest>(),
        act("/incidents/{id}/decision", "Record a decision", post(decide)).taking::<DecisionRequest>(),
        act("/incidents/{id}/mark", "Mark an incident as useful or false alarm", post(mark_incident))
            .taking::<MarkRequest>(),
        act("/alerts/{alert}/mark", "Mark an alert as useful or false alarm", post(mark_alert)).taking::<MarkRequest>(),
        act("/silences", "Create a silence, or preview it", post(silence)).taking::<SilenceRequest>(),
        act("/silences/{silence}/expire", "End a silence", post(expire)).taking::<Empty>(),
        act("/jobs/{job}/annotations", "Record a change of a model or its data", post(annotate))
            .taking::<AnnotationRequest>(),
    ]
}

async fn of_incident((State(shared), Path(id), posted): Asked<ActRequest>, kind: Kind) -> Answer {
    let subject = Subject::Incident(number(&id, "incident")?);
    act(&shared, posted.acting(&shared)?, subject, kind, &posted.request).await
}

async fn of_alert((State(shared), Path(id), posted): Asked<ActRequest>, kind: Kind) -> Answer {
    let subject = Subject::Alert(number(&id, "alert")?);
    act(&shared, posted.acting(&shared)?, subject, kind, &posted.request).await
}

async fn act(shared: &Shared, acting: Acting<'_>, subject: Subject, kind: Kind, request: &ActRequest) -> Answer {
    let found = alerts::find(acting, subject).await?;
    let outcome = alerts::act(acting, subject, kind, request).await?;
    if let Some(says) = alerts::refusal(&outcome) {
        return Err(conflict(acting, subject, request, says).await?.into());
    }
    let done = match (&outcome, kind) {
        (Outcome::Already, _) => "already",
        (_, Kind::Acknowledge) => "acknowledged",
        (_, Kind::Resolve) => "resolved",
    };
    let acted = match outcome {
        Outcome::Done(alerts) => alerts.iter().map(|alert| alert.id).collect(),
        Outcome::Already | Outcome::NothingFires | Outcome::Changed => Vec::new(),
    };
    let links = links(shared);
    let url = found.incident.map_or_else(|| links.job(&found.job), |id| links.incident(id));
    answer(&Acted { alerts: Some(acted), ..Acted::new(done, acting, url) })
}

/// A refusal that names what the caller has not seen.
async fn conflict(
    acting: Acting<'_>,
    subject: Subject,
    request: &ActRequest,
    says: &str,
) -> Result<PageError, PageError> {
    let changes = reading::snapshot(acting.shared, async |connection| {
        Ok(alerts::unseen(connection, subject, request.seen).await?)
    });
    let changes = changes.await?;
    let newest = changes.iter().rev().take(MOST_CHANGES).map(alerts::words);
    let words = std::iter::once(says.to_owned()).chain(newest).collect::<Vec<_>>().join("\n");
    Ok(PageError::Conflict(words))
}

async fn note((State(shared), Path(id), posted): Asked<NoteRequest>) -> Answer {
    let (id, acting) = (number(&id, "incident")?, posted.acting(&shared)?);
    notes::note(acting, id, &posted.request).await?;
    answer(&Acted::new("noted", acting, links(&shared).incident(id)))
}

async fn decide((State(shared), Path(id), posted): Asked<DecisionRequest>) -> Answer {
    let (id, acting) = (number(&id, "incident")?, posted.acting(&shared)?);
    notes::decide(acting, id, &posted.request).await?;
    answer(&Acted::new("decided", acting, links(&shared).incident(id)))
}

async fn mark_incident((State(shared), Path(id), posted): Asked<MarkRequest>) -> Answer {
    mark(&shared, Subject::Incident(number(&id, "incident")?), &posted).await
}

async fn mark_alert((State(shared), Path(id), posted): Asked<MarkRequest>) -> Answer {
    mark(&shared, Subject::Alert(number(&id, "alert")?), &posted).await
}

async fn mark(shared: &Shared, subject: Subject, posted: &Posted<MarkRequest>) -> Answer {
    let acting = posted.acting(shared)?;
    let incident = notes::mark(acting, subject, &posted.request).await?;
    answer(&Acted::new("marked", acting, links(shared).incident(incident)))
}

async fn silence(State(shared): State<Arc<Shared>>, posted: Posted<SilenceRequest>) -> Answer {
    let acting = posted.acting(&shared)?;
    let planned = Planned::read(&posted.request)?;
    let mutes = reading::snapshot(&shared, async |connection| {
        planned.expect_job(connection).await?;
        let now = overview::moment(connection).await?.now;
        let range = (now, now + TimeDelta::minutes(1));
        let fired = reading::all(connection, async |c| read::firings(c, range, MOST_FIRINGS).await).await?;
        Ok(view::would_mute(&planned.matcher(), &fired, shared.zone))
    });
    let mutes = mutes.await?.iter().map(|line| line.alert).collect();
    let page = links(&shared).silences();
    if posted.request.preview {
        return answer(&Acted { alerts: Some(mutes), ..Acted::new("previewed", acting, page) });
    }
    let (id, ends_at) = silences::add(acting, &planned).await?;
    answer(&Acted {
        alerts: Some(mutes),
        silence_id: Some(id),
        ends_at: Some(ends_at),
        ..Acted::new("silenced", acting, page)
    })
}

async fn expire((State(shared), Path(id), posted): Asked<Empty>) -> Answer {
    let (id, acting) = (number(&id, "silence")?, posted.acting(&shared)?);
    silences::expire(acting, id).await?;
    answer(&Acted { silence_id: Some(id), ..Acted::new("expired", acting, links(&shared).silences()) })
}

async fn annotate((State(shared), Path(job), posted): Asked<AnnotationRequest>) -> Answer {
    let acting = posted.acting(&shared)?;
    let at = annotations::add(acting, &job, &posted.request).await?;
    answer(&Acted { at: Some(at), ..Acted::new("annotated", acting, links(&shared).job(&job)) })
}

impl Acted {
    fn new(done: &'static str, acting: Acting<'_>, url: String) -> Self {
        Self { done, by: acting.visitor.name.clone(), url, ..Self::default() }
    }
}

fn links(shared: &Shared) -> Links {
    shared.links.clone().unwrap_or_default()
}

fn answer(acted: &Acted) -> Answer {
    let mut response = json(acted)?;
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
