//! Annotations of a job: deployments, retrains and other changes.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Deserialize;
use tracing::info;

use super::{Acting, lasting, text, word};
use crate::postgres::held;
use crate::store::alerting::annotation::{self, NewAnnotation};
use crate::web::error::PageError;
use crate::web::{reading, selection};

const KINDS: [&str; 6] = ["deploy", "retrain", "schema_change", "experiment", "incident", "backfill"];

/// A change of a model or its data.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AnnotationRequest {
    #[schemars(extend("enum" = KINDS))]
    pub kind: String,
    /// Default: now.
    pub at: Option<DateTime<Utc>>,
    #[schemars(length(max = 2000))]
    pub note: Option<String>,
    /// Suppresses notifications of the job for this long, such as `2h`.
    pub suppress: Option<String>,
}

/// Records an annotation. Returns its time.
pub async fn add(acting: Acting<'_>, job: &str, request: &AnnotationRequest) -> Result<DateTime<Utc>, PageError> {
    reading::snapshot(acting.shared, async |connection| selection::job(connection, job).await.map(drop)).await?;
    let note = text(request.note.as_deref(), "note")?;
    let new = NewAnnotation {
        job: Some(job),
        kind: word(Some(&request.kind), "kind", &KINDS)?,
        starts_at: request.at,
        ends_at: None,
        note: &note,
        author: Some(&acting.visitor.name),
        suppress: lasting(request.suppress.as_deref(), "suppress")?,
    };
    let pool = &acting.acts.pool;
    let at = held::within(pool, held::SHORT, async |connection| annotation::add(connection, new).await).await?;
    info!(user = acting.visitor.name, act = "annotate", job.name = job, "a user acted");
    Ok(at)
}
