//! The `trueup` schema: the ledger of runs, measurements and their revisions, verdicts, alerts, the outbox.
//!
//! All SQL about our own tables is here, checked when it is compiled. Functions take a connection; transactions are
//! opened by callers.

pub mod alerting;
pub mod history;
pub mod ledger;
pub mod outbox;
pub mod read;
