//! Text for people: numbers, times, lines. Pure.

pub mod line;
pub mod number;
pub mod time;
pub mod visible;
