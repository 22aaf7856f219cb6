//! Queries behind commands, health checks and metrics.

pub mod deliveries;
pub mod doctor;
pub mod firing;
pub mod gauges;
pub mod history;
pub mod incident;
pub mod incidents;
pub mod overview;
pub mod owners;
pub mod series;
pub mod silences;
pub mod storage;
pub mod window;
