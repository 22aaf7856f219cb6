//! Text for people: numbers, times, lines, links. Pure.

pub mod gap;
pub mod line;
pub mod links;
pub mod number;
pub mod time;
pub mod visible;
