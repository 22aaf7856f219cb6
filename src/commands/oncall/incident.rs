//! `incident`: what happened, what was known then, and a draft of the postmortem.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::{Value as Json, json};

use crate::chart::sparkline;
use crate::cli::{Global, IncidentArgs, Output};
use crate::commands::output::{self, Table};
use crate::commands::shared::{database, jobs};
use crate::commands::user_error;
use crate::dispatch::record;
use crate::notify::message::Point;
use crate::notify::postmortem::{self, Frozen, Record};
use crate::store::alerting::incident::{self, IncidentRow};
use crate::text::number::number;

pub(in crate::commands) async fn run(global: &Global, args: &IncidentArgs) -> Result<ExitCode> {
    let settings = jobs::settings(global)?;
    let database = database::database(global, &settings).await?;
    let mut connection = database.pool.acquire().await?;
    let Some(id) = args.id else {
        let rows = incident::list(&mut connection, args.job.as_deref(), args.all).await?;
        return list(global, rows, args.all);
    };
    let Some(record) = record::read(&mut connection, id).await? else {
        return Err(user_error(format!("there is no incident {id}; `trueup incident --all` lists them")));
    };
    match (global.output, args.postmortem) {
        (_, true) => output::print_lines(&postmortem::draft(&record))?,
        (Output::Json, false) => output::print_json(&as_json(&record).to_string())?,
        (Output::Table | Output::Csv | Output::Sarif | Output::Github, false) => show(&record)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(global: &Global, rows: Vec<IncidentRow>, all: bool) -> Result<ExitCode> {
    let mut table = Table::new(&["id", "job", "severity", "alerts", "opened", "closed"]);
    for row in rows {
        table.push(vec![
            row.id.into(),
            row.job.into(),
            row.severity.into(),
            row.alerts.into(),
            row.opened_at.into(),
            row.closed_at.into(),
        ]);
    }
    if table.is_empty() && global.output == Output::Table {
        output::print(if all { "there were no incidents" } else { "no incident is open" })?;
    } else {
        output::print_table(&table, global.output)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn as_json(record: &Record) -> Json {
    json!({
        "id": record.id, "job": record.job, "severity": record.severity,
        "opened_at": record.opened_at, "closed_at": record.closed_at,
        "evidence": record.evidence.iter().map(|row| json!({
            "alert_id": row.alert_id, "rule": row.rule, "cohort": row.cohort, "model_version": row.model_version,
            "state": row.state, "frozen_at": row.frozen_at, "evidence": row.evidence,
        })).collect::<Vec<_>>(),
        "timeline": record.timeline.iter().map(|event| json!({ "at": event.at, "what": event.what })).collect::<Vec<_>>(),
    })
}

/// Maximum alerts whose evidence is shown; the others are counted.
const MOST_SHOWN: usize = 5;

fn show(record: &Record) -> Result<()> {
    let end = record.closed_at.map_or("still open".to_owned(), |at| format!("closed {}", postmortem::time(at)));
    output::print(&format!(
        "Incident {} of {} ({}): opened {}, {end}",
        record.id,
        record.job,
        record.severity,
        postmortem::time(record.opened_at)
    ))?;
    for row in record.evidence.iter().take(MOST_SHOWN) {
        output::print_lines(&format!("\n{}", postmortem::alert_line(row)))?;
        let points: Vec<Point> = series(row);
        if points.len() > 1 {
            let values: Vec<Option<f64>> = points.iter().map(|point| point.value).collect();
            let most = values.iter().flatten().copied().fold(f64::MIN_POSITIVE, f64::max);
            output::print(&format!("  {}  {}", sparkline::text(&values, most), range(&values)))?;
        }
        for (name, rows) in
            [("breakdown", "parts"), ("largest errors", "worst_samples"), ("changes before the alert", "changes")]
        {
            let lines = postmortem::lines(row, rows);
            if !lines.is_empty() {
                output::print(&format!("  {name}:"))?;
                for line in lines.iter().take(10) {
                    output::print(&format!("    {line}"))?;
                }
            }
        }
        if let Some(query) = row.evidence.pointer("/alert/query").and_then(Json::as_str) {
            output::print("  reproduce:")?;
            for line in query.lines() {
                output::print(&format!("    {line}"))?;
            }
        }
    }
    if record.evidence.len() > MOST_SHOWN {
        output::print_lines(&format!(
            "\nand {} more; `--output json` shows all of them",
            record.evidence.len() - MOST_SHOWN
        ))?;
    }
    output::print_lines("\nTimeline")?;
    for event in &record.timeline {
        output::print(&format!("  {}  {}", postmortem::time(event.at), event.what))?;
    }
    Ok(())
}

/// Returns the series that was frozen with an alert.
fn series(row: &Frozen) -> Vec<Point> {
    let points = row.evidence.get("series").cloned().unwrap_or(Json::Null);
    // An alert about runs has no series.
    serde_json::from_value(points).unwrap_or_default()
}

fn range(values: &[Option<f64>]) -> String {
    let known = || values.iter().flatten().copied();
    let (low, high) = (known().fold(f64::INFINITY, f64::min), known().fold(f64::NEG_INFINITY, f64::max));
    if low > high { String::new() } else { format!("{} to {}", number(low), number(high)) }
}
