//! Proposes the tables and columns of a database that look like predictions and labels: first from names, types and keys
//! ([`pair`]), then from samples of the rows ([`agree`], [`mod@column`], [`class`], [`score`]).

pub mod agree;
pub mod class;
pub mod column;
pub mod decide;
mod dictionary;
mod label;
pub mod score;
mod value;
pub mod words;

use crate::domain::name::quoted;
use words::Says;

/// A table or view as the catalog describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct TableInfo {
    pub schema: String,
    pub name: String,
    /// Number of rows as estimated by the planner.
    pub rows: f64,
    pub columns: Vec<ColumnInfo>,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnInfo {
    pub name: String,
    pub kind: ColumnKind,
    /// The column by itself is unique.
    pub is_unique: bool,
    /// Number of distinct values as estimated by the planner; `None` if unknown.
    pub distinct: Option<f64>,
}

/// The kind of a column's type, which decides its possible uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    Integer,
    /// Floats and numerics.
    Number,
    Text,
    Uuid,
    Boolean,
    /// With a time zone.
    Instant,
    Other,
}

/// A pair of tables, and the roles of their columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    pub predictions: TableInfo,
    pub labels: TableInfo,
    /// Key columns of predictions and of labels.
    pub id: (String, String),
    pub at: String,
    /// Times whose names make them as likely as `at`.
    pub rivals: Vec<String>,
    pub value: String,
    pub actual: String,
    pub version: Option<String>,
    pub arrived_at: Option<String>,
    pub label_arrived_at: Option<String>,
    /// Columns with few values.
    pub cohorts: Vec<String>,
    pub score: i32,
    /// True if any name suggests predictions or labels. Otherwise these are just two tables with a key and numbers.
    pub is_hinted: bool,
}

/// Columns that the user named.
#[derive(Debug, Clone, Default)]
pub struct Named {
    /// Key columns of predictions and of labels.
    pub id: Option<(String, String)>,
    pub at: Option<String>,
    pub value: Option<String>,
    pub actual: Option<String>,
}

/// The reason why two tables are not a pair. Tables are written as in a job file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misfit {
    Key(String, String),
    Time(String),
    Number(String),
    /// No number and no column that may have two classes.
    Label(String),
    Column(String, String, String),
}

impl std::fmt::Display for Misfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Key(one, other) => write!(
                f,
                "`{one}` and `{other}` have no column of the same name and type that could be a key; set it with \
                 `--id PREDICTIONS=LABELS`"
            ),
            Self::Time(table) => write!(f, "`{table}` has no column of type `timestamptz`"),
            Self::Number(table) => write!(f, "`{table}` has no numeric column other than its key"),
            Self::Label(table) => {
                write!(f, "`{table}` has no numeric column other than its key, and no column of two classes")
            }
            Self::Column(table, column, known) => write!(f, "`{table}` has no column `{column}`; it has {known}"),
        }
    }
}

impl std::error::Error for Misfit {}

impl TableInfo {
    /// The name as written in a job file.
    pub fn written(&self) -> String {
        format!("{}.{}", word(&self.schema), word(&self.name))
    }

    pub fn column(&self, name: &str) -> Option<&ColumnInfo> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// A name, quoted if SQL would not read it back unchanged.
fn word(name: &str) -> String {
    let plain = name.chars().next().is_some_and(|c| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain { name.to_owned() } else { quoted(name) }
}

/// Pairs that could be predictions and labels, most likely first.
pub fn pairs(tables: &[TableInfo], named: &Named) -> Vec<Proposal> {
    let mut found: Vec<Proposal> = tables
        .iter()
        .flat_map(|predictions| tables.iter().map(move |labels| (predictions, labels)))
        .filter(|(predictions, labels)| predictions != labels)
        .filter_map(|(predictions, labels)| pair(predictions, labels, named).ok())
        .collect();
    found.sort_by(|a, b| {
        b.score.cmp(&a.score).then(b.predictions.rows.total_cmp(&a.predictions.rows)).then_with(|| {
            (a.predictions.written(), a.labels.written()).cmp(&(b.predictions.written(), b.labels.written()))
        })
    });
    found
}

/// A pair, if every column that a job needs can be found. Named columns take precedence over likely ones. Values are
/// chosen by name only: [`decide::decide`] checks the rows.
pub fn pair(predictions: &TableInfo, labels: &TableInfo, named: &Named) -> Result<Proposal, Misfit> {
    let (id, key_score) = match &named.id {
        Some((one, other)) => ((exact(predictions, one)?, exact(labels, other)?), 0),
        None => {
            let likeliest = keys(predictions, labels).into_iter().next();
            likeliest.ok_or_else(|| Misfit::Key(predictions.written(), labels.written()))?
        }
    };
    let (at, rivals, time_score) = match &named.at {
        Some(at) => (exact(predictions, at)?, Vec::new(), 0),
        None => time(predictions)?,
    };
    let (value, value_score) = likely(predictions, &id.0, &named.value, words::prediction)?;
    let (actual, actual_score) = likely_label(labels, &id.1, named)?;
    let says = |name: &str| words::of_predictions(name) - words::of_labels(name);
    let is_hinted =
        [words::of_predictions(&predictions.name), words::of_predictions(&value), words::of_labels(&labels.name)]
            .into_iter()
            .chain([words::of_labels(&actual)])
            .any(|hint| hint > 0);
    Ok(Proposal {
        is_hinted,
        version: column::version_by_name(predictions),
        arrived_at: column::arrivals(predictions, &[&at, &id.0]).into_iter().next(),
        label_arrived_at: column::arrivals(labels, &[&id.1]).into_iter().next(),
        cohorts: Vec::new(),
        score: 6 * (says(&predictions.name) - says(&labels.name)) + key_score + time_score + value_score + actual_score,
        predictions: predictions.clone(),
        labels: labels.clone(),
        id,
        at,
        rivals,
        value,
        actual,
    })
}

/// The numeric column with the most likely name, and a weight for it.
fn likely(
    table: &TableInfo,
    key: &str,
    named: &Option<String>,
    says: fn(&str) -> Says,
) -> Result<(String, i32), Misfit> {
    if let Some(name) = named {
        return Ok((exact(table, name)?, 0));
    }
    let rank = |name: &str| (says(name), i32::from(words::tokens(name).iter().any(|word| word == "value")));
    let values = decide::numbers(table, key, None);
    // Take the first of equals: columns are usually in the order of their importance.
    let best = values.into_iter().reduce(|best, one| if rank(one) > rank(best) { one } else { best });
    let best = best.ok_or_else(|| Misfit::Number(table.written()))?;
    let weight = 4 * i32::from(says(best) > Says::Nothing) + rank(best).1 - 9 * i32::from(words::is_key(best));
    Ok((best.to_owned(), weight))
}

/// The column with the most likely name of a label, and a weight for it: a number, or classes if no number is as likely.
fn likely_label(table: &TableInfo, key: &str, named: &Named) -> Result<(String, i32), Misfit> {
    let number = likely(table, key, &named.actual, words::label);
    if named.actual.is_some() {
        return number;
    }
    let classes = table.columns.iter().filter(|c| c.name != key && class::may_be_words(c)).map(|c| c.name.as_str());
    let classes = classes.reduce(|best, one| if words::label(one) > words::label(best) { one } else { best });
    match (number, classes.map(|name| (name, words::label(name)))) {
        (Ok((number, _)), Some((name, says))) if says > words::label(&number) => Ok((name.to_owned(), 4)),
        (Err(_), Some((name, says))) => Ok((name.to_owned(), if says > Says::Nothing { 4 } else { -4 })),
        (number, _) => number.map_err(|_| Misfit::Label(table.written())),
    }
}

/// The time that predictions are about, other times that are as likely, and a weight for it.
fn time(table: &TableInfo) -> Result<(String, Vec<String>, i32), Misfit> {
    let times: Vec<(i32, &str)> = table
        .columns
        .iter()
        .filter(|c| c.kind == ColumnKind::Instant)
        .map(|c| (words::event(&c.name), c.name.as_str()))
        .collect();
    let best = times.iter().map(|(score, _)| *score).max().ok_or_else(|| Misfit::Time(table.written()))?;
    let mut equals = times.iter().filter(|(score, _)| *score == best).map(|(_, name)| (*name).to_owned());
    let first = equals.next().ok_or_else(|| Misfit::Time(table.written()))?;
    Ok((first, equals.collect(), best))
}

/// A column that the user named.
fn exact(table: &TableInfo, name: &str) -> Result<String, Misfit> {
    match table.column(name) {
        Some(column) => Ok(column.name.clone()),
        None => {
            let known: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
            Err(Misfit::Column(table.written(), name.to_owned(), known.join(", ")))
        }
    }
}

/// A key of predictions and of labels, and its score.
type Key = ((String, String), i32);

/// Columns that both tables share as a possible key, most likely first.
pub fn keys(predictions: &TableInfo, labels: &TableInfo) -> Vec<Key> {
    // A time is a key if there is no other, as in one forecast per hour; an arrival time is not.
    let is_time = |c: &ColumnInfo| c.kind == ColumnKind::Instant;
    let can = |c: &&ColumnInfo| match c.kind {
        ColumnKind::Integer | ColumnKind::Text | ColumnKind::Uuid => true,
        ColumnKind::Instant => words::event(&c.name) > 0,
        _ => false,
    };
    let mut found: Vec<Key> = Vec::new();
    for p in predictions.columns.iter().filter(can) {
        for l in labels.columns.iter().filter(can) {
            if p.kind != l.kind {
                continue;
            }
            // `id` of one table is `prediction_id` of the other.
            let same = p.name == l.name;
            let refers = l.name.strip_suffix("_id").is_some_and(|of| p.name == "id" && words::of_predictions(of) > 0);
            if !same && !refers {
                continue;
            }
            let named = match &p.name {
                // Row numbers of an exported file.
                name if name.to_lowercase() == "index" => -9,
                name if words::is_key(name) => 4,
                // A predicted or measured value is not a key, even if it is an integer.
                name if words::prediction(name) > Says::Nothing || words::label(name) > Says::Nothing => -9,
                _ => 0,
            } - 20 * i32::from(is_time(p));
            let about = 3 * words::of_predictions(&l.name) * i32::from(words::is_key(&l.name));
            // Two columns called `id` usually identify different things.
            let both_plain = if same && p.name == "id" { -2 } else { 0 };
            let score = named + about + both_plain + 8 * i32::from(l.is_unique) + 6 * i32::from(p.is_unique);
            found.push(((p.name.clone(), l.name.clone()), score));
        }
    }
    // A stable sort keeps the first of equals first: columns are usually in the order of their importance.
    found.sort_by_key(|(_, score)| std::cmp::Reverse(*score));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, columns: &[(&str, ColumnKind, bool)]) -> TableInfo {
        let columns = columns.iter().map(|(name, kind, is_unique)| ColumnInfo {
            name: (*name).to_owned(),
            kind: *kind,
            is_unique: *is_unique,
            distinct: (*kind == ColumnKind::Text).then_some(5.0),
        });
        TableInfo { schema: "public".into(), name: name.into(), rows: 1_000.0, columns: columns.collect() }
    }

    #[test]
    fn the_pair_is_found_among_tables_that_look_a_little_like_it() {
        use ColumnKind::{Instant, Integer, Number, Text};
        let tables = [
            table("orders", &[("id", Integer, true), ("created_at", Instant, false), ("amount", Number, false)]),
            table(
                "order_items",
                &[
                    ("id", Integer, true),
                    ("order_id", Integer, false),
                    ("price", Number, false),
                    ("added_at", Instant, false),
                ],
            ),
            table(
                "demand_forecast",
                &[
                    ("id", Integer, true),
                    ("target_time", Instant, false),
                    ("units", Number, false),
                    ("predicted_units", Number, false),
                    ("model_version", Text, false),
                    ("store", Text, false),
                    ("created_at", Instant, false),
                ],
            ),
            table(
                "sales_actuals",
                &[("forecast_id", Integer, true), ("units_sold", Number, false), ("recorded_at", Instant, false)],
            ),
            table(
                "forecast_runs",
                &[("id", Integer, true), ("started_at", Instant, false), ("duration", Number, false)],
            ),
        ];
        let found = &pairs(&tables, &Named::default())[0];
        assert_eq!((found.predictions.name.as_str(), found.labels.name.as_str()), ("demand_forecast", "sales_actuals"));
        assert_eq!(found.id, ("id".to_owned(), "forecast_id".to_owned()));
        assert_eq!(
            (found.at.as_str(), found.value.as_str(), found.actual.as_str()),
            ("target_time", "predicted_units", "units_sold")
        );
        assert_eq!(
            (found.version.as_deref(), found.arrived_at.as_deref(), found.label_arrived_at.as_deref()),
            (Some("model_version"), Some("created_at"), Some("recorded_at"))
        );
    }

    #[test]
    fn tables_without_a_time_or_a_common_key_are_no_pair() {
        use ColumnKind::{Instant, Integer, Number, Text};
        let timeless = table("forecast", &[("id", Integer, true), ("predicted", Number, false)]);
        let labels = table("actual", &[("id", Integer, true), ("actual", Number, false)]);
        let refused = |predictions| pair(predictions, &labels, &Named::default()).map_err(|why| why.to_string());
        assert_eq!(refused(&timeless), Err("`public.forecast` has no column of type `timestamptz`".to_owned()));
        let other_key = table("forecast", &[("id", Text, true), ("predicted", Number, false), ("at", Instant, false)]);
        let why = refused(&other_key).unwrap_err();
        assert!(why.contains("public.forecast") && why.contains("--id"), "{why}");
        let named = Named { id: Some(("at".into(), "no_such".into())), ..Named::default() };
        let why = pair(&other_key, &labels, &named).unwrap_err().to_string();
        assert!(why.contains("`public.actual` has no column `no_such`; it has id, actual"), "{why}");
    }

    #[test]
    fn what_is_named_needs_no_likeness() {
        use ColumnKind::{Instant, Number, Text};
        let one = table("t1", &[("a", Text, false), ("b", Instant, false), ("c", Number, false), ("d", Number, false)]);
        let other = table("t2", &[("x", Text, true), ("y", Number, false), ("z", Number, false)]);
        assert!(pair(&one, &other, &Named::default()).is_err(), "nothing is called the same");
        let named =
            Named { id: Some(("a".into(), "x".into())), at: None, value: Some("d".into()), actual: Some("z".into()) };
        let found = pair(&one, &other, &named).unwrap();
        assert_eq!((found.id, found.at.as_str()), (("a".to_owned(), "x".to_owned()), "b"));
        assert_eq!((found.value.as_str(), found.actual.as_str(), found.is_hinted), ("d", "z", false));
    }

    #[test]
    fn a_name_that_sql_would_fold_is_quoted() {
        let odd = TableInfo { schema: "public".into(), name: "Odd \"one\"".into(), rows: 0.0, columns: vec![] };
        assert_eq!(odd.written(), "public.\"Odd \"\"one\"\"\"");
    }
}
