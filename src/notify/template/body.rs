//! User-defined webhook bodies, for services with a format of their own: every string in the body is a template.
//!
//! Templates fill strings of the parsed JSON, so the content of a notification can neither end a string nor change the structure.

use serde_json::{Map, Value as Json};

use super::render;
use crate::notify::message::Notice;

/// Most strings in a body: each has its own limits, so there must not be many.
const MOST_TEXTS: usize = 100;

/// A JSON object whose strings are templates.
#[derive(Debug, Clone)]
pub struct Body(Map<String, Json>);

impl Body {
    /// Accepts an object with at least one string and not too many.
    pub fn new(shape: Map<String, Json>) -> Result<Self, String> {
        match texts(&shape) {
            0 => Err("the body contains no string".to_owned()),
            // Key that a TOML date gets in JSON.
            _ if has_key(&Json::Object(shape.clone()), "$__toml_private_datetime") => {
                Err("JSON has no dates: write the date as a string".to_owned())
            }
            n if n > MOST_TEXTS => Err(format!("the body has {n} strings; the limit is {MOST_TEXTS}")),
            _ => Ok(Self(shape)),
        }
    }

    /// Returns the error of the first string that fails on a notification.
    pub fn mistake(&self, notice: &Notice) -> Option<String> {
        let mut mistake = None;
        self.filled(&mut |template| {
            let rendered = render("body", template, notice);
            mistake = mistake.take().or_else(|| rendered.as_ref().err().cloned());
            rendered.unwrap_or_default()
        });
        mistake
    }

    /// Renders the body. A string whose template fails is replaced by the whole message, with the failure.
    pub fn render(&self, notice: &Notice) -> Json {
        self.filled(&mut |template| {
            render("body", template, notice)
                .unwrap_or_else(|why| format!("{}\n(a template failed: {why})", notice.text))
        })
    }

    fn filled(&self, fill: &mut impl FnMut(&str) -> String) -> Json {
        filled(&Json::Object(self.0.clone()), fill)
    }
}

fn filled(shape: &Json, fill: &mut impl FnMut(&str) -> String) -> Json {
    match shape {
        Json::String(template) => Json::String(fill(template)),
        Json::Array(parts) => parts.iter().map(|part| filled(part, fill)).collect(),
        Json::Object(parts) => parts.iter().map(|(key, part)| (key.clone(), filled(part, fill))).collect(),
        other => other.clone(),
    }
}

fn has_key(shape: &Json, key: &str) -> bool {
    match shape {
        Json::Array(parts) => parts.iter().any(|part| has_key(part, key)),
        Json::Object(parts) => parts.contains_key(key) || parts.values().any(|part| has_key(part, key)),
        _ => false,
    }
}

fn texts(shape: &Map<String, Json>) -> usize {
    let mut count = 0;
    filled(&Json::Object(shape.clone()), &mut |_| {
        count += 1;
        String::new()
    });
    count
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::notify::message::samples;
    use crate::notify::template::Templates;

    fn body(shape: Json) -> Result<Body, String> {
        match shape {
            Json::Object(shape) => Body::new(shape),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn every_text_is_filled_and_nothing_that_a_message_says_changes_the_shape() {
        let mut notice = samples::notice("firing", "\", \"x\": {{ notice.id }}");
        Templates::default().fill(&mut notice);
        let shape = json!({"type": "message", "size": 2, "bold": true, "parts": [{"text": "{{ notice.rules[0].alerts[0].cohort }}"}]});
        assert_eq!(
            body(shape).unwrap().render(&notice),
            json!({"type": "message", "size": 2, "bold": true, "parts": [{"text": "\", \"x\": {{ notice.id }}"}]})
        );
    }

    #[test]
    fn a_template_that_fails_costs_nobody_the_message() {
        let mut notice = samples::notice("firing", "all");
        Templates::default().fill(&mut notice);
        let body = body(json!({"text": "{{ notice.nothing }}", "also": "{{ notice.kind }}"})).unwrap();
        assert!(body.mistake(&notice).is_some());
        let rendered = body.render(&notice);
        assert_eq!(rendered["also"], "firing");
        let text = rendered["text"].as_str().unwrap();
        assert!(text.contains("rmse-high") && text.contains("a template failed"), "{text}");
    }

    #[test]
    fn a_body_has_texts_and_not_too_many() {
        assert!(body(json!({"a": 1})).is_err());
        assert!(body(json!({"a": vec!["x"; 101]})).is_err());
        assert!(body(json!({"a": vec!["x"; 100]})).is_ok());
    }
}
