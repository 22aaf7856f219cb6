//! `schema`: the JSON Schema of what people and programs write and read, for editors and for receivers.

use std::process::ExitCode;

use anyhow::Result;
use schemars::generate::SchemaSettings;
use serde_json::Value as Json;

use super::output;
use crate::cli::SchemaKind;
use crate::notify::message::Notice;
use crate::spec::JobSpec;
use crate::spec::fixture::FixtureSpec;
use crate::spec::receivers::SettingsSpec;

pub(super) fn run(kind: SchemaKind) -> Result<ExitCode> {
    output::print(&serde_json::to_string_pretty(&of(kind))?)?;
    Ok(ExitCode::SUCCESS)
}

/// The schema of a kind of text.
pub fn of(kind: SchemaKind) -> Json {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let (schema, title) = match kind {
        SchemaKind::Job => (generator.into_root_schema_for::<JobSpec>(), "A job of trueup"),
        SchemaKind::Settings => (generator.into_root_schema_for::<SettingsSpec>(), "Settings of trueup: trueup.toml"),
        SchemaKind::Fixture => (generator.into_root_schema_for::<FixtureSpec>(), "A test of a job's rules"),
        SchemaKind::Webhook => (generator.into_root_schema_for::<Notice>(), "A webhook body of trueup, version 1"),
    };
    let mut schema = schema.to_value();
    if let Some(object) = schema.as_object_mut() {
        object.insert("title".to_owned(), Json::from(title));
    }
    schema
}
