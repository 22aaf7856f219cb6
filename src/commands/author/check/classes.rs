//! Warnings about classes: scores and labels that do not fit what the job says of them.

use chrono::TimeDelta;

use crate::domain::duration;
use crate::metric::task::{Scores, Task};
use crate::plan::PlannedJob;
use crate::spec::{Diagnostic, Document};
use crate::warehouse::inspect::ClassProfile;

/// Fewer positive labels in a window make its shares and areas jump.
const FEW: f64 = 30.0;
/// Fewer labels than this say nothing about what the others will be.
const ENOUGH: i64 = 20;

/// Warns about scores and labels that do not fit.
pub(super) fn unfit(job: &PlannedJob, document: &Document, profile: &ClassProfile) -> Vec<Diagnostic> {
    let found = match job.parameters.task {
        Task::Multiclass(_) => Vec::new(),
        Task::Regression => vec![classes_as_numbers(document, profile)],
        Task::Binary(_) => vec![
            unusable_scores(job, document, profile),
            unknown_classes(document, profile),
            idle_threshold(job, document, profile),
            few_positives(job, document, profile),
        ],
    };
    found.into_iter().flatten().collect()
}

fn classes_as_numbers(document: &Document, profile: &ClassProfile) -> Option<Diagnostic> {
    let only_classes = profile.labeled >= ENOUGH && profile.ones + profile.zeros == profile.labeled;
    let finding = Diagnostic::warning(
        "classes-as-numbers",
        document.locate("labels.value"),
        format!(
            "all of the newest {} labels are 0 or 1: mean squared error says little about classes",
            profile.labeled
        ),
    );
    let hint = "add `[model]` with `task = \"binary\"`, and measure `auc`, `log_loss` or `recall`";
    (only_classes && profile.ones > 0 && profile.zeros > 0).then(|| finding.hint(hint))
}

fn unusable_scores(job: &PlannedJob, document: &Document, profile: &ClassProfile) -> Option<Diagnostic> {
    let probabilities = job.parameters.task.binary().is_some_and(|binary| binary.scores == Scores::Probabilities);
    let (wrong, hint) = match probabilities {
        true => (
            "are NULL or no probabilities from 0 to 1",
            "use a column of probabilities, or set `scores = \"any\"` under [model]; such predictions are excluded and counted",
        ),
        false => ("are NULL or not finite", "such predictions are excluded and counted"),
    };
    let message = format!("{} of the newest {} scores {wrong}", profile.unusable, profile.predictions);
    let finding = Diagnostic::warning("unusable-scores", document.locate("predictions.value"), message);
    (profile.unusable > 0).then(|| finding.hint(hint))
}

fn unknown_classes(document: &Document, profile: &ClassProfile) -> Option<Diagnostic> {
    let message = format!(
        "{} of the newest {} labels are neither positive nor negative: {}",
        profile.unknown,
        profile.labeled,
        profile.examples.iter().map(|class| format!("`{class}`")).collect::<Vec<_>>().join(", ")
    );
    let at = if document.has("model.positive") { "model.positive" } else { "labels.value" };
    let finding = Diagnostic::warning("unknown-class", document.locate(at), message);
    let hint = "list them in `positive` or `negative` under [model]; such pairs are excluded and counted";
    (profile.unknown > 0).then(|| finding.hint(hint))
}

fn idle_threshold(job: &PlannedJob, document: &Document, profile: &ClassProfile) -> Option<Diagnostic> {
    let threshold = job.parameters.task.binary()?.threshold()?;
    let usable = profile.predictions - profile.unusable;
    let all = if profile.reached == 0 { "below" } else { "at or above" };
    let message =
        format!("all of the newest {usable} scores are {all} the threshold {threshold}: every decision is the same");
    let at = if document.has("model.threshold") { "model.threshold" } else { "predictions.value" };
    let finding = Diagnostic::warning("idle-threshold", document.locate(at), message);
    let hint = "set `threshold` under [model] to the score from which on you act";
    (usable >= ENOUGH && (profile.reached == 0 || profile.reached == usable)).then(|| finding.hint(hint))
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
fn few_positives(job: &PlannedJob, document: &Document, profile: &ClassProfile) -> Option<Diagnostic> {
    let labeled = profile.ones + profile.zeros;
    let shortest = job.windows.all.iter().min_by_key(|window| window.nominal())?;
    if labeled < ENOUGH || profile.seconds <= 0.0 {
        return None;
    }
    let rate = profile.ones as f64 / labeled as f64;
    let length = shortest.nominal().num_seconds() as f64;
    let positives = rate * profile.predictions as f64 * length / profile.seconds;
    let message = format!(
        "the window `{}` holds about {positives:.0} positive labels ({:.2} % of its labels): its recall, auc and calibration will jump",
        shortest.name,
        100.0 * rate
    );
    let finding = Diagnostic::warning("few-positives", document.locate("windows"), message);
    let needed = FEW / positives.max(1e-9) * length;
    #[expect(clippy::cast_possible_truncation, reason = "a few years in days")]
    let days = (needed / 86_400.0).ceil().clamp(1.0, 3_650.0) as i64;
    let hint = format!(
        "windows of {} or longer hold {FEW}; give rules `min_samples`",
        duration::format(TimeDelta::days(days))
    );
    (positives < FEW).then(|| finding.hint(hint))
}
