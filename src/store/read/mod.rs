//! Queries behind commands, health checks and metrics.

pub mod budget;
pub mod change;
pub mod cohort_values;
pub mod cohorts;
pub mod deliveries;
pub mod doctor;
pub mod executive;
pub mod firings;
pub mod gate;
pub mod gauges;
pub mod history;
pub mod notifications;
pub mod overview;
pub mod owners;
pub mod parts;
pub mod plans;
pub mod records;
pub mod residuals;
pub mod runs;
pub mod samples;
pub mod series;
pub mod server;
pub mod storage;
pub mod versions;
pub mod window;
