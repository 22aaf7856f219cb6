//! Failures of a run, classified by the reaction to them.

use std::fmt;
use std::time::Duration;

use chrono::TimeDelta;
use sqlx::PgConnection;

use crate::plan::PlannedJob;
use crate::postgres::held;
use crate::warehouse::inspect::SourceMistake;
use crate::warehouse::session;

/// Maximum combinations of dimensions and versions per job. More indicate a mistake, such as a cohort per customer.
pub const MOST_CELLS: i64 = 100_000;

/// Why a run did not publish.
#[derive(Debug)]
pub enum RunError {
    /// The job does not fit its tables.
    Source(Vec<SourceMistake>),
    Database(sqlx::Error),
    /// More combinations of dimensions and versions than `MOST_CELLS`.
    TooManyCells(i64),
    /// Another runner has taken over.
    LostLease,
    /// The run took longer than `schedule.timeout`.
    TimedOut(TimeDelta),
}

/// Reaction to a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cure {
    /// Retry the run shortly.
    Retry,
    /// The database is unavailable: give the run back and wait.
    Wait,
    /// No retry helps until the job or its data change.
    Fail,
    /// Publish nothing: another runner owns the run now.
    Abandon,
}

impl From<sqlx::Error> for RunError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl RunError {
    /// True if an expression of the job may have failed on a row, so that evaluating row by row helps.
    pub fn is_of_an_expression(&self, job: &PlannedJob) -> bool {
        let Self::Database(error) = self else { return false };
        let code = error.as_database_error().and_then(|error| error.code());
        job.has_expressions() && !self.is_of_a_key(job) && code.is_some_and(|code| session::is_about_a_value(&code))
    }

    /// True if rows may share a key that the job declares unique: one of them would have been written twice.
    pub fn is_of_a_key(&self, job: &PlannedJob) -> bool {
        let Self::Database(error) = self else { return false };
        let code = error.as_database_error().and_then(|error| error.code());
        (job.predictions.unique || job.labels.unique) && code.as_deref() == Some("21000")
    }

    /// Returns the reaction, by SQLSTATE.
    pub fn cure(&self) -> Cure {
        match self {
            Self::Source(_) | Self::TimedOut(_) | Self::TooManyCells(_) => Cure::Fail,
            Self::LostLease => Cure::Abandon,
            Self::Database(error) => match error.as_database_error().and_then(|e| e.code()) {
                Some(code) => cure_of(&code),
                None if matches!(
                    error,
                    sqlx::Error::Io(_)
                        | sqlx::Error::PoolTimedOut
                        | sqlx::Error::PoolClosed
                        | sqlx::Error::WorkerCrashed
                        | sqlx::Error::Tls(_)
                ) =>
                {
                    Cure::Wait
                }
                None => Cure::Fail,
            },
        }
    }
}

fn cure_of(code: &str) -> Cure {
    match code {
        // Serialization failure and deadlock. 23505: two runners collided; the second attempt sees the rows of the
        // first. 23502: a row arrived while its cell was being created; see `sql::pairs::cell`.
        "40001" | "40P01" | "23505" | "23502" => Cure::Retry,
        // The protocol cannot carry a value, or the query needs more temporary space than the role may use: every retry
        // would need the same.
        "08P01" | "53400" => Cure::Fail,
        // Another session holds a lock, the server is read-only for now, or it ended a session that it considered lost.
        "55P03" | "25006" | "25P03" => Cure::Wait,
        _ => match &code[..code.len().min(2)] {
            // Connection, resource, system and internal errors are the server's and last until an operator acts.
            "08" | "53" | "58" | "XX" | "F0" => Cure::Wait,
            "57" if code.starts_with("57P") => Cure::Wait,
            _ => Cure::Fail,
        },
    }
}

impl fmt::Display for RunError {
    /// Our own wording: the server's text can contain data of the source, and this text is stored and shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(mistakes) => {
                let parts: Vec<String> =
                    mistakes.iter().map(|m| format!("{}: {} ({})", m.path, m.message, m.hint)).collect();
                write!(f, "{}", parts.join("; "))
            }
            Self::TooManyCells(cells) => write!(
                f,
                "the cohort dimensions have {cells} combinations, and the limit is {MOST_CELLS}: use fewer dimensions, \
                 or group their values by an expression"
            ),
            Self::LostLease => write!(f, "the lease was lost to another runner"),
            Self::TimedOut(limit) => {
                write!(f, "the run took longer than `schedule.timeout` ({})", crate::domain::duration::format(*limit))
            }
            Self::Database(error) => match error.as_database_error().and_then(|e| Some((e.code()?, e.message()))) {
                Some((_, message)) if message.contains(INTERMEDIATE) => {
                    write!(f, "an intermediate result exceeds `{INTERMEDIATE}`; raise it for the role of trueup")
                }
                Some((code, message)) if is_about_connecting(&code) => write!(f, "{message} (SQLSTATE {code})"),
                Some((code, _)) => write!(f, "{} (SQLSTATE {code})", words(&code)),
                None => match error {
                    sqlx::Error::PoolTimedOut => write!(f, "timed out waiting for a database connection"),
                    sqlx::Error::Io(_) | sqlx::Error::Tls(_) => write!(f, "the connection to the database was lost"),
                    other => write!(f, "unexpected response from the database: {other}"),
                },
            },
        }
    }
}

impl std::error::Error for RunError {}

/// Citus setting that limits the size of a result that one of its servers sends to another.
const INTERMEDIATE: &str = "citus.max_intermediate_result_size";

/// True if the server refused the session before any data were read: its message then names a role or a database, and
/// says more than ours could.
fn is_about_connecting(code: &str) -> bool {
    code == "53300" || code == "57P03" || code.starts_with("28") || code.starts_with("3D")
}

fn words(code: &str) -> &'static str {
    match code {
        "57014" => "a statement took longer than `schedule.timeout`",
        "42501" => "the role lacks a privilege, or a policy would hide rows from it; run `trueup check` for details",
        "08001" | "HV000" | "HV00L" => "the server could not reach another server, such as that of a foreign table",
        "53100" => "the database's disk is full",
        "53400" => "a statement needs more temporary disk space than `temp_file_limit` allows",
        "55P03" => "another session holds a lock on a table that it needs",
        "08P01" => "a value cannot be sent to the server",
        "42P05" | "26000" => "a pooler gave the transaction another session; set `pool_mode = session`",
        "25006" => "the database is read-only",
        "0A000" => "the database does not support a statement, or a table changed while it was read; see its log",
        "22P05" => "the encoding of the database cannot represent a character of the job file or of the source",
        "22021" => "a string in the source is not valid in the encoding of the database",
        // Raised by our own function that creates months.
        "TU001" => "a monthly partition was detached from the history; attach it again",
        "3F000" | "42P01" => {
            "a table is missing: run `trueup migrate`, or fix a function behind the source that names a table without \
             its schema"
        }
        _ if code.starts_with("22") => "an expression fails on a value in the source",
        _ if code.starts_with("23") => "a constraint of the history was violated",
        _ if code.starts_with("40") => "the transaction conflicted with another one",
        _ if code.starts_with("42") => "the statement does not match the tables",
        _ if code.starts_with("58") || code.starts_with("XX") => {
            "the database server reports an internal error; see its log"
        }
        _ if code.starts_with("08") || code.starts_with("57P") => "the database shut down or closed the connection",
        _ => "the database rejected a statement",
    }
}

/// Limits the time of every statement of the session, and gives it memory to group and join. JIT is off because compiling a
/// run's statement takes longer than running it. `random_page_cost` is low because key lookups beat reading a range.
///
/// A runner that freezes or is cut off inside a transaction keeps its locks no longer than its lease, so that another can
/// take over the run: a live runner needs milliseconds between two statements. Waiting for a lock times out before the
/// statement does, so that it is recognized as such. Returns the backend pid of the session.
pub async fn limit_time(connection: &mut PgConnection, limit: TimeDelta, lease: TimeDelta) -> sqlx::Result<i32> {
    let limits = sqlx::query_as(
        "select pg_backend_pid(), set_config('statement_timeout', $1, false), set_config('lock_timeout', $2, false), \
         set_config('idle_in_transaction_session_timeout', $3, false), set_config('work_mem', '64MB', false), \
         set_config('jit', 'off', false), \
         set_config('random_page_cost', '1.1', false)",
    )
    .bind(limit.num_milliseconds().to_string())
    .bind((limit.num_milliseconds() / 2).max(1).to_string())
    .bind(limit.min(lease).num_milliseconds().max(1).to_string())
    .fetch_one(connection);
    // Until the session of a run is known, nothing watches it, so this statement has a limit of its own.
    let limited: (i32,) = match tokio::time::timeout(ANSWER_WITHIN, limits).await {
        Ok(row) => row?,
        Err(_) => return Err(held::silence(ANSWER_WITHIN)),
    };
    Ok(limited.0)
}

/// Time limit for setting the limits of a session, which takes a millisecond.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Error for a connection whose session no longer works for it.
pub fn lost_connection() -> RunError {
    let words = "the session ended, or its response did not arrive";
    RunError::Database(sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::ConnectionAborted, words)))
}

/// Time limit for the whole run, slightly longer than the server's for one statement.
pub fn deadline(limit: TimeDelta) -> Duration {
    limit.to_std().unwrap_or_default() + Duration::from_secs(5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_cured_by_their_state() {
        for (code, cure) in [
            ("40001", Cure::Retry),
            ("40P01", Cure::Retry),
            ("57P01", Cure::Wait),
            ("53300", Cure::Wait),
            ("08006", Cure::Wait),
            ("42P01", Cure::Fail),
            ("57014", Cure::Fail),
            ("22003", Cure::Fail),
            ("08P01", Cure::Fail),
            ("53400", Cure::Fail),
            ("55P03", Cure::Wait),
            ("25006", Cure::Wait),
            ("25P03", Cure::Wait),
            ("57P05", Cure::Wait),
            ("53100", Cure::Wait),
            ("58030", Cure::Wait),
            ("58P01", Cure::Wait),
            ("XX000", Cure::Wait),
            ("XX001", Cure::Wait),
            ("", Cure::Fail),
        ] {
            assert_eq!(cure_of(code), cure, "{code}");
        }
    }
}
