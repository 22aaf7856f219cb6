//! Changes of alert state in, messages to people out: a pure decision, every word a receiver reads, and the senders.

pub mod alertmanager;
pub mod chart;
pub mod decide;
pub mod email;
pub mod format;
pub mod http;
pub mod matcher;
pub mod message;
pub mod network;
pub mod receiver;
pub mod retry;
pub mod route;
pub mod template;
pub mod webhook;
