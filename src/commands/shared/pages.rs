//! Shared by commands that serve pages: `serve`, `web` and `demo`.

use anyhow::Result;
use secrecy::ExposeSecret as _;
use sqlx::postgres::PgConnectOptions;

use super::database;
use crate::cli::Global;
use crate::commands::user_error;
use crate::postgres::connect;
use crate::settings::Web;
use crate::web::{Acts, Retention, Runner, Site};

/// Returns the database of the pages: their own role, else that of all commands. `None` if neither is set.
pub(in crate::commands) fn options(global: &Global, web: &Web) -> Result<Option<PgConnectOptions>> {
    let own = web.database.url().map_err(user_error)?;
    let url = own.as_ref().map(|url| url.expose_secret()).or(global.database_url.as_deref());
    url.map(database::options).transpose()
}

/// Prepares the pages: fetches their secrets, and opens read-only connections of their own.
pub(in crate::commands) async fn site(
    (web, retention): (&Web, Retention),
    options: PgConnectOptions,
    acts: Option<Acts>,
    runner: Option<Runner>,
) -> Result<Site> {
    let token = web.token().map_err(user_error)?;
    let reader = connect::reading_pool(options, web.database.max_connections, web.database.timeout).await?;
    Ok(Site {
        reader,
        acts,
        runner,
        token,
        hosts: web.hosts.clone(),
        login: web.login.clone(),
        local_user: database::author(None),
        links: web.links.clone(),
        embed: web.embed.clone(),
        badges: web.badges.clone(),
        zone: web.timezone,
        retention,
    })
}
