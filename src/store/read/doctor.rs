//! Queries of `doctor` about the database.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// The server and the session.
#[derive(Debug, Clone)]
pub struct Server {
    pub version: String,
    /// As `server_version_num`: 150014 is 15.14.
    pub version_number: i32,
    pub now: DateTime<Utc>,
    pub role: String,
    pub is_superuser: bool,
    /// True if the role may create objects in the schema `trueup`.
    pub may_define: bool,
    /// Limit on a session's temporary files, as the server shows it; `-1` is unlimited.
    pub temp_file_limit: String,
    /// True if the server follows another one and takes no writes.
    pub is_standby: bool,
    /// True if transactions of this role are read-only by default.
    pub is_read_only: bool,
    pub connections_used: i64,
    pub connections_most: i64,
}

/// Queries the server. Works before the schema exists.
pub async fn server(connection: &mut PgConnection) -> sqlx::Result<Server> {
    sqlx::query_as!(
        Server,
        r#"
        select current_setting('server_version') as "version!", current_setting('server_version_num')::int as "version_number!", clock_timestamp() as "now!", current_user::text as "role!",
               (select rolsuper from pg_roles where rolname = current_user) as "is_superuser!",
               coalesce(has_schema_privilege(to_regnamespace('trueup')::oid, 'create'), false) as "may_define!",
               current_setting('temp_file_limit') as "temp_file_limit!",
               pg_is_in_recovery() as "is_standby!", current_setting('default_transaction_read_only')::boolean as "is_read_only!",
               (select count(*) from pg_stat_activity where backend_type = 'client backend') as "connections_used!",
               (current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint) as "connections_most!"
        "#
    )
    .fetch_one(connection)
    .await
}

/// Returns tables of `trueup` that this role may not read and write, and functions that it may not call. Months are skipped: they
/// are accessed through their table.
pub async fn missing_on_own(connection: &mut PgConnection) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"
        select c.relname::text as "name!" from pg_class c
        where c.relnamespace = 'trueup'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition and c.relname <> '_sqlx_migrations'
          and not (has_table_privilege(c.oid, 'select') and has_table_privilege(c.oid, 'insert')
                   and has_table_privilege(c.oid, 'update') and has_table_privilege(c.oid, 'delete'))
        union all
        select p.proname::text from pg_proc p
        where p.pronamespace = 'trueup'::regnamespace and not has_function_privilege(p.oid, 'execute')
        order by 1
        "#
    )
    .fetch_all(connection)
    .await
}

/// Rights of this role on a source.
#[derive(Debug, Clone)]
pub struct SourceRights {
    pub exists: bool,
    pub may_read: bool,
    pub may_write: bool,
}

/// Queries the rights on a source table, by its quoted name.
pub async fn source(connection: &mut PgConnection, table: &str) -> sqlx::Result<SourceRights> {
    sqlx::query_as!(
        SourceRights,
        r#"
        select t.oid is not null as "exists!",
               coalesce(has_table_privilege(t.oid, 'select') or has_any_column_privilege(t.oid, 'select'), false) as "may_read!",
               coalesce(has_table_privilege(t.oid, 'insert') or has_table_privilege(t.oid, 'update')
                        or has_table_privilege(t.oid, 'delete'), false) as "may_write!"
        from (select to_regclass($1)::oid as oid) as t
        "#,
        table
    )
    .fetch_one(connection)
    .await
}

/// State of the outbox.
#[derive(Debug, Clone)]
pub struct Outbox {
    pub waiting: i64,
    /// Age of the oldest overdue notification, in seconds.
    pub oldest_seconds: Option<f64>,
    pub dead_lately: i64,
    /// Receivers that are paused or permanently gone.
    pub troubled: Vec<String>,
}

/// Queries the outbox.
pub async fn outbox(connection: &mut PgConnection) -> sqlx::Result<Outbox> {
    sqlx::query_as!(
        Outbox,
        r#"
        select count(*) filter (where state = 'pending') as "waiting!",
               extract(epoch from max(clock_timestamp() - coalesce(first_due_at, next_attempt_at))
                   filter (where state = 'pending' and coalesce(first_due_at, next_attempt_at) <= clock_timestamp()))::float8 as oldest_seconds,
               count(*) filter (where settled_at > clock_timestamp() - interval '7 days' and (state = 'dead'
                   or state = 'sent' and exists (select from jsonb_each(recipients) r where r.value <> 'null'))) as "dead_lately!",
               (select coalesce(array_agg(receiver order by receiver), '{}') from trueup.receiver_health
                where gone or open_until > clock_timestamp()) as "troubled!"
        from trueup.notification where kind <> 'heartbeat'
        "#
    )
    .fetch_one(connection)
    .await
}
