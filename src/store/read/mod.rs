//! Queries behind commands, health checks and metrics.

pub mod change;
pub mod cohorts;
pub mod deliveries;
pub mod doctor;
pub mod gate;
pub mod gauges;
pub mod history;
pub mod overview;
pub mod owners;
pub mod records;
pub mod series;
pub mod storage;
pub mod window;
