//! Classes in one window: confusion matrix, calibration, coverage, gaps and groups.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use sqlx::PgConnection;

use super::call::{Answer, Call, file, finite, json};
use super::csv;
use super::operation::{self, Content, Operation};
use super::parameter::{COHORT, Parameter, TO, VERSION, WINDOW};
use crate::chart::{bars, calibration, heatmap};
use crate::store::read::classes as read;
use crate::store::read::window::WindowKey;
use crate::web::Shared;
use crate::web::classes;
use crate::web::error::PageError;
use crate::web::reading;
use crate::web::selection::Selection;
use crate::web::view::classes::{self as view, MOST_CLASSES};

const OF_CLASSES: &[Parameter] = &[WINDOW, COHORT, VERSION, TO];

/// Most classes by name, and most groups.
const ALL_CLASSES: i64 = 1_000;
const MOST_GROUPS: i64 = 1_000;

/// Pairs of one window with a label and a decision.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ConfusionEntry {
    pub window_end: DateTime<Utc>,
    /// Null: the classes beyond the 1,000 most frequent ones.
    pub label: Option<String>,
    pub decision: Option<String>,
    pub pairs: i64,
}

/// A tenth of the range of scores.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct CalibrationEntry {
    pub window_end: DateTime<Utc>,
    pub score_from: f64,
    pub score_to: f64,
    pub pairs: i64,
    pub mean_score: Option<f64>,
    /// Share of positive labels.
    pub observed_rate: Option<f64>,
}

/// Predictions of one kind.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct CoverageEntry {
    pub window_end: DateTime<Utc>,
    /// `positive decision`, `negative decision` or `score`.
    pub by: String,
    pub score_from: Option<f64>,
    pub score_to: Option<f64>,
    pub predictions: Option<i64>,
    pub pairs: Option<i64>,
    /// Share of the predictions with a usable label.
    pub coverage: Option<f64>,
}

/// A gap between groups.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct GapEntry {
    pub window_end: DateTime<Utc>,
    pub metric: String,
    pub value: Option<f64>,
    pub ci_low: Option<f64>,
    pub ci_high: Option<f64>,
    /// The groups, and the number of each.
    pub note: Option<String>,
}

/// A group.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct GroupEntry {
    pub window_end: DateTime<Utc>,
    pub cohort: String,
    pub predictions: i64,
    pub labeled: i64,
    pub recall: Option<f64>,
    pub fpr: Option<f64>,
    pub positive_rate: Option<f64>,
    pub ece: Option<f64>,
}

/// All operations about classes.
pub(super) fn operations() -> Vec<Operation> {
    const CSV: Content = Content::File("text/csv");
    const SVG: Content = Content::File("image/svg+xml");
    let of = |path, summary, content, handler| Operation::new(path, summary, OF_CLASSES, content, handler);
    let (confusion, bins) = (operation::json::<Vec<ConfusionEntry>>(), operation::json::<Vec<CalibrationEntry>>());
    let coverage = operation::json::<Vec<CoverageEntry>>();
    let (gaps, groups) = (operation::json::<Vec<GapEntry>>(), operation::json::<Vec<GroupEntry>>());
    vec![
        of("/jobs/{job}/confusion", "The confusion matrix of a window", confusion, get(confusion_json)),
        of("/jobs/{job}/confusion.csv", "The confusion matrix as CSV", CSV, get(confusion_csv)),
        of("/jobs/{job}/confusion.svg", "The confusion matrix as a picture", SVG, get(confusion_svg)),
        of("/jobs/{job}/calibration", "The calibration curve of a window", bins, get(calibration_json)),
        of("/jobs/{job}/calibration.csv", "The calibration curve as CSV", CSV, get(calibration_csv)),
        of("/jobs/{job}/calibration.svg", "The calibration curve as a picture", SVG, get(calibration_svg)),
        of("/jobs/{job}/coverage", "Labels by decision and score", coverage, get(coverage_json)),
        of("/jobs/{job}/coverage.csv", "Labels by decision and score as CSV", CSV, get(coverage_csv)),
        of("/jobs/{job}/coverage.svg", "Labels by score as a picture", SVG, get(coverage_svg)),
        of("/jobs/{job}/gaps", "Gaps between groups in a window", gaps, get(gaps_json)),
        of("/jobs/{job}/gaps.csv", "Gaps between groups as CSV", CSV, get(gaps_csv)),
        of("/jobs/{job}/groups", "The groups that are compared", groups, get(groups_json)),
        of("/jobs/{job}/groups.csv", "The groups as CSV", CSV, get(groups_csv)),
    ]
}

/// Defines the handlers of entries: as JSON and as CSV with these columns.
macro_rules! tables {
    ($($json:ident $csv:ident = $entries:ident [$($column:literal)*];)*) => {$(
        async fn $json(State(shared): State<Arc<Shared>>, Path(job): Path<String>, call: Call) -> Answer {
            answer(&shared, &job, &call, async |c, of| json(&$entries(c, of).await?)).await
        }

        async fn $csv(State(shared): State<Arc<Shared>>, Path(job): Path<String>, call: Call) -> Answer {
            answer(&shared, &job, &call, async |c, of| {
                Ok(file("text/csv; charset=utf-8", csv::entries(&["window_end", $($column),*], &$entries(c, of).await?)?))
            })
            .await
        }
    )*};
}

tables! {
    confusion_json confusion_csv = confusion ["label" "decision" "pairs"];
    calibration_json calibration_csv = bins ["score_from" "score_to" "pairs" "mean_score" "observed_rate"];
    coverage_json coverage_csv = coverage ["by" "score_from" "score_to" "predictions" "pairs" "coverage"];
    gaps_json gaps_csv = gaps ["metric" "value" "ci_low" "ci_high" "note"];
    groups_json groups_csv = groups ["cohort" "predictions" "labeled" "recall" "fpr" "positive_rate" "ece"];
}

/// The window of an answer; `None` if nothing was measured.
struct Of {
    selection: Selection,
    key: Option<WindowKey>,
}

async fn answer(
    shared: &Shared,
    job: &str,
    call: &Call,
    work: impl AsyncFnOnce(&mut PgConnection, &Of) -> Result<Response, PageError>,
) -> Answer {
    call.answer(shared, OF_CLASSES, Some(job), async |connection| {
        let selection = classes::select(connection, job, &call.params).await?;
        let key = classes::choose(connection, &selection, &call.params).await?;
        work(connection, &Of { selection, key }).await
    })
    .await
}

async fn confusion(connection: &mut PgConnection, of: &Of) -> Result<Vec<ConfusionEntry>, PageError> {
    let Some(key) = &of.key else { return Ok(Vec::new()) };
    let rows = reading::all(connection, async |c| read::confusion(c, key, ALL_CLASSES).await).await?;
    let entry = |row: read::ConfusionRow| ConfusionEntry {
        window_end: key.end,
        label: row.label,
        decision: row.decision,
        pairs: row.pairs,
    };
    Ok(rows.into_iter().map(entry).collect())
}

/// Only two classes have scores.
async fn read_bins(connection: &mut PgConnection, of: &Of) -> Result<Vec<read::BinRow>, PageError> {
    let Some(key) = of.key.as_ref().filter(|_| of.selection.about().is_binary()) else { return Ok(Vec::new()) };
    Ok(reading::all(connection, async |c| read::calibration(c, key).await).await?)
}

async fn bins(connection: &mut PgConnection, of: &Of) -> Result<Vec<CalibrationEntry>, PageError> {
    let Some(key) = &of.key else { return Ok(Vec::new()) };
    let entry = |row: read::BinRow| CalibrationEntry {
        window_end: key.end,
        score_from: row.score_from,
        score_to: row.score_to,
        pairs: row.pairs,
        mean_score: finite(row.mean_score),
        observed_rate: finite(row.observed_rate),
    };
    Ok(read_bins(connection, of).await?.into_iter().map(entry).collect())
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
async fn coverage(connection: &mut PgConnection, of: &Of) -> Result<Vec<CoverageEntry>, PageError> {
    let Some(key) = &of.key else { return Ok(Vec::new()) };
    let numbers = reading::all(connection, async |c| read::numbers(c, key).await).await?.unwrap_or_default();
    let decisions =
        [("positive decision", numbers.coverage_of_positive), ("negative decision", numbers.coverage_of_negative)];
    let decision = |(by, coverage): (&str, Option<f64>)| CoverageEntry {
        window_end: key.end,
        by: by.to_owned(),
        score_from: None,
        score_to: None,
        predictions: None,
        pairs: None,
        coverage: finite(coverage),
    };
    let bin = |row: read::BinRow| CoverageEntry {
        window_end: key.end,
        by: "score".to_owned(),
        score_from: Some(row.score_from),
        score_to: Some(row.score_to),
        predictions: Some(row.predictions),
        pairs: Some(row.pairs),
        coverage: (row.predictions > 0).then(|| row.pairs as f64 / row.predictions as f64),
    };
    let bins = read_bins(connection, of).await?;
    Ok(decisions.map(decision).into_iter().chain(bins.into_iter().map(bin)).collect())
}

async fn gaps(connection: &mut PgConnection, of: &Of) -> Result<Vec<GapEntry>, PageError> {
    let Some(key) = &of.key else { return Ok(Vec::new()) };
    let (names, _) = classes::comparisons(&of.selection);
    let rows = reading::all(connection, async |c| read::gaps(c, key, &names).await).await?;
    let entry = |row: read::GapRow| GapEntry {
        window_end: key.end,
        metric: row.metric,
        value: finite(row.value),
        ci_low: finite(row.ci_low),
        ci_high: finite(row.ci_high),
        note: row.note,
    };
    Ok(rows.into_iter().map(entry).collect())
}

async fn groups(connection: &mut PgConnection, of: &Of) -> Result<Vec<GroupEntry>, PageError> {
    let Some(key) = &of.key else { return Ok(Vec::new()) };
    let (_, dimensions) = classes::comparisons(&of.selection);
    let rows = reading::all(connection, async |c| read::groups(c, key, &dimensions, MOST_GROUPS).await).await?;
    let entry = |row: read::GroupRow| GroupEntry {
        window_end: key.end,
        cohort: row.cohort,
        predictions: row.predictions,
        labeled: row.labeled,
        recall: finite(row.recall),
        fpr: finite(row.fpr),
        positive_rate: finite(row.positive_rate),
        ece: finite(row.ece),
    };
    Ok(rows.into_iter().map(entry).collect())
}

fn picture(drawing: &crate::chart::Svg) -> Response {
    file("image/svg+xml", drawing.to_string())
}

async fn confusion_svg(State(shared): State<Arc<Shared>>, Path(job): Path<String>, call: Call) -> Answer {
    answer(&shared, &job, &call, async |connection, of| {
        let rows = match &of.key {
            Some(key) => reading::all(connection, async |c| read::confusion(c, key, MOST_CLASSES).await).await?,
            None => Vec::new(),
        };
        let matrix = view::matrix(&rows, of.selection.about().is_binary());
        Ok(picture(&heatmap::file(&view::drawing(&matrix))))
    })
    .await
}

async fn calibration_svg(State(shared): State<Arc<Shared>>, Path(job): Path<String>, call: Call) -> Answer {
    answer(&shared, &job, &call, async |connection, of| {
        Ok(picture(&calibration::file(&view::curve(&read_bins(connection, of).await?))))
    })
    .await
}

async fn coverage_svg(State(shared): State<Arc<Shared>>, Path(job): Path<String>, call: Call) -> Answer {
    answer(&shared, &job, &call, async |connection, of| {
        Ok(picture(&bars::file(&view::coverage_bars(&read_bins(connection, of).await?))))
    })
    .await
}
