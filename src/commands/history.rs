//! `history`: measured metrics, newest last.

use std::process::ExitCode;

use anyhow::Result;

use super::output::{self, Table};
use super::{context, jobs};
use crate::cli::{Global, HistoryArgs, Output};
use crate::store::history::{self, HistoryFilter};

pub(super) async fn run(global: &Global, args: HistoryArgs) -> Result<ExitCode> {
    let settings = jobs::settings(global)?;
    let database = context::database(global, &settings).await?;
    let filter = HistoryFilter {
        job: args.job.clone(),
        metric: args.metric,
        window: args.window,
        cohort: args.cohort,
        as_of: args.as_of,
        limit: args.limit,
    };
    let rows = history::metrics(&mut *database.pool.acquire().await?, &filter).await?;
    let full = rows.len() == usize::try_from(args.limit).unwrap_or(usize::MAX);
    let mut table = Table::new(&[
        "window",
        "window_start",
        "window_end",
        "cohort",
        "version",
        "metric",
        "value",
        "ci_low",
        "ci_high",
        "labeled",
        "coverage",
        "status",
        "revision",
    ]);
    for row in rows {
        table.push(vec![
            row.window_name.into(),
            row.window_start.into(),
            row.window_end.into(),
            row.cohort.into(),
            row.model_version.into(),
            row.metric.into(),
            row.value.into(),
            row.ci_low.into(),
            row.ci_high.into(),
            row.labeled.into(),
            row.coverage.into(),
            row.status.into(),
            i64::from(row.revision).into(),
        ]);
    }
    if table.is_empty() && global.output == Output::Table {
        output::note(&format!("nothing is measured for `{}` that matches", args.job));
        return Ok(ExitCode::SUCCESS);
    }
    output::print(&table.render(global.output))?;
    if full && global.output == Output::Table {
        output::note(&format!(
            "the newest {} rows; --limit shows more, --metric, --window and --cohort narrow it",
            args.limit
        ));
    }
    Ok(ExitCode::SUCCESS)
}
