//! What templates show, built from rows. Pure.

pub mod ages;
pub mod cohorts;
pub mod debug;
pub mod debug_sql;
pub mod job;
pub mod overview;
pub mod panel;
pub mod residual_sql;
pub mod rhythm;
pub mod same_keys;
pub mod series;
pub mod versions;
pub mod window;
pub mod window_sql;
pub mod words;
