//! Setup of the demo: a database, a job, and receivers.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};
use chrono::{DateTime, TimeDelta, Utc};
use secrecy::SecretString;
use sqlx::{ConnectOptions as _, Connection as _, PgPool};

use super::receivers::LocalReceiver;
use crate::commands::output::progress;
use crate::dispatch::send::{self, Receivers};
use crate::notify::policy::route::Routing;
use crate::notify::receiver::{Receiver, Transport};
use crate::notify::transport::email::{EmailReceiver, SmtpSecurity, SmtpServer};
use crate::notify::transport::http::Endpoint;
use crate::notify::transport::network::AllowedNetworks;
use crate::notify::transport::webhook::{SigningSecret, WebhookReceiver};
use crate::pipeline::Published;
use crate::pipeline::enter::{RunRequest, enter};
use crate::pipeline::execute::{self, Ended};
use crate::plan::{self, PlannedJob};
use crate::postgres::local::{LocalDatabase, LocalServer};
use crate::postgres::{connect, migrate};
use crate::spec::{Document, JobSpec};

/// The job file, as a user would write it.
pub(super) const JOB: &str = include_str!("job.toml");
const WAREHOUSE: &str = include_str!("warehouse.sql");

/// Everything the story needs.
pub(super) struct Scene {
    pub pool: PgPool,
    pub job: PlannedJob,
    pub receivers: Receivers,
    pub mail: LocalReceiver,
    pub hook: LocalReceiver,
}

impl Scene {
    /// Creates the warehouse and the receivers, and replaces leftovers of an earlier demo.
    pub(super) async fn build(server: &LocalServer) -> Result<Self> {
        let spinner = progress::spinner("creating a warehouse: 4 regions, 60 days of quarter-hours, late labels");
        server.drop_database(LocalDatabase::Demo).await?;
        server.ensure_database(LocalDatabase::Demo).await?;
        let options = server.options(LocalDatabase::Demo.name());
        migrate::run(&options).await?;
        let mut connection = options.clone().connect().await?;
        sqlx::raw_sql(WAREHOUSE).execute(&mut connection).await?;
        connection.close().await?;
        spinner.finish();
        let mail = LocalReceiver::smtp().await?;
        let hook = LocalReceiver::http().await?;
        let by_name =
            BTreeMap::from([("oncall-email".to_owned(), email(&mail)), ("oncall-hook".to_owned(), webhook(&hook))]);
        let receivers = Receivers { by_name, fallback: None };
        Ok(Self { pool: connect::pool(options, 4).await?, job: job()?, receivers, mail, hook })
    }

    /// Executes one scheduled run and one attempt to deliver its notifications.
    pub(super) async fn tick(&self, at: DateTime<Utc>) -> Result<Published> {
        let lease = TimeDelta::seconds(30);
        let claim = enter(&self.pool, &self.job, RunRequest::RunAt(at), "demo", lease)
            .await?
            .map_err(|refused| anyhow!("the run of {at} was refused: {refused:?}"))?;
        match execute::execute(&self.pool, &self.job, &claim, at, lease, &Routing::default()).await {
            Ended::Ok(published) => {
                send::deliver_run(&self.pool, &self.receivers, claim.run_id).await?;
                Ok(published)
            }
            other => Err(anyhow!("the run of {at} ended as {other:?}")),
        }
    }
}

fn job() -> Result<PlannedJob> {
    let shown = |findings: Vec<crate::spec::Diagnostic>| {
        anyhow!("{}", findings.iter().map(|f| f.render("demo.toml", JOB, false)).collect::<Vec<_>>().join("\n"))
    };
    let document = Document::parse("demo.toml", JOB).map_err(shown)?;
    let spec: JobSpec = document.read().map_err(shown)?;
    let surroundings = plan::build::Surroundings::of_receivers(["oncall-email", "oncall-hook"]);
    plan::build::plan(&document, &spec, &surroundings).map(|(job, _)| job).map_err(shown)
}

fn email(receiver: &LocalReceiver) -> Result<Receiver, String> {
    let address = |text: &str| text.parse().map_err(|_| format!("`{text}` is not an address"));
    let server = SmtpServer {
        host: receiver.address.ip().to_string(),
        port: receiver.address.port(),
        security: SmtpSecurity::None,
        credentials: None,
    };
    let email = EmailReceiver::new(vec![address("oncall@example.org")?], address("trueup@example.org")?, &server)?;
    Ok(Transport::Email(Box::new(email)).into())
}

fn webhook(receiver: &LocalReceiver) -> Result<Receiver, String> {
    let allowed = AllowedNetworks::parse(&["127.0.0.0/8".to_owned()])?;
    let secret = SigningSecret::new(&SecretString::from("whsec_dHJ1ZXVwIGRlbW8gc2lnbmluZyBrZXk="))?;
    let url = format!("http://{}/hook", receiver.address);
    let endpoint = Endpoint::new(&url, true, &allowed)?;
    let webhook = WebhookReceiver { secrets: vec![secret], ..WebhookReceiver::new(endpoint) };
    Ok(Transport::Webhook(Box::new(webhook)).into())
}
