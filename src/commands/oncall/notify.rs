//! `notify test`: sends a test message through the outbox, as an alert would go.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde_json::json;
use uuid::Uuid;

use crate::cli::Global;
use crate::commands::output::{self, progress};
use crate::commands::shared::{database, jobs};
use crate::commands::user_error;
use crate::dispatch::send;
use crate::notify::message::samples;
use crate::store::clock;
use crate::store::outbox::queue as messages;
use crate::store::outbox::queue::NewNotification;
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
    let id = Uuid::new_v4();
    let mut notice = samples::notice("test", "all");
    notice.id = id.to_string();
    notice.as_of = clock::now(&mut connection).await?;
    notice.group = format!("test/{id}");
    notice.note = Some("This is a test of the receiver: nothing is wrong, and the numbers are made up.".to_owned());
    for section in &mut notice.rules {
        section.alerts.iter_mut().for_each(|alert| (alert.id, alert.incident) = (None, None));
    }
    let new = NewNotification {
        id,
        job_id: None,
        run_id: None,
        receiver: receiver.to_owned(),
        // A group of its own, so that it waits for nothing.
        topic: notice.group.clone(),
        kind: "test",
        body: json!(notice),
        due: None,
    };
    messages::enqueue(&mut connection, &new).await?;
    // Try now, even if the receiver is paused after failures.
    deliveries::try_now(&mut connection, receiver).await?;
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
