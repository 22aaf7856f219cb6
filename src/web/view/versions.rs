//! Model versions against each other: through time, on the same windows, and on the same keys.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::drawing::window_link;
use super::panel::time_literal;
use super::words::{self, When};
use crate::chart::{Line, Missing, Point};
use crate::domain::about::{About, AboutBetter, AboutMetric};
use crate::domain::name::text_literal;
use crate::store::read::cohorts::CellRow;
use crate::store::read::series::Selector;
use crate::store::read::versions::FirstRow;
use crate::text::links::Links;

/// Versions of one cohort in the windows of a range.
#[derive(Debug, Clone, Default)]
pub struct Versions {
    pub ends: Vec<DateTime<Utc>>,
    /// All versions together.
    pub together: BTreeMap<DateTime<Utc>, CellRow>,
    /// By version.
    pub by_name: BTreeMap<String, BTreeMap<DateTime<Utc>, CellRow>>,
}

impl Versions {
    pub fn new(ends: Vec<DateTime<Utc>>, cells: Vec<CellRow>) -> Self {
        let mut versions = Self { ends, ..Self::default() };
        for cell in cells {
            let track = match &cell.model_version {
                Some(version) => versions.by_name.entry(version.clone()).or_default(),
                None => &mut versions.together,
            };
            track.insert(cell.window_end, cell);
        }
        versions
    }

    /// Names, the newest version first: the one whose first window in the range is the latest; of equals the one with fewer predictions.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<&String> = self.by_name.keys().collect();
        let first = |name: &String| self.by_name[name].keys().next().copied();
        let size = |name: &String| self.by_name[name].values().map(|cell| cell.predictions).sum::<i64>();
        names.sort_by(|a, b| first(b).cmp(&first(a)).then(size(a).cmp(&size(b))).then(b.cmp(a)));
        names.into_iter().cloned().collect()
    }

    /// The version to compare with: the one with the most predictions besides another one.
    pub fn incumbent(&self, besides: Option<&str>) -> Option<String> {
        let others = self.by_name.iter().filter(|(name, _)| Some(name.as_str()) != besides);
        let size = |cells: &BTreeMap<DateTime<Utc>, CellRow>| cells.values().map(|cell| cell.predictions).sum::<i64>();
        others
            .max_by_key(|(name, cells)| (size(cells), std::cmp::Reverse((*name).clone())))
            .map(|(name, _)| name.clone())
    }

    fn cell(&self, name: &str, end: DateTime<Utc>) -> Option<&CellRow> {
        self.by_name.get(name)?.get(&end)
    }
}

/// Lines of the chart, the version that the others are compared with first.
pub fn chart(
    versions: &Versions,
    names: &[String],
    metric: Option<&AboutMetric>,
    zone: Tz,
    of: &Selector,
) -> Vec<Line> {
    let links = Links::default();
    let point = |name: &String, end: &DateTime<Utc>| {
        let Some(cell) = versions.cell(name, *end) else {
            return Point { start: *end, end: *end, missing: Some(Missing::NoPredictions), ..Point::default() };
        };
        let of = Selector { version: Some(name.clone()), ..of.clone() };
        Point {
            start: cell.window_start,
            end: *end,
            value: cell.value,
            interval: cell.ci_low.zip(cell.ci_high),
            is_provisional: cell.status != "final" && cell.value.is_some(),
            labeled: cell.labeled,
            predictions: cell.predictions,
            missing: cell.value.is_none().then_some(Missing::NoLabels),
            link: Some(window_link(&links, &of, *end)),
            title: format!(
                "{name}, {}: {}, {} labeled of {}",
                words::when(*end, zone).text,
                words::value(cell.value, metric),
                words::count(cell.labeled),
                words::count(cell.predictions)
            ),
            ..Point::default()
        }
    };
    let line = |name: &String| Line {
        name: crate::text::line::clipped(name, 24),
        points: versions.ends.iter().map(|end| point(name, end)).collect(),
    };
    names.iter().map(line).collect()
}

/// How a metric of several windows becomes one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pooled {
    /// The square root of the mean of squares, by samples.
    Root,
    /// The mean by samples.
    Mean,
    /// No sum of windows says it.
    No,
}

fn pooled(metric: &str) -> Pooled {
    match metric {
        "rmse" => Pooled::Root,
        "mse" | "mae" | "bias" | "huber" | "smape" | "within_tolerance" | "outlier_rate" | "over_rate"
        | "under_rate" => Pooled::Mean,
        _ => Pooled::No,
    }
}

/// Two versions on the windows in which both have a value.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Compared {
    pub windows: usize,
    pub value: Option<f64>,
    pub against: Option<f64>,
    pub labeled: i64,
    pub against_labeled: i64,
}

/// Compares two versions on the same windows. Windows that overlap a later one are left out, so that no pair counts twice. A metric
/// that is no mean is that of the newest such window.
pub fn compare(versions: &Versions, metric: &str, name: &str, against: &str) -> Compared {
    let mut pairs: Vec<(&CellRow, &CellRow)> = Vec::new();
    for end in versions.ends.iter().rev() {
        let both = versions.cell(name, *end).zip(versions.cell(against, *end));
        let Some((a, b)) = both.filter(|(a, b)| a.value.is_some() && b.value.is_some()) else { continue };
        if pairs.last().is_none_or(|(last, _)| *end <= last.window_start) {
            pairs.push((a, b));
        }
        if pooled(metric) == Pooled::No {
            break;
        }
    }
    let (of, other): (Vec<&CellRow>, Vec<&CellRow>) = pairs.into_iter().unzip();
    Compared {
        windows: of.len(),
        value: pool(metric, &of),
        against: pool(metric, &other),
        labeled: of.iter().map(|cell| cell.labeled).sum(),
        against_labeled: other.iter().map(|cell| cell.labeled).sum(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
fn pool(metric: &str, cells: &[&CellRow]) -> Option<f64> {
    let how = pooled(metric);
    if how == Pooled::No || cells.len() == 1 {
        return cells.first()?.value;
    }
    let total: i64 = cells.iter().map(|cell| cell.labeled).sum();
    let square = |value: f64| if how == Pooled::Root { value * value } else { value };
    let sum: f64 = cells.iter().filter_map(|cell| Some(square(cell.value?) * cell.labeled as f64)).sum();
    let mean = (total > 0).then(|| sum / total as f64)?;
    Some(if how == Pooled::Root { mean.sqrt() } else { mean })
}

/// A version as a line.
#[derive(Debug, Clone)]
pub struct VersionLine {
    pub name: String,
    /// The version on the chart of the job.
    pub link: String,
    /// The errors of its predictions.
    pub debug: String,
    pub first: Option<When>,
    /// The version that the others are compared with.
    pub is_base: bool,
    pub is_chosen: bool,
    pub traffic: String,
    pub windows: String,
    pub value: String,
    pub against: String,
    pub labeled: String,
    pub change: String,
    /// `better`, `worse` or nothing.
    pub class: &'static str,
}

/// Returns the versions compared with one of them.
pub fn lines(
    versions: &Versions,
    names: &[String],
    (chosen, against): (Option<&str>, &str),
    first: &[FirstRow],
    (of, about, zone): (&Selector, &About, Tz),
) -> Vec<VersionLine> {
    let metric = about.metric(&of.metric);
    let newest = versions.ends.last().copied();
    let total = newest.and_then(|end| versions.together.get(&end)).map_or(0, |cell| cell.predictions);
    let line = |name: &String| {
        let compared = compare(versions, &of.metric, name, against);
        let mine = newest.and_then(|end| versions.cell(name, end)).map_or(0, |cell| cell.predictions);
        let is_base = name == against;
        let seen = first.iter().find(|row| row.version == *name).and_then(|row| row.window_start);
        #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
        let traffic = if total > 0 { words::share(mine as f64 / total as f64) } else { "–".to_owned() };
        VersionLine {
            name: name.clone(),
            link: crate::text::links::with_query(
                &Links::default().job(&of.job),
                &[("window", Some(of.window.as_str())), ("metric", Some(of.metric.as_str())), ("version", Some(name))],
            ),
            debug: crate::text::links::with_query(
                &Links::default().job_part(&of.job, "debug"),
                &[("version", Some(name))],
            ),
            first: seen.map(|at| words::when(at, zone)),
            is_base,
            is_chosen: Some(name.as_str()) == chosen,
            traffic,
            windows: words::count(i64::try_from(compared.windows).unwrap_or(i64::MAX)),
            value: words::value(compared.value, metric),
            against: if is_base { String::new() } else { words::value(compared.against, metric) },
            labeled: words::count(compared.labeled),
            change: if is_base { String::new() } else { super::window::change(compared.against, compared.value) },
            class: if is_base { "" } else { direction(&compared, metric) },
        }
    };
    names.iter().map(line).collect()
}

fn direction(compared: &Compared, metric: Option<&AboutMetric>) -> &'static str {
    let (Some(value), Some(against), Some(metric)) = (compared.value, compared.against, metric) else { return "" };
    let (value, against) = match metric.better {
        AboutBetter::Lower => (value, against),
        AboutBetter::Higher => (-value, -against),
        AboutBetter::Zero => (value.abs(), against.abs()),
        AboutBetter::Neither => return "",
    };
    match value.partial_cmp(&against) {
        Some(std::cmp::Ordering::Less) => "better",
        Some(std::cmp::Ordering::Greater) => "worse",
        _ => "",
    }
}

/// A window of the chart as a row.
#[derive(Debug, Clone)]
pub struct WindowRow {
    pub end: When,
    /// One per version: the address of the window and the value.
    pub cells: Vec<(Option<String>, String)>,
}

/// Returns the chart as a table, newest first.
pub fn table(versions: &Versions, names: &[String], (of, about, zone): (&Selector, &About, Tz)) -> Vec<WindowRow> {
    let metric = about.metric(&of.metric);
    let links = Links::default();
    let cell = |name: &String, end: DateTime<Utc>| match versions.cell(name, end) {
        None => (None, "–".to_owned()),
        Some(cell) => {
            let of = Selector { version: Some(name.clone()), ..of.clone() };
            let sign = if cell.status == "final" || cell.value.is_none() { "" } else { " ~" };
            (Some(window_link(&links, &of, end)), format!("{}{sign}", words::value(cell.value, metric)))
        }
    };
    let row = |end: &DateTime<Utc>| WindowRow {
        end: words::when(*end, zone),
        cells: names.iter().map(|name| cell(name, *end)).collect(),
    };
    versions.ends.iter().rev().map(row).collect()
}

/// The query behind the chart.
pub fn chart_sql(of: &Selector, names: &[String], (ends, total): (&[DateTime<Utc>], i64)) -> String {
    let is_all = usize::try_from(total).is_ok_and(|total| total == ends.len());
    let windows = if is_all {
        format!("window_end > {} and window_end <= {}", time_literal(of.from), time_literal(of.to))
    } else {
        format!("window_end in ({})", ends.iter().map(|end| time_literal(*end)).collect::<Vec<_>>().join(", "))
    };
    let source = of
        .as_of
        .map_or("trueup.metric_history".to_owned(), |at| format!("trueup.metric_history_as_of({})", time_literal(at)));
    let names: Vec<String> = names.iter().map(|name| text_literal(name)).collect();
    format!(
        "select window_end, model_version, value, ci_low, ci_high, labeled, status\nfrom {source}\nwhere job = {} and window_name = {} and \
         metric = {} and cohort = {}\n  and {windows}\n  and model_version in ({})\norder by window_end, model_version;",
        text_literal(&of.job),
        text_literal(&of.window),
        text_literal(&of.metric),
        text_literal(&of.cohort),
        if names.is_empty() { "null".to_owned() } else { names.join(", ") }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(hour * 3_600, 0).unwrap()
    }

    fn cell(version: &str, (from, to): (i64, i64), value: Option<f64>, labeled: i64) -> CellRow {
        CellRow {
            cohort: "all".to_owned(),
            model_version: Some(version.to_owned()),
            window_start: at(from),
            window_end: at(to),
            value,
            ci_low: None,
            ci_high: None,
            labeled,
            predictions: labeled,
            status: "final".to_owned(),
        }
    }

    #[test]
    fn versions_are_compared_where_both_have_a_value_and_no_pair_counts_twice() {
        let cells = vec![
            // Overlaps the next one, and is left out.
            cell("v1", (0, 6), Some(9.0), 10),
            cell("v2", (0, 6), Some(9.0), 10),
            cell("v1", (4, 10), Some(3.0), 1),
            cell("v2", (4, 10), Some(6.0), 10),
            cell("v1", (10, 16), Some(5.0), 3),
            cell("v2", (10, 16), Some(8.0), 30),
            cell("v1", (16, 22), Some(7.0), 10),
            cell("v2", (16, 22), None, 0),
        ];
        let versions = Versions::new([6, 10, 16, 22].map(at).to_vec(), cells);
        let rmse = compare(&versions, "rmse", "v2", "v1");
        assert_eq!((rmse.windows, rmse.labeled, rmse.against_labeled), (2, 40, 4));
        // sqrt((36 * 10 + 64 * 30) / 40), and sqrt((9 * 1 + 25 * 3) / 4).
        assert!((rmse.value.unwrap() - 57_f64.sqrt()).abs() < 1e-12, "{rmse:?}");
        assert!((rmse.against.unwrap() - 21_f64.sqrt()).abs() < 1e-12, "{rmse:?}");
        let mae = compare(&versions, "mae", "v2", "v1");
        assert_eq!((mae.value, mae.against), (Some(7.5), Some(4.5)));
        // A quantile of several windows is none of the quantiles: the newest window that both have.
        let p95 = compare(&versions, "p95_abs_error", "v2", "v1");
        assert_eq!((p95.windows, p95.value, p95.against), (1, Some(8.0), Some(5.0)));
        assert_eq!(compare(&versions, "rmse", "v3", "v1"), Compared::default());
        assert_eq!(versions.incumbent(Some("v2")).as_deref(), Some("v1"));
    }
}
