//! Runs the planned SQL: arrivals into residuals, residuals into buckets, buckets into windows.
//!
//! Everything here is safe to repeat: residuals are upserted by key, buckets recomputed whole, windows only read.

pub mod classes;
pub mod contradictions;
pub mod discover;
pub mod failure;
mod finish;
pub mod import;
pub mod indexes;
pub mod inspect;
pub mod labels;
pub mod pairs;
pub mod rollups;
pub mod session;
pub mod windows;
