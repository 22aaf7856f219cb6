//! Contents of templates, built from rows. Pure.

pub mod job;
pub mod overview;
pub mod panel;
pub mod series;
pub mod words;
