//! Cells of the same shade.

use std::ops::Range;

/// Ranges of neighbors of the same shade; cells without one are left out.
pub(super) fn runs(shades: impl Iterator<Item = Option<usize>>) -> Vec<(Range<usize>, usize)> {
    let mut found: Vec<(Range<usize>, usize)> = Vec::new();
    for (n, shade) in shades.enumerate() {
        let Some(shade) = shade else { continue };
        match found.last_mut().filter(|(run, last)| run.end == n && *last == shade) {
            Some((run, _)) => run.end = n + 1,
            None => found.push((n..n + 1, shade)),
        }
    }
    found
}
