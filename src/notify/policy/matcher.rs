//! Patterns on labels that select the alerts of a route or a silence.

use std::fmt;

/// Labels that identify an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Labels<'a> {
    pub job: &'a str,
    pub rule: &'a str,
    pub severity: &'a str,
    pub owner: Option<&'a str>,
    pub cohort: &'a str,
}

/// Patterns that must all match. `None` matches everything; a `*` in a pattern matches any text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Matcher {
    pub job: Option<String>,
    pub rule: Option<String>,
    pub severity: Option<String>,
    pub owner: Option<String>,
    pub cohort: Option<String>,
}

impl Matcher {
    pub fn fits(&self, labels: &Labels<'_>) -> bool {
        let fits = |pattern: &Option<String>, text: &str| pattern.as_deref().is_none_or(|pattern| glob(pattern, text));
        fits(&self.job, labels.job)
            && fits(&self.rule, labels.rule)
            && fits(&self.severity, labels.severity)
            && fits(&self.owner, labels.owner.unwrap_or_default())
            && fits(&self.cohort, labels.cohort)
    }
}

impl fmt::Display for Matcher {
    /// `severity = page, job = ro-*`, or `everything`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            ("job", &self.job),
            ("rule", &self.rule),
            ("severity", &self.severity),
            ("owner", &self.owner),
            ("cohort", &self.cohort),
        ];
        let said: Vec<String> =
            parts.iter().filter_map(|(name, pattern)| Some(format!("{name} = {}", pattern.as_ref()?))).collect();
        f.write_str(&if said.is_empty() { "everything".to_owned() } else { said.join(", ") })
    }
}

/// True if a text matches a pattern in which `*` matches any text. For any pattern, linear in the text for each star.
fn glob(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut left) = text.strip_prefix(head) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let tail = parts.pop().unwrap_or_default();
    for part in parts {
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    left.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text) in [
            ("*", ""),
            ("ro-*", "ro-load"),
            ("*load", "ro-load"),
            ("r*-l*d", "ro-load"),
            ("a*b*b", "abb"),
            ("region=*", "region=north, tier=2"),
            ("**", "x"),
        ] {
            assert!(glob(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("ro-*", "load"), ("ro", "ro-load"), ("", "x"), ("a*b*b", "ab"), ("*x", "xy"), ("a*a", "a")]
        {
            assert!(!glob(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn every_pattern_must_fit() {
        let labels =
            Labels { job: "ro-load", rule: "rmse-high", severity: "page", owner: None, cohort: "region=north" };
        let with = |change: fn(&mut Matcher)| {
            let mut matcher = Matcher::default();
            change(&mut matcher);
            matcher.fits(&labels)
        };
        assert!(with(|_| {}));
        assert!(with(|m| m.job = Some("ro-*".into())) && !with(|m| m.job = Some("de-*".into())));
        assert!(with(|m| m.rule = Some("rmse-high".into())) && !with(|m| m.rule = Some("rmse".into())));
        assert!(with(|m| m.severity = Some("page".into())) && !with(|m| m.severity = Some("ticket".into())));
        assert!(with(|m| m.cohort = Some("region=*".into())) && !with(|m| m.cohort = Some("all".into())));
        assert!(with(|m| m.owner = Some("*".into())) && !with(|m| m.owner = Some("grid@example.org".into())));
    }
}
