//! The history that the boards are asked about: the demo's job, with a failed run, a run that was not started, late
//! labels and alerts.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::TypeInfo as _;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Column as _, Executor as _, PgConnection, Row as _, SqlSafeStr as _, Statement as _};
use trueup::pipeline::execute::Ended;

use super::board::Chosen;
use crate::support::world::{World, at};

const JOB: &str = include_str!("../../../src/commands/demo/job.toml");
const WAREHOUSE: &str = include_str!("../../../src/commands/demo/warehouse.sql");
/// Sections that give every panel something to show.
const MORE: &str = r#"
[residuals]
worst = 3
[metrics]
include = ["mse", "rmse", "mae", "bias", "label_arrival_rate", "label_latency_p50", "label_latency_p95"]
[[alerts]]
name = "rmse-unusual"
metric = "rmse"
window = "tumbling 1d"
above_baseline = "25%"
baseline = { kind = "rolling", windows = 7, min = 3 }
severity = "ticket"
notify = ["mail"]
[[slos]]
name = "near"
good = "abs(error) <= 250"
objective = 0.9
period = "7d"
burn = [
    { long = "6h", short = "1h", factor = 2.0, severity = "page" },
    { long = "1d", short = "6h", factor = 1.5, severity = "ticket" },
]
"#;
/// Windows without a value: one run failed, and one was not started.
pub const GAPS: [&str; 2] = ["2025-05-02T04:00:00Z", "2025-05-02T06:00:00Z"];

/// The demo's job, every two hours for three days.
pub async fn story() -> World {
    let toml = format!("{JOB}{MORE}").replace("oncall-email", "mail").replace("oncall-hook", "hook");
    let world = World::new(WAREHOUSE, &toml).await;
    let mut time = at("2025-04-30T00:00:00Z");
    while time <= at("2025-05-03T00:00:00Z") {
        if time == at(GAPS[0]) {
            let rename = |from, to| format!("alter table warehouse.load_forecast rename column {from} to {to}");
            world.db.execute(&rename("forecast_mw", "mw")).await;
            let ended = world.try_run_at(time).await;
            assert!(matches!(ended, Ok(Ended::Failed(_))), "{ended:?}");
            world.db.execute(&rename("mw", "forecast_mw")).await;
        } else if time != at(GAPS[1]) {
            world.run_at(time).await;
        }
        time += TimeDelta::hours(2);
    }
    world
        .db
        .execute(
            "insert into trueup.annotation (job, kind, starts_at, note)
             values ('load', 'deploy', '2025-05-01T20:00Z', 'v1 again');
             insert into trueup.delivery_attempt
                 (notification_id, attempt, attempted_at, duration_ms, outcome, status_code)
             select id, 1, clock_timestamp(), 12, 'sent', 200 from trueup.notification",
        )
        .await;
    world
}

/// A range in event time, and one by the clock of the database, which the story is not in.
pub fn ranges() -> [Chosen; 2] {
    let values = vec![
        ("job", "load"),
        ("window", "rolling 6h"),
        ("metric", "rmse"),
        ("cohort", "region=north"),
        ("version", "all versions"),
        ("rule", "rmse-high"),
        ("slo", "near"),
    ];
    let now = Utc::now();
    let event = Chosen { from: at("2025-04-28T00:00:00Z"), to: at("2025-05-03T00:00:00Z"), values: values.clone() };
    [event, Chosen { from: now - TimeDelta::hours(1), to: now + TimeDelta::minutes(1), values }]
}

/// Columns and rows of a query.
pub struct Answer {
    /// Names and types.
    pub columns: Vec<(String, String)>,
    pub rows: Vec<PgRow>,
    pub took: Duration,
}

impl Answer {
    /// Time in the first column.
    pub fn time(&self, row: usize) -> DateTime<Utc> {
        self.rows[row].get(0)
    }

    /// Text, null where it is null.
    pub fn text(&self, row: usize, column: usize) -> Option<String> {
        self.rows[row].get(column)
    }

    /// A number of any type, null for columns of other types.
    pub fn number(&self, row: usize, column: usize) -> Option<f64> {
        let row = &self.rows[row];
        match self.columns[column].1.as_str() {
            "FLOAT8" => row.get(column),
            #[expect(clippy::cast_precision_loss, reason = "small counts")]
            "INT8" => row.get::<Option<i64>, _>(column).map(|count| count as f64),
            "INT4" => row.get::<Option<i32>, _>(column).map(f64::from),
            _ => None,
        }
    }

    /// Place of a column.
    pub fn column(&self, name: &str) -> usize {
        self.columns.iter().position(|(column, _)| column == name).unwrap_or_else(|| panic!("no column {name}"))
    }

    /// Rows with a number.
    pub fn filled(&self) -> usize {
        let has_number = |row: &usize| (0..self.columns.len()).any(|column| self.number(*row, column).is_some());
        (0..self.rows.len()).filter(has_number).count()
    }
}

/// Sends a query, as prepared as Grafana sends it.
pub async fn ask(connection: &mut PgConnection, sql: &str) -> Answer {
    let fail = |error: sqlx::Error| -> ! { panic!("{error}\n{sql}") };
    let statement = connection.prepare(AssertSqlSafe(sql.to_owned()).into_sql_str()).await;
    let statement = statement.unwrap_or_else(|error| fail(error));
    let columns = statement.columns().iter();
    let columns = columns.map(|column| (column.name().to_owned(), column.type_info().name().to_owned())).collect();
    let started = Instant::now();
    let rows = sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_all(connection).await;
    Answer { columns, rows: rows.unwrap_or_else(|error| fail(error)), took: started.elapsed() }
}

/// A connection as analysts have it.
pub async fn reader(world: &World) -> PgConnection {
    let mut connection = world.db.connection().await;
    let session = "set role trueup_reader; set default_transaction_read_only = on";
    sqlx::raw_sql(session).execute(&mut connection).await.unwrap();
    connection
}
