//! `[[fairness]]`: groups that are compared with each other, each comparison a metric of the window.

use super::findings::Findings;
use crate::metric::JobMetric;
use crate::metric::family::fairness::{COMPARISONS, Comparison, Fairness, Reference};
use crate::metric::task::{Scores, Task};
use crate::plan::cohort::{CohortSet, Dimension};
use crate::spec::JobSpec;
use crate::spec::diagnostic::did_you_mean;
use crate::spec::model::FairnessSection;

/// Least number of predictions of a group, unless the job says otherwise.
const DEFAULT_MIN_GROUP: i64 = 100;

pub(super) fn build(
    spec: &JobSpec,
    task: &Task,
    (dimensions, sets): (&[(Dimension, String)], &[CohortSet]),
    findings: &mut Findings<'_>,
) -> Vec<JobMetric> {
    let mut all: Vec<Fairness> = Vec::new();
    for (index, section) in spec.fairness.iter().enumerate() {
        let path = format!("fairness[{index}]");
        if task.binary().is_none() {
            findings
                .error(&path, "needs-classes", "`[[fairness]]` compares decisions about two classes")
                .hint("remove it, or set the task to \"binary\"");
            continue;
        }
        check_dimension(section, &path, dimensions, sets, findings);
        for comparison in comparisons(section, &path, task, findings) {
            all.push(fairness(section, comparison));
        }
        let fits = section.min_group.is_none_or(|least| least >= 1);
        if !fits {
            findings
                .error(&format!("{path}.min_group"), "out-of-range", "`min_group` is not a number of predictions")
                .hint("use 1 or more, such as 100");
        }
    }
    // Where two dimensions have the same comparison, the dimension tells them apart.
    let shared = |one: &Fairness| all.iter().filter(|other| other.comparison == one.comparison).count() > 1;
    let names: Vec<String> = all
        .iter()
        .map(|one| match shared(one) {
            true => format!("{}_{}", one.comparison.name(), one.by),
            false => one.comparison.name().to_owned(),
        })
        .collect();
    all.into_iter().zip(names).map(|(one, name)| JobMetric::Fairness(Fairness { name: name.into(), ..one })).collect()
}

fn fairness(section: &FairnessSection, comparison: Comparison) -> Fairness {
    Fairness {
        name: comparison.name().into(),
        meaning: format!("{}, by {}", comparison.meaning(), section.by),
        comparison,
        by: section.by.clone(),
        reference: match section.reference.as_deref() {
            None | Some("largest") => Reference::Largest,
            Some(value) => Reference::Value(value.to_owned()),
        },
        min_group: section.min_group.unwrap_or(DEFAULT_MIN_GROUP),
    }
}

/// Groups are cohorts, so that each can be looked at by itself.
fn check_dimension(
    section: &FairnessSection,
    path: &str,
    dimensions: &[(Dimension, String)],
    sets: &[CohortSet],
    findings: &mut Findings<'_>,
) {
    let place = dimensions.iter().position(|(dimension, _)| dimension.name == section.by);
    if !place.is_some_and(|place| sets.iter().any(|set| set.dimensions == [place])) {
        findings
            .error(
                &format!("{path}.by"),
                "no-cohorts",
                format!("no `[[cohorts]]` lists `{}` by itself, and groups are its cohorts", section.by),
            )
            .hint(format!("declare [[cohorts]] with by = [\"{}\"]", section.by));
    }
}

fn comparisons(section: &FairnessSection, path: &str, task: &Task, findings: &mut Findings<'_>) -> Vec<Comparison> {
    let Some(names) = &section.metrics else {
        return vec![Comparison::TprGap, Comparison::FprGap, Comparison::SelectionRatio];
    };
    let mut found = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let path = format!("{path}.metrics[{index}]");
        let known = COMPARISONS.into_iter().find(|comparison| comparison.name() == name);
        let probabilities = task.binary().is_some_and(|binary| binary.scores == Scores::Probabilities);
        match known {
            Some(comparison) if found.contains(&comparison) => {
                findings.error(&path, "repeated-entry", format!("`{name}` is listed twice")).hint("remove one of them");
            }
            Some(Comparison::EceGap) if !probabilities => {
                findings
                    .error(&path, "metric-of-another-task", "`ece_gap` is a metric of probabilities")
                    .hint("remove it: these scores only have an order");
            }
            Some(comparison) => found.push(comparison),
            None => {
                let known = COMPARISONS.map(Comparison::name);
                let hint = match did_you_mean(name, known.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("known ones are {}", known.join(", ")),
                };
                findings
                    .error(&path, "unknown-metric", format!("there is no comparison of groups `{name}`"))
                    .hint(hint);
            }
        }
    }
    found
}
