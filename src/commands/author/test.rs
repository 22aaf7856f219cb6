//! `test`: checks rules against fixtures. The rules are the job's own, evaluated by the same code as in a run.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};

use crate::alerting;
use crate::cli::Global;
use crate::commands::shared::folder;
use crate::commands::shared::jobs::{self, JobFile};
use crate::commands::{output, user_error};
use crate::domain::duration;
use crate::domain::target::Target;
use crate::domain::window::{Slice, Window, WindowKind};
use crate::evaluate::history::{History, Revision};
use crate::evaluate::replay::{self, AsOf, Event, Replay};
use crate::metric::interval::Interval;
use crate::metric::measurement::{Counts, Sample};
use crate::plan::PlannedJob;
use crate::plan::rule::Rule;
use crate::settings::Settings;
use crate::spec::Document;
use crate::spec::fixture::{ExpectSection, FiresSection, FixtureSpec, SeriesSection, TestSection, ValuesSpec};
use crate::text::number::number;

pub(in crate::commands) fn run(global: &Global, path: &Path) -> Result<ExitCode> {
    let settings = jobs::settings(global)?;
    let files = if path.is_file() { vec![path.to_owned()] } else { folder::list(path)?.fixtures };
    if files.is_empty() {
        return Err(user_error(format!("there is no `*.test.toml` in `{}`", path.display())));
    }
    let (mut passed, mut failed, mut unusable) = (0, 0, 0);
    for file in files {
        match run_file(&file, &settings) {
            Ok((ok, not)) => (passed, failed) = (passed + ok, failed + not),
            // A file that cannot be used does not stop the others from being tested.
            Err(error) => {
                unusable += 1;
                output::note(&format!("error: {error:#}"));
            }
        }
    }
    output::print(&format!("{passed} passed, {failed} failed"))?;
    if unusable > 0 {
        let files = if unusable == 1 { "1 test file has".to_owned() } else { format!("{unusable} test files have") };
        return Err(user_error(format!("{files} mistakes")));
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Runs the tests of one file. Returns how many passed and failed.
fn run_file(file: &Path, settings: &Settings) -> Result<(usize, usize)> {
    let (job, fixture) = load(file, settings)?;
    let (mut passed, mut failed) = (0, 0);
    for test in &fixture.tests {
        let findings = check(&job, test)
            .map_err(|mistake| user_error(format!("{}: test `{}`: {mistake}", file.display(), test.name)))?;
        if findings.is_empty() {
            passed += 1;
            output::print(&format!("ok      {}: {}", file.display(), test.name))?;
            continue;
        }
        failed += 1;
        output::print(&format!("FAILED  {}: {}", file.display(), test.name))?;
        for line in findings.iter().flat_map(|finding| finding.lines()) {
            output::print(&format!("        {line}"))?;
        }
    }
    Ok((passed, failed))
}

fn load(path: &Path, settings: &Settings) -> Result<(PlannedJob, FixtureSpec)> {
    let shown = path.display().to_string();
    let text = folder::read(path).map_err(|(_, _, why)| user_error(format!("could not read `{shown}`: {why}")))?;
    let read = Document::parse(&shown, &text).and_then(|document| document.read::<FixtureSpec>());
    let fixture = read.map_err(|findings| {
        output::note_styled(&jobs::render(&shown, &text, &findings));
        user_error(format!("`{shown}` has mistakes"))
    })?;
    let job = path.parent().unwrap_or(Path::new(".")).join(&fixture.job);
    let file = JobFile::load(&job, settings);
    if file.has_errors() {
        output::note_styled(&file.render());
    }
    let job = file.job.ok_or_else(|| user_error(format!("`{}` has mistakes", job.display())))?;
    Ok((job, fixture))
}

/// Returns the differences from the expected results. An error is a mistake of the test itself.
fn check(job: &PlannedJob, test: &TestSection) -> Result<Vec<String>, String> {
    let mut history = History::default();
    history.now = test.now.as_deref().map(time).transpose()?;
    for series in &test.series {
        push(job, series, &mut history)?;
    }
    for incident in &test.incidents {
        history.incidents.push(Slice { start: time(&incident.from)?, end: time(&incident.to)? });
    }
    if test.expect.is_empty() && test.fires.is_empty() && test.quiet.is_empty() {
        return Err("it expects nothing; add `expect`, `fires` or `quiet`".to_owned());
    }
    let mut replays: BTreeMap<&str, Replay> = BTreeMap::new();
    let range = DateTime::<Utc>::MIN_UTC..DateTime::<Utc>::MAX_UTC;
    let named = test.expect.iter().map(|e| &e.rule).chain(test.fires.iter().map(|f| &f.rule)).chain(&test.quiet);
    for name in named {
        let rule = find(job, name)?;
        replays.insert(name, replay::replay(rule, &job.windows, &history, &range, AsOf::Latest));
    }
    let mut findings = Vec::new();
    for expected in &test.expect {
        findings.extend(compare(job, expected, &replays[expected.rule.as_str()])?);
    }
    let mut firing_rules: Vec<&str> = test.fires.iter().map(|fires| fires.rule.as_str()).collect();
    firing_rules.extend(test.quiet.iter().map(String::as_str));
    firing_rules.sort_unstable();
    firing_rules.dedup();
    for rule in firing_rules {
        if replays[rule].events.is_empty() {
            findings.push(format!("{rule}: none of its windows is judged; add a series of its window and cohort"));
        }
        findings.extend(compare_firings(rule, &test.fires, &replays[rule])?);
    }
    Ok(findings)
}

fn find<'j>(job: &'j PlannedJob, name: &str) -> Result<&'j Rule, String> {
    let known = || job.rules.iter().map(|rule| rule.name.as_str());
    job.rules.iter().find(|rule| rule.name == *name).ok_or_else(|| {
        let near = crate::spec::diagnostic::did_you_mean(name, known());
        let hint = near.map_or_else(
            || format!("it has {}", known().collect::<Vec<_>>().join(", ")),
            |near| format!("did you mean `{near}`?"),
        );
        format!("the job has no rule `{name}`; {hint}")
    })
}

fn time(text: &str) -> Result<DateTime<Utc>, String> {
    DateTime::parse_from_rfc3339(text)
        .map(|time| time.with_timezone(&Utc))
        .map_err(|_| format!("`{text}` is not a time; write it with its offset, such as 2024-05-02T06:15:00Z"))
}

fn push(job: &PlannedJob, series: &SeriesSection, history: &mut History) -> Result<(), String> {
    let window = job.windows.all.iter().find(|window| window.name == series.window);
    let window = window.ok_or_else(|| format!("the job has no window `{}`", series.window))?;
    let every = series.every.as_deref().map(duration::parse).transpose()?;
    let columns: BTreeMap<&str, Vec<Option<f64>>> = series
        .values
        .iter()
        .map(|(name, values)| Ok((name.as_str(), numbers(values)?)))
        .collect::<Result<_, String>>()?;
    for name in columns.keys() {
        let plain = ["_ci_low", "_ci_high"].iter().find_map(|bound| name.strip_suffix(bound)).unwrap_or(name);
        let known = job.metrics.iter().any(|metric| metric.name() == plain);
        if !known && !["predictions", "labeled", "excluded"].contains(name) {
            return Err(format!("the job has no metric `{name}`"));
        }
    }
    let length = columns.values().map(Vec::len).max().unwrap_or(0);
    if let Some((name, values)) = columns.iter().find(|(_, values)| values.len() != length && values.len() != 1) {
        return Err(format!("`{name}` has {} values, but another list has {length}", values.len()));
    }
    let at = |name: &str, n: usize| {
        let values = columns.get(name)?;
        values.get(if values.len() == 1 { 0 } else { n }).copied().flatten()
    };
    let target = Target {
        cohort: series.cohort.clone().unwrap_or_else(|| "all".to_owned()),
        model_version: series.version.clone(),
    };
    let mut slice = first(job, window, time(&series.end)?)?;
    for n in 0..length {
        let metrics: BTreeMap<String, Option<f64>> = columns
            .keys()
            .filter(|name| job.metrics.iter().any(|metric| metric.name() == **name))
            .map(|name| ((*name).to_owned(), at(name, n)))
            .collect();
        // A window in which no metric has a value has no predictions.
        if metrics.is_empty() || metrics.values().any(Option::is_some) {
            #[expect(clippy::cast_possible_truncation, reason = "a count from a fixture")]
            let count = |name: &str, default: i64| at(name, n).map_or(default, |count| count as i64);
            let predictions = count("predictions", 100);
            let counts = Counts {
                predictions,
                labeled: count("labeled", predictions),
                excluded: count("excluded", 0),
                ..Counts::default()
            };
            let bound = |name: &String, bound: &str| at(&format!("{name}_ci_{bound}"), n);
            let interval = |name: &String| Some(Interval { low: bound(name, "low")?, high: bound(name, "high")? });
            let intervals = metrics.keys().filter_map(|name| Some((name.clone(), interval(name)?))).collect();
            let sample = Sample { counts, metrics, intervals, notes: BTreeMap::new() };
            history.push(
                &series.window,
                target.clone(),
                (slice, None),
                Revision { as_of: slice.end, sample: Arc::new(sample) },
            );
        }
        slice = next(job, window, slice, every)?;
    }
    Ok(())
}

fn first(job: &PlannedJob, window: &Window, end: DateTime<Utc>) -> Result<Slice, String> {
    match &window.kind {
        WindowKind::Rolling(length) => Ok(Slice { start: end - *length, end }),
        WindowKind::Tumbling(grain) => {
            let slice = grain.slice(end - TimeDelta::milliseconds(1), job.windows.zone);
            if slice.end == end {
                Ok(slice)
            } else {
                Err(format!(
                    "no {} window ends at {}; the next one ends at {}",
                    window.name,
                    end.to_rfc3339(),
                    slice.end.to_rfc3339()
                ))
            }
        }
    }
}

fn next(job: &PlannedJob, window: &Window, slice: Slice, every: Option<TimeDelta>) -> Result<Slice, String> {
    match (&window.kind, every) {
        (WindowKind::Rolling(_), Some(every)) => Ok(Slice { start: slice.start + every, end: slice.end + every }),
        (WindowKind::Rolling(_), None) => {
            Err(format!("`every` is missing: add the interval between windows of {}", window.name))
        }
        (WindowKind::Tumbling(grain), _) => Ok(grain.slice(slice.end, job.windows.zone)),
    }
}

/// Parses numbers, repeated numbers and gaps: `200x3 _ 250`.
fn numbers(values: &ValuesSpec) -> Result<Vec<Option<f64>>, String> {
    let text = match values {
        ValuesSpec::Number(number) => return Ok(vec![Some(*number)]),
        ValuesSpec::Text(text) => text,
    };
    let mut found = Vec::new();
    for word in text.split_whitespace() {
        let (value, times) = match word.split_once('x') {
            Some((value, times)) => (value, times.parse::<usize>().ok().filter(|times| *times <= 100_000)),
            None => (word, Some(1)),
        };
        let value = if value == "_" { Some(None) } else { value.parse().ok().map(Some) };
        match value.zip(times) {
            Some((value, times)) => found.extend(std::iter::repeat_n(value, times)),
            None => {
                return Err(format!("`{word}` is not a value; write numbers, `_` for a gap, `200x3` for three times"));
            }
        }
    }
    Ok(found)
}

fn compare(job: &PlannedJob, expected: &ExpectSection, replay: &Replay) -> Result<Option<String>, String> {
    let at = time(&expected.at)?;
    let target = Target {
        cohort: expected.cohort.clone().unwrap_or_else(|| "all".to_owned()),
        model_version: expected.version.clone(),
    };
    let place = format!("{} at {} for {}", expected.rule, expected.at, target.cohort);
    let Some(event) = replay.events.iter().find(|event| event.slice.end == at && event.target == target) else {
        let near: Vec<String> = replay
            .events
            .iter()
            .filter(|event| event.target == target)
            .map(|event| event.slice.end.to_rfc3339())
            .collect();
        let hint = match near.as_slice() {
            [] => "no window of this target is judged".to_owned(),
            [first, ..] => format!("judged windows end from {first} to {}", near.last().unwrap_or(first)),
        };
        return Ok(Some(format!("{place}: not judged; {hint}")));
    };
    let got = [
        ("verdict", expected.verdict.clone(), event.judgement.verdict.as_str().to_owned()),
        ("state", expected.state.clone(), event.state.as_str().to_owned()),
        ("baseline", expected.baseline.map(number), event.judgement.baseline.map_or("none".to_owned(), number)),
    ];
    let mut wrong: Vec<String> = got
        .into_iter()
        .filter_map(|(what, wanted, got)| Some((what, wanted?, got)))
        .filter(|(_, wanted, got)| wanted != got)
        .map(|(what, wanted, got)| format!("{what}: expected {wanted}, got {got}"))
        .collect();
    let reason = event.judgement.reason.describe();
    if let Some(words) = expected.reason.as_ref().filter(|words| !reason.contains(words.as_str())) {
        wrong.push(format!("reason: expected `{words}`"));
    }
    let text = message(job, &expected.rule, event)?;
    for words in expected.message.iter().filter(|words| !text.contains(words.as_str())) {
        wrong.push(format!("message: `{words}` is not in\n  {}", text.trim_end().replace('\n', "\n  ")));
    }
    if wrong.is_empty() {
        return Ok(None);
    }
    let value = event.judgement.value.map_or("none".to_owned(), number);
    let limit = event.judgement.limit.map_or("none".to_owned(), number);
    Ok(Some(format!("{place}: value {value}, limit {limit}, {reason}\n  {}", wrong.join("\n  "))))
}

fn message(job: &PlannedJob, rule: &str, event: &Event) -> Result<String, String> {
    Ok(alerting::rules::preview(job, find(job, rule)?, event))
}

fn compare_firings(rule: &str, expected: &[FiresSection], replay: &Replay) -> Result<Option<String>, String> {
    let line = |cohort: &str, version: Option<&str>, from: DateTime<Utc>, until: Option<DateTime<Utc>>| {
        let version = version.map_or(String::new(), |version| format!(", version {version}"));
        let until = until.map_or("the end".to_owned(), |until| until.to_rfc3339());
        format!("{} to {until} for {cohort}{version}", from.to_rfc3339())
    };
    let mut wanted = Vec::new();
    for fires in expected.iter().filter(|fires| fires.rule == *rule) {
        let cohort = fires.cohort.as_deref().unwrap_or("all");
        let until = fires.until.as_deref().map(time).transpose()?;
        wanted.push(line(cohort, fires.version.as_deref(), time(&fires.from)?, until));
    }
    let got: Vec<String> = replay
        .firings
        .iter()
        .map(|firing| line(&firing.target.cohort, firing.target.model_version.as_deref(), firing.from, firing.until))
        .collect();
    let missing = wanted.iter().filter(|line| !got.contains(line)).map(|line| format!("- {line}"));
    let extra = got.iter().filter(|line| !wanted.contains(line)).map(|line| format!("+ {line}"));
    let lines: Vec<String> = missing.chain(extra).collect();
    if lines.is_empty() {
        return Ok(None);
    }
    Ok(Some(format!("{rule}: expected (-) and actual (+) firing differ\n  {}", lines.join("\n  "))))
}
