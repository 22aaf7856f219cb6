//! The queries behind what pages show of single predictions, for analysts.

use super::panel::time_literal;
use crate::domain::name::text_literal;
use crate::store::read::residuals::Scope;
use crate::store::read::window::WindowKey;

/// A query over the residuals of a scope: the columns, and what follows its conditions.
pub fn over(of: &Scope, columns: &str, and: &str, rest: &str) -> String {
    let job = text_literal(&of.job);
    let mut conditions = format!(
        "where job = {job} and plan_id = (select plan_id from trueup.plan_history where job = {job} and is_current)\n  and bucket_start > {from}::timestamptz - interval '25 hours' and bucket_start < {to}\n  and event_at >= {from} and event_at < {to}",
        from = time_literal(of.from),
        to = time_literal(of.to)
    );
    conditions.push_str(&narrowed(&of.cohort, of.version.as_deref()));
    if of.one_in > 1 {
        conditions.push_str(&format!("\n  and mod(hashtextextended(prediction_key, 0), {}) = 0", of.one_in));
    }
    if !and.is_empty() {
        conditions.push_str(&format!("\n  and {and}"));
    }
    if !rest.is_empty() {
        conditions.push_str(&format!("\n{rest}"));
    }
    format!("select {columns}\nfrom trueup.residual_history\n{conditions};")
}

fn narrowed(cohort: &serde_json::Value, version: Option<&str>) -> String {
    let mut text = String::new();
    if cohort.as_object().is_some_and(|values| !values.is_empty()) {
        text.push_str(&format!("\n  and dimensions @> {}", text_literal(&cohort.to_string())));
    }
    if let Some(version) = version {
        text.push_str(&format!("\n  and model_version = {}", text_literal(version)));
    }
    text
}

/// The worst pairs of a scope.
pub fn worst(of: &Scope, most: i64) -> String {
    over(
        of,
        "prediction_key, model_version, event_at, predicted, actual, error, label_at",
        "outcome = 'pair'",
        &format!("order by abs(error) desc, prediction_key\nlimit {most}"),
    )
}

/// The worst samples that were kept with a window.
pub fn kept(key: &WindowKey, cohort: &serde_json::Value, most: i64) -> String {
    format!(
        "select prediction_key, model_version, event_at, predicted, actual, error, label_at\nfrom trueup.worst_samples\nwhere job = {} and window_name = {} and window_end = {}{}\norder by place\nlimit {most};",
        text_literal(&key.job),
        text_literal(&key.window),
        time_literal(key.end),
        narrowed(cohort, key.version.as_deref())
    )
}
