//! Decides if, when and whom to notify. Pure.

pub mod hours;
pub mod inhibit;
pub mod matcher;
pub mod retry;
pub mod route;
