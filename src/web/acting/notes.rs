//! Notes about incidents, decisions, and marks as useful or false alarm.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Acting, alerts, needed, text, unknown, word};
use crate::postgres::held;
use crate::store::alerting::incident::{self, NewNote};
use crate::web::error::PageError;

const DECISIONS: [&str; 6] = ["rollback", "retrain", "recalibrate", "repair", "hotfix", "accept"];
const MARKS: [&str; 2] = ["useful", "false_alarm"];

/// A note about an incident.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoteRequest {
    #[schemars(length(min = 1, max = 2000))]
    pub text: String,
}

/// A decision about an incident.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DecisionRequest {
    #[schemars(extend("enum" = DECISIONS))]
    pub decision: String,
    #[schemars(length(max = 2000))]
    pub note: Option<String>,
}

/// A mark of an incident or an alert.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MarkRequest {
    #[schemars(extend("enum" = MARKS))]
    pub mark: String,
    #[schemars(length(max = 2000))]
    pub note: Option<String>,
}

/// Adds a note to an incident.
pub async fn note(acting: Acting<'_>, incident: i64, request: &NoteRequest) -> Result<(), PageError> {
    let text = needed(Some(&request.text), "text", "an empty note says nothing")?;
    let new = NewNote { incident, alert: None, kind: "note", author: &acting.visitor.name, text: &text };
    write(acting, new).await
}

/// Records a decision.
pub async fn decide(acting: Acting<'_>, incident: i64, request: &DecisionRequest) -> Result<(), PageError> {
    let decision = word(Some(&request.decision), "decision", &DECISIONS)?;
    let note = text(request.note.as_deref(), "note")?;
    let text = if note.is_empty() { decision.to_owned() } else { format!("{decision}: {note}") };
    let new = NewNote { incident, alert: None, kind: "decision", author: &acting.visitor.name, text: &text };
    write(acting, new).await
}

/// Records that an incident or alert was useful, or a false alarm. Returns the incident.
pub async fn mark(acting: Acting<'_>, subject: alerts::Subject, request: &MarkRequest) -> Result<i64, PageError> {
    let kind = word(Some(&request.mark), "mark", &MARKS)?;
    let text = text(request.note.as_deref(), "note")?;
    let (incident, alert) = match subject {
        alerts::Subject::Incident(id) => (id, None),
        alerts::Subject::Alert(id) => {
            let never = || PageError::BadRequest(format!("alert {id} has never fired: there is nothing to judge"));
            (alerts::find(acting, subject).await?.incident.ok_or_else(never)?, Some(id))
        }
    };
    write(acting, NewNote { incident, alert, kind, author: &acting.visitor.name, text: &text }).await?;
    Ok(incident)
}

async fn write(acting: Acting<'_>, new: NewNote<'_>) -> Result<(), PageError> {
    let pool = &acting.acts.pool;
    let stored = held::within(pool, held::SHORT, async |connection| incident::note(connection, new).await).await?;
    if !stored {
        return Err(unknown(new.incident));
    }
    acting.log(new.kind, (Some(new.incident), new.alert));
    Ok(())
}
