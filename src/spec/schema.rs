//! Compares a TOML table with the JSON Schema of the type it should become, and reports every mismatch.
//!
//! serde alone stops at the first error; the schema is derived from the same types, so the two cannot disagree.

use std::ops::Range;

use schemars::JsonSchema;
use serde_json::Value as Json;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::spec::diagnostic::{Diagnostic, did_you_mean};

/// Returns everything that prevents `table` from being read as a `T`.
pub fn validate<T: JsonSchema>(table: &DeTable<'_>) -> Vec<Diagnostic> {
    let schema = schemars::schema_for!(T).to_value();
    let mut checker = Checker { root: &schema, findings: Vec::new() };
    checker.table(&schema, table, 0..0, "");
    checker.findings
}

struct Checker<'a> {
    root: &'a Json,
    findings: Vec<Diagnostic>,
}

impl<'a> Checker<'a> {
    /// Follows `$ref` to the definition it names.
    fn resolve(&self, schema: &'a Json) -> &'a Json {
        let Some(reference) = schema.get("$ref").and_then(Json::as_str) else { return schema };
        self.root.pointer(reference.trim_start_matches('#')).unwrap_or(schema)
    }

    fn value(&mut self, schema: &'a Json, value: &Spanned<DeValue<'_>>, path: &str) {
        let schema = self.resolve(schema);
        if let Some(alternatives) = alternatives(schema) {
            return self.any(&alternatives, value, path);
        }
        match value.get_ref() {
            DeValue::Table(table) if takes(schema, "object") => self.table(schema, table, value.span(), path),
            DeValue::Array(items) if takes(schema, "array") => {
                for (index, item) in items.iter().enumerate() {
                    if let Some(item_schema) = schema.get("items") {
                        self.value(item_schema, item, &format!("{path}[{index}]"));
                    }
                }
            }
            scalar if fits(schema, scalar) => self.word(schema, value, path),
            other => {
                let message = format!("`{path}` must be {}, not {}", expected(self, schema), name_of(other));
                self.findings.push(Diagnostic::error("wrong-type", value.span(), message));
            }
        }
    }

    /// Checks a value that may have several shapes. If none fits, reports the findings of the nearest one.
    fn any(&mut self, alternatives: &[&'a Json], value: &Spanned<DeValue<'_>>, path: &str) {
        let shapes: Vec<&Json> = alternatives.iter().map(|a| self.resolve(a)).filter(|a| !takes(a, "null")).collect();
        let mut nearest: Option<Vec<Diagnostic>> = None;
        for shape in &shapes {
            let mut attempt = Checker { root: self.root, findings: Vec::new() };
            attempt.value(shape, value, path);
            match attempt.findings.as_slice() {
                [] => return,
                [only] if only.code == "wrong-type" && only.span == value.span() => {}
                _ => nearest = Some(attempt.findings),
            }
        }
        self.findings.extend(nearest.unwrap_or_else(|| {
            let choices: Vec<String> = shapes.iter().map(|shape| expected(self, shape)).collect();
            let message = format!("`{path}` must be {}, not {}", choices.join(" or "), name_of(value.get_ref()));
            vec![Diagnostic::error("wrong-type", value.span(), message)]
        }));
    }

    fn table(&mut self, schema: &'a Json, table: &DeTable<'_>, span: Range<usize>, path: &str) {
        let properties = schema.get("properties").and_then(Json::as_object);
        let open = schema.get("additionalProperties").filter(|extra| extra.is_object());
        let takes_anything = schema.get("additionalProperties") == Some(&Json::Bool(true));
        for (key, value) in table.iter() {
            let name: &str = key.get_ref();
            let child = join(path, name);
            match (properties.and_then(|known| known.get(name)), open) {
                (Some(known), _) => self.value(known, value, &child),
                (None, Some(any)) => self.value(any, value, &child),
                (None, None) if takes_anything => {}
                (None, None) => self.findings.push(unknown_key(name, key.span(), path, properties)),
            }
        }
        let required = schema.get("required").and_then(Json::as_array);
        for name in required.into_iter().flatten().filter_map(Json::as_str) {
            if !table.contains_key(name) {
                self.findings.push(missing_key(name, span.clone(), path, properties.and_then(|known| known.get(name))));
            }
        }
    }

    /// Checks a text that must be one of a few words.
    fn word(&mut self, schema: &Json, value: &Spanned<DeValue<'_>>, path: &str) {
        let Some(written) = value.get_ref().as_str() else { return };
        let words = words(schema);
        if words.is_empty() || words.contains(&written) {
            return;
        }
        let list = words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
        let mut finding = Diagnostic::error(
            "unknown-value",
            value.span(),
            format!("`{path}` must be one of {list}, not `{written}`"),
        );
        if let Some(near) = did_you_mean(written, words) {
            finding = finding.hint(format!("did you mean `{near}`?"));
        }
        self.findings.push(finding);
    }
}

/// Returns `anyOf`, or a `oneOf` that is not just a list of words.
fn alternatives(schema: &Json) -> Option<Vec<&Json>> {
    if !words(schema).is_empty() {
        return None;
    }
    ["anyOf", "oneOf"].iter().find_map(|key| schema.get(key)?.as_array()).map(|list| list.iter().collect())
}

/// Returns the allowed words of a text: `enum`, or a `oneOf` of constants (how documented enums are described).
fn words(schema: &Json) -> Vec<&str> {
    let listed = schema.get("enum").and_then(Json::as_array).into_iter().flatten();
    let constants =
        schema.get("oneOf").and_then(Json::as_array).into_iter().flatten().filter_map(|one| one.get("const"));
    listed.chain(constants).filter_map(Json::as_str).collect()
}

/// True if the schema's `type` is or includes `kind`.
fn takes(schema: &Json, kind: &str) -> bool {
    match schema.get("type") {
        Some(Json::String(only)) => only == kind,
        Some(Json::Array(several)) => several.iter().any(|one| one == kind),
        _ => kind == "string" && !words(schema).is_empty(),
    }
}

fn fits(schema: &Json, value: &DeValue<'_>) -> bool {
    match value {
        DeValue::String(_) => takes(schema, "string"),
        DeValue::Integer(_) => takes(schema, "integer") || takes(schema, "number"),
        DeValue::Float(_) => takes(schema, "number"),
        DeValue::Boolean(_) => takes(schema, "boolean"),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => false,
    }
}

fn expected(checker: &Checker<'_>, schema: &Json) -> String {
    let schema = schema.get("$ref").map_or(schema, |_| {
        checker.root.pointer(schema["$ref"].as_str().unwrap_or_default().trim_start_matches('#')).unwrap_or(schema)
    });
    let kinds = [
        ("string", "a string in quotes"),
        ("number", "a number"),
        ("integer", "a whole number"),
        ("boolean", "true or false"),
        ("array", "a list in [brackets]"),
        ("object", "a table"),
    ];
    let found: Vec<&str> = kinds.iter().filter(|(kind, _)| takes(schema, kind)).map(|(_, name)| *name).collect();
    found.join(" or ")
}

fn name_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn unknown_key(
    name: &str,
    span: Range<usize>,
    path: &str,
    known: Option<&serde_json::Map<String, Json>>,
) -> Diagnostic {
    let place = if path.is_empty() { "a top-level key".to_owned() } else { format!("a key of `{path}`") };
    let known: Vec<&str> = known.into_iter().flat_map(|map| map.keys().map(String::as_str)).collect();
    let hint = match did_you_mean(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known keys are {}", known.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")),
    };
    Diagnostic::error("unknown-key", span, format!("`{name}` is not {place}")).hint(hint)
}

fn missing_key(name: &str, span: Range<usize>, path: &str, schema: Option<&Json>) -> Diagnostic {
    let meaning = schema.and_then(|s| s.get("description")).and_then(Json::as_str);
    let finding = Diagnostic::error("missing-key", span, format!("`{}` is missing", join(path, name)));
    match meaning {
        Some(meaning) => finding.hint(format!("add `{name}`: {}", meaning.trim_end_matches('.'))),
        None => finding.hint(format!("add `{name}`")),
    }
}
