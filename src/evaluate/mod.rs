//! Samples, earlier verdicts and rules in; verdicts and changes of alert state out. Pure: no clock, no I/O.

pub mod baseline;
pub mod burn;
pub mod gate;
pub mod history;
pub mod replay;
pub mod rules;
pub mod state;
pub mod verdict;
