//! The queries behind the errors of single predictions, for analysts.

use super::residual_sql::over;
use crate::domain::name::text_literal;
use crate::store::read::residuals::Scope;

/// Numbers of the errors.
pub fn errors(of: &Scope) -> String {
    over(
        of,
        "count(*) as pairs, avg(error) as bias, sqrt(avg(error * error)) as rmse, min(error), max(error),\n       \
         percentile_cont(array[0.01, 0.05, 0.5, 0.95, 0.99]) within group (order by error) as quantiles",
        "outcome = 'pair'",
        "",
    )
}

/// Errors by hour and weekday in a zone.
pub fn hours(of: &Scope, zone: &str) -> String {
    let zone = text_literal(zone);
    over(
        of,
        &format!(
            "extract(isodow from event_at at time zone {zone}) as weekday, extract(hour from event_at at time zone {zone}) as hour,\n       \
             count(*) as pairs, avg(error) as bias, sqrt(avg(error * error)) as rmse"
        ),
        "outcome = 'pair'",
        "group by 1, 2\norder by 1, 2",
    )
}

/// Mean error of time slices.
pub fn slices(of: &Scope, most: i64) -> String {
    over(
        of,
        "bucket_start, avg(error) as bias, count(*) as pairs",
        "outcome = 'pair'",
        &format!("group by bucket_start\norder by bucket_start desc\nlimit {most}"),
    )
}

/// Label latency.
pub fn latency(of: &Scope) -> String {
    over(
        of,
        "count(*) as labels,\n       percentile_cont(array[0.5, 0.95, 0.99]) within group (order by greatest(extract(epoch from label_at - \
         event_at)::float8, 0)) as seconds",
        "label_at is not null",
        "",
    )
}

/// Predictions that are left out, by reason.
pub fn left_out(of: &Scope) -> String {
    over(of, "outcome, sum(copies) as predictions", "outcome <> 'pair'", "group by outcome\norder by 2 desc, 1")
}
