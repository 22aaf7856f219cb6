//! Makes every character of any text visible, so that a terminal obeys, reorders or hides nothing.
//!
//! All output to a terminal, a CSV file or a log goes through here, in the one function that writes it there.

/// One line: line breaks and tabs are shown as `\n` and `\t`, so that data cannot begin a new line.
pub fn line(text: &str) -> String {
    shown(text, |_| false)
}

/// Several lines: breaks and tabs stay. For our own layout, around data that went through [`line()`].
pub fn lines(text: &str) -> String {
    shown(text, |c| matches!(c, '\n' | '\t'))
}

/// Several lines with our own colors, around data that are already visible: only `ESC [ … m` stays.
pub fn styled(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\u{1b}[") {
        let (before, style) = rest.split_at(at);
        out.push_str(&lines(before));
        let end = 2 + style[2..].bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b';').count();
        let kept = if style[end..].starts_with('m') { end + 1 } else { 0 };
        out.push_str(&style[..kept]);
        // A sequence that is not a color is shown, beginning with its ESC.
        out.push_str(if kept == 0 { "\\x1b" } else { "" });
        rest = &style[kept.max(1)..];
    }
    out + &lines(rest)
}

/// Equivalent JSON text: hidden characters occur only in its strings, and become `\u` escapes.
pub fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    each(text, |c, hidden| match (c, hidden) {
        ('\n', _) | (_, false) => out.push(c),
        _ => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}"))),
    });
    out
}

/// True if any character of a text is hidden.
pub fn has_hidden(text: &str) -> bool {
    let mut found = false;
    each(text, |_, hidden| found |= hidden);
    found
}

fn shown(text: &str, keeps: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    each(text, |c, hidden| match c {
        c if !hidden || keeps(c) => out.push(c),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        c if c.is_ascii() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
        c => out.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
    });
    out
}

/// Calls `take` with each character, and true if it is hidden.
fn each(text: &str, mut take: impl FnMut(char, bool)) {
    let mut before = None;
    for c in text.chars() {
        // A variation selector after a visible character selects its form; any other is hidden.
        let chooses = matches!(c, '\u{fe00}'..='\u{fe0f}') && before.is_some_and(|before| !is_hidden(before));
        take(c, is_hidden(c) && !chooses);
        before = Some(c);
    }
}

/// True for control characters, line and paragraph separators, annotation marks, tags, and Unicode's
/// `Default_Ignorable_Code_Point`, which includes zero-width characters and those that change the direction of text.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_reorders_or_hides_is_shown() {
        let text = "a\u{1b}]0;x\u{7}b\r\n\t\u{7f}\u{9b}31m\u{202e}\u{200b}\u{ad}\u{2028}\u{e0041}\u{feff}ü🙂";
        let seen = "a\\x1b]0;x\\x07b\\r\\n\\t\\x7f\\u{9b}31m\\u{202e}\\u{200b}\\u{ad}\\u{2028}\\u{e0041}\\u{feff}ü🙂";
        assert_eq!(line(text), seen);
        assert_eq!(lines("a\n\tb\u{1b}[31m"), "a\n\tb\\x1b[31m");
        assert!(has_hidden(text) && !has_hidden("ü🙂 ❤\u{fe0f} 漢字"));
    }

    #[test]
    fn a_variation_selector_is_hidden_unless_it_follows_what_it_varies() {
        assert_eq!(line("❤\u{fe0f}"), "❤\u{fe0f}");
        assert_eq!(line("\u{fe0f}a\u{fe01}\u{fe02}\u{e0100}"), "\\u{fe0f}a\u{fe01}\\u{fe02}\\u{e0100}");
    }

    #[test]
    fn of_escape_sequences_only_colours_pass_and_only_where_they_are_ours() {
        assert_eq!(styled("\u{1b}[1;31mred\u{1b}[0m"), "\u{1b}[1;31mred\u{1b}[0m");
        assert_eq!(styled("\u{1b}[2Jx\u{1b}]8;;y\u{1b}\u{1b}[m\u{1b}["), "\\x1b[2Jx\\x1b]8;;y\\x1b\u{1b}[m\\x1b[");
    }

    #[test]
    fn json_says_the_same_in_characters_that_are_seen() {
        let value = serde_json::json!({ "k\u{202e}": "\u{1b}\u{9b}\u{7f}\u{e0041}\n🙂" });
        let shown = json(&format!("{value:#}"));
        assert!(!has_hidden(&shown.replace('\n', "")), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).expect("JSON"), value);
    }
}
