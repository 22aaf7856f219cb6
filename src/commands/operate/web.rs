//! `web`: the pages and the API alone, for a role that may only read. Nothing is scheduled, and nothing can be changed.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use sqlx::postgres::PgConnectOptions;

use crate::cli::Global;
use crate::commands::output;
use crate::commands::shared::{database, jobs, pages, signals};
use crate::commands::user_error;
use crate::postgres::local::{LocalDatabase, LocalServer};
use crate::postgres::migrate;
use crate::settings::Web;
use crate::web::{self, Retention};

/// Address of the pages unless settings or command line name one.
pub(in crate::commands) const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9187);

pub(in crate::commands) async fn run(global: &Global, listen: Option<SocketAddr>) -> Result<ExitCode> {
    let settings = jobs::settings(global)?;
    let mut web = settings.web.clone().unwrap_or_else(|| Web::local(LISTEN));
    if let Some(listen) = listen {
        web = web.at(listen).map_err(user_error)?;
    }
    let (options, _server) = database(global, &web).await?;
    let mut stopped = signals::stop()?;
    let site = pages::site((&web, Retention::of(&settings)), options, None, None).await?;
    let bound =
        web::listen(web.listen, site, stopped.clone()).await.map_err(|error| user_error(format!("{error:#}")))?;
    output::note(&format!("pages at http://{bound}/ (read-only; Ctrl-C stops)"));
    // An error means that the sender is gone, and nothing else could stop this.
    let _stopped = stopped.wait_for(|stopped| *stopped).await;
    Ok(ExitCode::SUCCESS)
}

/// The database of the pages, or the private Postgres of this folder.
async fn database(global: &Global, web: &Web) -> Result<(PgConnectOptions, Option<LocalServer>)> {
    if let Some(options) = pages::options(global, web)? {
        return Ok((options, None));
    }
    let server = database::local_server(Path::new(database::LOCAL_FOLDER), database::Consent::Asked).await?;
    server.ensure_database(LocalDatabase::Main).await?;
    let options = server.options(LocalDatabase::Main.name());
    migrate::run(&options).await?;
    Ok((options, Some(server)))
}
