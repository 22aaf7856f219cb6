//! What templates show, built from rows. Pure.

pub mod budget;
pub mod cells;
pub mod definition;
pub mod deliveries;
pub mod executive;
pub mod job;
pub mod job_title;
pub mod overview;
pub mod panel;
pub mod period;
pub mod rule;
pub mod runs;
pub mod series;
pub mod words;
