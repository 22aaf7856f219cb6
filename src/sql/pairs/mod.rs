//! SQL over (prediction, label) pairs: the join, residuals, buckets.

pub mod bucket;
pub mod cell;
pub mod guard;
pub mod reconcile;
pub mod residual;
pub mod source;
