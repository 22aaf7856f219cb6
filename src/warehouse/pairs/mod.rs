//! Pairs of predictions and labels: arrivals become residuals, residuals become buckets.

pub mod arrivals;
pub mod buckets;
pub mod rebuild;
pub mod reconcile;
