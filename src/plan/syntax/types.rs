//! The types that a value may be cast to: only those of `pg_catalog`, because a domain may call functions of its owner.

use std::fmt;

use sqlparser::ast::{ArrayElemTypeDef, CharacterLength, DataType, ExactNumberInfo, TimezoneInfo};

/// A type of `pg_catalog`, such as `numeric(10, 2)` or `int4[]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlType {
    base: &'static str,
    modifiers: Vec<u64>,
    is_array: bool,
}

/// Allowed types, each with its maximum number of modifiers.
const TYPES: [(&str, usize); 19] = [
    ("bool", 0),
    ("int2", 0),
    ("int4", 0),
    ("int8", 0),
    ("float4", 0),
    ("float8", 0),
    ("numeric", 2),
    ("text", 0),
    ("varchar", 1),
    ("bpchar", 1),
    ("date", 0),
    ("time", 1),
    ("timestamp", 1),
    ("timestamptz", 1),
    // In this form, a modifier of an interval would be a mask of its fields.
    ("interval", 0),
    ("uuid", 0),
    ("json", 0),
    ("jsonb", 0),
    ("bytea", 0),
];

impl SqlType {
    /// `text`.
    pub fn text() -> Self {
        Self { base: "text", modifiers: Vec::new(), is_array: false }
    }

    /// `float8`.
    pub fn float8() -> Self {
        Self { base: "float8", modifiers: Vec::new(), is_array: false }
    }

    /// Returns a type by its name in `pg_catalog`.
    pub fn named(name: &str) -> Option<Self> {
        Self::with(name, Vec::new())
    }

    fn with(name: &str, modifiers: Vec<u64>) -> Option<Self> {
        let (base, most) = TYPES.iter().find(|(known, _)| *known == name)?;
        (modifiers.len() <= *most).then_some(Self { base, modifiers, is_array: false })
    }

    /// The type as a function that casts to it.
    pub fn as_function(&self) -> String {
        format!("pg_catalog.\"{}\"", self.base)
    }

    /// True if a text is read as a point in time, in which words such as `now` mean the current time.
    pub fn is_moment(&self) -> bool {
        matches!(self.base, "date" | "time" | "timestamp" | "timestamptz")
    }

    /// Converts a type, or returns an error if it is not on the list.
    pub fn read(data_type: &DataType) -> Result<Self, String> {
        let refused = || {
            format!("the type `{data_type}` is not allowed here: use one of {}", TYPES.map(|(name, _)| name).join(", "))
        };
        Self::known(data_type).ok_or_else(refused)
    }

    fn known(data_type: &DataType) -> Option<Self> {
        use DataType as T;
        let (name, modifiers) = match data_type {
            T::Bool | T::Boolean => ("bool", Vec::new()),
            T::SmallInt(None) | T::Int2(None) => ("int2", Vec::new()),
            T::Int(None) | T::Integer(None) | T::Int4(None) => ("int4", Vec::new()),
            T::BigInt(None) | T::Int8(None) => ("int8", Vec::new()),
            T::Real | T::Float4 => ("float4", Vec::new()),
            T::Float8 | T::DoublePrecision | T::Float(ExactNumberInfo::None) => ("float8", Vec::new()),
            T::Numeric(size) | T::Decimal(size) | T::Dec(size) => ("numeric", numeric(*size)?),
            T::Text => ("text", Vec::new()),
            T::Varchar(length) | T::CharacterVarying(length) | T::CharVarying(length) => {
                ("varchar", characters(*length)?)
            }
            // Without a length the type holds one character.
            T::Char(None) | T::Character(None) => ("bpchar", vec![1]),
            T::Char(length) | T::Character(length) => ("bpchar", characters(*length)?),
            T::Date => ("date", Vec::new()),
            T::Time(digits, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => ("time", one(*digits)),
            T::Timestamp(digits, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => ("timestamp", one(*digits)),
            T::Timestamp(digits, TimezoneInfo::Tz | TimezoneInfo::WithTimeZone) => ("timestamptz", one(*digits)),
            T::Interval { fields: None, precision: None } => ("interval", Vec::new()),
            T::Uuid => ("uuid", Vec::new()),
            T::JSON => ("json", Vec::new()),
            T::JSONB => ("jsonb", Vec::new()),
            T::Bytea => ("bytea", Vec::new()),
            T::Array(ArrayElemTypeDef::SquareBracket(element, None)) => {
                let element = Self::known(element)?;
                return (!element.is_array).then_some(Self { is_array: true, ..element });
            }
            T::Custom(name, modifiers) => return Self::custom(name, modifiers),
            _ => return None,
        };
        Self::with(name, modifiers)
    }

    /// Returns a type by name, as we print it: `pg_catalog.int4`. A name without a schema means the same, since only
    /// `pg_catalog` is searched.
    fn custom(name: &sqlparser::ast::ObjectName, modifiers: &[String]) -> Option<Self> {
        let parts: Vec<String> =
            name.0.iter().map(|part| part.as_ident().map(super::name::folded)).collect::<Option<_>>()?;
        let name = match parts.as_slice() {
            [name] => name,
            [schema, name] if schema == "pg_catalog" => name,
            _ => return None,
        };
        Self::with(name, modifiers.iter().map(|modifier| modifier.trim().parse().ok()).collect::<Option<_>>()?)
    }
}

fn numeric(size: ExactNumberInfo) -> Option<Vec<u64>> {
    Some(match size {
        ExactNumberInfo::None => Vec::new(),
        ExactNumberInfo::Precision(precision) => vec![precision],
        ExactNumberInfo::PrecisionAndScale(precision, scale) => vec![precision, u64::try_from(scale).ok()?],
    })
}

fn characters(length: Option<CharacterLength>) -> Option<Vec<u64>> {
    match length {
        None => Some(Vec::new()),
        Some(CharacterLength::IntegerLength { length, unit: None }) => Some(vec![length]),
        Some(_) => None,
    }
}

fn one(digits: Option<u64>) -> Vec<u64> {
    digits.into_iter().collect()
}

impl fmt::Display for SqlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pg_catalog.{}", self.base)?;
        if !self.modifiers.is_empty() {
            let modifiers: Vec<String> = self.modifiers.iter().map(u64::to_string).collect();
            write!(f, "({})", modifiers.join(", "))?;
        }
        f.write_str(if self.is_array { "[]" } else { "" })
    }
}
