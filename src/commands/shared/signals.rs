//! Signals that end a long-running command.

use anyhow::{Context as _, Result};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Returns a channel that turns true on SIGTERM or Ctrl-C.
pub(in crate::commands) fn stop() -> Result<watch::Receiver<bool>> {
    let (stop, stopped) = watch::channel(false);
    let mut terminate = signal(SignalKind::terminate()).context("could not listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("could not listen for Ctrl-C")?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        drop(sd_notify::notify(&[sd_notify::NotifyState::Stopping]));
        stop.send_replace(true);
    });
    Ok(stopped)
}
