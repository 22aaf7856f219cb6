//! Shared by commands: the database they work on and the receivers they send to.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgPool};

use crate::cli::Global;
use crate::commands::output::{self, progress};
use crate::commands::user_error;
use crate::dispatch::send::Receivers;
use crate::notify::receiver::{Receiver, Transport, WATCHDOG};
use crate::notify::transport::webhook::WebhookReceiver;
use crate::postgres::local::{self, Download, LocalDatabase, LocalOptions, LocalServer};
use crate::postgres::migrate::{self, SchemaVersion};
use crate::postgres::refused::{self, Refused};
use crate::postgres::{address, connect, held, pooler};
use crate::settings::{Settings, environment};

/// A server that does not answer for this long counts as unreachable.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// The folder of the private Postgres.
pub(in crate::commands) const LOCAL_FOLDER: &str = ".trueup";

/// A database in use. A local server may stop once this is dropped.
pub(in crate::commands) struct Database {
    pub pool: PgPool,
    /// Description of the server for messages.
    pub place: String,
    _local: Option<LocalServer>,
}

/// A database that is unreachable now but may be reachable later.
#[derive(Debug)]
pub(in crate::commands) struct Away(String);

impl std::fmt::Display for Away {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Away {}

/// Connects to `DATABASE_URL` for a long-running process. The schema must be up to date.
pub(in crate::commands) async fn serving_database(global: &Global, settings: &Settings) -> Result<Database> {
    let options = options(global.database_url.as_deref().unwrap_or_default())?;
    expect_migrated(&options).await?;
    let place = refused::place(&options);
    let pool = connect::serving_pool(options, settings.max_connections, settings.lease.to_std()?)
        .await
        // It answered a moment ago, so it may answer again.
        .map_err(|error| Away(format!("{error:#}")))?;
    Ok(Database { pool, place, _local: None })
}

/// Parses `DATABASE_URL`; a mistake in it is a user error.
pub(in crate::commands) fn options(url: &str) -> Result<PgConnectOptions> {
    address::options(url).map_err(|error| user_error(error.to_string()))
}

/// Connects to `DATABASE_URL`, whose schema must be up to date, or starts the private Postgres and migrates it.
pub(in crate::commands) async fn database(global: &Global, settings: &Settings) -> Result<Database> {
    match &global.database_url {
        Some(url) => {
            let options = options(url)?;
            let place = refused::place(&options);
            // Check first: it fails at once where the pool would retry for a while.
            expect_migrated(&options).await?;
            let pool = connect::pool(options, settings.max_connections).await?;
            Ok(Database { pool, place, _local: None })
        }
        None => {
            let local = local_server(Path::new(LOCAL_FOLDER), Consent::Asked).await?;
            local.ensure_database(LocalDatabase::Main).await?;
            let options = local.options(LocalDatabase::Main.name());
            migrate::run(&options).await?;
            let place = format!("the local Postgres in {}", local.folder().display());
            let pool = connect::pool(options, settings.max_connections).await?;
            Ok(Database { pool, place, _local: Some(local) })
        }
    }
}

async fn expect_migrated(options: &PgConnectOptions) -> Result<()> {
    let place = refused::place(options);
    let look = async {
        let mut connection = pooler::connect(options).await?;
        let standing = migrate::standing(&mut connection).await?;
        connection.close().await?;
        Ok(standing)
    };
    let looked = tokio::time::timeout(ANSWER_WITHIN, look).await;
    let standing = looked
        .unwrap_or_else(|_| Err(held::silence(ANSWER_WITHIN)))
        .map_err(|error: sqlx::Error| sorted(Refused::new(options, error)))?;
    match standing {
        SchemaVersion::UpToDate => Ok(()),
        SchemaVersion::Behind(n) => {
            Err(user_error(format!("the `trueup` schema at {place} lacks {n} migrations; run `trueup migrate`")))
        }
        SchemaVersion::Ahead(n) => Err(user_error(format!(
            "the `trueup` schema at {place} has {n} migrations that this version does not know: \
             a newer trueup applied them; use that version, or restore the backup from before the upgrade"
        ))),
    }
}

/// Classifies a connection error by who can fix it.
pub(in crate::commands) fn sorted(refused: Refused) -> anyhow::Error {
    let message = refused.to_string();
    match (refused.is_mistake(), refused.may_pass()) {
        (true, _) => user_error(message),
        (_, true) => Away(message).into(),
        _ => refused.into(),
    }
}

/// Consent to download Postgres where none is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::commands) enum Consent {
    /// The command is for trying trueup.
    Given,
    /// The user at the terminal is asked.
    Asked,
}

/// Returns the programs of an installed Postgres, or of one that was or is now downloaded.
async fn binaries(consent: Consent) -> Result<PathBuf> {
    let missing = match local::installed() {
        Ok(found) => return Ok(found),
        Err(missing) => missing,
    };
    let download =
        Download::new().map_err(|error| user_error(format!("{missing}\nIt cannot be downloaded either: {error:#}")))?;
    let Some(download) = download else { return Err(user_error(missing.to_string())) };
    if let Some(found) = download.unpacked() {
        return Ok(found);
    }
    let wanted = consent == Consent::Given || download.is_named();
    if !wanted && !agrees(&download)? {
        return Err(user_error(format!("{missing}\nor let `trueup demo` download one")));
    }
    output::note(&format!("no Postgres is installed here: downloading {}", download.words()));
    let bar = progress::bytes(0, "downloading");
    let fetched = download.fetch(&mut |done, of| bar.at(done, of)).await;
    bar.finish();
    fetched.map_err(|error| {
        user_error(format!(
            "{missing}\nThe download failed: {error:#}. Set TRUEUP_POSTGRES_ARCHIVE to a mirror or to an archive on \
             this machine"
        ))
    })
}

/// Asks at the terminal. Without a terminal the answer is no.
fn agrees(download: &Download) -> Result<bool> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Ok(false);
    }
    output::note(&format!("no Postgres is installed here. Download {}? [y/N]", download.words()));
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// Starts or joins the private Postgres of a folder.
pub(in crate::commands) async fn local_server(folder: &Path, consent: Consent) -> Result<LocalServer> {
    let binaries = binaries(consent).await?;
    let spinner = progress::spinner("starting the local Postgres");
    let guard = std::env::current_exe().context("could not find the path of this program")?;
    let options = LocalOptions { binaries, guard, throw_away: false, linger: Duration::from_millis(300) };
    let started = LocalServer::start(folder, options).await;
    spinner.finish();
    started
}

/// Prepares every receiver. A receiver that cannot be prepared does not block the others.
pub(in crate::commands) fn receivers(settings: &Settings) -> Receivers {
    let mut by_name: BTreeMap<_, _> =
        settings.receivers.iter().map(|(name, receiver)| (name.clone(), receiver.connect())).collect();
    if let Some(watchdog) = &settings.watchdog {
        let prepared = watchdog
            .http
            .connect()
            .map(|endpoint| Receiver::from(Transport::Webhook(Box::new(WebhookReceiver::new(endpoint)))));
        by_name.insert(WATCHDOG.to_owned(), prepared);
    }
    Receivers { by_name, fallback: settings.routing.fallback.clone() }
}

/// Returns the name of this process in the ledger.
pub(in crate::commands) fn runner_name() -> String {
    let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    let host = host.trim();
    format!(
        "{}/{}/{}",
        if host.is_empty() { "runner" } else { host },
        std::process::id(),
        uuid::Uuid::new_v4().simple()
    )
}

/// Returns the author of an action: the given name, or the user of this machine.
pub(in crate::commands) fn author(given: Option<&str>) -> String {
    let given = given.map(str::to_owned).or_else(|| environment("USER"));
    given.unwrap_or_else(|| "unknown".to_owned())
}
