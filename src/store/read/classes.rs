//! One window of predicted classes: decisions against labels, calibration, coverage and groups, over the public views.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::series::Selector;
use super::window::WindowKey;

/// Returns the end of the newest window of a selection; among those of its range one with labels, if that is wanted and there is one.
pub async fn newest(
    connection: &mut PgConnection,
    of: &Selector,
    wants_labels: bool,
) -> sqlx::Result<Option<DateTime<Utc>>> {
    sqlx::query_scalar!(
        r#"
        select window_end as "window_end!" from trueup.window_history
        where job = $1 and window_name = $2 and cohort = $3
          and coalesce(model_version, '') = coalesce($4, '') and (model_version is null) = ($4::text is null)
          and window_end > $5 and window_end <= $6
        order by $7 and labeled > 0 desc, window_end desc
        limit 1
        "#,
        of.job,
        of.window,
        of.cohort,
        of.version,
        of.from,
        of.to,
        wants_labels
    )
    .fetch_optional(connection)
    .await
}

/// Numbers of a window. Those that the job does not keep are null.
#[derive(Debug, Clone, Default)]
pub struct NumbersRow {
    pub ece: Option<f64>,
    pub ece_by_chance: Option<f64>,
    pub coverage_of_positive: Option<f64>,
    pub coverage_of_positive_low: Option<f64>,
    pub coverage_of_positive_high: Option<f64>,
    pub coverage_of_negative: Option<f64>,
    pub coverage_of_negative_low: Option<f64>,
    pub coverage_of_negative_high: Option<f64>,
}

/// Returns the numbers of a window; `None` if it was not measured.
pub async fn numbers(connection: &mut PgConnection, key: &WindowKey) -> sqlx::Result<Option<NumbersRow>> {
    sqlx::query_as!(
        NumbersRow,
        r#"
        select ece, ece_by_chance, coverage_of_positive, coverage_of_positive_ci_low as coverage_of_positive_low,
               coverage_of_positive_ci_high as coverage_of_positive_high, coverage_of_negative,
               coverage_of_negative_ci_low as coverage_of_negative_low, coverage_of_negative_ci_high as coverage_of_negative_high
        from trueup.classification_history
        where job = $1 and window_name = $2 and window_end = $3 and cohort = $4
          and coalesce(model_version, '') = coalesce($5, '') and (model_version is null) = ($5::text is null)
        "#,
        key.job,
        key.window,
        key.end,
        key.cohort,
        key.version
    )
    .fetch_optional(connection)
    .await
}

/// Pairs with a label and a decision. `None` stands for all classes beyond the most frequent ones.
#[derive(Debug, Clone)]
pub struct ConfusionRow {
    pub label: Option<String>,
    pub decision: Option<String>,
    pub pairs: i64,
    /// Places of both classes by frequency, from 1.
    pub label_place: i64,
    pub decision_place: i64,
    /// Classes of the window.
    pub classes: i64,
}

/// Returns the confusion matrix of a window: the most frequent classes, and the rest summed.
pub async fn confusion(connection: &mut PgConnection, key: &WindowKey, most: i64) -> sqlx::Result<Vec<ConfusionRow>> {
    sqlx::query_as!(
        ConfusionRow,
        r#"
        with cell as (
            select label, decision, pairs from trueup.confusion_history
            where job = $1 and window_name = $2 and window_end = $3 and cohort = $4
              and coalesce(model_version, '') = coalesce($5, '') and (model_version is null) = ($5::text is null)
        ), class as (
            select name, least(row_number() over (order by sum(pairs) desc, name), $6::bigint + 1) as place, count(*) over () as classes
            from (select label as name, pairs from cell union all select decision, pairs from cell) as sides
            group by name
        )
        select case when l.place <= $6 then l.name end as label, case when d.place <= $6 then d.name end as decision,
               sum(c.pairs)::bigint as "pairs!", l.place as "label_place!", d.place as "decision_place!", l.classes as "classes!"
        from cell c
        join class l on l.name = c.label
        join class d on d.name = c.decision
        group by 1, 2, l.place, d.place, l.classes
        order by l.place, d.place
        "#,
        key.job,
        key.window,
        key.end,
        key.cohort,
        key.version,
        most
    )
    .fetch_all(connection)
    .await
}

/// A tenth of the range of scores.
#[derive(Debug, Clone)]
pub struct BinRow {
    pub bin: i32,
    pub score_from: f64,
    pub score_to: f64,
    pub pairs: i64,
    /// Predictions, labeled or not.
    pub predictions: i64,
    /// Null without pairs.
    pub mean_score: Option<f64>,
    /// Share of positive labels. Null without pairs.
    pub observed_rate: Option<f64>,
}

/// Returns the calibration curve of a window; nothing if the job keeps none.
pub async fn calibration(connection: &mut PgConnection, key: &WindowKey) -> sqlx::Result<Vec<BinRow>> {
    sqlx::query_as!(
        BinRow,
        r#"
        select bin as "bin!", score_from::float8 as "score_from!", score_to::float8 as "score_to!", coalesce(pairs, 0) as "pairs!",
               coalesce(predictions, 0) as "predictions!", mean_score, observed_rate
        from trueup.calibration_history
        where job = $1 and window_name = $2 and window_end = $3 and cohort = $4
          and coalesce(model_version, '') = coalesce($5, '') and (model_version is null) = ($5::text is null)
        order by bin
        "#,
        key.job,
        key.window,
        key.end,
        key.cohort,
        key.version
    )
    .fetch_all(connection)
    .await
}

/// A gap between groups.
#[derive(Debug, Clone)]
pub struct GapRow {
    pub metric: String,
    pub value: Option<f64>,
    pub ci_low: Option<f64>,
    pub ci_high: Option<f64>,
    /// The groups, and the number of each.
    pub note: Option<String>,
}

/// Returns gaps by name in a window, over all cohorts.
pub async fn gaps(connection: &mut PgConnection, key: &WindowKey, names: &[String]) -> sqlx::Result<Vec<GapRow>> {
    sqlx::query_as!(
        GapRow,
        r#"
        select metric as "metric!", value, ci_low, ci_high, note
        from trueup.metric_history
        where job = $1 and window_name = $2 and window_end = $3 and cohort = 'all' and metric = any($5)
          and coalesce(model_version, '') = coalesce($4, '') and (model_version is null) = ($4::text is null)
        order by metric
        "#,
        key.job,
        key.window,
        key.end,
        key.version,
        names
    )
    .fetch_all(connection)
    .await
}

/// A group: a value of one dimension.
#[derive(Debug, Clone)]
pub struct GroupRow {
    pub dimension: String,
    pub cohort: String,
    pub predictions: i64,
    pub labeled: i64,
    pub recall: Option<f64>,
    pub recall_low: Option<f64>,
    pub recall_high: Option<f64>,
    pub fpr: Option<f64>,
    pub fpr_low: Option<f64>,
    pub fpr_high: Option<f64>,
    pub positive_rate: Option<f64>,
    pub positive_rate_low: Option<f64>,
    pub positive_rate_high: Option<f64>,
    pub ece: Option<f64>,
}

/// Returns the groups of some dimensions in a window, by dimension, the largest first.
pub async fn groups(
    connection: &mut PgConnection,
    key: &WindowKey,
    dimensions: &[String],
    most: i64,
) -> sqlx::Result<Vec<GroupRow>> {
    sqlx::query_as!(
        GroupRow,
        r#"
        select dimension as "dimension!", cohort as "cohort!", predictions as "predictions!", labeled as "labeled!", recall,
               recall_ci_low as recall_low, recall_ci_high as recall_high, fpr, fpr_ci_low as fpr_low, fpr_ci_high as fpr_high,
               positive_rate, positive_rate_ci_low as positive_rate_low, positive_rate_ci_high as positive_rate_high, ece
        from trueup.classification_history
        join unnest($5::text[]) as dimension on array(select jsonb_object_keys(cohort_values)) = array[dimension]
        where job = $1 and window_name = $2 and window_end = $3
          and coalesce(model_version, '') = coalesce($4, '') and (model_version is null) = ($4::text is null)
        order by dimension, predictions desc, cohort
        limit $6
        "#,
        key.job,
        key.window,
        key.end,
        key.version,
        dimensions,
        most
    )
    .fetch_all(connection)
    .await
}
