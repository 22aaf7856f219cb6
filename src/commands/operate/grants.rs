//! `migrate --print-grants`: the roles that trueup needs, and nothing more.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::Result;

use crate::cli::Global;
use crate::commands::shared::jobs;
use crate::plan::source::Relation;
use crate::text::visible;

/// Role names, quoted where they are printed.
pub(in crate::commands) struct Roles<'a> {
    pub runner: &'a str,
    pub reader: &'a str,
}

/// Returns SQL that the owner of the schema and of the sources runs once, and again when a job reads another table.
pub(in crate::commands) fn sql(global: &Global, roles: &Roles<'_>) -> Result<String> {
    let (runner, reader) = (quoted(roles.runner), quoted(roles.reader));
    let limits = limits(&runner);
    let mut sql = format!(
        "-- Run by the owner of the schema `trueup` and of the source tables; running it again is harmless.\n\
         -- The runner reads the sources and writes `trueup.*`. It may define nothing.\n\
         do $$ begin\n  \
           if not exists (select from pg_roles where rolname = {}) then create role {runner} nologin; end if;\n  \
           if not exists (select from pg_roles where rolname = {}) then create role {reader} nologin; end if;\n\
         end $$;\n\
         {limits}\
         grant usage on schema trueup to {runner};\n\
         grant select, insert, update, delete on all tables in schema trueup to {runner};\n\
         grant usage on all sequences in schema trueup to {runner};\n\
         grant execute on function trueup.add_months(text, timestamptz[]), trueup.drop_months(text, timestamptz), \
         trueup.guarded(text, jsonb), trueup.analyze_built() to {runner};\n\
         alter default privileges in schema trueup grant select, insert, update, delete on tables to {runner};\n\
         alter default privileges in schema trueup grant usage on sequences to {runner};\n\
         revoke insert, update, delete on trueup._sqlx_migrations from {runner};\n",
        literal(roles.runner),
        literal(roles.reader),
    );
    let (tables, queries) = sources(global)?;
    let schemas: BTreeSet<String> = tables.iter().filter_map(|table| table.0.clone()).collect();
    sql.push_str("\n-- What the jobs read.\n");
    for schema in schemas {
        let _infallible = writeln!(sql, "grant usage on schema {schema} to {runner};");
    }
    for (_, table) in tables {
        let _infallible = writeln!(sql, "grant select on {table} to {runner};");
    }
    for job in queries {
        let _infallible =
            writeln!(sql, "-- The job `{}` reads a query: grant select on what it names.", visible::line(&job));
    }
    let views = [
        "run_history",
        "window_revisions",
        "window_history",
        "metric_revisions",
        "metric_history",
        "classification_history",
        "confusion_history",
        "calibration_history",
        "residual_history",
        "worst_samples",
        "verdict_history",
        "alert_history",
        "slo_history",
        "delivery_history",
        "annotation",
        "model_baseline",
        "job_about",
        "job_state",
        "alert_state",
        "incident_history",
        "incident_evidence_history",
        "incident_note_history",
        "alert_action_history",
        "silence_history",
        "notification_state",
        "receiver_state",
        "plan_history",
    ];
    let views: Vec<String> = views.iter().map(|view| format!("trueup.{view}")).collect();
    let _infallible = write!(
        sql,
        "\n-- Analysts read the views.\n\
         grant usage on schema trueup to {reader};\n\
         grant select on {} to {reader};\n\
         grant execute on function trueup.metric_history_as_of(timestamptz) to {reader};\n\
         \n-- For a deployment that says what it did: what mutes alerts or moves a baseline is not for everybody.\n\
         -- grant usage on schema trueup to DEPLOYMENT;\n\
         -- grant insert (job, kind, starts_at, ends_at, note) on trueup.annotation to DEPLOYMENT;\n\
         \n-- Then: grant {runner} to the user that trueup connects as, and {reader} to analysts.",
        views.join(", ")
    );
    Ok(sql)
}

/// Limits what a session of the runner may take from the server. trueup bounds time as well, but not temporary files: a
/// recursive query of a job would write until the disk is full.
fn limits(runner: &str) -> String {
    let set = |settings: &[&str]| {
        let lines: String = settings.iter().map(|one| format!("  alter role {runner} set {one};\n")).collect();
        let warning = format!("not set, for want of rights: {}", settings.join(", ").replace('\'', "''"));
        format!(
            "do $$ begin\n{lines}exception when insufficient_privilege then\n  raise warning '{warning}';\nend $$;\n"
        )
    };
    format!(
        "-- Limits of its sessions: a job may hold any query, so time and temporary files need an end. Settings of a role hold for who\n\
         -- connects as it and are not inherited: repeat them for the user that trueup connects as, if that is another role.\n\
         {}\
         -- Only a superuser may set this one. Without it a recursive query of a job writes until the server's disk is full.\n\
         {}",
        set(&[
            "statement_timeout = '1h'",
            "idle_in_transaction_session_timeout = '10min'",
            "idle_session_timeout = '1h'"
        ]),
        set(&["temp_file_limit = '10GB'"])
    )
}

/// Returns the tables that jobs read, with their schemas, and the names of jobs that read queries. Jobs with mistakes are left
/// out.
#[expect(clippy::type_complexity, reason = "two small sets that are used once")]
fn sources(global: &Global) -> Result<(BTreeSet<(Option<String>, String)>, BTreeSet<String>)> {
    let (mut tables, mut queries) = (BTreeSet::new(), BTreeSet::new());
    let settings = jobs::settings(global)?;
    // Before the first job exists there is nothing to read.
    let files = if global.jobs.exists() { jobs::load_all(&global.jobs, &settings)? } else { Vec::new() };
    for file in files {
        let Some(job) = file.job else { continue };
        for relation in [&job.predictions.relation, &job.labels.relation] {
            match relation {
                Relation::Table(table) => {
                    let (schema, name) = (quoted(table.schema.as_str()), quoted(table.table.as_str()));
                    tables.insert((Some(schema.clone()), format!("{schema}.{name}")));
                }
                Relation::Query(_) => _ = queries.insert(job.name.clone()),
            }
        }
    }
    Ok((tables, queries))
}

/// Quotes a name in SQL; hidden characters are written as Unicode escapes.
fn quoted(name: &str) -> String {
    match visible::has_hidden(name) {
        true => format!("U&\"{}\"", escaped(name).replace('"', "\"\"")),
        false => format!("\"{}\"", name.replace('"', "\"\"")),
    }
}

/// Quotes a text in SQL, with the same escapes.
fn literal(text: &str) -> String {
    match visible::has_hidden(text) {
        true => format!("U&'{}'", escaped(text).replace('\'', "''")),
        false => crate::domain::name::text_literal(text),
    }
}

fn escaped(text: &str) -> String {
    let escaped = |c: char| match c {
        '\\' => "\\\\".to_owned(),
        c if visible::has_hidden(&c.to_string()) => format!("\\+{:06x}", u32::from(c)),
        c => c.to_string(),
    };
    text.chars().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_quoted_and_what_nobody_sees_in_it_is_escaped() {
        assert_eq!((quoted("a\"b"), literal("a'b")), ("\"a\"\"b\"".to_owned(), "'a''b'".to_owned()));
        assert_eq!(quoted("a\n\u{202e}\"\\"), "U&\"a\\+00000a\\+00202e\"\"\\\\\"");
        assert_eq!(literal("\u{e0041}"), "U&'\\+0e0041'");
    }
}
