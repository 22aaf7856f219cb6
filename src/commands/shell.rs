//! `completions` and `man`: what a shell and its users read about the command line.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::CommandFactory as _;

use super::output;
use crate::cli::Cli;

pub(super) fn completions(shell: clap_complete::Shell) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "trueup", &mut script);
    output::print(String::from_utf8(script).context("the completions are not text")?.trim_end())?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn man() -> Result<ExitCode> {
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command()).render(&mut page).context("could not write the manual page")?;
    output::print(String::from_utf8(page).context("the manual page is not text")?.trim_end())?;
    Ok(ExitCode::SUCCESS)
}
