//! `/jobs/{job}/classes`: decisions against labels, calibration, coverage and groups in one window.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, State};
use sqlx::PgConnection;

use super::{Page, render};
use crate::chart::{Svg, bars, calibration};
use crate::store::read::classes::{self as read, BinRow, ConfusionRow, GapRow, GroupRow, NumbersRow};
use crate::store::read::series::{self, Names};
use crate::store::read::window::{self, FactsRow, WindowKey};
use crate::text::links::{Links, escaped, instant, with_query};
use crate::web::classes::{self, KNOWN};
use crate::web::error::PageError;
use crate::web::frame::{self, Frame, Section};
use crate::web::params::Params;
use crate::web::selection::Selection;
use crate::web::session::Visitor;
use crate::web::view::classes::{self as view, BinLine, CoverageLine, MOST_CLASSES, Matrix};
use crate::web::view::classes_sql as sql;
use crate::web::view::fairness::{self, GapLine, GroupTable};
use crate::web::view::job::{self as tabs, Fact, Tab};
use crate::web::view::panel::Panel;
use crate::web::view::window::{self as windows, Head};
use crate::web::{Shared, reading};

/// Cohorts and versions that the filters offer, and groups that are listed.
const MOST_NAMES: i64 = 200;
const MOST_GROUPS: i64 = 100;

#[derive(Template)]
#[template(path = "classes.html")]
struct ClassesPage {
    frame: Frame,
    selection: Selection,
    params: Params,
    tabs: Vec<Tab>,
    names: Names,
    /// The window; `None` if nothing was measured.
    head: Option<Head>,
    panels: Panels,
    matrix: Matrix,
    facts: Vec<Fact>,
    curve: Svg,
    bins: Vec<BinLine>,
    bars: Svg,
    coverage: Vec<CoverageLine>,
    gaps: Vec<GapLine>,
    groups: Vec<GroupTable>,
}

/// Rows of the page.
#[derive(Default)]
struct Read {
    confusion: Vec<ConfusionRow>,
    numbers: NumbersRow,
    bins: Vec<BinRow>,
    gaps: Vec<GapRow>,
    groups: Vec<GroupRow>,
}

pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    Extension(visitor): Extension<Visitor>,
    Path(name): Path<String>,
    params: Params,
) -> Page {
    frame::check(&params, &KNOWN, &shared)?;
    let page = reading::snapshot(&shared, async |connection| {
        let selection = classes::select(connection, &name, &params).await?;
        let frame = Frame::read(connection, (&shared, &visitor, &params), Section::Elsewhere).await?;
        page(connection, frame.titled(format!("{name}, classes")), selection, &params).await
    })
    .await?;
    render(&page)
}

async fn page(
    connection: &mut PgConnection,
    mut frame: Frame,
    selection: Selection,
    params: &Params,
) -> Result<ClassesPage, PageError> {
    let key = classes::choose(connection, &selection, params).await?;
    let mut panels = Panels::new(&selection, key.as_ref(), params);
    let mut names = Names { cohorts: vec!["all".to_owned()], versions: Vec::new() };
    let (mut head, mut read) = (None, Read::default());
    if let Some(key) = &key {
        let of = (key.job.as_str(), key.window.as_str());
        names = reading::all(connection, async |c| series::names(c, of, key.end, MOST_NAMES).await).await?;
        let facts = reading::all(connection, async |c| window::facts(c, key).await).await?;
        head = match facts {
            Some(facts) => Some(head_of(connection, &selection, (key, &facts), (&mut frame, params)).await?),
            None => None,
        };
        read = read_panels(connection, &selection, key, &mut panels).await?;
    }
    panels.say_why_empty(&selection, &read, key.is_some());
    Ok(build((frame, selection, params.clone()), (names, head), read, panels))
}

/// Builds the first lines: the window and its neighbors on this page.
async fn head_of(
    connection: &mut PgConnection,
    selection: &Selection,
    (key, facts): (&WindowKey, &FactsRow),
    (frame, params): (&mut Frame, &Params),
) -> Result<Head, PageError> {
    let neighbors = window::neighbors(connection, key).await?;
    let metric = selection.of.metric.as_str();
    let mut head = windows::head(key, facts, (None, None), (selection.about(), metric, frame.zone));
    let here = Links::default().job_part(&key.job, "classes");
    let at = |end| format!("{here}{}", params.with(&[("to", Some(&instant(end))), ("panel", None)]));
    head.previous = neighbors.previous.map(at);
    head.next = neighbors.next.map(at);
    frame.exact =
        Some(format!("{here}{}", params.with(&[("to", Some(&instant(key.end))), ("window", Some(&key.window))])));
    Ok(head)
}

async fn read_panels(
    connection: &mut PgConnection,
    selection: &Selection,
    key: &WindowKey,
    panels: &mut Panels,
) -> Result<Read, PageError> {
    let confusion = reading::panel(connection, async |c| read::confusion(c, key, MOST_CLASSES).await).await?;
    let mut found = Read { confusion: panels.confusion.take(confusion), ..Read::default() };
    if !selection.about().is_binary() {
        return Ok(found);
    }
    let numbers = reading::panel(connection, async |c| read::numbers(c, key).await).await?;
    found.numbers = panels.calibration.take(numbers).unwrap_or_default();
    let bins = reading::panel(connection, async |c| read::calibration(c, key).await).await?;
    found.bins = panels.calibration.take(bins);
    let (metrics, dimensions) = classes::comparisons(selection);
    if !metrics.is_empty() {
        let gaps = reading::panel(connection, async |c| read::gaps(c, key, &metrics).await).await?;
        found.gaps = panels.gaps.take(gaps);
        let groups = reading::panel(connection, async |c| read::groups(c, key, &dimensions, MOST_GROUPS).await).await?;
        found.groups = panels.groups.take(groups);
    }
    Ok(found)
}

fn build(
    (frame, selection, params): (Frame, Selection, Params),
    (names, head): (Names, Option<Head>),
    read: Read,
    panels: Panels,
) -> ClassesPage {
    let (job, window, about) = (selection.of.job.as_str(), selection.of.window.as_str(), selection.about());
    ClassesPage {
        matrix: view::matrix(&read.confusion, about.is_binary()),
        facts: view::calibration_facts(&read.numbers),
        curve: calibration::svg(&view::curve(&read.bins)),
        bins: view::bin_lines(&read.bins),
        bars: bars::svg(&view::coverage_bars(&read.bins)),
        coverage: view::coverage_lines(&read.numbers, &read.bins),
        gaps: fairness::gap_lines(job, window, about, &read.gaps),
        groups: fairness::group_tables(job, window, about, &read.groups),
        tabs: tabs::tabs(&selection.job, "classes"),
        frame,
        names,
        head,
        panels,
        selection,
        params,
    }
}

/// The panels of the page.
struct Panels {
    confusion: Panel,
    calibration: Panel,
    coverage: Panel,
    gaps: Panel,
    groups: Panel,
}

impl Panels {
    fn new(selection: &Selection, key: Option<&WindowKey>, params: &Params) -> Self {
        let of = &selection.of;
        let here = Links::default().job_part(&of.job, "classes");
        let query = params.with(&[("panel", None), ("tz", None), ("theme", None)]);
        let (metrics, dimensions) = classes::comparisons(selection);
        let panel = |id: &'static str, title: &str, says: &str, query_of: &dyn Fn(&WindowKey) -> String| {
            let address =
                |ending: &str| with_query(&format!("/api/v1/jobs/{}/{id}{ending}{query}", escaped(&of.job)), &[]);
            let panel = Panel::new(id, title, says)
                .sql(key.map(query_of).unwrap_or_default())
                .download("CSV", address(".csv"))
                .download("JSON", address(""))
                .alone(format!("{here}{}", params.with(&[("panel", Some(id))])));
            // Tables of names have no drawing.
            if ["gaps", "groups"].contains(&id) { panel } else { panel.download("SVG", address(".svg")) }
        };
        Self {
            confusion: panel(
                "confusion",
                "Confusion matrix",
                "Pairs by label and decision. A share is of the pairs with the same label; on the diagonal the decision is right.",
                &sql::confusion,
            ),
            calibration: panel(
                "calibration",
                "Calibration",
                "The share of positive labels by mean score: on the diagonal scores mean what they say.",
                &sql::calibration,
            ),
            coverage: panel(
                "coverage",
                "Which decisions get labels",
                "The share of predictions with a label. Where decisions choose what gets one, every metric of labels is about the chosen ones.",
                &sql::coverage,
            ),
            gaps: panel(
                "gaps",
                "Gaps between groups",
                "The group that differs most from the reference, over all cohorts.",
                &|key| sql::gaps(key, &metrics),
            ),
            groups: panel("groups", "Groups", "The numbers behind the gaps, with 95 % intervals.", &|key| {
                sql::groups(key, &dimensions)
            }),
        }
    }

    /// Says of each panel without data which reason it is.
    fn say_why_empty(&mut self, selection: &Selection, read: &Read, is_measured: bool) {
        let say = |panel: &mut Panel, is_empty: bool, why: &str| {
            let why = if is_measured { why } else { tabs::why_empty(selection) };
            *panel = std::mem::take(panel).empty_if(is_empty, why);
        };
        let has_pairs = read.confusion.iter().any(|row| row.pairs > 0);
        let is_kept = !read.confusion.is_empty() || selection.about().is_multiclass();
        say(
            &mut self.confusion,
            !has_pairs,
            if is_kept {
                "No pairs yet: the window has no predictions, or no labels."
            } else {
                "The job keeps no decisions; `recall`, `precision` or `accuracy` in [metrics] keep them."
            },
        );
        let no_bins = "The job keeps no calibration; `ece` in [metrics] keeps it, if scores are probabilities.";
        let no_labels = "No labels yet.";
        let has_labels = read.bins.iter().any(|row| row.pairs > 0);
        say(&mut self.calibration, !has_labels, if read.bins.is_empty() { no_bins } else { no_labels });
        say(
            &mut self.coverage,
            read.bins.is_empty() && read.numbers.coverage_of_positive.is_none(),
            "The job keeps no coverage by decision or score; `coverage_of_positive`, `coverage_of_negative` and `ece` keep it.",
        );
        say(&mut self.gaps, !is_measured, "");
        say(&mut self.groups, read.groups.is_empty(), "The window has no groups of this version.");
    }
}
