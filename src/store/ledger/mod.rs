//! Jobs, plans, runs and backfills: slots, executions and their `as_of`.

pub mod backfill;
pub mod job;
pub mod run;
pub mod schedule;
