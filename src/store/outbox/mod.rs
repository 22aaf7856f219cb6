//! Pending notifications, and attempts to deliver them.

pub mod delivery;
pub mod queue;
pub mod retry;
