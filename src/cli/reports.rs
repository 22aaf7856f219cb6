//! Arguments of reports.

use clap::{Args, ValueEnum};

/// Arguments of `report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// A month, such as 2026-10. Default: the last one
    #[arg(long, value_name = "MONTH", conflicts_with = "week")]
    pub month: Option<String>,
    /// A week, such as 2026-W41
    #[arg(long, value_name = "WEEK")]
    pub week: Option<String>,
    /// Form of the report: a page that needs no other file, or Markdown
    #[arg(long, value_enum, default_value_t = ReportForm::Html)]
    pub format: ReportForm,
}

/// Form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportForm {
    Html,
    Md,
}
