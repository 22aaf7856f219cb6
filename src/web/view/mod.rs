//! What templates show, built from rows. Pure.

pub mod badge;
pub mod feed;
pub mod job;
pub mod overview;
pub mod panel;
pub mod series;
pub mod words;
