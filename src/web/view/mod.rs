//! What templates show, built from rows. Pure.

pub mod evidence;
pub mod firing;
pub mod incident;
pub mod incidents;
pub mod job;
pub mod overview;
pub mod panel;
pub mod record;
pub mod series;
pub mod silences;
pub mod words;
