//! Owners of the tables, views and functions that the jobs read: they can run code with the rights of the runner.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use anyhow::Result;
use sqlparser::ast::visit_relations;
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;
use sqlx::PgConnection;

use super::Findings;
use crate::plan::PlannedJob;
use crate::plan::source::Relation;
use crate::store::read::owners;

/// Adds one warning for each untrusted owner.
pub(super) async fn look(
    connection: &mut PgConnection,
    planned: &[PlannedJob],
    trusted: &[String],
    findings: &mut Findings,
) -> Result<()> {
    let relations = planned.iter().flat_map(|job| [&job.predictions.relation, &job.labels.relation]);
    let sources: Vec<String> = relations.flat_map(tables_of).collect();
    if sources.is_empty() {
        return Ok(());
    }
    let mut by_owner: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for owned in owners::untrusted(connection, &sources, trusted).await? {
        by_owner.entry(owned.owner).or_default().push(format!("{} {}", owned.kind, owned.name));
    }
    if by_owner.is_empty() {
        findings.ok("owners", "all sources belong to this role, to superusers or to trusted owners");
    }
    for (owner, owned) in by_owner {
        findings.warning(
            "owners",
            format!("`{owner}` owns {}, and can run functions there with the runner's rights", owned.join(", ")),
            format!(
                "if you trust `{owner}`, set [database] trusted_owners = [\"{owner}\"]; otherwise change the owner"
            ),
        );
    }
    Ok(())
}

/// Returns the names of tables and views in a source, quoted as SQL reads them.
fn tables_of(relation: &Relation) -> Vec<String> {
    let query = match relation {
        Relation::Table(table) => return vec![table.to_string()],
        Relation::Query(query) => query.to_string(),
    };
    let mut names = Vec::new();
    // A query that cannot be parsed was already refused as a mistake of its job.
    for statement in Parser::parse_sql(&PostgreSqlDialect {}, &query).unwrap_or_default() {
        let _whole: ControlFlow<()> = visit_relations(&statement, |name| {
            // With more parts the name is in another database, where nothing can be looked up.
            names.extend((name.0.len() <= 2).then(|| name.to_string()));
            ControlFlow::Continue(())
        });
    }
    names
}
