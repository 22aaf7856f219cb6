//! What templates show, built from rows. Pure.

pub mod cells;
pub mod deliveries;
pub mod job;
pub mod overview;
pub mod panel;
pub mod runs;
pub mod series;
pub mod words;
