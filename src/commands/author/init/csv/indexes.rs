//! Creates the indexes that a run of a job uses, on tables loaded from files.

use anyhow::Result;
use sqlx::PgConnection;

use crate::commands::{output, user_error};
use crate::domain::name::Identifier;
use crate::plan::propose::Proposal;
use crate::warehouse::import;

/// Creates the indexes that the proposed job reads by.
pub(in crate::commands::author::init) async fn make(connection: &mut PgConnection, proposal: &Proposal) -> Result<()> {
    let named = |name: &str| Identifier::new(name).map_err(user_error);
    let (p, l) = (named(&proposal.predictions.name)?, named(&proposal.labels.name)?);
    let version = proposal.version.as_deref().map(named).transpose()?;
    key(connection, &p, &named(&proposal.id.0)?, version.as_ref()).await?;
    key(connection, &l, &named(&proposal.id.1)?, None).await?;
    let mut times = vec![(&p, &proposal.at)];
    // The job names both or neither.
    if let (Some(of_predictions), Some(of_labels)) = (&proposal.arrived_at, &proposal.label_arrived_at) {
        times.extend([(&p, of_predictions), (&l, of_labels)]);
    }
    for (table, column) in times {
        if *column != proposal.id.0 {
            let made = import::index(connection, table, &named(column)?).await;
            refused(table, made)?;
        }
    }
    Ok(())
}

/// Creates a unique index on the key, with the version if each has its own prediction, or a plain index if rows repeat.
async fn key(
    connection: &mut PgConnection,
    table: &Identifier,
    id: &Identifier,
    version: Option<&Identifier>,
) -> Result<()> {
    let made = match import::key(connection, table, &[id]).await {
        Ok(false) => match version {
            Some(version) => import::key(connection, table, &[id, version]).await,
            None => Ok(false),
        },
        made => made,
    };
    let made = match made {
        Ok(false) => import::index(connection, table, id).await,
        made => made.map(|_| ()),
    };
    refused(table, made)
}

/// Accepts a refused index: a key may be too long for an index page. Without it a run is slower, but correct.
fn refused(table: &Identifier, made: sqlx::Result<()>) -> Result<()> {
    match made {
        Err(sqlx::Error::Database(error)) => {
            output::note(&format!("note: no index on {table}: {}", error.message()));
            Ok(())
        }
        made => Ok(made?),
    }
}
