//! The one door for judgements: turns those of any producer into verdicts, alert states, transitions and incidents.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::PgConnection;

use super::basis::Basis;
use super::incident::{self, Fired};
use super::{Origin, StateChange};
use crate::domain::target::Target;
use crate::evaluate::state::{AlertState, Change, DecidedWindow, State};
use crate::notify::message::RuleContext;
use crate::plan::rule::{Clearing, Persistence};
use crate::store::alerting::alert::{self, NewTransition};
use crate::store::history::verdict::{self, NewVerdict, Recent, RecentQuery, RuleKey};
use crate::warehouse::failure::RunError;

/// Judgements of one rule in one run, by any producer.
#[derive(Debug)]
pub(crate) struct Judgements<'a> {
    pub about: RuleContext,
    /// Verdicts of another definition of the rule do not count.
    pub fingerprint: String,
    pub fires: Persistence,
    pub clears: Clearing,
    /// Verdicts to store, those on past windows included.
    pub verdicts: Vec<NewVerdict>,
    pub judged: Vec<Judged<'a>>,
}

/// The judgement that decides about one target's alert.
#[derive(Debug)]
pub(crate) struct Judged<'a> {
    pub target: Target,
    pub counts: Counts,
    pub basis: Basis<'a>,
}

/// Windows that the state of an alert follows from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Counts {
    /// Those of the latest verdicts on the last windows, of this run and before.
    Verdicts { most: i64, since: DateTime<Utc> },
    /// This judgement alone, at a time; `None` if it is undecided.
    Alone(Option<(DateTime<Utc>, bool)>),
}

/// Stores the verdicts, changes the alerts' states, and opens incidents for those that begin to fire. Returns the changes.
///
/// Notifications are composed later, once all alerts of the job have their state.
pub(crate) async fn apply(
    connection: &mut PgConnection,
    origin: Origin<'_>,
    judgements: &[Judgements<'_>],
) -> Result<Vec<StateChange>, RunError> {
    let mut verdicts: Vec<(RuleKey<'_>, &NewVerdict)> = Vec::new();
    for rule in judgements {
        verdicts.extend(rule.verdicts.iter().map(|verdict| (rule.key(origin), verdict)));
    }
    verdict::insert(connection, (origin.job_id, origin.run_id), &verdicts).await?;
    let recent = recent(connection, origin, judgements).await?;
    let rules: Vec<String> = judgements.iter().map(|rule| rule.about.rule.name.clone()).collect();
    let alerts = states(connection, origin, &rules).await?;
    let mut changes = Vec::new();
    let mut fired = Vec::new();
    let mut place = 0;
    for rule in judgements {
        for judged in &rule.judged {
            let windows = recent.get(place).map_or(&[][..], Vec::as_slice);
            place += 1;
            let known = alerts.get(&rule.about.rule.name, &judged.target).unwrap_or_default();
            let Some(change) = rule.change(judged, windows, known) else { continue };
            let facts = judged.basis.facts(&judged.target, &change);
            let transition = rule.transition(judged, &change, json!(facts), origin.as_of);
            let alert_id = alert::transition(connection, rule.key(origin), &transition).await?;
            if change.to == State::Firing {
                fired.push(Fired { alert_id, about: rule.about.clone(), facts });
            }
            changes.push(rule.state_change(judged, &change));
        }
    }
    incident::open(connection, origin, fired).await?;
    Ok(changes)
}

/// The stored state of an alert.
#[derive(Debug, Clone, Copy)]
struct Known {
    state: AlertState,
    /// A user resolved the alert: windows that end at or before this do not count.
    ignore_until: Option<DateTime<Utc>>,
}

impl Default for Known {
    fn default() -> Self {
        Self { state: AlertState::NEVER, ignore_until: None }
    }
}

impl<'a> Judgements<'a> {
    /// The judgement of an alert that begins and ends with a single one: at a time, or undecided.
    pub(crate) fn single(
        about: RuleContext,
        fingerprint: String,
        verdicts: Vec<NewVerdict>,
        window: Option<(DateTime<Utc>, bool)>,
        basis: Basis<'a>,
    ) -> Self {
        let once = Persistence::Windows(1);
        let clears = Clearing { below: None, above: None, persistence: once };
        let judged = vec![Judged { target: Target::total(), counts: Counts::Alone(window), basis }];
        Self { about, fingerprint, fires: once, clears, verdicts, judged }
    }
}

impl Judgements<'_> {
    fn key<'k>(&'k self, origin: Origin<'_>) -> RuleKey<'k> {
        RuleKey {
            job_id: origin.job_id,
            run_id: origin.run_id,
            rule: &self.about.rule.name,
            fingerprint: &self.fingerprint,
            severity: &self.about.rule.severity,
        }
    }

    /// Returns the change of state that a judgement causes.
    fn change(&self, judged: &Judged<'_>, recent: &[Recent], known: Known) -> Option<Change> {
        let alone = |(end, breach)| DecidedWindow::new(end, breach, judged.basis.value(), self.clears);
        let counted: Vec<DecidedWindow> = match judged.counts {
            Counts::Alone(window) => window.map(alone).into_iter().collect(),
            Counts::Verdicts { .. } => recent
                .iter()
                .map(|one| DecidedWindow::new(one.window_end, one.breach, one.value, self.clears))
                .collect(),
        };
        // An alert that was resolved manually starts again.
        let counts = |one: &DecidedWindow| known.ignore_until.is_none_or(|until| one.window_end > until);
        let counted: Vec<DecidedWindow> = counted.into_iter().filter(counts).collect();
        known.state.next(&counted, self.fires, self.clears.persistence)
    }

    fn transition(
        &self,
        judged: &Judged<'_>,
        change: &Change,
        evidence: serde_json::Value,
        as_of: DateTime<Utc>,
    ) -> NewTransition {
        NewTransition {
            cohort: judged.target.cohort.clone(),
            model_version: judged.target.model_version.clone(),
            from_state: change.from.as_str(),
            to_state: change.to.as_str(),
            reason: judged.basis.reason(change),
            value: judged.basis.value(),
            limit_value: judged.basis.limit(),
            since: judged.basis.since(change),
            fired_at: (change.to == State::Firing).then_some(as_of),
            evidence,
            about: Some(json!(self.about)),
        }
    }

    fn state_change(&self, judged: &Judged<'_>, change: &Change) -> StateChange {
        StateChange {
            rule: self.about.rule.name.clone(),
            cohort: judged.target.cohort.clone(),
            model_version: judged.target.model_version.clone(),
            from: change.from,
            to: change.to,
            value: judged.basis.value(),
            limit: judged.basis.limit(),
        }
    }
}

/// Loads the verdicts that count, for every judgement of every rule, in order.
async fn recent(
    connection: &mut PgConnection,
    origin: Origin<'_>,
    judgements: &[Judgements<'_>],
) -> Result<Vec<Vec<Recent>>, RunError> {
    let mut places = Vec::new();
    let mut queries = Vec::new();
    for (place, (rule, judged)) in
        judgements.iter().flat_map(|rule| rule.judged.iter().map(move |judged| (rule, judged))).enumerate()
    {
        let Counts::Verdicts { most, since } = judged.counts else { continue };
        places.push(place);
        queries.push(RecentQuery {
            rule: &rule.about.rule.name,
            fingerprint: &rule.fingerprint,
            cohort: &judged.target.cohort,
            model_version: judged.target.model_version.as_deref(),
            most,
            since,
        });
    }
    let mut found = vec![Vec::new(); judgements.iter().map(|rule| rule.judged.len()).sum()];
    for row in verdict::recent(connection, origin.job_id, &queries).await? {
        let query = usize::try_from(row.query).ok().and_then(|query| query.checked_sub(1));
        if let Some(place) = query.and_then(|query| places.get(query)) {
            found[*place].push(row);
        }
    }
    Ok(found)
}

/// Loads the alerts of rules, and locks them.
async fn states<'r>(
    connection: &mut PgConnection,
    origin: Origin<'_>,
    rules: &'r [String],
) -> Result<States<'r>, RunError> {
    let names: HashMap<&str, &'r str> = rules.iter().map(|rule| (rule.as_str(), rule.as_str())).collect();
    let mut states = States::default();
    // An alert survives a change of its rule, but only verdicts of the current rule can change its state.
    for row in alert::of_rules(connection, origin.job_id, rules).await? {
        let (Some(state), Some(rule)) = (State::parse(&row.state), names.get(row.rule.as_str())) else { continue };
        let target = Target { cohort: row.cohort, model_version: row.model_version };
        let known = Known { state: AlertState { state, since: row.since }, ignore_until: row.ignore_until };
        states.0.entry(rule).or_default().insert(target, known);
    }
    Ok(states)
}

/// Stored states by rule and target.
#[derive(Debug, Default)]
struct States<'r>(BTreeMap<&'r str, BTreeMap<Target, Known>>);

impl States<'_> {
    fn get(&self, rule: &str, target: &Target) -> Option<Known> {
        self.0.get(rule)?.get(target).copied()
    }
}
