//! Asks on a terminal, with what is proposed as the answer to an empty line.

use std::io::{BufRead as _, IsTerminal as _};

use anyhow::Result;

use super::{output, user_error};

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

    /// One answer that is allowed. Where nothing is proposed, an empty line is none.
    pub(super) fn choice(&self, what: &str, proposed: Option<&str>, allowed: &dyn Fn(&str) -> bool) -> Result<String> {
        let known =
            |given: &str| if allowed(given) { Ok(given.to_owned()) } else { Err(format!("`{given}` is not there")) };
        self.answer(what, proposed.unwrap_or("?"), proposed.map(str::to_owned), &known)
    }

    /// An answer that may be none, which is written `-`.
    pub(super) fn optional(
        &self,
        what: &str,
        proposed: Option<&str>,
        allowed: &dyn Fn(&str) -> bool,
    ) -> Result<Option<String>> {
        let known = |given: &str| match given {
            "-" => Ok(None),
            given if allowed(given) => Ok(Some(given.to_owned())),
            given => Err(format!("`{given}` will not do; `-` is none")),
        };
        self.answer(what, proposed.unwrap_or("-"), Some(proposed.map(str::to_owned)), &known)
    }

    /// Any number of answers, with commas between them; none is written `-`.
    pub(super) fn list(&self, what: &str, proposed: &[String], allowed: &dyn Fn(&str) -> bool) -> Result<Vec<String>> {
        let known = |given: &str| {
            let all = given.split(',').map(str::trim).filter(|one| *one != "-" && !one.is_empty());
            let all: Vec<String> = all.map(str::to_owned).collect();
            match all.iter().find(|one| !allowed(one)) {
                Some(unknown) => Err(format!("`{unknown}` is not there")),
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
                return Err(user_error("nothing was written: the answers ended"));
            }
            match answer.trim() {
                "" => match &proposed {
                    Some(proposed) => return Ok(proposed.clone()),
                    None => output::note("this cannot be seen from names or rows: write it"),
                },
                given => match read(given) {
                    Ok(answer) => return Ok(answer),
                    Err(why) => output::note(&why),
                },
            }
        }
    }
}
