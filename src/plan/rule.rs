//! Rules: conditions on metrics of windows, how long they must hold, and who is notified.

use std::fmt::Write as _;

use chrono::TimeDelta;

use crate::domain::duration;
use crate::domain::severity::Severity;
use crate::domain::target::Target;
use crate::metric::name::MetricName;
use crate::plan::baseline::{Baseline, Kind};

/// The built-in rule about duplicate keys, labels that disagree and expressions that fail.
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
    /// True if a breach counts only when the confidence bound is beyond the limit as well.
    pub significant: bool,
    pub on_final_only: bool,
    pub cohorts: CohortChoice,
    pub versions: VersionChoice,
    pub severity: Severity,
    pub notify: Vec<String>,
    pub runbook: Option<String>,
    pub owner: Option<String>,
    /// True if the rule checks data that other rules need: while it fires, they are suppressed.
    pub built_in: bool,
}

/// The condition of a rule on a window.
#[derive(Debug, Clone, PartialEq)]
pub enum When {
    Test(Test),
    /// All tests are in breach.
    All(Vec<Test>),
    /// At least one test is in breach.
    Any(Vec<Test>),
}

/// One comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct Test {
    pub metric: MetricName,
    /// Name of a window of the job; if it is not the rule's own, the newest one that had ended by then is used.
    pub window: String,
    pub limits: Limits,
    /// Definition of the metric, if the job defines it: a different definition is a different rule.
    pub definition: String,
}

/// The limits that a value is compared with.
#[derive(Debug, Clone, PartialEq)]
pub enum Limits {
    Fixed(Condition),
    Relative { above: Option<Excess>, below: Option<Excess>, baseline: Baseline },
}

/// Minimum distance from a baseline: every distance that is given must be exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Excess {
    /// Share of the baseline's size: 0.2 for 20 %.
    pub share: Option<f64>,
    /// In the unit of the metric.
    pub absolute: Option<f64>,
    /// In median absolute deviations of the past windows.
    pub deviations: Option<f64>,
}

/// The number of windows that must be in breach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persistence {
    /// This many in a row, at least 1.
    Windows(u32),
    /// `needed` of the last `last`.
    Of { needed: u32, last: u32 },
    /// Consecutive windows whose ends span at least this time.
    Lasting(TimeDelta),
}

/// When a firing alert resolves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Clearing {
    /// The value must be below this to count as recovered.
    pub below: Option<f64>,
    /// The value must be above this to count as recovered.
    pub above: Option<f64>,
    /// Number of recovered windows in a row, or the time that they must span.
    pub persistence: Persistence,
}

/// Condition for a breach. NaN is never in breach: it is not a value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Condition {
    Above(f64),
    Below(f64),
    /// Outside `[low, high]`.
    Outside {
        low: f64,
        high: f64,
    },
}

/// The cohorts that a rule judges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CohortChoice {
    All,
    Each,
    /// The one cohort with this label.
    Label(String),
}

/// How model versions are judged: together, or each by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionChoice {
    Together,
    Each,
}

impl Condition {
    /// The limit that a value breaches, or else the nearest one.
    pub fn limit_for(self, value: f64) -> f64 {
        match self {
            Self::Above(limit) | Self::Below(limit) => limit,
            Self::Outside { low, high } if value < low || (value - low).abs() < (high - value).abs() => low,
            Self::Outside { high, .. } => high,
        }
    }

    /// True if a value is beyond the limit. A value equal to the limit is not, and neither is NaN.
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
            // The smallest positive number would print with three hundred digits.
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
    /// Maximum number of windows that are checked.
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

/// Maximum number of windows that are checked for a duration.
const MOST_LASTING: i64 = 2_000;

impl Test {
    /// A comparison of a metric that the job does not define itself.
    pub fn new(metric: MetricName, window: &str, limits: Limits) -> Self {
        Self { metric, window: window.to_owned(), limits, definition: String::new() }
    }
}

impl Clearing {
    /// Resolves at the first window that is ok.
    pub const AT_ONCE: Self = Self { below: None, above: None, persistence: Persistence::Windows(1) };
}

impl Rule {
    /// A rule with the defaults of a job file for everything but its condition.
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

    /// The metric that is shown for the rule: the first that it compares.
    pub fn metric(&self) -> &MetricName {
        let first = self.when.tests().first();
        first.map_or(&MetricName::Predictions, |test| &test.metric)
    }

    /// True if the verdict is meaningless when labels are missing.
    pub fn needs_labels(&self) -> bool {
        !self.built_in && self.when.tests().iter().any(|test| test.metric.needs_labels())
    }

    /// The condition, in words that follow the name of its metric: `above 250`.
    pub fn condition(&self) -> String {
        let (tests, word) = match &self.when {
            When::Test(test) => return test.limits.describe(),
            When::All(tests) => (tests, "and"),
            When::Any(tests) => (tests, "or"),
        };
        let mut text = String::new();
        for (place, test) in tests.iter().enumerate() {
            // The caller has already printed the first metric.
            let subject = if place == 0 { String::new() } else { format!(" {word} {} ", test.metric.name()) };
            let window = if test.window == self.window { String::new() } else { format!(" in {}", test.window) };
            let _infallible = write!(text, "{subject}{}{window}", test.limits.describe());
        }
        text
    }

    /// True if the rule judges this cohort and version, provided there are predictions.
    pub fn covers(&self, cohort: &str, model_version: Option<&str>) -> bool {
        let chosen = match &self.cohorts {
            CohortChoice::All => cohort == "all",
            CohortChoice::Each => cohort != "all",
            CohortChoice::Label(label) => cohort == label,
        };
        chosen && model_version.is_some() == (self.versions == VersionChoice::Each)
    }

    /// True if a target is the version that the rule compares others with.
    pub fn compares_with_itself(&self, target: &Target) -> bool {
        let Some(version) = &target.model_version else { return false };
        self.when.tests().iter().any(|test| match &test.limits {
            Limits::Relative { baseline, .. } => matches!(&baseline.kind, Kind::Version(other) if other == version),
            Limits::Fixed(_) => false,
        })
    }

    /// Identifies the definition of the rule. Verdicts of another definition do not count towards its state.
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
