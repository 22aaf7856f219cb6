//! Runs the planned SQL: arrivals into residuals, residuals into buckets, buckets into windows.
//!
//! Everything here is harmless to repeat: residuals are upserted by key, buckets recomputed whole, windows only read.

pub mod arrivals;
pub mod buckets;
pub mod catalog;
pub mod contradictions;
pub mod import;
pub mod indexes;
pub mod rebuild;
pub mod reconcile;
pub mod rollups;
pub mod session;
pub mod source;
pub mod windows;
