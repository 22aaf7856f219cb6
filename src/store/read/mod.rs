//! Queries behind commands, health checks and metrics.

pub mod cohorts;
pub mod deliveries;
pub mod doctor;
pub mod gauges;
pub mod history;
pub mod latency;
pub mod overview;
pub mod owners;
pub mod parts;
pub mod residuals;
pub mod samples;
pub mod series;
pub mod storage;
pub mod versions;
pub mod window;
