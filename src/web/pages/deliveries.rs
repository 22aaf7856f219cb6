//! `/deliveries` and `/deliveries/{id}`: messages to receivers, and what became of them.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Redirect};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Page, render};
use crate::dispatch::trial;
use crate::postgres::held;
use crate::store::outbox::retry;
use crate::store::read::notifications::{self as read, NotificationFilter};
use crate::store::read::overview as jobs;
use crate::text::line::clipped;
use crate::text::links::{Links, with_query};
use crate::web::acting::allowed;
use crate::web::error::PageError;
use crate::web::frame::{self, Frame, Section};
use crate::web::params::Params;
use crate::web::session::Visitor;
use crate::web::view::deliveries::{self as view, Attempt, Line, ReceiverLine, STATES};
use crate::web::view::panel::Panel;
use crate::web::view::words::{self, When};
use crate::web::{Shared, reading};

/// Messages of a page of the list, and attempts of one message.
const LISTED: i64 = 50;
const MOST_ATTEMPTS: i64 = 100;

#[derive(Template)]
#[template(path = "deliveries.html")]
struct DeliveriesPage {
    frame: Frame,
    receivers: Panel,
    known: Vec<ReceiverLine>,
    list: Panel,
    lines: Vec<Line>,
    older: Option<String>,
    newest: Option<String>,
    filter: NotificationFilter,
    jobs: Vec<String>,
}

impl DeliveriesPage {
    fn states(&self) -> [&'static str; 4] {
        STATES
    }
}

pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    Extension(visitor): Extension<Visitor>,
    params: Params,
) -> Page {
    frame::check(&params, &["job", "receiver", "state", "before"], &shared)?;
    let filter = NotificationFilter {
        job: params.get("job").map(str::to_owned),
        receiver: params.get("receiver").map(str::to_owned),
        state: params.one_of("state", &STATES)?.map(str::to_owned),
        before: params.number("before", 1..=i64::MAX)?,
        limit: LISTED + 1,
    };
    let page = reading::snapshot(&shared, async |connection| {
        let frame = Frame::read(connection, (&shared, &visitor, &params), Section::Deliveries).await?;
        deliveries_page(connection, frame.titled("Deliveries"), filter, &params).await
    })
    .await?;
    render(&page)
}

async fn deliveries_page(
    connection: &mut PgConnection,
    frame: Frame,
    filter: NotificationFilter,
    params: &Params,
) -> Result<DeliveriesPage, PageError> {
    let here = Links::default().deliveries();
    let alone = |id: &str| format!("{here}{}", params.with(&[("panel", Some(id))]));
    let query = params.with(&[("panel", None), ("tz", None), ("theme", None), ("before", None)]);
    let mut receivers = Panel::new("receivers", "Receivers", "Those of the last 30 days; the ones that get nothing first.")
        .sql(
            "select n.receiver, count(*) filter (where n.state = 'pending') as pending, min(n.created_at) filter (where n.state = \
             'pending') as oldest_pending, h.failures, h.open_until, h.gone\nfrom trueup.notification_state n\nleft join \
             trueup.receiver_state h on h.receiver = n.receiver\nwhere n.created_at > clock_timestamp() - interval '30 days' or n.state \
             = 'pending'\ngroup by n.receiver, h.failures, h.open_until, h.gone\norder by n.receiver;",
        )
        .alone(alone("receivers"));
    let mut list =
        Panel::new("list", "Messages", "Newest first. Heartbeats are listed only if their receiver is chosen.")
            .sql(view::sql(&filter))
            .download("CSV", format!("/api/v1/deliveries.csv{query}"))
            .download("JSON", format!("/api/v1/deliveries{query}"))
            .alone(alone("list"));
    let known = reading::panel(connection, async |c| read::receivers(c).await).await?;
    let known = view::receivers(&receivers.take(known), (frame.now, frame.zone));
    let rows = reading::panel(connection, async |c| read::list(c, &filter).await).await?;
    let mut rows = list.take(rows);
    let last = usize::try_from(LISTED).unwrap_or_default();
    let older = (rows.len() > last).then(|| {
        rows.truncate(last);
        format!("{here}{}", params.with(&[("before", Some(&rows[last - 1].sequence.to_string()))]))
    });
    let jobs = jobs::jobs(connection, None).await?.into_iter().map(|row| row.job).collect();
    let why = if query.is_empty() { "Nothing has been sent yet." } else { "No message matches these filters." };
    Ok(DeliveriesPage {
        receivers: receivers.empty_if(known.is_empty(), "Nothing was sent in the last 30 days."),
        known,
        list: list.empty_if(rows.is_empty(), why),
        lines: view::lines(&rows, frame.zone),
        older,
        newest: filter.before.map(|_| format!("{here}{}", params.with(&[("before", None)]))),
        filter,
        jobs,
        frame,
    })
}

#[derive(Template)]
#[template(path = "delivery.html")]
struct DeliveryPage {
    frame: Frame,
    line: Line,
    fallback: Option<When>,
    run: Option<String>,
    recipients: Vec<(String, String)>,
    attempts: Panel,
    tried: Vec<Attempt>,
    message: Panel,
    text: String,
    body: String,
}

pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
    params: Params,
) -> Page {
    frame::check(&params, &[], &shared)?;
    let id = identifier(&id)?;
    let page = reading::snapshot(&shared, async |connection| {
        let frame = Frame::read(connection, (&shared, &visitor, &params), Section::Deliveries).await?;
        delivery_page(connection, frame, id).await
    })
    .await?;
    render(&page)
}

fn identifier(text: &str) -> Result<Uuid, PageError> {
    Uuid::parse_str(text).map_err(|_| missing(text))
}

fn missing(id: &str) -> PageError {
    PageError::NotFound(format!("There is no message `{}`.", clipped(id, 40)))
}

async fn delivery_page(connection: &mut PgConnection, frame: Frame, id: Uuid) -> Result<DeliveryPage, PageError> {
    let found =
        reading::all(connection, async |c| read::one(c, id).await).await?.ok_or_else(|| missing(&id.to_string()))?;
    let mut attempts =
        Panel::new("attempts", "Attempts", "Newest first. The id is the same on every attempt.").sql(format!(
            "select attempt, attempted_at, outcome, status_code, failure, next_attempt_at, duration_ms\nfrom \
         trueup.delivery_history\nwhere notification_id = '{id}'\norder by attempted_at desc;"
        ));
    let message = Panel::new("message", "Message", "The text as a mail carries it, and the body as a webhook does.")
        .sql(format!("select body\nfrom trueup.notification_state\nwhere notification_id = '{id}';"));
    let tried = reading::panel(connection, async |c| read::attempts(c, id, MOST_ATTEMPTS).await).await?;
    let tried = view::attempts(&attempts.take(tried), frame.zone);
    let mut line = view::line(&found.row, frame.zone);
    line.why = tried.first().map_or(String::new(), |attempt| attempt.why.clone());
    let (text, body) = view::text(&found);
    let zone = frame.zone;
    Ok(DeliveryPage {
        frame: frame.titled(format!("{} to {}", found.row.kind, clipped(&found.row.receiver, 60))),
        line,
        fallback: found.fallback_at.map(|at| words::when(at, zone)),
        run: found.row.run_id.map(|id| Links::default().run(id)),
        recipients: view::recipients(&found),
        attempts: attempts.empty_if(tried.is_empty(), "It has not been tried yet."),
        tried,
        message,
        text,
        body,
    })
}

/// Makes a message due again.
pub(super) async fn retry(
    State(shared): State<Arc<Shared>>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
) -> Page {
    let acts = allowed(&shared, &visitor)?.acts;
    let id = identifier(&id)?;
    let retried = held::within(&acts.pool, held::SHORT, async |connection| retry::retry(connection, &[id], None).await);
    if retried.await? == 0 {
        let known = reading::snapshot(&shared, async |connection| {
            Ok(reading::all(connection, async |c| read::one(c, id).await).await?)
        });
        return Err(match known.await? {
            Some(_) => PageError::Conflict("This message needs no other attempt: it was sent or dropped.".to_owned()),
            None => missing(&id.to_string()),
        });
    }
    tracing::info!(user = %visitor.name, notification.id = %id, "a message was made due again");
    Ok(Redirect::to(&with_query(&Links::default().delivery(&id.to_string()), &[("did", Some("retried"))]))
        .into_response())
}

/// Sends a test message to a receiver that had messages lately.
pub(super) async fn test(
    State(shared): State<Arc<Shared>>,
    Extension(visitor): Extension<Visitor>,
    Path(name): Path<String>,
) -> Page {
    let acts = allowed(&shared, &visitor)?.acts;
    let known = reading::snapshot(&shared, async |connection| Ok(read::receivers(connection).await?)).await?;
    if !known.iter().any(|row| row.receiver == name) {
        let words = format!("There is no receiver `{}` in the last 30 days.", clipped(&name, 60));
        return Err(PageError::NotFound(words));
    }
    let id = held::within(&acts.pool, held::SHORT, async |connection| trial::enqueue(connection, &name).await).await?;
    tracing::info!(user = %visitor.name, receiver = %name, notification.id = %id, "a test message was enqueued");
    Ok(Redirect::to(&with_query(&Links::default().delivery(&id.to_string()), &[("did", Some("tested"))]))
        .into_response())
}
