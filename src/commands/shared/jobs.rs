//! Finds and plans job files for commands.

use std::path::Path;

use anyhow::Result;

use super::folder;
use crate::cli::Global;
use crate::commands::{output, user_error};
use crate::domain::severity::Severity;
use crate::notify::policy::matcher::Labels;
use crate::notify::policy::route::Routing;
use crate::plan::build::Surroundings;
use crate::plan::{self, PlannedJob};
use crate::settings::{self, Loaded, Settings};
use crate::spec::{Diagnostic, Document, JobSpec, Level};

/// A job file with its findings.
pub(in crate::commands) struct JobFile {
    pub path: String,
    pub text: String,
    pub document: Option<Document>,
    pub job: Option<PlannedJob>,
    pub findings: Vec<Diagnostic>,
    /// Amount of data to read; set if the database was queried.
    pub size: Option<String>,
}

impl JobFile {
    /// Reads and plans a file. A read error is a finding, so that one file never stops the others.
    pub(in crate::commands) fn load(path: &Path, settings: &Settings) -> Self {
        let shown = path.display().to_string();
        match folder::read(path) {
            Ok(text) => Self::of(shown, text, settings),
            Err((text, at, why)) => {
                let finding =
                    Diagnostic::error("unreadable-file", at..at, format!("the job file cannot be read: {why}"))
                        .hint("save jobs as UTF-8 text, and move other files out of the folder");
                Self { path: shown, text, document: None, job: None, findings: vec![finding], size: None }
            }
        }
    }

    /// Plans a text as if it were in a file.
    fn of(shown: String, text: String, settings: &Settings) -> Self {
        let surroundings = Surroundings {
            receivers: settings.receivers.keys().cloned().collect(),
            functions: settings.functions.clone(),
        };
        let document = match Document::parse(&shown, &text) {
            Ok(document) => document,
            Err(findings) => return Self { path: shown, text, document: None, job: None, findings, size: None },
        };
        let (job, mut findings) = match document.read::<JobSpec>() {
            Err(findings) => (None, findings),
            Ok(spec) => match plan::build::plan(&document, &spec, &surroundings) {
                Ok((job, warnings)) => (Some(job), warnings),
                Err(mistakes) => (None, mistakes),
            },
        };
        // A rule that names no receivers may get them from a route.
        if job.as_ref().is_some_and(|job| pages_are_told(job, &settings.routing)) {
            findings.retain(|finding| finding.code != plan::build::NOBODY_TOLD);
        }
        findings.sort_by_key(|finding| finding.span.start);
        Self { path: shown, text, document: Some(document), job, findings, size: None }
    }

    pub(in crate::commands) fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.level == Level::Error)
    }

    /// Renders all findings for people.
    pub(in crate::commands) fn render(&self) -> String {
        render(&self.path, &self.text, &self.findings)
    }
}

/// True if every page of a job reaches a receiver.
fn pages_are_told(job: &PlannedJob, routing: &Routing) -> bool {
    job.rules.iter().filter(|rule| rule.severity == Severity::Page).all(|rule| {
        let owner = rule.owner.as_deref().or(job.owner.as_deref());
        let labels = Labels { job: &job.name, rule: &rule.name, severity: "page", owner, cohort: "all" };
        !routing.path(&labels, &rule.notify).receivers.is_empty()
    })
}

/// Renders the findings of one file for people. Colours are stripped where the output does not take them.
pub(in crate::commands) fn render(path: &str, text: &str, findings: &[Diagnostic]) -> String {
    findings.iter().map(|finding| finding.render(path, text, true)).collect::<Vec<_>>().join("\n\n")
}

/// Reads and plans all job files below a path. An unreadable one is included, with a finding. A file that looks like a job but
/// was passed over is noted.
pub(in crate::commands) fn load_all(path: &Path, settings: &Settings) -> Result<Vec<JobFile>> {
    let listing = folder::list(path)?;
    if let [fixture, ..] = listing.fixtures.as_slice()
        && fixture == path
    {
        let path = path.display();
        return Err(user_error(format!(
            "`{path}` contains tests of a job's rules, not a job; run them with `trueup test {path}`"
        )));
    }
    listing.passed_over.iter().for_each(|why| output::note(&format!("note: {why}")));
    Ok(listing.jobs.iter().map(|path| JobFile::load(path, settings)).collect())
}

/// Returns the settings, or an error after showing all mistakes.
pub(in crate::commands) fn settings(global: &Global) -> Result<Settings> {
    let loaded = load_settings(global)?;
    if !loaded.findings.is_empty() {
        output::note_styled(&render(&loaded.path, &loaded.text, &loaded.findings));
    }
    loaded.settings.ok_or_else(|| user_error(format!("`{}` has mistakes", loaded.path)))
}

pub(in crate::commands) fn load_settings(global: &Global) -> Result<Loaded> {
    let named = global.config != Path::new("trueup.toml");
    settings::load(&global.config, named).map_err(|error| user_error(format!("{error:#}")))
}

/// Finds a job by name or by the path of its file. Mistakes are shown first.
pub(in crate::commands) fn find(global: &Global, settings: &Settings, name: &str) -> Result<PlannedJob> {
    find_changed(global, settings, name, &[])
}

/// Finds a job and applies changes to its rules: `RULE.KEY=VALUE`.
pub(in crate::commands) fn find_changed(
    global: &Global,
    settings: &Settings,
    name: &str,
    changes: &[String],
) -> Result<PlannedJob> {
    let as_path = Path::new(name);
    let candidates = match as_path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml")) {
        true => vec![as_path.to_owned()],
        false => folder::list(&global.jobs)?.jobs,
    };
    let by_path = candidates.len() == 1 && candidates[0] == as_path;
    let (mut known, mut unread) = (Vec::new(), Vec::new());
    for path in candidates {
        let file = JobFile::load(&path, settings);
        let declared = declared_name(&file);
        if !by_path && declared.as_deref() != Some(name) {
            match declared {
                Some(name) => known.push(name),
                None => unread.push(path.display().to_string()),
            }
            continue;
        }
        let file = if changes.is_empty() {
            file
        } else {
            let text = changed(&file.text, changes)?;
            JobFile::of(format!("{} with changes", file.path), text, settings)
        };
        match (file.job.is_some(), file.findings.len()) {
            (_, 0) => {}
            // `check` shows them in full; here they would bury the requested output.
            (true, 1) => output::note(&format!("1 warning in `{}`: `trueup check` shows it", path.display())),
            (true, n) => output::note(&format!("{n} warnings in `{}`: `trueup check` shows them", path.display())),
            (false, _) => output::note_styled(&file.render()),
        }
        return file.job.ok_or_else(|| user_error(format!("`{}` has mistakes", path.display())));
    }
    let near = crate::spec::diagnostic::did_you_mean(name, known.iter().map(String::as_str));
    let hint =
        near.map_or_else(|| format!("known jobs: {}", known.join(", ")), |near| format!("did you mean `{near}`?"));
    let unread = match unread.as_slice() {
        [] => String::new(),
        files => format!("; no name could be read from {}", files.join(", ")),
    };
    Err(user_error(format!("there is no job `{name}` in `{}`; {hint}{unread}", global.jobs.display())))
}

/// Returns the name that a file declares, even if the rest of it has mistakes.
fn declared_name(file: &JobFile) -> Option<String> {
    if let Some(job) = &file.job {
        return Some(job.name.clone());
    }
    let table: toml::Table = file.text.parse().ok()?;
    Some(table.get("job")?.get("name")?.as_str()?.to_owned())
}

/// Returns a job file with some keys of its rules replaced.
fn changed(text: &str, changes: &[String]) -> Result<String> {
    let mut table: toml::Table =
        text.parse().map_err(|error| user_error(format!("the job is not valid TOML: {error}")))?;
    for change in changes {
        let parsed = change.split_once('=').and_then(|(place, value)| Some((place.split_once('.')?, value)));
        let Some(((rule, key), value)) = parsed else {
            return Err(user_error(format!(
                "`--set {change}` is not a change; write `RULE.KEY=VALUE`, such as `rmse-high.above=300`"
            )));
        };
        let rules = table.get_mut("alerts").and_then(toml::Value::as_array_mut);
        let named = |one: &&mut toml::Value| one.get("name").and_then(toml::Value::as_str) == Some(rule);
        let Some(found) = rules.and_then(|rules| rules.iter_mut().find(named)).and_then(toml::Value::as_table_mut)
        else {
            return Err(user_error(format!("`--set {change}`: the job has no rule `{rule}`")));
        };
        if value.is_empty() {
            found.remove(key);
            continue;
        }
        // A word that is not a TOML value is taken as text. A limit may be written without a decimal point.
        let literal =
            format!("value = {value}").parse::<toml::Table>().ok().and_then(|mut table| table.remove("value"));
        let value = match literal.unwrap_or_else(|| toml::Value::String(value.to_owned())) {
            toml::Value::Integer(n) if matches!(found.get(key), Some(toml::Value::Float(_))) => {
                n.to_string().parse().map_or(toml::Value::Integer(n), toml::Value::Float)
            }
            other => other,
        };
        found.insert(key.to_owned(), value);
    }
    Ok(table.to_string())
}
