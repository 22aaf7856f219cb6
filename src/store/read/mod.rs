//! Queries behind commands, health checks and metrics.

pub mod deliveries;
pub mod doctor;
pub mod gauges;
pub mod history;
pub mod overview;
pub mod owners;
pub mod series;
pub mod storage;
pub mod window;
