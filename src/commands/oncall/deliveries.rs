//! `deliveries`: notifications and their outcomes.

use std::process::ExitCode;

use anyhow::Result;

use crate::cli::{DeliveriesArgs, DeliveriesCommand, Global, Output};
use crate::commands::output::{self, Table};
use crate::commands::shared::{database, jobs};
use crate::commands::user_error;
use crate::store::outbox::retry;
use crate::store::read::deliveries::{self, DeliveryFilter};

pub(in crate::commands) async fn run(global: &Global, args: &DeliveriesArgs) -> Result<ExitCode> {
    let settings = jobs::settings(global)?;
    let database = database::database(global, &settings).await?;
    let filter = DeliveryFilter {
        job: args.job.clone(),
        receiver: args.receiver.clone(),
        state: args.state.map(|state| state.as_str().to_owned()),
        limit: args.limit,
    };
    let rows = deliveries::list(&mut *database.pool.acquire().await?, &filter).await?;
    let mut table =
        Table::new(&["created", "state", "kind", "job", "receiver", "attempts", "next_attempt", "failure", "id"]);
    for row in rows {
        table.push(vec![
            row.created_at.into(),
            row.state.into(),
            row.kind.into(),
            row.job.into(),
            row.receiver.into(),
            i64::from(row.attempt).into(),
            row.next_attempt_at.into(),
            row.failure.into(),
            row.id.to_string().into(),
        ]);
    }
    if table.is_empty() && global.output == Output::Table {
        output::print("no messages")?;
    } else {
        output::print_table(&table, global.output)?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(in crate::commands) async fn act(global: &Global, command: &DeliveriesCommand) -> Result<ExitCode> {
    let DeliveriesCommand::Retry { ids, receiver } = command;
    let settings = jobs::settings(global)?;
    let database = database::database(global, &settings).await?;
    let mut connection = database.pool.acquire().await?;
    let retried = retry::retry(&mut connection, ids, receiver.as_deref()).await?;
    drop(connection);
    if retried == 0 {
        return Err(user_error(
            "none of these messages is dead or pending; `trueup deliveries --state dead` lists the dead ones",
        ));
    }
    let receivers = database::receivers(&settings);
    let mut summary = crate::dispatch::send::Summary::default();
    for name in crate::dispatch::send::usable_due(&database.pool, &receivers).await? {
        summary = summary.plus(crate::dispatch::send::drain(&database.pool, &receivers, &name, None, || false).await?);
    }
    output::note(&format!(
        "{retried} retried: {} sent, {} to be retried, {} given up",
        summary.sent, summary.retried, summary.dead
    ));
    Ok(ExitCode::SUCCESS)
}
