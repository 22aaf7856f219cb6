//! Commands for people who run trueup.

pub mod backfill;
pub mod doctor;
pub mod grants;
pub mod links;
pub mod migrate;
pub mod run;
pub mod runs;
pub mod serve;
pub mod shell;
pub mod status;
pub mod storage;
pub mod web;
