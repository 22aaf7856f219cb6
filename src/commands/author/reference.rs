//! `explain --reference`: every key of job files and settings, printed from their schemas. It is also `docs/reference.md`.

use std::fmt::Write as _;

use serde_json::Value as Json;

use super::schema;
use crate::cli::SchemaKind;

/// Returns the page in Markdown.
pub fn page() -> String {
    let mut page = String::from(
        "# Reference\n\n\
         Every key of job files, `trueup.toml` and rule fixtures. `trueup explain --reference` prints this page. Editors read \
         the same from [schema/job.json](schema/job.json), with `#:schema` in the first line of a file.\n",
    );
    for (kind, title) in [
        (SchemaKind::Job, "Job files: `jobs/*.toml`"),
        (SchemaKind::Settings, "Settings: `trueup.toml`"),
        (SchemaKind::Fixture, "Rule fixtures: `*.test.toml`"),
    ] {
        let root = schema::of(kind);
        let _infallible = writeln!(page, "\n## {title}");
        section(&mut page, &root, &root, "", 0);
    }
    page
}

/// No section is deeper than this; the limit ends a schema that refers to itself.
const DEEPEST: usize = 6;

fn section(page: &mut String, root: &Json, schema: &Json, path: &str, depth: usize) {
    let Some(properties) = schema.get("properties").and_then(Json::as_object) else { return };
    let required = schema.get("required").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
    let (mut plain, mut nested) = (Vec::new(), Vec::new());
    for (key, property) in properties {
        let (shown, inner) = resolve(root, property);
        let about = property.get("description").or_else(|| inner.get("description"));
        let about = about.and_then(Json::as_str).unwrap_or_default().replace('\n', " ").replace('|', "\\|");
        let must = if required.iter().any(|name| name == key) { "yes" } else { "" };
        plain.push(format!("| `{key}` | {shown} | {must} | {about} |"));
        if inner.get("properties").is_some() && depth < DEEPEST {
            nested.push((key, shown, inner.clone()));
        }
    }
    if !path.is_empty() {
        let _infallible = writeln!(page, "\n### {path}");
        if let Some(about) = schema.get("description").and_then(Json::as_str) {
            let _infallible = writeln!(page, "\n{}", about.replace('\n', " "));
        }
    }
    let _infallible = writeln!(page, "\n| key | value | required | meaning |\n|---|---|---|---|\n{}", plain.join("\n"));
    for (key, shown, inner) in nested {
        let below = if path.is_empty() { key.clone() } else { format!("{}.{key}", path.trim_matches(['`', '[', ']'])) };
        let written = if shown.starts_with("list") { format!("`[[{below}]]`") } else { format!("`[{below}]`") };
        section(page, root, &inner, &written, depth + 1);
    }
}

/// Returns the kind of value that a property takes, and the schema of its content.
fn resolve<'s>(root: &'s Json, property: &'s Json) -> (String, &'s Json) {
    if let Some(reference) = property.get("$ref").and_then(Json::as_str) {
        let target = root.pointer(reference.trim_start_matches('#')).unwrap_or(property);
        return resolve(root, target);
    }
    if let Some(several) = ["anyOf", "oneOf"].iter().find_map(|key| property.get(*key)).and_then(Json::as_array) {
        let real: Vec<&Json> = several.iter().filter(|one| one.get("type") != Some(&Json::from("null"))).collect();
        let words: Vec<String> = real
            .iter()
            .filter_map(|one| one.get("const"))
            .filter_map(Json::as_str)
            .map(|word| format!("`{word}`"))
            .collect();
        if !words.is_empty() {
            return (words.join(", "), property);
        }
        let resolved: Vec<(String, &Json)> = real.iter().map(|one| resolve(root, one)).collect();
        let shown: Vec<String> = resolved.iter().map(|(shown, _)| shown.clone()).collect();
        let inner = resolved
            .iter()
            .map(|(_, inner)| *inner)
            .find(|inner| inner.get("properties").is_some())
            .unwrap_or(property);
        return (shown.join(" or "), inner);
    }
    if let Some(words) = property.get("enum").and_then(Json::as_array) {
        let words: Vec<String> = words.iter().filter_map(Json::as_str).map(|word| format!("`{word}`")).collect();
        return (words.join(", "), property);
    }
    let kinds: Vec<&str> = match property.get("type") {
        Some(Json::String(kind)) => vec![kind],
        Some(Json::Array(kinds)) => kinds.iter().filter_map(Json::as_str).filter(|kind| *kind != "null").collect(),
        _ => vec!["value"],
    };
    let word = |kind: &str| match kind {
        "string" => "text",
        "integer" => "whole number",
        "number" => "number",
        "boolean" => "true or false",
        "object" => "table",
        "array" => "list",
        _ => "value",
    };
    if kinds == ["array"] {
        let empty = &Json::Null;
        let (of, inner) = resolve(root, property.get("items").unwrap_or(empty));
        return (format!("list of {of}s"), inner);
    }
    if kinds == ["object"]
        && let Some(values) = property.get("additionalProperties").filter(|values| values.is_object())
    {
        let (of, inner) = resolve(root, values);
        return (format!("table of named {of}s"), inner);
    }
    (kinds.iter().map(|kind| word(kind)).collect::<Vec<_>>().join(" or "), property)
}
