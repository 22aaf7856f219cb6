//! History that rules are replayed over: measurements of past windows, and when they became known.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::domain::target::Target;
use crate::domain::window::Slice;
use crate::metric::measurement::Sample;
use crate::plan::rule::Rule;

/// A measurement, and the time from which it was known.
#[derive(Debug, Clone)]
pub struct Revision {
    pub as_of: DateTime<Utc>,
    /// Shared with the verdicts on it: a replay of years has many.
    pub sample: Arc<Sample>,
}

/// One window of one target, with all its revisions, oldest first.
#[derive(Debug, Clone)]
pub struct Point {
    pub slice: Slice,
    /// When a run first saw it final, if one has.
    pub settled_at: Option<DateTime<Utc>>,
    pub revisions: Vec<Revision>,
}

/// Points by name of window, target and end of window.
#[derive(Debug, Clone, Default)]
pub struct History {
    points: BTreeMap<String, BTreeMap<Target, BTreeMap<DateTime<Utc>, Point>>>,
    /// Ends of all windows of a name, for any target.
    ends: BTreeMap<String, BTreeSet<DateTime<Utc>>>,
    /// Time of the newest revision.
    pub(super) known_until: DateTime<Utc>,
    /// Nothing is judged after this.
    pub now: Option<DateTime<Utc>>,
    /// Validation values by metric and target.
    pub validation: BTreeMap<(String, Target), f64>,
    /// Periods excluded from the baseline.
    pub incidents: Vec<Slice>,
}

impl History {
    /// Adds a revision of a window that a run first saw final at `settled_at`.
    pub fn push(
        &mut self,
        window: &str,
        target: Target,
        (slice, settled_at): (Slice, Option<DateTime<Utc>>),
        revision: Revision,
    ) {
        self.known_until = self.known_until.max(revision.as_of);
        self.ends.entry(window.to_owned()).or_default().insert(slice.end);
        let points = self.points.entry(window.to_owned()).or_default().entry(target).or_default();
        let point = points.entry(slice.end).or_insert_with(|| Point { slice, settled_at, revisions: Vec::new() });
        let place = point.revisions.partition_point(|known| known.as_of <= revision.as_of);
        point.revisions.insert(place, revision);
    }

    /// Returns the points of the targets that a rule judges.
    pub(super) fn of_rule<'h>(
        &'h self,
        rule: &Rule,
    ) -> impl Iterator<Item = (&'h Target, &'h BTreeMap<DateTime<Utc>, Point>)> {
        let covers: BTreeSet<Target> = self
            .points
            .get(&rule.window)
            .into_iter()
            .flat_map(BTreeMap::keys)
            .filter(|target| rule.covers(&target.cohort, target.model_version.as_deref()))
            .cloned()
            .collect();
        self.points.get(&rule.window).into_iter().flatten().filter(move |(target, _)| covers.contains(*target))
    }

    /// Returns the point of a target in the newest window that ended by `until` and after `after`, if it has one.
    pub(super) fn newest(
        &self,
        window: &str,
        target: &Target,
        after: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Option<&Point> {
        let end = self.ends.get(window)?.range(..=until).next_back().filter(|end| **end > after)?;
        self.points.get(window)?.get(target)?.get(end)
    }
}

impl Point {
    /// Returns the sample that was known at a time.
    pub(super) fn known_at(&self, time: DateTime<Utc>) -> Option<&Arc<Sample>> {
        self.revisions.iter().take_while(|revision| revision.as_of <= time).last().map(|revision| &revision.sample)
    }

    pub(super) fn latest(&self) -> Option<&Arc<Sample>> {
        self.revisions.last().map(|revision| &revision.sample)
    }
}
