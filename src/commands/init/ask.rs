//! Asks on a terminal, with what is proposed as the answer to an empty line.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use anyhow::Result;

use super::user_error;

/// Whoever answers: a person, or nobody because everything is taken as proposed.
pub(super) struct Asker {
    is_quiet: bool,
}

impl Asker {
    /// Fails where somebody should be asked and nobody is there.
    pub(super) fn new(is_quiet: bool) -> Result<Self> {
        if !is_quiet && !std::io::stdin().is_terminal() {
            return Err(user_error(
                "nobody can be asked here: take what is proposed with `--yes`, and name what is not right",
            ));
        }
        Ok(Self { is_quiet })
    }

    pub(super) fn asks(&self) -> bool {
        !self.is_quiet
    }

    /// One answer that is allowed.
    pub(super) fn choice(&self, what: &str, proposed: &str, allowed: &dyn Fn(&str) -> bool) -> Result<String> {
        loop {
            let mut stderr = std::io::stderr().lock();
            write!(stderr, "{what} [{proposed}]: ")?;
            stderr.flush()?;
            let mut answer = String::new();
            if std::io::stdin().lock().read_line(&mut answer)? == 0 {
                return Err(user_error("nothing was written: the answers ended"));
            }
            match answer.trim() {
                "" => return Ok(proposed.to_owned()),
                given if allowed(given) => return Ok(given.to_owned()),
                given => writeln!(stderr, "`{given}` is not there")?,
            }
        }
    }
}
