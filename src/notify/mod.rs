//! Changes of alert state in, messages to people out: a pure decision, every word a receiver reads, and the senders.

pub mod chart;
pub mod format;
pub mod message;
pub mod policy;
pub mod receiver;
pub mod template;
pub mod transport;
