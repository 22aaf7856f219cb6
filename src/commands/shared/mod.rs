//! Shared by several commands: the database, the jobs folder, job files.

pub mod database;
pub mod folder;
pub mod jobs;
pub mod pages;
pub mod signals;
