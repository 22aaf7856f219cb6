//! What tests share.

pub mod data;
pub mod database;
pub mod program;
pub mod world;
