//! Single lines for people, which data cannot break, reverse or stretch.

/// Replaces control and direction characters by spaces, so that data can neither break a line nor reverse it.
pub fn single_line(text: &str) -> String {
    let breaks = |c: char| {
        c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{feff}')
    };
    text.chars().map(|c| if breaks(c) { ' ' } else { c }).collect()
}

/// Truncates to at most `most` characters; the last three are dots if some were cut off.
pub fn clipped(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(3)).collect();
    format!("{kept}...")
}

/// True if a link may be clicked: http(s) and nothing else.
pub fn is_web_link(link: &str) -> bool {
    (link.starts_with("https://") || link.starts_with("http://"))
        && !link.contains(|c: char| c.is_control() || c == ' ')
}
