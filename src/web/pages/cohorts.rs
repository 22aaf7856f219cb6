//! `/jobs/{job}/cohorts`: which cohorts the error is in, and since when.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, State};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{Page, render};
use crate::chart::{Svg, heatmap};
use crate::store::read::cohorts::{self as read, CellRow};
use crate::store::read::series::{self, OpenAlertRow, Selector};
use crate::text::links::{Links, instant, with_query};
use crate::web::error::PageError;
use crate::web::frame::{self, Frame, Section};
use crate::web::params::Params;
use crate::web::selection::{self, Selection};
use crate::web::session::Visitor;
use crate::web::view::cohort_cells::{self as cells, Table};
use crate::web::view::cohorts::{self as view, Line, Scale, Track};
use crate::web::view::job::{self as tabs, Tab};
use crate::web::view::panel::Panel;
use crate::web::{Shared, reading};

/// Columns of the heatmap.
const MOST_ENDS: i64 = 96;
/// Cohorts that are shown first, and on request.
const FEW: i64 = 10;
const MANY: i64 = 40;

#[derive(Template)]
#[template(path = "cohorts.html")]
struct CohortsPage {
    frame: Frame,
    selection: Selection,
    params: Params,
    tabs: Vec<Tab>,
    /// Dimensions to choose from, and the chosen ones.
    by: Option<String>,
    scale: Scale,
    top: i64,
    more: Option<String>,
    heat: Panel,
    drawing: Svg,
    legend: String,
    table: Table,
    lines: Vec<Line>,
}

/// The part of the page that its address chooses besides the selection.
struct Choice {
    by: Option<Vec<String>>,
    scale: Scale,
    top: i64,
}

pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    Extension(visitor): Extension<Visitor>,
    Path(name): Path<String>,
    params: Params,
) -> Page {
    frame::check(&params, &["by", "window", "metric", "scale", "top", "from", "to", "as_of"], &shared)?;
    let page = reading::snapshot(&shared, async |connection| {
        let selection = selection::select(connection, &name, &params).await?;
        let choice = choice(&selection, &params)?;
        let frame = Frame::read(connection, (&shared, &visitor, &params), Section::Elsewhere).await?;
        page(connection, frame.titled(format!("{name}, cohorts")), (selection, choice), &params).await
    })
    .await?;
    render(&page)
}

fn choice(selection: &Selection, params: &Params) -> Result<Choice, PageError> {
    let known = &selection.about().dimensions;
    let by = params.get("by").map(|names| names.split(',').map(|name| name.trim().to_owned()).collect::<Vec<_>>());
    if let Some(unknown) = by.iter().flatten().find(|name| !known.contains(name)) {
        let has = if known.is_empty() { "it has none".to_owned() } else { format!("it has {}", known.join(", ")) };
        let unknown = crate::text::line::clipped(unknown, 60);
        return Err(PageError::BadRequest(format!("the job has no dimension `{unknown}`; {has}")));
    }
    Ok(Choice {
        by,
        scale: Scale::named(params.one_of("scale", &Scale::NAMES)?),
        top: params.number("top", 1..=MANY)?.unwrap_or(FEW),
    })
}

async fn page(
    connection: &mut PgConnection,
    mut frame: Frame,
    (selection, choice): (Selection, Choice),
    params: &Params,
) -> Result<CohortsPage, PageError> {
    let mut heat = panel(&selection, params);
    let (of, about) = (&selection.of, selection.about());
    let read = reading::panel(connection, async |c| read_tracks(c, &selection, &choice).await).await?;
    let (ends, total, mut tracks) = heat.take(read);
    let has_more = tracks.iter().filter(|track| track.row.cohort != "all" && !track.row.is_other).count()
        > usize::try_from(choice.top).unwrap_or(usize::MAX);
    if has_more && let Some(last) = tracks.iter().rposition(|track| track.row.cohort != "all" && !track.row.is_other) {
        tracks.remove(last);
    }
    heat.sql = view::cells_sql(of, &tracks, (&ends, total));
    heat = heat.empty_if(ends.is_empty(), tabs::why_empty(&selection));
    heat = heat
        .empty_if(tracks.len() < 2, "The job has no cohorts in this range; `[[cohorts]]` in its file declares them.");
    let zone = frame.zone;
    let (from, to) = (instant(of.from), instant(of.to));
    let as_of = instant(of.as_of.unwrap_or(frame.now));
    let exact = params.with(&[("from", Some(&from)), ("to", Some(&to)), ("as_of", Some(&as_of))]);
    let here = Links::default().job_part(&of.job, "cohorts");
    frame.exact = Some(format!("{here}{exact}"));
    let mut drawn = view::heatmap(of, about, &tracks, &ends, (choice.scale, zone));
    drawn.targets = cells::targets(of, about, &tracks, &ends, (choice.scale, zone));
    Ok(CohortsPage {
        drawing: heatmap::svg(&drawn),
        legend: legend(&selection, &choice, (ends.len(), total)),
        table: cells::table(of, about, &tracks, &ends, (choice.scale, zone)),
        lines: view::lines(of, about, &tracks, &ends),
        tabs: tabs::tabs(&selection.job, "cohorts"),
        by: choice.by.map(|names| names.join(",")),
        more: (has_more && choice.top < MANY)
            .then(|| format!("{here}{}", params.with(&[("top", Some(&MANY.to_string()))]))),
        scale: choice.scale,
        top: choice.top,
        frame,
        heat,
        selection,
        params: params.clone(),
    })
}

/// Reads the ends of windows, how many there are in the range, and the cohorts over these windows.
async fn read_tracks(
    connection: &mut PgConnection,
    selection: &Selection,
    choice: &Choice,
) -> sqlx::Result<(Vec<DateTime<Utc>>, i64, Vec<Track>)> {
    let of = &selection.of;
    let rows = read::ends(connection, of, MOST_ENDS).await?;
    let total = rows.first().map_or(0, |row| row.total);
    let ends: Vec<DateTime<Utc>> = rows.into_iter().map(|row| row.window_end).collect();
    let ranked = read::ranked(connection, of, &ends, choice.by.as_deref(), choice.top + 1).await?;
    let cohorts: Vec<String> = ranked.iter().map(|row| row.cohort.clone()).collect();
    let cells = read::cells(connection, of, &ends, &cohorts).await?;
    let (errors, is_root) = errors(connection, selection, &ends, (&cohorts, &cells)).await?;
    let open: Vec<OpenAlertRow> = match of.as_of {
        None => series::open_alerts(connection, &of.job).await?,
        // Alerts are shown as they are now; their past is on the pages of incidents.
        Some(_) => Vec::new(),
    };
    let tracks = view::tracks(&ends, ranked, cells, (&errors, is_root), &open);
    Ok((ends, total, tracks))
}

/// Reads the squared error of the cells: from mse, or from rmse, as the flag says.
async fn errors(
    connection: &mut PgConnection,
    selection: &Selection,
    ends: &[DateTime<Utc>],
    (cohorts, cells): (&[String], &[CellRow]),
) -> sqlx::Result<(Vec<CellRow>, bool)> {
    let Some(metric) = ["mse", "rmse"].into_iter().find(|name| selection.about().metric(name).is_some()) else {
        return Ok((Vec::new(), false));
    };
    let is_root = metric == "rmse";
    if selection.of.metric == metric {
        return Ok((cells.to_vec(), is_root));
    }
    let of = Selector { metric: metric.to_owned(), ..selection.of.clone() };
    Ok((read::cells(connection, &of, ends, cohorts).await?, is_root))
}

fn panel(selection: &Selection, params: &Params) -> Panel {
    let of = &selection.of;
    let here = Links::default().job_part(&of.job, "cohorts");
    let query = params.with(&[("panel", None), ("tz", None), ("theme", None)]);
    Panel::new(
        "heat",
        format!("{} of {} by cohort", of.metric, of.window),
        "The cohorts with the largest share of squared error first; everything above them, the rest below.",
    )
    .download("JSON", with_query(&format!("/api/v1{here}{query}"), &[]))
    .alone(format!("{here}{}", params.with(&[("panel", Some("heat"))])))
}

/// Meaning of shades and signs, in words.
fn legend(selection: &Selection, choice: &Choice, (shown, total): (usize, i64)) -> String {
    let of = &selection.of;
    let shade = match choice.scale {
        Scale::Value => format!("Darker is a larger {}.", of.metric),
        Scale::Usual => {
            "A shade is the value by the median of its row; a dot marks twice the usual and more.".to_owned()
        }
        Scale::Share => "Darker is a larger share of the squared error of everything in that window.".to_owned(),
    };
    let fewest = view::fewest(selection.about(), of);
    let few = if fewest > 0 { format!(" Hatched: fewer than {fewest} labels.") } else { String::new() };
    let thinned = if usize::try_from(total).is_ok_and(|total| total > shown) {
        format!(" {shown} of {total} windows are shown, at equal distances.")
    } else {
        String::new()
    };
    format!("{shade} A ring is provisional, a blank has no value.{few}{thinned}")
}
