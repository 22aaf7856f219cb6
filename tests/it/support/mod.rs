//! What tests share.

pub mod bench;
pub mod bouncer;
pub mod browser;
pub mod cluster;
pub mod data;
pub mod database;
pub mod dice;
pub mod faulty;
pub mod fleet;
pub mod hints;
pub mod histories;
pub mod link;
pub mod mailboxes;
pub mod peers;
pub mod program;
pub mod proxy;
pub mod scene;
pub mod wire;
pub mod witness;
pub mod world;
