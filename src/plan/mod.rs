//! `JobSpec` in, [`PlannedJob`] out: the validated meaning of a job, with the SQL it will run. Pure: no clock, no I/O.

pub mod baseline;
pub mod build;
pub mod cohort;
pub mod due;
pub mod expression;
pub mod extra;
pub mod job;
pub mod model;
pub mod objective;
pub mod propose;
pub mod query;
pub mod rollup;
pub mod rule;
pub mod shrink;
pub mod source;
pub mod syntax;
pub mod windows;

pub use job::PlannedJob;
