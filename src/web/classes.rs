//! The window of classes that a page or an answer of the API shows.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::error::PageError;
use super::params::Params;
use super::selection::{self, Selection};
use crate::store::read::classes as read;
use crate::store::read::window::WindowKey;

/// Parameters that choose a window.
pub const KNOWN: [&str; 4] = ["window", "cohort", "version", "to"];

/// Selects a job that predicts classes.
pub async fn select(connection: &mut PgConnection, name: &str, params: &Params) -> Result<Selection, PageError> {
    let selection = selection::select(connection, name, params).await?;
    match selection.about().has_classes() {
        true => Ok(selection),
        false => Err(PageError::NotFound(
            "The job predicts numbers. Jobs of classes set `task` in [model] to `binary` or `multiclass`.".to_owned(),
        )),
    }
}

/// Chooses the window: the newest one that ends by `to`; without it the newest one with labels, else the newest one.
pub async fn choose(
    connection: &mut PgConnection,
    selection: &Selection,
    params: &Params,
) -> sqlx::Result<Option<WindowKey>> {
    let end = read::newest(connection, &selection.of, params.get("to").is_none()).await?;
    Ok(end.map(|end| key(selection, end)))
}

/// The window of a selection that ends at a time.
pub fn key(selection: &Selection, end: DateTime<Utc>) -> WindowKey {
    let of = &selection.of;
    WindowKey {
        job: of.job.clone(),
        window: of.window.clone(),
        end,
        cohort: of.cohort.clone(),
        version: of.version.clone(),
        as_of: None,
    }
}

/// Names of the comparisons of groups, and their dimensions, each once.
pub fn comparisons(selection: &Selection) -> (Vec<String>, Vec<String>) {
    let gaps = &selection.about().gaps;
    let mut dimensions: Vec<String> = gaps.iter().map(|gap| gap.by.clone()).collect();
    dimensions.sort();
    dimensions.dedup();
    (gaps.iter().map(|gap| gap.metric.clone()).collect(), dimensions)
}
