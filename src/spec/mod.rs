//! TOML text in, [`JobSpec`] or diagnostics out: what the user wrote, typed but not yet believed.

pub mod codes;
pub mod diagnostic;
pub mod document;
pub mod fixture;
pub mod job;
pub mod receivers;
pub mod rules;
pub mod schema;

pub use diagnostic::{Diagnostic, Level};
pub use document::Document;
pub use job::JobSpec;
