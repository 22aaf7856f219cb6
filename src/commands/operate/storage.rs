//! `status --storage`: the size and growth of each job, and the size of each table.

use std::process::ExitCode;

use anyhow::Result;
use chrono::TimeDelta;

use crate::cli::{Global, Output};
use crate::commands::output::{self, Cell, Table};
use crate::commands::shared::{database, jobs};
use crate::settings::Settings;
use crate::store::clock;
use crate::store::read::storage::{self, JobSize, TableSize};

/// Days over which growth is measured.
const DAYS: i32 = 3;
/// Up to this many measurements are counted; beyond that the server's estimate is shown.
const COUNTED: i64 = 2_000_000;
/// Minimum bytes of a measurement, to judge from the size of a table whether there are many.
const LEAST_BYTES: i64 = 150;

pub(in crate::commands) async fn run(global: &Global) -> Result<ExitCode> {
    let settings = jobs::settings(global)?;
    let database = database::database(global, &settings).await?;
    let mut connection = database.pool.acquire().await?;
    let tables = storage::tables(&mut connection).await?;
    let bytes = |name: &str| tables.iter().find(|table| table.name == name).map_or(0, |table| table.bytes);
    let exact = bytes("measurement") < COUNTED * LEAST_BYTES;
    let since = clock::now(&mut connection).await? - TimeDelta::days(i64::from(DAYS));
    let jobs = storage::jobs(&mut connection, since, exact).await?;
    let all: i64 = tables.iter().map(|table| table.bytes).sum();
    let measurements: i64 = jobs.iter().map(|job| job.measurements).sum();
    let each = per_measurement(all, measurements);
    if global.output != Output::Table {
        output::print_table(&everything(&jobs, each, &settings, &tables), global.output)?;
        return Ok(ExitCode::SUCCESS);
    }
    output::print_table(&by_job(&jobs, each, &settings), global.output)?;
    output::print("")?;
    output::print_table(&by_table(&tables, all), global.output)?;
    output::note(&explained(exact));
    Ok(ExitCode::SUCCESS)
}

/// Jobs, then tables, in one table for programs.
fn everything(jobs: &[JobSize], each: f64, settings: &Settings, tables: &[TableSize]) -> Table {
    let mut all = Table::new(&["job", "table", "rows", "bytes", "bytes_a_day", "forecast_1y"]);
    for job in jobs {
        let growth = Growth::of(job);
        all.push(vec![
            job.job.clone().into(),
            Cell::Nothing,
            job.measurements.into(),
            size(job.measurements, each),
            scaled(growth.tumbling + growth.rolling, each),
            scaled(growth.after_a_year(settings.keep_rolling), each),
        ]);
    }
    for table in tables {
        let (rows, bytes) = (table.rows.into(), Cell::Size(table.bytes));
        all.push(vec![Cell::Nothing, table.name.clone().into(), rows, bytes, Cell::Nothing, Cell::Nothing]);
    }
    all
}

/// Bytes of all tables per measurement: verdicts, runs and windows grow with the measurements.
#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn per_measurement(bytes: i64, measurements: i64) -> f64 {
    if measurements == 0 { 0.0 } else { bytes as f64 / measurements as f64 }
}

fn by_job(jobs: &[JobSize], each: f64, settings: &Settings) -> Table {
    let mut table = Table::new(&["job", "measurements", "bytes", "bytes_a_day", "forecast_1y"]);
    for job in jobs {
        let growth = Growth::of(job);
        table.push(vec![
            job.job.clone().into(),
            job.measurements.into(),
            size(job.measurements, each),
            scaled(growth.tumbling + growth.rolling, each),
            scaled(growth.after_a_year(settings.keep_rolling), each),
        ]);
    }
    table
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn size(measurements: i64, each: f64) -> Cell {
    scaled(measurements as f64, each)
}

#[expect(clippy::cast_possible_truncation, reason = "an estimate, far below 2^63 bytes")]
fn scaled(measurements: f64, each: f64) -> Cell {
    Cell::Size((measurements * each) as i64)
}

/// Measurements of a job per day.
struct Growth {
    tumbling: f64,
    rolling: f64,
    /// Rolling measurements that are kept once they are old.
    thinned: f64,
}

impl Growth {
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    fn of(job: &JobSize) -> Self {
        let rolling = job.recent_rolling as f64 / f64::from(DAYS);
        let windows_a_day = job.recent_windows as f64 / f64::from(DAYS);
        // One window of each name is kept.
        let stays = if windows_a_day > 0.0 { (job.rolling_names as f64 / windows_a_day).min(1.0) } else { 0.0 };
        Self { tumbling: job.recent_tumbling as f64 / f64::from(DAYS), rolling, thinned: rolling * stays }
    }

    /// Returns the measurements that a year adds under the current retention.
    #[expect(clippy::cast_precision_loss, reason = "days")]
    fn after_a_year(&self, keep_rolling: TimeDelta) -> f64 {
        let whole = (keep_rolling.num_days() as f64).min(365.0);
        self.tumbling * 365.0 + self.rolling * whole + self.thinned * (365.0 - whole)
    }
}

fn by_table(tables: &[TableSize], all: i64) -> Table {
    let mut shown = Table::new(&["table", "rows", "bytes"]);
    for table in tables {
        shown.push(vec![table.name.clone().into(), table.rows.into(), Cell::Size(table.bytes)]);
    }
    shown.push(vec!["all".into(), Cell::Nothing, Cell::Size(all)]);
    shown
}

fn explained(exact: bool) -> String {
    let measurements = if exact { "counted" } else { "estimated by the server" };
    format!(
        "bytes of a job are its share of all tables, by number of measurements ({measurements}); growth covers windows \
         that ended in the last {DAYS} days; row counts of tables are estimated by the server"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_year_keeps_rolling_windows_for_as_long_as_the_retention_says() {
        // A window a minute and a window a day, with 4 measurements each.
        let job = JobSize {
            job: "load".to_owned(),
            measurements: 0,
            recent_tumbling: 12,
            recent_rolling: 3 * 1_440 * 4,
            recent_windows: 3 * 1_440,
            rolling_names: 1,
        };
        let growth = Growth::of(&job);
        assert_eq!((growth.tumbling, growth.rolling, growth.thinned), (4.0, 5_760.0, 4.0));
        let year = growth.after_a_year(TimeDelta::days(90));
        assert_eq!(year, 4.0 * 365.0 + 5_760.0 * 90.0 + 4.0 * 275.0);
        assert_eq!(growth.after_a_year(TimeDelta::days(800)), 4.0 * 365.0 + 5_760.0 * 365.0);
    }
}
