//! Alerts, incidents, silences, annotations, and which receiver was notified of what.

pub mod alert;
pub mod annotation;
pub mod evidence;
pub mod incident;
pub mod manual;
pub mod notified;
pub mod silence;
