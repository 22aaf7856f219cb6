//! What keeps alerts from telling: silences, and built-in rules that inhibit others. What is held back tells when that ends.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use super::Run;
use super::failure::RunError;
use crate::notify::message::AlertFacts;
use crate::store::{alert, silence};

/// What keeps the alerts of a rule from telling.
pub(super) struct Holds {
    /// All of them.
    all: Option<String>,
    /// Those of single cohorts.
    cohorts: BTreeMap<String, String>,
}

impl Holds {
    /// Silences of a rule, and the built-in rule that inhibits it.
    pub(super) async fn of_rule(
        connection: &mut PgConnection,
        run: &Run<'_>,
        rule: &str,
        inhibited: Option<&str>,
    ) -> Result<Self, RunError> {
        let mut holds = Self { all: inhibited.map(|by| format!("while {by} fires")), cohorts: BTreeMap::new() };
        for (cohort, until, reason) in silence::of_rule(connection, &run.job.name, rule).await? {
            let why = format!("while silenced until {} ({reason})", until.format("%Y-%m-%d %H:%M UTC"));
            match cohort {
                None => holds.all = holds.all.or(Some(why)),
                Some(cohort) => _ = holds.cohorts.entry(cohort).or_insert(why),
            }
        }
        Ok(holds)
    }

    /// Why an alert of a cohort tells nobody: `while labels-stopped fires`.
    pub(super) fn of(&self, cohort: &str) -> Option<&str> {
        self.all.as_deref().or_else(|| self.cohorts.get(cohort).map(String::as_str))
    }

    /// Alerts that fire untold, and that nothing holds back any more: what they were about when they began to.
    pub(super) async fn tell_late(
        &self,
        connection: &mut PgConnection,
        run: &Run<'_>,
        rule: &str,
    ) -> Result<Vec<AlertFacts>, RunError> {
        if self.all.is_some() {
            return Ok(Vec::new());
        }
        let held: Vec<String> = self.cohorts.keys().cloned().collect();
        let late = alert::tell_late(connection, run.claim.job_id, rule, &held).await?;
        Ok(late.into_iter().filter_map(|facts| serde_json::from_value(facts).ok()).collect())
    }
}
