//! TOML text in, [`JobSpec`] or diagnostics out: the user's input, typed but not yet validated.

pub mod codes;
pub mod diagnostic;
pub mod document;
pub mod fixture;
pub mod job;
pub mod model;
pub mod receivers;
pub mod rules;
pub mod schema;

pub use diagnostic::{Diagnostic, Level};
pub use document::Document;
pub use job::JobSpec;
