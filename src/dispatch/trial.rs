//! Test messages: through the outbox, as an alert would go.

use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::notify::message::samples;
use crate::store::clock;
use crate::store::outbox::queue::{self, NewNotification};
use crate::store::outbox::retry;

/// Enqueues a test message to a receiver and ends its pause after failures. Returns the id of the message.
pub async fn enqueue(connection: &mut PgConnection, receiver: &str) -> sqlx::Result<Uuid> {
    let id = Uuid::new_v4();
    let mut notice = samples::notice("test", "all");
    notice.id = id.to_string();
    notice.as_of = clock::now(connection).await?;
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
    queue::enqueue(connection, &new).await?;
    retry::try_now(connection, receiver).await?;
    Ok(id)
}
