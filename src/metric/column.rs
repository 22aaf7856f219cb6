//! The columns of the wide history views that come from the metric catalog. A new metric needs a migration with
//! `create or replace view`; a test compares the views with this module, column by column.

use super::task::Applies;
use super::{Metric, Unit, catalogue};

/// A column of `window_revisions` and `window_history`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    /// SQL expression of its value, from a measurement `m` and its metric set `s`.
    pub sql: String,
    /// Text for `comment on column`.
    pub comment: String,
}

/// Returns one column per metric of predicted numbers, and two more if it has an interval, in catalog order.
pub fn columns() -> Vec<Column> {
    wide().flat_map(of_metric).collect()
}

/// Returns the same for the metrics of classes: columns of `classification_history`.
pub fn class_columns() -> Vec<Column> {
    let mut columns: Vec<Column> = Vec::new();
    for column in class_metrics().flat_map(of_metric) {
        // Tasks share names: what each means is in the catalog.
        match columns.iter_mut().find(|known| known.name == column.name) {
            Some(known) if known.comment != column.comment => {
                known.comment = format!("{} Of several classes: {}", known.comment, column.comment);
            }
            Some(_) => {}
            None => columns.push(column),
        }
    }
    columns
}

/// The metrics of classes.
pub fn class_metrics() -> impl Iterator<Item = &'static Metric> {
    catalogue().filter(|metric| !is_wide(metric))
}

/// The metrics with columns in the wide history views.
pub fn wide() -> impl Iterator<Item = &'static Metric> {
    catalogue().filter(is_wide)
}

fn is_wide(metric: &&'static Metric) -> bool {
    matches!(metric.task, Applies::Always | Applies::Regression)
}

fn of_metric(metric: &Metric) -> Vec<Column> {
    let name = metric.name;
    let mut columns = vec![Column {
        name: name.to_owned(),
        sql: number(name, 0),
        comment: format!("{} ({}).", capitalized(metric.meaning), words(metric.unit)),
    }];
    if metric.interval.is_some() {
        columns.extend([("low", "Lower", 1), ("high", "Upper", 2)].map(|(side, word, place)| Column {
            name: format!("{name}_ci_{side}"),
            sql: number(name, place),
            comment: format!("{word} bound of the 95 % interval of {name}; pairs are taken as independent."),
        }));
    }
    columns
}

/// SQL of a metric's number: 0 is its value, 1 and 2 are the bounds of its interval.
fn number(name: &str, of: usize) -> String {
    format!("m.numbers[(s.places -> '{name}' -> {of})::int]")
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

fn words(unit: Unit) -> &'static str {
    match unit {
        Unit::Target => "in the target unit",
        Unit::TargetSquared => "in the square of the target unit",
        Unit::Ratio => "a ratio, 1 is the whole",
        Unit::Count => "a count",
        Unit::Seconds => "in seconds",
        Unit::Number => "a number",
        Unit::Own => "in its own unit",
    }
}

/// Returns the select list of the columns, as written in a migration.
pub fn select_list() -> String {
    columns().iter().map(|column| format!("       {} as {},\n", column.sql, column.name)).collect()
}

/// SQL of the column `extra`: the job's own metrics.
pub fn extra() -> String {
    let names: Vec<String> = wide().map(|metric| format!("'{}'", metric.name)).collect();
    format!(
        "(select coalesce(jsonb_object_agg(own.key, m.numbers[(own.value -> 0)::int]), '{{}}') from jsonb_each(s.places - array[{}]) as own)",
        names.join(", ")
    )
}
