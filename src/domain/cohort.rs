//! Cohorts, and the names that they are stored under.

use serde_json::{Map, Value as Json};

/// The cohort of a measurement.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Cohort {
    /// Everything.
    All,
    /// One combination of values; `None` is NULL.
    Values(Vec<(String, Option<String>)>),
    /// All values of these dimensions except the top ones.
    Other(Vec<String>),
}

impl Cohort {
    /// Returns the name it is stored under: `all`, `region=north, tier=2`, `region=other`.
    ///
    /// A value that could be mistaken for something else (`other`, `(null)`, or one with a comma) is quoted as in JSON,
    /// so that two cohorts never share a name.
    pub fn label(&self) -> String {
        match self {
            Self::All => "all".to_owned(),
            Self::Values(values) => {
                let pairs = values.iter().map(|(name, value)| format!("{name}={}", value_label(value.as_deref())));
                pairs.collect::<Vec<_>>().join(", ")
            }
            Self::Other(names) => names.iter().map(|name| format!("{name}=other")).collect::<Vec<_>>().join(", "),
        }
    }

    /// Returns the cohort as an object: dimension to value, null for NULL. Empty for `All` and `Other`.
    pub fn values(&self) -> Json {
        let values = match self {
            Self::Values(values) => values.as_slice(),
            Self::All | Self::Other(_) => &[],
        };
        Json::Object(
            values.iter().map(|(name, value)| (name.clone(), Json::from(value.clone()))).collect::<Map<_, _>>(),
        )
    }
}

fn value_label(value: Option<&str>) -> String {
    let Some(text) = value else { return "(null)".to_owned() };
    let special = |c: char| c.is_control() || matches!(c, ',' | '=' | '"' | '\\');
    let plain =
        !text.is_empty() && text.trim() == text && !text.contains(special) && text != "other" && text != "(null)";
    if plain { text.to_owned() } else { Json::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(value: Option<&str>) -> String {
        Cohort::Values(vec![("region".into(), value.map(Into::into))]).label()
    }

    #[test]
    fn labels_are_plain_where_they_can_be_and_never_shared() {
        assert_eq!(one(Some("north")), "region=north");
        assert_eq!(one(None), "region=(null)");
        assert_eq!(one(Some("(null)")), "region=\"(null)\"");
        assert_eq!(one(Some("other")), "region=\"other\"");
        assert_eq!(Cohort::Other(vec!["region".into()]).label(), "region=other");
        assert_eq!(one(Some("a, tier=2")), "region=\"a, tier=2\"");
        assert_eq!(one(Some("a\r\nBcc: x")), "region=\"a\\r\\nBcc: x\"");
        assert_eq!(one(Some("")), "region=\"\"");
    }
}
