//! Notes of gaps between groups, such as `sex=f has 0.6000, and sex=m has 0.8000`.

/// Splits a note into its groups, each with its number. `None` for other texts, and where a group's name makes it unclear.
pub fn sides(note: &str) -> Option<[(&str, f64); 2]> {
    let (rest, last) = note.rsplit_once(" has ")?;
    let last = number(last)?;
    let mut found = rest.match_indices(" has ").filter_map(|(at, word)| {
        let (first, other) = rest[at + word.len()..].split_once(", and ")?;
        Some([(&rest[..at], number(first)?), (other, last)])
    });
    found.next().filter(|_| found.next().is_none())
}

/// Writes such a note.
pub fn note((one, first): (&str, f64), (other, second): (&str, f64)) -> String {
    format!("{one} has {first:.4}, and {other} has {second:.4}")
}

fn number(text: &str) -> Option<f64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.parse().ok().filter(|_| is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_names_two_groups() {
        let expected = Some([("sex=f", 0.6), ("sex=m", 0.8)]);
        assert_eq!(sides("sex=f has 0.6000, and sex=m has 0.8000"), expected);
        assert_eq!(note(("sex=f", 0.6), ("sex=m", 0.8)), "sex=f has 0.6000, and sex=m has 0.8000");
        let odd = "of=it has none, and so has 0.1000, and of=b has 0.5 has 0.2000";
        assert_eq!(sides(odd), Some([("of=it has none, and so", 0.1), ("of=b has 0.5", 0.2)]));
        for unclear in
            ["", "a", "a has 1", "a has 0.1, and b", "a has 0.1, and b has 0.2, and c has 0.3", "a has x, and b has 1"]
        {
            assert_eq!(sides(unclear), None, "{unclear}");
        }
    }
}
