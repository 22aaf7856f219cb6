//! Budget of a template in bytes: every filter and operator is charged for its input and output.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use minijinja::value::{Rest, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State, Value, escape_formatter, filters, functions};

use super::guard::{CHARGE, MULTIPLY};

/// Bytes charged for a value in addition to its text.
const EACH: u64 = 16;
/// Deepest nesting of values: deeper ones are unreadable, and dropping them recurses as deep.
const DEEPEST: u32 = 40;
/// Largest width, size or indent that a filter accepts.
const WIDEST: i64 = 1_000;

/// Remaining bytes. Clones share them.
#[derive(Clone)]
pub struct Budget(Arc<AtomicU64>);

impl Budget {
    pub fn new(bytes: u64) -> Self {
        Self(Arc::new(AtomicU64::new(bytes)))
    }

    /// Returns the bytes charged to a budget that began with `u64::MAX`.
    pub fn charged(&self) -> u64 {
        u64::MAX - self.0.load(Ordering::Relaxed)
    }

    /// Charges bytes, or fails if the budget is used up.
    pub fn charge(&self, bytes: u64) -> Result<(), Error> {
        let taken = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        taken.map(drop).map_err(|_| refused("the template produces too much text: the limit is a few megabytes"))
    }

    /// Charges for a value and everything in it, and stops as soon as that is too much.
    pub fn charge_for(&self, value: &Value) -> Result<(), Error> {
        self.charge_below(value, 0)
    }

    fn charge_below(&self, value: &Value, depth: u32) -> Result<(), Error> {
        if depth > DEEPEST {
            return Err(refused("the template nests values too deeply"));
        }
        self.charge(EACH + value.as_str().map_or(0, |text| text.len() as u64))?;
        match value.kind() {
            ValueKind::Bytes => self.charge(value.as_bytes().map_or(0, |bytes| bytes.len() as u64)),
            ValueKind::Seq | ValueKind::Iterable => {
                value.try_iter()?.try_for_each(|item| self.charge_below(&item, depth + 1))
            }
            ValueKind::Map => value.try_iter()?.try_for_each(|key| {
                self.charge_below(&key, depth + 1)?;
                self.charge_below(&value.get_item(&key)?, depth + 1)
            }),
            _ => Ok(()),
        }
    }

    /// Charges for a value and evaluates lazy iterables, so that nothing is computed later.
    fn counted(&self, value: Value) -> Result<Value, Error> {
        self.charge_for(&value)?;
        match value.kind() {
            ValueKind::Iterable => Ok(Value::from(value.try_iter()?.collect::<Vec<_>>())),
            _ => Ok(value),
        }
    }

    /// Multiplies numbers, or repeats a text or list if the result is not too long.
    fn multiply(&self, a: &Value, b: &Value) -> Result<Value, Error> {
        let whole = |value: &Value| i128::try_from(value.clone()).ok().filter(|_| value.is_integer());
        let number = |value: &Value| f64::try_from(value.clone()).ok().filter(|_| value.is_number());
        match (whole(a).zip(whole(b)), number(a), number(b)) {
            (Some((a, b)), ..) => {
                a.checked_mul(b).map(Value::from).ok_or_else(|| refused("the template computes too large a product"))
            }
            (None, Some(a), Some(b)) => Ok(Value::from(a * b)),
            (None, None, Some(_)) => self.repeat(a, whole(b)),
            (None, Some(_), None) => self.repeat(b, whole(a)),
            (None, None, None) => Err(refused("the template can multiply only a number, text or list by a number")),
        }
    }

    fn repeat(&self, value: &Value, times: Option<i128>) -> Result<Value, Error> {
        let times = times.map(|times| usize::try_from(times).unwrap_or(0));
        let times = times.ok_or_else(|| refused("the template must repeat a text or list a whole number of times"))?;
        let items: Vec<Value> = match value.kind() {
            ValueKind::String => Vec::new(),
            ValueKind::Seq | ValueKind::Iterable => value.try_iter()?.collect(),
            _ => return Err(refused("the template can multiply only a number, text or list by a number")),
        };
        let size = value.as_str().map_or(items.len() as u64 * EACH, |text| text.len() as u64);
        self.charge(EACH + size.saturating_mul(times as u64))?;
        Ok(match value.as_str() {
            Some(text) => Value::from(text.repeat(times)),
            None => Value::from(std::iter::repeat_n(items, times).flatten().collect::<Vec<_>>()),
        })
    }
}

fn refused(why: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, why)
}

/// Charges a budget for every call that a template can make.
pub fn bound(environment: &mut Environment<'_>, budget: &Budget) {
    for (name, filter) in builtin() {
        let budget = budget.clone();
        environment.add_filter(name, move |state: &mut State, given: Rest<ValueOrKwargs>| {
            let given = given.into_values();
            given.iter().try_for_each(|value| budget.charge_for(value))?;
            budget.charge(longest(name, &given)?)?;
            budget.counted(filter.call(state, &given)?)
        });
    }
    for (name, function) in [
        ("range", Value::from_function(functions::range)),
        ("dict", Value::from_function(functions::dict)),
        ("namespace", Value::from_function(functions::namespace)),
    ] {
        let budget = budget.clone();
        environment.add_function(name, move |state: &mut State, given: Rest<ValueOrKwargs>| {
            let given = given.into_values();
            given.iter().try_for_each(|value| budget.charge_for(value))?;
            function.call(state, &given)
        });
    }
    // `debug` shows all variables, which is more than a user can read.
    environment.remove_global("debug");
    let counts = budget.clone();
    environment.add_filter(CHARGE, move |value: Value| counts.counted(value));
    let multiplies = budget.clone();
    environment.add_filter(MULTIPLY, move |a: Value, b: Value| multiplies.multiply(&a, &b));
    let writes = budget.clone();
    environment.set_formatter(move |out, state, value| {
        writes.charge_for(value)?;
        escape_formatter(out, state, value)
    });
}

/// Upper bound on the bytes that a filter adds to its arguments.
fn longest(name: &str, given: &[Value]) -> Result<u64, Error> {
    let text = |at: usize| given.get(at).and_then(Value::as_str).unwrap_or_default();
    let length = |at: usize| text(at).len() as u64;
    let items = || given.first().and_then(Value::len).unwrap_or_default() as u64;
    Ok(match name {
        "replace" => (length(0) / length(1).max(1) + 1).saturating_mul(length(2)),
        "join" => items().max(length(0)).saturating_mul(length(1)),
        "split" | "lines" => length(0).saturating_mul(EACH),
        "indent" => (text(0).lines().count() as u64).saturating_mul(width(given)?),
        "batch" | "slice" => width(given)?.saturating_mul(EACH),
        "round" => width(given)?,
        "format" if is_wide(text(0)) => {
            return Err(refused("the template has a width in `format` that is too large: use at most 99"));
        }
        _ => 0,
    })
}

/// Returns the largest number among the arguments after the first, including named ones.
fn width(given: &[Value]) -> Result<u64, Error> {
    let numbers = given.iter().skip(1).flat_map(|value| match value.kind() {
        ValueKind::Map => value.try_iter().into_iter().flatten().filter_map(|key| value.get_item(&key).ok()).collect(),
        _ => vec![value.clone()],
    });
    let largest = numbers.filter_map(|value| f64::try_from(value).ok()).fold(0.0_f64, |most, n| most.max(n.abs()));
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "up to a thousand"
    )]
    match largest <= WIDEST as f64 {
        true => Ok(largest as u64 + 1),
        false => Err(refused("the template has a width or size that is too large: use at most 1000")),
    }
}

/// True if a format may pad with more than a few blanks.
fn is_wide(format: &str) -> bool {
    format.contains('*') || format.split(|c: char| !c.is_ascii_digit()).any(|digits| digits.len() > 2)
}

/// Returns the engine's filters by name.
fn builtin() -> Vec<(&'static str, Value)> {
    macro_rules! named {
        ($($name:ident),*) => { vec![$((stringify!($name), Value::from_function(filters::$name))),*] };
    }
    let mut all = named!(
        safe, escape, upper, lower, title, capitalize, replace, length, dictsort, items, reverse, trim, join, split,
        lines, default, abs, int, float, sum, attr, round, first, last, min, max, sort, list, string, bool, slice,
        batch, indent, select, selectattr, reject, rejectattr, map, groupby, unique, chain, zip, pprint, format
    );
    all.extend([
        ("e", Value::from_function(filters::escape)),
        ("d", Value::from_function(filters::default)),
        ("count", Value::from_function(filters::length)),
    ]);
    all
}
