//! Badge and Atom feed: for readers that cannot sign in, by a signature in the address or, for badges, by `[web] public`.

use std::sync::Arc;

use askama::Template as _;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use sqlx::PgConnection;

use super::call::{Answer, Call, file};
use super::identity::Guest;
use super::parameter::{self, KEY, METRIC, Parameter, WINDOW};
use crate::store::read::incidents::{self as read, Numbered};
use crate::store::read::overview::{self, Shown};
use crate::web::error::PageError;
use crate::web::view::badge::Badge;
use crate::web::view::{feed, words};
use crate::web::{Shared, reading, selection};

pub(super) const BADGE: &[Parameter] = &[METRIC, WINDOW, KEY];
pub(super) const FEED: &[Parameter] = &[KEY];

/// Incidents of the feed.
const ENTRIES: i64 = 50;

pub(super) async fn badge(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    guest: Guest,
    call: Call,
) -> Answer {
    parameter::check(&call.params, BADGE)?;
    let Some(job) = name.strip_suffix(".svg") else {
        return Err(PageError::NotFound("A badge is a file such as `ro-load.svg`.".to_owned()).into());
    };
    let is_public = shared.badges.iter().any(|public| public == job);
    if !is_public {
        guest.admit(&shared, call.params.get("k"), ("badge", job))?;
    }
    let badge = reading::snapshot(&shared, async |connection| read_badge(connection, job, &call).await).await?;
    let drawing = rendered(badge.render())?;
    Ok(kept(file("image/svg+xml", drawing), is_public))
}

async fn read_badge(connection: &mut PgConnection, job: &str, call: &Call) -> Result<Badge, PageError> {
    if call.params.get("metric").is_none() && call.params.get("window").is_none() {
        let found = selection::job(connection, job).await?;
        return Ok(Badge::new(job, &found.row.state, &found.row.state));
    }
    let selected = selection::select(connection, job, &call.params).await?;
    let of = &selected.of;
    let shown =
        Shown { jobs: vec![of.job.clone()], windows: vec![of.window.clone()], metrics: vec![of.metric.clone()] };
    let newest = overview::recent(connection, &shown, 1).await?.pop();
    let value = words::value(newest.and_then(|row| row.value), selected.about().metric(&of.metric));
    let state = &selected.job.row.state;
    // The word of the state stands next to the value, unless the job is calm.
    let value = if state == "ok" { value } else { format!("{value}, {state}") };
    Ok(Badge::new(&format!("{job} {}", of.metric), state, &value))
}

pub(super) async fn incidents(State(shared): State<Arc<Shared>>, guest: Guest, call: Call) -> Answer {
    parameter::check(&call.params, FEED)?;
    guest.admit(&shared, call.params.get("k"), ("atom", "incidents"))?;
    let rows = reading::snapshot(&shared, async |connection| {
        Ok(reading::all(connection, async |c| read::newest(c, &Numbered::default(), ENTRIES).await).await?)
    })
    .await?;
    let text = rendered(feed::feed(&rows, &shared.links.clone().unwrap_or_default()).render())?;
    Ok(kept(file("application/atom+xml; charset=utf-8", text), false))
}

fn rendered(text: askama::Result<String>) -> Result<String, PageError> {
    text.map_err(|failure| PageError::Unavailable(format!("The answer could not be written: {failure}.")))
}

/// Readers poll: five minutes are soon enough.
fn kept(mut response: Response, is_public: bool) -> Response {
    let cache = if is_public { "public, max-age=300" } else { "private, max-age=300" };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    response
}
