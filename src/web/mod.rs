//! Pages for people, the API for programs, and probes. `serve` has all of them; `trueup web` has pages and API alone.

mod access;
mod acting;
pub mod api;
mod assets;
mod classes;
mod connections;
mod error;
mod etag;
mod frame;
mod guard;
mod hide;
mod pages;
mod params;
mod probes;
mod problem;
mod reading;
mod report;
mod scope;
mod selection;
mod session;
mod view;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use axum::Router;
use chrono::TimeDelta;
use chrono_tz::Tz;
use secrecy::SecretString;
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, watch};
use tracing::info;

use crate::notify::policy::route::Routing;
use crate::settings::{Login, Settings};
use crate::text::links::Links;

pub use probes::Runner;
pub use report::{ReportFormat, ReportRange, report};

/// Resources and settings of the pages.
pub struct Site {
    /// Read-only connections.
    pub reader: PgPool,
    /// Resources of users' acts. `None`: the pages are read-only.
    pub acts: Option<Acts>,
    /// The runner in this process, for its probes.
    pub runner: Option<Runner>,
    pub token: Option<SecretString>,
    /// Host names that requests may be for, in addition to loopback names.
    pub hosts: Vec<String>,
    pub login: Login,
    /// Name of the user of this machine, for pages without sign-in.
    pub local_user: String,
    /// Address under which users reach the pages.
    pub links: Option<Links>,
    /// Origins that may show the pages in a frame.
    pub embed: Vec<String>,
    /// Jobs whose badges are public.
    pub badges: Vec<String>,
    pub zone: Tz,
    pub retention: Retention,
}

/// Times for which history is kept whole, as `[retention]` says.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Older windows keep their first report and their latest revision.
    pub windows: TimeDelta,
    /// Of older rolling windows one a day is kept.
    pub rolling: TimeDelta,
}

impl Retention {
    /// Of the settings of a process.
    pub fn of(settings: &Settings) -> Self {
        Self { windows: settings.keep_windows, rolling: settings.keep_rolling }
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self::of(&Settings::default())
    }
}

/// Resources for acknowledging, resolving and silencing.
pub struct Acts {
    pub pool: PgPool,
    pub routing: Routing,
}

/// State shared by all pages.
struct Shared {
    reader: PgPool,
    acts: Option<Acts>,
    sessions: session::Sessions,
    token: Option<SecretString>,
    links: Option<Links>,
    badges: Vec<String>,
    zone: Tz,
    retention: Retention,
    /// Key of the codes that stand for hidden values.
    hiding_key: Vec<u8>,
}

/// Listens on an address, and serves until `stop`.
pub async fn listen(address: SocketAddr, site: Site, stop: watch::Receiver<bool>) -> Result<SocketAddr> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("could not listen on {address}"))?;
    let bound = listener.local_addr()?;
    let router = router(site, !bound.ip().is_loopback())?;
    info!(web.address = %bound, "listening");
    tokio::spawn(connections::serve(listener, router, stop));
    Ok(bound)
}

fn router(site: Site, is_open: bool) -> Result<Router> {
    let is_https = site.links.as_ref().is_some_and(Links::is_https);
    let guard = guard::Guard::new(site.hosts, site.links.as_ref(), &site.embed)?;
    let sessions = session::Sessions::new(site.login, site.token.clone(), site.local_user, is_https);
    // Without a token there is no secret that replicas share; a code then holds for this process only.
    let hiding_key = sessions.tag("hidden", "").unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    let shared = Arc::new(Shared {
        reader: site.reader,
        acts: site.acts,
        sessions,
        hiding_key: hiding_key.into_bytes(),
        token: site.token.clone(),
        links: site.links,
        badges: site.badges,
        zone: site.zone,
        retention: site.retention,
    });
    let pages = pages::router(Arc::clone(&shared)).nest(api::PATH, api::router(&shared));
    let mut router = guard::limited(pages);
    if let Some(runner) = site.runner {
        let probes = probes::Probes { runner, token: site.token, is_open, asked: Mutex::default() };
        router = router.merge(probes::router(Arc::new(probes)));
    }
    Ok(guard.protect(router))
}
