//! For whom the error grew, and how: shares of cohorts, versions, and the shape of the errors against the usual one.

use std::collections::BTreeMap;

use super::words;
use crate::domain::about::About;
use crate::evaluate::moved::{self, Part};
use crate::evaluate::quantile::median;
use crate::store::read::firing::{MetricRow, ShareRow, VersionRow};
use crate::text::links::{Links, with_query};

/// Cohorts of a dimension that are shown.
const MOST_COHORTS: usize = 10;
/// Earlier windows below which nothing is usual.
const FEWEST: usize = 5;

/// A cohort and its share of the squared error.
#[derive(Debug, Clone)]
pub struct MovedLine {
    pub cohort: String,
    pub link: String,
    pub share: String,
    pub usual: String,
    pub difference: String,
    pub is_worse: bool,
    pub labeled: String,
}

/// The cohorts of one dimension.
#[derive(Debug, Clone)]
pub struct MovedTable {
    pub dimension: String,
    pub lines: Vec<MovedLine>,
    /// Cohorts that are left out.
    pub more: usize,
}

/// Returns where the error moved, by dimension, the largest increase first.
pub fn moved(job: &str, window: &str, rows: &[ShareRow]) -> Vec<MovedTable> {
    let parts: Vec<Part> = rows
        .iter()
        .map(|row| Part {
            age: usize::try_from(row.age).unwrap_or_default(),
            dimension: row.dimension.clone(),
            cohort: row.cohort.clone(),
            squared_error: row.squared_error,
            labeled: row.labeled,
        })
        .collect();
    let here = Links::default().job(job);
    let mut tables: Vec<MovedTable> = Vec::new();
    for moved in moved::moved(&parts) {
        if tables.last().is_none_or(|table| table.dimension != moved.dimension) {
            tables.push(MovedTable { dimension: moved.dimension.clone(), lines: Vec::new(), more: 0 });
        }
        let Some(table) = tables.last_mut() else { continue };
        if table.lines.len() >= MOST_COHORTS {
            table.more += 1;
            continue;
        }
        let points = moved.difference() * 100.0;
        table.lines.push(MovedLine {
            link: with_query(&here, &[("window", Some(window)), ("cohort", Some(&moved.cohort))]),
            share: words::share(moved.share),
            usual: moved.usual.map_or("–".to_owned(), words::share),
            difference: if moved.usual.is_some() { signed(points) } else { "–".to_owned() },
            is_worse: moved.usual.is_some() && points >= 5.0,
            labeled: words::count(moved.labeled),
            cohort: moved.cohort,
        });
    }
    tables
}

/// Percentage points with their sign.
fn signed(points: f64) -> String {
    match points {
        points if points.abs() < 0.5 => "0".to_owned(),
        points if points > 0.0 => format!("+{points:.0}"),
        points => format!("−{:.0}", -points),
    }
}

/// A version in the window.
#[derive(Debug, Clone)]
pub struct VersionLine {
    pub version: String,
    pub value: String,
    pub interval: String,
    pub labeled: String,
    pub share: String,
}

/// Returns the versions of a window with their share of the predictions.
pub fn versions(about: &About, metric: &str, rows: &[VersionRow]) -> Vec<VersionLine> {
    let metric = about.metric(metric);
    let all: i64 = rows.iter().map(|row| row.predictions).sum();
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    let share =
        |predictions: i64| if all > 0 { words::share(predictions as f64 / all as f64) } else { "–".to_owned() };
    rows.iter()
        .map(|row| VersionLine {
            version: row.model_version.clone(),
            value: words::value(row.value, metric),
            interval: row.ci_low.zip(row.ci_high).map_or(String::new(), |(low, high)| {
                format!("{} to {}", words::value(Some(low), None), words::value(Some(high), None))
            }),
            labeled: format!("{} of {}", words::count(row.labeled), words::count(row.predictions)),
            share: share(row.predictions),
        })
        .collect()
}

/// A metric in the window against its usual value.
#[derive(Debug, Clone)]
pub struct ShapeLine {
    pub metric: String,
    pub value: String,
    pub usual: String,
    /// `3.2 times`.
    pub ratio: String,
    pub is_worse: bool,
}

/// Returns the metrics of the window, each with its median over the windows before.
pub fn shape(about: &About, rows: &[MetricRow]) -> Vec<ShapeLine> {
    let mut by_metric: BTreeMap<&str, (Option<f64>, Vec<f64>)> = BTreeMap::new();
    for row in rows {
        let (now, before) = by_metric.entry(row.metric.as_str()).or_default();
        match row.age {
            0 => *now = Some(row.value),
            _ => before.push(row.value),
        }
    }
    let line = |(name, (now, mut before)): (&str, (Option<f64>, Vec<f64>))| {
        let now = now?;
        let metric = about.metric(name);
        let usual = if before.len() >= FEWEST { median(&mut before) } else { None };
        let ratio = usual.filter(|usual| *usual != 0.0).map(|usual| now / usual).filter(|ratio| ratio.is_finite());
        Some(ShapeLine {
            metric: name.to_owned(),
            value: words::value(Some(now), metric),
            usual: words::value(usual, metric),
            ratio: ratio.filter(|ratio| *ratio >= 0.0).map_or("–".to_owned(), |ratio| format!("{ratio:.1} times")),
            is_worse: ratio.is_some_and(|ratio| ratio >= 1.5)
                && metric.is_some_and(|metric| metric.better == crate::domain::about::AboutBetter::Lower),
        })
    };
    by_metric.into_iter().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::about::{AboutBetter, AboutMetric};

    #[test]
    fn shares_stand_by_dimension_and_the_rest_is_counted() {
        let mut rows = Vec::new();
        for age in 0..=6 {
            for n in 0..12 {
                let squared_error = if age == 0 && n == 3 { 89.0 } else { 1.0 };
                let cohort = format!("region={n:02}");
                rows.push(ShareRow { age, cohort, dimension: "region".into(), squared_error, labeled: 1_000 });
            }
        }
        let tables = moved("a/b", "rolling 6h", &rows);
        assert_eq!((tables.len(), tables[0].lines.len(), tables[0].more), (1, 10, 2));
        let first = &tables[0].lines[0];
        assert_eq!((first.cohort.as_str(), first.share.as_str(), first.usual.as_str()), ("region=03", "89 %", "8.3 %"));
        assert_eq!((first.difference.as_str(), first.is_worse), ("+81", true));
        assert_eq!(first.link, "/jobs/a%2Fb?window=rolling%206h&cohort=region%3D03");
        assert_eq!(tables[0].lines[1].difference, "−7");
    }

    #[test]
    fn the_shape_compares_with_the_median() {
        let rmse = AboutMetric { name: "rmse".into(), unit: " MW".into(), better: AboutBetter::Lower, is_ratio: false };
        let about = About { metrics: vec![rmse], ..About::default() };
        let row = |age, metric: &str, value| MetricRow { age, metric: metric.into(), value };
        let mut rows = vec![row(0, "rmse", 500.0), row(0, "bias", -3.0), row(1, "old", 1.0)];
        rows.extend((1..=5).map(|age| row(age, "rmse", 100.0)));
        let lines = shape(&about, &rows);
        let shown: Vec<_> =
            lines.iter().map(|l| (l.metric.as_str(), l.usual.as_str(), l.ratio.as_str(), l.is_worse)).collect();
        assert_eq!(shown, [("bias", "–", "–", false), ("rmse", "100.0 MW", "5.0 times", true)]);
    }
}
