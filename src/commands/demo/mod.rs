//! `demo`.
use std::process::ExitCode;
use anyhow::Result;
pub(super) async fn run(_keep: bool) -> Result<ExitCode> { Ok(ExitCode::SUCCESS) }
pub(super) fn stop() -> Result<ExitCode> { Ok(ExitCode::SUCCESS) }
