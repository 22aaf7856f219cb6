//! Nouns of the domain: windows, durations, schedules, names, targets. They import nothing else from the crate.

pub mod about;
pub mod cohort;
pub mod duration;
pub mod name;
pub mod schedule;
pub mod severity;
pub mod shown;
pub mod target;
pub mod verdict;
pub mod window;
