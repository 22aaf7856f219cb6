//! Values that stay in SQL: the labels of cohorts with a hidden dimension, as pages, API and badges show them.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Hides the values of some dimensions behind codes. A code is stable and cannot be turned back without the key.
#[derive(Debug, Clone, Default)]
pub struct Shown {
    dimensions: Vec<String>,
    key: Vec<u8>,
}

impl Shown {
    pub fn new(mut dimensions: Vec<String>, key: &[u8]) -> Self {
        dimensions.sort();
        dimensions.dedup();
        Self { dimensions, key: key.to_vec() }
    }

    /// True if nothing is hidden.
    pub fn is_all(&self) -> bool {
        self.dimensions.is_empty()
    }

    /// True if a text names a value of a hidden dimension, such as a cohort in an address.
    pub fn hides(&self, text: &str) -> bool {
        self.start(text).is_some()
    }

    /// Returns a text with hidden values replaced. From the first hidden dimension on, all of the text is replaced: a value may
    /// contain anything, so nothing says where it ends.
    pub fn text(&self, text: &str) -> String {
        match self.start(text) {
            Some((at, dimension)) => format!("{}{dimension}=(hidden {})", &text[..at], self.code(&text[at..])),
            None => text.to_owned(),
        }
    }

    /// Returns the first place at which a hidden dimension is named.
    fn start(&self, text: &str) -> Option<(usize, &str)> {
        let places = self.dimensions.iter().filter_map(|dimension| {
            let mark = format!("{dimension}=");
            let is_start = |at: &usize| {
                text[..*at].chars().next_back().is_none_or(|before| !before.is_alphanumeric() && before != '_')
            };
            let at = text.match_indices(&mark).map(|(at, _)| at).find(is_start)?;
            Some((at, dimension.as_str()))
        });
        places.min()
    }

    fn code(&self, text: &str) -> String {
        let Ok(mut code) = Hmac::<Sha256>::new_from_slice(&self.key) else { return String::new() };
        code.update(text.as_bytes());
        code.finalize().into_bytes().iter().take(4).map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_hidden_dimensions_are_codes() {
        let shown = Shown::new(vec!["customer".to_owned()], b"key");
        let hidden = shown.text("customer=acme, region=north");
        assert!(hidden.starts_with("customer=(hidden ") && !hidden.contains("acme"), "{hidden}");
        assert_eq!(hidden, shown.text("customer=acme, region=north"), "stable");
        assert_ne!(hidden, shown.text("customer=acme, region=south"));
        assert_ne!(hidden, Shown::new(vec!["customer".to_owned()], b"other").text("customer=acme, region=north"));
        let sentence = shown.text("rmse-high for region=north, customer=a, customer=b: fires");
        assert!(sentence.starts_with("rmse-high for region=north, customer=(hidden "), "{sentence}");
        for plain in ["all", "region=north", "my_customer=acme", "customers"] {
            assert_eq!(shown.text(plain), plain);
        }
        assert!(Shown::default().is_all() && !Shown::default().hides("customer=acme"));
    }
}
