//! Inspects labels that may be two classes, and predictions that may be scores of them, before there is a job.

use sqlx::{PgConnection, Row as _};

use crate::plan::propose::class::{Classes, Values};
use crate::plan::propose::score::{History, Scores};
use crate::plan::propose::{ColumnInfo, Proposal};
use crate::sql::labels;
use crate::warehouse::discover::LookError;
use crate::warehouse::session;

/// Returns the most frequent values of columns of the labels, for those columns that have any.
pub async fn values(
    connection: &mut PgConnection,
    proposal: &Proposal,
    columns: &[&ColumnInfo],
) -> Result<Vec<Values>, LookError> {
    if columns.is_empty() {
        return Ok(Vec::new());
    }
    let rows = session::fetch(connection, &labels::values(proposal, columns)?, &[]).await?;
    let mut found: Vec<Values> = Vec::new();
    for row in rows {
        let place: i64 = row.try_get("place")?;
        let column = usize::try_from(place - 1).ok().and_then(|n| columns.get(n)).ok_or(sqlx::Error::RowNotFound)?;
        let value = (row.try_get("value")?, row.try_get("labels")?);
        match found.last_mut().filter(|values| values.column == column.name) {
            Some(values) => values.most.push(value),
            None => found.push(Values {
                column: column.name.clone(),
                kind: column.kind,
                most: vec![value],
                distinct: row.try_get("distinct_values")?,
            }),
        }
    }
    Ok(found)
}

/// Returns the distribution of the scores, for labels of which a share of `rate` is positive.
pub async fn scores(connection: &mut PgConnection, proposal: &Proposal, rate: f64) -> Result<Scores, LookError> {
    let rows = session::fetch(connection, &labels::scores(proposal, rate)?, &[]).await?;
    let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    Ok(Scores {
        count: row.try_get("scores")?,
        outside: row.try_get("outside")?,
        sure: row.try_get("sure")?,
        reached: row.try_get("reached")?,
        as_rare: row.try_get("as_rare")?,
    })
}

/// Returns how many labels there are of each class; labels have `wait` seconds to arrive.
pub async fn history(
    connection: &mut PgConnection,
    proposal: &Proposal,
    classes: &Classes,
    wait: i64,
) -> Result<History, LookError> {
    let rows = session::fetch(connection, &labels::history(proposal, classes, wait)?, &[]).await?;
    let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    Ok(History {
        days: row.try_get("days")?,
        labels: row.try_get("labels")?,
        positives: row.try_get("positives")?,
        coverage: row.try_get("coverage")?,
    })
}

/// Returns the 5th percentile of the AUC of windows of some days, and the number of windows; `None` if none has enough labels.
pub async fn usual_auc(
    connection: &mut PgConnection,
    proposal: &Proposal,
    classes: &Classes,
    wait: i64,
    days: i32,
) -> Result<Option<(f64, i64)>, LookError> {
    let rows = session::fetch(connection, &labels::usual_auc(proposal, classes, wait, days)?, &[]).await?;
    let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    let usual: Option<f64> = row.try_get("usual")?;
    Ok(usual.zip(Some(row.try_get("windows")?)))
}
