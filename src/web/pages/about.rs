//! `/about`: versions, the database, and the runners that were seen lately.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::State;

use super::{Page, render};
use crate::postgres::migrate;
use crate::store::read::{runs, server};
use crate::web::frame::{self, Frame, Section};
use crate::web::params::Params;
use crate::web::session::Visitor;
use crate::web::view::panel::Panel;
use crate::web::view::words::{self, When};
use crate::web::{Shared, reading};

#[derive(Template)]
#[template(path = "about.html")]
struct AboutPage {
    frame: Frame,
    program: &'static str,
    licence: &'static str,
    repository: &'static str,
    schema: i64,
    database: Panel,
    facts: Vec<(&'static str, String)>,
    runners: Panel,
    seen: Vec<(String, String, When)>,
}

pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    Extension(visitor): Extension<Visitor>,
    params: Params,
) -> Page {
    frame::check(&params, &[], &shared)?;
    let page = reading::snapshot(&shared, async |connection| {
        let frame = Frame::read(connection, (&shared, &visitor, &params), Section::Elsewhere).await?;
        let mut database = Panel::new("database", "Database", "Where all of this is read.")
            .sql("select current_setting('server_version'), current_database(), current_user;");
        let row = reading::panel(connection, async |c| server::server(c).await.map(Some)).await?;
        let facts = database.take(row).map_or_else(Vec::new, |row| {
            vec![("Postgres", row.version), ("database", row.database), ("role", row.role), ("session zone", row.time_zone)]
        });
        let mut runners = Panel::new("runners", "Runners", "Processes that ran jobs in the last 7 days, newest first.").sql(
            "select runner, count(*) as runs, max(started_at) as last_start\nfrom trueup.run_history\nwhere started_at > \
             clock_timestamp() - interval '7 days' and runner is not null\ngroup by runner\norder by last_start desc;",
        );
        let seen = reading::panel(connection, async |c| runs::runners(c).await).await?;
        let seen = runners.take(seen);
        let seen: Vec<_> = seen
            .into_iter()
            .map(|row| (row.runner, words::plural(row.runs, "run"), words::when(row.last_start, frame.zone)))
            .collect();
        Ok(AboutPage {
            program: env!("CARGO_PKG_VERSION"),
            licence: env!("CARGO_PKG_LICENSE"),
            repository: env!("CARGO_PKG_REPOSITORY"),
            schema: migrate::MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or_default(),
            database,
            facts,
            runners: runners.empty_if(seen.is_empty(), "No runner was seen in the last 7 days."),
            seen,
            frame: frame.titled("About"),
        })
    })
    .await?;
    render(&page)
}
