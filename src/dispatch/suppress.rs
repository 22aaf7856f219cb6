//! Suppression of alerts: by silences, maintenance, warm-up after an event, and other alerts of the job that cover them or make
//! them untrustworthy. A suppressed alert is notified when its suppression ends.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::notify::message::RuleContext;
use crate::notify::policy::inhibit::{Candidate, Decision, decide};
use crate::notify::policy::matcher::{Labels, Matcher};
use crate::notify::policy::route::{Path, Routing};
use crate::store::alerting::alert::StandingAlert;
use crate::store::alerting::{annotation, silence};
use crate::warehouse::failure::RunError;

/// An alert with the stored context of its rule.
#[derive(Debug)]
pub(crate) struct Known {
    pub alert: StandingAlert,
    pub about: RuleContext,
}

impl Known {
    pub(crate) fn is_firing(&self) -> bool {
        self.alert.state == "firing"
    }

    pub(crate) fn labels(&self) -> Labels<'_> {
        Labels {
            job: &self.about.job.name,
            rule: &self.alert.rule,
            severity: &self.alert.severity,
            owner: self.about.rule.owner.as_deref().or(self.about.job.owner.as_deref()),
            cohort: &self.alert.cohort,
        }
    }

    pub(crate) fn path(&self, routing: &Routing) -> Path {
        routing.path(&self.labels(), &self.about.notify)
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

/// Subject of an alert: metric, version, cohort.
type Subject<'k> = (&'k str, Option<&'k str>, &'k str);

/// Current suppressions of the firing alerts of a job.
pub(crate) struct Suppressions<'k> {
    /// Reason of the silence, maintenance or warm-up that suppresses an alert, by its number.
    muted: BTreeMap<i64, String>,
    /// Alerts that receivers are notified of, by subject: these may inhibit others.
    heard: HashMap<Subject<'k>, Vec<Active<'k>>>,
    pipeline: Vec<Active<'k>>,
}

/// An alert that receivers are notified of.
#[derive(Debug, Clone, Copy)]
struct Active<'k> {
    id: i64,
    candidate: Candidate<'k>,
    /// Deferred (hours, digest), so it does not suppress a page.
    deferred: bool,
}

impl<'k> Suppressions<'k> {
    pub(crate) async fn load(
        connection: &mut PgConnection,
        routing: &Routing,
        alerts: &'k [Known],
        now: DateTime<Utc>,
    ) -> Result<Self, RunError> {
        let mut suppressions = Self { muted: BTreeMap::new(), heard: HashMap::new(), pipeline: Vec::new() };
        let Some(first) = alerts.first() else { return Ok(suppressions) };
        let silences = silence::list(connection, false).await?;
        let silences: Vec<(Matcher, String)> = silences
            .into_iter()
            .map(|row| {
                let why = format!("while silenced until {} ({})", minute(row.ends_at), row.reason);
                let matcher =
                    Matcher { job: row.job, rule: row.rule, severity: row.severity, owner: None, cohort: row.cohort };
                (matcher, why)
            })
            .collect();
        let warm_up = annotation::suppressing(connection, &first.about.job.name).await?;
        let warm_up = warm_up.map(|event| format!("until {}, after a {}", minute(event.until), event.kind));
        for known in alerts.iter().filter(|known| known.is_firing()) {
            let labels = known.labels();
            let silenced = || silences.iter().find(|(matcher, _)| matcher.fits(&labels)).map(|(_, why)| why.clone());
            let maintained = || {
                let (maintenance, until) = routing.maintenance(&labels, now)?;
                Some(format!("during maintenance until {} ({})", minute(until), maintenance.reason))
            };
            if let Some(why) = silenced().or_else(maintained).or_else(|| warm_up.clone()) {
                suppressions.muted.insert(known.alert.id, why);
                continue;
            }
            let path = known.path(routing);
            // An alert without receivers inhibits nothing; otherwise no receiver would be notified.
            if path.receivers.is_empty() {
                continue;
            }
            let candidate = known.candidate();
            let heard = Active { id: known.alert.id, candidate, deferred: path.is_deferred() };
            if candidate.is_about_the_pipeline() {
                suppressions.pipeline.push(heard);
            }
            let subject = (candidate.metric, candidate.model_version, candidate.labels.cohort);
            suppressions.heard.entry(subject).or_default().push(heard);
        }
        Ok(suppressions)
    }

    /// Decides whether an alert is notified.
    pub(crate) fn decide(&self, known: &Known) -> Decision {
        let candidate = known.candidate();
        let about = |cohort| self.heard.get(&(candidate.metric, candidate.model_version, cohort));
        let is_page = known.alert.severity == "page";
        let others = self.pipeline.iter().chain(about(candidate.labels.cohort).into_iter().flatten());
        let others = others.chain(about("all").into_iter().flatten());
        let others = others.filter(|other| other.id != known.alert.id && !(is_page && other.deferred));
        decide(&candidate, self.muted.get(&known.alert.id).cloned(), others.map(|other| other.candidate))
    }
}

fn minute(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M UTC").to_string()
}
