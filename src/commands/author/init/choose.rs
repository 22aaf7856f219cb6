//! Chooses two tables and their key: the named ones, or the likeliest whose rows belong together.

use anyhow::Result;
use sqlx::PgConnection;

use super::{look_failed, named, user_error};
use crate::cli::InitArgs;
use crate::plan::propose::{self, Named, Proposal, TableInfo};
use crate::warehouse::discover::{self, LookError, Matches};

/// Maximum pairs whose rows are compared, the likeliest first.
const MOST_TRIED: usize = 8;

/// Returns the named pair, or the likeliest whose rows belong together.
pub(super) async fn pair(connection: &mut PgConnection, tables: &[TableInfo], args: &InitArgs) -> Result<Proposal> {
    let columns = named(args);
    let predictions = candidates(tables, args.predictions.as_deref(), "predictions")?;
    let labels = candidates(tables, args.labels.as_deref(), "labels")?;
    let is_named = args.predictions.is_some() && args.labels.is_some();
    let mut pairs = match is_named {
        true => with_each_key(&predictions[0], &labels[0], &columns)?,
        false => propose::pairs(tables, &columns),
    };
    // A shared key alone, with no name that hints at predictions or labels, does not make a pair.
    let is_guess = args.predictions.is_none() && args.labels.is_none();
    pairs.retain(|pair| {
        predictions.contains(&pair.predictions) && labels.contains(&pair.labels) && (pair.is_hinted || !is_guess)
    });
    pairs.truncate(MOST_TRIED);
    let first = pairs.first().cloned();
    best(connection, pairs).await?.ok_or_else(|| none_fits(first.filter(|_| is_named).as_ref(), tables))
}

fn candidates(tables: &[TableInfo], given: Option<&str>, what: &str) -> Result<Vec<TableInfo>> {
    let Some(given) = given else { return Ok(tables.to_vec()) };
    let folded = given.to_lowercase();
    let is_it = |table: &&TableInfo| table.written() == given || table.written() == folded || table.name == given;
    tables.iter().find(is_it).cloned().map(|table| vec![table]).ok_or_else(|| {
        user_error(format!(
            "there is no table `{given}` for the {what} that this role can read; it can read {}",
            names(tables)
        ))
    })
}

/// Pairs two tables by each key that they could have; the rows decide.
fn with_each_key(predictions: &TableInfo, labels: &TableInfo, columns: &Named) -> Result<Vec<Proposal>> {
    let pair = |columns: &Named| propose::pair(predictions, labels, columns).map_err(|why| user_error(why.to_string()));
    if columns.id.is_some() {
        return Ok(vec![pair(columns)?]);
    }
    let keys = propose::keys(predictions, labels);
    if keys.is_empty() {
        return Ok(vec![pair(columns)?]);
    }
    keys.into_iter().map(|(id, _)| pair(&Named { id: Some(id), ..columns.clone() })).collect()
}

async fn best(connection: &mut PgConnection, pairs: Vec<Proposal>) -> Result<Option<Proposal>> {
    let mut best: Option<(Proposal, f64)> = None;
    for proposal in pairs {
        let matches = match discover::matches(connection, &proposal).await {
            Ok(matches) => matches,
            // Columns that cannot be compared do not form a pair.
            Err(LookError::Database(error)) if error.as_database_error().is_some() => continue,
            Err(LookError::Name(_)) => continue,
            Err(error) => return Err(look_failed(error)),
        };
        if matches.labeled == 0 || matches.repeated * 20 > matches.predictions {
            continue;
        }
        let share = share(&matches);
        // Prefer the likeliest by name, unless hardly any of its rows have a label.
        if best.as_ref().is_none_or(|(_, known)| *known <= 0.2 && share >= 0.5) {
            best = Some((proposal, share));
        }
    }
    Ok(best.map(|(proposal, _)| proposal))
}

/// Returns the share of sampled predictions that have a label.
#[expect(clippy::cast_precision_loss, reason = "rows of a sample")]
pub(super) fn share(matches: &Matches) -> f64 {
    matches.labeled as f64 / matches.predictions.max(1) as f64
}

fn none_fits(only: Option<&Proposal>, tables: &[TableInfo]) -> anyhow::Error {
    match only {
        Some(only) => user_error(format!(
            "`{}.{}` and `{}.{}` are not a key: they have no values in common, or several predictions share one. \
             Name the key with `--id PREDICTIONS=LABELS`",
            only.predictions.written(),
            only.id.0,
            only.labels.written(),
            only.id.1
        )),
        None => user_error(format!(
            "no two tables look like predictions and labels: predictions need a key, a `timestamptz` and a number, labels \
             the same key and a number. Name them with `--predictions` and `--labels`; this role can read {}",
            names(tables)
        )),
    }
}

fn names(tables: &[TableInfo]) -> String {
    match tables {
        [] => "none".to_owned(),
        _ => tables.iter().map(TableInfo::written).collect::<Vec<_>>().join(", "),
    }
}
