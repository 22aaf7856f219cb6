//! Gaps between groups, and the numbers of each group.

use super::classes::between;
use super::words;
use crate::domain::about::{About, AboutGap};
use crate::store::read::classes::{GapRow, GroupRow};
use crate::text::gap;
use crate::text::line::single_line;
use crate::text::links::{Links, with_query};

/// A comparison of groups.
#[derive(Debug, Clone)]
pub struct GapLine {
    pub metric: String,
    pub by: String,
    pub value: String,
    pub interval: String,
    /// The groups that differ most, or why there is no value.
    pub note: String,
    /// The metric on the page of the job.
    pub link: String,
    /// A rule on the metric in windows of this kind: its name and page.
    pub rule: Option<(String, String)>,
    /// The runbook of that rule, else of the job.
    pub runbook: Option<String>,
}

/// Returns all comparisons of the job.
pub fn gap_lines(job: &str, window: &str, about: &About, rows: &[GapRow]) -> Vec<GapLine> {
    let line = |gap: &AboutGap| {
        let row = rows.iter().find(|row| row.metric == gap.metric);
        let value = row.and_then(|row| row.value);
        let rule = about.rules.iter().find(|rule| rule.metric == gap.metric && rule.window == window);
        let runbook = rule.and_then(|rule| rule.runbook.as_ref()).or(about.runbook.as_ref());
        let query = [("window", Some(window)), ("metric", Some(gap.metric.as_str()))];
        GapLine {
            metric: gap.metric.clone(),
            by: gap.by.clone(),
            value: value.map_or("–".to_owned(), words::share),
            interval: row
                .and_then(|row| row.ci_low.zip(row.ci_high))
                .map_or(String::new(), |(low, high)| between(low, high)),
            note: match (value, row.and_then(|row| row.note.as_deref())) {
                (Some(_), Some(note)) => single_line(&in_percent(note)),
                (Some(_), None) => String::new(),
                (None, _) => format!("fewer than two groups have {} predictions and enough labels", gap.min_group),
            },
            link: with_query(&Links::default().job(job), &query),
            rule: rule.map(|rule| (rule.name.clone(), Links::default().rule(job, &rule.name))),
            runbook: runbook.filter(|link| crate::text::line::is_web_link(link)).cloned(),
        }
    };
    about.gaps.iter().map(line).collect()
}

/// `sex=f 60 %, sex=m 80 %`; a note of another form stays.
fn in_percent(note: &str) -> String {
    gap::sides(note).map_or(note.to_owned(), |[(one, first), (other, second)]| {
        format!("{one} {}, {other} {}", words::share(first), words::share(second))
    })
}

/// A group.
#[derive(Debug, Clone)]
pub struct GroupLine {
    pub cohort: String,
    pub link: String,
    pub predictions: String,
    pub labeled: String,
    /// Recall, false positive rate, share of positive decisions and calibration error: each with its interval.
    pub shares: [(String, String); 4],
    /// Too few predictions to be compared.
    pub is_small: bool,
}

/// The groups of one dimension.
#[derive(Debug, Clone)]
pub struct GroupTable {
    pub dimension: String,
    pub lines: Vec<GroupLine>,
}

/// Returns the groups by dimension.
pub fn group_tables(job: &str, window: &str, about: &About, rows: &[GroupRow]) -> Vec<GroupTable> {
    let mut tables: Vec<GroupTable> = Vec::new();
    for row in rows {
        if tables.last().is_none_or(|table| table.dimension != row.dimension) {
            tables.push(GroupTable { dimension: row.dimension.clone(), lines: Vec::new() });
        }
        let Some(table) = tables.last_mut() else { continue };
        let least = about.gaps.iter().filter(|gap| gap.by == row.dimension).map(|gap| gap.min_group).min();
        let query = [("window", Some(window)), ("cohort", Some(row.cohort.as_str()))];
        table.lines.push(GroupLine {
            cohort: single_line(&row.cohort),
            link: with_query(&Links::default().job_part(job, "classes"), &query),
            predictions: words::count(row.predictions),
            labeled: words::count(row.labeled),
            shares: [
                share(row.recall, row.recall_low.zip(row.recall_high)),
                share(row.fpr, row.fpr_low.zip(row.fpr_high)),
                share(row.positive_rate, row.positive_rate_low.zip(row.positive_rate_high)),
                share(row.ece, None),
            ],
            is_small: least.is_some_and(|least| row.predictions < least),
        });
    }
    tables
}

fn share(value: Option<f64>, interval: Option<(f64, f64)>) -> (String, String) {
    (value.map_or("–".to_owned(), words::share), interval.map_or(String::new(), |(low, high)| between(low, high)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_without_a_value_says_why() {
        let gap = |metric: &str| AboutGap { metric: metric.into(), by: "sex".into(), min_group: 100 };
        let about = About { gaps: vec![gap("tpr_gap"), gap("fpr_gap")], ..About::default() };
        let note = "sex=f has 0.6000, and sex=m has 0.8000".to_owned();
        let row = GapRow {
            metric: "tpr_gap".into(),
            value: Some(0.2),
            ci_low: Some(0.08),
            ci_high: Some(0.31),
            note: Some(note),
        };
        let lines = gap_lines("a/b", "tumbling 1d", &about, &[row]);
        let shown: Vec<[&str; 3]> = lines.iter().map(|line| [&*line.value, &*line.interval, &*line.note]).collect();
        assert_eq!(shown[0], ["20 %", "8.0 % to 31 %", "sex=f 60 %, sex=m 80 %"]);
        assert_eq!(shown[1], ["–", "", "fewer than two groups have 100 predictions and enough labels"]);
        assert_eq!(lines[0].link, "/jobs/a%2Fb?window=tumbling%201d&metric=tpr_gap");
    }
}
