//! The text of a commented job file, and of settings if there are none.

use std::fmt::Write as _;

use anyhow::Result;
use chrono::TimeDelta;

use super::{Found, user_error};
use crate::cli::Global;
use crate::domain::duration;
use crate::settings::Settings;

/// Derives a job name from a table name: `demand_forecast` becomes `demand-forecast`.
pub(super) fn job_name(table: &str) -> String {
    let mapped: String =
        table.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let name = mapped.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-");
    let starts = name.chars().next().is_some_and(|c| c.is_ascii_alphabetic());
    if starts { name } else { format!("job-{name}") }
}

/// Returns the receiver of alerts. Writes settings with a webhook if there are none.
pub(super) fn settings(global: &Global, settings: &Settings, webhook: Option<&str>) -> Result<Option<String>> {
    let first = settings.receivers.keys().next().cloned();
    let Some(url) = webhook else { return Ok(first) };
    if global.config.exists() {
        return Err(user_error(format!(
            "`{}` is there already: add the webhook to it, and leave `--webhook` out",
            global.config.display()
        )));
    }
    let local = url.starts_with("http://127.") || url.starts_with("http://localhost");
    let allow = match (local, url.starts_with("http://")) {
        (true, _) => {
            "allow_http = true\nallow_networks = [\"127.0.0.0/8\"]   # private addresses must be allowed one by one\n"
        }
        (false, true) => "allow_http = true\n",
        (false, false) => "",
    };
    let text = format!(
        "#:schema https://raw.githubusercontent.com/trueup-dev/trueup/main/docs/schema/settings.json\n\
         # Who is told of alerts. Secrets are references: url = {{ env = \"NAME\" }}.\n\
         [routing]\nfallback = \"alerts\"\n\n[receivers.alerts]\ntype = \"webhook\"\nurl = {}\n{allow}",
        quoted(url)
    );
    std::fs::write(&global.config, text)
        .map_err(|error| user_error(format!("could not write `{}`: {error}", global.config.display())))?;
    Ok(Some("alerts".to_owned()))
}

/// Returns the text of the job file.
pub(super) fn job(name: &str, found: &Found, receiver: Option<&str>, runbook: Option<&str>) -> String {
    let p = &found.proposal;
    let (bucket, every) = cadence(found);
    let wait = label_wait(found);
    let mut text = format!(
        "#:schema https://raw.githubusercontent.com/trueup-dev/trueup/main/docs/schema/job.json\n\
         # Written by `trueup init` from a look at the data. `trueup check` says what is wrong with a change.\n\
         [job]\nname = {}\n",
        quoted(name)
    );
    match runbook {
        Some(link) => _ = writeln!(text, "runbook = {}", quoted(link)),
        None => {
            text.push_str("# runbook = \"https://...\"              # where on-call finds what to do; pages need one\n")
        }
    }
    text.push_str("# owner = \"team@example.org\"\n");
    if let Some(receiver) = receiver {
        let _infallible = writeln!(text, "notify = [{}]", quoted(receiver));
    }
    let _infallible = writeln!(
        text,
        "\n[schedule]\nevery = {}\n\n[predictions]\ntable = {}\nid = {}\nat = {}                    # the time that a prediction is about\nvalue = {}",
        quoted(&duration::format(every)),
        quoted(&p.predictions.written()),
        quoted(&p.id.0),
        quoted(&p.at),
        quoted(&p.value)
    );
    optional(&mut text, "version", p.version.as_deref(), "", "model version: every metric is kept per version too");
    // Only both together let a run read just the new rows.
    let both = p.arrived_at.is_some() && p.label_arrived_at.is_some();
    let arrived = |given: &Option<String>| given.clone().filter(|_| both);
    let missing = "when a row became visible: with it on both tables a run reads only what is new";
    optional(&mut text, "arrived_at", arrived(&p.arrived_at).as_deref(), missing, "when a row became visible");
    let _infallible = writeln!(
        text,
        "\n[labels]\ntable = {}\nid = {}\nvalue = {}",
        quoted(&p.labels.written()),
        quoted(&p.id.1),
        quoted(&p.actual)
    );
    optional(&mut text, "arrived_at", arrived(&p.label_arrived_at).as_deref(), "", "when a label became known");
    let _infallible = writeln!(
        text,
        "\n[windows]\nrolling = [{}]\ntumbling = [\"1d\"]\nbucket = {}\nlabel_wait = {}                # a window is final this long after its end{}\nhorizon = {}                  # how late a label may still correct history",
        quoted(looked_at(found).0),
        quoted(&duration::format(bucket)),
        quoted(&duration::format(wait)),
        found.times.latency.map_or(String::new(), |_| ": 95 % of the labels had come by then".to_owned()),
        quoted(&duration::format((wait * 2).max(TimeDelta::days(7))))
    );
    for cohort in &p.cohorts {
        let _infallible = writeln!(text, "\n[[cohorts]]\nby = [{}]", quoted(cohort));
    }
    text.push_str("\n[metrics]\ninclude = [\"mse\", \"rmse\", \"mae\", \"bias\", \"r2\", \"p90_abs_error\"]\n");
    alert(&mut text, found, receiver, runbook);
    text
}

fn alert(text: &mut String, found: &Found, receiver: Option<&str>, runbook: Option<&str>) {
    let Some((usual, days)) = found.usual_error.filter(|(usual, _)| usual.is_finite() && *usual > 0.0) else {
        text.push_str(
            "\n# [[alerts]]: there is no history yet to take a limit from; `trueup suggest` proposes some later\n",
        );
        return;
    };
    let (window, enough) = looked_at(found);
    let severity = if runbook.is_some() && receiver.is_some() { "page" } else { "ticket" };
    let _infallible = writeln!(
        text,
        "\n[[alerts]]\nname = \"rmse-high\"\nmetric = \"rmse\"\nwindow = \"rolling {}\"\nabove = {}                     # 1.2 times the 95th percentile of the rmse of {days} days\nmin_samples = {enough}                  # with fewer labels nothing is decided\nseverity = \"{severity}\"",
        window,
        rounded(usual * 1.2)
    );
}

/// Returns the judged window and the labels it needs: a day if it has enough labels, else a week; a third of the usual number.
fn looked_at(found: &Found) -> (&'static str, i64) {
    const ENOUGH: f64 = 30.0;
    let Some(gap) = found.times.gap.filter(|gap| *gap > 0.0) else { return ("24h", 30) };
    #[expect(clippy::cast_precision_loss, reason = "rows of a sample")]
    let labeled = found.matches.labeled as f64 / found.matches.predictions.max(1) as f64;
    let of_a_day = 86_400.0 / gap * labeled;
    let (window, days) = if of_a_day >= ENOUGH / 2.0 { ("24h", 1.0) } else { ("7d", 7.0) };
    #[expect(clippy::cast_possible_truncation, reason = "a number from 3 to 30")]
    let enough = (of_a_day * days / 3.0).clamp(3.0, ENOUGH) as i64;
    (window, enough)
}

fn optional(text: &mut String, key: &str, value: Option<&str>, missing: &str, why: &str) {
    match value {
        Some(value) => _ = writeln!(text, "{key} = {}            # {why}", quoted(value)),
        None if missing.is_empty() => {}
        None => _ = writeln!(text, "# {key} = \"...\"            # {missing}"),
    }
}

/// Returns bucket and schedule interval: as fine as the data, between a quarter of an hour and a day.
fn cadence(found: &Found) -> (TimeDelta, TimeDelta) {
    let gap = found.times.gap.unwrap_or(3_600.0);
    match gap {
        gap if gap <= 900.0 => (TimeDelta::minutes(15), TimeDelta::minutes(15)),
        gap if gap <= 1_800.0 => (TimeDelta::minutes(30), TimeDelta::minutes(30)),
        gap if gap <= 6.0 * 3_600.0 => (TimeDelta::hours(1), TimeDelta::hours(1)),
        _ => (TimeDelta::hours(1), TimeDelta::days(1)),
    }
}

/// Returns the time until nearly all labels have arrived, in whole hours or days.
fn label_wait(found: &Found) -> TimeDelta {
    let Some(latency) = found.times.latency.filter(|latency| latency.is_finite() && *latency > 0.0) else {
        return TimeDelta::days(1);
    };
    #[expect(clippy::cast_possible_truncation, reason = "hours of a few months")]
    let hours = (latency / 3_600.0).ceil().clamp(1.0, 24.0 * 90.0) as i64;
    if hours <= 12 { TimeDelta::hours(hours) } else { TimeDelta::days((hours + 23) / 24) }
}

/// Formats a limit with three digits, as a TOML float.
fn rounded(limit: f64) -> String {
    let digits = 10_f64.powf(2.0 - limit.abs().log10().floor());
    let limit = if digits.is_finite() { (limit * digits).ceil() / digits } else { limit };
    format!("{limit:?}")
}

/// Quotes a text for TOML.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_limits_are_as_a_job_file_holds_them() {
        assert_eq!(job_name("Demand_Forecast v2"), "demand-forecast-v2");
        assert_eq!(job_name("2024_forecast"), "job-2024-forecast");
        assert_eq!(
            (rounded(123.456), rounded(0.012_345), rounded(98_765.4)),
            ("124.0".into(), "0.0124".into(), "98800.0".into())
        );
        assert_eq!(quoted("a\"b"), "'a\"b'");
    }
}
