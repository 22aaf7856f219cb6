//! `schema`: JSON Schemas of job files, settings, fixtures and webhook bodies, for editors and for receivers.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::Result;
use schemars::generate::SchemaSettings;
use serde_json::Value as Json;

use crate::cli::SchemaKind;
use crate::commands::output;
use crate::notify::message::Notice;
use crate::spec::JobSpec;
use crate::spec::fixture::FixtureSpec;
use crate::spec::receivers::SettingsSpec;

pub(in crate::commands) fn run(kind: SchemaKind) -> Result<ExitCode> {
    output::print_json(&serde_json::to_string_pretty(&of(kind))?)?;
    Ok(ExitCode::SUCCESS)
}

/// Returns the schema of a kind of text.
pub fn of(kind: SchemaKind) -> Json {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let (schema, title) = match kind {
        SchemaKind::Job => (generator.into_root_schema_for::<JobSpec>(), "trueup job file"),
        SchemaKind::Settings => (generator.into_root_schema_for::<SettingsSpec>(), "trueup settings: trueup.toml"),
        SchemaKind::Fixture => (generator.into_root_schema_for::<FixtureSpec>(), "trueup rule fixture"),
        SchemaKind::Webhook => (generator.into_root_schema_for::<Notice>(), "trueup webhook body, version 1"),
    };
    let mut schema = schema.to_value();
    for text in samples(kind) {
        // Tests read every shipped file; a broken one would only give no examples.
        if let Ok(sample) = toml::from_str::<Json>(text) {
            add_examples(&mut schema, &sample);
        }
    }
    if let Some(object) = schema.as_object_mut() {
        object.insert("title".to_owned(), Json::from(title));
    }
    schema
}

/// Returns the files that give keys their examples: only shipped ones, so that every example works.
fn samples(kind: SchemaKind) -> &'static [&'static str] {
    match kind {
        SchemaKind::Job => &[
            include_str!("../../../jobs/ro-load.toml"),
            include_str!("../../../jobs/demand-sku.toml"),
            include_str!("../../../jobs/pricing.toml"),
            include_str!("../../../jobs/maintenance.toml"),
            include_str!("../../../jobs/spend.toml"),
            include_str!("../../../jobs/canary.toml"),
        ],
        SchemaKind::Settings => &[include_str!("../../../trueup.toml")],
        SchemaKind::Fixture => &[include_str!("../../../jobs/ro-load.test.toml")],
        SchemaKind::Webhook => &[],
    }
}

/// Maximum examples of one key.
const MOST_EXAMPLES: usize = 3;

/// Adds the plain values of a sample to their keys.
fn add_examples(root: &mut Json, sample: &Json) {
    let mut found = BTreeMap::new();
    collect(root, "", sample, &mut found);
    for (pointer, values) in found {
        let Some(key) = root.pointer_mut(&pointer).and_then(Json::as_object_mut) else { continue };
        let Some(known) = key.entry("examples").or_insert_with(|| Json::Array(vec![])).as_array_mut() else { continue };
        for value in values {
            if known.len() < MOST_EXAMPLES && !known.contains(&value) {
                known.push(value);
            }
        }
    }
}

/// Walks a schema and a value of it in parallel. Keys are JSON pointers into the schema.
fn collect(root: &Json, pointer: &str, value: &Json, found: &mut BTreeMap<String, Vec<Json>>) {
    let Some(schema) = root.pointer(pointer) else { return };
    if let Some(target) = schema.get("$ref").and_then(Json::as_str).and_then(|target| target.strip_prefix('#')) {
        collect(root, target, value, found);
    }
    for several in ["anyOf", "oneOf", "allOf"] {
        let options = schema.get(several).and_then(Json::as_array).map_or(0, Vec::len);
        for option in 0..options {
            collect(root, &format!("{pointer}/{several}/{option}"), value, found);
        }
    }
    match value {
        Json::Object(fields) => {
            for (name, value) in fields {
                let of_name = format!("{pointer}/properties/{}", name.replace('~', "~0").replace('/', "~1"));
                if root.pointer(&of_name).is_none() {
                    // Names that the user gives, such as those of receivers.
                    collect(root, &format!("{pointer}/additionalProperties"), value, found);
                    continue;
                }
                let is_plain = |value: &Json| !value.is_object() && !value.is_array();
                if is_plain(value) || value.as_array().is_some_and(|items| items.iter().all(is_plain)) {
                    found.entry(of_name.clone()).or_default().push(value.clone());
                }
                collect(root, &of_name, value, found);
            }
        }
        Json::Array(items) => items.iter().for_each(|item| collect(root, &format!("{pointer}/items"), item, found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_examples_of_files_that_work() {
        for (kind, pointer, example) in [
            (SchemaKind::Job, "/$defs/JobSection/properties/name/examples", "ro-load"),
            (SchemaKind::Job, "/$defs/AlertSection/properties/metric/examples", "rmse"),
        ] {
            let schema = of(kind);
            let examples = schema.pointer(pointer).and_then(Json::as_array);
            assert!(examples.is_some_and(|list| list.contains(&Json::from(example))), "{pointer}: {examples:?}");
        }
        for kind in [SchemaKind::Job, SchemaKind::Settings, SchemaKind::Fixture] {
            let text = of(kind).to_string();
            assert!(text.matches("\"examples\"").count() >= 3, "{text}");
        }
    }
}
