//! Commands for people on call.

pub mod alerts;
pub mod deliveries;
pub mod incident;
pub mod notify;
pub mod route;
pub mod silence;
