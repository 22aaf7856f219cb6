//! `silence` and `annotate`: silences and annotations entered by people.

use std::process::ExitCode;

use anyhow::Result;

use crate::cli::{AnnotateArgs, Global, Output, SilenceArgs, SilenceCommand};
use crate::commands::output::{self, Table};
use crate::commands::shared::{database, jobs};
use crate::commands::user_error;
use crate::domain::duration;
use crate::store::alerting::annotation::{self, NewAnnotation};
use crate::store::alerting::silence::{self, NewSilence};

pub(in crate::commands) async fn run(global: &Global, command: &SilenceCommand) -> Result<ExitCode> {
    let settings = jobs::settings(global)?;
    match command {
        SilenceCommand::Add(args) => add(global, args).await,
        SilenceCommand::List { all } => {
            let database = database::database(global, &settings).await?;
            let rows = silence::list(&mut *database.pool.acquire().await?, *all).await?;
            let mut table = Table::new(&[
                "id", "job", "rule", "cohort", "severity", "from", "until", "in_force", "author", "reason",
            ]);
            for row in rows {
                let any = |name: Option<String>| name.unwrap_or_else(|| "(all)".to_owned());
                table.push(vec![
                    row.id.into(),
                    any(row.job).into(),
                    any(row.rule).into(),
                    any(row.cohort).into(),
                    any(row.severity).into(),
                    row.starts_at.into(),
                    row.ends_at.into(),
                    if row.in_force { "yes" } else { "no" }.into(),
                    row.author.into(),
                    row.reason.into(),
                ]);
            }
            if table.is_empty() && global.output == Output::Table {
                output::print("there are no silences")?;
            } else {
                output::print_table(&table, global.output)?;
            }
            Ok(ExitCode::SUCCESS)
        }
        SilenceCommand::Expire { id } => {
            let database = database::database(global, &settings).await?;
            if silence::expire(&mut *database.pool.acquire().await?, *id).await? {
                output::note(&format!("silence {id} has ended"));
                return Ok(ExitCode::SUCCESS);
            }
            Err(user_error(format!("silence {id} is not active; `trueup silence list` shows the active ones")))
        }
    }
}

async fn add(global: &Global, args: &SilenceArgs) -> Result<ExitCode> {
    let settings = jobs::settings(global)?;
    if args.reason.trim().is_empty() {
        return Err(user_error("a silence needs a reason: it explains later why nobody was notified"));
    }
    // A pattern may match jobs that do not exist yet.
    if let Some(name) = args.job.as_ref().filter(|name| !name.contains('*')) {
        let job = jobs::find(global, &settings, name)?;
        let burns = || job.slos.iter().flat_map(|slo| slo.burns.iter().map(|burn| slo.alert(burn)));
        let known: Vec<String> = job
            .rules
            .iter()
            .map(|rule| rule.name.clone())
            .chain(job.run_rules.iter().cloned())
            .chain(burns())
            .collect();
        if let Some(rule) = args.rule.as_ref().filter(|rule| !rule.contains('*') && !known.contains(rule)) {
            return Err(user_error(format!("`{name}` has no rule `{rule}`; it has {}", known.join(", "))));
        }
    }
    let author = database::author(args.author.as_deref());
    let database = database::database(global, &settings).await?;
    let new = NewSilence {
        job: args.job.as_deref(),
        rule: args.rule.as_deref(),
        cohort: args.cohort.as_deref(),
        severity: args.severity.map(|severity| severity.as_str()),
        lasts: args.lasts,
        reason: &args.reason,
        author: &author,
    };
    let (id, until) = silence::add(&mut *database.pool.acquire().await?, new).await?;
    output::note(&format!(
        "silence {id} until {}; `trueup silence expire {id}` ends it",
        until.format("%Y-%m-%d %H:%M UTC")
    ));
    Ok(ExitCode::SUCCESS)
}

pub(in crate::commands) async fn annotate(global: &Global, args: &AnnotateArgs) -> Result<ExitCode> {
    let settings = jobs::settings(global)?;
    if let Some(job) = &args.job {
        jobs::find(global, &settings, job)?;
    }
    if args.until.is_some_and(|until| args.at.is_none_or(|at| until < at)) {
        return Err(user_error("`--until` needs an `--at` that is not later"));
    }
    let database = database::database(global, &settings).await?;
    let new = NewAnnotation {
        job: args.job.as_deref(),
        kind: args.kind.as_str(),
        starts_at: args.at,
        ends_at: args.until,
        note: &args.note,
        author: None,
        suppress: args.suppress,
    };
    let at = annotation::add(&mut *database.pool.acquire().await?, new).await?;
    output::note(&format!(
        "{} at {} of {}",
        args.kind.as_str(),
        at.format("%Y-%m-%d %H:%M UTC"),
        args.job.as_ref().map_or("every job".to_owned(), |job| format!("`{job}`"))
    ));
    if let Some(lasts) = args.suppress {
        output::note(&format!("notifications are suppressed for {}", duration::format(lasts)));
    }
    Ok(ExitCode::SUCCESS)
}
