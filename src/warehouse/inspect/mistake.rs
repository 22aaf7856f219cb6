//! Mistakes in a source, in words.

/// A problem of the source that prevents the job from running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceMistake {
    /// Path in the job file: `predictions.at`.
    pub path: String,
    pub code: &'static str,
    pub message: String,
    pub hint: String,
    /// Postgres's message, for the user at the terminal. It may contain data of the source: it is shown, and never stored.
    pub said: Option<String>,
}

impl SourceMistake {
    pub(super) fn new(
        path: impl Into<String>,
        code: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self { path: path.into(), code, message: message.into(), hint: hint.into(), said: None }
    }

    /// Creates a mistake that Postgres found, in our words and in its own.
    pub(super) fn refused(path: impl Into<String>, code: &'static str, error: &sqlx::Error, hint: &str) -> Self {
        let state = error.as_database_error().and_then(|error| error.code()).unwrap_or_default();
        let said = error.as_database_error().map(|error| error.message().to_owned());
        Self { said, ..Self::new(path, code, in_our_words(&state), hint) }
    }
}

/// Why an inspection of the source failed.
#[derive(Debug)]
pub enum SourceError {
    /// The job does not fit the tables.
    Mistakes(Vec<SourceMistake>),
    /// The tables could not be inspected.
    Database(sqlx::Error),
}

impl From<sqlx::Error> for SourceError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

/// Returns the SQLSTATE of an error that is the job's fault: wrong names, types, privileges. `None` for any other.
pub(super) fn user_code(error: &sqlx::Error) -> Option<String> {
    let code = error.as_database_error()?.code()?.into_owned();
    (code.starts_with("42") || code.starts_with("22") || code.starts_with("3F")).then_some(code)
}

/// Describes an SQLSTATE in our words, because the server's own text may contain data of the source.
pub(super) fn in_our_words(code: &str) -> String {
    let words = match code {
        "42P01" => "the table does not exist",
        "3F000" => "the schema does not exist",
        "42501" => "the role is not allowed to read the table",
        "42703" => "a column does not exist",
        "42883" => "an operator or function does not exist for these types",
        "42804" => "the types do not match",
        "42846" => "a value cannot be cast to the required type",
        "22P02" | "22007" | "22008" => "a literal is not valid for its type",
        "42601" => "the statement is not valid SQL",
        "42702" => "a column name is ambiguous",
        "42P18" | "42P22" => "a type or collation cannot be determined",
        "25006" => "reading it writes to the database",
        "08001" | "HV000" | "HV00L" => "the server of a foreign table cannot be reached",
        _ => "Postgres rejects the statement",
    };
    format!("{words} (SQLSTATE {code})")
}
