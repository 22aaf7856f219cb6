//! `explain --metrics`: the metric catalog as a page, which is also `docs/metrics.md`.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Result;

use crate::commands::output;
use crate::metric::task::{Binary, Decision, Scores, Task};
use crate::metric::{Metric, Requirement, catalogue, default_of};
use crate::spec::codes;

pub(in crate::commands) fn run() -> Result<ExitCode> {
    output::print_lines(page().trim_end())?;
    Ok(ExitCode::SUCCESS)
}

/// Prints every code that `check` knows, which is also `docs/errors.md`.
pub(in crate::commands) fn errors() -> Result<ExitCode> {
    output::print_lines(codes::page().trim_end())?;
    Ok(ExitCode::SUCCESS)
}

/// Prints every key, which is also `docs/reference.md`.
pub(in crate::commands) fn reference() -> Result<ExitCode> {
    output::print_lines(super::reference::page().trim_end())?;
    Ok(ExitCode::SUCCESS)
}

/// Returns the metric catalog in Markdown.
pub fn page() -> String {
    let mut page = format!(
        "# Metrics\n\n\
         Names for `[metrics] include`. `trueup explain --metrics` prints this page. By default a job keeps {}; with \
         `[model] task = \"binary\"` it keeps {}. The column *task* says which jobs can keep a metric; \
         [classes.md](classes.md) is about those of two classes.\n\n\
         `error` is predicted − actual, over the `labeled` pairs of a window: both sides finite and at most 1e70. Every \
         metric is computed from mergeable sums, so it is exact for any window, cohort and version; percentiles come from \
         a histogram with log-spaced bins (DDSketch). Variances are population variances, merged by Chan's formula. With two \
         classes, n is the number of pairs; tp, fp, fn and tn count them by decision and label; a score is the predicted \
         probability of the positive class. Ranking metrics come from histograms of scores, whose bins are at most 0.001 \
         wide.\n\n\
         | metric | task | meaning | unit | better | needs | interval |\n|---|---|---|---|---|---|---|\n",
        names(default_of(&Task::Regression)),
        names(default_of(&Task::Binary(PROBABILITIES)))
    );
    for metric in catalogue() {
        let _infallible = writeln!(
            page,
            "| `{}` | {} | {} | {} | {} | {} | {} |",
            metric.name,
            metric.task.describe(),
            metric.meaning.replace('|', "\\|"),
            metric.unit.describe(),
            metric.better.describe(),
            needs(metric),
            if metric.interval.is_some() { "95 %" } else { "" }
        );
    }
    page.push_str(INTERVALS);
    page
}

/// Two classes whose scores are probabilities.
const PROBABILITIES: Binary = Binary {
    decision: Decision::Threshold(0.5),
    scores: Scores::Probabilities,
    cost: None,
    thresholds: Vec::new(),
    top: 0.01,
};

fn names(metrics: &[&str]) -> String {
    metrics.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn needs(metric: &Metric) -> &'static str {
    match metric.needs {
        Requirement::Pairs => "",
        Requirement::Predictions => "no label",
        Requirement::Tolerance => "`metrics.tolerance`",
        Requirement::HuberDelta => "`metrics.huber_delta`",
        Requirement::Weight => "`metrics.weight`",
        Requirement::LabelArrival => "`labels.arrived_at`",
        Requirement::Cost => "`model.cost`",
        Requirement::Probabilities => "`model.probabilities`",
    }
}

const INTERVALS: &str = "
## Custom metrics

```toml
[[metrics.custom]]
name = \"imbalance_cost_eur\"
sum = \"abs(error) * 0.25 * price_eur\"   # predicted, actual, error and columns of the prediction row
per = \"1\"                               # default: one per pair
```

A custom metric is a ratio of two sums over pairs. A pair where either side is NULL, not finite or beyond 1e100 counts for
neither. Expressions of jobs with two classes also know `score`, `decision` (1 or 0) and `label` (1 or 0). With
`over = \"rows\"` the sums are over all predictions, labeled or not, and may not use the label.

## Intervals

All intervals are at 95 % and assume independent pairs.

- `mse`, `rmse`: χ² with degrees of freedom reduced by the kurtosis of the errors: k = (n + 2)·Σe⁴/(Σe²)², ν = 2n/(k − 1),
  from ν·mse/χ²(0.975; ν) to ν·mse/χ²(0.025; ν).
- `mae`, `bias`: Student's t of the mean of |error| and of error.
- shares: Wilson's score interval.
- `auc`, `gini`: DeLong's variance, on the log-odds of the area. None with fewer than twenty labels of either class.
- `log_loss`, `brier`, `cost`, `score_mean`: Student's t of a mean.

Share of intervals that contain the true value, in 10,000 simulated windows each (`tests/it/fixtures/intervals.py`):

| errors | pairs | mse, rmse | mae | bias |
|---|---|---|---|---|
| normal | 30 | 93.5 % | 94.2 % | 95.0 % |
| normal | 100 | 94.4 % | 95.1 % | 94.9 % |
| normal | 1,000 | 95.2 % | 95.1 % | 94.9 % |
| Laplace | 30 | 89.4 % | 92.7 % | 95.3 % |
| Laplace | 100 | 92.1 % | 94.0 % | 95.0 % |
| Laplace | 1,000 | 94.6 % | 94.8 % | 95.2 % |
| Student t, 5 degrees | 30 | 87.7 % | 92.3 % | 94.8 % |
| Student t, 5 degrees | 100 | 91.0 % | 94.3 % | 95.4 % |
| Student t, 5 degrees | 1,000 | 93.7 % | 95.2 % | 95.1 % |
| autocorrelated, 0.8 | 30 | 63.4 % | 66.1 % | 46.3 % |
| autocorrelated, 0.8 | 100 | 62.6 % | 65.5 % | 47.5 % |
| autocorrelated, 0.8 | 1,000 | 63.3 % | 65.1 % | 48.7 % |

With heavy tails, an interval of mse from few pairs is too narrow. With autocorrelated errors, such as those of neighbouring
quarter-hours, every interval is too narrow: a window of 96 such quarter-hours has little more information than one of ten.
";
