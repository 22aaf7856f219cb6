//! The report for executives: read once, shown as a page, as one file, or as Markdown.

use std::fmt;

use askama::Template;
use chrono_tz::Tz;
use sqlx::{PgConnection, PgPool};

use super::assets;
use super::error::PageError;
use super::reading;
use super::view::executive::{self as view, Line, Rows};
use super::view::overview::{self, Job};
use super::view::period::Period;
use super::view::words::{self, When};
use crate::store::read::executive as read;
use crate::store::read::firings::{self, FiringFilter};
use crate::store::read::overview as jobs;

/// Windows of a trend, cohorts of a job, and pages that are read.
const MOST_DAYS: i64 = 400;
const MOST_COHORTS: i64 = 4;
const MOST_PAGES: i64 = 5_000;

/// A report.
#[derive(Debug, Clone)]
pub(super) struct Report {
    pub name: String,
    pub from: When,
    pub to: When,
    pub zone: Tz,
    pub lines: Vec<Line>,
    pub owners: Vec<String>,
    pub broken: usize,
    pub kept: usize,
}

/// Reads a report, of the jobs of one owner or of all.
pub(super) async fn read(
    connection: &mut PgConnection,
    period: &Period,
    owner: Option<&str>,
    zone: Tz,
) -> Result<Report, PageError> {
    let all = overview::jobs(reading::all(connection, async |c| jobs::jobs(c, None).await).await?);
    let mut owners: Vec<String> = all.iter().filter_map(|job| job.about.owner.clone()).collect();
    owners.sort();
    owners.dedup();
    let is_wanted = |job: &Job| owner.is_none_or(|owner| job.about.owner.as_deref() == Some(owner));
    let mine: Vec<Job> = all.into_iter().filter(is_wanted).collect();
    let rows = rows(connection, &mine, period).await?;
    let lines = view::lines(&mine, &rows);
    let count = |wanted| lines.iter().filter(|line| line.is_kept == Some(wanted)).count();
    Ok(Report {
        name: period.name.clone(),
        from: words::when(period.from, zone),
        to: words::when(period.to, zone),
        zone,
        broken: count(false),
        kept: count(true),
        lines,
        owners,
    })
}

async fn rows(connection: &mut PgConnection, mine: &[Job], period: &Period) -> sqlx::Result<Rows> {
    let wanted = view::wanted(mine);
    let (now, before) = ((period.from, period.to), (period.before, period.from));
    let slos = (wanted.slos.0.as_slice(), wanted.slos.1.as_slice());
    let rules = (wanted.rules.0.as_slice(), wanted.rules.1.as_slice());
    let pages = FiringFilter {
        jobs: mine.iter().map(|job| job.row.job.clone()).collect(),
        severity: Some("page".to_owned()),
        from: period.from,
        to: period.to,
        limit: MOST_PAGES,
        ..FiringFilter::default()
    };
    Ok(Rows {
        days: reading::all(connection, async |c| read::days(c, &wanted.trend, now, MOST_DAYS).await).await?,
        pooled: reading::all(connection, async |c| read::pooled(c, &wanted.pooled, now, MOST_COHORTS).await).await?,
        pooled_before: reading::all(connection, async |c| read::pooled(c, &wanted.pooled, before, 1).await).await?,
        promises: read::promises(connection, slos, now).await?,
        promises_before: read::promises(connection, slos, before).await?,
        kept: reading::all(connection, async |c| read::kept(c, rules, now).await).await?,
        kept_before: reading::all(connection, async |c| read::kept(c, rules, before).await).await?,
        pages: firings::list(connection, &pages).await?,
    })
}

/// The range of a report.
#[derive(Debug, Clone)]
pub enum ReportRange {
    /// `2026-10`
    Month(String),
    /// `2026-W41`
    Week(String),
    /// The month before this one.
    LastMonth,
}

/// The form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportFormat {
    Html,
    Markdown,
}

#[derive(Template)]
#[template(path = "report.html")]
struct ReportFile {
    report: Report,
    css: Css,
    is_linked: bool,
}

/// The style sheet within a page: our own text, which needs no escaping.
struct Css(&'static str);

impl fmt::Display for Css {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl askama::filters::HtmlSafe for Css {}

/// Writes a report as one file that needs no other.
///
/// # Errors
///
/// In words: the range is none, or the database could not be read.
pub async fn report(pool: &PgPool, range: &ReportRange, format: ReportFormat, zone: Tz) -> Result<String, String> {
    let key = uuid::Uuid::new_v4();
    let read = reading::snapshot_of(pool, key.as_bytes(), async |connection| {
        let period = match range {
            ReportRange::Month(month) => Period::month(month, zone),
            ReportRange::Week(week) => Period::week(week, zone),
            ReportRange::LastMonth => {
                let now = jobs::moment(connection).await?.now;
                Period::month(&Period::last_month(now, zone), zone)
            }
        };
        let period = period
            .ok_or_else(|| PageError::BadRequest("a month is written `2026-10`, a week `2026-W41`".to_owned()))?;
        read(connection, &period, None, zone).await
    });
    let report = read.await.map_err(|failure| failure.words().to_owned())?;
    match format {
        ReportFormat::Markdown => {
            let range = format!("{} to {}, {}", report.from.text, report.to.text, zone.name());
            Ok(view::markdown(&report.name, &range, &report.lines))
        }
        ReportFormat::Html => {
            let page = ReportFile { report, css: Css(assets::css()), is_linked: false };
            page.render().map_err(|failure| failure.to_string())
        }
    }
}
