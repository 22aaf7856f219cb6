//! Acknowledge and resolve: all alerts of an incident, or one.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Deserialize;
use tracing::{error, info};

use super::{Acting, needed, text, unknown};
use crate::dispatch::acknowledge::{self, Kind, ManualAction, Outcome};
use crate::store::read::incident::{self as read, ChangeRow};
use crate::store::read::incidents;
use crate::web::error::PageError;
use crate::web::reading;

/// The alerts of an act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    Incident(i64),
    Alert(i64),
}

/// An acknowledgement or a resolution.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ActRequest {
    /// For the record and for the receivers; needed to resolve.
    #[schemars(length(max = 2000))]
    pub note: Option<String>,
    /// The newest change of the alerts that the user has seen; later changes refuse the act with 409.
    pub seen: Option<DateTime<Utc>>,
}

/// Place of the alerts of an act.
pub struct Found {
    pub job: String,
    pub incident: Option<i64>,
}

impl Subject {
    fn incident(self) -> Option<i64> {
        if let Self::Incident(id) = self { Some(id) } else { None }
    }

    fn alert(self) -> Option<i64> {
        if let Self::Alert(id) = self { Some(id) } else { None }
    }
}

/// Returns the job of the alerts, and their incident; an alert that never fired has none.
pub async fn find(acting: Acting<'_>, subject: Subject) -> Result<Found, PageError> {
    reading::snapshot(acting.shared, async |connection| match subject {
        Subject::Incident(id) => {
            let found = incidents::find(connection, id).await?.ok_or_else(|| unknown(id))?;
            Ok(Found { job: found.job, incident: Some(id) })
        }
        Subject::Alert(id) => {
            let missing = || PageError::NotFound(format!("There is no alert {id}. `trueup alerts` lists them."));
            let (job, incident) = read::of_alert(connection, id).await?.ok_or_else(missing)?;
            Ok(Found { job, incident })
        }
    })
    .await
}

/// Acknowledges or resolves.
pub async fn act(acting: Acting<'_>, subject: Subject, kind: Kind, request: &ActRequest) -> Result<Outcome, PageError> {
    let given = request.note.as_deref();
    let note = match kind {
        Kind::Acknowledge => text(given, "note")?,
        Kind::Resolve => needed(given, "note", "it says later why the alert ended without a recovery")?,
    };
    let action = ManualAction { kind, author: &acting.visitor.name, note: &note };
    let ids: Vec<i64> = subject.alert().into_iter().collect();
    let incidents: Vec<i64> = subject.incident().into_iter().collect();
    let acts = acting.acts;
    let outcome = acknowledge::act_as_seen(&acts.pool, (&ids, &incidents), request.seen, action, &acts.routing).await;
    let outcome = outcome.map_err(|failure| {
        error!(error = %failure, "an act of a user failed");
        PageError::Unavailable("The alerts could not be changed. Try again.".to_owned())
    })?;
    if let Outcome::Done(alerts) = &outcome {
        let act = match kind {
            Kind::Acknowledge => "acknowledge",
            Kind::Resolve => "resolve",
        };
        acting.log(act, (subject.incident(), subject.alert()));
        info!(user = acting.visitor.name, alerts = alerts.len(), act, "alerts were acted on");
    }
    Ok(outcome)
}

/// The reason why nothing was done; `None` if the act counts.
pub fn refusal(outcome: &Outcome) -> Option<&'static str> {
    match outcome {
        Outcome::Done(_) | Outcome::Already => None,
        Outcome::NothingFires => Some("Nothing was done: none of these alerts fires any more."),
        Outcome::Changed => Some("Nothing was done: the alerts have changed since your page was read."),
    }
}

/// Returns the changes of alerts that the user has not seen, oldest first.
pub async fn unseen(
    connection: &mut sqlx::PgConnection,
    subject: Subject,
    seen: Option<DateTime<Utc>>,
) -> sqlx::Result<Vec<ChangeRow>> {
    let after = seen.unwrap_or(DateTime::UNIX_EPOCH);
    let of = (subject.incident(), subject.alert());
    reading::all(connection, async |c| read::changes_after(c, of, after).await).await
}

/// A change in words.
pub fn words(row: &ChangeRow) -> String {
    format!("{} for {} is {}: {}", row.rule, row.cohort, row.to_state, row.reason)
}
