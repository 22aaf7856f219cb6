//! Small squares with a letter each: verdicts through time, runs of a job.

use crate::domain::verdict::Verdict;

/// A square.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    pub letter: &'static str,
    /// Class of the style sheet, which says the same as the letter.
    pub kind: &'static str,
    /// Tooltip, which is also what screen readers say.
    pub title: String,
    pub link: Option<String>,
}

/// Letter and class of a verdict.
pub fn of_verdict(verdict: Option<Verdict>) -> (&'static str, &'static str) {
    match verdict {
        Some(Verdict::Ok) => ("✓", "calm"),
        Some(Verdict::Breach) => ("B", "bad"),
        Some(Verdict::Insufficient) => ("?", "unsure"),
        Some(Verdict::NoData) => ("–", "none"),
        Some(Verdict::Error) => ("!", "unsure"),
        None => ("·", "none"),
    }
}

/// Joins conditions of a query that is shown: `where a` and, on lines of their own, `and b`.
pub fn conditions(all: impl IntoIterator<Item = Option<String>>) -> String {
    let all: Vec<String> = all.into_iter().flatten().collect();
    if all.is_empty() { String::new() } else { format!("where {}\n", all.join("\n  and ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_joined() {
        assert_eq!(conditions([None, Some("a = 1".to_owned()), Some("b".to_owned())]), "where a = 1\n  and b\n");
        assert_eq!(conditions([None]), "");
    }
}
