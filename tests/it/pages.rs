//! The pages over a real history, in a real browser: every page, every panel's query, every width.

mod addresses;
mod cells;
pub mod classes;
mod crawl;
mod details;
mod guard;
mod hammer;
mod hidden;
mod looks;
mod newcomer;
pub mod site;
