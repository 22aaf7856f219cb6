//! The parts of a job file that are about two classes: `[model]`, metrics and rules.

use std::fmt::Write as _;

use super::literal::quoted;
use crate::plan::propose::class::Reason;
use crate::plan::propose::score::{Binary, Target};

/// Share of the usual advantage over chance that a window keeps within the limit.
const KEPT: f64 = 0.8;
/// An AUC below this, in the past, is too near to chance for a limit.
const BETTER_THAN_CHANCE: f64 = 0.55;
/// Coverage that the built-in rule expects by default, and the share of the usual coverage that `init` asks for instead.
const COVERAGE: (f64, f64) = (0.9, 0.95);

/// Returns `[model]`, or a hint for labels of 0 and 1 whose predictions are no probabilities.
pub(super) fn section(target: &Target, value: &str) -> String {
    let binary = match target {
        Target::Number => return String::new(),
        Target::Unscored => {
            return format!(
                "\n# All labels are 0 or 1, but `{value}` is not within 0 and 1, so both are measured as numbers. If it is a score of\n\
                 # two classes, measure its order instead, with metrics such as `auc`, `precision` and `recall`:\n\
                 # [model]\n# task = \"binary\"\n# scores = \"any\"\n# threshold = 0.5                     # a score at or above it is a positive decision\n"
            );
        }
        Target::Binary(binary) => binary,
    };
    let mut text = "\n[model]\ntask = \"binary\"                       # one of two classes\n".to_owned();
    let two = &binary.classes;
    let share = 100.0 * two.rate();
    let _infallible = match two.reason {
        Reason::Usual => writeln!(
            text,
            "# positive = {}                      # the default; {share:.1} % of the labels",
            written(&two.positive)
        ),
        Reason::Truth | Reason::Rarer | Reason::Greater | Reason::Higher => writeln!(
            text,
            "positive = {}                    # {share:.1} % of the labels\nnegative = {}                    # any other label is excluded and counted",
            written(&two.positive),
            written(&two.negative)
        ),
    };
    let (threshold, is_usual) = binary.scores.threshold();
    let why = if is_usual { "" } else { ": as many as labels are positive" };
    let _infallible = writeln!(
        text,
        "threshold = {threshold:?}                     # a score at or above it is a positive decision{why}"
    );
    if !binary.scores.are_probabilities() {
        let _infallible = writeln!(
            text,
            "scores = \"any\"                        # `{value}` is no probability: only its order counts"
        );
    }
    text.push_str("# cost = { false_positive = 1.0, false_negative = 20.0 }   # adds the metric `cost`\n");
    text
}

/// A class as TOML: truth values and whole numbers as such.
fn written(class: &str) -> String {
    match class.parse::<i64>() {
        Ok(number) if number.to_string() == class => class.to_owned(),
        _ if ["true", "false"].contains(&class) => class.to_owned(),
        _ => quoted(class),
    }
}

/// Returns metrics that fit.
pub(super) fn metrics(binary: &Binary) -> &'static str {
    match binary.scores.are_probabilities() {
        true => {
            "include = [\"auc\", \"log_loss\", \"brier\", \"ece\", \"precision\", \"recall\", \"base_rate\", \"positive_rate\", \"score_mean\"]\n"
        }
        false => {
            "include = [\"auc\", \"accuracy\", \"precision\", \"recall\", \"f1\", \"base_rate\", \"positive_rate\"]\n"
        }
    }
}

/// Appends a rule about the AUC, and what the built-in rule about missing labels expects.
pub(super) fn rules(text: &mut String, binary: &Binary, is_late: bool, severity: &str) {
    let (window, ..) = binary.history.window();
    let _infallible =
        writeln!(text, "\n[[alerts]]\nname = \"auc-low\"\nmetric = \"auc\"\nwindow = \"rolling {window}\"");
    let _infallible = match binary.usual_auc.filter(|(usual, _)| *usual >= BETTER_THAN_CHANCE) {
        Some((usual, windows)) => writeln!(
            text,
            "below = {:?}                       # {:.0} % of the usual advantage over 0.5: 5th percentile {usual:.3} of {windows} windows",
            ((0.5 + KEPT * (usual - 0.5)) * 1_000.0).floor() / 1_000.0,
            100.0 * KEPT
        ),
        None => writeln!(
            text,
            "below_baseline = \"5%\"                # below the median of earlier windows; `trueup suggest` proposes limits later"
        ),
    };
    let _infallible = writeln!(
        text,
        "min_samples = {}                  # with fewer labels, about 10 of the rarer class, the verdict is `insufficient`",
        binary.history.enough()
    );
    if is_late {
        text.push_str("on_final_only = true                # labels that arrive early are rarely a fair sample\n");
    }
    let _infallible = writeln!(text, "severity = \"{severity}\"");
    match binary.history.coverage {
        Some(usual) if usual * COVERAGE.1 < COVERAGE.0 => {
            let least = ((usual * COVERAGE.1 * 100.0).floor() / 100.0).max(0.01);
            let _infallible = writeln!(
                text,
                "\n[builtin]\ncoverage = {least:?}                     # `coverage-low` fires below it; usually {:.0} % of predictions have a label",
                100.0 * usual
            );
        }
        _ => text.push_str(
            "\n# [builtin] coverage = 0.9            # `coverage-low`, a built-in rule, fires if fewer predictions have a label\n",
        ),
    }
}
