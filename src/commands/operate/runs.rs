//! `runs`: what ran, when, for how long, and how it ended.

use std::process::ExitCode;

use anyhow::Result;

use crate::cli::{Global, Output};
use crate::commands::output::{self, Table};
use crate::commands::shared::{database, jobs};
use crate::store::read::history;

pub(in crate::commands) async fn run(global: &Global, job: Option<&str>, limit: i64) -> Result<ExitCode> {
    let settings = jobs::settings(global)?;
    let database = database::database(global, &settings).await?;
    let rows = history::runs(&mut *database.pool.acquire().await?, job, limit).await?;
    let mut table = Table::new(&["scheduled", "job", "state", "seconds", "rows", "written", "why"]);
    for row in rows {
        table.push(vec![
            row.scheduled_for.into(),
            row.job.into(),
            row.state.into(),
            row.seconds.into(),
            row.rows_read.into(),
            row.windows_written.into(),
            row.why.into(),
        ]);
    }
    if table.is_empty() && global.output == Output::Table {
        output::print("there are no runs")?;
    } else {
        output::print_table(&table, global.output)?;
    }
    Ok(ExitCode::SUCCESS)
}
