//! Fewer points for the same picture.
