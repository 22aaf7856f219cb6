//! Contents of templates, built from rows. Pure.

pub mod ages;
pub mod badge;
pub mod budget;
pub mod cells;
pub mod cohorts;
pub mod debug;
pub mod debug_sql;
pub mod definition;
pub mod deliveries;
pub mod executive;
pub mod feed;
pub mod job;
pub mod job_title;
pub mod overview;
pub mod panel;
pub mod period;
pub mod residual_sql;
pub mod rhythm;
pub mod rule;
pub mod runs;
pub mod series;
pub mod versions;
pub mod window;
pub mod window_sql;
pub mod words;
