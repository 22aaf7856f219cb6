//! Windows, measurements and their revisions, verdicts and budgets, and their retention.

pub mod alignment;
pub mod baseline;
pub mod class;
pub mod expired;
pub mod gone;
pub mod measurement;
pub mod months;
pub mod numbers;
pub mod purge;
pub mod removal;
pub mod replay;
pub mod retention;
pub mod series;
pub mod slo;
pub mod thinning;
pub mod verdict;
pub mod window;
