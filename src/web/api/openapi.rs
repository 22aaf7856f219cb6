//! The OpenAPI document, from the table of operations and the types of their answers.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value as Json, json};

use super::operation::{Access, Content, Operation};
use crate::web::problem::Problem;

/// Builds the document. `server` is the address of the API.
pub(super) fn document(operations: &[Operation], server: &str) -> Json {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let problem = generator.subschema_for::<Problem>();
    let mut paths: Map<String, Json> = Map::new();
    for operation in operations {
        let entry = paths.entry(operation.path.to_owned()).or_insert_with(|| json!({}));
        entry[operation.method] = described(operation, &mut generator);
    }
    let schemas = generator.take_definitions(true);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "trueup",
            "version": "1",
            "summary": "Revised error history, alerts and error budgets of models",
            "description": "Fields are only ever added. Times are RFC 3339 in UTC. Failures are problem details (RFC 9457).",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}
        },
        "servers": [{"url": server}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "responses": {"problem": {
                "description": "Why there is no answer, and how to get one.",
                "content": {"application/problem+json": {"schema": problem}}
            }}
        }
    })
}

fn described(operation: &Operation, generator: &mut SchemaGenerator) -> Json {
    let segments = operation.path.split('/').filter_map(|part| Some(part.strip_prefix('{')?.split_once('}')?.0));
    let mut parameters: Vec<Json> = segments.map(in_path).collect();
    parameters.extend(operation.parameters.iter().map(|parameter| {
        json!({"name": parameter.name, "in": "query", "description": parameter.about, "schema": parameter.schema()})
    }));
    let content = match operation.content {
        Content::Json(schema) => json!({"application/json": {"schema": schema(generator)}}),
        Content::File(kind) => json!({kind: {"schema": {"type": "string"}}}),
    };
    let mut described = json!({
        "operationId": identifier(operation),
        "summary": operation.summary,
        "parameters": parameters,
        "responses": {
            "200": {"description": "The answer.", "content": content},
            "default": {"$ref": "#/components/responses/problem"}
        }
    });
    if let Some(takes) = operation.takes {
        described["requestBody"] = json!({"content": {"application/json": {"schema": takes(generator)}}});
    }
    if operation.method == "get" {
        described["responses"]["304"] = json!({"description": "Nothing changed since `If-None-Match`."});
    }
    if operation.access == Access::Signed {
        described["security"] = json!([{}, {"token": []}]);
    }
    described
}

/// `get_jobs_job_series_csv`.
fn identifier(operation: &Operation) -> String {
    let words = operation.path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    std::iter::once(operation.method).chain(words).collect::<Vec<_>>().join("_")
}

fn in_path(name: &str) -> Json {
    let (about, schema) = match name {
        "job" => ("Name of the job.", json!({"type": "string", "minLength": 1})),
        "window" => ("Kind of window, such as `rolling-24h`.", json!({"type": "string", "minLength": 1})),
        "end" => ("End of the window.", json!({"type": "string", "format": "date-time"})),
        "slo" => ("Name of the objective.", json!({"type": "string", "minLength": 1})),
        "id" => ("Number of the incident.", json!({"type": "integer", "minimum": 1})),
        "alert" => ("Number of the alert.", json!({"type": "integer", "minimum": 1})),
        "silence" => ("Number of the silence.", json!({"type": "integer", "minimum": 1})),
        _ => ("Signature, as `trueup links` prints it.", json!({"type": "string", "minLength": 1})),
    };
    json!({"name": name, "in": "path", "required": true, "description": about, "schema": schema})
}
