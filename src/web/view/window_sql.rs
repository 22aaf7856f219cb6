//! The queries behind the page of a window, for analysts.

use super::panel::{equals, time_literal};
use crate::domain::name::text_literal;
use crate::store::read::window::WindowKey;

/// The conditions of all queries of the page: job, window, cohort and version.
pub fn conditions(key: &WindowKey) -> String {
    format!(
        "job = {} and window_name = {} and window_end = {}\n  and cohort = {} and {}",
        text_literal(&key.job),
        text_literal(&key.window),
        time_literal(key.end),
        text_literal(&key.cohort),
        equals("model_version", key.version.as_deref())
    )
}

/// Conditions for revisions that were known at the moment of the page, and the one that counted then.
fn known(key: &WindowKey) -> (String, String) {
    match key.as_of {
        None => (String::new(), "superseded_as_of is null".to_owned()),
        Some(at) => {
            let at = time_literal(at);
            (format!(" and as_of <= {at}"), format!("(superseded_as_of is null or superseded_as_of > {at})"))
        }
    }
}

/// The query behind the metrics, then and now.
pub fn metrics_sql(key: &WindowKey) -> String {
    let (known, counts) = known(key);
    format!(
        "select metric, max(value) filter (where first_reported) as first_reported,\n       max(value) filter (where {counts}) as value,\n       \
         max(labeled) filter (where first_reported) as first_labeled, max(labeled) filter (where {counts}) as labeled\nfrom \
         trueup.metric_revisions\nwhere {}{known}\ngroup by metric\norder by metric;",
        conditions(key)
    )
}

/// The query behind the value by age of labels.
pub fn ages_sql(key: &WindowKey, metric: &str) -> String {
    format!(
        "select revision, label_age, value, ci_low, ci_high, labeled, predictions, run_id, as_of\nfrom trueup.metric_revisions\nwhere {}\n  \
         and metric = {}{}\norder by revision;",
        conditions(key),
        text_literal(metric),
        known(key).0
    )
}

/// The query behind the verdicts.
pub fn verdicts_sql(key: &WindowKey) -> String {
    let until = key.as_of.map_or(String::new(), |at| format!(" and evaluated_at <= {}", time_literal(at)));
    format!(
        "select evaluated_at, rule, severity, verdict, value, limit_value, labeled, retroactive, reason\nfrom trueup.verdict_history\nwhere \
         {}{until}\norder by evaluated_at, rule;",
        conditions(key)
    )
}

/// The query behind the runs.
pub fn runs_sql(job: &str, runs: &[i64]) -> String {
    let numbers: Vec<String> = runs.iter().map(i64::to_string).collect();
    let list = if numbers.is_empty() { "null".to_owned() } else { numbers.join(", ") };
    format!(
        "select run_id, trigger, state, scheduled_for, as_of, plan_id, rows_read\nfrom trueup.run_history\nwhere job = {} and run_id in \
         ({list})\norder by run_id;",
        text_literal(job)
    )
}

/// The query behind the parts.
pub fn parts_sql(key: &WindowKey, metric: &str) -> String {
    let (known, counts) = known(key);
    format!(
        "select cohort, model_version, value, ci_low, ci_high, labeled, predictions\nfrom trueup.metric_revisions\nwhere job = {} and \
         window_name = {} and window_end = {}\n  and metric = {} and (model_version is null or cohort = 'all')\n  and not removed and \
         {counts}{known}\norder by model_version is not null, cohort <> 'all', labeled desc;",
        text_literal(&key.job),
        text_literal(&key.window),
        time_literal(key.end),
        text_literal(metric)
    )
}
