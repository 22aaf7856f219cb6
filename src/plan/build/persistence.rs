//! Persistence: how long a rule must hold before its alert fires, and be recovered before it resolves.

use chrono::TimeDelta;

use super::findings::Findings;
use crate::domain::duration;
use crate::domain::window::{Window, WindowKind};
use crate::plan::rule::{Clearing, Condition, Limits, Persistence, Test, When};
use crate::spec::rules::{AlertSection, ForSpec};

pub(super) fn fires(alert: &AlertSection, path: &str, findings: &mut Findings<'_>) -> Option<Persistence> {
    let Some(of) = &alert.of else { return persistence(alert.persistence.as_ref(), &format!("{path}.for"), findings) };
    if alert.persistence.is_some() {
        findings
            .error(&format!("{path}.of"), "two-persistences", "`for` and `of` are mutually exclusive")
            .hint("keep one: `for` counts consecutive windows, `of` windows among the last ones");
        return None;
    }
    let pair = match of.as_slice() {
        [needed, last] => u32::try_from(*needed).ok().zip(u32::try_from(*last).ok()),
        _ => None,
    };
    let found = pair.filter(|(needed, last)| *needed >= 1 && needed <= last && *last <= 1_000);
    if found.is_none() {
        findings
            .error(&format!("{path}.of"), "bad-of", "`of` is not a pair of window counts")
            .hint("write `of = [2, 3]` for two of the last three");
    }
    found.map(|(needed, last)| Persistence::Of { needed, last })
}

fn persistence(spec: Option<&ForSpec>, path: &str, findings: &mut Findings<'_>) -> Option<Persistence> {
    match spec {
        None => Some(Persistence::Windows(1)),
        Some(ForSpec::Evaluations(n)) => {
            let found = u32::try_from(*n).ok().filter(|n| (1..=1_000).contains(n));
            if found.is_none() {
                findings
                    .error(path, "bad-for", format!("{n} is not a number of windows"))
                    .hint("use 1 to 1000 consecutive windows");
            }
            found.map(Persistence::Windows)
        }
        Some(ForSpec::Duration(text)) => match duration::parse(text) {
            Ok(time) => Some(Persistence::Lasting(time)),
            Err(message) => {
                findings.error(path, "bad-duration", message).hint(duration::HINT);
                None
            }
        },
    }
}

pub(super) fn clears(
    alert: &AlertSection,
    when: Option<&When>,
    path: &str,
    findings: &mut Findings<'_>,
) -> Option<Clearing> {
    let persistence = persistence(alert.clear_for.as_ref(), &format!("{path}.clear_for"), findings)?;
    let condition = match when {
        Some(When::Test(Test { limits: Limits::Fixed(condition), .. })) => Some(*condition),
        Some(When::Test(_)) | None => None,
        Some(When::All(_) | When::Any(_)) if alert.clear_below.is_some() || alert.clear_above.is_some() => {
            findings
                .error(path, "clears-what", "a rule with several conditions has no single value for a clearing limit")
                .hint("use `clear_for`, or put the rule on one metric");
            return None;
        }
        Some(When::All(_) | When::Any(_)) => None,
    };
    let (high, low) = match condition {
        Some(Condition::Above(high)) => (Some(high), None),
        Some(Condition::Below(low)) => (None, Some(low)),
        Some(Condition::Outside { low, high }) => (Some(high), Some(low)),
        None => (None, None),
    };
    let fits =
        |key: &str, clear: Option<f64>, limit: Option<f64>, calm: fn(f64, f64) -> bool, findings: &mut Findings<'_>| {
            let Some(clear) = clear else { return true };
            let right = clear.is_finite() && (condition.is_none() || limit.is_some_and(|limit| calm(clear, limit)));
            if !right {
                findings
                    .error(
                        &format!("{path}.{key}"),
                        "clears-never",
                        format!("`{key}` = {clear} is on the wrong side of the limit"),
                    )
                    .hint("use a `clear_below` of at most `above`, or a `clear_above` of at least `below`");
            }
            right
        };
    let below = fits("clear_below", alert.clear_below, high, |clear, limit| clear <= limit, findings);
    let above = fits("clear_above", alert.clear_above, low, |clear, limit| clear >= limit, findings);
    (below && above).then_some(Clearing { below: alert.clear_below, above: alert.clear_above, persistence })
}

/// Refuses durations that contain more windows than are ever checked: they would never elapse.
pub(super) fn check_reach(
    gap: Option<TimeDelta>,
    window: &Window,
    keys: &[(&str, Persistence)],
    path: &str,
    findings: &mut Findings<'_>,
) {
    let distance = match window.kind {
        WindowKind::Rolling(_) => gap.unwrap_or(TimeDelta::days(1)),
        WindowKind::Tumbling(_) => window.nominal(),
    };
    for (key, persistence) in keys {
        let Persistence::Lasting(time) = persistence else { continue };
        let most = distance * i32::try_from(persistence.most_windows() / 2).unwrap_or(i32::MAX);
        if *time > most {
            findings
                .error(
                    &format!("{path}.{key}"),
                    "too-long",
                    format!("{} is longer than the rule looks back", duration::format(*time)),
                )
                .hint(format!("use at most {}, or a longer window", duration::format(most)));
        }
    }
}
