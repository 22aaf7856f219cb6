//! Which tables of a database look like predictions and labels, and which of their columns are what: from names, types and
//! keys alone. A proposal is checked against the data before anybody sees it.

/// A table or view as the catalog describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct TableInfo {
    pub schema: String,
    pub name: String,
    /// As the planner estimates it.
    pub rows: f64,
    pub columns: Vec<ColumnInfo>,
}

/// A column of it.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnInfo {
    pub name: String,
    pub kind: ColumnKind,
    /// Alone it has no value twice.
    pub is_unique: bool,
    /// Different values, as the planner estimates it; None where it does not know.
    pub distinct: Option<f64>,
}

/// What a column can be used for.
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

/// A pair of tables, and what their columns are.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    pub predictions: TableInfo,
    pub labels: TableInfo,
    /// Of predictions, and of labels.
    pub id: (String, String),
    pub at: String,
    pub value: String,
    pub actual: String,
    pub version: Option<String>,
    pub arrived_at: Option<String>,
    pub label_arrived_at: Option<String>,
    /// Columns with few values.
    pub cohorts: Vec<String>,
    pub score: i32,
    /// Whether any name speaks of predictions or labels. Two tables with a key and numbers are else only that.
    pub is_hinted: bool,
}

/// Columns that somebody named.
#[derive(Debug, Clone, Default)]
pub struct Named {
    /// Of predictions, and of labels.
    pub id: Option<(String, String)>,
    pub at: Option<String>,
    pub value: Option<String>,
    pub actual: Option<String>,
}

/// Why two tables are no pair. Tables are as they are written in a job file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misfit {
    Key(String, String),
    Time(String),
    Number(String),
    Column(String, String, String),
}

impl std::fmt::Display for Misfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Key(one, other) => write!(
                f,
                "`{one}` and `{other}` have no column of the same name and type that could be a key; name it with \
                 `--id PREDICTIONS=LABELS`"
            ),
            Self::Time(table) => write!(f, "`{table}` has no column of type `timestamptz`"),
            Self::Number(table) => write!(f, "`{table}` has no column with numbers besides its key"),
            Self::Column(table, column, known) => write!(f, "`{table}` has no column `{column}`; it has {known}"),
        }
    }
}

impl std::error::Error for Misfit {}

const PREDICTION_WORDS: [&str; 9] =
    ["predict", "forecast", "yhat", "y_hat", "estimate", "inference", "score", "expected", "quote"];
const LABEL_WORDS: [&str; 12] = [
    "actual", "label", "outcome", "truth", "observ", "measure", "realized", "realised", "settled", "result", "reading",
    "sold",
];
const EVENT_WORDS: [&str; 11] =
    ["event", "target", "interval", "valid", "delivery", "start", "date", "day", "hour", "time", "at"];
const ARRIVAL_WORDS: [&str; 17] = [
    "created",
    "inserted",
    "loaded",
    "arrived",
    "ingested",
    "received",
    "recorded",
    "labeled",
    "labelled",
    "updated",
    "written",
    "settled",
    "delivered",
    "reported",
    "confirmed",
    "stored",
    "known",
];
const VERSION_WORDS: [&str; 4] = ["model_version", "version", "model_id", "model"];
/// Values of a column that make cohorts.
const FEW: std::ops::RangeInclusive<f64> = 2.0..=50.0;

impl TableInfo {
    /// As it is written in a job file.
    pub fn written(&self) -> String {
        format!("{}.{}", word(&self.schema), word(&self.name))
    }

    pub fn column(&self, name: &str) -> Option<&ColumnInfo> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// A name as SQL reads it back.
fn word(name: &str) -> String {
    let plain = name.chars().next().is_some_and(|c| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// Pairs that could be predictions and labels, the likeliest first.
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

/// A pair, if every column that a job needs can be found. What was named goes before what is likely.
pub fn pair(predictions: &TableInfo, labels: &TableInfo, named: &Named) -> Result<Proposal, Misfit> {
    let (id, key_score) = match &named.id {
        Some((one, other)) => ((exact(predictions, one)?, exact(labels, other)?), 0),
        None => key(predictions, labels).ok_or_else(|| Misfit::Key(predictions.written(), labels.written()))?,
    };
    let is_key = |name: &str| name == id.0 || name == id.1;
    let (at, time_score) = match &named.at {
        Some(at) => (exact(predictions, at)?, 0),
        None => best(
            predictions,
            |c| c.kind == ColumnKind::Instant,
            |name| hints(name, &EVENT_WORDS) - 3 * hints(name, &ARRIVAL_WORDS),
        )
        .ok_or_else(|| Misfit::Time(predictions.written()))?,
    };
    let number = |c: &ColumnInfo| matches!(c.kind, ColumnKind::Number | ColumnKind::Integer) && !is_key(&c.name);
    let likely = |table: &TableInfo, named: &Option<String>, for_it: &[&str], against: &[&str]| match named {
        Some(name) => Ok((exact(table, name)?, 0)),
        None => best(table, number, |name| {
            4 * hints(name, for_it) + hints(name, &["value"]) - 3 * hints(name, against) - foreign(name)
        })
        .ok_or_else(|| Misfit::Number(table.written())),
    };
    let (value, value_score) = likely(predictions, &named.value, &PREDICTION_WORDS, &LABEL_WORDS)?;
    let (actual, actual_score) = likely(labels, &named.actual, &LABEL_WORDS, &PREDICTION_WORDS)?;
    let names = 6 * hints(&predictions.name, &PREDICTION_WORDS) - 6 * hints(&predictions.name, &LABEL_WORDS)
        + 6 * hints(&labels.name, &LABEL_WORDS)
        - 6 * hints(&labels.name, &PREDICTION_WORDS);
    let arrival = |table: &TableInfo, not: &str| {
        let instant = |c: &ColumnInfo| c.kind == ColumnKind::Instant && c.name != not;
        best(table, instant, |name| hints(name, &ARRIVAL_WORDS)).filter(|(_, score)| *score > 0).map(|(name, _)| name)
    };
    let version = VERSION_WORDS.iter().find_map(|word| predictions.column(word)).map(|column| column.name.clone());
    let taken = |name: &str| is_key(name) || name == at || name == value || version.as_deref() == Some(name);
    let mut cohorts: Vec<&ColumnInfo> = predictions
        .columns
        .iter()
        .filter(|c| matches!(c.kind, ColumnKind::Text | ColumnKind::Boolean) && !taken(&c.name))
        .filter(|c| c.distinct.is_some_and(|distinct| FEW.contains(&distinct)))
        .collect();
    cohorts.sort_by(|a, b| a.distinct.unwrap_or_default().total_cmp(&b.distinct.unwrap_or_default()));
    let says = |name: &str, words: &[&str]| hints(name, words) > 0;
    Ok(Proposal {
        is_hinted: says(&predictions.name, &PREDICTION_WORDS)
            || says(&value, &PREDICTION_WORDS)
            || says(&labels.name, &LABEL_WORDS)
            || says(&actual, &LABEL_WORDS),
        arrived_at: arrival(predictions, &at),
        label_arrived_at: arrival(labels, ""),
        cohorts: cohorts.iter().take(2).map(|column| column.name.clone()).collect(),
        score: names + key_score + time_score + value_score + actual_score,
        predictions: predictions.clone(),
        labels: labels.clone(),
        id,
        at,
        value,
        actual,
        version,
    })
}

/// A column that was named.
fn exact(table: &TableInfo, name: &str) -> Result<String, Misfit> {
    match table.column(name) {
        Some(column) => Ok(column.name.clone()),
        None => {
            let known: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
            Err(Misfit::Column(table.written(), name.to_owned(), known.join(", ")))
        }
    }
}

/// The columns that both tables have in common as a key, and how likely they are one.
fn key(predictions: &TableInfo, labels: &TableInfo) -> Option<((String, String), i32)> {
    let can = |c: &&ColumnInfo| matches!(c.kind, ColumnKind::Integer | ColumnKind::Text | ColumnKind::Uuid);
    let mut best: Option<((String, String), i32)> = None;
    for p in predictions.columns.iter().filter(can) {
        for l in labels.columns.iter().filter(can) {
            if p.kind != l.kind {
                continue;
            }
            // `id` of one table is `prediction_id` of the other.
            let same = p.name == l.name;
            let refers =
                l.name.strip_suffix("_id").is_some_and(|of| p.name == "id" && hints(of, &PREDICTION_WORDS) > 0);
            if !same && !refers {
                continue;
            }
            let named = if p.name.ends_with("id") || p.name.ends_with("key") { 4 } else { 0 };
            let about = 3 * hints(&l.name, &PREDICTION_WORDS);
            // `id` and `id` are mostly two different things.
            let both_plain = if same && p.name == "id" { -2 } else { 0 };
            let score = named + about + both_plain + 8 * i32::from(l.is_unique) + 6 * i32::from(p.is_unique);
            if best.as_ref().is_none_or(|(_, known)| score > *known) {
                best = Some(((p.name.clone(), l.name.clone()), score));
            }
        }
    }
    best
}

/// The column that fits best by its name.
fn best(table: &TableInfo, can: impl Fn(&ColumnInfo) -> bool, score: impl Fn(&str) -> i32) -> Option<(String, i32)> {
    let scored = table.columns.iter().filter(|column| can(column)).map(|c| (c.name.clone(), score(&c.name)));
    // The first of equals: columns are mostly in the order of their importance.
    scored.reduce(|best, one| if one.1 > best.1 { one } else { best })
}

/// How many of the words a name has in it.
fn hints(name: &str, words: &[&str]) -> i32 {
    let name = name.to_lowercase();
    let has = |word: &&&str| match word.len() {
        // Short words stand alone.
        0..=3 => name.split('_').any(|part| part == **word),
        _ => name.contains(**word),
    };
    i32::try_from(words.iter().filter(has).count()).unwrap_or(0).min(2)
}

/// Numbers that name something else are no values.
fn foreign(name: &str) -> i32 {
    if name == "id" || name.ends_with("_id") || name.ends_with("_key") || name.ends_with("_no") { 9 } else { 0 }
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
        assert_eq!(found.cohorts, ["store"]);
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
