//! The boards of `deploy/grafana`: their form, their links, and every query against a database in which the demo's job
//! ran. No test opens them in a Grafana.

mod board;
mod form;
mod queries;
mod schema;
pub mod story;
