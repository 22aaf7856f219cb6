//! Samples, earlier verdicts and rules in; verdicts and changes of alert state out. Pure: no clock, no I/O.

pub mod state;
pub mod threshold;
pub mod verdict;
