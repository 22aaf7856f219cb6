//! Silences: previewed, created, ended.

use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::Deserialize;
use tracing::info;

use super::{Acting, lasting, needed, text, word};
use crate::domain::duration;
use crate::notify::policy::matcher::Matcher;
use crate::postgres::held;
use crate::store::alerting::silence::{self, NewSilence};
use crate::web::error::PageError;
use crate::web::selection;

const SEVERITIES: [&str; 3] = ["page", "ticket", "info"];

/// A silence. A filter that is not given matches everything; a star in one stands for any text.
#[derive(Debug, Default, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SilenceRequest {
    #[schemars(length(max = 2000))]
    pub job: Option<String>,
    #[schemars(length(max = 2000))]
    pub rule: Option<String>,
    #[schemars(length(max = 2000))]
    pub cohort: Option<String>,
    #[schemars(extend("enum" = SEVERITIES.map(Some).into_iter().chain([None]).collect::<Vec<_>>()))]
    pub severity: Option<String>,
    /// How long it lasts, such as `2h`.
    #[serde(rename = "for")]
    pub lasts: String,
    #[schemars(length(min = 1, max = 2000))]
    pub reason: String,
    /// Return what it would mute, and create nothing.
    #[serde(default)]
    pub preview: bool,
}

/// A silence whose fields were checked.
#[derive(Debug, Clone)]
pub struct Planned {
    pub job: Option<String>,
    pub rule: Option<String>,
    pub cohort: Option<String>,
    pub severity: Option<String>,
    lasts: TimeDelta,
    pub reason: String,
}

impl Planned {
    /// Checks a request.
    pub fn read(request: &SilenceRequest) -> Result<Self, PageError> {
        let pattern = |given: &Option<String>, name: &str| {
            text(given.as_deref(), name).map(|text| Some(text).filter(|text| !text.is_empty()))
        };
        let severity = match request.severity.as_deref() {
            Some(given) => Some(word(Some(given), "severity", &SEVERITIES)?.to_owned()),
            None => None,
        };
        let missing = || PageError::BadRequest(format!("`for` is needed: {}", duration::HINT));
        let lasts = Some(request.lasts.as_str()).filter(|text| !text.is_empty());
        Ok(Self {
            job: pattern(&request.job, "job")?,
            rule: pattern(&request.rule, "rule")?,
            cohort: pattern(&request.cohort, "cohort")?,
            severity,
            lasts: lasting(lasts, "for")?.ok_or_else(missing)?,
            reason: needed(Some(&request.reason), "reason", "it explains later why nobody was notified")?,
        })
    }

    pub fn matcher(&self) -> Matcher {
        Matcher {
            job: self.job.clone(),
            rule: self.rule.clone(),
            severity: self.severity.clone(),
            owner: None,
            cohort: self.cohort.clone(),
        }
    }

    /// How long it lasts, as users write it.
    pub fn duration(&self) -> String {
        duration::format(self.lasts)
    }

    /// Refuses a job that does not exist. A pattern may match jobs that do not exist yet.
    pub async fn expect_job(&self, connection: &mut sqlx::PgConnection) -> Result<(), PageError> {
        let Some(job) = self.job.as_deref().filter(|job| !job.contains('*')) else { return Ok(()) };
        selection::job(connection, job).await.map(drop).map_err(|_| {
            let job = crate::text::line::clipped(job, 60);
            PageError::BadRequest(format!("there is no job `{job}`; write its name, or a pattern with `*`"))
        })
    }
}

/// Creates a silence. Returns its number and its end.
pub async fn add(acting: Acting<'_>, planned: &Planned) -> Result<(i64, DateTime<Utc>), PageError> {
    let new = NewSilence {
        job: planned.job.as_deref(),
        rule: planned.rule.as_deref(),
        cohort: planned.cohort.as_deref(),
        severity: planned.severity.as_deref(),
        lasts: planned.lasts,
        reason: &planned.reason,
        author: &acting.visitor.name,
    };
    let pool = &acting.acts.pool;
    let added = held::within(pool, held::SHORT, async |connection| silence::add(connection, new).await).await?;
    info!(user = acting.visitor.name, act = "silence", silence.id = added.0, "a user acted");
    Ok(added)
}

/// Ends a silence now.
pub async fn expire(acting: Acting<'_>, id: i64) -> Result<(), PageError> {
    let pool = &acting.acts.pool;
    let ended = held::within(pool, held::SHORT, async |connection| silence::expire(connection, id).await).await?;
    if !ended {
        return Err(PageError::Conflict(format!("Silence {id} is not in force: it has ended, or there is none.")));
    }
    info!(user = acting.visitor.name, act = "expire", silence.id = id, "a user acted");
    Ok(())
}
