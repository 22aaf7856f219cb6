//! Converts the parser's tree node by node. Every field of a node is named so that none is overlooked; anything that our
//! tree cannot represent is refused.

use sqlparser::ast::{
    AccessExpr, Array, BinaryOperator, CaseWhen, CastKind, CeilFloorKind, DateTimeField, Expr, ExtractSyntax, Ident,
    Subscript, TrimWhereField, TypedString, Value, ValueWithSpan,
};

use super::function::Grants;
use super::literal::Literal;
use super::moment;
use super::name::name;
use super::operator::{self, Binary, Binding, Is, Unary};
use super::tree::{Function, Scalar};
use super::types::SqlType;
use crate::domain::name::Identifier;

/// Maximum depth of a tree: it is printed and copied on threads with a stack of 2 MiB.
const DEEPEST: usize = 200;

/// Reads one text.
pub struct Reader<'a> {
    pub(super) grants: &'a Grants,
    pub(super) in_query: bool,
    /// Names defined by `with` that are in scope.
    pub(super) ctes: Vec<Identifier>,
    depth: usize,
}

pub fn too_deep() -> String {
    "it is nested too deeply: compute parts of it in a view".to_owned()
}

type Read = Result<Scalar, String>;

impl<'a> Reader<'a> {
    pub fn of_expression(grants: &'a Grants) -> Self {
        Self { grants, in_query: false, ctes: Vec::new(), depth: 0 }
    }

    pub fn of_query(grants: &'a Grants) -> Self {
        Self { grants, in_query: true, ctes: Vec::new(), depth: 0 }
    }

    /// Reads a value.
    pub fn scalar(&mut self, expr: &Expr) -> Read {
        self.deeper(|reader| reader.node(expr))
    }

    /// Goes one level down.
    pub(super) fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, String>) -> Result<T, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(too_deep());
        }
        let read = read(self);
        self.depth -= 1;
        read
    }

    pub(super) fn boxed(&mut self, expr: &Expr) -> Result<Box<Scalar>, String> {
        self.scalar(expr).map(Box::new)
    }

    pub(super) fn list(&mut self, exprs: &[Expr]) -> Result<Vec<Scalar>, String> {
        exprs.iter().map(|expr| self.scalar(expr)).collect()
    }

    /// Reads an operand that, as written, must bind at least as tightly as `least`: where the parser and Postgres would group
    /// differently, parentheses are required.
    fn operand(&mut self, expr: &Expr, least: Binding) -> Result<Box<Scalar>, String> {
        if operator::binding(expr) < least {
            return Err(format!("put parentheses around `{expr}`: its grouping is ambiguous"));
        }
        self.boxed(expr)
    }

    /// Reads an operand that must bind more tightly than `than`.
    fn tighter(&mut self, expr: &Expr, than: Binding) -> Result<Box<Scalar>, String> {
        if operator::binding(expr) <= than {
            return Err(format!("put parentheses around `{expr}`: its grouping is ambiguous"));
        }
        self.boxed(expr)
    }

    fn node(&mut self, expr: &Expr) -> Read {
        match expr {
            Expr::Nested(inner) => self.scalar(inner),
            Expr::Identifier(ident) => self.column(std::slice::from_ref(ident)),
            Expr::CompoundIdentifier(parts) => self.column(parts),
            Expr::Value(ValueWithSpan { value, span: _ }) => Literal::read(value).map(moment::fixed),
            Expr::TypedString(TypedString { data_type, value, uses_odbc_syntax: false }) => {
                let literal = Literal::read(&value.value)?;
                moment::cast(Scalar::Literal(literal), SqlType::read(data_type)?)
            }
            Expr::Interval(interval) => read_interval(interval),
            Expr::UnaryOp { op, expr: of } => {
                let op = Unary::read(*op).ok_or_else(|| refused(expr))?;
                Ok(Scalar::Unary(op, self.operand(of, op.binding())?))
            }
            Expr::BinaryOp { left, op, right } => self.binary(left, op, right),
            Expr::IsNull(of) => self.is(of, Is::Null, false),
            Expr::IsNotNull(of) => self.is(of, Is::Null, true),
            Expr::IsTrue(of) => self.is(of, Is::True, false),
            Expr::IsNotTrue(of) => self.is(of, Is::True, true),
            Expr::IsFalse(of) => self.is(of, Is::False, false),
            Expr::IsNotFalse(of) => self.is(of, Is::False, true),
            Expr::IsUnknown(of) => self.is(of, Is::Unknown, false),
            Expr::IsNotUnknown(of) => self.is(of, Is::Unknown, true),
            Expr::IsDistinctFrom(left, right) => self.distinct(left, right, false),
            Expr::IsNotDistinctFrom(left, right) => self.distinct(left, right, true),
            Expr::InList { expr: of, list, negated } => {
                Ok(Scalar::In { of: self.tighter(of, Binding::Range)?, list: self.list(list)?, negated: *negated })
            }
            Expr::Between { expr: of, negated, low, high } => Ok(Scalar::Between {
                of: self.tighter(of, Binding::Range)?,
                low: self.tighter(low, Binding::Range)?,
                high: self.tighter(high, Binding::Range)?,
                negated: *negated,
            }),
            Expr::Like { negated, any: false, expr, pattern, escape_char } => {
                self.like((expr, pattern, escape_char.as_deref()), false, *negated)
            }
            Expr::ILike { negated, any: false, expr, pattern, escape_char } => {
                self.like((expr, pattern, escape_char.as_deref()), true, *negated)
            }
            Expr::Case { case_token: _, end_token: _, operand, conditions, else_result } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref())
            }
            Expr::Cast { kind, expr: of, data_type, format: None } => {
                let of = match kind {
                    CastKind::Cast => self.scalar(of)?,
                    CastKind::DoubleColon => *self.operand(of, Binding::Cast)?,
                    CastKind::TryCast | CastKind::SafeCast => return Err(refused(expr)),
                };
                moment::cast(of, SqlType::read(data_type)?)
            }
            Expr::Extract { field, syntax: ExtractSyntax::From, expr: of } => {
                Ok(Scalar::Extract(read_field(field).ok_or_else(|| refused(expr))?, self.boxed(of)?))
            }
            Expr::AtTimeZone { timestamp, time_zone } => {
                Ok(Scalar::AtTimeZone(self.operand(timestamp, Binding::Zone)?, self.tighter(time_zone, Binding::Zone)?))
            }
            Expr::Ceil { expr: of, field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) } => {
                self.builtin("ceil", vec![of])
            }
            Expr::Floor { expr: of, field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) } => {
                self.builtin("floor", vec![of])
            }
            Expr::Position { expr: of, r#in } => self.builtin("position", vec![r#in, of]),
            Expr::Substring {
                expr: of,
                substring_from: None,
                substring_for: Some(length),
                special: _,
                shorthand: _,
            } => {
                let first = Scalar::Literal(Literal::Number("1".to_owned()));
                let arguments = vec![self.scalar(of)?, first, self.scalar(length)?];
                Ok(super::read_call::plain(Function::Builtin("substring"), arguments))
            }
            Expr::Substring { expr: of, substring_from: Some(from), substring_for, special: _, shorthand: _ } => {
                let arguments = [Some(of), Some(from), substring_for.as_ref()];
                self.builtin("substring", arguments.into_iter().flatten().map(AsRef::as_ref).collect())
            }
            Expr::Trim { trim_where, trim_what, expr: of, trim_characters: None } => {
                let function = match trim_where {
                    None | Some(TrimWhereField::Both) => "btrim",
                    Some(TrimWhereField::Leading) => "ltrim",
                    Some(TrimWhereField::Trailing) => "rtrim",
                };
                self.builtin(
                    function,
                    [Some(of), trim_what.as_ref()].into_iter().flatten().map(AsRef::as_ref).collect(),
                )
            }
            Expr::Function(function) => self.call(function),
            other if self.in_query => self.query_node(other),
            Expr::Subquery(_) | Expr::InSubquery { .. } | Expr::Exists { .. } => {
                Err("a subquery is not allowed in an expression; use `query` instead of `table`".to_owned())
            }
            other => Err(refused(other)),
        }
    }

    /// Reads a node that is allowed only in queries.
    fn query_node(&mut self, expr: &Expr) -> Read {
        match expr {
            Expr::Array(Array { elem, named: true }) => Ok(Scalar::Array(self.list(elem)?)),
            Expr::Tuple(parts) => Ok(Scalar::Row(self.list(parts)?)),
            Expr::Subquery(query) => Ok(Scalar::Subquery(Box::new(self.query(query)?))),
            Expr::Exists { subquery, negated } => {
                Ok(Scalar::Exists { query: Box::new(self.query(subquery)?), negated: *negated })
            }
            Expr::InSubquery { expr: of, subquery, negated } => Ok(Scalar::InQuery {
                of: self.tighter(of, Binding::Range)?,
                query: Box::new(self.query(subquery)?),
                negated: *negated,
            }),
            Expr::AnyOp { left, compare_op, right, is_some: _ } => {
                self.quantified((left, compare_op, right), false, expr)
            }
            Expr::AllOp { left, compare_op, right } => self.quantified((left, compare_op, right), true, expr),
            Expr::CompoundFieldAccess { root, access_chain } => {
                let root = self.operand(root, Binding::Cast)?;
                access_chain.iter().try_fold(*root, |of, access| match access {
                    AccessExpr::Subscript(Subscript::Index { index }) => {
                        Ok(Scalar::Element(Box::new(of), self.boxed(index)?))
                    }
                    _ => Err(refused(expr)),
                })
            }
            other => Err(refused(other)),
        }
    }

    fn column(&self, parts: &[Ident]) -> Read {
        let names: Vec<Identifier> = parts.iter().map(name).collect::<Result<_, _>>()?;
        let column = names.last().map(Identifier::as_str).unwrap_or_default();
        if SYSTEM_COLUMNS.contains(&column) {
            return Err(format!("`{column}` is not allowed: it can change without the data"));
        }
        if !self.in_query && names.len() > 1 {
            let written = parts.iter().map(ToString::to_string).collect::<Vec<_>>().join(".");
            return Err(format!("`{written}`: write columns of the prediction row without a table name"));
        }
        if names.len() > 3 {
            return Err(format!("a name has {} parts; the limit is three: schema, table and column", names.len()));
        }
        Ok(Scalar::Column(names))
    }

    fn binary(&mut self, left: &Expr, op: &BinaryOperator, right: &Expr) -> Read {
        let op = Binary::read(op).ok_or_else(|| format!("the operator `{op}` is not allowed"))?;
        let left = match op.is_left_associative() {
            true => self.operand(left, op.binding)?,
            false => self.tighter(left, op.binding)?,
        };
        let right = self.tighter(right, op.binding)?;
        // The name of a key or a path of names, never a time.
        let right = if op.is_accessor() { Box::new(moment::plain(*right)) } else { right };
        Ok(Scalar::Binary(left, op, right))
    }

    fn is(&mut self, of: &Expr, is: Is, negated: bool) -> Read {
        Ok(Scalar::Is { of: self.tighter(of, Binding::Is)?, is, negated })
    }

    fn distinct(&mut self, left: &Expr, right: &Expr, negated: bool) -> Read {
        Ok(Scalar::Distinct {
            left: self.tighter(left, Binding::Is)?,
            right: self.tighter(right, Binding::Is)?,
            negated,
        })
    }

    fn like(&mut self, (of, pattern, escape): (&Expr, &Expr, Option<&Expr>), any_case: bool, negated: bool) -> Read {
        let escape = match escape {
            None => None,
            Some(Expr::Value(value)) => match Literal::read(&value.value)? {
                // The backslash is the default escape.
                Literal::Text(text) if text == "\\" => None,
                Literal::Text(text) if text.chars().count() < 2 => Some(Literal::Text(text)),
                _ => return Err("`escape` takes one character".to_owned()),
            },
            Some(other) => return Err(refused(other)),
        };
        Ok(Scalar::Like {
            of: self.tighter(of, Binding::Range)?,
            pattern: self.tighter(pattern, Binding::Range)?,
            escape,
            any_case,
            negated,
        })
    }

    fn case(&mut self, operand: Option<&Expr>, conditions: &[CaseWhen], otherwise: Option<&Expr>) -> Read {
        let operand = operand.map(|operand| self.boxed(operand)).transpose()?;
        let branches = conditions
            .iter()
            .map(|CaseWhen { condition, result }| Ok((self.scalar(condition)?, self.scalar(result)?)))
            .collect::<Result<_, String>>()?;
        let otherwise = otherwise.map(|otherwise| self.boxed(otherwise)).transpose()?;
        Ok(Scalar::Case { operand, branches, otherwise })
    }

    fn quantified(&mut self, (left, op, right): (&Expr, &BinaryOperator, &Expr), all: bool, whole: &Expr) -> Read {
        let operator = Binary::read(op).filter(|op| op.binding == Binding::Comparison).ok_or_else(|| refused(whole))?;
        let left = self.tighter(left, Binding::Comparison)?;
        let right = self.boxed(right)?;
        Ok(Scalar::Quantified { left, operator, all, right })
    }

    fn builtin(&mut self, name: &'static str, arguments: Vec<&Expr>) -> Read {
        let arguments = arguments.into_iter().map(|argument| self.scalar(argument)).collect::<Result<_, _>>()?;
        Ok(super::read_call::plain(Function::Builtin(name), arguments))
    }
}

/// System columns of every table, which cannot be used for history.
const SYSTEM_COLUMNS: [&str; 6] = ["cmax", "cmin", "ctid", "tableoid", "xmax", "xmin"];

pub(super) fn refused(expr: &Expr) -> String {
    format!("`{expr}` is not allowed here")
}

/// Reads `interval '1 day'`. The older form with fields after the text is refused: they can be written in the text.
fn read_interval(interval: &sqlparser::ast::Interval) -> Read {
    match interval {
        sqlparser::ast::Interval {
            value,
            leading_field: None,
            leading_precision: None,
            last_field: None,
            fractional_seconds_precision: None,
        } => match value.as_ref() {
            Expr::Value(ValueWithSpan {
                value: text @ (Value::SingleQuotedString(_) | Value::DollarQuotedString(_)),
                ..
            }) => {
                let interval = SqlType::named("interval").ok_or("there is no type `interval`")?;
                moment::cast(Scalar::Literal(Literal::read(text)?), interval)
            }
            other => Err(format!("`interval {other}`: write `interval '1 day'`")),
        },
        other => Err(format!("`{other}`: write the unit inside the text, as in `interval '1 day'`")),
    }
}

fn read_field(field: &DateTimeField) -> Option<&'static str> {
    Some(match field {
        DateTimeField::Year | DateTimeField::Years => "year",
        DateTimeField::Month | DateTimeField::Months => "month",
        DateTimeField::Week(None) | DateTimeField::Weeks => "week",
        DateTimeField::Day | DateTimeField::Days => "day",
        DateTimeField::Hour | DateTimeField::Hours => "hour",
        DateTimeField::Minute | DateTimeField::Minutes => "minute",
        DateTimeField::Second | DateTimeField::Seconds => "second",
        DateTimeField::Century => "century",
        DateTimeField::Decade => "decade",
        DateTimeField::Dow => "dow",
        DateTimeField::Doy => "doy",
        DateTimeField::Epoch => "epoch",
        DateTimeField::Isodow => "isodow",
        DateTimeField::Isoyear => "isoyear",
        DateTimeField::Julian => "julian",
        DateTimeField::Microsecond | DateTimeField::Microseconds => "microseconds",
        DateTimeField::Millennium => "millennium",
        DateTimeField::Millisecond | DateTimeField::Milliseconds => "milliseconds",
        DateTimeField::Quarter => "quarter",
        DateTimeField::Timezone => "timezone",
        DateTimeField::TimezoneHour => "timezone_hour",
        DateTimeField::TimezoneMinute => "timezone_minute",
        // `extract('hour' from x)`.
        DateTimeField::Custom(name) => return read_field_name(&name.value),
        _ => return None,
    })
}

fn read_field_name(name: &str) -> Option<&'static str> {
    const FIELDS: [&str; 22] = [
        "year",
        "month",
        "week",
        "day",
        "hour",
        "minute",
        "second",
        "century",
        "decade",
        "dow",
        "doy",
        "epoch",
        "isodow",
        "isoyear",
        "julian",
        "microseconds",
        "millennium",
        "milliseconds",
        "quarter",
        "timezone",
        "timezone_hour",
        "timezone_minute",
    ];
    let name = name.trim_matches('\'').to_ascii_lowercase();
    FIELDS.into_iter().find(|field| *field == name)
}
