//! Scales of axes and their ticks.
