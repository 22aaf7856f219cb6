//! Heartbeat to an external receiver, which notices when it stops.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::warn;

use super::Scheduler;
use crate::scheduler::self_test;

/// Time limit of a self-test; if it takes longer, there is no heartbeat.
const LONGEST: Duration = Duration::from_secs(30);

/// Sends heartbeats until `stop`.
pub(super) async fn heartbeat_loop(this: Arc<Scheduler>, mut stop: watch::Receiver<bool>) {
    let Some(heartbeat) = this.watchdog else { return };
    let every = heartbeat.every.to_std().unwrap_or(Duration::from_secs(60));
    let names = this.names();
    while !*stop.borrow() {
        let beat = self_test::heartbeat(&this.pool, &names, heartbeat.patience, &this.name);
        match tokio::time::timeout(LONGEST, beat).await {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => warn!(error = %format_args!("{failure:#}"), "no heartbeat"),
            Err(_) => warn!(limit_seconds = LONGEST.as_secs(), "no heartbeat: the self-test timed out"),
        }
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            _ = stop.changed() => {}
        }
    }
}
