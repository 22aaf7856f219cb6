//! Calls of functions, aggregates and window functions.

use sqlparser::ast::{
    self, DuplicateTreatment, Expr, FunctionArg, FunctionArgExpr, FunctionArgOperator, FunctionArgumentClause,
    FunctionArgumentList, FunctionArguments, ObjectName, OrderByExpr, OrderByOptions, OrderBySort, WindowFrame,
    WindowFrameBound, WindowFrameUnits, WindowSpec, WindowType,
};

use super::function::{self, Granted};
use super::moment;
use super::name::name;
use super::read::Reader;
use super::tree::{Bound, Call, Frame, Function, Over, Scalar, Sort};
use super::types::SqlType;
use crate::domain::name::Identifier;

/// A call with only arguments.
pub fn plain(function: Function, arguments: Vec<Scalar>) -> Scalar {
    Scalar::Call(Box::new(Call {
        function,
        distinct: false,
        arguments: Some(arguments),
        order_by: Vec::new(),
        within_group: Vec::new(),
        filter: None,
        over: None,
    }))
}

/// True if a call returns a point in time: texts among its arguments are names of fields, zones and patterns.
pub fn gives_moment(call: &Call) -> bool {
    let moments = [
        "date_bin",
        "date_trunc",
        "make_date",
        "make_timestamp",
        "make_timestamptz",
        "timezone",
        "to_date",
        "to_timestamp",
    ];
    matches!(call.function, Function::Builtin(name) if moments.contains(&name))
}

/// The content of the parentheses of a call.
struct Arguments {
    distinct: bool,
    /// `None` is `*`.
    values: Option<Vec<Scalar>>,
    order_by: Vec<Sort>,
}

impl Reader<'_> {
    pub(super) fn call(&mut self, call: &ast::Function) -> Result<Scalar, String> {
        let ast::Function {
            name: written,
            uses_odbc_syntax: false,
            parameters: FunctionArguments::None,
            args,
            within_group,
            filter,
            null_treatment: None,
            over,
        } = call
        else {
            return Err(format!("`{call}` is not allowed here"));
        };
        let parts: Vec<Identifier> = names(written)?;
        let list = match args {
            FunctionArguments::List(list) => list,
            // Without parentheses it is a keyword such as `current_date`.
            FunctionArguments::None | FunctionArguments::Subquery(_) => return self.not_a_call(written, &parts, args),
        };
        let is_plain = within_group.is_empty() && filter.is_none() && over.is_none();
        if let (Some(to), [argument], true) = (type_named(&parts), list.args.as_slice(), is_plain) {
            return match moment::cast(self.argument(argument)?, to)? {
                Scalar::Cast(of, to) => Ok(Scalar::CastCall(of, to)),
                other => Ok(other),
            };
        }
        let function = self.function(&parts, written)?;
        let is_plain = is_plain && list.clauses.is_empty() && list.duplicate_treatment.is_none();
        if !self.in_query && !is_plain {
            return Err(format!("`{written}` may only be called with plain arguments"));
        }
        let Arguments { distinct, values: arguments, order_by } = self.arguments(list, &function, written)?;
        // With one argument the age is relative to today.
        if function == Function::Builtin("age") && arguments.as_ref().is_none_or(|arguments| arguments.len() != 2) {
            return Err("`age` with one argument depends on the current time: pass two".to_owned());
        }
        Ok(Scalar::Call(Box::new(Call {
            function,
            distinct,
            arguments,
            order_by,
            within_group: self.sorts(within_group)?,
            filter: filter.as_deref().map(|filter| self.scalar(filter)).transpose()?,
            over: over.as_ref().map(|over| self.over(over)).transpose()?,
        })))
    }

    /// Reads `array(select ...)`. Anything else without an argument list, such as `current_date`, is refused.
    fn not_a_call(
        &mut self,
        written: &ObjectName,
        parts: &[Identifier],
        args: &FunctionArguments,
    ) -> Result<Scalar, String> {
        match (parts, args) {
            ([name], FunctionArguments::Subquery(query)) if name.as_str() == "array" && self.in_query => {
                Ok(Scalar::ArrayOf(Box::new(self.query(query)?)))
            }
            _ => Err(function::refusal(&written.to_string().to_lowercase(), self.in_query)),
        }
    }

    fn function(&self, parts: &[Identifier], written: &ObjectName) -> Result<Function, String> {
        let refused = || function::refusal(&written.to_string().to_lowercase(), self.in_query);
        let (schema, name) = match parts {
            [name] => (None, name),
            [schema, name] => (Some(schema), name),
            _ => return Err(refused()),
        };
        if schema.is_none()
            && let Some(construct) = function::construct(name.as_str())
        {
            return Ok(Function::Construct(construct));
        }
        if schema.is_none_or(|schema| schema.as_str() == "pg_catalog") {
            return function::builtin(name.as_str(), self.in_query).map(Function::Builtin).ok_or_else(refused);
        }
        let asked = Granted { schema: schema.ok_or_else(refused)?.clone(), name: name.clone() };
        if self.in_query && self.grants.0.contains(&asked) { Ok(Function::Granted(asked)) } else { Err(refused()) }
    }

    fn arguments(
        &mut self,
        list: &FunctionArgumentList,
        function: &Function,
        written: &ObjectName,
    ) -> Result<Arguments, String> {
        let FunctionArgumentList { duplicate_treatment, args, clauses } = list;
        let distinct = matches!(duplicate_treatment, Some(DuplicateTreatment::Distinct));
        let mut order_by = Vec::new();
        for clause in clauses {
            match clause {
                FunctionArgumentClause::OrderBy(sorts) if order_by.is_empty() => order_by = self.sorts(sorts)?,
                other => return Err(format!("`{other}` is not allowed in a call of `{written}`")),
            }
        }
        if let [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)] = args.as_slice() {
            return match function {
                Function::Builtin("count") if !distinct && order_by.is_empty() => {
                    Ok(Arguments { distinct, values: None, order_by })
                }
                _ => Err(format!("`{written}` does not take `*`")),
            };
        }
        let values = args.iter().map(|argument| self.argument(argument)).collect::<Result<_, _>>()?;
        Ok(Arguments { distinct, values: Some(values), order_by })
    }

    pub(super) fn argument(&mut self, argument: &FunctionArg) -> Result<Scalar, String> {
        match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => self.scalar(expr),
            FunctionArg::Named { name: parameter, arg: FunctionArgExpr::Expr(expr), operator: _ }
            | FunctionArg::ExprNamed {
                name: Expr::Identifier(parameter),
                arg: FunctionArgExpr::Expr(expr),
                operator: FunctionArgOperator::RightArrow | FunctionArgOperator::Assignment,
            } => Ok(Scalar::Named(name(parameter)?, self.boxed(expr)?)),
            other => Err(format!("the argument `{other}` is not allowed")),
        }
    }

    pub(super) fn sorts(&mut self, sorts: &[OrderByExpr]) -> Result<Vec<Sort>, String> {
        sorts.iter().map(|sort| self.sort(sort)).collect()
    }

    fn sort(&mut self, written: &OrderByExpr) -> Result<Sort, String> {
        let OrderByExpr { expr, options: OrderByOptions { sort, nulls_first }, with_fill: None } = written else {
            return Err(format!("`order by {written}` is not allowed"));
        };
        let descending = match sort {
            None | Some(OrderBySort::Asc) => false,
            Some(OrderBySort::Desc) => true,
            Some(OrderBySort::Using(_)) => return Err(format!("`order by {written}` is not allowed")),
        };
        Ok(Sort { by: self.scalar(expr)?, descending, nulls_first: *nulls_first })
    }

    fn over(&mut self, over: &WindowType) -> Result<Over, String> {
        let WindowType::WindowSpec(WindowSpec { window_name: None, partition_by, order_by, window_frame }) = over
        else {
            return Err("named windows are not allowed: write the window in parentheses after `over`".to_owned());
        };
        Ok(Over {
            partition_by: self.list(partition_by)?,
            order_by: self.sorts(order_by)?,
            frame: window_frame.as_ref().map(|frame| self.frame(frame)).transpose()?,
        })
    }

    fn frame(&mut self, frame: &WindowFrame) -> Result<Frame, String> {
        let WindowFrame { units, start_bound, end_bound } = frame;
        let unit = match units {
            WindowFrameUnits::Rows => "rows",
            WindowFrameUnits::Range => "range",
            WindowFrameUnits::Groups => "groups",
        };
        let end = end_bound.as_ref().map(|bound| self.bound(bound)).transpose()?;
        Ok(Frame { unit, start: self.bound(start_bound)?, end })
    }

    fn bound(&mut self, bound: &WindowFrameBound) -> Result<Bound, String> {
        let mut value = |of: &Option<Box<Expr>>| of.as_deref().map(|of| self.scalar(of)).transpose();
        Ok(match bound {
            WindowFrameBound::CurrentRow => Bound::CurrentRow,
            WindowFrameBound::Preceding(of) => Bound::Preceding(value(of)?),
            WindowFrameBound::Following(of) => Bound::Following(value(of)?),
        })
    }
}

/// The parts of a name.
pub(super) fn names(written: &ObjectName) -> Result<Vec<Identifier>, String> {
    let part = |part: &ast::ObjectNamePart| match part.as_ident() {
        Some(ident) => name(ident),
        None => Err(format!("`{written}` is not a name")),
    };
    written.0.iter().map(part).collect()
}

fn type_named(parts: &[Identifier]) -> Option<SqlType> {
    match parts {
        [name] => SqlType::named(name.as_str()),
        [schema, name] if schema.as_str() == "pg_catalog" => SqlType::named(name.as_str()),
        _ => None,
    }
}
