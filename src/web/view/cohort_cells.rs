//! Cells of the heatmap of cohorts: their links, and the same as a table.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::cohorts::{Scale, Track, at};
use super::drawing::window_link;
use super::words::{self, When};
use crate::chart::heatmap::Target;
use crate::domain::about::{About, AboutMetric};
use crate::store::read::series::Selector;
use crate::text::links::Links;

/// Most cells that are a link of their own, so that the page stays small. Windows before them are one link for all cohorts.
const MOST_LINKED: usize = 200;

/// Number of the newest windows whose cells are links.
fn linked(tracks: &[Track]) -> usize {
    MOST_LINKED / tracks.len().max(1)
}

/// Links of cells to the window of their cohort, and of older columns to the window of everything.
pub fn targets(
    of: &Selector,
    about: &About,
    tracks: &[Track],
    ends: &[DateTime<Utc>],
    (scale, zone): (Scale, Tz),
) -> Vec<Target> {
    let (metric, first) = (about.metric(&of.metric), ends.len().saturating_sub(linked(tracks)));
    let whole = tracks.iter().find(|track| track.row.cohort == "all");
    let mut targets = Vec::new();
    for (column, end) in ends.iter().enumerate() {
        let all = (column < first).then(|| tracks.iter().position(|track| track.row.cohort == "all")).flatten();
        let rows = if column < first { all.into_iter().collect() } else { (0..tracks.len()).collect::<Vec<_>>() };
        for row in rows.into_iter().filter(|row| tracks[*row].is_measured(column)) {
            let (track, at_end) = (&tracks[row], words::when(*end, zone).text);
            targets.push(Target {
                row: (column >= first).then_some(row),
                column,
                link: window_link(&Links::default(), &at(of, &track.row.cohort), *end),
                title: format!("{at_end}, {}: {}", track.row.cohort, cell_words(track, scale, column, (whole, metric))),
            });
        }
    }
    targets
}

/// The heatmap as a table: one row per window, newest first.
#[derive(Debug, Clone, Default)]
pub struct Table {
    pub cohorts: Vec<String>,
    pub rows: Vec<TableRow>,
    /// Windows of the heatmap that the table leaves out.
    pub left_out: usize,
}

/// A window of the table.
#[derive(Debug, Clone)]
pub struct TableRow {
    pub end: When,
    pub link: String,
    /// Words and, in the newest windows, the page of the cohort's window.
    pub cells: Vec<(String, Option<String>)>,
}

/// Most cells of the table, so that the page stays small.
const MOST_CELLS: usize = 1_500;

/// Returns the heatmap as a table.
pub fn table(
    of: &Selector,
    about: &About,
    tracks: &[Track],
    ends: &[DateTime<Utc>],
    (scale, zone): (Scale, Tz),
) -> Table {
    let metric = about.metric(&of.metric);
    let whole = tracks.iter().find(|track| track.row.cohort == "all");
    let most = (MOST_CELLS / tracks.len().max(1)).max(12);
    let first = ends.len().saturating_sub(linked(tracks));
    let row = |(place, end): (usize, &DateTime<Utc>)| TableRow {
        end: words::when(*end, zone),
        link: window_link(&Links::default(), &at(of, "all"), *end),
        cells: tracks
            .iter()
            .map(|track| {
                let has_link = place >= first && track.is_measured(place);
                let link = has_link.then(|| window_link(&Links::default(), &at(of, &track.row.cohort), *end));
                (cell_words(track, scale, place, (whole, metric)), link)
            })
            .collect(),
    };
    Table {
        cohorts: tracks.iter().map(|track| track.row.cohort.clone()).collect(),
        rows: ends.iter().enumerate().rev().take(most).map(row).collect(),
        left_out: ends.len().saturating_sub(most),
    }
}

fn cell_words(
    track: &Track,
    scale: Scale,
    place: usize,
    (whole, metric): (Option<&Track>, Option<&AboutMetric>),
) -> String {
    let Some(shade) = track.shade(scale, place, whole) else { return "–".to_owned() };
    let text = match scale {
        Scale::Value => words::value(Some(shade), metric),
        Scale::Usual => format!("{shade:.2} ×"),
        Scale::Share => words::share(shade),
    };
    let is_open = track.cells.get(place).and_then(Option::as_ref).is_some_and(|cell| cell.status != "final");
    if is_open { format!("{text} ~") } else { text }
}
