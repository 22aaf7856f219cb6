//! Changes of alert state in, messages to people out: a pure decision, every word a receiver reads, and the senders.

pub mod decide;
pub mod email;
pub mod message;
pub mod network;
pub mod receiver;
pub mod retry;
pub mod webhook;
