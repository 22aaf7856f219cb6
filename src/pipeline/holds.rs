//! What keeps alerts from telling: silences, maintenance, warm-up after an event, and other alerts of the job that say it
//! already or make it untrustworthy. What is held back tells when that ends.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::failure::RunError;
use crate::notify::decide::{Candidate, Decision, decide};
use crate::notify::matcher::{Labels, Matcher};
use crate::notify::message::About;
use crate::notify::route::Routing;
use crate::store::alert::StandingAlert;
use crate::store::{annotation, silence};

/// A standing alert with what is kept about its rule.
#[derive(Debug)]
pub(super) struct Known {
    pub alert: StandingAlert,
    pub about: About,
}

impl Known {
    pub(super) fn is_firing(&self) -> bool {
        self.alert.state == "firing"
    }

    pub(super) fn labels(&self) -> Labels<'_> {
        Labels {
            job: &self.about.job.name,
            rule: &self.alert.rule,
            severity: &self.alert.severity,
            owner: self.about.rule.owner.as_deref().or(self.about.job.owner.as_deref()),
            cohort: &self.alert.cohort,
        }
    }

    fn candidate(&self) -> Candidate<'_> {
        Candidate {
            labels: self.labels(),
            metric: &self.about.rule.metric,
            model_version: self.alert.model_version.as_deref(),
            needs_labels: self.about.needs_labels,
        }
    }
}

/// What keeps the alerts of a job from telling now.
pub(super) struct Holds<'a> {
    routing: &'a Routing,
    now: DateTime<Utc>,
    silences: Vec<(Matcher, String)>,
    warm_up: Option<String>,
}

impl<'a> Holds<'a> {
    pub(super) async fn load(
        connection: &mut PgConnection,
        routing: &'a Routing,
        job: &str,
        now: DateTime<Utc>,
    ) -> Result<Self, RunError> {
        let silences = silence::list(connection, false).await?;
        let silences = silences.into_iter().map(|row| {
            let why = format!("while silenced until {} ({})", minute(row.ends_at), row.reason);
            let matcher =
                Matcher { job: row.job, rule: row.rule, severity: row.severity, owner: None, cohort: row.cohort };
            (matcher, why)
        });
        let warm_up = annotation::suppressing(connection, job).await?;
        let warm_up = warm_up.map(|event| format!("until {}, after a {}", minute(event.until), event.kind));
        Ok(Self { routing, now, silences: silences.collect(), warm_up })
    }

    /// Whether an alert is told. `all` are the standing alerts of its job.
    pub(super) fn decide(&self, known: &Known, all: &[Known]) -> Decision {
        let others = all.iter().filter(|other| other.alert.id != known.alert.id && other.is_firing());
        let heard = others.filter(|other| self.muted(other).is_none()).map(Known::candidate);
        decide(&known.candidate(), self.muted(known), heard)
    }

    /// Why people want to hear nothing of an alert.
    fn muted(&self, known: &Known) -> Option<String> {
        let labels = known.labels();
        let silenced = self.silences.iter().find(|(matcher, _)| matcher.fits(&labels)).map(|(_, why)| why.clone());
        silenced
            .or_else(|| {
                let (maintenance, until) = self.routing.maintenance(&labels, self.now)?;
                Some(format!("during maintenance until {} ({})", minute(until), maintenance.reason))
            })
            .or_else(|| self.warm_up.clone())
    }
}

fn minute(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M UTC").to_string()
}
