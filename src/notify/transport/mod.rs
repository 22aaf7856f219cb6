//! Transports of notifications.

pub mod alertmanager;
pub mod delivery;
pub mod email;
pub mod http;
pub mod network;
pub mod webhook;
