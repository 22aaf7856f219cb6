//! Rules: conditions on metrics of windows, how long they must hold, and who is told.

use crate::domain::severity::Severity;
use crate::domain::target::Target;
use crate::metric::name::MetricName;
use std::fmt::Write as _;

use chrono::TimeDelta;

use crate::domain::duration;
use crate::plan::baseline::{Baseline, Kind};

/// The built-in rule about keys that are not unique, labels that disagree and expressions that fail.
pub const CONTRADICTIONS: &str = "contradictions";

/// A validated rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    pub name: String,
    /// Name of a window of the job.
    pub window: String,
    pub when: When,
    pub fires: Persistence,
    pub clears: Clearing,
    pub min_samples: i64,
    pub min_coverage: f64,
    /// Whether a breach counts only if the confidence bound is beyond the limit too.
    pub significant: bool,
    pub on_final_only: bool,
    pub cohorts: CohortChoice,
    pub versions: VersionChoice,
    pub severity: Severity,
    pub notify: Vec<String>,
    pub runbook: Option<String>,
    pub owner: Option<String>,
    /// Whether it is about the data that other rules need: while it fires, they tell nobody.
    pub built_in: bool,
}

/// What a rule asks of a window.
#[derive(Debug, Clone, PartialEq)]
pub enum When {
    Test(Test),
    /// All of them in breach.
    All(Vec<Test>),
    /// One of them in breach.
    Any(Vec<Test>),
}

/// One comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct Test {
    pub metric: MetricName,
    /// Name of a window of the job; where it is not the rule's, the newest that had ended by then is meant.
    pub window: String,
    pub limits: Limits,
    /// What the metric is made of, where the job itself says so: another definition is another rule.
    pub definition: String,
}

/// What a value is compared with.
#[derive(Debug, Clone, PartialEq)]
pub enum Limits {
    Fixed(Condition),
    Relative { above: Option<Excess>, below: Option<Excess>, baseline: Baseline },
}

/// How far from a baseline a value must be: every distance that is given must be exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Excess {
    /// Share of the baseline's size: 0.2 for 20 %.
    pub share: Option<f64>,
    /// In the unit of the metric.
    pub absolute: Option<f64>,
    /// In median absolute deviations of the past windows.
    pub deviations: Option<f64>,
}

/// How many windows must be in breach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persistence {
    /// So many in a row, at least 1.
    Windows(u32),
    /// `needed` of the last `last`.
    Of { needed: u32, last: u32 },
    /// All windows that ended within so much time before the newest, and so much time must have passed.
    Lasting(TimeDelta),
}

/// When a firing alert resolves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Clearing {
    /// The value must be below this to be calm.
    pub below: Option<f64>,
    /// The value must be above this to be calm.
    pub above: Option<f64>,
    /// How many calm windows in a row, or for how long.
    pub persistence: Persistence,
}

/// When a value is in breach. NaN never is: it is no value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Condition {
    Above(f64),
    Below(f64),
    /// Outside of `[low, high]`.
    Outside {
        low: f64,
        high: f64,
    },
}

/// Which cohorts are judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CohortChoice {
    All,
    Each,
    /// The one cohort with this label.
    Label(String),
}

/// Whether versions are judged together or apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionChoice {
    Together,
    Each,
}

impl Condition {
    /// The limit a value is beyond, or would be first.
    pub fn limit_for(self, value: f64) -> f64 {
        match self {
            Self::Above(limit) | Self::Below(limit) => limit,
            Self::Outside { low, high } if value < low || (value - low).abs() < (high - value).abs() => low,
            Self::Outside { high, .. } => high,
        }
    }

    /// Whether a value is beyond it. One that is equal is not, and NaN is not.
    pub fn is_breached_by(self, value: f64) -> bool {
        match self {
            Self::Above(high) => value > high,
            Self::Below(low) => value < low,
            Self::Outside { low, high } => value < low || value > high,
        }
    }

    /// In words: `above 250`.
    pub fn describe(self) -> String {
        match self {
            Self::Above(limit) => format!("above {limit}"),
            // The smallest number above zero has three hundred digits.
            Self::Below(limit) if limit == f64::MIN_POSITIVE => "zero".to_owned(),
            Self::Below(limit) => format!("below {limit}"),
            Self::Outside { low, high } => format!("below {low} or above {high}"),
        }
    }
}

impl Excess {
    /// In words: `20 % and 30`.
    fn describe(self) -> String {
        let parts = [
            self.share.map(|share| format!("{} %", (share * 1e6).round() / 1e4)),
            self.absolute.map(|absolute| absolute.to_string()),
            self.deviations.map(|deviations| format!("{deviations} median absolute deviations")),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" and ")
    }
}

impl Limits {
    /// In words: `above 250`, `20 % above the median of the last 30 windows`.
    pub fn describe(&self) -> String {
        match self {
            Self::Fixed(condition) => condition.describe(),
            Self::Relative { above, below, baseline } => {
                let sides = [(above, "above"), (below, "below")];
                let sides: Vec<String> = sides
                    .into_iter()
                    .filter_map(|(excess, side)| Some(format!("{} {side}", excess.as_ref()?.describe())))
                    .collect();
                format!("{} {}", sides.join(" or "), baseline.describe())
            }
        }
    }
}

impl When {
    /// The comparisons, in the order written.
    pub fn tests(&self) -> &[Test] {
        match self {
            Self::Test(test) => std::slice::from_ref(test),
            Self::All(tests) | Self::Any(tests) => tests,
        }
    }
}

impl Persistence {
    /// The most windows that are looked at.
    pub fn most_windows(self) -> i64 {
        match self {
            Self::Windows(n) => i64::from(n),
            Self::Of { last, .. } => i64::from(last),
            Self::Lasting(_) => MOST_LASTING,
        }
    }

    /// In words, after a condition; empty where one window is enough.
    pub fn describe(self) -> String {
        match self {
            Self::Windows(1) => String::new(),
            Self::Windows(n) => format!("for {n} windows in a row"),
            Self::Of { needed, last } => format!("in {needed} of the last {last} windows"),
            Self::Lasting(time) => format!("for {}", duration::format(time)),
        }
    }
}

/// Windows that a duration is looked for in, at most.
const MOST_LASTING: i64 = 2_000;

impl Test {
    /// A comparison of a metric that the job does not define itself.
    pub fn new(metric: MetricName, window: &str, limits: Limits) -> Self {
        Self { metric, window: window.to_owned(), limits, definition: String::new() }
    }
}

impl Clearing {
    /// At the first window that is ok.
    pub const AT_ONCE: Self = Self { below: None, above: None, persistence: Persistence::Windows(1) };
}

impl Rule {
    /// A rule of which nothing is said but what it compares: the defaults of a job file.
    pub fn new(name: &str, window: &str, when: When) -> Self {
        Self {
            name: name.to_owned(),
            window: window.to_owned(),
            when,
            fires: Persistence::Windows(1),
            clears: Clearing::AT_ONCE,
            min_samples: 1,
            min_coverage: 0.0,
            significant: false,
            on_final_only: false,
            cohorts: CohortChoice::All,
            versions: VersionChoice::Together,
            severity: Severity::Ticket,
            notify: vec![],
            runbook: None,
            owner: None,
            built_in: false,
        }
    }

    /// The metric that is shown for it: the first that it compares.
    pub fn metric(&self) -> &MetricName {
        let first = self.when.tests().first();
        first.map_or(&MetricName::Predictions, |test| &test.metric)
    }

    /// Whether what it says would mean nothing if labels were missing.
    pub fn needs_labels(&self) -> bool {
        !self.built_in && self.when.tests().iter().any(|test| test.metric.needs_labels())
    }

    /// What it asks, in words that follow the name of its metric: `above 250`.
    pub fn condition(&self) -> String {
        let (tests, word) = match &self.when {
            When::Test(test) => return test.limits.describe(),
            When::All(tests) => (tests, "and"),
            When::Any(tests) => (tests, "or"),
        };
        let mut text = String::new();
        for (place, test) in tests.iter().enumerate() {
            // The first metric is said before.
            let subject = if place == 0 { String::new() } else { format!(" {word} {} ", test.metric.name()) };
            let window = if test.window == self.window { String::new() } else { format!(" in {}", test.window) };
            let _infallible = write!(text, "{subject}{}{window}", test.limits.describe());
        }
        text
    }

    /// Whether the rule judges a cohort and version, should there be any predictions of it.
    pub fn covers(&self, cohort: &str, model_version: Option<&str>) -> bool {
        let chosen = match &self.cohorts {
            CohortChoice::All => cohort == "all",
            CohortChoice::Each => cohort != "all",
            CohortChoice::Label(label) => cohort == label,
        };
        chosen && model_version.is_some() == (self.versions == VersionChoice::Each)
    }

    /// Whether a target is the version that the rule compares others with.
    pub fn compares_with_itself(&self, target: &Target) -> bool {
        let Some(version) = &target.model_version else { return false };
        self.when.tests().iter().any(|test| match &test.limits {
            Limits::Relative { baseline, .. } => matches!(&baseline.kind, Kind::Version(other) if other == version),
            Limits::Fixed(_) => false,
        })
    }

    /// Identifies what the rule means. Verdicts of another meaning do not count towards its state.
    pub fn fingerprint(&self) -> String {
        use sha2::{Digest, Sha256};
        let meaning = format!(
            "{:?} {} {:?} {:?} {} {} {} {} {:?} {:?}",
            self.when,
            self.window,
            self.fires,
            self.clears,
            self.min_samples,
            self.min_coverage,
            self.significant,
            self.on_final_only,
            self.cohorts,
            self.versions
        );
        Sha256::digest(meaning.as_bytes()).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}
