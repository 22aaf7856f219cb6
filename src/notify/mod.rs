//! Notifications: the policy, which is pure, the wording and formats, and the transports.

pub mod chart;
pub mod format;
pub mod message;
pub mod policy;
pub mod postmortem;
pub mod receiver;
pub mod template;
pub mod transport;
