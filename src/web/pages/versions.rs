//! `/jobs/{job}/versions`: is the new version worse, on the same windows and on the same keys.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, State};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{Page, render};
use crate::chart::svg::several;
use crate::chart::{Size, Svg};
use crate::domain::name::text_literal;
use crate::domain::shown::Shown;
use crate::store::read::cohorts as cells;
use crate::store::read::residuals::Scope;
use crate::store::read::series::{self, AnnotationRow};
use crate::store::read::versions::{self as read, FirstRow, SamePairsRow};
use crate::text::links::{Links, instant};
use crate::web::error::PageError;
use crate::web::frame::{self, Frame, Section};
use crate::web::hide::Hide;
use crate::web::params::Params;
use crate::web::selection::{self, Selection};
use crate::web::session::Visitor;
use crate::web::view::job::{self as tabs, Tab};
use crate::web::view::panel::Panel;
use crate::web::view::same_keys::{self, Same};
use crate::web::view::versions::{self as view, VersionLine, Versions, WindowRow};
use crate::web::view::words::{self, When};
use crate::web::view::{drawing, residual_sql};
use crate::web::{Shared, reading, scope};

/// Windows in the chart, and annotations below it.
const MOST_ENDS: i64 = 96;
const MOST_MARKS: i64 = 60;
/// Lines in the chart: more look alike.
const MOST_LINES: usize = 5;

#[derive(Template)]
#[template(path = "versions.html")]
struct VersionsPage {
    frame: Frame,
    selection: Selection,
    params: Params,
    tabs: Vec<Tab>,
    names: Vec<String>,
    chosen: Option<String>,
    against: String,
    through_time: Panel,
    drawing: Svg,
    drawn: Vec<String>,
    /// Annotations: when, and in words.
    marks: Vec<(char, When, String)>,
    table: Vec<WindowRow>,
    compared: Panel,
    lines: Vec<VersionLine>,
    pairs: Panel,
    same: Option<Same>,
}

/// Rows of all panels of the page.
#[derive(Default)]
struct Read {
    total: i64,
    versions: Versions,
    annotations: Vec<AnnotationRow>,
}

impl Hide for Read {
    fn hide(&mut self, shown: &Shown) {
        self.annotations.hide(shown);
    }
}

pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    Extension(visitor): Extension<Visitor>,
    Path(name): Path<String>,
    params: Params,
) -> Page {
    frame::check(&params, &["version", "against", "cohort", "window", "metric", "from", "to", "as_of"], &shared)?;
    let page = reading::snapshot(&shared, async |connection| {
        let selection = selection::select(connection, &name, &params).await?;
        let frame = Frame::read(connection, (&shared, &visitor, &params), Section::Elsewhere).await?;
        page(connection, frame.titled(format!("{name}, versions")), selection, &params).await
    })
    .await?;
    render(&page)
}

async fn page(
    connection: &mut PgConnection,
    mut frame: Frame,
    selection: Selection,
    params: &Params,
) -> Result<VersionsPage, PageError> {
    let [mut through_time, mut compared, mut pairs] = panels(&selection, params);
    let (of, about, zone) = (&selection.of, selection.about(), frame.zone);
    let read = reading::panel(connection, async |c| read_versions(c, &selection).await).await?;
    let read: Read = through_time.take(read);
    let names = read.versions.names();
    for name in ["version", "against"] {
        known(params.get(name), &names, (name, &through_time))?;
    }
    let asked = params.get("against").map(str::to_owned);
    let chosen = of.version.clone().or_else(|| names.iter().find(|name| asked.as_ref() != Some(*name)).cloned());
    let against = asked.or_else(|| read.versions.incumbent(chosen.as_deref())).unwrap_or_default();
    let chosen = chosen.filter(|chosen| *chosen != against);
    let same = same_pairs(connection, &selection, (&read, chosen.as_deref(), &against), &mut pairs).await?;
    let first = first_seen(connection, &selection, &names).await?;
    let drawn = drawn(&names, chosen.as_ref(), &against);
    let metric = about.metric(&of.metric);
    let lines = view::chart(&read.versions, &drawn, metric, zone, of);
    let ends = &read.versions.ends;
    through_time.sql = view::chart_sql(of, &drawn, (ends, read.total));
    compared.sql = through_time.sql.clone();
    through_time = through_time.empty_if(names.is_empty(), why_empty(&selection));
    compared = compared.empty_if(names.is_empty(), why_empty(&selection));
    let range = ends.first().zip(ends.last()).map_or(of.from..of.to, |(first, last)| *first..*last);
    frame.exact = Some(exact(&selection, params, frame.now));
    let marks = drawing::marks(&read.annotations);
    let size = Size {
        height: 240,
        zone,
        unit: metric.map_or(String::new(), |metric| metric.unit.trim().to_owned()),
        label: format!("{} of {} by version", of.metric, of.window),
    };
    Ok(VersionsPage {
        drawing: several(&lines, &marks, &range, &size),
        marks: marks.into_iter().map(|mark| (mark.letter, words::when(mark.at, zone), mark.words)).collect(),
        table: view::table(&read.versions, &drawn, (of, about, zone)),
        lines: view::lines(&read.versions, &names, (chosen.as_deref(), &against), &first, (of, about, zone)),
        tabs: tabs::tabs(&selection.job, "versions"),
        names,
        chosen,
        against,
        through_time,
        drawn,
        compared,
        pairs,
        same,
        frame,
        selection,
        params: params.clone(),
    })
}

/// Refuses a version that has no window in the range.
fn known(given: Option<&str>, names: &[String], (param, panel): (&str, &Panel)) -> Result<(), PageError> {
    let Some(given) = given.filter(|given| panel.empty.is_none() && !names.iter().any(|name| name == given)) else {
        return Ok(());
    };
    let given = crate::text::line::clipped(given, 60);
    let has = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    Err(PageError::NotFound(format!(
        "No window in this range has the version `{given}` of `{param}`; the range has {has}."
    )))
}

/// The versions in the chart: the one compared with, the chosen one, and the newest others.
fn drawn(names: &[String], chosen: Option<&String>, against: &str) -> Vec<String> {
    let base = names.iter().filter(|name| name.as_str() == against);
    let others = names.iter().filter(|name| name.as_str() != against && Some(*name) != chosen);
    base.chain(chosen).chain(others).take(MOST_LINES).cloned().collect()
}

fn why_empty(selection: &Selection) -> &'static str {
    if selection.about().has_versions {
        tabs::why_empty(selection)
    } else {
        "The job declares no versions; `predictions.version` names their column."
    }
}

fn exact(selection: &Selection, params: &Params, now: DateTime<Utc>) -> String {
    let of = &selection.of;
    let (from, to, as_of) = (instant(of.from), instant(of.to), instant(of.as_of.unwrap_or(now)));
    let query = params.with(&[("from", Some(&from)), ("to", Some(&to)), ("as_of", Some(&as_of))]);
    format!("{}{query}", Links::default().job_part(&of.job, "versions"))
}

async fn read_versions(connection: &mut PgConnection, selection: &Selection) -> sqlx::Result<Read> {
    let of = &selection.of;
    let rows = cells::ends(connection, of, MOST_ENDS).await?;
    let total = rows.first().map_or(0, |row| row.total);
    let ends: Vec<DateTime<Utc>> = rows.into_iter().map(|row| row.window_end).collect();
    let cells = cells::versions(connection, of, &ends).await?;
    let versions = Versions::new(ends, cells);
    let annotations = series::annotations(connection, Some(&of.job), (Some(of.from), Some(of.to)), MOST_MARKS).await?;
    Ok(Read { total, versions, annotations })
}

/// Reads when versions were first seen. Without it the panel stands: in a long history it may take too long.
async fn first_seen(
    connection: &mut PgConnection,
    selection: &Selection,
    names: &[String],
) -> Result<Vec<FirstRow>, PageError> {
    let windows: Vec<String> = selection.about().windows.iter().map(|window| window.name.clone()).collect();
    let job = &selection.of.job;
    let first = reading::panel(connection, async |c| read::first_seen(c, (job, &windows), names).await).await?;
    Ok(first.unwrap_or_default())
}

/// Compares two versions on the keys that both predicted.
async fn same_pairs(
    connection: &mut PgConnection,
    selection: &Selection,
    (read, chosen, against): (&Read, Option<&str>, &str),
    panel: &mut Panel,
) -> Result<Option<Same>, PageError> {
    let start =
        read.versions.ends.first().and_then(|end| read.versions.together.get(end)).map(|cell| cell.window_start);
    let (Some(chosen), Some(from), Some(to)) = (chosen, start, read.versions.ends.last().copied()) else {
        panel.empty = Some("There is only one version in this range.".to_owned());
        return Ok(None);
    };
    let scope = match scope::choose(connection, selection, (from, to)).await? {
        Ok(scope) => Scope { version: Some(chosen.to_owned()), ..scope },
        Err(why) => {
            panel.empty = Some(why.to_owned());
            return Ok(None);
        }
    };
    panel.says.push_str(&scope::sampled(&scope));
    panel.sql = same_sql(&scope, chosen, against);
    let row = reading::panel(connection, async |c| read::same_pairs(c, &scope, against).await).await?;
    let row: SamePairsRow = panel.take(row);
    let unit = selection.about().unit.as_deref().map_or(String::new(), |unit| format!(" {unit}"));
    let same = same_keys::same(&row, (chosen, against), &unit);
    if same.is_none() && panel.empty.is_none() {
        panel.empty = Some(format!(
            "No key in this range has labeled residuals of both {chosen} and {against}: each version saw its own traffic, so the values \
             above compare different predictions."
        ));
    }
    Ok(same)
}

fn same_sql(of: &Scope, chosen: &str, against: &str) -> String {
    let both = Scope { version: None, ..of.clone() };
    let versions =
        format!("model_version in ({}, {}) and outcome = 'pair'", text_literal(chosen), text_literal(against));
    let pair = residual_sql::over(&both, "prediction_key, model_version, error", &versions, "");
    let pair = pair.trim_end_matches(['\n', ';']).replace('\n', "\n    ");
    format!(
        "with pair as (\n    {pair}\n)\nselect count(*) as pairs, sqrt(avg(a.error * a.error)) as rmse, sqrt(avg(b.error * b.error)) as \
         against_rmse,\n       avg(a.error * a.error - b.error * b.error) as difference\nfrom pair a\njoin pair b using \
         (prediction_key)\nwhere a.model_version = {} and b.model_version = {};",
        text_literal(chosen),
        text_literal(against)
    )
}

fn panels(selection: &Selection, params: &Params) -> [Panel; 3] {
    let of = &selection.of;
    let here = Links::default().job_part(&of.job, "versions");
    let panel = |id: &'static str, title: &str, says: &str| {
        Panel::new(id, title, says).alone(format!("{here}{}", params.with(&[("panel", Some(id))])))
    };
    let target = words::target(&of.cohort, None);
    let api = format!("/api/v1{}/series", Links::default().job(&of.job));
    let query = params.with(&[("panel", None), ("tz", None), ("theme", None), ("against", None)]);
    let mut through_time = panel(
        "time",
        &format!("{} of {} by version", of.metric, of.window),
        &format!("Each version on its own predictions, for {target}."),
    );
    if of.version.is_some() {
        through_time =
            through_time.download("CSV", format!("{api}.csv{query}")).download("JSON", format!("{api}{query}"));
    }
    [
        through_time,
        panel(
            "compared",
            "On the same windows",
            "Windows in which both versions have a value and that do not overlap; the predictions in them may differ.",
        ),
        panel("same", "On the same keys", "Predictions of both versions for the same key, with the same label."),
    ]
}
