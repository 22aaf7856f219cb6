//! Jobs, plans, runs and backfills: what was due, what ran, and what it knew.

pub mod backfill;
pub mod job;
pub mod run;
pub mod schedule;
