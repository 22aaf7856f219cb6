//! Reads a few rows as a run would, in a read-only session, to find problems that the catalog does not show.

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};

use super::mistake::{SourceMistake, in_our_words};
use crate::plan::PlannedJob;
use crate::plan::source::Relation;
use crate::sql::{PlannedSql, sample};
use crate::warehouse::session;

/// Reads one row of each source, with the columns that the job names. Any refusal by Postgres is a mistake.
pub async fn look(connection: &mut PgConnection, job: &PlannedJob) -> sqlx::Result<Vec<SourceMistake>> {
    let (p, l) = (&job.predictions.relation, &job.labels.relation);
    let sides = [("predictions", p, sample::first_prediction(job)), ("labels", l, sample::first_label(job))];
    let mut mistakes = Vec::new();
    for (section, relation, sql) in sides {
        let Err(error) = session::fetch(connection, &sql, &[]).await else { continue };
        let path = if relation.is_query() { format!("{section}.query") } else { format!("{section}.table") };
        mistakes.push(refusal(connection, path, relation, error).await?);
    }
    Ok(mistakes)
}

/// True if Postgres refuses to read because a policy would hide rows.
pub(super) fn is_policy(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|refused| {
        refused.code().is_some_and(|code| code == "42501") && refused.message().contains("row-level security")
    })
}

/// Explains a refusal to read. Connection errors are returned as errors.
pub(super) async fn refusal(
    connection: &mut PgConnection,
    path: String,
    relation: &Relation,
    error: sqlx::Error,
) -> sqlx::Result<SourceMistake> {
    let Some(refused) = error.as_database_error() else { return Err(error) };
    let state = refused.code().unwrap_or_default().into_owned();
    let hidden = is_policy(&error);
    let (code, hint) = match state.as_str() {
        "25006" => (
            "source-writes",
            "read the tables behind it, or a view that does not call the function that writes".to_owned(),
        ),
        "42501" if hidden => (
            "row-security",
            format!(
                "hidden rows would be missing from history; as a superuser, run: alter role {} bypassrls",
                role(connection).await?
            ),
        ),
        "42P01" | "42883" | "42704" => (
            "unreadable-source",
            "a function behind the source names a table or function without its schema; as its owner, run: \
             alter function NAME set search_path = SCHEMA"
                .to_owned(),
        ),
        "42501" => ("unreadable-source", grants(connection, relation).await?),
        _ => ("unreadable-source", "run the statement in psql with the role of trueup".to_owned()),
    };
    let message = match code {
        "row-security" => "row-level security hides rows from this role".to_owned(),
        _ => in_our_words(&state),
    };
    Ok(SourceMistake { said: Some(refused.message().to_owned()), ..SourceMistake::new(path, code, message, hint) })
}

async fn role(connection: &mut PgConnection) -> sqlx::Result<String> {
    sqlx::query_scalar("select quote_ident(current_user)").fetch_one(connection).await
}

/// Returns the grants for columns that lack one.
async fn grants(connection: &mut PgConnection, relation: &Relation) -> sqlx::Result<String> {
    const LACKING: &str = "
        select string_agg(quote_ident(attname), ', ' order by attnum) from pg_attribute
        where attrelid = to_regclass($1) and attnum > 0 and not attisdropped and not has_column_privilege(attrelid, attnum, 'select')";
    let mut parts = Vec::new();
    for table in relation.tables() {
        let lacking: Option<String> = sqlx::query_scalar(LACKING).bind(&table).fetch_one(&mut *connection).await?;
        if let Some(columns) = lacking {
            parts.push(format!("grant select ({columns}) on {table} to {}", role(connection).await?));
        }
    }
    match parts.is_empty() {
        true => Ok("as the owner, run: trueup migrate --print-grants | psql".to_owned()),
        false => Ok(parts.join("; ")),
    }
}

/// Rows of the sample on which expressions are evaluated.
const SAMPLE: i64 = 1_000;

/// Evaluates every expression of the job on the newest rows. Reports those that fail on a row, with its key and the
/// values that the expression reads.
pub async fn failing(connection: &mut PgConnection, job: &PlannedJob) -> sqlx::Result<Vec<SourceMistake>> {
    let mut mistakes = Vec::new();
    for probe in sample::samples(job) {
        let Err(error) = tried(connection, &(probe.count)(0, SAMPLE)).await else { continue };
        let said = value_error(error)?;
        // Bisect to the first row that fails.
        let (mut from, mut rows) = (0, SAMPLE);
        while rows > 1 {
            let half = rows / 2;
            match tried(connection, &(probe.count)(from, half)).await {
                Ok(()) => (from, rows) = (from + half, rows - half),
                Err(_) => rows = half,
            }
        }
        let row = session::fetch(connection, &(probe.row)(from), &[]).await?;
        let text = |row: &PgRow, name: &str| row.try_get::<Option<String>, _>(name).map(Option::unwrap_or_default);
        let (key, values) = match row.first() {
            Some(row) => (text(row, "key")?, text(row, "row")?),
            None => (String::new(), String::new()),
        };
        let message = format!("the expression fails on the prediction with the key {key}, which has {values}");
        let hint = "handle the value in the expression, with nullif or case; rows on which it fails are excluded from \
                    what it defines";
        mistakes
            .push(SourceMistake { said: Some(said), ..SourceMistake::new(probe.path, "failing-value", message, hint) });
    }
    Ok(mistakes)
}

async fn tried(connection: &mut PgConnection, sql: &PlannedSql) -> sqlx::Result<()> {
    session::fetch(connection, sql, &[]).await.map(drop)
}

/// Returns Postgres's message about a value. Any other error is returned as an error.
fn value_error(error: sqlx::Error) -> sqlx::Result<String> {
    match error.as_database_error() {
        Some(refused) if refused.code().is_some_and(|code| session::is_about_a_value(&code)) => {
            Ok(refused.message().to_owned())
        }
        _ => Err(error),
    }
}
