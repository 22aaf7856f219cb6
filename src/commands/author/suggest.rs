//! `suggest`: limits that would have paged no more often than wanted.

use std::collections::HashMap;
use std::ops::Range;
use std::process::ExitCode;

use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};

use super::backtest::per_week;
use crate::alerting;
use crate::cli::{Global, Output, SuggestArgs};
use crate::commands::output::{self, Cell, Table, progress};
use crate::commands::shared::{database, jobs};
use crate::commands::user_error;
use crate::domain::window::Window;
use crate::evaluate::history::History;
use crate::evaluate::replay::{self, AsOf, Firing};
use crate::metric::name::MetricName;
use crate::metric::{Better, JobMetric};
use crate::plan::PlannedJob;
use crate::plan::baseline::{Baseline, Kind};
use crate::plan::rule::{Clearing, Condition, Excess, Limits, Rule, Test, When};
use crate::store::history::replay as store;

/// Pages per week that a rule may send, for `suggest`.
const TARGETS: [f64; 4] = [0.1, 0.25, 0.5, 1.0];
/// Fewer measurements show no weekly or monthly pattern.
const FEW: usize = 30;

pub(in crate::commands) async fn run(global: &Global, args: &SuggestArgs) -> Result<ExitCode> {
    let settings = jobs::settings(global)?;
    let job = jobs::find(global, &settings, &args.job)?;
    let first = job.rules.iter().find(|rule| !rule.built_in);
    let metric = args.metric.clone().or_else(|| first.map(|rule| rule.metric().name().to_owned()));
    let metric = metric.unwrap_or_else(|| "rmse".to_owned());
    let Some(metric) = job.metrics.iter().find(|known| known.name() == metric) else {
        return Err(user_error(format!("`{}` has no metric `{metric}`", job.name)));
    };
    let name = args.window.clone().or_else(|| first.map(|rule| rule.window.clone()));
    let window = match &name {
        Some(name) => job.windows.all.iter().find(|window| window.name == *name),
        None => job.windows.all.first(),
    };
    let Some(window) = window else {
        return Err(user_error(format!("`{}` has no window `{}`", job.name, name.unwrap_or_default())));
    };
    let database = database::database(global, &settings).await?;
    let mut connection = database.pool.acquire().await?;
    let Some((oldest, newest)) = store::span(&mut connection, &job.name, &window.name).await? else {
        return Err(user_error(format!(
            "no {} window of `{}` is stored; `trueup backfill` computes them",
            window.name, job.name
        )));
    };
    let range = args.from.unwrap_or(oldest)..args.to.unwrap_or(newest + TimeDelta::seconds(1));
    let frame = Frame { job: &job, metric, window, range: &range, first };
    let kinds = [
        ("fixed", None),
        ("rolling", Some(Baseline { kind: Kind::Rolling(30), min: 7, exclude: vec![] })),
        ("seasonal", Some(Baseline { kind: Kind::Seasonal(4), min: 3, exclude: vec![] })),
    ];
    let spinner = progress::spinner("reading the history");
    let probes: Vec<Rule> = kinds
        .iter()
        .filter(|(_, baseline)| frame.can(baseline.as_ref()))
        .map(|(_, baseline)| frame.rule(baseline.as_ref(), 0.0))
        .collect();
    let history = alerting::replay::load(&mut connection, &job, &probes.iter().collect::<Vec<_>>(), &range).await?;
    let values = frame.values(&history);
    if values.is_empty() {
        spinner.finish();
        return Err(user_error(format!(
            "no stored {} window of `{}` has a {} that can be judged: `trueup history {}` shows the stored values, and \
             `trueup backfill` computes more of the past",
            window.name,
            job.name,
            metric.name(),
            job.name
        )));
    }
    let mut table =
        Table::new(&["pages_per_week", "baseline", "setting", "would_have_fired", "per_week", "share_of_time"]);
    for (name, baseline) in kinds.iter().filter(|(_, baseline)| frame.can(baseline.as_ref())) {
        let mut tried = Tried::new();
        for target in TARGETS {
            spinner.say(&format!("trying {name} limits for {target} pages a week"));
            let found = frame.find(&history, (baseline.as_ref(), &values), target, &mut tried);
            let Some((limit, firings)) = found else { continue };
            let setting = match baseline {
                None => format!("{} = {limit}", frame.side()),
                Some(_) => format!("{}_baseline = \"{:.0}%\"", frame.side(), limit * 100.0),
            };
            table.push(vec![
                Cell::from(format!("at most {target}")),
                (*name).into(),
                setting.into(),
                i64::try_from(firings.len()).unwrap_or(i64::MAX).into(),
                per_week(&firings, &range).into(),
                firing_share(&firings, &range).into(),
            ]);
        }
    }
    spinner.finish();
    output::print_table(&table, global.output)?;
    if global.output == Output::Table {
        if values.len() < FEW {
            output::note(&format!(
                "warning: these limits rest on only {} measurements; `trueup backfill` computes more of the past",
                values.len()
            ));
        }
        let guards = first.map_or(String::new(), |rule| format!(" The other settings are those of `{}`.", rule.name));
        output::note(&format!(
            "limits of {} of {} that would have paged this often from {} to {}, based on the latest values of {} \
             measurements.{guards} Try one with `trueup backtest {} --set RULE.{}=...`",
            metric.name(),
            window.name,
            range.start.format("%Y-%m-%d"),
            range.end.format("%Y-%m-%d"),
            values.len(),
            job.name,
            frame.side()
        ));
    }
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::cast_precision_loss, reason = "seconds of a few years")]
fn firing_share(firings: &[Firing], range: &Range<DateTime<Utc>>) -> f64 {
    let firing: i64 = firings.iter().map(|one| (one.until.unwrap_or(range.end) - one.from).num_seconds()).sum();
    firing as f64 / (range.end - range.start).num_seconds().max(1) as f64
}

/// Context of a search for limits.
struct Frame<'a> {
    job: &'a PlannedJob,
    metric: &'a JobMetric,
    window: &'a Window,
    range: &'a Range<DateTime<Utc>>,
    /// The rule that supplies the other settings.
    first: Option<&'a Rule>,
}

impl Frame<'_> {
    fn can(&self, baseline: Option<&Baseline>) -> bool {
        !matches!(baseline, Some(Baseline { kind: Kind::Seasonal(_), .. }))
            || self.window.longest() <= TimeDelta::days(7)
    }

    /// True if low values are the bad ones.
    fn is_floor(&self) -> bool {
        self.metric.better() == Better::Higher
    }

    /// The key of the limit in a rule.
    fn side(&self) -> &'static str {
        if self.is_floor() { "below" } else { "above" }
    }

    fn rule(&self, baseline: Option<&Baseline>, limit: f64) -> Rule {
        let excess = Some(Excess { share: Some(limit), ..Excess::default() });
        let limits = match (baseline, self.is_floor()) {
            (None, false) => Limits::Fixed(Condition::Above(limit)),
            (None, true) => Limits::Fixed(Condition::Below(limit)),
            (Some(baseline), false) => Limits::Relative { above: excess, below: None, baseline: baseline.clone() },
            (Some(baseline), true) => Limits::Relative { above: None, below: excess, baseline: baseline.clone() },
        };
        let when = When::Test(Test::new(MetricName::of(self.metric), &self.window.name, limits));
        let Some(first) = self.first else { return Rule::new("suggested", &self.window.name, when) };
        // Without an interval nothing would ever be significant.
        let has_interval = self.metric.has_interval();
        Rule {
            when,
            window: self.window.name.clone(),
            clears: Clearing::AT_ONCE,
            significant: first.significant && has_interval,
            ..first.clone()
        }
    }

    /// Replays a limit. Results are kept: a search for another frequency tries many of the same limits.
    fn firings(&self, history: &History, baseline: Option<&Baseline>, limit: f64, tried: &mut Tried) -> Vec<Firing> {
        let firings = || {
            replay::replay(&self.rule(baseline, limit), &self.job.windows, history, self.range, AsOf::Latest).firings
        };
        tried.entry(limit.to_bits()).or_insert_with(firings).clone()
    }

    /// Finds, by bisection, the tightest limit that pages at most `most` times a week, to a few digits.
    fn find(
        &self,
        history: &History,
        (baseline, values): (Option<&Baseline>, &[f64]),
        most: f64,
        tried: &mut Tried,
    ) -> Option<(f64, Vec<Firing>)> {
        // A limit that is always exceeded also gives few alerts, so search only on the bad side of the usual value.
        let (mut tight, mut loose) = match (baseline, self.is_floor()) {
            (None, false) => (median(values.to_vec())?, values.iter().copied().fold(f64::MIN, f64::max)),
            (None, true) => (median(values.to_vec())?, values.iter().copied().fold(f64::MAX, f64::min)),
            (Some(_), false) => (0.0, 8.0),
            (Some(_), true) => (0.0, 1.0),
        };
        let mut best = None;
        for _ in 0..10 {
            let limit = self.few_digits(f64::midpoint(tight, loose), baseline.is_some());
            let firings = self.firings(history, baseline, limit, tried);
            if per_week(&firings, self.range) <= most {
                loose = limit;
                best = Some((limit, firings));
            } else {
                tight = limit;
            }
        }
        best
    }

    /// Returns the values that are judged.
    fn values(&self, history: &History) -> Vec<f64> {
        let open = self.rule(None, if self.is_floor() { f64::NEG_INFINITY } else { f64::INFINITY });
        let replay = replay::replay(&open, &self.job.windows, history, self.range, AsOf::Latest);
        let decided = replay.events.iter().filter(|event| event.judgement.verdict.is_decided());
        decided.filter_map(|event| event.judgement.value).collect()
    }

    /// Rounds to whole percents or three digits, to the looser side: users write no more into a job file.
    fn few_digits(&self, value: f64, is_share: bool) -> f64 {
        if self.is_floor() && !is_share { -few_digits(-value, false) } else { few_digits(value, is_share) }
    }
}

/// Firings by limit.
type Tried = HashMap<u64, Vec<Firing>>;

/// Rounds shares up to whole percents and values up to three digits.
fn few_digits(value: f64, is_share: bool) -> f64 {
    if is_share || value == 0.0 {
        return (value * 100.0).ceil() / 100.0;
    }
    let scale = 10_f64.powf(2.0 - value.abs().log10().floor());
    (value * scale).ceil() / scale
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
