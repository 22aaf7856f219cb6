//! The `trueup` schema: the ledger of runs, measurements and their revisions, verdicts, alerts, the outbox.
//!
//! All SQL about our own tables is here, checked at compile time. Functions take a connection; callers open transactions.

pub mod alerting;
pub mod clock;
pub mod history;
pub mod ledger;
pub mod outbox;
pub mod read;
