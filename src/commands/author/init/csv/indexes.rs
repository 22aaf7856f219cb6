//! The indexes that a run of a job looks for, on tables that were made from files.

use anyhow::Result;
use sqlx::PgConnection;

use crate::commands::{output, user_error};
use crate::domain::name::Identifier;
use crate::plan::propose::Proposal;
use crate::warehouse::import;

/// Makes those that the job of a proposal reads by.
pub(in crate::commands::author::init) async fn make(connection: &mut PgConnection, proposal: &Proposal) -> Result<()> {
    let named = |name: &str| Identifier::new(name).map_err(user_error);
    let (p, l) = (named(&proposal.predictions.name)?, named(&proposal.labels.name)?);
    let version = proposal.version.as_deref().map(named).transpose()?;
    key(connection, &p, &named(&proposal.id.0)?, version.as_ref()).await?;
    key(connection, &l, &named(&proposal.id.1)?, None).await?;
    let mut times = vec![(&p, &proposal.at)];
    // The job names both or none.
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

/// A unique index on the key, with the version where a prediction has one by each; a plain one where rows repeat.
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

/// Keys may be longer than a page of an index holds: a run is slower without it, and right.
fn refused(table: &Identifier, made: sqlx::Result<()>) -> Result<()> {
    match made {
        Err(sqlx::Error::Database(error)) => {
            output::note(&format!("note: no index on {table}: {}", error.message()));
            Ok(())
        }
        made => Ok(made?),
    }
}
