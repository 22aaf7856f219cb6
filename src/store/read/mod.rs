//! Queries behind commands, health checks and metrics.

pub mod deliveries;
pub mod doctor;
pub mod gauges;
pub mod history;
pub mod owners;
pub mod storage;
