//! Conditions of rules: metrics, limits and baselines.

use chrono::{DateTime, Utc};

use super::findings::Findings;
use crate::domain::window::{Slice, Window};
use crate::metric::name::{COUNTS, MetricName};
use crate::metric::task::Applies;
use crate::metric::{JobMetric, Parameters, Requirement};
use crate::plan::baseline::{Baseline, Kind};
use crate::plan::rule::{Condition, Excess, Limits, Test, VersionChoice};
use crate::spec::diagnostic::did_you_mean;
use crate::spec::rules::{BaselineKind, BaselineSection, DistanceSpec, ExcessSpec, RangeSection};

/// The names that conditions may use.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    pub windows: &'a [Window],
    pub metrics: &'a [JobMetric],
    pub parameters: &'a Parameters,
    /// True if the job declares a model version.
    pub versioned: bool,
}

/// The keys of a condition, written in the rule itself or in its list.
#[derive(Clone, Copy)]
pub(super) struct RawCondition<'a> {
    pub metric: &'a str,
    pub window: &'a str,
    pub above: Option<f64>,
    pub below: Option<f64>,
    pub above_baseline: Option<&'a ExcessSpec>,
    pub below_baseline: Option<&'a ExcessSpec>,
    pub baseline: Option<&'a BaselineSection>,
    pub versions: Option<VersionChoice>,
}

pub(super) fn test(
    written: RawCondition<'_>,
    path: &str,
    known: Known<'_>,
    findings: &mut Findings<'_>,
) -> Option<Test> {
    let metric = metric(written.metric, path, known.metrics, findings);
    let window = window(written.window, path, known.windows, findings);
    let limits = limits(written, path, window, known, findings);
    let definition =
        known.metrics.iter().find(|kept| kept.name() == written.metric).map_or(String::new(), |kept| match kept {
            JobMetric::Custom(custom) => custom.meaning.clone(),
            JobMetric::PositiveRateAt(rate) => rate.meaning.clone(),
            JobMetric::Fairness(fairness) => format!("{:?} {fairness:?}", known.parameters.task),
            JobMetric::Failures(_) => String::new(),
            JobMetric::Catalogue(metric) => match metric.needs {
                _ if matches!(metric.task, Applies::Binary | Applies::Probabilities) => {
                    format!("{:?}", known.parameters.task)
                }
                Requirement::Tolerance => format!("{:?}", known.parameters.tolerance),
                Requirement::HuberDelta => format!("{:?}", known.parameters.huber_delta),
                _ => String::new(),
            },
        });
    Some(Test { metric: metric?, window: window?.name.clone(), limits: limits?, definition })
}

pub(super) fn metric(name: &str, path: &str, metrics: &[JobMetric], findings: &mut Findings<'_>) -> Option<MetricName> {
    if let Some(count) = MetricName::count(name) {
        return Some(count);
    }
    let listed = || metrics.iter().filter(|metric| !metric.is_detail());
    if let Some(found) = listed().find(|metric| metric.name() == name) {
        return Some(MetricName::of(found));
    }
    let known: Vec<&str> = listed().map(JobMetric::name).chain(COUNTS.iter().map(MetricName::name)).collect();
    let hint = did_you_mean(name, known.iter().copied()).map_or_else(
        || format!("include it in [metrics], or use one of {}", known.join(", ")),
        |near| format!("did you mean `{near}`?"),
    );
    findings.error(&format!("{path}.metric"), "unknown-metric", format!("the job has no metric `{name}`")).hint(hint);
    None
}

pub(super) fn window<'a>(
    name: &str,
    path: &str,
    windows: &'a [Window],
    findings: &mut Findings<'_>,
) -> Option<&'a Window> {
    let found = windows.iter().find(|window| window.name == name);
    if found.is_none() {
        let known = windows.iter().map(|window| format!("`{}`", window.name)).collect::<Vec<_>>().join(", ");
        findings.error(&format!("{path}.window"), "unknown-window", format!("the job has no window `{name}`")).hint(
            if known.is_empty() {
                "add it to [windows]".to_owned()
            } else {
                format!("use one of {known}, or add it to [windows]")
            },
        );
    }
    found
}

fn limits(
    written: RawCondition<'_>,
    path: &str,
    window: Option<&Window>,
    known: Known<'_>,
    findings: &mut Findings<'_>,
) -> Option<Limits> {
    let fixed = written.above.is_some() || written.below.is_some();
    let relative = written.above_baseline.is_some() || written.below_baseline.is_some();
    match (fixed, relative) {
        (true, true) => {
            findings
                .error(path, "two-conditions", "a limit and a distance from a baseline are two conditions")
                .hint("make each a condition of its own, in a list `all` or `any`");
            None
        }
        (true, false) => {
            if written.baseline.is_some() {
                findings
                    .error(&format!("{path}.baseline"), "unused-baseline", "no condition uses the baseline")
                    .hint("use `above_baseline` or `below_baseline`, or remove it");
            }
            fixed_limits(written.above, written.below, path, findings).map(Limits::Fixed)
        }
        (false, true) => {
            let above = written.above_baseline.map(|e| excess(e, &format!("{path}.above_baseline"), findings));
            let below = written.below_baseline.map(|e| excess(e, &format!("{path}.below_baseline"), findings));
            let default = BaselineSection::default();
            let section = written.baseline.unwrap_or(&default);
            let baseline = baseline(section, path, window, written.versions, known, findings)?;
            if matches!((above, below), (Some(None), _) | (_, Some(None))) {
                return None;
            }
            let (above, below) = (above.flatten(), below.flatten());
            let deviations = [above, below].into_iter().flatten().any(|excess| excess.deviations.is_some());
            if deviations && !matches!(baseline.kind, Kind::Rolling(_) | Kind::Seasonal(_)) {
                findings
                    .error(path, "no-deviation", "a single number has no median absolute deviation")
                    .hint("use `baseline = { kind = \"rolling\" }` or `baseline = { kind = \"seasonal\" }`");
                return None;
            }
            Some(Limits::Relative { above, below, baseline })
        }
        (false, false) => {
            findings
                .error(path, "no-condition", "there is no condition")
                .hint("add `above = 250.0`, `below = 50.0` or `above_baseline = \"20%\"`");
            None
        }
    }
}

pub(super) fn fixed_limits(
    above: Option<f64>,
    below: Option<f64>,
    path: &str,
    findings: &mut Findings<'_>,
) -> Option<Condition> {
    if [above, below].into_iter().flatten().any(|limit| !limit.is_finite()) {
        findings.error(path, "bad-limit", "a limit is not a finite number").hint("write a number");
        return None;
    }
    match (above, below) {
        (Some(limit), None) => Some(Condition::Above(limit)),
        (None, Some(limit)) => Some(Condition::Below(limit)),
        (Some(high), Some(low)) if low <= high => Some(Condition::Outside { low, high }),
        (Some(high), Some(low)) => {
            let message = format!("every value is below {low} or above {high}");
            findings
                .error(&format!("{path}.below"), "always-in-breach", message)
                .hint("`below` must not be greater than `above`");
            None
        }
        (None, None) => None,
    }
}

/// Reads a distance from a baseline. Every part of it must be exceeded.
fn excess(spec: &ExcessSpec, path: &str, findings: &mut Findings<'_>) -> Option<Excess> {
    let one = |spec: &ExcessSpec| match spec {
        ExcessSpec::Number(number) => vec![DistanceSpec::Number(*number)],
        ExcessSpec::Text(text) => vec![DistanceSpec::Text(text.clone())],
        ExcessSpec::All(all) => all.clone(),
    };
    let mut excess = Excess::default();
    for part in one(spec) {
        let (place, value) = match &part {
            DistanceSpec::Number(number) => (&mut excess.absolute, Some(*number)),
            DistanceSpec::Text(text) => match text.trim().strip_suffix('%') {
                Some(percent) => (&mut excess.share, percent.trim().parse::<f64>().ok().map(|p| p / 100.0)),
                None => {
                    let number = text.trim().strip_suffix("mad").map(str::trim);
                    (&mut excess.deviations, number.and_then(|number| number.parse().ok()))
                }
            },
        };
        let valid = value.filter(|value| value.is_finite() && *value >= 0.0);
        if valid.is_none() || place.is_some() {
            findings
                .error(path, "bad-distance", "this is not a distance from a baseline")
                .hint("write `\"20%\"`, a number in the metric's unit, `\"3 mad\"`, or one of each in a list");
            return None;
        }
        *place = valid;
    }
    if excess == Excess::default() {
        findings.error(path, "bad-distance", "the list is empty").hint("write `[\"20%\", 30.0]`");
        return None;
    }
    Some(excess)
}

fn baseline(
    section: &BaselineSection,
    path: &str,
    window: Option<&Window>,
    versions: Option<VersionChoice>,
    known: Known<'_>,
    findings: &mut Findings<'_>,
) -> Option<Baseline> {
    let path = format!("{path}.baseline");
    let kind = section.kind.unwrap_or(BaselineKind::Rolling);
    let used: &[&str] = match kind {
        BaselineKind::Rolling => &["windows", "min", "exclude"],
        BaselineKind::Seasonal => &["weeks", "min", "exclude"],
        BaselineKind::Fixed => &["value"],
        BaselineKind::Validation | BaselineKind::Whole => &[],
        BaselineKind::Version => &["version"],
    };
    let written = [
        ("windows", section.windows.is_some()),
        ("weeks", section.weeks.is_some()),
        ("value", section.value.is_some()),
        ("version", section.version.is_some()),
        ("min", section.min.is_some()),
        ("exclude", !section.exclude.is_empty()),
    ];
    for (key, _) in written.into_iter().filter(|(key, there)| *there && !used.contains(key)) {
        findings
            .error(&format!("{path}.{key}"), "unused-key", format!("`{key}` has no effect on this kind of baseline"))
            .hint("remove it, or choose another `kind`");
    }
    let built = match kind {
        BaselineKind::Rolling => Kind::Rolling(count(section.windows, 30, 2, &format!("{path}.windows"), findings)?),
        BaselineKind::Seasonal => {
            if window.is_some_and(|window| window.nominal() > chrono::TimeDelta::days(7)) {
                findings
                    .error(
                        &format!("{path}.kind"),
                        "window-too-long",
                        "windows longer than a week overlap those of past weeks",
                    )
                    .hint("use a window of at most 7 days, or `baseline = { kind = \"rolling\" }`");
                return None;
            }
            Kind::Seasonal(count(section.weeks, 4, 1, &format!("{path}.weeks"), findings)?)
        }
        BaselineKind::Fixed => match section.value.filter(|value| value.is_finite()) {
            Some(value) => Kind::Fixed(value),
            None => return missing("value", "a number", &path, findings),
        },
        BaselineKind::Validation => {
            if known.versioned && versions != Some(VersionChoice::Each) {
                findings
                    .error(&path, "version-needed", "a validation value belongs to one model version")
                    .hint("add `versions = \"each\"` to the rule");
                return None;
            }
            Kind::Validation
        }
        BaselineKind::Whole => Kind::Whole,
        BaselineKind::Version => match &section.version {
            Some(version) if known.versioned => Kind::Version(version.clone()),
            Some(_) => {
                findings
                    .error(&path, "no-version", "the job declares no model version")
                    .hint("add `version` to [predictions]");
                return None;
            }
            None => return missing("version", "the name of a model version", &path, findings),
        },
    };
    let default = match built {
        Kind::Rolling(windows) => windows.min(7),
        Kind::Seasonal(weeks) => weeks.min(3),
        Kind::Fixed(_) | Kind::Validation | Kind::Version(_) | Kind::Whole => 1,
    };
    let min = count(section.min, default, 1, &format!("{path}.min"), findings)?;
    let most = Baseline { kind: built.clone(), min, exclude: vec![] }.windows();
    if usize::try_from(min).is_ok_and(|min| min > most) {
        findings
            .error(
                &format!("{path}.min"),
                "never-enough",
                format!("`min` is {min}, but there are at most {most} windows"),
            )
            .hint("lower `min`, or use more windows");
        return None;
    }
    let exclude = section.exclude.iter().enumerate();
    let exclude = exclude.filter_map(|(n, spec)| range(spec, &format!("{path}.exclude[{n}]"), findings)).collect();
    Some(Baseline { kind: built, min, exclude })
}

fn missing<T>(key: &str, what: &str, path: &str, findings: &mut Findings<'_>) -> Option<T> {
    findings.error(path, "missing-key", format!("`{key}` is missing")).hint(format!("add `{key}`: {what}"));
    None
}

fn count(value: Option<i64>, default: u32, least: u32, path: &str, findings: &mut Findings<'_>) -> Option<u32> {
    let Some(value) = value else { return Some(default) };
    let found = u32::try_from(value).ok().filter(|value| (least..=1_000).contains(value));
    if found.is_none() {
        findings.error(path, "out-of-range", format!("{value} is out of range")).hint(format!("use {least} to 1000"));
    }
    found
}

fn range(spec: &RangeSection, path: &str, findings: &mut Findings<'_>) -> Option<Slice> {
    let time = |text: &str| DateTime::parse_from_rfc3339(text).ok().map(|time| time.with_timezone(&Utc));
    let found = time(&spec.from).zip(time(&spec.to)).filter(|(from, to)| from < to);
    if found.is_none() {
        findings
            .error(path, "bad-range", "this is not a time range")
            .hint("write `{ from = \"2024-12-24T00:00:00Z\", to = \"2024-12-27T00:00:00Z\" }`, the earlier time first");
    }
    found.map(|(start, end)| Slice { start, end })
}
