//! Rewrites a template so that every operation that can grow its input is charged to a budget.
//!
//! Fuel counts steps, and one step can double a text. Operators cannot be replaced in the engine, so they are replaced in the
//! source: operands of `+` and `~` pass through the filter `_c`, as do slices and literals; `*` becomes the filter `_mul`. Line
//! numbers do not change.

use minijinja::machinery::ast::{BinOp, BinOpKind, Call, CallArg, Expr, Macro, Spanned, Stmt};
use minijinja::machinery::parse;
use minijinja::syntax::SyntaxConfig;
use minijinja::{Error, ErrorKind};

/// Filter that charges for its input.
pub const CHARGE: &str = "_c";
/// Filter that multiplies, if the product is not too long.
pub const MULTIPLY: &str = "_mul";

/// Returns the template with its guards, or the reason why it cannot be guarded.
pub fn guarded(name: &str, source: &str) -> Result<String, Error> {
    let mut text = source.to_owned();
    let mut edits = edits(name, source)?;
    // Apply edits from the end, so that earlier offsets stay valid.
    edits.sort_by_key(|edit| edit.at);
    for edit in edits.iter().rev() {
        text.replace_range(edit.at..edit.at + edit.removed, edit.text);
    }
    match self::edits(name, &text) {
        Ok(left) if left.is_empty() => Ok(text),
        _ => Err(unguarded()),
    }
}

/// Replacement of some bytes by a text.
struct Edit {
    at: usize,
    removed: usize,
    text: &'static str,
}

/// Collects edits; those at the same offset are in the order of the result.
struct Walk<'s> {
    source: &'s str,
    edits: Vec<Edit>,
}

fn edits(name: &str, source: &str) -> Result<Vec<Edit>, Error> {
    let mut walk = Walk { source, edits: Vec::new() };
    walk.statement(&parse(source, name, SyntaxConfig::default())?)?;
    Ok(walk.edits)
}

fn unguarded() -> Error {
    Error::new(
        ErrorKind::InvalidOperation,
        "the template has an expression that cannot be bounded: assign its parts to variables with `set` first",
    )
}

impl Walk<'_> {
    fn insert(&mut self, at: u32, text: &'static str) {
        self.edits.push(Edit { at: at as usize, removed: 0, text });
    }

    fn all(&mut self, statements: &[Stmt<'_>]) -> Result<(), Error> {
        statements.iter().try_for_each(|statement| self.statement(statement))
    }

    fn each<'e, 's: 'e>(&mut self, expressions: impl IntoIterator<Item = &'e Expr<'s>>) -> Result<(), Error> {
        expressions.into_iter().try_for_each(|expression| self.expression(expression))
    }

    fn statement(&mut self, statement: &Stmt<'_>) -> Result<(), Error> {
        match statement {
            Stmt::Template(template) => self.all(&template.children),
            Stmt::EmitRaw(_) => Ok(()),
            Stmt::EmitExpr(emit) => self.expression(&emit.expr),
            Stmt::ForLoop(repeat) => {
                self.each(std::iter::once(&repeat.iter).chain(&repeat.filter_expr))?;
                self.all(&repeat.body)?;
                self.all(&repeat.else_body)
            }
            Stmt::IfCond(condition) => {
                self.expression(&condition.expr)?;
                self.all(&condition.true_body)?;
                self.all(&condition.false_body)
            }
            Stmt::WithBlock(with) => {
                self.each(with.assignments.iter().map(|(_, value)| value))?;
                self.all(&with.body)
            }
            Stmt::Set(set) => self.expression(&set.expr),
            Stmt::SetBlock(set) => {
                self.each(&set.filter)?;
                self.all(&set.body)
            }
            Stmt::AutoEscape(escape) => {
                self.expression(&escape.enabled)?;
                self.all(&escape.body)
            }
            Stmt::FilterBlock(block) => {
                self.expression(&block.filter)?;
                self.all(&block.body)
            }
            Stmt::Block(block) => self.all(&block.body),
            Stmt::Import(_) | Stmt::FromImport(_) | Stmt::Extends(_) | Stmt::Include(_) => Err(Error::new(
                ErrorKind::InvalidOperation,
                "the template refers to another template, which is not supported",
            )),
            Stmt::Macro(declared) => self.declared(declared),
            Stmt::CallBlock(block) => {
                self.call(&block.call)?;
                self.declared(&block.macro_decl)
            }
            Stmt::Do(done) => self.call(&done.call),
        }
    }

    fn declared(&mut self, declared: &Macro<'_>) -> Result<(), Error> {
        self.each(&declared.defaults)?;
        self.all(&declared.body)
    }

    fn call(&mut self, call: &Spanned<Call<'_>>) -> Result<(), Error> {
        self.expression(&call.expr)?;
        self.arguments(&call.args)
    }

    fn arguments(&mut self, arguments: &[CallArg<'_>]) -> Result<(), Error> {
        self.each(arguments.iter().map(|argument| match argument {
            CallArg::Pos(value) | CallArg::Kwarg(_, value) | CallArg::PosSplat(value) | CallArg::KwargSplat(value) => {
                value
            }
        }))
    }

    fn expression(&mut self, expression: &Expr<'_>) -> Result<(), Error> {
        match expression {
            Expr::Var(_) | Expr::Const(_) => Ok(()),
            Expr::BinOp(operation) => self.operation(operation),
            Expr::Filter(filter) => {
                match &filter.expr {
                    Some(counted) if filter.name == CHARGE => self.inside(counted)?,
                    given => self.each(given)?,
                }
                self.arguments(&filter.args)
            }
            // A constant is no larger than the source that it was written in.
            Expr::List(list) if list.as_const().is_some() => Ok(()),
            Expr::Tuple(tuple) if tuple.as_const().is_some() => Ok(()),
            Expr::Tuple(_) => Err(Error::new(
                ErrorKind::InvalidOperation,
                "the template has a tuple of variables: write it as a list, `[a, b]`",
            )),
            Expr::Slice(_) | Expr::List(_) | Expr::Map(_) => {
                self.inside(expression)?;
                self.insert(expression.span().end_offset, "|_c");
                Ok(())
            }
            other => self.inside(other),
        }
    }

    /// Guards the parts of an expression, but not the expression itself.
    fn inside(&mut self, expression: &Expr<'_>) -> Result<(), Error> {
        match expression {
            Expr::Slice(slice) => {
                self.each([&slice.expr].into_iter().chain(&slice.start).chain(&slice.stop).chain(&slice.step))
            }
            Expr::List(list) => self.each(&list.items),
            Expr::Map(map) => self.each(map.keys.iter().chain(&map.values)),
            Expr::UnaryOp(operation) => self.expression(&operation.expr),
            Expr::Compare(compare) => {
                self.each([&compare.expr].into_iter().chain(compare.ops.iter().map(|op| &op.expr)))
            }
            Expr::IfExpr(choice) => {
                self.each([&choice.test_expr, &choice.true_expr].into_iter().chain(&choice.false_expr))
            }
            Expr::Test(test) => {
                self.expression(&test.expr)?;
                self.arguments(&test.args)
            }
            Expr::GetAttr(of) => self.expression(&of.expr),
            Expr::GetItem(of) => self.each([&of.expr, &of.subscript_expr]),
            Expr::Call(call) => self.call(call),
            Expr::Var(_) | Expr::Const(_) | Expr::BinOp(_) | Expr::Filter(_) | Expr::Tuple(_) => {
                self.expression(expression)
            }
        }
    }

    fn operation(&mut self, operation: &Spanned<BinOp<'_>>) -> Result<(), Error> {
        let grows = match operation.op {
            BinOpKind::Add => Some(("+", "((", ")|_c+(", ")|_c)")),
            BinOpKind::Concat => Some(("~", "((", ")|_c~(", ")|_c)")),
            BinOpKind::Mul => Some(("*", "((", ")|_mul(", "))")),
            _ => None,
        };
        let is_counted = |side: &Expr<'_>| matches!(side, Expr::Filter(filter) if filter.name == CHARGE);
        let stays = matches!(operation.op, BinOpKind::Add | BinOpKind::Concat);
        let is_done = stays && is_counted(&operation.left) && is_counted(&operation.right);
        let Some((sign, opens, between, closes)) = grows.filter(|_| !is_done) else {
            return self.each([&operation.left, &operation.right]);
        };
        self.insert(operation.span().start_offset, opens);
        self.expression(&operation.left)?;
        let after = operation.left.span().end_offset as usize;
        let rest = self.source.get(after..).ok_or_else(unguarded)?;
        let at = after + rest.len() - rest.trim_start_matches(|c: char| c.is_whitespace() || c == ')').len();
        if !self.source[at..].starts_with(sign) {
            return Err(unguarded());
        }
        self.edits.push(Edit { at, removed: sign.len(), text: between });
        self.expression(&operation.right)?;
        self.insert(operation.span().end_offset, closes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_is_counted_wherever_it_stands() {
        for (plain, counted) in [
            ("{{ a ~ b }}", "{{ ((a )|_c~( b)|_c) }}"),
            ("{{ (a + b) * 3 }}", "{{ (((((a )|_c+( b)|_c)) )|_mul( 3)) }}"),
            ("{{ [a, b[1:]] }}", "{{ [a, b[1:]|_c]|_c }}"),
            ("{% for x in [1, 2] %}{{ x - 1 }}{% endfor %}", "{% for x in [1, 2] %}{{ x - 1 }}{% endfor %}"),
        ] {
            let found = guarded("text", plain).unwrap_or_else(|error| panic!("{plain}: {error}"));
            assert_eq!(found.replace(' ', ""), counted.replace(' ', ""), "{plain}");
        }
    }
}
