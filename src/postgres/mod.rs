//! The database: how it is connected to, migrated, and started when none is given.

pub mod address;
pub mod connect;
pub mod held;
mod keepalive;
pub mod local;
pub mod migrate;
pub mod pooler;
pub mod refused;
