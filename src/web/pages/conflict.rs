//! The page that is shown in place of an act on something that has changed since the user saw it.

use std::sync::Arc;

use askama::Template;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use chrono::{DateTime, Utc};

use super::{Page, render};
use crate::store::read::incident as read;
use crate::web::frame::{Frame, Section};
use crate::web::params::Params;
use crate::web::session::Visitor;
use crate::web::view::words::{self, When};
use crate::web::{Shared, reading};

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
    (shared, visitor): (&Arc<Shared>, &Visitor),
    (incident, alert): (Option<i64>, Option<i64>),
    seen: Option<DateTime<Utc>>,
    (says, back): (&'static str, String),
) -> Page {
    let params = Params::default();
    let page = reading::snapshot(shared, async |connection| {
        let frame = Frame::read(connection, (shared, visitor, &params), Section::Incidents).await?;
        let after = seen.unwrap_or(DateTime::UNIX_EPOCH);
        let rows = reading::all(connection, async |c| read::changes_after(c, (incident, alert), after).await).await?;
        let line = |row: read::ChangeRow| Line {
            at: words::when(row.changed_at, frame.zone),
            what: format!("{} for {} is {}: {}", row.rule, row.cohort, row.to_state, row.reason),
        };
        let changes = rows.into_iter().map(line).collect();
        Ok(ConflictPage { frame: frame.titled("Something changed meanwhile"), says, changes, back })
    })
    .await?;
    Ok((StatusCode::CONFLICT, render(&page)?).into_response())
}
