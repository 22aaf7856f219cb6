//! Names of the classes of a job, whose measurements and residuals have codes.

use sqlx::PgConnection;

/// Returns those of these codes that have no name yet.
pub async fn unnamed(connection: &mut PgConnection, job_id: i64, codes: &[i64]) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar!(
        r#"
        select c.code as "code!" from unnest($2::bigint[]) as c (code)
        where not exists (select from trueup.class known where known.job_id = $1 and known.code = c.code)
        "#,
        job_id,
        codes
    )
    .fetch_all(connection)
    .await
}

/// Names codes; those that have a name keep it.
pub async fn name(connection: &mut PgConnection, job_id: i64, codes: &[i64], names: &[String]) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        insert into trueup.class (job_id, code, name)
        select $1, c.code, c.name from unnest($2::bigint[], $3::text[]) as c (code, name)
        on conflict (job_id, code) do nothing
        "#,
        job_id,
        codes,
        names
    )
    .execute(connection)
    .await
    .map(drop)
}
