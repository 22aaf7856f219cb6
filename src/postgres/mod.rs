//! The database: connecting, migrating, and starting a local one when none is given.

pub mod address;
pub mod connect;
pub mod held;
mod keepalive;
pub mod local;
pub mod migrate;
pub mod pooler;
pub mod refused;
