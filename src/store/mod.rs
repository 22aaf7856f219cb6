//! The `trueup` schema: the ledger of runs, measurements and their revisions, verdicts, alerts, the outbox.
//!
//! All SQL about our own tables is here, checked when it is compiled. Functions take a connection; transactions are
//! opened by callers.

pub mod alert;
pub mod alignment;
pub mod annotation;
pub mod backfill;
pub mod baseline;
pub mod deliveries;
pub mod doctor;
pub mod evidence;
mod expired;
pub mod gauges;
pub mod gone;
pub mod history;
pub mod incident;
pub mod job;
pub mod measured;
pub mod measurement;
pub mod months;
pub mod numbers;
pub mod outbox;
pub mod owners;
mod purge;
pub mod replay;
pub mod retention;
pub mod run;
pub mod schedule;
pub mod sending;
pub mod series;
pub mod silence;
pub mod slo;
pub mod storage;
mod thinning;
pub mod told;
pub mod verdict;
