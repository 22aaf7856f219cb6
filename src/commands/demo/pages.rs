//! `demo --keep`: the pages over the history of the demo, until Ctrl-C.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::Result;
use sqlx::PgPool;

use crate::commands::operate::web;
use crate::commands::output;
use crate::commands::shared::{pages, signals};
use crate::notify::policy::route::Routing;
use crate::postgres::local::{LocalDatabase, LocalServer};
use crate::settings::Web;
use crate::web::{self as site, Acts, Retention};

/// Serves the pages, and prints where they are. Acknowledging works as with a real job; nothing is sent.
pub(super) async fn keep_open(server: &LocalServer, pool: &PgPool) -> Result<()> {
    let mut stopped = signals::stop()?;
    let options = server.options(LocalDatabase::Demo.name());
    let acts = Acts { pool: pool.clone(), routing: Routing::default() };
    let settings = Web::local(free(web::LISTEN).await);
    let site = pages::site((&settings, Retention::default()), options, Some(acts), None).await?;
    let bound = site::listen(settings.listen, site, stopped.clone()).await?;
    output::print_lines(&format!(
        "\nIts pages are open in a browser at\n  http://{bound}/jobs/load\nuntil Ctrl-C. The database keeps running after that."
    ))?;
    // An error means that the sender is gone, and nothing else could stop this.
    let _stopped = stopped.wait_for(|stopped| *stopped).await;
    Ok(())
}

/// The usual address, or any free port where another process has it.
async fn free(usual: SocketAddr) -> SocketAddr {
    match tokio::net::TcpListener::bind(usual).await {
        Ok(_) => usual,
        Err(_) => SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
    }
}
