//! Asks at a terminal; an empty line accepts the proposal.

use std::io::{BufRead as _, IsTerminal as _};

use anyhow::Result;

use super::{output, user_error};

/// Source of answers: a user, or the proposals if it is quiet.
pub(super) struct Asker {
    is_quiet: bool,
}

impl Asker {
    /// Fails if questions must be asked and there is no terminal.
    pub(super) fn new(is_quiet: bool) -> Result<Self> {
        if !is_quiet && !std::io::stdin().is_terminal() {
            return Err(user_error(
                "there is no terminal to ask on: accept the proposals with `--yes`, and correct them with options",
            ));
        }
        Ok(Self { is_quiet })
    }

    pub(super) fn asks(&self) -> bool {
        !self.is_quiet
    }

    /// Asks for one allowed answer. Without a proposal, an empty line is not an answer.
    pub(super) fn choice(&self, what: &str, proposed: Option<&str>, allowed: &dyn Fn(&str) -> bool) -> Result<String> {
        let known =
            |given: &str| if allowed(given) { Ok(given.to_owned()) } else { Err(format!("`{given}` does not exist")) };
        self.answer(what, proposed.unwrap_or("?"), proposed.map(str::to_owned), &known)
    }

    /// Asks for an optional answer; `-` for none.
    pub(super) fn optional(
        &self,
        what: &str,
        proposed: Option<&str>,
        allowed: &dyn Fn(&str) -> bool,
    ) -> Result<Option<String>> {
        let known = |given: &str| match given {
            "-" => Ok(None),
            given if allowed(given) => Ok(Some(given.to_owned())),
            given => Err(format!("`{given}` is not allowed; enter `-` for none")),
        };
        self.answer(what, proposed.unwrap_or("-"), Some(proposed.map(str::to_owned)), &known)
    }

    /// Asks for any number of answers, separated by commas; `-` for none.
    pub(super) fn list(&self, what: &str, proposed: &[String], allowed: &dyn Fn(&str) -> bool) -> Result<Vec<String>> {
        let known = |given: &str| {
            let all = given.split(',').map(str::trim).filter(|one| *one != "-" && !one.is_empty());
            let all: Vec<String> = all.map(str::to_owned).collect();
            match all.iter().find(|one| !allowed(one)) {
                Some(unknown) => Err(format!("`{unknown}` does not exist")),
                None => Ok(all),
            }
        };
        let shown = if proposed.is_empty() { "-".to_owned() } else { proposed.join(", ") };
        self.answer(what, &shown, Some(proposed.to_vec()), &known)
    }

    fn answer<T: Clone>(
        &self,
        what: &str,
        shown: &str,
        proposed: Option<T>,
        read: &dyn Fn(&str) -> std::result::Result<T, String>,
    ) -> Result<T> {
        loop {
            output::ask(&format!("{what} [{shown}]: "))?;
            let mut answer = String::new();
            if std::io::stdin().lock().read_line(&mut answer)? == 0 {
                return Err(user_error("the input ended before the last answer; nothing was written"));
            }
            match answer.trim() {
                "" => match &proposed {
                    Some(proposed) => return Ok(proposed.clone()),
                    None => output::note("names and rows do not decide this: enter it"),
                },
                given => match read(given) {
                    Ok(answer) => return Ok(answer),
                    Err(why) => output::note(&why),
                },
            }
        }
    }
}
