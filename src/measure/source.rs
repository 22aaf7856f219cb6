//! Compares a job with the tables it names: types, time zones, uniqueness. Read before every run, because tables change.

use sqlx::{PgConnection, Row as _};

use crate::measure::indexes::{is_indexed, is_unique};
use crate::measure::session::{self, ColumnType};
use crate::plan::PlannedJob;
use crate::plan::name::Identifier;
use crate::plan::source::{NumberType, Relation, SourceFacts};
use crate::plan::sql::{PlannedSql, probe};
use crate::plan::syntax::Granted;
use crate::spec::diagnostic::did_you_mean;

/// Something about the source that keeps the job from running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceMistake {
    /// Where in the job file: `predictions.at`.
    pub path: String,
    pub code: &'static str,
    pub message: String,
    pub hint: String,
}

/// What went wrong while looking at the source.
#[derive(Debug)]
pub enum SourceError {
    /// The job does not fit the tables.
    Mistakes(Vec<SourceMistake>),
    /// The tables could not be looked at.
    Database(sqlx::Error),
}

impl From<sqlx::Error> for SourceError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

/// What the data say about a job beyond its types.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Habits {
    /// Seconds until 95 % of the labels had arrived.
    pub label_latency: Option<f64>,
    /// Values of each cohort dimension, in the order of the job's, each counted up to `MOST_VALUES` + 1.
    pub cardinality: Vec<i64>,
    /// Rows of predictions and of labels, as the planner estimates them. None where it does not know, or of a query.
    pub rows: (Option<f64>, Option<f64>),
    /// Predictions and labels that a run reads: those that arrived between two runs, and in the overlap. None where indexes
    /// for it are missing.
    pub each_run: Option<(i64, i64)>,
}

/// Values of a cohort dimension above which it is probably not meant as one.
pub const MOST_VALUES: u32 = 1_000;

/// Looks at the newest predictions.
pub async fn habits(connection: &mut PgConnection, job: &PlannedJob, indexed: bool) -> sqlx::Result<Habits> {
    let mut habits = Habits::default();
    if let Some(sql) = probe::label_latency(job) {
        let rows = session::fetch(connection, &sql, &[]).await?;
        habits.label_latency = rows.first().map(|row| row.try_get("latency")).transpose()?.flatten();
    }
    if let Some(sql) = probe::cardinality(job, MOST_VALUES) {
        let rows = session::fetch(connection, &sql, &[]).await?;
        habits.cardinality = rows.first().map(|row| row.try_get("values")).transpose()?.unwrap_or_default();
    }
    habits.rows =
        (estimate(connection, &job.predictions.relation).await?, estimate(connection, &job.labels.relation).await?);
    let span = job.schedule.cadence.usual_gap() + job.schedule.overlap;
    if let Some([predictions, labels]) = probe::arrivals(job, span.num_seconds()).filter(|_| indexed) {
        let mut counts = Vec::new();
        for sql in [predictions, labels] {
            let rows = session::fetch(connection, &sql, &[]).await?;
            counts.extend(rows.first().map(|row| row.try_get::<i64, _>("n")).transpose()?);
        }
        habits.each_run = counts.first().copied().zip(counts.get(1).copied());
    }
    Ok(habits)
}

/// How many rows the planner believes a table to have.
async fn estimate(connection: &mut PgConnection, relation: &Relation) -> sqlx::Result<Option<f64>> {
    let Relation::Table(table) = relation else { return Ok(None) };
    let rows: Option<f64> =
        sqlx::query_scalar("select nullif(reltuples, -1)::float8 from pg_class where oid = to_regclass($1)")
            .bind(table.to_string())
            .fetch_optional(connection)
            .await?
            .flatten();
    Ok(rows)
}

/// What the catalog says about the source, or every way in which the job does not fit it.
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
    let (Some(predictions), Some(labels)) = (predictions, labels) else { return Err(SourceError::Mistakes(mistakes)) };
    expect_instants(&prediction_names, &predictions, &mut mistakes);
    expect_instants(&label_names, &labels, &mut mistakes);
    let predicted = expect_number("predictions.value", &predictions[1], &mut mistakes);
    let actual = expect_number("labels.value", &labels[0], &mut mistakes);
    check(
        connection,
        "labels.id",
        "key-types",
        &probe::join(job),
        "cast one side in a `query` so that the keys have one type",
        &mut mistakes,
    )
    .await?;
    for (p_type, l_type) in predictions.iter().rev().zip(labels.iter().rev()).take(p.id.len()) {
        if !same_key_type(&p_type.type_name, &l_type.type_name) {
            mistakes.push(SourceMistake {
                path: "labels.id".to_owned(),
                code: "key-types",
                message: format!(
                    "`{}` is {} and `{}` of the predictions is {}",
                    l_type.name,
                    l_type.type_name.to_lowercase(),
                    p_type.name,
                    p_type.type_name.to_lowercase()
                ),
                hint: "cast one side in a `query` so that the keys have one type".to_owned(),
            });
        }
    }
    let (Some(predicted), Some(actual), true) = (predicted, actual, mistakes.is_empty()) else {
        return Err(SourceError::Mistakes(mistakes));
    };
    let mut version_key = p.id.clone();
    version_key.extend(p.version.clone());
    let sharded = is_sharded(connection).await?;
    let labels_unique = is_unique(connection, &l.relation, &l.id, false).await?;
    // The key comes last among the columns.
    let key_type = predictions.last().map_or("", |column| column.type_name.as_str());
    let key_type = readable_key(key_type).filter(|_| p.id.len() == 1 && labels_unique && !sharded);
    let relabeled_by = match key_type {
        Some(_) if !is_unique(connection, &p.relation, &p.id, true).await? => None,
        key_type => key_type,
    };
    Ok(SourceFacts {
        predicted,
        actual,
        predictions_unique: is_unique(connection, &p.relation, &version_key, true).await?,
        sharded,
        predictions_indexed: is_indexed(connection, &p.relation, &p.id).await?,
        labels_unique,
        key_is_integer: p.id.len() == 1
            && predictions.last().is_some_and(|id| matches!(id.type_name.as_str(), "INT2" | "INT4" | "INT8")),
        relabeled_by,
    })
}

/// The type to read a key of a type back as from its text. None where that is not known to give the same key.
fn readable_key(type_name: &str) -> Option<&'static str> {
    match type_name {
        "INT2" | "INT4" | "INT8" => Some("bigint"),
        "TEXT" | "VARCHAR" => Some("text"),
        "UUID" => Some("uuid"),
        _ => None,
    }
}

/// Whether keys of two types are compared without converting one side, and written in the same way.
fn same_key_type(a: &str, b: &str) -> bool {
    let kind = |name: &str| match name {
        "INT2" | "INT4" | "INT8" => "integer".to_owned(),
        "TEXT" | "VARCHAR" => "text".to_owned(),
        other => other.to_owned(),
    };
    kind(a) == kind(b)
}

/// Finds what is wrong with the job's expressions. Without a table of predictions there is nothing to hold them against.
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
            // Both sides of a ratio name what either of them does.
            if !mistakes.contains(&mistake) {
                mistakes.push(mistake);
            }
        }
        if missing.is_empty() {
            let hint = "the names in it must be columns of the prediction row";
            let mut found = Vec::new();
            check(connection, probe.path, "bad-expression", &probe.sql, hint, &mut found).await?;
            mistakes.extend(found.into_iter().filter(|mistake| !mistakes.contains(mistake)).collect::<Vec<_>>());
        }
    }
    Ok(())
}

/// Finds functions that a query calls by permission and that are not there, or whose answer may change without the data.
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
            let message = match volatility(connection, &function).await? {
                Some(true) => format!("the function `{name}` is volatile: its answer may change without the data"),
                Some(false) => continue,
                None => format!("there is no function `{name}`"),
            };
            let hint = "declare it `stable` or `immutable` in Postgres, or do without it".to_owned();
            mistakes.push(SourceMistake { path: path.to_owned(), code: "bad-function", message, hint });
        }
    }
    Ok(())
}

/// Whether any function of a name is volatile. None where there is none.
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
    let message = format!("there is no column `{name}` in the {section} table");
    SourceMistake { path: path.to_owned(), code: "no-column", message, hint }
}

/// Types of the named columns. None when the table or a column is not there, which is then among the mistakes.
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
    let Some(code) = user_code(&error) else { return Err(error) };
    let all = match session::describe(connection, &probe::all_columns(relation)).await {
        Ok(all) => all,
        Err(second) if user_code(&second).is_some() => {
            let (path, hint) = match relation {
                Relation::Table(_) => {
                    (format!("{section}.table"), "check the name, and that the role may select from it")
                }
                Relation::Query(_) => (format!("{section}.query"), "run the query in psql to see what is wrong"),
            };
            mistakes.push(SourceMistake {
                path,
                code: "no-table",
                message: in_our_words(&code),
                hint: hint.to_owned(),
            });
            return Ok(None);
        }
        Err(second) => return Err(second),
    };
    let known: Vec<&str> = all.iter().map(|column| column.name.as_str()).collect();
    for (path, name) in names.iter().filter(|(_, name)| !known.contains(&name.as_str())) {
        mistakes.push(no_column(path, name.as_str(), section, &known));
    }
    if mistakes.is_empty() {
        mistakes.push(SourceMistake {
            path: section.to_owned(),
            code: "no-table",
            message: in_our_words(&code),
            hint: "check that the role may select from it".to_owned(),
        });
    }
    Ok(None)
}

fn expect_instants(names: &[(&str, &Identifier)], columns: &[ColumnType], mistakes: &mut Vec<SourceMistake>) {
    for ((path, name), column) in names.iter().zip(columns) {
        if (path.ends_with(".at") || path.ends_with(".arrived_at")) && column.type_name != "TIMESTAMPTZ" {
            mistakes.push(SourceMistake {
                path: (*path).to_owned(),
                code: "no-timezone",
                message: format!("`{}` is {}, not timestamptz", name.as_str(), column.type_name.to_lowercase()),
                hint: format!(
                    "use a `query` that says its zone, such as `{} at time zone 'UTC' as {}`",
                    name.as_str(),
                    name.as_str()
                ),
            });
        }
    }
}

fn expect_number(path: &str, column: &ColumnType, mistakes: &mut Vec<SourceMistake>) -> Option<NumberType> {
    let found = NumberType::of(&column.type_name);
    if found.is_none() {
        mistakes.push(SourceMistake {
            path: path.to_owned(),
            code: "not-a-number",
            message: format!("`{}` is {}, not a number", column.name, column.type_name.to_lowercase()),
            hint: format!("use a `query` that casts it, such as `{}::float8 as {}`", column.name, column.name),
        });
    }
    found
}

/// Lets the server parse a statement; a refusal is a mistake of the job.
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
        Err(error) => match user_code(&error) {
            Some(state) => {
                mistakes.push(SourceMistake {
                    path: path.to_owned(),
                    code,
                    message: in_our_words(&state),
                    hint: hint.to_owned(),
                });
                Ok(())
            }
            None => Err(error),
        },
    }
}

/// SQLSTATE of an error that is the job's fault: wrong names, types, rights. None for any other.
fn user_code(error: &sqlx::Error) -> Option<String> {
    let code = error.as_database_error()?.code()?.into_owned();
    (code.starts_with("42") || code.starts_with("22") || code.starts_with("3F")).then_some(code)
}

/// The server's own text may hold data of the source, so its state is put in our words.
fn in_our_words(code: &str) -> String {
    let words = match code {
        "42P01" => "the table does not exist",
        "3F000" => "the schema does not exist",
        "42501" => "the role may not read the table",
        "42703" => "a column does not exist",
        "42883" => "an operator or function does not exist for these types",
        "42804" => "the types do not fit",
        "42846" => "a value cannot be cast to the type that is needed",
        "22P02" | "22007" | "22008" => "a literal does not have the form of its type",
        "42601" => "the statement is not valid SQL",
        _ => "Postgres refuses the statement",
    };
    format!("{words} (SQLSTATE {code})")
}

async fn is_sharded(connection: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar("select exists (select from pg_extension where extname = 'citus')").fetch_one(connection).await
}
