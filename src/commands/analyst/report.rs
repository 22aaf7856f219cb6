//! `report`: what was promised and kept in a month or a week, as one file.

use std::process::ExitCode;

use anyhow::Result;

use crate::cli::{Global, ReportArgs, ReportForm};
use crate::commands::output;
use crate::commands::shared::{database, jobs};
use crate::commands::user_error;
use crate::web::{ReportFormat, ReportRange, report};

pub(in crate::commands) async fn run(global: &Global, args: &ReportArgs) -> Result<ExitCode> {
    let settings = jobs::settings(global)?;
    let zone = settings.web.as_ref().map_or(chrono_tz::UTC, |web| web.timezone);
    let database = database::database(global, &settings).await?;
    let range = match (&args.month, &args.week) {
        (Some(month), _) => ReportRange::Month(month.clone()),
        (None, Some(week)) => ReportRange::Week(week.clone()),
        (None, None) => ReportRange::LastMonth,
    };
    let format = match args.format {
        ReportForm::Html => ReportFormat::Html,
        ReportForm::Md => ReportFormat::Markdown,
    };
    let text = report(&database.pool, &range, format, zone).await.map_err(user_error)?;
    output::print_lines(text.trim_end())?;
    Ok(ExitCode::SUCCESS)
}
