//! Gathers the evidence for rules: the measurement itself, other windows, past windows, validation values.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use sqlx::PgConnection;

use super::judgeable::{Found, Judgeable};
use crate::alerting::RunContext;
use crate::domain::cohort::Cohort;
use crate::domain::target::Target;
use crate::domain::window::{Slice, Window};
use crate::evaluate::baseline::Past;
use crate::metric::interval::Interval;
use crate::metric::measurement::{Counts, Sample};
use crate::plan::baseline::{Baseline, Kind};
use crate::plan::rule::{Limits, Rule, Test};
use crate::store::history::baseline::{self, SampleRow, Targets};
use crate::store::history::verdict::RuleKey;
use crate::warehouse::failure::RunError;

/// Gathers evidence for every comparison of a rule (outer) and every requested judgement (inner), in order.
pub(crate) async fn gather(
    connection: &mut PgConnection,
    run: &RunContext<'_>,
    rule: &Rule,
    key: RuleKey<'_>,
    asked: &[Judgeable<'_>],
) -> Result<Vec<Vec<Found>>, RunError> {
    let mut all = Vec::new();
    for test in rule.when.tests() {
        let mut found = vec![Found::default(); asked.len()];
        let relative = match &test.limits {
            Limits::Relative { baseline, .. } => Some(baseline),
            Limits::Fixed(_) => None,
        };
        if relative.is_some() || test.window != rule.window {
            let known = run.job.windows.all.iter().find(|window| window.name == test.window);
            if let Some(window) = known {
                // All targets of one judged window are looked up together.
                for (slice, places) in by_slice(asked) {
                    let about = About { run, rule, key, test, window, slice, asked, places: &places };
                    if test.window != rule.window {
                        about.other_window(connection, &mut found).await?;
                    }
                    if let Some(baseline) = relative {
                        about.past(connection, baseline, &mut found).await?;
                    }
                }
            }
        }
        all.push(found);
    }
    Ok(all)
}

fn by_slice(asked: &[Judgeable<'_>]) -> BTreeMap<Slice, Vec<usize>> {
    let mut slices: BTreeMap<Slice, Vec<usize>> = BTreeMap::new();
    for (place, one) in asked.iter().enumerate() {
        slices.entry(one.window.window.slice).or_default().push(place);
    }
    slices
}

/// One comparison in one judged window.
struct About<'a> {
    run: &'a RunContext<'a>,
    rule: &'a Rule,
    key: RuleKey<'a>,
    test: &'a Test,
    window: &'a Window,
    slice: Slice,
    asked: &'a [Judgeable<'a>],
    places: &'a [usize],
}

impl About<'_> {
    /// Finds the newest window of the other name that had ended, if it is no older than two of its lengths.
    async fn other_window(&self, connection: &mut PgConnection, found: &mut [Found]) -> Result<(), RunError> {
        let (cohorts, versions) = self.targets();
        let reach = (self.slice.end - self.window.longest() * 2, self.slice.end);
        let targets = Targets { cohorts: &cohorts, versions: &versions };
        let rows = baseline::newest(connection, self.run.claim.job_id, &self.test.window, reach, targets).await?;
        for place in self.places {
            found[*place].other = Some(None);
        }
        for row in rows {
            if let Some(place) = self.place(row.target) {
                found[place].other = Some(Some(sample(&row)));
            }
        }
        Ok(())
    }

    async fn past(
        &self,
        connection: &mut PgConnection,
        wanted: &Baseline,
        found: &mut [Found],
    ) -> Result<(), RunError> {
        let (cohorts, versions) = self.targets();
        let metric = self.test.metric.name();
        match &wanted.kind {
            Kind::Fixed(_) => {}
            Kind::Validation => {
                let targets = Targets { cohorts: &cohorts, versions: &versions };
                for (target, value) in baseline::validation(connection, &self.run.job.name, metric, targets).await? {
                    self.single(target, Some(value), found);
                }
            }
            Kind::Version(_) | Kind::Whole => {
                let (mut cohorts, mut versions) = (cohorts, versions);
                match &wanted.kind {
                    Kind::Version(version) => versions.fill(Some(version.clone())),
                    _ => cohorts.fill(Cohort::All.label()),
                }
                let targets = Targets { cohorts: &cohorts, versions: &versions };
                let reach = (self.slice.end - TimeDelta::milliseconds(1), self.slice.end);
                let job_id = self.run.claim.job_id;
                for row in baseline::newest(connection, job_id, &self.test.window, reach, targets).await? {
                    self.single(row.target, sample(&row).value(&self.test.metric), found);
                }
            }
            Kind::Rolling(_) | Kind::Seasonal(_) => {
                let ends = wanted.places(self.window, self.slice, self.run.job.windows.zone);
                let is_final = self.run.job.windows.is_final(self.slice.end, self.run.as_of);
                let asked = baseline::PastQuery {
                    window: &self.test.window,
                    metric,
                    ends: &ends,
                    within: wanted.within(self.window),
                    age: (!is_final).then(|| (self.run.as_of - self.slice.end).max(TimeDelta::zero())),
                };
                let targets = Targets { cohorts: &cohorts, versions: &versions };
                for row in baseline::past(connection, self.key, targets, asked).await? {
                    let slice = Slice { start: row.window_start, end: row.window_end };
                    if let Some(place) = self.place(row.target) {
                        found[place].past.push(Past { slice, value: row.value, breach: row.breach });
                    }
                }
            }
        }
        Ok(())
    }

    fn single(&self, target: i64, value: Option<f64>, found: &mut [Found]) {
        if let Some(place) = self.place(target) {
            found[place].past = vec![Past { slice: self.slice, value, breach: false }];
        }
    }

    fn targets(&self) -> (Vec<String>, Vec<Option<String>>) {
        debug_assert!(
            self.asked.iter().all(|one| self.rule.covers(&one.target.cohort, one.target.model_version.as_deref()))
        );
        let target = |place: &usize| -> &Target { &self.asked[*place].target };
        let cohorts = self.places.iter().map(|place| target(place).cohort.clone()).collect();
        let versions = self.places.iter().map(|place| target(place).model_version.clone()).collect();
        (cohorts, versions)
    }

    /// Converts the number of a target, from 1, to its index in `asked`.
    fn place(&self, target: i64) -> Option<usize> {
        usize::try_from(target).ok()?.checked_sub(1).and_then(|place| self.places.get(place)).copied()
    }
}

/// Converts a stored measurement to a sample for rules.
pub(crate) fn sample(row: &SampleRow) -> Sample {
    Sample {
        counts: Counts {
            predictions: row.predictions,
            labeled: row.labeled,
            excluded: row.excluded,
            duplicates: row.duplicates,
            ambiguous: row.ambiguous,
        },
        metrics: row.numbers.metrics.clone(),
        intervals: row
            .numbers
            .intervals
            .iter()
            .map(|(name, &(low, high))| (name.clone(), Interval { low, high }))
            .collect(),
        notes: row.notes.iter().filter_map(serde_json::Value::as_object).flatten().filter_map(text).collect(),
    }
}

/// A note by metric.
fn text((metric, note): (&String, &serde_json::Value)) -> Option<(String, String)> {
    Some((metric.clone(), note.as_str()?.to_owned()))
}
