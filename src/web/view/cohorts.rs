//! Cohorts through time: a heatmap, its legend in words, and the same as tables.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use super::drawing::window_link;
use super::panel::time_literal;
use super::words;
use crate::chart::heatmap::{Cell, Heatmap, Row, Shades};
use crate::domain::about::About;
use crate::domain::name::text_literal;
use crate::store::read::cohorts::{CellRow, CohortRow};
use crate::store::read::series::{OpenAlertRow, Selector};
use crate::text::links::{Links, with_query};

/// Meaning of the shades.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// The metric.
    Value,
    /// The metric by its median over the windows shown.
    Usual,
    /// The share of the squared error of everything.
    Share,
}

impl Scale {
    /// Names in addresses.
    pub const NAMES: [&str; 3] = ["value", "usual", "share"];

    /// Reads a name; `value` unless it is another one.
    pub fn named(name: Option<&str>) -> Self {
        match name {
            Some("usual") => Self::Usual,
            Some("share") => Self::Share,
            _ => Self::Value,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Usual => "usual",
            Self::Share => "share",
        }
    }
}

/// A cohort over the windows shown.
#[derive(Debug, Clone)]
pub struct Track {
    pub row: CohortRow,
    /// One per window, oldest first.
    pub cells: Vec<Option<CellRow>>,
    /// Squared error by window, where the job measures it.
    pub squared: Vec<Option<f64>>,
    /// Severity of the worst alert that fires for it.
    pub alert: Option<String>,
}

/// Puts cells to their cohorts and windows. `errors` are the cells of mse or rmse, as the flag says.
pub fn tracks(
    ends: &[DateTime<Utc>],
    ranked: Vec<CohortRow>,
    cells: Vec<CellRow>,
    (errors, is_root): (&[CellRow], bool),
    open: &[OpenAlertRow],
) -> Vec<Track> {
    let mut by_place: BTreeMap<(String, DateTime<Utc>), CellRow> =
        cells.into_iter().map(|cell| ((cell.cohort.clone(), cell.window_end), cell)).collect();
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    let squared = |cell: &CellRow| cell.value.map(|v| if is_root { v * v } else { v } * cell.labeled as f64);
    let squared: BTreeMap<(&str, DateTime<Utc>), f64> =
        errors.iter().filter_map(|cell| Some(((cell.cohort.as_str(), cell.window_end), squared(cell)?))).collect();
    ranked
        .into_iter()
        .map(|row| Track {
            cells: ends.iter().map(|end| by_place.remove(&(row.cohort.clone(), *end))).collect(),
            squared: ends.iter().map(|end| squared.get(&(row.cohort.as_str(), *end)).copied()).collect(),
            alert: open
                .iter()
                .find(|alert| alert.state == "firing" && alert.cohort == row.cohort && alert.model_version.is_none())
                .map(|alert| alert.severity.clone()),
            row,
        })
        .collect()
}

impl Track {
    /// True if the window was measured for the cohort: then it has a page.
    pub fn is_measured(&self, place: usize) -> bool {
        self.cells.get(place).is_some_and(Option::is_some)
    }

    fn value(&self, place: usize) -> Option<f64> {
        self.cells.get(place)?.as_ref()?.value.filter(|value| value.is_finite())
    }

    /// Median of the values shown.
    pub fn usual(&self) -> Option<f64> {
        let mut values: Vec<f64> = (0..self.cells.len()).filter_map(|place| self.value(place)).collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        match values.len() {
            0 => None,
            odd if odd % 2 == 1 => Some(values[middle]),
            _ => Some(f64::midpoint(values[middle - 1], values[middle])),
        }
    }

    /// The shaded number of a window.
    pub fn shade(&self, scale: Scale, place: usize, whole: Option<&Self>) -> Option<f64> {
        match scale {
            Scale::Value => self.value(place),
            Scale::Usual => {
                let ratio = self.value(place)? / self.usual()?;
                ratio.is_finite().then_some(ratio)
            }
            Scale::Share => {
                let share = self.squared.get(place).copied()?? / whole?.squared.get(place).copied()??;
                share.is_finite().then_some(share)
            }
        }
    }
}

/// Fewest samples for which a rule judges the metric; 0 if none does.
pub fn fewest(about: &About, of: &Selector) -> i64 {
    let rules = about.rules.iter().filter(|rule| rule.metric == of.metric && rule.window == of.window);
    rules.map(|rule| rule.min_samples).max().unwrap_or(0)
}

/// Draws the cohorts, without links of cells.
pub fn heatmap(
    of: &Selector,
    about: &About,
    tracks: &[Track],
    ends: &[DateTime<Utc>],
    (scale, zone): (Scale, Tz),
) -> Heatmap {
    let whole = tracks.iter().find(|track| track.row.cohort == "all");
    let fewest = fewest(about, of);
    let rows = tracks.iter().map(|track| {
        let cell = |(place, cell): (usize, &Option<CellRow>)| Cell {
            value: track.shade(scale, place, whole),
            is_provisional: cell.as_ref().is_some_and(|cell| cell.status != "final" && cell.value.is_some()),
            is_too_few: cell.as_ref().is_some_and(|cell| cell.labeled < fewest),
        };
        Row {
            name: if track.alert.is_some() { format!("! {}", track.row.cohort) } else { track.row.cohort.clone() },
            link: ends.last().map(|end| window_link(&Links::default(), &at(of, &track.row.cohort), *end)),
            cells: track.cells.iter().enumerate().map(cell).collect(),
        }
    });
    let metric = about.metric(&of.metric);
    Heatmap {
        rows: rows.collect(),
        columns: columns(ends, zone),
        shades: if scale == Scale::Usual { Shades::AgainstUsual } else { Shades::Value },
        unit: match scale {
            Scale::Value => metric.map_or(String::new(), |metric| metric.unit.trim().to_owned()),
            Scale::Usual | Scale::Share => String::new(),
        },
        label: format!("{} of {} by cohort and window", of.metric, of.window),
        targets: Vec::new(),
    }
}

/// The same selection for a cohort.
pub fn at(of: &Selector, cohort: &str) -> Selector {
    Selector { cohort: cohort.to_owned(), ..of.clone() }
}

/// Labels of the windows: times of day within two days, else days.
fn columns(ends: &[DateTime<Utc>], zone: Tz) -> Vec<String> {
    let is_short = ends.first().zip(ends.last()).is_some_and(|(first, last)| *last - *first <= TimeDelta::days(2));
    let format = if is_short { "%H:%M" } else { "%-d %b" };
    ends.iter().map(|end| end.with_timezone(&zone).format(format).to_string()).collect()
}

/// A cohort as a line.
#[derive(Debug, Clone)]
pub struct Line {
    pub cohort: String,
    /// The cohort on the chart of the job.
    pub chart: String,
    /// The newest window of the cohort.
    pub window: Option<String>,
    pub alert: Option<String>,
    pub now: String,
    pub is_provisional: bool,
    pub interval: String,
    pub usual: String,
    pub share: String,
    pub now_share: String,
    pub labeled: String,
    pub is_too_few: bool,
}

/// Returns the cohorts with their newest window.
pub fn lines(of: &Selector, about: &About, tracks: &[Track], ends: &[DateTime<Utc>]) -> Vec<Line> {
    let metric = about.metric(&of.metric);
    let whole = tracks.iter().find(|track| track.row.cohort == "all");
    let fewest = fewest(about, of);
    let line = |track: &Track| {
        let newest = track.cells.last().and_then(Option::as_ref);
        let query = [
            ("window", Some(of.window.as_str())),
            ("metric", Some(of.metric.as_str())),
            ("cohort", Some(track.row.cohort.as_str())),
        ];
        Line {
            cohort: track.row.cohort.clone(),
            chart: with_query(&Links::default().job(&of.job), &query),
            window: newest
                .zip(ends.last())
                .map(|(_, end)| window_link(&Links::default(), &at(of, &track.row.cohort), *end)),
            alert: track.alert.clone(),
            now: words::value(newest.and_then(|cell| cell.value), metric),
            is_provisional: newest.is_some_and(|cell| cell.status != "final" && cell.value.is_some()),
            interval: newest.map_or(String::new(), |cell| super::window::interval(cell.ci_low, cell.ci_high)),
            usual: words::value(track.usual(), metric),
            share: track.row.squared_share.map_or("–".to_owned(), words::share),
            now_share: track
                .shade(Scale::Share, ends.len().saturating_sub(1), whole)
                .map_or("–".to_owned(), words::share),
            labeled: newest.map_or("–".to_owned(), |cell| {
                format!("{} of {}", words::count(cell.labeled), words::count(cell.predictions))
            }),
            is_too_few: newest.is_some_and(|cell| cell.labeled < fewest),
        }
    };
    tracks.iter().map(line).collect()
}

/// The query behind the cells.
pub fn cells_sql(of: &Selector, tracks: &[Track], (ends, total): (&[DateTime<Utc>], i64)) -> String {
    let cohorts: BTreeSet<String> = tracks.iter().map(|track| text_literal(&track.row.cohort)).collect();
    let cohorts: Vec<String> = cohorts.into_iter().collect();
    let is_all = usize::try_from(total).is_ok_and(|total| total == ends.len());
    let windows = if is_all {
        format!("window_end > {} and window_end <= {}", time_literal(of.from), time_literal(of.to))
    } else {
        format!("window_end in ({})", ends.iter().map(|end| time_literal(*end)).collect::<Vec<_>>().join(", "))
    };
    let source = of
        .as_of
        .map_or("trueup.metric_history".to_owned(), |at| format!("trueup.metric_history_as_of({})", time_literal(at)));
    format!(
        "select window_end, cohort, value, labeled, status\nfrom {source}\nwhere job = {} and window_name = {} and metric = {} and \
         model_version is null\n  and {windows}\n  and cohort in ({})\norder by window_end, cohort;",
        text_literal(&of.job),
        text_literal(&of.window),
        text_literal(&of.metric),
        if cohorts.is_empty() { "null".to_owned() } else { cohorts.join(", ") }
    )
}
