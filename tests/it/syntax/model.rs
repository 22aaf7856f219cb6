//! Expressions made by chance, written as a person might, and evaluated by a small interpreter that shares no code with the
//! product: whole numbers, texts and three-valued truth.

use crate::support::dice::Dice;

/// A value, or NULL of its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Number(Option<i128>),
    Text(Option<String>),
    Truth(Option<bool>),
}

impl Value {
    /// As Postgres casts it to text.
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Number(n) => n.map(|n| n.to_string()),
            Self::Text(t) => t.clone(),
            Self::Truth(b) => b.map(|b| b.to_string()),
        }
    }
}

/// A row with columns of odd names.
#[derive(Debug)]
pub struct Row {
    number: Option<i128>,
    text: Option<String>,
    truth: Option<bool>,
}

const NUMBER: &str = r#""N \"" n""#;
const TEXT: &str = r#""Te'xt$""#;

impl Row {
    /// The row as something to select from.
    pub fn relation(&self) -> String {
        let number = self.number.map_or("null".to_owned(), |n| n.to_string());
        let text = self.text.as_ref().map_or("null".to_owned(), |t| format!("'{}'", t.replace('\'', "''")));
        let truth = self.truth.map_or("null".to_owned(), |b| b.to_string());
        format!("(select {number}::bigint as {NUMBER}, {text}::text as {TEXT}, {truth}::boolean as flag) as r")
    }
}

/// Makes rows and expressions.
pub struct Maker(Dice);

/// An expression as text, how tightly it binds (as Postgres has it), and its value. None: beyond what is compared.
struct Made {
    text: String,
    binding: u8,
    value: Value,
}

const ATOM: u8 = 20;
const LARGEST: i128 = 1_000_000_000_000;

impl Maker {
    pub fn new(seed: u64) -> Self {
        Self(Dice::new(seed))
    }

    pub fn row(&mut self) -> Row {
        let null = self.0.roll(5);
        Row {
            number: (null != 0).then(|| i128::from(self.0.roll(41)) - 20),
            text: (null != 1).then(|| self.characters()),
            truth: (null != 2).then(|| self.0.roll(2) == 0),
        }
    }

    /// An expression, and its value over a row.
    pub fn expression(&mut self, row: &Row) -> (String, Value) {
        loop {
            let made = match self.0.roll(3) {
                0 => self.number(row, 4),
                1 => self.words(row, 4),
                _ => self.truth(row, 4),
            };
            if let Some(made) = made {
                return (made.text, made.value);
            }
        }
    }

    fn characters(&mut self) -> String {
        let alphabet =
            ["a", "B", "'", "''", "\\", "\\'", "\"", "$", "$t$", "%", "_", "é", "--", "/*", ";", " ", "x", "now"];
        (0..self.0.roll(5)).map(|_| alphabet[self.0.index(alphabet.len())]).collect()
    }

    /// White space, which may be a comment with quotes in it.
    fn gap(&mut self) -> &'static str {
        let gaps = [" ", " ", " ", " ", "\n", "\t ", " /* ' \" $$ */ ", " -- it's \"\n", " /* a /* b */ ' */ "];
        gaps[self.0.index(gaps.len())]
    }

    fn literal(&mut self, text: &str) -> String {
        if self.0.roll(3) == 0 {
            for tag in ["$$", "$q$", "$Tag1$"] {
                if format!("{text}{tag}").find(tag) == Some(text.len()) {
                    return format!("{tag}{text}{tag}");
                }
            }
        }
        format!("'{}'", text.replace('\'', "''"))
    }

    /// In parentheses where it binds too loosely, and sometimes where it need not.
    fn inside(&mut self, made: &Made, least: u8) -> String {
        if made.binding < least || self.0.roll(8) == 0 { format!("({})", made.text) } else { made.text.clone() }
    }

    fn number(&mut self, row: &Row, depth: u8) -> Option<Made> {
        let leaf = depth == 0;
        let (text, binding, value) = match self.0.roll(if leaf { 2 } else { 9 }) {
            0 => (NUMBER.to_owned(), ATOM, row.number),
            1 => {
                let n = self.0.roll(100);
                (format!("{n}::bigint"), 14, Some(i128::from(n)))
            }
            2..=5 => {
                let (a, b) = (self.number(row, depth - 1)?, self.number(row, depth - 1)?);
                let (operator, binding) = [("+", 9), ("-", 9), ("*", 10), ("%", 10)][self.0.index(4)];
                let (Value::Number(x), Value::Number(y)) = (&a.value, &b.value) else { return None };
                let value = match (x, y, operator) {
                    (Some(x), Some(y), "+") => Some(x + y),
                    (Some(x), Some(y), "-") => Some(x - y),
                    (Some(x), Some(y), "*") => Some(x * y),
                    (Some(_), Some(0), _) => return None,
                    (Some(x), Some(y), _) => Some(x % y),
                    _ => None,
                };
                (self.joined(&a, operator, &b, binding), binding, value)
            }
            6 => {
                let a = self.number(row, depth - 1)?;
                let Value::Number(x) = a.value else { return None };
                (format!("- {}", self.inside(&a, 13)), 12, x.map(|x| -x))
            }
            7 => {
                let a = self.words(row, depth - 1)?;
                let Value::Text(x) = &a.value else { return None };
                (format!("length({})::bigint", a.text), 14, x.as_ref().map(|x| x.chars().count() as i128))
            }
            _ => {
                let (when, a, b) =
                    (self.truth(row, depth - 1)?, self.number(row, depth - 1)?, self.number(row, depth - 1)?);
                let chosen = if when.value == Value::Truth(Some(true)) { &a.value } else { &b.value };
                let Value::Number(value) = chosen else { return None };
                (format!("case when {} then {} else {} end", when.text, a.text, b.text), ATOM, *value)
            }
        };
        let fits = value.is_none_or(|n| n.abs() < LARGEST);
        fits.then_some(Made { text, binding, value: Value::Number(value) })
    }

    fn words(&mut self, row: &Row, depth: u8) -> Option<Made> {
        let leaf = depth == 0;
        let (text, binding, value) = match self.0.roll(if leaf { 2 } else { 7 }) {
            0 => (TEXT.to_owned(), ATOM, row.text.clone()),
            1 => {
                let text = self.characters();
                (self.literal(&text), ATOM, Some(text))
            }
            2 | 3 => {
                let (a, b) = (self.words(row, depth - 1)?, self.words(row, depth - 1)?);
                let (Value::Text(x), Value::Text(y)) = (&a.value, &b.value) else { return None };
                let value = x.as_ref().zip(y.as_ref()).map(|(x, y)| format!("{x}{y}"));
                // A literal on each side would be of no type.
                (format!("{}::text || {}", self.inside(&a, 14), self.inside(&b, 9)), 8, value)
            }
            4 => {
                let (a, b) = (self.words(row, depth - 1)?, self.words(row, depth - 1)?);
                let (Value::Text(x), Value::Text(y)) = (&a.value, &b.value) else { return None };
                (format!("coalesce({}, {})", a.text, b.text), ATOM, x.clone().or_else(|| y.clone()))
            }
            5 => {
                let (a, b, c) = (self.words(row, depth - 1)?, self.words(row, 0)?, self.words(row, 0)?);
                let (Value::Text(x), Value::Text(y), Value::Text(z)) = (&a.value, &b.value, &c.value) else {
                    return None;
                };
                let value = match (x, y, z) {
                    (Some(x), Some(y), Some(_)) if y.is_empty() => Some(x.clone()),
                    (Some(x), Some(y), Some(z)) => Some(x.replace(y.as_str(), z)),
                    _ => None,
                };
                (format!("replace({}, {}, {})", a.text, b.text, c.text), ATOM, value)
            }
            _ => {
                let a = self.words(row, depth - 1)?;
                let Value::Text(x) = &a.value else { return None };
                let n = self.0.roll(4);
                let value = x.as_ref().map(|x| x.chars().take(n as usize).collect());
                (format!("left({}, {n})", a.text), ATOM, value)
            }
        };
        Some(Made { text, binding, value: Value::Text(value) })
    }

    fn truth(&mut self, row: &Row, depth: u8) -> Option<Made> {
        let leaf = depth == 0;
        let (text, binding, value) = match self.0.roll(if leaf { 2 } else { 10 }) {
            0 => ("flag".to_owned(), ATOM, row.truth),
            1 => [("true", Some(true)), ("false", Some(false)), ("FLAG", row.truth)]
                .map(|(text, value)| (text.to_owned(), ATOM, value))[self.0.index(3)]
            .clone(),
            2 | 3 => {
                let (a, b) = (self.truth(row, depth - 1)?, self.truth(row, depth - 1)?);
                let (Value::Truth(x), Value::Truth(y)) = (&a.value, &b.value) else { return None };
                let (operator, binding, decides) = [("and", 2, false), ("or", 1, true)][self.0.index(2)];
                let value = match (x, y) {
                    (Some(x), _) if *x == decides => Some(decides),
                    (_, Some(y)) if *y == decides => Some(decides),
                    (Some(_), Some(_)) => Some(!decides),
                    _ => None,
                };
                (self.joined(&a, operator, &b, binding), binding, value)
            }
            4 => {
                let a = self.truth(row, depth - 1)?;
                let Value::Truth(x) = a.value else { return None };
                (format!("not{}{}", self.gap(), self.inside(&a, 3)), 3, x.map(|x| !x))
            }
            5 | 6 => self.comparison(row, depth)?,
            7 => {
                let (a, b, c) = (self.number(row, depth - 1)?, self.number(row, 0)?, self.number(row, 0)?);
                let (Value::Number(x), Value::Number(y), Value::Number(z)) = (&a.value, &b.value, &c.value) else {
                    return None;
                };
                let and = |p: Option<bool>, q: Option<bool>| match (p, q) {
                    (Some(false), _) | (_, Some(false)) => Some(false),
                    (Some(true), Some(true)) => Some(true),
                    _ => None,
                };
                let (low, high) = (x.zip(*y).map(|(x, y)| x >= y), x.zip(*z).map(|(x, z)| x <= z));
                let text = format!("{} between {} and {}", self.inside(&a, 7), self.inside(&b, 7), self.inside(&c, 7));
                (text, 6, and(low, high))
            }
            8 => {
                let (a, pattern) = (self.words(row, depth - 1)?, self.characters());
                let Value::Text(x) = &a.value else { return None };
                let value = match x {
                    Some(x) => Some(like(&x.chars().collect::<Vec<_>>(), &pattern.chars().collect::<Vec<_>>())?),
                    None => None,
                };
                (format!("{} like {}", self.inside(&a, 7), self.literal(&pattern)), 6, value)
            }
            _ => {
                let a = self.words(row, depth - 1)?;
                (format!("{} is null", self.inside(&a, 5)), 4, Some(a.value == Value::Text(None)))
            }
        };
        Some(Made { text, binding, value: Value::Truth(value) })
    }

    fn comparison(&mut self, row: &Row, depth: u8) -> Option<(String, u8, Option<bool>)> {
        let operator = ["=", "<>", "is distinct from"][self.0.index(3)];
        let (a, b) = match self.0.roll(2) {
            0 => (self.number(row, depth - 1)?, self.number(row, depth - 1)?),
            _ => (self.words(row, depth - 1)?, self.words(row, depth - 1)?),
        };
        let null = [Value::Number(None), Value::Text(None)];
        let unknown = null.contains(&a.value) || null.contains(&b.value);
        let value = match operator {
            "=" if !unknown => Some(a.value == b.value),
            "<>" if !unknown => Some(a.value != b.value),
            "is distinct from" => Some(a.value != b.value),
            _ => None,
        };
        let binding = if operator == "is distinct from" { 4 } else { 5 };
        Some((self.joined_loosely(&a, operator, &b, binding), binding, value))
    }

    /// `a op b`, where the operator is left-associative.
    fn joined(&mut self, a: &Made, operator: &str, b: &Made, binding: u8) -> String {
        format!("{}{}{operator}{}{}", self.inside(a, binding), self.gap(), self.gap(), self.inside(b, binding + 1))
    }

    /// `a op b`, where the operator does not chain.
    fn joined_loosely(&mut self, a: &Made, operator: &str, b: &Made, binding: u8) -> String {
        format!("{}{}{operator}{}{}", self.inside(a, binding + 1), self.gap(), self.gap(), self.inside(b, binding + 1))
    }
}

/// `like` with the backslash as escape. None for a pattern that Postgres refuses because it ends with one.
fn like(text: &[char], pattern: &[char]) -> Option<bool> {
    match pattern {
        [] => Some(text.is_empty()),
        ['%', rest @ ..] => {
            for skipped in 0..=text.len() {
                if like(&text[skipped..], rest)? {
                    return Some(true);
                }
            }
            Some(false)
        }
        ['\\'] => None,
        ['\\', escaped, rest @ ..] => match text {
            [first, text @ ..] if first == escaped => like(text, rest),
            _ => ends_well(rest).then_some(false),
        },
        ['_', rest @ ..] => match text {
            [_, text @ ..] => like(text, rest),
            [] => ends_well(rest).then_some(false),
        },
        [one, rest @ ..] => match text {
            [first, text @ ..] if first == one => like(text, rest),
            _ => ends_well(rest).then_some(false),
        },
    }
}

/// Whether a pattern does not end in the middle of an escape.
fn ends_well(pattern: &[char]) -> bool {
    pattern.iter().rev().take_while(|c| **c == '\\').count() % 2 == 0
}
