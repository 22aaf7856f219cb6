//! The part of a job's history that a page or an answer of the API shows: metric, window, cohort, version, range and moment.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use sqlx::PgConnection;

use super::error::PageError;
use super::params::Params;
use super::reading;
use super::view::overview::Job;
use super::view::series::Rows;
use super::view::{drawing, overview};
use crate::domain::about::About;
use crate::domain::name::text_literal;
use crate::store::read::overview as jobs;
use crate::store::read::series::{self as read, Selector};

/// Parameters that choose a part of the history.
pub const KNOWN: [&str; 7] = ["window", "metric", "cohort", "version", "from", "to", "as_of"];

/// Windows that are shown unless the address names a range: a day of quarter hours, three months of days.
const WINDOWS: i64 = 96;
/// Most windows that are read for one chart.
pub const MOST_WINDOWS: usize = 40_000;
/// Most revisions that are read: the first and the one that counts of each window, and one more, to know that there are more.
pub const MOST_REVISIONS: i64 = 80_001;
/// Annotations and windows of the usual correction that are read.
const MOST_MARKS: i64 = 60;
const FINISHED: i64 = 30;

/// A selected part of a job's history.
#[derive(Debug, Clone)]
pub struct Selection {
    pub job: Job,
    pub of: Selector,
    /// Rules whose limit the chart shows.
    pub rules: Vec<String>,
}

impl Selection {
    pub fn about(&self) -> &About {
        &self.job.about
    }
}

/// Finds a job by name.
pub async fn job(connection: &mut PgConnection, name: &str) -> Result<Job, PageError> {
    let rows = reading::all(connection, async |c| jobs::jobs(c, Some(name)).await).await?;
    overview::jobs(rows).pop().ok_or_else(|| {
        let name = crate::text::line::clipped(name, 60);
        PageError::NotFound(format!("There is no job `{name}`. The overview lists all jobs."))
    })
}

/// Reads the selection from the parameters of a request. Defaults: the main window and metric of the job, everything, and the
/// newest windows.
pub async fn select(connection: &mut PgConnection, name: &str, params: &Params) -> Result<Selection, PageError> {
    let job = job(connection, name).await?;
    let now = jobs::moment(connection).await?.now;
    let as_of = params.time("as_of", now)?;
    let window = match params.get("window") {
        Some(given) => known(given, job.about.windows.iter().map(|window| window.name.as_str()), "window")?,
        None => job.about.main_window().map(|window| window.name.clone()).unwrap_or_default(),
    };
    let metric = match params.get("metric") {
        Some(given) => known(given, job.about.metrics.iter().map(|metric| metric.name.as_str()), "metric")?,
        None => job.about.headline().map(|metric| metric.name.clone()).unwrap_or_default(),
    };
    let range = range(connection, (name, &window), params, (now, as_of)).await?;
    let of = Selector {
        job: name.to_owned(),
        window,
        metric,
        cohort: cohort(params)?,
        version: params.get("version").map(str::to_owned),
        from: range.0,
        to: range.1,
        as_of,
    };
    let rules = job.about.rules.iter().filter(|rule| rule.metric == of.metric && rule.window == of.window);
    let rules = rules.map(|rule| rule.name.clone()).collect();
    Ok(Selection { job, of, rules })
}

/// Returns the cohort that a request names. One with a hidden value does not exist on pages.
pub fn cohort(params: &Params) -> Result<String, PageError> {
    let cohort = params.get("cohort").unwrap_or("all");
    if reading::hides(cohort) {
        return Err(PageError::NotFound("The values of this dimension are shown in SQL only.".to_owned()));
    }
    Ok(cohort.to_owned())
}

/// Reads the selection of one kind of window by its name in an address. Its range is empty.
pub async fn window(
    connection: &mut PgConnection,
    name: &str,
    kind: &str,
    params: &Params,
) -> Result<Selection, PageError> {
    let job = job(connection, name).await?;
    let now = jobs::moment(connection).await?.now;
    let window = known(kind, job.about.windows.iter().map(|window| window.name.as_str()), "window")?;
    let metric = match params.get("metric") {
        Some(given) => known(given, job.about.metrics.iter().map(|metric| metric.name.as_str()), "metric")?,
        None => job.about.headline().map(|metric| metric.name.clone()).unwrap_or_default(),
    };
    let of = Selector {
        job: name.to_owned(),
        window,
        metric,
        cohort: cohort(params)?,
        version: params.get("version").map(str::to_owned),
        from: now,
        to: now,
        as_of: params.time("as_of", now)?,
    };
    let rules = job.about.rules.iter().filter(|rule| rule.metric == of.metric && rule.window == of.window);
    let rules = rules.map(|rule| rule.name.clone()).collect();
    Ok(Selection { job, of, rules })
}

/// Returns the range of the ends of windows. Without `from` and `to`: the newest windows of the kind, not a number of hours,
/// so that a daily job shows three months and a job of quarter hours one day.
async fn range(
    connection: &mut PgConnection,
    of: (&str, &str),
    params: &Params,
    (now, as_of): (DateTime<Utc>, Option<DateTime<Utc>>),
) -> Result<(DateTime<Utc>, DateTime<Utc>), PageError> {
    let (from, to) = (params.time("from", now)?, params.time("to", now)?);
    if let (Some(from), Some(to)) = (from, to)
        && from >= to
    {
        return Err(PageError::BadRequest("`from` is not before `to`".to_owned()));
    }
    let until = to.or(as_of);
    match from {
        Some(from) => Ok((from, until.unwrap_or(now))),
        None => {
            let newest = read::newest(connection, of, until, WINDOWS).await?;
            let margin = chrono::TimeDelta::milliseconds(1);
            Ok(newest.map_or((until.unwrap_or(now), until.unwrap_or(now)), |(first, last)| (first - margin, last)))
        }
    }
}

/// Finds a name that the job declares. A window may be written `rolling 24h` or `rolling-24h`.
pub fn known<'a>(given: &str, names: impl Iterator<Item = &'a str> + Clone, noun: &str) -> Result<String, PageError> {
    if let Some(name) = names.clone().find(|name| *name == given || name.replace(' ', "-") == given) {
        return Ok(name.to_owned());
    }
    let names: Vec<&str> = names.collect();
    let given = crate::text::line::clipped(given, 60);
    Err(PageError::NotFound(format!("The job has no {noun} `{given}`; it has {}.", names.join(", "))))
}

/// Reads everything that a chart of the selection shows.
pub async fn rows(connection: &mut PgConnection, selection: &Selection) -> sqlx::Result<Rows> {
    let of = &selection.of;
    let range = (of.from, of.to);
    Ok(Rows {
        revisions: read::revisions(connection, of, MOST_REVISIONS).await?,
        verdicts: read::verdicts(connection, of, &selection.rules).await?,
        transitions: read::transitions(connection, of, &selection.rules).await?,
        annotations: read::annotations(connection, Some(&of.job), (Some(of.from), Some(of.to)), MOST_MARKS).await?,
        silences: read::silences(connection, &of.job, range).await?,
        finished: read::finished(connection, of, FINISHED).await?,
    })
}

/// The query behind the chart, for analysts.
pub fn sql(of: &Selector) -> String {
    use super::view::panel::{equals, time_literal};
    let source = match of.as_of {
        Some(at) => format!("trueup.metric_history_as_of({})", time_literal(at)),
        None => "trueup.metric_history".to_owned(),
    };
    format!(
        "select window_end, value, ci_low, ci_high, labeled, coverage, status, revision\nfrom {source}\nwhere job = {} and \
         window_name = {} and metric = {}\n  and cohort = {} and {}\n  and window_end > {} and window_end <= {}\norder by window_end;",
        text_literal(&of.job),
        text_literal(&of.window),
        text_literal(&of.metric),
        text_literal(&of.cohort),
        equals("model_version", of.version.as_deref()),
        time_literal(of.from),
        time_literal(of.to)
    )
}

/// Builds the drawing of the selection.
pub fn chart(selection: &Selection, rows: &Rows, zone: Tz) -> crate::chart::Series {
    drawing::chart(&selection.of, selection.about(), rows, zone)
}
