//! `check`: reports every mistake in the job files and the settings at once.

mod classes;
mod compare;
mod encoding;
mod report;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use jobs::JobFile;

use crate::cli::{Global, Output};
use crate::commands::output::{self, Table};
use crate::commands::shared::{database, jobs};
use crate::postgres::local::LocalDatabase;
use crate::settings::{Loaded, ReceiverSettings, Settings};
use crate::spec::diagnostic::did_you_mean;
use crate::spec::{Diagnostic, Level, codes};
use report::Found;

pub(in crate::commands) async fn run(global: &Global, path: Option<&Path>) -> Result<ExitCode> {
    let mut loaded = jobs::load_settings(global)?;
    missing_secrets(&mut loaded);
    let none = Settings::default();
    let settings = loaded.settings.as_ref().unwrap_or(&none);
    let mut files = jobs::load_all(path.unwrap_or(&global.jobs), settings)?;
    repeated_names(&mut files);
    let compared = match (&global.database_url, Path::new(database::LOCAL_FOLDER).is_dir()) {
        (Some(url), _) => compare::with_database(database::options(url)?, &mut files).await,
        // Use the private Postgres of other commands, but do not create one only for a check.
        (None, true) => {
            let local = database::local_server(Path::new(database::LOCAL_FOLDER), database::Consent::Asked).await?;
            let options = local.options(LocalDatabase::Main.name());
            compare::with_database(options, &mut files).await
        }
        (None, false) => {
            output::note(
                "note: the jobs were not compared with a database; set DATABASE_URL to check tables, columns and types too",
            );
            Ok(())
        }
    };
    match global.output {
        Output::Table => show(&loaded, &files)?,
        Output::Sarif => output::print_json(&report::sarif(&all(&loaded, &files)))?,
        Output::Github => output::print_lines(&report::github(&all(&loaded, &files)))?,
        other => output::print_table(&table(&loaded, &files), other)?,
    }
    // A check that could not run has not passed.
    compared?;
    let failed = loaded.findings.iter().any(|f| f.level == Level::Error) || files.iter().any(JobFile::has_errors);
    Ok(ExitCode::from(u8::from(failed)))
}

/// Explains a code.
pub(in crate::commands) fn explain(name: &str) -> Result<ExitCode> {
    let near = || did_you_mean(name, codes::CODES.iter().map(|code| code.name));
    let Some(code) = codes::find(name) else {
        let hint = near().map_or_else(
            || "`trueup explain --errors` lists all of them".to_owned(),
            |near| format!("did you mean `{near}`?"),
        );
        return Err(crate::commands::user_error(format!("there is no code `{name}`; {hint}")));
    };
    output::print_lines(&format!("{}\n\n{}", code.means, code.mend))?;
    Ok(ExitCode::SUCCESS)
}

/// Returns all findings with their files.
fn all<'a>(loaded: &'a Loaded, files: &'a [JobFile]) -> Vec<Found<'a>> {
    let settings = std::iter::once((loaded.path.as_str(), loaded.text.as_str(), &loaded.findings));
    let jobs = files.iter().map(|file| (file.path.as_str(), file.text.as_str(), &file.findings));
    let of = |(path, text, findings): (&'a str, &'a str, &'a Vec<Diagnostic>)| {
        findings.iter().map(move |finding| Found { path, position: finding.position(text), finding })
    };
    settings.chain(jobs).flat_map(of).collect()
}

/// A secret may be set only where jobs run, so one that is missing here is a warning.
fn missing_secrets(loaded: &mut Loaded) {
    let (Some(settings), Some(document)) = (&loaded.settings, &loaded.document) else { return };
    for (name, receiver) in &settings.receivers {
        if let Err(why) = ReceiverSettings::connect(receiver) {
            let span = document.locate(&format!("receivers.{name}"));
            let finding =
                Diagnostic::warning("unusable-receiver", span, format!("`{name}` cannot be used here: {why}"));
            loaded.findings.push(finding.hint("set it where `trueup run` or `trueup serve` runs"));
        }
    }
}

fn repeated_names(files: &mut [JobFile]) {
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for file in files {
        let (Some(job), Some(document)) = (&file.job, &file.document) else { continue };
        match seen.get(&job.name) {
            Some(first) => file.findings.push(
                document
                    .error("job.name", "repeated-job", format!("the job `{}` is also declared in `{first}`", job.name))
                    .hint("rename one of them"),
            ),
            None => drop(seen.insert(job.name.clone(), file.path.clone())),
        }
    }
}

fn show(loaded: &Loaded, files: &[JobFile]) -> Result<()> {
    if !loaded.findings.is_empty() {
        output::print_styled(&format!("{}\n", jobs::render(&loaded.path, &loaded.text, &loaded.findings)))?;
    }
    for file in files.iter().filter(|file| !file.findings.is_empty()) {
        output::print_styled(&format!("{}\n", file.render()))?;
    }
    for size in files.iter().filter_map(|file| file.size.as_ref()) {
        output::print(size)?;
    }
    let count = |level: Level| {
        let in_files = files.iter().flat_map(|file| &file.findings).filter(|f| f.level == level).count();
        in_files + loaded.findings.iter().filter(|f| f.level == level).count()
    };
    let (errors, warnings) = (count(Level::Error), count(Level::Warning));
    let jobs = files.len();
    let plural = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    output::print(&format!(
        "{} checked: {}, {}",
        plural(jobs, "job file"),
        plural(errors, "error"),
        plural(warnings, "warning")
    ))
}

fn table(loaded: &Loaded, files: &[JobFile]) -> Table {
    let mut table = Table::new(&["file", "line", "column", "level", "code", "message", "hint"]);
    for Found { path, position: (line, column), finding } in all(loaded, files) {
        let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        table.push(vec![
            path.into(),
            number(line).into(),
            number(column).into(),
            report::level(finding).into(),
            finding.code.into(),
            finding.message.clone().into(),
            finding.hint.clone().into(),
        ]);
    }
    table
}
