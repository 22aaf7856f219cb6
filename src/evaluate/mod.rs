//! Samples, earlier verdicts and rules in; verdicts and changes of alert state out. Pure: no clock, no I/O.

pub mod alert_quality;
pub mod baseline;
pub mod burn;
pub mod correction;
pub mod gate;
pub mod hindsight;
pub mod history;
pub mod long_range;
pub mod moved;
pub mod quantile;
pub mod replay;
pub mod rules;
pub mod share;
pub mod spending;
pub mod state;
pub mod verdict;
