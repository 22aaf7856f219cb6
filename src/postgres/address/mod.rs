//! The address of the database: converts `DATABASE_URL`, in every form that libpq accepts, to driver options.
//!
//! Parameters missing from the address come from a service file, then from libpq's environment variables, then from
//! defaults. Errors name the mistake but never quote it: in an address split at the wrong place, any part may belong to a
//! password.

mod build;
mod keywords;
mod parameters;
mod passfile;
mod service;
mod uri;

use anyhow::{Result, bail};
use sqlx::postgres::PgConnectOptions;

use parameters::{Origin, Parameters};

/// Returns options from an address, this process's environment and the files that libpq reads.
pub fn options(address: &str) -> Result<PgConnectOptions> {
    build::options(&parameters(address, &|name| std::env::var(name).ok())?)
}

/// Looks up an environment variable; `None` if it is not set.
type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Collects all connection parameters, each from the first source that has it.
fn parameters(address: &str, environment: Environment) -> Result<Parameters> {
    let mut parameters = Parameters::default();
    // A file or a secret store often ends a value with a line break.
    let address = address.trim();
    if let Some(rest) = ["postgres://", "postgresql://"].iter().find_map(|scheme| address.strip_prefix(scheme)) {
        uri::read(rest, &mut parameters)?;
    } else if address.contains('=') && !address.contains("://") {
        keywords::read(address, &mut parameters)?;
    } else {
        bail!(
            "`DATABASE_URL` is not a postgres:// address: write postgres://user@host:5432/database, or \
             `host=… port=… user=… dbname=…`"
        );
    }
    service::read(&mut parameters, environment)?;
    parameters.fill(Origin::Environment, environment);
    passfile::read(&mut parameters, environment);
    build::default_files(&mut parameters, environment);
    Ok(parameters)
}

#[cfg(test)]
mod tests;
