//! Commands for people who read the history.

pub mod baseline;
pub mod history;
pub mod report;
