//! Applies what a hint proposes to a broken file, as a user would who pastes it.

use trueup::spec::{Diagnostic, Level};

/// Words after which a quoted text stands for the value at the finding.
const PROPOSES: [&str; 6] = ["did you mean", "write", "use one of", "such as", "add it to", "name"];

/// Tries every text in backticks that a hint proposes. Returns how many there were.
///
/// Panics if one of them, pasted in any sensible way, leaves the finding or makes another error.
pub fn try_all(text: &str, finding: &Diagnostic, check: impl Fn(&str) -> Vec<Diagnostic>) -> usize {
    let hint = finding.hint.as_deref().unwrap_or_default();
    let errors = |findings: &[Diagnostic]| findings.iter().filter(|found| found.level == Level::Error).count();
    let most = errors(&check(text)) - usize::from(finding.level == Level::Error);
    let mut tried = 0;
    for (lead, snippet) in quoted(hint) {
        assert!(!snippet.contains("..."), "nobody can paste `{snippet}` of `{hint}`");
        let pasted = pasted(text, finding, hint, lead, snippet);
        if pasted.is_empty() {
            continue;
        }
        tried += 1;
        let works = pasted.iter().any(|pasted| {
            let after = check(pasted);
            after.iter().all(|found| found.code != finding.code) && errors(&after) <= most
        });
        let shown = |text: &String| check(text).iter().map(|f| f.render("job.toml", text, false)).collect::<String>();
        assert!(works, "`{snippet}` of `{hint}` does not help:\n{}", pasted.iter().map(shown).collect::<String>());
    }
    tried
}

/// The texts in backticks, each with the words since the one before.
fn quoted(hint: &str) -> Vec<(&str, &str)> {
    let parts: Vec<&str> = hint.split('`').collect();
    parts.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
}

/// The file with a proposal, in each of the ways in which it may be meant. None if the text is no proposal.
fn pasted(text: &str, finding: &Diagnostic, hint: &str, lead: &str, snippet: &str) -> Vec<String> {
    let at_finding = |new: &str| format!("{}{new}{}", &text[..finding.span.start], &text[finding.span.end..]);
    let is_assignment =
        toml::from_str::<toml::Table>(&format!("t = {{ {snippet} }}")).is_ok() && snippet.contains(" = ");
    if is_assignment {
        return assigned(text, finding, hint, snippet);
    }
    if snippet.starts_with('{') || snippet.starts_with('[') {
        return vec![at_finding(snippet)];
    }
    let is_value = PROPOSES.iter().any(|words| lead.trim_end().ends_with(words)) && !snippet.contains('=');
    if !is_value {
        return Vec::new();
    }
    let old = &text[finding.span.clone()];
    let new =
        if old.starts_with('"') && !snippet.starts_with('"') { format!("\"{snippet}\"") } else { snippet.to_owned() };
    let key_only = old.split(" = ").next().unwrap_or_default();
    vec![at_finding(&new), at_finding(&old.replacen(key_only, snippet, 1)), at_finding(&format!("[\"{snippet}\"]"))]
}

/// Pastes `key = value`: over the same key, below the finding, at its end in braces, or into the table that the hint names.
fn assigned(text: &str, finding: &Diagnostic, hint: &str, snippet: &str) -> Vec<String> {
    let key = snippet.split(" = ").next().unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let line = finding.position(text).0 - 1;
    let is_header = |line: &&str| line.starts_with('[');
    let first = (0..=line.min(lines.len() - 1)).rev().find(|at| is_header(&lines[*at])).unwrap_or(0);
    let last = (first + 1..lines.len()).find(|at| is_header(&lines[*at])).unwrap_or(lines.len());
    let with = |at: usize, drop: usize| {
        let kept = [&lines[..at], &[snippet][..], &lines[at + drop..]].concat();
        kept.join("\n") + "\n"
    };
    let mut ways = Vec::new();
    ways.extend((first..last).filter(|at| lines[*at].starts_with(&format!("{key} = "))).map(|at| with(at, 1)));
    ways.push(with(first + 1, 0));
    if !is_header(&lines[line]) {
        let is_other =
            |at: &usize| *at == line || !(first..last).contains(at) || !lines[*at].starts_with(&format!("{key} = "));
        let kept = (0..lines.len()).filter(is_other).map(|at| if at == line { snippet } else { lines[at] });
        ways.push(kept.collect::<Vec<_>>().join("\n") + "\n");
    }
    ways.extend(overwritten(text, snippet));
    // In an inline table: at its end, or in place of the same key.
    let span = &text[finding.span.clone()];
    if let Some(open) = text[..finding.span.end].rfind('{')
        && let Some(close) = text[open..].find('}').map(|at| open + at)
    {
        ways.push(format!("{}, {snippet} {}", text[..close].trim_end(), &text[close..]));
    }
    ways.push(text.replacen(span, snippet, 1));
    for table in hint.split('[').skip(1).filter_map(|rest| rest.split(']').next()) {
        let header = format!("[{table}]");
        match lines.iter().position(|line| *line == header) {
            Some(at) => ways.push(with(at + 1, 0)),
            None => ways.push(format!("{text}\n{header}\n{snippet}\n")),
        }
    }
    ways
}

/// Pastes over the same keys of a table in braces.
fn overwritten(text: &str, snippet: &str) -> Option<String> {
    let pasted: toml::Table =
        toml::from_str::<toml::Table>(&format!("t = {{ {snippet} }}")).ok()?["t"].as_table()?.clone();
    let open = text.match_indices('{').map(|(at, _)| at);
    let tables = open.filter_map(|at| Some((at, at + text[at..].find('}')? + 1)));
    let mut fitting = tables.filter_map(|(from, to)| {
        let mut table =
            toml::from_str::<toml::Table>(&format!("t = {}", &text[from..to])).ok()?["t"].as_table()?.clone();
        pasted.keys().all(|key| table.contains_key(key)).then(|| table.extend(pasted.clone()))?;
        let inline: Vec<String> = table.iter().map(|(key, value)| format!("{key} = {value}")).collect();
        Some(format!("{}{{ {} }}{}", &text[..from], inline.join(", "), &text[to..]))
    });
    fitting.next()
}
