//! placeholder
use crate::cli::{Global, InitArgs};
use anyhow::Result;
use std::process::ExitCode;
pub(super) async fn run(_global: &Global, _args: &InitArgs) -> Result<ExitCode> {
    Err(super::user_error("not yet"))
}
