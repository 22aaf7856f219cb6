//! The page that is shown in place of an act on something that has changed since the user saw it.

use askama::Template;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use chrono::{DateTime, Utc};

use super::{Page, render};
use crate::web::acting::Acting;
use crate::web::acting::alerts::{self, Subject};
use crate::web::frame::{Frame, Section};
use crate::web::params::Params;
use crate::web::reading;
use crate::web::view::words::{self, When};

#[derive(Template)]
#[template(path = "conflict.html")]
struct ConflictPage {
    frame: Frame,
    says: &'static str,
    changes: Vec<Line>,
    back: String,
}

struct Line {
    at: When,
    what: String,
}

/// Shows what has changed after a time among the alerts of an incident, or of one alert.
pub(super) async fn show(
    acting: Acting<'_>,
    subject: Subject,
    seen: Option<DateTime<Utc>>,
    (says, back): (&'static str, String),
) -> Page {
    let params = Params::default();
    let page = reading::snapshot(acting.shared, async |connection| {
        let frame = Frame::read(connection, (acting.shared, acting.visitor, &params), Section::Incidents).await?;
        let rows = alerts::unseen(connection, subject, seen).await?;
        let changes = rows.iter();
        let changes =
            changes.map(|row| Line { at: words::when(row.changed_at, frame.zone), what: alerts::words(row) }).collect();
        Ok(ConflictPage { frame: frame.titled("Something changed meanwhile"), says, changes, back })
    })
    .await?;
    Ok((StatusCode::CONFLICT, render(&page)?).into_response())
}
