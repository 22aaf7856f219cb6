//! `history`: measured metrics, newest last.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::Result;
use sqlx::PgConnection;

use crate::chart::sparkline;
use crate::cli::{Global, HistoryArgs, Output};
use crate::commands::output::{self, Table};
use crate::commands::shared::{database, jobs};
use crate::commands::user_error;
use crate::spec::diagnostic::did_you_mean;
use crate::store::read::history::{self, HistoryFilter, MetricRow};
use crate::text::visible;

pub(in crate::commands) async fn run(global: &Global, args: &HistoryArgs) -> Result<ExitCode> {
    let settings = jobs::settings(global)?;
    let database = database::database(global, &settings).await?;
    let filter = HistoryFilter {
        job: args.job.clone(),
        metric: args.metric.clone(),
        window: args.window.clone(),
        cohort: args.cohort.clone(),
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
    let trends = trends(&rows);
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
    if table.is_empty() {
        unknown(&mut *database.pool.acquire().await?, args).await?;
        if global.output == Output::Table {
            output::note(&format!("no measurements of `{}` match", args.job));
            return Ok(ExitCode::SUCCESS);
        }
    }
    output::print_table(&table, global.output)?;
    if global.output == Output::Table && !trends.is_empty() {
        output::print_lines(&format!("\n{}", trends.join("\n")))?;
    }
    if full && global.output == Output::Table {
        output::note(&format!(
            "the newest {} rows; --limit shows more, --metric, --window and --cohort narrow it",
            args.limit
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// Rejects a name that is not in the history: it is a mistake, not a history without rows.
async fn unknown(connection: &mut PgConnection, args: &HistoryArgs) -> Result<()> {
    let known = history::known(connection, &args.job).await?;
    let Some(known) = known else {
        let jobs: Vec<String> = history::status(connection).await?.into_iter().map(|row| row.job).collect();
        let hint =
            if jobs.is_empty() { "no job has run yet".to_owned() } else { format!("known jobs: {}", jobs.join(", ")) };
        return Err(user_error(format!("there are no measurements of a job `{}`; {hint}", args.job)));
    };
    for (what, asked, there) in [
        ("window", &args.window, &known.windows),
        ("metric", &args.metric, &known.metrics),
        ("cohort", &args.cohort, &known.cohorts),
    ] {
        if let Some(asked) = asked.as_ref().filter(|asked| !there.is_empty() && !there.contains(asked)) {
            let near = did_you_mean(asked, there.iter().map(String::as_str));
            let hint =
                near.map_or_else(|| format!("it has {}", there.join(", ")), |near| format!("did you mean `{near}`?"));
            return Err(user_error(format!("the history of `{}` has no {what} `{asked}`; {hint}", args.job)));
        }
    }
    Ok(())
}

/// Minimum windows of a line, and maximum lines.
const FEW: usize = 3;
const MOST_LINES: usize = 8;

/// Draws each series of the rows as a line of blocks, the oldest value first.
fn trends(rows: &[MetricRow]) -> Vec<String> {
    let mut series: BTreeMap<String, Vec<Option<f64>>> = BTreeMap::new();
    for row in rows {
        let version = row.model_version.as_ref().map_or(String::new(), |version| format!(", version {version}"));
        let name = visible::line(&format!("{}, {}, {}{version}", row.metric, row.window_name, row.cohort));
        series.entry(name).or_default().push(row.value);
    }
    let long = series.into_iter().filter(|(_, values)| values.len() >= FEW).take(MOST_LINES);
    let line = |(name, values): (String, Vec<Option<f64>>)| {
        let most = values.iter().flatten().copied().fold(f64::MIN_POSITIVE, f64::max);
        format!("{} {name}", sparkline::text(&values, most))
    };
    long.map(line).collect()
}
