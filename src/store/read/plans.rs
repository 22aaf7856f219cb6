//! Definitions of a job through time, over the public views.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// A definition.
#[derive(Debug, Clone)]
pub struct PlanRow {
    pub plan_id: i64,
    pub created_at: DateTime<Utc>,
    pub used_at: Option<DateTime<Utc>>,
    pub measured_as_of: Option<DateTime<Utc>>,
    pub is_current: bool,
}

/// Returns the newest definitions of a job, newest first.
pub async fn list(connection: &mut PgConnection, job: &str, most: i64) -> sqlx::Result<Vec<PlanRow>> {
    sqlx::query_as!(
        PlanRow,
        r#"
        select plan_id as "plan_id!", created_at as "created_at!", used_at, measured_as_of,
               coalesce(is_current, false) as "is_current!"
        from trueup.plan_history
        where job = $1
        order by created_at desc, plan_id desc
        limit $2
        "#,
        job,
        most
    )
    .fetch_all(connection)
    .await
}

/// Returns the text of a definition. `None`: the job has no such one.
pub async fn text(connection: &mut PgConnection, job: &str, plan_id: i64) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!(
        r#"select spec as "spec!" from trueup.plan_history where job = $1 and plan_id = $2"#,
        job,
        plan_id
    )
    .fetch_optional(connection)
    .await
}
