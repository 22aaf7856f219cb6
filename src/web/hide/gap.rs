//! Notes of gaps between groups: each names two cohorts.

use super::Hide;
use crate::domain::shown::Shown;
use crate::store::read::classes::GapRow;
use crate::text::gap;

impl Hide for GapRow {
    fn hide(&mut self, shown: &Shown) {
        let Some(note) = self.note.as_mut().filter(|note| shown.hides(note)) else { return };
        // Each cohort by itself, so that its code is that of the other rows and the numbers stay. Where a value makes it unclear
        // where it ends, all of the note is hidden.
        *note = match gap::sides(note) {
            Some([(one, first), (other, second)]) => gap::note((&shown.text(one), first), (&shown.text(other), second)),
            None => shown.text(note),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(note: &str) -> String {
        let shown = Shown::new(vec!["sex".to_owned()], b"key");
        let mut row =
            GapRow { metric: "tpr_gap".into(), value: None, ci_low: None, ci_high: None, note: Some(note.to_owned()) };
        row.hide(&shown);
        row.note.unwrap_or_default()
    }

    #[test]
    fn both_groups_are_hidden_and_their_numbers_stay() {
        let note = hidden("sex=female has 0.6000, and sex=male has 0.8000");
        let code = |cohort: &str| Shown::new(vec!["sex".to_owned()], b"key").text(cohort);
        assert_eq!(note, format!("{} has 0.6000, and {} has 0.8000", code("sex=female"), code("sex=male")));
        assert_eq!(
            hidden("region=a has 0.1000, and region=b has 0.2000"),
            "region=a has 0.1000, and region=b has 0.2000"
        );
        for odd in ["sex=x has 0.1, and sex=y has 0.2, and sex=z has 0.3", "sex=female", "about sex=female has 1"] {
            let hidden = hidden(odd);
            assert!(!hidden.contains("female") && !hidden.contains("=y") && !hidden.contains("=x"), "{hidden}");
        }
    }
}
