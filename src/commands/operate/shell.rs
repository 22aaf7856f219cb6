//! `completions` and `man`: shell completions and manual pages.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::CommandFactory as _;

use crate::cli::Cli;
use crate::commands::{output, user_error};

pub(in crate::commands) fn completions(shell: clap_complete::Shell) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "trueup", &mut script);
    output::print_lines(String::from_utf8(script).context("the completions are not text")?.trim_end())?;
    Ok(ExitCode::SUCCESS)
}

/// The command line without `help`, which needs no manual page.
fn page() -> clap::Command {
    Cli::command().disable_help_subcommand(true)
}

/// Prints the manual page of the program, or writes the pages of all commands to a folder.
pub(in crate::commands) fn man(folder: Option<&Path>) -> Result<ExitCode> {
    if let Some(folder) = folder {
        std::fs::create_dir_all(folder)
            .and_then(|()| clap_mangen::generate_to(page(), folder))
            .map_err(|error| user_error(format!("could not write manual pages to `{}`: {error}", folder.display())))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = Vec::new();
    clap_mangen::Man::new(page()).render(&mut text).context("could not write the manual page")?;
    output::print_lines(String::from_utf8(text).context("the manual page is not text")?.trim_end())?;
    Ok(ExitCode::SUCCESS)
}
