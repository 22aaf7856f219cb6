//! `migrate`: brings the schema up to date.

use std::process::ExitCode;

use anyhow::Result;

use super::grants::{self, Roles};
use crate::cli::{Global, MigrateArgs};
use crate::commands::output;
use crate::commands::shared::database;
use crate::postgres::{migrate, refused};

pub(in crate::commands) async fn run(global: &Global, args: &MigrateArgs) -> Result<ExitCode> {
    if args.print_grants {
        output::print_lines(&grants::sql(global, &Roles { runner: &args.runner, reader: &args.reader })?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let place = match &global.database_url {
        Some(url) => {
            let options = database::options(url)?;
            migrate::run(&options).await.map_err(|error| match error.downcast() {
                Ok(refused) => database::sorted(refused),
                Err(other) => other,
            })?;
            refused::place(&options)
        }
        // Connecting to the local database migrates it.
        None => database::database(global, &crate::settings::Settings::default()).await?.place,
    };
    output::print(&format!("the `trueup` schema is up to date at {place}"))?;
    Ok(ExitCode::SUCCESS)
}
