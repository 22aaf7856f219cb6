//! Description of a job for people, stored with every publication, so that pages and reports need no job file.

use serde::{Deserialize, Serialize};

/// A job as its pages describe it. Fields are only ever added; a row written by an older version lacks the later ones.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct About {
    pub description: Option<String>,
    pub owner: Option<String>,
    pub runbook: Option<String>,
    /// Unit of the target.
    pub unit: Option<String>,
    /// Time zone of calendar windows, as an IANA name.
    pub timezone: String,
    /// Usual time between two runs, in seconds.
    pub interval_seconds: i64,
    /// Time until a window is final, in seconds.
    pub label_wait_seconds: i64,
    /// Time for which residuals are kept, in seconds. 0: the job keeps none.
    pub residuals_keep_seconds: i64,
    pub dimensions: Vec<String>,
    /// Dimensions whose values appear only in SQL.
    pub hidden: Vec<String>,
    /// The job declares model versions.
    pub has_versions: bool,
    /// Kind of prediction: `regression`, `binary`, `multiclass`. Empty means numbers.
    pub task: String,
    /// Labels stand in for the true outcome.
    pub proxy: bool,
    pub windows: Vec<AboutWindow>,
    pub metrics: Vec<AboutMetric>,
    pub rules: Vec<AboutRule>,
    pub slos: Vec<AboutSlo>,
    /// Comparisons of groups.
    pub gaps: Vec<AboutGap>,
}

/// A kind of window.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AboutWindow {
    pub name: String,
    /// Nominal length in seconds: 24 hours for a day, 31 days for a month.
    pub seconds: i64,
    pub is_rolling: bool,
}

/// A metric of the job.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AboutMetric {
    pub name: String,
    /// Unit of its values, with a leading space; empty if there is none.
    pub unit: String,
    /// Direction of improvement.
    pub better: AboutBetter,
    /// A share, shown in percent.
    pub is_ratio: bool,
}

/// Direction in which a metric improves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AboutBetter {
    Lower,
    Higher,
    Zero,
    #[default]
    Neither,
}

/// A comparison of groups, which is a metric.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AboutGap {
    pub metric: String,
    /// The dimension whose values are the groups.
    pub by: String,
    /// Groups with fewer predictions in a window are left out.
    pub min_group: i64,
}

/// A rule, in words.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AboutRule {
    pub name: String,
    pub metric: String,
    pub window: String,
    /// Such as `above 250`.
    pub condition: String,
    /// Such as `for 3 windows in a row`; empty if one is enough.
    pub lasting: String,
    pub severity: String,
    pub owner: Option<String>,
    pub runbook: Option<String>,
    pub min_samples: i64,
    pub min_coverage: f64,
    pub built_in: bool,
}

/// An objective.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AboutSlo {
    pub name: String,
    /// Share that should be good.
    pub objective: f64,
    pub period_seconds: i64,
    /// Good events, in words.
    pub good: String,
    /// Metric that is the share of good predictions. `None`: it counts windows.
    pub metric: Option<String>,
    pub burns: Vec<AboutBurn>,
    pub owner: Option<String>,
    pub runbook: Option<String>,
}

/// A burn rate that fires an alert.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AboutBurn {
    /// Name of its alert.
    pub alert: String,
    pub long_seconds: i64,
    pub short_seconds: i64,
    pub factor: f64,
    pub severity: String,
}

impl About {
    /// Returns a metric by name.
    pub fn metric(&self, name: &str) -> Option<&AboutMetric> {
        self.metrics.iter().find(|metric| metric.name == name)
    }

    /// The metric that pages show first, by what is predicted; else the first one that the job keeps.
    pub fn headline(&self) -> Option<&AboutMetric> {
        let first: &[&str] = match self.task.as_str() {
            "binary" => &["auc", "log_loss", "brier", "recall", "precision"],
            "multiclass" => &["accuracy", "macro_f1"],
            _ => &["rmse", "mse", "mae"],
        };
        first.iter().find_map(|name| self.metric(name)).or(self.metrics.first())
    }

    /// True if one of two classes is predicted, with a score.
    pub fn is_binary(&self) -> bool {
        self.task == "binary"
    }

    /// True if one of several classes is predicted: then there are no errors, only right and wrong.
    pub fn is_multiclass(&self) -> bool {
        self.task == "multiclass"
    }

    /// True if classes are predicted, not numbers.
    pub fn has_classes(&self) -> bool {
        self.is_binary() || self.is_multiclass()
    }

    /// The window that pages show first: that of the first rule of the highest severity, else the first one.
    pub fn main_window(&self) -> Option<&AboutWindow> {
        let named = |name: &str| self.windows.iter().find(|window| window.name == name);
        let rules = || self.rules.iter().filter(|rule| !rule.built_in);
        let worst = ["page", "ticket", "info"]
            .iter()
            .find_map(|severity| rules().find(|rule| rule.severity == *severity && named(&rule.window).is_some()));
        worst.and_then(|rule| named(&rule.window)).or(self.windows.first())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headline(task: &str, kept: &[&str]) -> String {
        let metrics = kept.iter().map(|name| AboutMetric { name: (*name).to_owned(), ..AboutMetric::default() });
        let about = About { task: task.to_owned(), metrics: metrics.collect(), ..About::default() };
        about.headline().map(|metric| metric.name.clone()).unwrap_or_default()
    }

    #[test]
    fn the_first_metric_is_one_of_the_task() {
        assert_eq!(headline("", &["bias", "mse", "rmse"]), "rmse");
        assert_eq!(headline("regression", &["bias", "mae"]), "mae");
        assert_eq!(headline("binary", &["recall", "brier", "auc"]), "auc");
        assert_eq!(headline("binary", &["precision", "recall", "brier"]), "brier");
        assert_eq!(headline("multiclass", &["log_loss", "macro_f1", "accuracy"]), "accuracy");
        assert_eq!(headline("multiclass", &["macro_recall"]), "macro_recall");
        assert_eq!(headline("binary", &[]), "");
    }
}
