//! The `trueup` program: parses the command line, runs one command, and turns its result into an exit code.

use std::process::ExitCode;

use clap::Parser;
use trueup::cli::Cli;
use trueup::commands::{self, UserError};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // Help and version are errors to clap too, but not mistakes.
        Err(asked) if asked.use_stderr() => return commands::usage(asked),
        Err(asked) => return if asked.print().is_err() { ExitCode::from(1) } else { ExitCode::SUCCESS },
    };
    trueup::notify::transport::http::install_tls();
    match commands::dispatch(cli) {
        Ok(code) => code,
        Err(error) => {
            let user = error.downcast_ref::<UserError>().is_some();
            commands::fail(&chain(&error));
            ExitCode::from(if user { 1 } else { 2 })
        }
    }
}

/// Joins the causes in one line. Skips a cause that is already in the text, because some libraries repeat it.
fn chain(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |said, cause| match said.as_str() {
        "" => cause,
        said if said.contains(&cause) => said.to_owned(),
        said => format!("{said}: {cause}"),
    })
}
