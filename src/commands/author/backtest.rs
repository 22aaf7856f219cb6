//! `backtest`: replays today's rules on the history.

use std::collections::BTreeSet;
use std::ops::Range;
use std::process::ExitCode;

use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};

use crate::alerting;
use crate::chart::{self, Point, Series, Span};
use crate::cli::{BacktestArgs, BacktestKnowledge, Global, Output};
use crate::commands::output::{self, Table, progress};
use crate::commands::shared::{database, jobs};
use crate::commands::user_error;
use crate::domain::duration;
use crate::domain::target::Target;
use crate::domain::verdict::Verdict;
use crate::domain::window::{Slice, Window};
use crate::evaluate::replay::{self, AsOf, Firing, Overlap, Replay};
use crate::plan::PlannedJob;
use crate::plan::rule::Rule;
use crate::store::history::replay as store;

pub(in crate::commands) async fn run(global: &Global, args: &BacktestArgs) -> Result<ExitCode> {
    if args.from.zip(args.to).is_some_and(|(from, to)| from >= to) {
        return Err(user_error("`--from` must be before `--to`"));
    }
    let settings = jobs::settings(global)?;
    let job = jobs::find_changed(global, &settings, &args.job, &args.set)?;
    let rules: Vec<&Rule> = job.rules.iter().filter(|rule| !rule.built_in || args.builtin).collect();
    if rules.is_empty() {
        return Err(user_error(format!(
            "`{}` has no rules of its own; `trueup suggest {}` proposes some",
            job.name, job.name
        )));
    }
    let database = database::database(global, &settings).await?;
    let mut connection = database.pool.acquire().await?;
    // Use only the stored range: elsewhere there is nothing to draw, and the rate of alerts would look too low.
    let windows: BTreeSet<&str> = rules.iter().map(|rule| rule.window.as_str()).collect();
    let mut stored: Option<Range<DateTime<Utc>>> = None;
    for window in windows {
        if let Some((oldest, newest)) = store::span(&mut connection, &job.name, window).await? {
            let known = stored.unwrap_or(oldest..newest);
            stored = Some(known.start.min(oldest)..known.end.max(newest));
        }
    }
    let Some(stored) = stored else {
        return Err(user_error(format!(
            "no windows of the rules of `{}` are stored; `trueup backfill` computes them",
            job.name
        )));
    };
    let stored = stored.start..stored.end + TimeDelta::seconds(1);
    let asked = args.from.unwrap_or(stored.start)..args.to.unwrap_or(stored.end);
    let within = asked.start < stored.end && asked.end > stored.start;
    let range = if within { asked.start.max(stored.start)..asked.end.min(stored.end) } else { asked.clone() };
    if range != asked {
        let day = |at: DateTime<Utc>| at.format("%Y-%m-%d %H:%M");
        output::note(&format!(
            "stored windows range from {} to {}; only these are replayed",
            day(range.start),
            day(stored.end - TimeDelta::seconds(1))
        ));
    }
    let spinner = progress::spinner("reading the history");
    let history = alerting::replay::load(&mut connection, &job, &rules, &range).await?;
    let incidents: Vec<Slice> = history
        .incidents
        .iter()
        .copied()
        .filter(|incident| incident.start < range.end && incident.end > range.start)
        .collect();
    spinner.say("replaying the rules");
    let knowledge = match args.as_of {
        BacktestKnowledge::Then => AsOf::EventTime,
        BacktestKnowledge::Now => AsOf::Latest,
    };
    let replays: Vec<(&Rule, Replay)> =
        rules.iter().map(|rule| (*rule, replay::replay(rule, &job.windows, &history, &range, knowledge))).collect();
    spinner.finish();
    if replays.iter().all(|(_, replay)| replay.events.is_empty()) {
        output::note("no window of these rules is stored in that range; `trueup backfill` computes them");
        return Ok(ExitCode::SUCCESS);
    }
    output::print_table(&summary(&job, &replays, &incidents, &range), global.output)?;
    if global.output == Output::Table {
        for (rule, replay) in &replays {
            show(&job, rule, replay, &range)?;
        }
        if !job.slos.is_empty() {
            output::note("note: burn rates of objectives are not replayed");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns one row per rule: how often it would have fired, and how well that matches the incidents.
fn summary(job: &PlannedJob, replays: &[(&Rule, Replay)], incidents: &[Slice], range: &Range<DateTime<Utc>>) -> Table {
    let mut table = Table::new(&[
        "rule",
        "severity",
        "verdicts",
        "breach",
        "undecided",
        "fired",
        "per_week",
        "median",
        "longest",
        "precision",
        "recall",
    ]);
    for (rule, replay) in replays {
        let count = |wanted: &[Verdict]| {
            i64::try_from(replay.events.iter().filter(|event| wanted.contains(&event.judgement.verdict)).count())
                .unwrap_or(i64::MAX)
        };
        let mut lasted: Vec<TimeDelta> =
            replay.firings.iter().map(|firing| firing.until.unwrap_or(range.end) - firing.from).collect();
        lasted.sort();
        let length = length_of(job, rule);
        let overlap = Overlap::of(&replay.firings, incidents, length, range.end);
        table.push(vec![
            rule.name.clone().into(),
            rule.severity.as_str().into(),
            i64::try_from(replay.events.len()).unwrap_or(i64::MAX).into(),
            count(&[Verdict::Breach]).into(),
            count(&[Verdict::Insufficient, Verdict::NoData, Verdict::Error]).into(),
            i64::try_from(replay.firings.len()).unwrap_or(i64::MAX).into(),
            per_week(&replay.firings, range).into(),
            lasted.get(lasted.len() / 2).map(|time| rounded(*time)).into(),
            lasted.last().map(|time| rounded(*time)).into(),
            share(overlap.right, if overlap.incidents > 0 { overlap.firings } else { 0 }).into(),
            share(overlap.found, overlap.incidents).into(),
        ]);
    }
    table
}

fn length_of(job: &PlannedJob, rule: &Rule) -> TimeDelta {
    let window = job.windows.all.iter().find(|window| window.name == rule.window);
    window.map_or(TimeDelta::zero(), Window::longest)
}

/// Returns `None` if `whole` is zero: without incidents there is nothing to be right or wrong about.
#[expect(clippy::cast_precision_loss, reason = "a few alerts")]
fn share(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[expect(clippy::cast_precision_loss, reason = "a few alerts in a few years")]
pub(in crate::commands) fn per_week(firings: &[Firing], range: &Range<DateTime<Utc>>) -> f64 {
    let weeks = (range.end - range.start).num_seconds().max(1) as f64 / (7.0 * 86_400.0);
    firings.len() as f64 / weeks
}

/// Formats whole hours, or whole days above three; minutes below an hour.
fn rounded(time: TimeDelta) -> String {
    if time > TimeDelta::days(3) {
        format!("{}d", (time + TimeDelta::hours(12)).num_days())
    } else if time >= TimeDelta::hours(1) {
        format!("{}h", (time + TimeDelta::minutes(30)).num_hours())
    } else {
        duration::format(TimeDelta::minutes(time.num_minutes().max(1)))
    }
}

/// Maximum firings listed for each rule.
const MOST_LISTED: usize = 12;

/// Prints the firings of a rule, and a chart of the target that fired most.
fn show(job: &PlannedJob, rule: &Rule, replay: &Replay, range: &Range<DateTime<Utc>>) -> Result<()> {
    let unit = job
        .metrics
        .iter()
        .find(|metric| metric.name() == rule.metric().name())
        .map_or(String::new(), |metric| metric.unit().of(job.unit.as_deref()));
    output::print("")?;
    output::print(&format!(
        "{}: {} of {} {}{unit} {}",
        rule.name,
        rule.metric().name(),
        rule.window,
        rule.condition(),
        rule.fires.describe()
    ))?;
    for firing in replay.firings.iter().take(MOST_LISTED) {
        let until =
            firing.until.map_or("still firing".to_owned(), |until| format!("for {}", rounded(until - firing.from)));
        let version =
            firing.target.model_version.as_ref().map_or(String::new(), |version| format!(", version {version}"));
        output::print(&format!(
            "  {}  {until:<14} {}{version}",
            firing.from.format("%Y-%m-%d %H:%M"),
            firing.target.cohort
        ))?;
    }
    if replay.firings.len() > MOST_LISTED {
        output::print(&format!("  and {} more", replay.firings.len() - MOST_LISTED))?;
    }
    let most = |target: &Target| replay.firings.iter().filter(|firing| firing.target == *target).count();
    let mut targets: Vec<&Target> = replay.events.iter().map(|event| &event.target).collect();
    targets.sort_by_key(|target| (std::cmp::Reverse(most(target)), *target));
    let Some(target) = targets.first() else { return Ok(()) };
    output::print_lines(&chart::text::series(&series(replay, target, range)))
}

/// The series of one target, with the verdicts and firings of the replay.
fn series(replay: &Replay, target: &Target, range: &Range<DateTime<Utc>>) -> Series {
    let events = replay.events.iter().filter(|event| event.target == *target);
    let firings = replay.firings.iter().filter(|firing| firing.target == *target);
    Series {
        points: events.map(point).collect(),
        range: range.clone(),
        firings: firings.map(|firing| Span { from: firing.from, until: firing.until.unwrap_or(range.end) }).collect(),
        ..Series::default()
    }
}

fn point(event: &replay::Event) -> Point {
    Point {
        start: event.slice.start,
        end: event.slice.end,
        value: event.judgement.value,
        limit: event.judgement.limit,
        baseline: event.judgement.baseline,
        verdict: Some(event.judgement.verdict),
        ..Point::default()
    }
}
