//! `JobSpec` in, [`PlannedJob`] out: the validated meaning of a job, with the SQL it will run. Pure: no clock, no I/O.

pub mod baseline;
pub mod build;
pub mod cohort;
pub mod due;
pub mod duration;
pub mod expression;
pub mod histogram;
pub mod interval;
pub mod job;
pub mod measurement;
pub mod metric;
pub mod name;
pub mod objective;
pub mod pair;
pub mod propose;
pub mod query;
pub mod rollup;
pub mod rule;
pub mod schedule;
pub mod shrink;
pub mod source;
pub mod sql;
pub mod syntax;
pub mod window;

pub use job::PlannedJob;
