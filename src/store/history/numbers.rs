//! Packed numbers of a measurement: values and bounds without names, and the index of each metric.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value as Json;

/// Metrics of a measurement by name, and bounds of those that have an interval.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Numbers {
    /// `None` if there was nothing to average.
    pub metrics: BTreeMap<String, Option<f64>>,
    pub intervals: BTreeMap<String, (f64, f64)>,
}

/// Numbers as they are stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Packed {
    /// Maps a metric to the indexes of its value and bounds, from 1: `{"mse": [1, 3, 4], "r2": [2]}`.
    pub places: Json,
    /// Text of a `float8[]`.
    pub numbers: String,
}

impl Numbers {
    /// Packs values first, in the order of their names, then the bounds.
    pub fn pack(&self) -> Packed {
        let mut numbers = String::from("{");
        let mut places: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        let values = self.metrics.iter().map(|(name, value)| (name, *value));
        let known = self.intervals.iter().filter(|(name, _)| self.metrics.contains_key(*name));
        let bounds = known.flat_map(|(name, (low, high))| [(name, Some(*low)), (name, Some(*high))]);
        for (place, (name, number)) in values.chain(bounds).enumerate() {
            places.entry(name).or_default().push(place + 1);
            write_number(&mut numbers, number);
        }
        numbers.push('}');
        Packed { places: Json::from_iter(places), numbers }
    }

    /// Reverses [`Self::pack`]. A metric without an index has no value; one that lacks a bound has no interval.
    pub fn unpack(places: &Json, numbers: &[Option<f64>]) -> Self {
        let mut unpacked = Self::default();
        for (name, places) in places.as_object().into_iter().flatten() {
            let at = |of: usize| {
                let place = usize::try_from(places.get(of)?.as_u64()?).ok()?;
                numbers.get(place.checked_sub(1)?).copied().flatten()
            };
            unpacked.metrics.insert(name.clone(), at(0));
            if let (Some(low), Some(high)) = (at(1), at(2)) {
                unpacked.intervals.insert(name.clone(), (low, high));
            }
        }
        unpacked
    }
}

/// Appends the shortest text that parses back to the same number. Non-finite numbers become null and -0 becomes 0, as in JSON in
/// Postgres.
fn write_number(list: &mut String, number: Option<f64>) {
    if list.len() > 1 {
        list.push(',');
    }
    let _infallible = match number.filter(|number| number.is_finite()) {
        Some(number) => write!(list, "{:e}", number + 0.0),
        None => write!(list, "NULL"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked() {
        let metrics = [("mse", Some(0.1 + 0.2)), ("bias", None), ("rmse", Some(-0.0)), ("own", Some(f64::INFINITY))];
        let numbers = Numbers {
            metrics: metrics.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            intervals: BTreeMap::from([("mse".to_owned(), (5e-324, f64::MAX)), ("rmse".to_owned(), (f64::NAN, 1.0))]),
        };
        let packed = numbers.pack();
        assert_eq!(packed.numbers, "{NULL,3.0000000000000004e-1,NULL,0e0,5e-324,1.7976931348623157e308,NULL,1e0}");
        assert_eq!(packed.places, serde_json::json!({ "bias": [1], "mse": [2, 5, 6], "own": [3], "rmse": [4, 7, 8] }));
        let stored: Vec<Option<f64>> =
            packed.numbers.trim_matches(['{', '}']).split(',').map(|number| number.parse().ok()).collect();
        let unpacked = Numbers::unpack(&packed.places, &stored);
        let metrics = [("mse", Some(0.1 + 0.2)), ("bias", None), ("rmse", Some(0.0)), ("own", None)];
        assert_eq!(unpacked.metrics, metrics.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
        assert_eq!(unpacked.intervals, BTreeMap::from([("mse".to_owned(), (5e-324, f64::MAX))]));
    }
}
