//! Lines for people: none that data can break, turn around or stretch.

/// Text from data cannot break a line, nor turn it around: control and direction characters become spaces.
pub fn single_line(text: &str) -> String {
    let breaks = |c: char| {
        c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{feff}')
    };
    text.chars().map(|c| if breaks(c) { ' ' } else { c }).collect()
}

/// At most so many characters, the last three being dots where some were cut off.
pub fn clipped(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(3)).collect();
    format!("{kept}...")
}

/// Whether a link may be clicked: http(s) and nothing else.
pub fn is_web_link(link: &str) -> bool {
    (link.starts_with("https://") || link.starts_with("http://"))
        && !link.contains(|c: char| c.is_control() || c == ' ')
}
