//! `alerts`: what is open.

use std::process::ExitCode;

use anyhow::Result;

use super::output::{self, Table};
use super::{context, jobs};
use crate::cli::{Global, Output};
use crate::store::history;

pub(super) async fn run(global: &Global, job: Option<&str>, all: bool) -> Result<ExitCode> {
    let settings = jobs::settings(global)?;
    let database = context::database(global, &settings).await?;
    let rows = history::alerts(&mut *database.pool.acquire().await?, job, all).await?;
    let mut table =
        Table::new(&["state", "severity", "job", "rule", "cohort", "version", "value", "limit", "since", "changed"]);
    for row in rows {
        table.push(vec![
            row.state.into(),
            row.severity.into(),
            row.job.into(),
            row.rule.into(),
            row.cohort.into(),
            row.model_version.into(),
            row.value.into(),
            row.limit_value.into(),
            row.since.into(),
            row.changed_at.into(),
        ]);
    }
    if table.is_empty() && global.output == Output::Table {
        output::print(if all { "there are no alerts" } else { "no alert is open" })?;
    } else {
        output::print(&table.render(global.output))?;
    }
    Ok(ExitCode::SUCCESS)
}
