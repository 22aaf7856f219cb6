//! Queries for people: what commands, health checks and metrics show.

pub mod deliveries;
pub mod doctor;
pub mod gauges;
pub mod history;
pub mod owners;
pub mod storage;
