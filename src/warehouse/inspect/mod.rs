//! Compares a job with the tables it names: types, time zones, uniqueness. Repeated before every run, because tables change.

mod classes;
mod equality;
mod hint;
mod mistake;
mod nulls;
mod profile;
mod sample;
mod sharding;
mod types;
mod unique;
mod volatile;

use sqlx::PgConnection;

use crate::domain::name::Identifier;
use crate::plan::PlannedJob;
use crate::plan::model::{ClassLabels, Model};
use crate::plan::source::{Relation, SourceFacts, ValueType};
use crate::plan::syntax::Granted;
use crate::spec::diagnostic::did_you_mean;
use crate::sql::{PlannedSql, probe};
use crate::warehouse::indexes::{is_indexed, is_unique};
use crate::warehouse::session::{self, ColumnType};
pub use classes::{ClassProfile, class_profile};
use hint::{Conversion, Side};
use mistake::user_code;
pub use mistake::{SourceError, SourceMistake};
pub use nulls::{begins_late, first_event, nulls};
pub use profile::{Habits, MOST_VALUES, data_profile};
pub use sample::{failing, look};
pub use sharding::{Placement, placements};
pub use types::column_types;
pub use unique::{not_unique, repeated_keys};
pub use volatile::moving;

/// Returns what the catalog says about the source, or every way in which the job does not fit it.
pub async fn inspect(connection: &mut PgConnection, job: &PlannedJob) -> Result<SourceFacts, SourceError> {
    let mut mistakes = Vec::new();
    let (p, l) = (&job.predictions, &job.labels);
    let prediction_names: Vec<(&str, &Identifier)> =
        [Some(("predictions.at", &p.at)), Some(("predictions.value", &p.value))]
            .into_iter()
            .chain([
                p.arrived_at.as_ref().map(|c| ("predictions.arrived_at", c)),
                p.version.as_ref().map(|c| ("predictions.version", c)),
            ])
            .flatten()
            .chain(p.id.iter().map(|c| ("predictions.id", c)))
            .collect();
    let label_names: Vec<(&str, &Identifier)> =
        [Some(("labels.value", &l.value)), l.arrived_at.as_ref().map(|c| ("labels.arrived_at", c))]
            .into_iter()
            .flatten()
            .chain(l.id.iter().map(|c| ("labels.id", c)))
            .collect();
    let predictions = columns(
        connection,
        "predictions",
        &p.relation,
        &probe::prediction_columns(job),
        &prediction_names,
        &mut mistakes,
    )
    .await?;
    let labels =
        columns(connection, "labels", &l.relation, &probe::label_columns(job), &label_names, &mut mistakes).await?;
    expressions(connection, job, &mut mistakes).await?;
    functions(connection, job, &mut mistakes).await?;
    volatile::refuse(connection, job, &mut mistakes).await?;
    equality::dimensions(connection, job, &mut mistakes).await?;
    let (Some(predictions), Some(labels)) = (predictions, labels) else { return Err(SourceError::Mistakes(mistakes)) };
    expect_types(job, Side::Predictions, &prediction_names, &predictions, &mut mistakes);
    expect_types(job, Side::Labels, &label_names, &labels, &mut mistakes);
    let (predicted, actual) = (ValueType::of(&predictions[1].type_name), ValueType::of(&labels[0].type_name));
    keys(connection, job, &predictions, &labels, &mut mistakes).await?;
    if !mistakes.is_empty() {
        return Err(SourceError::Mistakes(mistakes));
    }
    let mut version_key = p.id.clone();
    version_key.extend(p.version.clone());
    let sharded = sharding::placements(connection, job).await?.iter().any(Placement::is_sharded);
    let labels_unique = l.unique || is_unique(connection, &l.relation, &l.id, false).await?;
    // The key columns come last.
    let key_type = predictions.last().map_or("", |column| column.type_name.as_str());
    let key_type = readable_key(key_type).filter(|_| p.id.len() == 1 && labels_unique && !sharded);
    let key_type = if equality::is_bytewise(connection, job).await? { key_type } else { None };
    let vouched = p.unique && p.version.is_none();
    let relabeled_by = match key_type {
        Some(_) if !vouched && !is_unique(connection, &p.relation, &p.id, true).await? => None,
        key_type => key_type,
    };
    Ok(SourceFacts {
        predicted,
        actual,
        predictions_unique: p.unique || is_unique(connection, &p.relation, &version_key, true).await?,
        sharded,
        predictions_indexed: is_indexed(connection, &p.relation, &p.id).await?,
        labels_unique,
        key_is_integer: p.id.len() == 1
            && predictions.last().is_some_and(|id| matches!(id.type_name.as_str(), "INT2" | "INT4" | "INT8")),
        relabeled_by,
        guards: None,
    })
}

/// Refuses keys that cannot be compared unconverted.
async fn keys(
    connection: &mut PgConnection,
    job: &PlannedJob,
    predictions: &[ColumnType],
    labels: &[ColumnType],
    mistakes: &mut Vec<SourceMistake>,
) -> sqlx::Result<()> {
    let before = mistakes.len();
    // The key columns come last. The labels' key may be a prefix of the predictions' key.
    let (p_key, l_key) = (predictions.len() - job.predictions.id.len(), labels.len() - job.labels.id.len());
    let pairs: Vec<(&ColumnType, &ColumnType)> = predictions[p_key..].iter().zip(&labels[l_key..]).collect();
    let sides = pairs.iter().flat_map(|(p_type, l_type)| [(Side::Predictions, *p_type), (Side::Labels, *l_type)]);
    let refused = equality::keys(connection, job, &sides.collect::<Vec<_>>(), mistakes).await?;
    let is_refused = |pair: usize| refused.iter().any(|place| place / 2 == pair);
    for (_, (p_type, l_type)) in pairs.into_iter().enumerate().filter(|(pair, _)| !is_refused(*pair)) {
        if !same_key_type(&p_type.type_name, &l_type.type_name) {
            let message = format!(
                "`{}` is {} and `{}` of the predictions is {}",
                l_type.name,
                l_type.type_name.to_lowercase(),
                p_type.name,
                p_type.type_name.to_lowercase()
            );
            let hint = match hint::key(p_type, l_type) {
                Some((side, conversion)) => hint::convert(job, side, &[conversion]),
                None => {
                    "set `labels.id` to the column with the prediction key: these types cannot be compared".to_owned()
                }
            };
            mistakes.push(SourceMistake::new("labels.id", "key-types", message, hint));
        }
    }
    if mistakes.len() > before {
        return Ok(());
    }
    let hint = "convert both to text in a `query` on each side: `pg_catalog` has no `=` for this type";
    check(connection, "labels.id", "key-types", &probe::join(job), hint, mistakes).await
}

/// Type to read a key back as from its text. `None` if that is not known to give the same key.
fn readable_key(type_name: &str) -> Option<&'static str> {
    match type_name {
        "INT2" | "INT4" | "INT8" => Some("bigint"),
        "TEXT" | "VARCHAR" => Some("text"),
        "UUID" => Some("uuid"),
        _ => None,
    }
}

/// True if keys of two types compare without a conversion and have the same text.
fn same_key_type(a: &str, b: &str) -> bool {
    let kind = |name: &str| match name {
        "INT2" | "INT4" | "INT8" => "integer".to_owned(),
        "TEXT" | "VARCHAR" => "text".to_owned(),
        other => other.to_owned(),
    };
    kind(a) == kind(b)
}

/// Finds mistakes in the job's expressions. Without a predictions table there is nothing to check them against.
async fn expressions(
    connection: &mut PgConnection,
    job: &PlannedJob,
    mistakes: &mut Vec<SourceMistake>,
) -> sqlx::Result<()> {
    let all = match session::describe(connection, &probe::all_columns(&job.predictions.relation)).await {
        Ok(all) => all,
        Err(error) if user_code(&error).is_some() => return Ok(()),
        Err(error) => return Err(error),
    };
    let known: Vec<&str> = all.iter().map(|column| column.name.as_str()).collect();
    for probe in probe::expressions(job) {
        let missing: Vec<&String> = probe.columns.iter().filter(|column| !known.contains(&column.as_str())).collect();
        for name in &missing {
            let mistake = no_column(probe.path, name, "predictions", &known);
            // Both sides of a ratio name the columns of either.
            if !mistakes.contains(&mistake) {
                mistakes.push(mistake);
            }
        }
        if missing.is_empty() {
            let hint = "use only columns of the prediction row";
            let mut found = Vec::new();
            check(connection, probe.path, "bad-expression", &probe.sql, hint, &mut found).await?;
            mistakes.extend(found.into_iter().filter(|mistake| !mistakes.contains(mistake)).collect::<Vec<_>>());
        }
    }
    Ok(())
}

/// Finds functions granted to a query that do not exist, or whose result may change without the data.
async fn functions(
    connection: &mut PgConnection,
    job: &PlannedJob,
    mistakes: &mut Vec<SourceMistake>,
) -> sqlx::Result<()> {
    let relations = [("predictions.query", &job.predictions.relation), ("labels.query", &job.labels.relation)];
    for (path, relation) in relations {
        let Relation::Query(query) = relation else { continue };
        for function in query.granted() {
            let name = format!("{}.{}", function.schema.as_str(), function.name.as_str());
            let (message, hint) = match volatility(connection, &function).await? {
                Some(true) => (
                    format!("the function `{name}` is volatile: its result can change without the data"),
                    format!(
                        "if it only computes, declare it stable: `alter function {}.{} stable;`",
                        function.schema, function.name
                    ),
                ),
                Some(false) => continue,
                None => (
                    format!("there is no function `{name}`"),
                    "create it, or correct its name in the query and in `allow_functions`".to_owned(),
                ),
            };
            mistakes.push(SourceMistake::new(path, "bad-function", message, hint));
        }
    }
    Ok(())
}

/// True if any function of that name is volatile. `None` if there is no such function.
async fn volatility(connection: &mut PgConnection, function: &Granted) -> sqlx::Result<Option<bool>> {
    sqlx::query_scalar(
        "select bool_or(p.provolatile = 'v') from pg_proc p join pg_namespace n on n.oid = p.pronamespace \
         where n.nspname = $1 and p.proname = $2",
    )
    .bind(function.schema.as_str())
    .bind(function.name.as_str())
    .fetch_one(connection)
    .await
}

fn no_column(path: &str, name: &str, section: &str, known: &[&str]) -> SourceMistake {
    let hint = did_you_mean(name, known.iter().copied())
        .map_or_else(|| format!("its columns are {}", known.join(", ")), |near| format!("did you mean `{near}`?"));
    SourceMistake::new(path, "no-column", format!("there is no column `{name}` in the {section} table"), hint)
}

/// Returns the types of the named columns. `None` if the table or a column is missing, which is added to the mistakes.
async fn columns(
    connection: &mut PgConnection,
    section: &str,
    relation: &Relation,
    sql: &PlannedSql,
    names: &[(&str, &Identifier)],
    mistakes: &mut Vec<SourceMistake>,
) -> sqlx::Result<Option<Vec<ColumnType>>> {
    let error = match session::describe(connection, sql).await {
        Ok(columns) => return Ok(Some(columns)),
        Err(error) => error,
    };
    if user_code(&error).is_none() {
        return Err(error);
    }
    let all = match session::describe(connection, &probe::all_columns(relation)).await {
        Ok(all) => all,
        Err(second) if sample::is_policy(&second) => {
            let path = format!("{section}.{}", if relation.is_query() { "query" } else { "table" });
            mistakes.push(sample::refusal(connection, path, relation, second).await?);
            return Ok(None);
        }
        Err(second) if user_code(&second).is_some() => {
            let (path, hint) = match relation {
                Relation::Table(_) => (format!("{section}.table"), "check the name, and grant the role SELECT on it"),
                Relation::Query(_) => (format!("{section}.query"), "run the query in psql to see the error"),
            };
            mistakes.push(SourceMistake::refused(path, "no-table", &second, hint));
            return Ok(None);
        }
        Err(second) => return Err(second),
    };
    let known: Vec<&str> = all.iter().map(|column| column.name.as_str()).collect();
    for (path, name) in names.iter().filter(|(_, name)| !known.contains(&name.as_str())) {
        mistakes.push(no_column(path, name.as_str(), section, &known));
    }
    if mistakes.is_empty() {
        mistakes.push(SourceMistake::refused(section, "no-table", &error, "grant the role SELECT on it"));
    }
    Ok(None)
}

/// Refuses columns of the wrong type, with a hint that converts all of them at once.
fn expect_types(
    job: &PlannedJob,
    side: Side,
    names: &[(&str, &Identifier)],
    columns: &[ColumnType],
    mistakes: &mut Vec<SourceMistake>,
) {
    let mut wrong = Vec::new();
    for ((path, name), column) in names.iter().zip(columns) {
        let kind = column.type_name.to_lowercase();
        let is_instant = path.ends_with(".at") || path.ends_with(".arrived_at");
        if is_instant && column.type_name != "TIMESTAMPTZ" {
            let message = format!("`{}` is {kind}, not timestamptz", name.as_str());
            wrong.push((path, "no-timezone", message, hint::instant(column), column));
        } else if path.ends_with(".value") && !may_be(job, path, ValueType::of(&column.type_name)) {
            let message = format!("`{}` is {kind}, not a number", name.as_str());
            wrong.push((path, "not-a-number", message, hint::number(column), column));
        }
    }
    let conversion =
        |(_, _, _, sql, column): &(_, _, _, Option<String>, &ColumnType)| Some((column.name.clone(), sql.clone()?));
    let conversions: Vec<Conversion> = wrong.iter().filter_map(conversion).collect();
    for (path, code, message, sql, _) in wrong {
        let hint = match sql {
            Some(_) => hint::convert(job, side, &conversions),
            None => "use another column, or convert it in a `query`: this type has no standard conversion".to_owned(),
        };
        mistakes.push(SourceMistake::new(*path, code, message, hint));
    }
}

/// True if a value may have a type: a number, a class, or a decision in place of a score.
fn may_be(job: &PlannedJob, path: &str, of: ValueType) -> bool {
    match (&job.model, of) {
        (_, ValueType::Plain | ValueType::Numeric) => true,
        (Model::Regression, _) => false,
        (Model::Multiclass, _) => true,
        (Model::Binary(_), _) if path.starts_with("labels") => true,
        (Model::Binary(_), ValueType::Boolean) => true,
        // A text is a decision if the job says which of them is the positive one.
        (Model::Binary(labels), ValueType::Text) => *labels != ClassLabels::default(),
    }
}

/// Lets the server parse a statement; reports a refusal as a mistake of the job.
async fn check(
    connection: &mut PgConnection,
    path: &str,
    code: &'static str,
    sql: &PlannedSql,
    hint: &str,
    mistakes: &mut Vec<SourceMistake>,
) -> sqlx::Result<()> {
    match session::describe(connection, sql).await {
        Ok(_) => Ok(()),
        Err(error) if user_code(&error).is_some() => {
            mistakes.push(SourceMistake::refused(path, code, &error, hint));
            Ok(())
        }
        Err(error) => Err(error),
    }
}
