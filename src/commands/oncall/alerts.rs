//! `alerts`: lists alerts, and acknowledges or resolves them.

use std::process::ExitCode;

use anyhow::Result;

use crate::cli::{ActArgs, AlertsCommand, Global, Output};
use crate::commands::output::{self, Table};
use crate::commands::shared::{database, jobs};
use crate::commands::user_error;
use crate::dispatch::acknowledge::{self, Kind, ManualAction};
use crate::dispatch::send;
use crate::store::read::history;

pub(in crate::commands) async fn run(global: &Global, job: Option<&str>, all: bool) -> Result<ExitCode> {
    let settings = jobs::settings(global)?;
    let database = database::database(global, &settings).await?;
    let rows = history::alerts(&mut *database.pool.acquire().await?, job, all).await?;
    let mut table = Table::new(&[
        "id", "state", "severity", "job", "rule", "cohort", "version", "value", "limit", "since", "incident", "told",
    ]);
    for row in rows {
        let told = match (row.acked_by, row.suppressed_by, row.dispatched) {
            (Some(who), ..) => format!("acknowledged by {who}"),
            (None, Some(why), _) => format!("no: {why}"),
            (None, None, true) if row.waiting.is_empty() => "yes".to_owned(),
            (None, None, true) => format!("not yet: {} (`trueup deliveries`)", row.waiting.join(", ")),
            (None, None, false) => String::new(),
        };
        table.push(vec![
            row.id.into(),
            row.state.into(),
            row.severity.into(),
            row.job.into(),
            row.rule.into(),
            row.cohort.into(),
            row.model_version.into(),
            row.value.into(),
            row.limit_value.into(),
            row.since.into(),
            row.incident_id.into(),
            told.into(),
        ]);
    }
    if table.is_empty() && global.output == Output::Table {
        output::print(if all { "there are no alerts" } else { "no alert is open" })?;
    } else {
        output::print_table(&table, global.output)?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(in crate::commands) async fn act(global: &Global, command: &AlertsCommand) -> Result<ExitCode> {
    let (kind, args): (Kind, &ActArgs) = match command {
        AlertsCommand::Ack(args) => (Kind::Acknowledge, args),
        AlertsCommand::Resolve(args) => (Kind::Resolve, args),
    };
    if kind == Kind::Resolve && args.note.trim().is_empty() {
        return Err(user_error("give the reason with `--note`; it is kept in the history"));
    }
    let settings = jobs::settings(global)?;
    let database = database::database(global, &settings).await?;
    let author = database::author(args.by.as_deref());
    let incidents: Vec<i64> = args.incident.into_iter().collect();
    let what = ManualAction { kind, author: &author, note: &args.note };
    let acted = acknowledge::act(&database.pool, &args.ids, &incidents, what, &settings.routing).await;
    let acted = acted.map_err(|error| anyhow::anyhow!("the alerts could not be changed: {error}"))?;
    if acted.is_empty() {
        return Err(user_error("none of these alerts is firing; `trueup alerts` lists those that are, with their ids"));
    }
    for alert in &acted {
        let word = if kind == Kind::Acknowledge { "acknowledged" } else { "resolved" };
        output::note(&format!("{word}: {} of {} for {} (alert {})", alert.rule, alert.job, alert.cohort, alert.id));
    }
    // Notify the receivers now; what cannot be delivered waits for `serve`.
    let receivers = database::receivers(&settings);
    for name in send::usable_due(&database.pool, &receivers).await? {
        send::drain(&database.pool, &receivers, &name, None, || false).await?;
    }
    Ok(ExitCode::SUCCESS)
}
