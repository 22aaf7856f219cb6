//! `doctor`: checks everything that a runner depends on, and suggests fixes.

mod owners;

use std::process::ExitCode;

use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{Connection as _, PgConnection};

use crate::cli::{Global, Output};
use crate::commands::output::{self, Table, progress};
use crate::commands::shared::database;
use crate::commands::shared::jobs::{self, JobFile};
use crate::commands::user_error;
use crate::domain::duration;
use crate::domain::name::quoted;
use crate::plan::PlannedJob;
use crate::plan::source::Relation;
use crate::postgres::migrate::{self, SchemaVersion};
use crate::postgres::{connect, pooler, refused};
use crate::settings::Settings;
use crate::store::ledger::health;
use crate::store::read::doctor;
use crate::warehouse::inspect::{self, SourceError};

/// Severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ok,
    Warning,
    Error,
}

/// The subject of a check, its result, and the fix.
struct Finding {
    state: State,
    about: String,
    found: String,
    mend: String,
}

/// Findings in the order they are made.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn ok(&mut self, about: &str, found: impl Into<String>) {
        self.push(State::Ok, about, found.into(), String::new());
    }

    fn warning(&mut self, about: &str, found: impl Into<String>, mend: impl Into<String>) {
        self.push(State::Warning, about, found.into(), mend.into());
    }

    fn error(&mut self, about: &str, found: impl Into<String>, mend: impl Into<String>) {
        self.push(State::Error, about, found.into(), mend.into());
    }

    fn push(&mut self, state: State, about: &str, found: String, mend: String) {
        self.0.push(Finding { state, about: about.to_owned(), found, mend });
    }
}

const GRANTS: &str = "trueup migrate --print-grants | psql, as the owner";

pub(in crate::commands) async fn run(global: &Global) -> Result<ExitCode> {
    let Some(url) = &global.database_url else {
        return Err(user_error(
            "`doctor` checks the database that jobs run on: set DATABASE_URL=postgres://user@host/database",
        ));
    };
    let options = database::options(url)?;
    let settings = jobs::settings(global)?;
    let spinner = progress::spinner("checking");
    let mut findings = Findings::default();
    let planned = planned(global, &settings, &mut findings)?;
    findings.ok("program", format!("trueup {}", env!("CARGO_PKG_VERSION")));
    match pooler::connect(&options).await {
        Err(error) => findings.error(
            "database",
            format!("{} cannot be reached: {}", refused::place(&options), refused::why(&error)),
            "check DATABASE_URL, and that the server runs and accepts this machine",
        ),
        Ok(mut connection) => {
            database(&mut connection, &settings, &planned, &mut findings).await?;
            // If closing fails, the connection ends with the program.
            drop(connection.close().await);
        }
    }
    receivers(&settings, &mut findings).await;
    spinner.finish();
    show(global, &findings)?;
    let failed = findings.0.iter().any(|finding| finding.state == State::Error);
    Ok(ExitCode::from(u8::from(failed)))
}

fn planned(global: &Global, settings: &Settings, findings: &mut Findings) -> Result<Vec<PlannedJob>> {
    let files = if global.jobs.exists() { jobs::load_all(&global.jobs, settings)? } else { Vec::new() };
    let mut planned = Vec::new();
    for file in files {
        match file {
            JobFile { job: Some(job), .. } => planned.push(job),
            file => findings.error(
                "job file",
                format!("`{}` has mistakes, so its job does not run", file.path),
                format!("trueup check {}", file.path),
            ),
        }
    }
    Ok(planned)
}

/// A larger clock difference confuses people, though nothing depends on it.
const CLOCKS: TimeDelta = TimeDelta::seconds(5);

async fn database(
    connection: &mut PgConnection,
    settings: &Settings,
    planned: &[PlannedJob],
    findings: &mut Findings,
) -> Result<()> {
    let server = doctor::server(connection).await?;
    judge(&server, Utc::now(), settings.max_connections, findings);
    match migrate::standing(connection).await {
        Ok(SchemaVersion::UpToDate) => findings.ok("schema", "up to date"),
        Ok(SchemaVersion::Behind(n)) => {
            findings.error("schema", format!("`trueup` is missing or lacks {n} migrations"), "trueup migrate");
            return Ok(());
        }
        Ok(SchemaVersion::Ahead(n)) => {
            findings.error(
                "schema",
                format!("`trueup` has {n} migrations that this version does not know"),
                "use the newer trueup that applied them",
            );
            return Ok(());
        }
        Err(_) => findings.warning("schema", "this role cannot read its version", GRANTS),
    }
    if !rights(connection, &server, planned, findings).await? {
        // Without these rights the checks below say nothing.
        return Ok(());
    }
    owners::look(connection, planned, &settings.trusted_owners, findings).await?;
    outbox(connection, settings, findings).await?;
    stale(connection, planned, findings).await
}

/// Checks the server's report against this machine's clock and the runner's connection limit.
fn judge(server: &doctor::Server, now: DateTime<Utc>, max_connections: u32, findings: &mut Findings) {
    match migrate::OLDEST_SERVER > server.version_number {
        true => findings.error(
            "server",
            format!("Postgres {} is too old", server.version),
            format!("move to Postgres {} or newer", migrate::OLDEST_SERVER / 10_000),
        ),
        false => findings.ok("server", format!("Postgres {}", server.version)),
    }
    if server.is_standby {
        findings.error(
            "server",
            "it is a standby, which is read-only",
            "connect to the primary: trueup writes its history",
        );
    } else if server.is_read_only {
        let mend = format!(
            "alter role {} reset default_transaction_read_only, or reset it for the database",
            quoted(&server.role)
        );
        findings.error("server", "transactions of this role are read-only, but trueup writes its history", mend);
    }
    let apart = (now - server.now).abs();
    match apart > CLOCKS {
        true => findings.warning(
            "clock",
            format!("the clocks of this machine and the database differ by {} s", apart.num_seconds()),
            "turn on NTP on both",
        ),
        false => findings.ok("clock", "the clocks of this machine and the database agree"),
    }
    let free = server.connections_most - server.connections_used;
    let wanted = i64::from(max_connections);
    match free < wanted {
        true => findings.warning(
            "connections",
            format!("{free} are free, but a runner uses up to {wanted}"),
            "raise max_connections of the server, or lower [database] max_connections",
        ),
        false => findings.ok("connections", format!("{free} of {} are free", server.connections_most)),
    }
}

/// Checks the role for missing and for excess rights. Returns true if it may use all of `trueup.*`.
async fn rights(
    connection: &mut PgConnection,
    server: &doctor::Server,
    planned: &[PlannedJob],
    findings: &mut Findings,
) -> Result<bool> {
    if server.is_superuser {
        findings.warning(
            "role",
            format!("`{}` is a superuser", server.role),
            "connect as a role with the grants of `trueup migrate --print-grants`, and nothing else",
        );
    } else if server.may_define {
        findings.warning(
            "role",
            format!("`{}` can create objects in the schema `trueup`", server.role),
            "use a role that owns nothing: `trueup migrate --print-grants`",
        );
    } else {
        findings.ok("role", format!("`{}` cannot create objects in the schema `trueup`", server.role));
    }
    if server.temp_file_limit == "-1" && !server.is_superuser {
        findings.warning(
            "limits",
            format!("a statement of `{}` can fill the server's disk with temporary files", server.role),
            format!("alter role {} set temp_file_limit = '10GB', as a superuser", quoted(&server.role)),
        );
    }
    let missing = doctor::missing_on_own(connection).await?;
    match missing.is_empty() {
        true => findings.ok("grants", "the role can use all of `trueup.*`"),
        false => findings.error("grants", format!("the role cannot use trueup.{}", missing.join(", trueup.")), GRANTS),
    }
    for job in planned {
        for relation in [&job.predictions.relation, &job.labels.relation] {
            let Relation::Table(table) = relation else { continue };
            let rights = doctor::source(connection, &table.to_string()).await?;
            let about = format!("source of {}", job.name);
            if !rights.exists {
                findings.error(
                    &about,
                    format!("there is no table {table}, or the role cannot access its schema"),
                    format!("correct the job if the name is misspelled; otherwise {GRANTS}"),
                );
            } else if !rights.may_read {
                findings.error(&about, format!("the role cannot read {table}"), GRANTS);
            } else if rights.may_write && !server.is_superuser {
                findings.warning(
                    &about,
                    format!("the role can write to {table}, which no runner needs"),
                    format!("revoke insert, update, delete on {table} from {}", quoted(&server.role)),
                );
            }
        }
        readable(connection, job, findings).await?;
    }
    Ok(missing.is_empty())
}

/// Reads a row of each source with the columns of the job, as a run would.
async fn readable(connection: &mut PgConnection, job: &PlannedJob, findings: &mut Findings) -> Result<()> {
    let about = format!("source of {}", job.name);
    connect::settle(connection).await?;
    sqlx::query("set default_transaction_read_only = on").execute(&mut *connection).await?;
    let looked = match inspect::inspect(connection, job).await {
        Ok(_) => inspect::look(connection, job).await,
        Err(SourceError::Mistakes(mistakes)) => Ok(mistakes),
        Err(SourceError::Database(error)) => Err(error),
    };
    sqlx::query("reset default_transaction_read_only").execute(&mut *connection).await?;
    let mistakes = match looked {
        Ok(mistakes) => mistakes,
        Err(error) => {
            findings.error(
                &about,
                format!("the source could not be read: {}", refused::why(&error)),
                format!("run trueup check on the file of {}", job.name),
            );
            return Ok(());
        }
    };
    for mistake in &mistakes {
        let said = mistake.said.as_ref().map_or_else(String::new, |said| format!("; Postgres says: {said}"));
        findings.error(&about, format!("{}: {}{said}", mistake.path, mistake.message), mistake.hint.clone());
    }
    if mistakes.is_empty() {
        findings.ok(&about, "a row of each table can be read with the job's columns");
        for lacking in inspect::nulls(connection, job).await? {
            findings.warning(&about, format!("{}: {}", lacking.path, lacking.message), lacking.hint);
        }
    }
    Ok(())
}

async fn outbox(connection: &mut PgConnection, settings: &Settings, findings: &mut Findings) -> Result<()> {
    let outbox = doctor::outbox(connection).await?;
    let patience = settings.watchdog.as_ref().map_or(TimeDelta::minutes(5), |watchdog| watchdog.patience);
    match outbox.oldest_seconds {
        #[expect(clippy::cast_precision_loss, reason = "seconds of a setting")]
        Some(age) if age > patience.num_seconds() as f64 => findings.error(
            "outbox",
            format!("{}, the oldest for {age:.0} s", waiting(outbox.waiting)),
            "check that `trueup serve` is running; trueup deliveries --state pending shows the reasons",
        ),
        _ => findings.ok("outbox", waiting(outbox.waiting)),
    }
    if outbox.dead_lately > 0 {
        findings.warning(
            "outbox",
            format!("messages given up, or refused by an address, in the last week: {}", outbox.dead_lately),
            "trueup deliveries, then trueup deliveries retry",
        );
    }
    for receiver in outbox.troubled {
        findings.warning(
            "receiver",
            format!("`{receiver}` failed repeatedly"),
            format!("trueup notify test {receiver}"),
        );
    }
    Ok(())
}

/// Reports jobs that were not run when they were due.
async fn stale(connection: &mut PgConnection, planned: &[PlannedJob], findings: &mut Findings) -> Result<()> {
    for job in planned {
        let about = format!("job {}", job.name);
        let Some(standing) = health::of_job(connection, &job.name).await? else {
            findings.warning(&about, "it has never run", format!("trueup run {0}, or trueup serve", job.name));
            continue;
        };
        if let Some(failure) = &standing.failure {
            findings.error(
                &about,
                format!("its last run failed: {}", failure),
                format!("fix the cause, then trueup run {0}; trueup runs {0} shows earlier runs", job.name),
            );
        }
        let gap = job.schedule.cadence.usual_gap();
        let missed = job.schedule.cadence.next_after(standing.last_ok).map(|missed| standing.now - missed);
        match missed.filter(|late| *late > gap) {
            Some(late) => findings.error(
                &about,
                format!(
                    "nothing has been published since {}; it is {} h late",
                    standing.last_ok.format("%Y-%m-%d %H:%M UTC"),
                    late.num_hours()
                ),
                "check that `trueup serve` is running; trueup status shows how its last run ended",
            ),
            None if !standing.has_published => {
                findings.warning(&about, "it has published nothing yet", format!("trueup run {}", job.name));
            }
            None => findings.ok(
                &about,
                format!(
                    "published as of {}, due every {}",
                    standing.last_ok.format("%Y-%m-%d %H:%M UTC"),
                    duration::format(gap)
                ),
            ),
        }
    }
    Ok(())
}

async fn receivers(settings: &Settings, findings: &mut Findings) {
    for (name, receiver) in &settings.receivers {
        let about = format!("receiver {name}");
        match receiver.connect() {
            Err(why) => findings.error(&about, why, "set it where `trueup serve` runs"),
            Ok(prepared) => match prepared.reach().await {
                Ok(()) => findings.ok(&about, "it can be reached"),
                Err(why) => findings.error(&about, why, format!("trueup notify test {name}")),
            },
        }
    }
}

fn show(global: &Global, findings: &Findings) -> Result<()> {
    if global.output != Output::Table {
        let mut table = Table::new(&["state", "about", "found", "mend"]);
        for finding in &findings.0 {
            table.push(vec![
                finding.state.word().into(),
                finding.about.clone().into(),
                finding.found.clone().into(),
                finding.mend.clone().into(),
            ]);
        }
        return output::print_table(&table, global.output);
    }
    for finding in &findings.0 {
        output::print(&format!("{:<8} {}: {}", finding.state.word(), finding.about, finding.found))?;
        if !finding.mend.is_empty() {
            output::print(&format!("         -> {}", finding.mend))?;
        }
    }
    let count = |state| findings.0.iter().filter(|finding| finding.state == state).count();
    output::print(&format!("{} errors, {} warnings", count(State::Error), count(State::Warning)))
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

fn waiting(messages: i64) -> String {
    match messages {
        0 => "no messages are waiting".to_owned(),
        1 => "1 message is waiting".to_owned(),
        more => format!("{more} messages are waiting"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(server: &doctor::Server, now: DateTime<Utc>, max_connections: u32) -> Vec<(State, String)> {
        let mut findings = Findings::default();
        judge(server, now, max_connections, &mut findings);
        findings.0.into_iter().map(|finding| (finding.state, finding.found)).collect()
    }

    #[test]
    fn a_server_is_too_old_too_full_or_of_another_time() {
        let now = DateTime::from_timestamp(1_700_000_000, 0).expect("a time");
        let well = doctor::Server {
            version: "15.4".to_owned(),
            version_number: 150_004,
            now,
            role: "runner".to_owned(),
            is_superuser: false,
            may_define: false,
            temp_file_limit: "10GB".to_owned(),
            is_standby: false,
            is_read_only: false,
            connections_used: 90,
            connections_most: 97,
        };
        let states = |found: &[(State, String)]| found.iter().map(|(state, _)| *state).collect::<Vec<_>>();
        assert_eq!(states(&found(&well, now + CLOCKS, 7)), [State::Ok; 3]);
        let old = doctor::Server { version: "13.9".to_owned(), version_number: 130_009, ..well.clone() };
        let ill = found(&old, now - TimeDelta::seconds(6), 8);
        assert_eq!(states(&ill), [State::Error, State::Warning, State::Warning]);
        let words: Vec<&str> = ill.iter().map(|(_, words)| words.as_str()).collect();
        assert_eq!(
            words,
            [
                "Postgres 13.9 is too old",
                "the clocks of this machine and the database differ by 6 s",
                "7 are free, but a runner uses up to 8",
            ]
        );
    }
}
