//! The operators that may be used, and their precedence in Postgres.

use sqlparser::ast::{BinaryOperator, Expr, UnaryOperator};

/// Precedence of an operation, after the table in the Postgres manual (4.1.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Binding {
    Or,
    And,
    Not,
    Is,
    Comparison,
    /// `between`, `in`, `like`.
    Range,
    Other,
    Sum,
    Product,
    Power,
    Zone,
    Sign,
    Cast,
    /// Has no operands that could bind differently.
    Atom,
}

/// An operator between two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binary {
    pub sql: &'static str,
    pub binding: Binding,
}

/// An operator before a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unary {
    Plus,
    Minus,
    Not,
    Absolute,
    BitwiseNot,
}

/// The predicate of an `is` test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Is {
    Null,
    True,
    False,
    Unknown,
}

impl Binary {
    /// `None` for an operator that is not on the list.
    pub fn read(operator: &BinaryOperator) -> Option<Self> {
        use BinaryOperator as Op;
        let (sql, binding) = match operator {
            Op::Or => ("or", Binding::Or),
            Op::And => ("and", Binding::And),
            Op::Eq => ("=", Binding::Comparison),
            Op::NotEq => ("<>", Binding::Comparison),
            Op::Lt => ("<", Binding::Comparison),
            Op::LtEq => ("<=", Binding::Comparison),
            Op::Gt => (">", Binding::Comparison),
            Op::GtEq => (">=", Binding::Comparison),
            Op::Plus => ("+", Binding::Sum),
            Op::Minus => ("-", Binding::Sum),
            Op::Multiply => ("*", Binding::Product),
            Op::Divide => ("/", Binding::Product),
            Op::Modulo => ("%", Binding::Product),
            Op::PGExp => ("^", Binding::Power),
            Op::StringConcat => ("||", Binding::Other),
            Op::BitwiseAnd => ("&", Binding::Other),
            Op::BitwiseOr => ("|", Binding::Other),
            Op::PGBitwiseXor => ("#", Binding::Other),
            Op::PGBitwiseShiftLeft => ("<<", Binding::Other),
            Op::PGBitwiseShiftRight => (">>", Binding::Other),
            Op::Arrow => ("->", Binding::Other),
            Op::LongArrow => ("->>", Binding::Other),
            Op::HashArrow => ("#>", Binding::Other),
            Op::HashLongArrow => ("#>>", Binding::Other),
            Op::AtArrow => ("@>", Binding::Other),
            Op::ArrowAt => ("<@", Binding::Other),
            Op::Question => ("?", Binding::Other),
            Op::QuestionAnd => ("?&", Binding::Other),
            Op::QuestionPipe => ("?|", Binding::Other),
            Op::PGOverlap => ("&&", Binding::Other),
            Op::PGRegexMatch => ("~", Binding::Other),
            Op::PGRegexIMatch => ("~*", Binding::Other),
            Op::PGRegexNotMatch => ("!~", Binding::Other),
            Op::PGRegexNotIMatch => ("!~*", Binding::Other),
            _ => return None,
        };
        Some(Self { sql, binding })
    }

    /// True if `a op b op c` means `(a op b) op c`. Comparisons do not chain.
    pub fn is_left_associative(self) -> bool {
        self.binding != Binding::Comparison
    }

    /// True if the operator extracts a key or path from JSON: the text on its right is a name.
    pub fn is_accessor(self) -> bool {
        matches!(self.sql, "->" | "->>" | "#>" | "#>>")
    }
}

impl Unary {
    /// `None` for an operator that is not on the list.
    pub fn read(operator: UnaryOperator) -> Option<Self> {
        Some(match operator {
            UnaryOperator::Plus => Self::Plus,
            UnaryOperator::Minus => Self::Minus,
            UnaryOperator::Not => Self::Not,
            UnaryOperator::PGAbs => Self::Absolute,
            UnaryOperator::BitwiseNot => Self::BitwiseNot,
            _ => return None,
        })
    }

    pub fn sql(self) -> &'static str {
        match self {
            Self::Plus => "+ ",
            Self::Minus => "- ",
            Self::Not => "not ",
            Self::Absolute => "@ ",
            Self::BitwiseNot => "~ ",
        }
    }

    pub fn binding(self) -> Binding {
        match self {
            Self::Plus | Self::Minus => Binding::Sign,
            Self::Not => Binding::Not,
            Self::Absolute | Self::BitwiseNot => Binding::Other,
        }
    }
}

impl Is {
    pub fn sql(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::True => "true",
            Self::False => "false",
            Self::Unknown => "unknown",
        }
    }
}

/// Precedence of the outermost operation of an expression as written.
pub fn binding(expr: &Expr) -> Binding {
    match expr {
        Expr::BinaryOp { op, .. } => Binary::read(op).map_or(Binding::Or, |op| op.binding),
        Expr::UnaryOp { op, .. } => Unary::read(*op).map_or(Binding::Or, Unary::binding),
        Expr::IsNull(_)
        | Expr::IsNotNull(_)
        | Expr::IsTrue(_)
        | Expr::IsNotTrue(_)
        | Expr::IsFalse(_)
        | Expr::IsNotFalse(_)
        | Expr::IsUnknown(_)
        | Expr::IsNotUnknown(_)
        | Expr::IsDistinctFrom(..)
        | Expr::IsNotDistinctFrom(..) => Binding::Is,
        Expr::Between { .. }
        | Expr::InList { .. }
        | Expr::InSubquery { .. }
        | Expr::Like { .. }
        | Expr::ILike { .. } => Binding::Range,
        // Postgres parses it as `not` applied to `exists`.
        Expr::Exists { negated: true, .. } => Binding::Not,
        Expr::AnyOp { .. } | Expr::AllOp { .. } => Binding::Comparison,
        Expr::AtTimeZone { .. } => Binding::Zone,
        Expr::Cast { kind: sqlparser::ast::CastKind::DoubleColon, .. } | Expr::CompoundFieldAccess { .. } => {
            Binding::Cast
        }
        _ => Binding::Atom,
    }
}
