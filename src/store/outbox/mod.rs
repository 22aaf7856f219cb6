//! Notifications that wait to be sent, and attempts to send them.

pub mod delivery;
pub mod queue;
