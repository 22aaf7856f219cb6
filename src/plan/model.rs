//! The kind of prediction, as far as it decides how the source is read: which labels are positive.

use crate::domain::name::text_literal;
use crate::metric::confusion;
use crate::plan::source::ValueType;

/// The kind of prediction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Model {
    /// A number.
    #[default]
    Regression,
    /// One of two classes.
    Binary(ClassLabels),
    /// One of several classes.
    Multiclass,
}

/// The labels that are positive, and those that are negative.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassLabels {
    pub positive: Vec<String>,
    /// ClassLabels that are negative. `None`: every other one.
    pub negative: Option<Vec<String>>,
}

/// ClassLabels that are positive, and negative, unless the job says which.
const POSITIVE: [&str; 5] = ["1", "true", "t", "yes", "y"];
const NEGATIVE: [&str; 5] = ["0", "false", "f", "no", "n"];

impl Default for ClassLabels {
    fn default() -> Self {
        let owned = |words: [&str; 5]| words.map(str::to_owned).to_vec();
        Self { positive: owned(POSITIVE), negative: Some(owned(NEGATIVE)) }
    }
}

impl ClassLabels {
    /// SQL of a column as 1 (positive), 0 (negative), NaN (neither) or NULL.
    pub fn number(&self, column: &str, of: ValueType) -> String {
        let is = |words: &[String]| is_one_of(column, of, words);
        let negative = self.negative.as_ref().map_or("true".to_owned(), |words| is(words));
        format!(
            "case when {column} is null then null::float8 when {} then 1::float8 when {negative} then 0::float8 else 'NaN'::float8 end",
            is(&self.positive)
        )
    }
}

/// SQL of the code of a class, NULL for NULL. Numbers are compared as numbers: 3 is 3.0.
pub fn class_code(column: &str, of: ValueType) -> String {
    let text = class_text(column, of);
    format!("case when {column} is not null then ({})::float8 end", confusion::code_sql(&text))
}

/// SQL of the name of a class.
pub fn class_text(column: &str, of: ValueType) -> String {
    match of {
        ValueType::Numeric => format!("trim_scale({column})::text"),
        ValueType::Plain | ValueType::Boolean | ValueType::Text => format!("{column}::text"),
    }
}

/// SQL that is true if a column that is not null is one of these words. Numbers are compared as numbers: 1 is 1.0.
fn is_one_of(column: &str, of: ValueType, words: &[String]) -> String {
    let (value, words): (String, Vec<String>) = match of {
        ValueType::Boolean => {
            let truth = |word: &String| match word.to_lowercase().as_str() {
                "1" | "true" | "t" | "yes" | "y" => Some("true".to_owned()),
                "0" | "false" | "f" | "no" | "n" => Some("false".to_owned()),
                _ => None,
            };
            (column.to_owned(), words.iter().filter_map(truth).collect())
        }
        ValueType::Plain | ValueType::Numeric => {
            let number = |word: &String| word.parse::<f64>().ok().filter(|n| n.is_finite()).map(|n| format!("{n:e}"));
            (column.to_owned(), words.iter().filter_map(number).collect())
        }
        ValueType::Text => (format!("{column}::text"), words.iter().map(|word| text_literal(word)).collect()),
    };
    let mut words = words;
    words.sort();
    words.dedup();
    if words.is_empty() { "false".to_owned() } else { format!("{value} in ({})", words.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_compared_in_the_type_of_their_column() {
        let usual = ClassLabels::default();
        assert!(usual.number("a.y", ValueType::Boolean).contains("when a.y in (true) then 1"));
        assert!(usual.number("a.y", ValueType::Numeric).contains("when a.y in (1e0) then 1"));
        let fraud = ClassLabels { positive: vec!["fraud".into(), "it's".into()], negative: None };
        let sql = fraud.number("a.y", ValueType::Text);
        assert!(sql.contains("a.y::text in ('fraud', 'it''s') then 1") && sql.contains("when true then 0"), "{sql}");
        // A word that is no number is none of the numbers.
        assert!(fraud.number("a.y", ValueType::Plain).contains("when false then 1"));
    }
}
