//! Keeps values of hidden dimensions away from pages and API: everything that is read passes here before it can be shown.

mod gap;
mod rows;

use chrono::{DateTime, Utc};
use serde_json::Value as Json;

use crate::domain::shown::Shown;

/// Something that was read and may name cohorts.
pub trait Hide {
    /// Replaces values of hidden dimensions by codes.
    fn hide(&mut self, shown: &Shown);
}

impl Hide for String {
    fn hide(&mut self, shown: &Shown) {
        if shown.hides(self) {
            *self = shown.text(self);
        }
    }
}

impl<T: Hide> Hide for Vec<T> {
    fn hide(&mut self, shown: &Shown) {
        self.iter_mut().for_each(|one| one.hide(shown));
    }
}

impl<T: Hide> Hide for Option<T> {
    fn hide(&mut self, shown: &Shown) {
        self.iter_mut().for_each(|one| one.hide(shown));
    }
}

impl<A: Hide, B: Hide> Hide for (A, B) {
    fn hide(&mut self, shown: &Shown) {
        self.0.hide(shown);
        self.1.hide(shown);
    }
}

/// Times and numbers name no cohort.
impl<T: Hide> Hide for (Vec<DateTime<Utc>>, i64, Vec<T>) {
    fn hide(&mut self, shown: &Shown) {
        self.2.hide(shown);
    }
}

/// Every text in it; keys are ours. A cohort as an object has the dimension as its key.
impl Hide for Json {
    fn hide(&mut self, shown: &Shown) {
        match self {
            Self::String(text) => text.hide(shown),
            Self::Array(all) => all.iter_mut().for_each(|one| one.hide(shown)),
            Self::Object(fields) => {
                for (name, value) in fields {
                    match value {
                        Self::String(text) if shown.hides(&format!("{name}=")) => {
                            *text = shown.text(&format!("{name}={text}"));
                        }
                        other => other.hide(shown),
                    }
                }
            }
            Self::Null | Self::Bool(_) | Self::Number(_) => {}
        }
    }
}
