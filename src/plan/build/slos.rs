//! `[[slos]]`: objectives, and burn rates that can be reached and do not fire on a single bad prediction.

use chrono::TimeDelta;

use super::findings::Findings;
use super::job::Job;
use super::{conditions, rules};
use crate::domain::duration;
use crate::domain::schedule::Schedule;
use crate::domain::severity::Severity;
use crate::domain::window::{Window, WindowKind};
use crate::plan::objective::{self, Burn, Indicator, Slo, largest_burn};
use crate::spec::job::CustomMetricSection;
use crate::spec::rules::{BurnSpec, BurnWindow, SloSection};

/// Name of the metric for the share of good predictions of an objective.
pub(super) fn metric_name(slo: &str) -> String {
    format!("slo_{}", slo.replace('-', "_"))
}

/// Shares that buckets have to keep: one custom metric for each objective on predictions.
pub(super) fn metrics(slos: &[SloSection]) -> Vec<(usize, CustomMetricSection)> {
    let share = |(index, slo): (usize, &SloSection)| {
        let good = slo.good.clone()?;
        Some((index, CustomMetricSection { name: metric_name(&slo.name), sum: good, per: None, over: None }))
    };
    slos.iter().enumerate().filter_map(share).collect()
}

pub(super) fn build(
    job: Job<'_>,
    bucket: TimeDelta,
    schedule: Option<&Schedule>,
    findings: &mut Findings<'_>,
) -> Vec<Slo> {
    let mut slos: Vec<Slo> = Vec::new();
    for (index, section) in job.spec.slos.iter().enumerate() {
        let path = format!("slos[{index}]");
        let rules = job.spec.alerts.iter().map(|alert| &alert.name);
        if rules.chain(slos.iter().map(|slo| &slo.name)).any(|name| *name == section.name) {
            findings
                .error(&format!("{path}.name"), "repeated-entry", format!("the name `{}` is used twice", section.name))
                .hint("rename one of them");
        }
        slos.extend(slo(job, section, &path, bucket, schedule, findings));
    }
    slos
}

fn slo(
    job: Job<'_>,
    section: &SloSection,
    path: &str,
    bucket: TimeDelta,
    schedule: Option<&Schedule>,
    findings: &mut Findings<'_>,
) -> Option<Slo> {
    rules::check_name(&section.name, path, findings);
    let indicator = indicator(job, section, path, findings);
    let valid = section.objective > 0.0 && section.objective < 1.0;
    if !valid {
        findings
            .error(&format!("{path}.objective"), "bad-objective", format!("{} is not an objective", section.objective))
            .hint("use a share below 1, such as 0.95: an objective of 1 has no error budget");
    }
    let period = findings.duration(&format!("{path}.period"), Some(&section.period));
    findings.link(&format!("{path}.runbook"), section.runbook.as_deref());
    let notify = section.notify.clone().or_else(|| job.spec.job.notify.clone()).unwrap_or_default();
    rules::known_receivers(
        &format!("{path}.notify"),
        section.notify.as_deref().unwrap_or_default(),
        job.receivers,
        findings,
    );
    let (indicator, period) = (indicator?, period?);
    // The shortest time in which the share can change: a bucket, an evaluation, or one of the counted windows.
    let finest = match &indicator {
        Indicator::Predictions { .. } => schedule.map_or(bucket, |schedule| bucket.max(schedule.cadence.usual_gap())),
        Indicator::Windows { window, .. } => {
            job.windows.iter().find(|known| known.name == *window).map_or(bucket, Window::nominal)
        }
    };
    let objective = valid.then_some(section.objective)?;
    let windows = matches!(indicator, Indicator::Windows { .. });
    let frame = Frame { objective, period, finest, bucket: if windows { finest } else { bucket }, windows };
    let burns = burns(section, path, frame, findings)?;
    let runbook = section.runbook.clone().or_else(|| job.spec.job.runbook.clone());
    if burns.iter().any(|burn| burn.severity == Severity::Page) && runbook.is_none() {
        findings
            .error(path, "no-runbook", format!("the objective `{}` pages but has no runbook", section.name))
            .hint("add `runbook = \"https://example.org/runbook\"` to it or to [job]");
    }
    Some(Slo {
        name: section.name.clone(),
        indicator,
        objective,
        period,
        burns,
        silenced_spends: section.silenced_spends.unwrap_or(true),
        notify,
        runbook,
        owner: section.owner.clone().or_else(|| job.spec.job.owner.clone()),
    })
}

fn indicator(job: Job<'_>, section: &SloSection, path: &str, findings: &mut Findings<'_>) -> Option<Indicator> {
    let limits = section.above.is_some() || section.below.is_some();
    match (&section.good, &section.metric) {
        (Some(_), None) if section.window.is_none() && !limits => {
            let good = section.good.clone().unwrap_or_default();
            Some(Indicator::Predictions { metric: metric_name(&section.name).as_str().into(), good })
        }
        (None, Some(name)) => {
            let metric = conditions::metric(name, path, job.metrics, findings);
            let Some(window) = &section.window else {
                findings
                    .error(path, "missing-key", "`window` is missing")
                    .hint("add `window = \"tumbling 1d\"`: the windows that are counted");
                return None;
            };
            let found = conditions::window(window, path, job.windows, findings)?;
            if matches!(found.kind, WindowKind::Rolling(_)) {
                findings
                    .error(
                        &format!("{path}.window"),
                        "windows-overlap",
                        "rolling windows overlap and count a bad event many times",
                    )
                    .hint("use a tumbling window");
                return None;
            }
            // A good value is at most `below` and at least `above`; the condition describes a bad one.
            let condition = conditions::fixed_limits(section.below, section.above, path, findings);
            if condition.is_none() && !limits {
                findings
                    .error(path, "no-condition", "the objective has no limit for good windows")
                    .hint("add `below = 300.0`");
            }
            Some(Indicator::Windows { metric: metric?, window: found.name.clone(), condition: condition? })
        }
        _ => {
            findings
                .error(path, "no-indicator", format!("the objective `{}` does not define good events", section.name))
                .hint("add `good = \"abs(error) <= 250\"`, or `metric`, `window` and `below`");
            None
        }
    }
}

/// Parameters that burn rates are derived from and checked against.
#[derive(Clone, Copy)]
struct Frame {
    objective: f64,
    period: TimeDelta,
    finest: TimeDelta,
    /// Unit of the burn windows and the period.
    bucket: TimeDelta,
    windows: bool,
}

/// Burn rate of a preset: as a share of the budget, or as a factor.
enum Speed {
    Share(f64),
    Factor(f64),
}

type Preset = [(Speed, TimeDelta, Severity)];

const HOUR: TimeDelta = TimeDelta::hours(1);
const DAY: TimeDelta = TimeDelta::days(1);

/// The table of the SRE workbook.
const MULTIWINDOW: &Preset = &[
    (Speed::Share(0.02), HOUR, Severity::Page),
    (Speed::Share(0.05), TimeDelta::hours(6), Severity::Page),
    (Speed::Share(0.1), DAY, Severity::Ticket),
    (Speed::Share(0.1), TimeDelta::days(3), Severity::Ticket),
];
/// For objectives that are evaluated a few times a day, or less.
const SLOW: &Preset = &[
    (Speed::Share(0.05), DAY, Severity::Page),
    (Speed::Share(0.1), TimeDelta::days(3), Severity::Ticket),
    (Speed::Share(0.25), TimeDelta::days(7), Severity::Ticket),
];
const TWICE: &Preset =
    &[(Speed::Factor(2.0), HOUR, Severity::Page), (Speed::Factor(1.0), TimeDelta::days(3), Severity::Ticket)];
const FOUR_TIMES: &Preset =
    &[(Speed::Factor(4.0), HOUR, Severity::Page), (Speed::Factor(1.0), TimeDelta::days(3), Severity::Ticket)];
const CANARY: &Preset = &[(Speed::Factor(2.0), TimeDelta::minutes(30), Severity::Page)];

fn burns(section: &SloSection, path: &str, frame: Frame, findings: &mut Findings<'_>) -> Option<Vec<Burn>> {
    let path = format!("{path}.burn");
    let preset = match &section.burn {
        None => "auto",
        Some(BurnSpec::Preset(name)) => name.as_str(),
        Some(BurnSpec::Windows(list)) => {
            let built: Vec<Option<Burn>> = list
                .iter()
                .enumerate()
                .map(|(index, window)| {
                    let path = format!("{path}[{index}]");
                    if list[..index].iter().any(|other| duration::parse(&other.long) == duration::parse(&window.long)) {
                        findings
                            .error(
                                &path,
                                "repeated-entry",
                                format!("two burn rates have a long window of {}", window.long),
                            )
                            .hint("use another length: alerts are named after it");
                    }
                    written(section, window, &path, frame, findings)
                })
                .collect();
            return built.into_iter().collect();
        }
    };
    let preset = match preset {
        "auto" => return auto(section, &path, frame, findings),
        "multiwindow" => MULTIWINDOW,
        "2x" => TWICE,
        "4x" => FOUR_TIMES,
        "canary" => CANARY,
        other => {
            findings
                .error(&path, "unknown-value", format!("`{other}` is not a preset"))
                .hint("use \"auto\", \"multiwindow\", \"2x\", \"4x\", \"canary\", or a list of windows");
            return None;
        }
    };
    let built: Vec<Option<Burn>> = preset
        .iter()
        .map(|entry| {
            let burn = of_preset(section, entry, frame);
            feasible(&burn, &path, frame, findings).then_some(burn)
        })
        .collect();
    built.into_iter().collect()
}

/// Burn rates of the usual table that can fire and suit the cadence, else those of the slow table.
fn auto(section: &SloSection, path: &str, frame: Frame, findings: &mut Findings<'_>) -> Option<Vec<Burn>> {
    for (table, is_last) in [(MULTIWINDOW, false), (SLOW, true)] {
        let fits = |burn: &Burn| {
            // Take an entry of the usual table only if its short window is not shorter than `finest`.
            burn.long < frame.period && (is_last || burn.long / 12 >= frame.finest) && complaint(burn, frame).is_none()
        };
        let found: Vec<Burn> =
            table.iter().map(|entry| of_preset(section, entry, frame)).filter(|burn| fits(burn)).collect();
        if found.len() >= 2 || (!found.is_empty() && is_last) {
            return Some(found);
        }
    }
    findings.error(path, "no-burn", "no burn rate fits this objective, period and cadence").hint(
        "use a longer period, count predictions instead of windows, or write \
             `burn = [{ long = \"2d\", factor = 1.0, severity = \"ticket\" }]`",
    );
    None
}

fn of_preset(section: &SloSection, (speed, long, severity): &(Speed, TimeDelta, Severity), frame: Frame) -> Burn {
    let factor = match speed {
        Speed::Share(share) => objective::factor(*share, frame.period, *long),
        Speed::Factor(factor) => *factor,
    };
    burn(section, *long, default_short(*long, frame), factor, *severity, frame)
}

/// A twelfth of the long window, in whole evaluations.
fn default_short(long: TimeDelta, frame: Frame) -> TimeDelta {
    let finest = frame.finest.num_seconds().max(1);
    TimeDelta::seconds((long.num_seconds() / 12 / finest).max(1) * finest)
}

fn burn(
    section: &SloSection,
    long: TimeDelta,
    short: TimeDelta,
    factor: f64,
    severity: Severity,
    frame: Frame,
) -> Burn {
    #[expect(clippy::cast_possible_truncation, reason = "bounded by what `complaint` accepts")]
    let enough = (5.0 / (factor * (1.0 - frame.objective))).ceil().min(1e15) as i64;
    // There are far fewer windows than predictions: requiring two is what keeps a single one from firing.
    let default = if frame.windows { 2 } else { enough };
    Burn {
        long,
        short,
        factor,
        severity,
        min_samples: section.min_samples.unwrap_or(default),
        min_bad: if frame.windows { 2 } else { 3 },
    }
}

fn written(
    section: &SloSection,
    window: &BurnWindow,
    path: &str,
    frame: Frame,
    findings: &mut Findings<'_>,
) -> Option<Burn> {
    let long = findings.duration(&format!("{path}.long"), Some(&window.long))?;
    let short = match &window.short {
        Some(text) => findings.duration(&format!("{path}.short"), Some(text))?,
        None => default_short(long, frame),
    };
    let burn = burn(section, long, short, window.factor, rules::severity(Some(window.severity)), frame);
    feasible(&burn, path, frame, findings).then_some(burn)
}

fn feasible(burn: &Burn, path: &str, frame: Frame, findings: &mut Findings<'_>) -> bool {
    let Some((code, message, hint)) = complaint(burn, frame) else { return true };
    findings.error(path, code, message).hint(hint);
    false
}

/// Code, message and hint if a burn rate can never fire, or fires on a single bad prediction or window.
fn complaint(burn: &Burn, frame: Frame) -> Option<(&'static str, String, String)> {
    let largest = largest_burn(frame.objective);
    if !burn.factor.is_finite() || burn.factor <= 0.0 {
        return Some(("bad-factor", format!("{} is not a burn rate", burn.factor), "use a number above 0".to_owned()));
    }
    if burn.factor >= largest {
        return Some((
            "never-fires",
            format!(
                "a burn rate above {:.4} is impossible: with an objective of {}, the largest is {largest:.4}",
                burn.factor, frame.objective
            ),
            format!("use a factor below {largest:.4}, or a stricter objective"),
        ));
    }
    if burn.short > burn.long || burn.long > frame.period {
        let long = burn.long.min(frame.period);
        return Some((
            "bad-windows",
            "the short window must be within the long one, and the long one within the period".to_owned(),
            format!(
                "write `long = \"{}\", short = \"{}\"`",
                duration::format(long),
                duration::format(default_short(long, frame))
            ),
        ));
    }
    if burn.short < frame.finest {
        return Some((
            "too-short",
            format!(
                "the short window of {} is shorter than the {} between evaluations",
                duration::format(burn.short),
                duration::format(frame.finest)
            ),
            format!("use {} or more", duration::format(frame.finest)),
        ));
    }
    let bucket = frame.bucket.num_seconds().max(1);
    if [burn.short, burn.long, frame.period].iter().any(|time| time.num_seconds() % bucket != 0) {
        return Some((
            "bad-windows",
            format!("windows and period must be multiples of the bucket, {}", duration::format(frame.bucket)),
            format!("use multiples of {}", duration::format(frame.bucket)),
        ));
    }
    let count = objective::seconds(burn.long) / objective::seconds(frame.finest);
    (frame.windows && count < 2.0).then(|| {
        (
            "fires-on-one",
            format!(
                "the long window of {} contains a single window, which would fire the alert by itself",
                duration::format(burn.long)
            ),
            "use a longer `long`".to_owned(),
        )
    })
}
