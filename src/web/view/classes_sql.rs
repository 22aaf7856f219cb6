//! The queries behind the page of classes, for analysts.

use super::panel::{equals, time_literal};
use super::window_sql::conditions;
use crate::domain::name::text_literal;
use crate::store::read::window::WindowKey;

/// The query behind the confusion matrix.
pub fn confusion(key: &WindowKey) -> String {
    format!(
        "select label, decision, pairs, pairs / sum(pairs) over (partition by label) as share_of_label\nfrom \
         trueup.confusion_history\nwhere {}\norder by label, decision;",
        conditions(key)
    )
}

/// The query behind the calibration curve.
pub fn calibration(key: &WindowKey) -> String {
    format!(
        "select score_from, score_to, pairs, mean_score, observed_rate\nfrom trueup.calibration_history\nwhere {}\norder by bin;",
        conditions(key)
    )
}

/// The query behind the coverage by decision and score.
pub fn coverage(key: &WindowKey) -> String {
    let conditions = conditions(key);
    format!(
        "select 'score' as by, score_from, score_to, predictions, pairs, pairs::float8 / nullif(predictions, 0) as coverage\nfrom \
         trueup.calibration_history\nwhere {conditions}\nunion all\nselect decision, null, null, null, null, covered\nfrom \
         trueup.classification_history\ncross join lateral (values ('positive decision', coverage_of_positive), ('negative \
         decision', coverage_of_negative)) as by_decision(decision, covered)\nwhere {conditions}\norder by by, score_from;"
    )
}

/// The query behind the gaps between groups.
pub fn gaps(key: &WindowKey, names: &[String]) -> String {
    format!(
        "select metric, value, ci_low, ci_high, note\nfrom trueup.metric_history\nwhere {} and metric in ({})\norder by metric;",
        of_window(key, "and cohort = 'all'"),
        list(names)
    )
}

/// The query behind the groups.
pub fn groups(key: &WindowKey, dimensions: &[String]) -> String {
    format!(
        "select cohort, predictions, labeled, recall, fpr, positive_rate, ece\nfrom trueup.classification_history\njoin \
         unnest(array[{}]) as dimension on array(select jsonb_object_keys(cohort_values)) = array[dimension]\nwhere {}\norder by \
         dimension, predictions desc, cohort;",
        list(dimensions),
        of_window(key, "")
    )
}

/// The conditions without the cohort of the page.
fn of_window(key: &WindowKey, more: &str) -> String {
    format!(
        "job = {} and window_name = {} and window_end = {}\n  {more}{}{}",
        text_literal(&key.job),
        text_literal(&key.window),
        time_literal(key.end),
        if more.is_empty() { "and " } else { " and " },
        equals("model_version", key.version.as_deref())
    )
}

fn list(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| text_literal(name)).collect();
    if names.is_empty() { "null".to_owned() } else { names.join(", ") }
}
