//! `migrate --print-grants`: the roles that trueup needs, and nothing beyond that.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::Result;

use super::jobs::{self, JobFile};
use crate::cli::Global;
use crate::plan::source::Relation;

/// Roles by name, quoted where they are printed.
pub(super) struct Roles<'a> {
    pub runner: &'a str,
    pub reader: &'a str,
}

/// SQL that the owner of the schema and of the sources runs once, and again when a job reads another table.
pub(super) fn sql(global: &Global, roles: &Roles<'_>) -> Result<String> {
    let (runner, reader) = (quoted(roles.runner), quoted(roles.reader));
    let mut sql = format!(
        "-- Run by the owner of the schema `trueup` and of the source tables; running it again is harmless.\n\
         -- The runner reads the sources and writes `trueup.*`. It may define nothing.\n\
         do $$ begin\n  \
           if not exists (select from pg_roles where rolname = {}) then create role {runner} nologin; end if;\n  \
           if not exists (select from pg_roles where rolname = {}) then create role {reader} nologin; end if;\n\
         end $$;\n\
         grant usage on schema trueup to {runner};\n\
         grant select, insert, update, delete on all tables in schema trueup to {runner};\n\
         grant usage on all sequences in schema trueup to {runner};\n\
         grant execute on function trueup.add_months(text, timestamptz[]), trueup.drop_months(text, timestamptz) to {runner};\n\
         alter default privileges in schema trueup grant select, insert, update, delete on tables to {runner};\n\
         alter default privileges in schema trueup grant usage on sequences to {runner};\n\
         grant usage on schema public to {runner};\n\
         grant select on public._sqlx_migrations to {runner};\n",
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
        let _infallible = writeln!(sql, "-- The job `{job}` reads a query: grant select on what it names.");
    }
    let views = [
        "run_history",
        "window_revisions",
        "window_history",
        "metric_revisions",
        "metric_history",
        "residual_history",
        "worst_samples",
        "verdict_history",
        "alert_history",
        "slo_history",
        "delivery_history",
        "annotation",
        "model_baseline",
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

/// Tables that jobs read, with their schemas, and the names of jobs that read queries. Jobs with mistakes are left out.
#[expect(clippy::type_complexity, reason = "two small sets that are used once")]
fn sources(global: &Global) -> Result<(BTreeSet<(Option<String>, String)>, BTreeSet<String>)> {
    let (mut tables, mut queries) = (BTreeSet::new(), BTreeSet::new());
    let settings = jobs::settings(global)?;
    // Before the first job there is nothing to read.
    let files = if global.jobs.exists() { jobs::files(&global.jobs)? } else { Vec::new() };
    for path in files {
        let Some(job) = JobFile::load(&path, &settings)?.job else { continue };
        for relation in [&job.predictions.relation, &job.labels.relation] {
            match relation {
                Relation::Table(table) => _ = tables.insert((Some(table.schema.to_string()), table.to_string())),
                Relation::Query(_) => _ = queries.insert(job.name.clone()),
            }
        }
    }
    Ok((tables, queries))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    crate::plan::name::text_literal(text)
}
