//! Commands for people who write jobs.

pub mod backtest;
pub mod check;
pub mod errors;
pub mod explain;
pub mod init;
pub mod reference;
pub mod schema;
pub mod suggest;
pub mod test;
