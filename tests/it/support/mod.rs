//! What tests share.

pub mod data;
pub mod database;
pub mod dice;
pub mod faulty;
pub mod peers;
pub mod program;
pub mod world;
