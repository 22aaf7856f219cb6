//! Prints values. Every operation is parenthesized; a chain of one left-associative operator shares one pair.

use super::operator::{Binary, Binding};
use super::print_query as query;
use super::tree::{Bound, Call, Frame, Function, Over, Scalar, Sort};
use crate::domain::name::Identifier;

type Columns<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A value as SQL.
pub fn scalar(value: &Scalar) -> String {
    scalar_over(value, &|_| None)
}

/// A value as SQL, with some columns replaced by other SQL.
pub fn scalar_over(value: &Scalar, columns: Columns<'_>) -> String {
    let of = |part: &Scalar| atom(part, columns);
    let all = |parts: &[Scalar]| list(parts, columns);
    let not = |negated: bool| if negated { "not " } else { "" };
    match value {
        Scalar::Column(names) => column(names, columns),
        Scalar::Literal(literal) => literal.to_string(),
        Scalar::Unary(operator, part) => format!("{}{}", operator.sql(), of(part)),
        Scalar::Binary(left, operator, right) => {
            let left = match left.as_ref() {
                chain @ Scalar::Binary(_, before, _) if chains(*before, *operator) => scalar_over(chain, columns),
                other => of(other),
            };
            format!("{left} {} {}", operator.sql, of(right))
        }
        Scalar::Is { of: part, is, negated } => format!("{} is {}{}", of(part), not(*negated), is.sql()),
        Scalar::Distinct { left, right, negated } => {
            format!("{} is {}distinct from {}", of(left), not(*negated), of(right))
        }
        Scalar::In { of: part, list, negated } => format!("{} {}in ({})", of(part), not(*negated), all(list)),
        Scalar::Between { of: part, low, high, negated } => {
            format!("{} {}between {} and {}", of(part), not(*negated), of(low), of(high))
        }
        Scalar::Like { of: part, pattern, escape, any_case, negated } => {
            let escape = escape.as_ref().map(|escape| format!(" escape {escape}")).unwrap_or_default();
            let like = if *any_case { "ilike" } else { "like" };
            format!("{} {}{like} {}{escape}", of(part), not(*negated), of(pattern))
        }
        Scalar::Case { operand, branches, otherwise } => {
            let operand = operand.as_ref().map(|operand| format!(" {}", of(operand))).unwrap_or_default();
            let branches: String =
                branches.iter().map(|(when, then)| format!(" when {} then {}", of(when), of(then))).collect();
            let otherwise = otherwise.as_ref().map(|other| format!(" else {}", of(other))).unwrap_or_default();
            format!("case{operand}{branches}{otherwise} end")
        }
        Scalar::Cast(part, to) => format!("cast({} as {to})", scalar_over(part, columns)),
        Scalar::CastCall(part, to) => format!("{}({})", to.as_function(), scalar_over(part, columns)),
        Scalar::Named(name, value) => format!("{name} => {}", scalar_over(value, columns)),
        Scalar::Extract(field, part) => format!("extract({field} from {})", of(part)),
        Scalar::AtTimeZone(time, zone) => format!("{} at time zone {}", of(time), of(zone)),
        Scalar::Call(call) => called(call, columns),
        Scalar::Array(parts) => format!("array[{}]", all(parts)),
        Scalar::Element(part, index) => {
            let index = scalar_over(index, columns);
            match part.as_ref() {
                Scalar::Element(..) => format!("{}[{index}]", scalar_over(part, columns)),
                other => format!("({})[{index}]", scalar_over(other, columns)),
            }
        }
        Scalar::Row(parts) => format!("({})", all(parts)),
        Scalar::Subquery(inner) => format!("({})", query::query(inner)),
        Scalar::ArrayOf(inner) => format!("array({})", query::query(inner)),
        Scalar::Exists { query: inner, negated } => format!("{}exists ({})", not(*negated), query::query(inner)),
        Scalar::InQuery { of: part, query: inner, negated } => {
            format!("{} {}in ({})", of(part), not(*negated), query::query(inner))
        }
        Scalar::Quantified { left, operator, all, right } => {
            let right = match right.as_ref() {
                Scalar::Subquery(inner) => query::query(inner),
                other => scalar_over(other, columns),
            };
            format!("{} {} {} ({right})", of(left), operator.sql, if *all { "all" } else { "any" })
        }
    }
}

/// Values separated by commas.
pub fn list(values: &[Scalar], columns: Columns<'_>) -> String {
    values.iter().map(|value| scalar_over(value, columns)).collect::<Vec<_>>().join(", ")
}

/// Names separated by commas.
pub fn names(names: &[Identifier]) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Sort keys of an `order by`.
pub fn sorts(sorts: &[Sort], columns: Columns<'_>) -> String {
    let sort = |Sort { by, descending, nulls_first }: &Sort| {
        let nulls = match nulls_first {
            None => "",
            Some(true) => " nulls first",
            Some(false) => " nulls last",
        };
        format!("{}{}{nulls}", scalar_over(by, columns), if *descending { " desc" } else { "" })
    };
    sorts.iter().map(sort).collect::<Vec<_>>().join(", ")
}

/// True if every parser reads `a before b operator c` from the left.
fn chains(before: Binary, operator: Binary) -> bool {
    match operator.binding {
        Binding::Or | Binding::And | Binding::Sum | Binding::Product => before.binding == operator.binding,
        Binding::Other => before == operator,
        _ => false,
    }
}

/// A value in parentheses, unless it is atomic.
fn atom(value: &Scalar, columns: Columns<'_>) -> String {
    let sql = scalar_over(value, columns);
    match value {
        Scalar::Column(_)
        | Scalar::Literal(_)
        | Scalar::Cast(..)
        | Scalar::CastCall(..)
        | Scalar::Extract(..)
        | Scalar::Array(_)
        | Scalar::ArrayOf(_)
        | Scalar::Row(_)
        | Scalar::Subquery(_) => sql,
        Scalar::Call(call) if call.over.is_none() && call.filter.is_none() && call.within_group.is_empty() => sql,
        _ => format!("({sql})"),
    }
}

fn column(names: &[Identifier], columns: Columns<'_>) -> String {
    if let [name] = names
        && let Some(sql) = columns(name.as_str())
    {
        return sql;
    }
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(".")
}

fn called(call: &Call, columns: Columns<'_>) -> String {
    let Call { function, distinct, arguments, order_by, within_group, filter, over } = call;
    let function = match function {
        Function::Construct(name) => (*name).to_owned(),
        Function::Builtin(name) => format!("pg_catalog.\"{name}\""),
        Function::Granted(granted) => format!("{}.{}", granted.schema, granted.name),
    };
    let arguments = match arguments {
        None => "*".to_owned(),
        Some(arguments) => list(arguments, columns),
    };
    let distinct = if *distinct { "distinct " } else { "" };
    let ordered = clause(" order by ", order_by.is_empty(), || sorts(order_by, columns));
    let mut sql = format!("{function}({distinct}{arguments}{ordered})");
    if !within_group.is_empty() {
        sql += &format!(" within group (order by {})", sorts(within_group, columns));
    }
    if let Some(filter) = filter {
        sql += &format!(" filter (where {})", scalar_over(filter, columns));
    }
    if let Some(over) = over {
        sql += &format!(" over ({})", window(over, columns));
    }
    sql
}

fn window(over: &Over, columns: Columns<'_>) -> String {
    let Over { partition_by, order_by, frame } = over;
    let partition = clause("partition by ", partition_by.is_empty(), || list(partition_by, columns));
    let order = clause(" order by ", order_by.is_empty(), || sorts(order_by, columns));
    let frame = frame.as_ref().map(|frame| framed(frame, columns)).unwrap_or_default();
    format!("{partition}{order}{frame}")
}

fn framed(frame: &Frame, columns: Columns<'_>) -> String {
    let Frame { unit, start, end } = frame;
    let bound = |bound: &Bound| match bound {
        Bound::CurrentRow => "current row".to_owned(),
        Bound::Preceding(None) => "unbounded preceding".to_owned(),
        Bound::Following(None) => "unbounded following".to_owned(),
        Bound::Preceding(Some(by)) => format!("{} preceding", atom(by, columns)),
        Bound::Following(Some(by)) => format!("{} following", atom(by, columns)),
    };
    match end {
        None => format!(" {unit} {}", bound(start)),
        Some(end) => format!(" {unit} between {} and {}", bound(start), bound(end)),
    }
}

/// A clause of a statement, or nothing if it is empty.
pub fn clause(keyword: &str, is_empty: bool, rest: impl FnOnce() -> String) -> String {
    if is_empty { String::new() } else { format!("{keyword}{}", rest()) }
}
