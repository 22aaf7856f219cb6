//! Select statements: read from the parser's tree. Names defined by `with` are accepted only in their scope.

use sqlparser::ast::{
    self, Cte as WrittenCte, CteAsMaterialized, Distinct as WrittenDistinct, Expr, Fetch, GroupByExpr, JoinConstraint,
    JoinOperator, LimitClause, Offset, OrderBy, OrderByKind, SelectFlavor, SelectItem, SelectItemQualifiedWildcardKind,
    SetExpr, SetOperator, SetQuantifier, TableFactor, TableFunctionArgs, TableWithJoins, WildcardAdditionalOptions,
};

use super::function;
use super::literal::Literal;
use super::name::name;
use super::read::Reader;
use super::read_call::names;
use super::tree::{Alias, Body, Cte, Distinct, From, Group, Item, Join, On, Query, Scalar, Select, Source};
use crate::domain::name::TableName;

const ONLY_SELECTS: &str = "a query may only select: no insert, update, delete, into or lock";

impl Reader<'_> {
    /// Reads a query. The scope of names that its `with` defines is this query.
    pub fn query(&mut self, query: &ast::Query) -> Result<Query, String> {
        let seen = self.ctes.len();
        let read = self.query_and_its_names(query);
        self.ctes.truncate(seen);
        read
    }

    fn query_and_its_names(&mut self, query: &ast::Query) -> Result<Query, String> {
        let ast::Query {
            with,
            body,
            order_by,
            limit_clause,
            fetch,
            locks,
            for_clause: None,
            settings: None,
            format_clause: None,
            pipe_operators,
        } = query
        else {
            return Err(ONLY_SELECTS.to_owned());
        };
        if !locks.is_empty() || !pipe_operators.is_empty() {
            return Err(ONLY_SELECTS.to_owned());
        }
        let recursive = with.as_ref().is_some_and(|with| with.recursive);
        let with = with.as_ref().map(|with| self.with(with)).transpose()?.unwrap_or_default();
        let (limit, offset) = self.limit(limit_clause.as_ref(), fetch.as_ref())?;
        Ok(Query {
            recursive,
            with,
            body: self.body(body)?,
            order_by: self.order_by(order_by.as_ref())?,
            limit,
            offset,
        })
    }

    fn with(&mut self, with: &ast::With) -> Result<Vec<Cte>, String> {
        let ast::With { with_token: _, recursive, cte_tables } = with;
        if *recursive {
            for cte in cte_tables {
                self.ctes.push(name(&cte.alias.name)?);
            }
        }
        cte_tables.iter().map(|cte| self.cte(cte)).collect()
    }

    fn cte(&mut self, cte: &WrittenCte) -> Result<Cte, String> {
        let WrittenCte { alias, query, from: None, materialized, closing_paren_token: _ } = cte else {
            return Err(format!("`{cte}` is not allowed"));
        };
        let alias = read_alias(alias)?;
        let query = self.query(query)?;
        self.ctes.push(alias.name.clone());
        let materialized = materialized.as_ref().map(|how| matches!(how, CteAsMaterialized::Materialized));
        Ok(Cte { alias, materialized, query })
    }

    fn order_by(&mut self, order_by: Option<&OrderBy>) -> Result<Vec<super::tree::Sort>, String> {
        match order_by {
            None => Ok(Vec::new()),
            Some(OrderBy { kind: OrderByKind::Expressions(sorts), interpolate: None }) => self.sorts(sorts),
            Some(other) => Err(format!("`{other}` is not allowed")),
        }
    }

    fn limit(
        &mut self,
        clause: Option<&LimitClause>,
        fetch: Option<&Fetch>,
    ) -> Result<(Option<Scalar>, Option<Scalar>), String> {
        let fetched = match fetch {
            None => None,
            Some(Fetch { with_ties: false, percent: false, quantity }) => match quantity {
                Some(quantity) => Some(self.scalar(quantity)?),
                None => Some(Scalar::Literal(Literal::Number("1".to_owned()))),
            },
            Some(other) => return Err(format!("`{other}`: write `limit`")),
        };
        let Some(clause) = clause else { return Ok((fetched, None)) };
        let LimitClause::LimitOffset { limit, offset, limit_by } = clause else {
            return Err(format!("`{clause}`: write `limit` and `offset`"));
        };
        if !limit_by.is_empty() {
            return Err(format!("`{clause}` is not allowed"));
        }
        let limit = limit.as_ref().map(|limit| self.scalar(limit)).transpose()?.or(fetched);
        let offset = offset.as_ref().map(|Offset { value, rows: _ }| self.scalar(value)).transpose()?;
        Ok((limit, offset))
    }

    fn body(&mut self, body: &SetExpr) -> Result<Body, String> {
        match body {
            SetExpr::Select(select) => Ok(Body::Select(Box::new(self.select(select)?))),
            SetExpr::Query(query) => Ok(match self.query(query)? {
                // Redundant parentheses.
                Query { with, body, order_by, limit: None, offset: None, .. }
                    if with.is_empty() && order_by.is_empty() =>
                {
                    body
                }
                other => Body::Query(Box::new(other)),
            }),
            SetExpr::SetOperation { left, op, set_quantifier, right } => {
                let operation = match op {
                    SetOperator::Union => "union",
                    SetOperator::Except => "except",
                    SetOperator::Intersect => "intersect",
                    SetOperator::Minus => return Err("write `except`".to_owned()),
                };
                let all = match set_quantifier {
                    SetQuantifier::All => true,
                    SetQuantifier::None | SetQuantifier::Distinct => false,
                    _ => return Err(format!("`{operation} {set_quantifier}` is not allowed")),
                };
                let (left, right) = self.deeper(|reader| Ok((reader.body(left)?, reader.body(right)?)))?;
                let (left, right) = (Box::new(left), Box::new(right));
                Ok(Body::Set { left, operation, all, right })
            }
            SetExpr::Values(ast::Values { explicit_row: false, value_keyword: false, rows }) => {
                Ok(Body::Values(rows.iter().map(|row| self.list(&row.content)).collect::<Result<_, _>>()?))
            }
            _ => Err(ONLY_SELECTS.to_owned()),
        }
    }

    fn select(&mut self, select: &ast::Select) -> Result<Select, String> {
        let ast::Select {
            select_token: _,
            optimizer_hints,
            distinct,
            select_modifiers: None,
            top: None,
            top_before_distinct: _,
            projection,
            exclude: None,
            into: None,
            from,
            lateral_views,
            prewhere: None,
            selection,
            connect_by,
            group_by,
            cluster_by,
            distribute_by,
            sort_by,
            having,
            named_window,
            qualify: None,
            window_before_qualify: _,
            value_table_mode: None,
            flavor: SelectFlavor::Standard,
        } = select
        else {
            return Err(ONLY_SELECTS.to_owned());
        };
        let foreign =
            [lateral_views.is_empty(), connect_by.is_empty(), cluster_by.is_empty(), distribute_by.is_empty()];
        if foreign.contains(&false) || !sort_by.is_empty() || !optimizer_hints.is_empty() {
            return Err("a clause of the query is not Postgres syntax".to_owned());
        }
        if !named_window.is_empty() {
            return Err("named windows are not allowed: write the window in parentheses after `over`".to_owned());
        }
        Ok(Select {
            distinct: self.distinct_rows(distinct.as_ref())?,
            items: projection.iter().map(|item| self.item(item)).collect::<Result<_, _>>()?,
            from: from.iter().map(|from| self.from(from)).collect::<Result<_, _>>()?,
            filter: selection.as_ref().map(|filter| self.scalar(filter)).transpose()?,
            group_by: self.groups(group_by)?,
            having: having.as_ref().map(|having| self.scalar(having)).transpose()?,
        })
    }

    fn distinct_rows(&mut self, distinct: Option<&WrittenDistinct>) -> Result<Distinct, String> {
        Ok(match distinct {
            None | Some(WrittenDistinct::All) => Distinct::None,
            Some(WrittenDistinct::Distinct) => Distinct::Rows,
            Some(WrittenDistinct::On(keys)) => Distinct::On(self.list(keys)?),
        })
    }

    fn item(&mut self, item: &SelectItem) -> Result<Item, String> {
        match item {
            SelectItem::UnnamedExpr(expr) => Ok(Item::Value(self.scalar(expr)?, None)),
            SelectItem::ExprWithAlias { expr, alias } => Ok(Item::Value(self.scalar(expr)?, Some(name(alias)?))),
            SelectItem::Wildcard(options) if is_plain(options) => Ok(Item::All(None)),
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(table), options)
                if is_plain(options) =>
            {
                match names(table)?.as_slice() {
                    [table] => Ok(Item::All(Some(table.clone()))),
                    _ => Err(format!("`{table}.*`: give the table an alias with `as`, and use the alias")),
                }
            }
            other => Err(format!("`{other}` is not allowed among the columns")),
        }
    }

    fn groups(&mut self, group_by: &GroupByExpr) -> Result<Vec<Group>, String> {
        let GroupByExpr::Expressions(exprs, modifiers) = group_by else {
            return Err("`group by all` is not Postgres syntax".to_owned());
        };
        if !modifiers.is_empty() {
            return Err(format!("`{group_by}` is not Postgres syntax"));
        }
        exprs.iter().map(|expr| self.group(expr)).collect()
    }

    fn group(&mut self, expr: &Expr) -> Result<Group, String> {
        let (kind, sets) = match expr {
            Expr::Rollup(sets) => ("rollup", sets),
            Expr::Cube(sets) => ("cube", sets),
            Expr::GroupingSets(sets) => ("grouping sets", sets),
            other => return Ok(Group::By(self.scalar(other)?)),
        };
        Ok(Group::Sets(kind, sets.iter().map(|set| self.list(set)).collect::<Result<_, _>>()?))
    }

    fn from(&mut self, from: &TableWithJoins) -> Result<From, String> {
        let TableWithJoins { relation, joins } = from;
        let first = self.source(relation)?;
        Ok(From { first, joins: joins.iter().map(|join| self.join(join)).collect::<Result<_, _>>()? })
    }

    fn join(&mut self, join: &ast::Join) -> Result<Join, String> {
        let ast::Join { relation, global: false, join_operator } = join else {
            return Err(format!("`{join}` is not Postgres syntax"));
        };
        let (kind, constraint) = match join_operator {
            JoinOperator::Join(on) | JoinOperator::Inner(on) => ("join", on),
            JoinOperator::Left(on) | JoinOperator::LeftOuter(on) => ("left join", on),
            JoinOperator::Right(on) | JoinOperator::RightOuter(on) => ("right join", on),
            JoinOperator::FullOuter(on) => ("full join", on),
            JoinOperator::CrossJoin(on) => ("cross join", on),
            _ => return Err(format!("`{join}` is not Postgres syntax")),
        };
        let source = self.source(relation)?;
        let on = match constraint {
            JoinConstraint::None => On::Nothing,
            JoinConstraint::Natural => On::Natural,
            JoinConstraint::On(condition) => On::Condition(self.scalar(condition)?),
            JoinConstraint::Using(columns) => {
                let one = |written: &ast::ObjectName| match names(written)?.as_slice() {
                    [column] => Ok(column.clone()),
                    _ => Err(format!("`using ({written})`: write columns without a table name")),
                };
                On::Using(columns.iter().map(one).collect::<Result<_, String>>()?)
            }
        };
        Ok(Join { kind, source, on })
    }

    fn source(&mut self, factor: &TableFactor) -> Result<Source, String> {
        let refused = || format!("`{factor}` is not allowed in place of a table");
        match factor {
            TableFactor::Table {
                name: written,
                alias,
                args,
                with_hints,
                version: None,
                with_ordinality,
                partitions,
                json_path: None,
                sample: None,
                index_hints,
            } if with_hints.is_empty() && partitions.is_empty() && index_hints.is_empty() => {
                let alias = alias.as_ref().map(read_alias).transpose()?;
                match args {
                    None if !with_ordinality => self.table(written, alias),
                    Some(TableFunctionArgs { args, settings: None }) => {
                        self.rows_of(false, (written, args), *with_ordinality, alias)
                    }
                    _ => Err(refused()),
                }
            }
            TableFactor::Derived { lateral, subquery, alias, sample: None } => Ok(Source::Derived {
                lateral: *lateral,
                query: Box::new(self.query(subquery)?),
                alias: alias.as_ref().map(read_alias).transpose()?,
            }),
            TableFactor::Function { lateral, name, args, with_ordinality, alias } => {
                let alias = alias.as_ref().map(read_alias).transpose()?;
                self.rows_of(*lateral, (name, args), *with_ordinality, alias)
            }
            TableFactor::UNNEST {
                alias,
                array_exprs,
                with_offset: false,
                with_offset_alias: None,
                with_ordinality,
            } => Ok(Source::Function {
                lateral: false,
                function: "unnest",
                arguments: self.list(array_exprs)?,
                ordinality: *with_ordinality,
                alias: alias.as_ref().map(read_alias).transpose()?,
            }),
            TableFactor::NestedJoin { table_with_joins, alias: None } => {
                Ok(Source::Nested(Box::new(self.from(table_with_joins)?)))
            }
            _ => Err(refused()),
        }
    }

    /// Reads a table with its schema, since only `pg_catalog` is searched, or a name that `with` defines.
    fn table(&self, written: &ast::ObjectName, alias: Option<Alias>) -> Result<Source, String> {
        let parts = names(written)?;
        match parts.as_slice() {
            [cte] if self.ctes.contains(cte) => Ok(Source::Cte(cte.clone(), alias)),
            [only] if only.as_str() == "only" => {
                Err("`only` is not allowed: it would exclude the partitions of a table".to_owned())
            }
            [table] => Err(format!("`{written}` has no schema: write `public.{}`", table.as_str())),
            [schema, table] => {
                let table = TableName { schema: schema.clone(), table: table.clone() };
                table.expect_data().map(|()| Source::Table(table, alias))
            }
            _ => Err(format!("`{written}` has too many parts")),
        }
    }

    fn rows_of(
        &mut self,
        lateral: bool,
        (written, args): (&ast::ObjectName, &[ast::FunctionArg]),
        ordinality: bool,
        alias: Option<Alias>,
    ) -> Result<Source, String> {
        let parts = names(written)?;
        let function = match parts.as_slice() {
            [name] => function::of_rows(name.as_str()),
            [schema, name] if schema.as_str() == "pg_catalog" => function::of_rows(name.as_str()),
            _ => None,
        };
        let function =
            function.ok_or_else(|| format!("the function `{written}` is not allowed in place of a table"))?;
        let arguments = args.iter().map(|argument| self.argument(argument)).collect::<Result<_, _>>()?;
        Ok(Source::Function { lateral, function, arguments, ordinality, alias })
    }
}

fn is_plain(options: &WildcardAdditionalOptions) -> bool {
    let WildcardAdditionalOptions {
        wildcard_token: _,
        opt_ilike,
        opt_exclude,
        opt_except,
        opt_replace,
        opt_rename,
        opt_alias,
    } = options;
    opt_ilike.is_none()
        && opt_exclude.is_none()
        && opt_except.is_none()
        && opt_replace.is_none()
        && opt_rename.is_none()
        && opt_alias.is_none()
}

fn read_alias(alias: &ast::TableAlias) -> Result<Alias, String> {
    let ast::TableAlias { explicit: _, name: given, columns, at: None } = alias else {
        return Err(format!("`{alias}` is not a table alias"));
    };
    if let Some(typed) = columns.iter().find(|column| column.data_type.is_some()) {
        return Err(format!("`{typed}`: write the column without a type"));
    }
    Ok(Alias {
        name: name(given)?,
        columns: columns.iter().map(|column| name(&column.name)).collect::<Result<_, _>>()?,
    })
}
