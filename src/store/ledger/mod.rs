//! Jobs, plans, runs and backfills: slots, executions and their `as_of`.

pub mod backfill;
pub mod health;
pub mod job;
pub mod plan;
pub mod run;
pub mod schedule;
