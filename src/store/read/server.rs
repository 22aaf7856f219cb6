//! The database itself.

use sqlx::PgConnection;

/// Version of the server, and who reads.
#[derive(Debug, Clone)]
pub struct ServerRow {
    pub version: String,
    pub database: String,
    pub role: String,
    pub time_zone: String,
}

/// Returns what the database says of itself.
pub async fn server(connection: &mut PgConnection) -> sqlx::Result<ServerRow> {
    sqlx::query_as!(
        ServerRow,
        r#"
        select current_setting('server_version') as "version!", current_database() as "database!", current_user::text as "role!",
               current_setting('TimeZone') as "time_zone!"
        "#
    )
    .fetch_one(connection)
    .await
}
