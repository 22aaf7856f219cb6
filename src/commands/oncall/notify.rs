//! `notify test`: sends a test message through the outbox, as an alert would go.

use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::cli::Global;
use crate::commands::output::{self, progress};
use crate::commands::shared::{database, jobs};
use crate::commands::user_error;
use crate::dispatch::{send, trial};
use crate::store::read::deliveries::{self, DeliveryFilter};

pub(in crate::commands) async fn test(global: &Global, receiver: &str) -> Result<ExitCode> {
    let settings = jobs::settings(global)?;
    if !settings.receivers.contains_key(receiver) {
        let known: Vec<&str> = settings.receivers.keys().map(String::as_str).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Err(user_error(format!(
            "there is no receiver `{receiver}` in `{}`; known receivers: {known}",
            global.config.display()
        )));
    }
    let database = database::database(global, &settings).await?;
    let receivers = database::receivers(&settings);
    let mut connection = database.pool.acquire().await?;
    // It is tried now, even if the receiver is paused after failures.
    let id = trial::enqueue(&mut connection, receiver).await?;
    drop(connection);
    let spinner = progress::spinner(&format!("notifying {receiver}"));
    send::drain(&database.pool, &receivers, receiver, None, || false).await?;
    spinner.finish();
    let filter = DeliveryFilter { receiver: Some(receiver.to_owned()), limit: 100, ..DeliveryFilter::default() };
    let rows = deliveries::list(&mut *database.pool.acquire().await?, &filter).await?;
    let row = rows.into_iter().find(|row| row.id == id).context("the test message is not in the outbox")?;
    match row.state.as_str() {
        "sent" if row.failure.is_some() => {
            let failure = row.failure.unwrap_or_default();
            let accepted = format!("`{receiver}` accepted the test message {id}, but not for every address");
            Err(user_error(format!("{accepted}: {failure}")))
        }
        "sent" => {
            let links = settings.web.as_ref().and_then(|web| web.links.as_ref());
            let link = links.map_or(String::new(), |links| format!("; it links to {}", links.overview()));
            output::print(&format!("`{receiver}` accepted the test message {id}{link}"))?;
            Ok(ExitCode::SUCCESS)
        }
        state => {
            let failure = row.failure.unwrap_or_else(|| "another process is sending to it".to_owned());
            let later = if state == "pending" { "; `serve` will retry it" } else { "" };
            Err(user_error(format!("`{receiver}` did not accept the test message: {failure}{later}")))
        }
    }
}
