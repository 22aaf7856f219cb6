//! A value that a rule judged, in words for readers who do not know the rule: of errors the metric, of labels how many arrived.

use super::words;
use crate::text::number::number;

/// A value with its limit.
#[derive(Debug, Clone, Copy, Default)]
pub struct Judged<'a> {
    pub metric: &'a str,
    pub value: Option<f64>,
    pub limit: Option<f64>,
    /// With a leading space; empty if there is none.
    pub unit: &'a str,
    /// Predictions of the window; 0 if they are not known.
    pub predictions: i64,
}

/// Metrics about predictions and labels, of which errors say nothing.
const ABOUT_DATA: [&str; 10] = [
    "received",
    "coverage",
    "label_coverage",
    "label_arrival_rate",
    "label_latency_p50",
    "label_latency_p95",
    "predictions",
    "labeled",
    "duplicates",
    "ambiguous",
];

/// Those that are shares.
const SHARES: [&str; 4] = ["received", "coverage", "label_coverage", "label_arrival_rate"];

/// True if a metric is about predictions and labels, not about errors.
pub fn is_about_data(metric: &str) -> bool {
    ABOUT_DATA.contains(&metric)
}

impl Judged<'_> {
    /// The value and its limit: `95 of 96 labels arrived (98.96 %, limit 99 %)`, `rmse 533.1 MW, limit 450.0 MW`.
    pub fn words(&self) -> String {
        let Some(value) = self.value else { return format!("{} has no value", self.metric) };
        let shown = self.amount(value);
        let limit = self.limit.map_or(String::new(), |limit| format!(", limit {}", self.amount(limit)));
        let counted = counted(value, self.predictions);
        match (self.metric, counted) {
            ("received", Some((count, all))) => format!("{count} of {all} labels arrived ({shown}{limit})"),
            ("coverage" | "label_coverage", Some((count, all))) => {
                format!("{count} of {all} predictions have a label ({shown}{limit})")
            }
            ("received", None) => format!("{shown} of the labels arrived{limit}"),
            ("coverage" | "label_coverage", None) => format!("{shown} of the predictions have a label{limit}"),
            ("label_arrival_rate", _) => format!("{shown} of the labels that are due arrived{limit}"),
            (metric, _) => format!("{metric} {shown}{limit}"),
        }
    }

    /// A number of the metric: a share in percent to two decimals, so that it is never rounded up to its limit.
    pub fn amount(&self, value: f64) -> String {
        match self.metric {
            share if SHARES.contains(&share) => format!("{} %", words::plain(value * 100.0)),
            "predictions" | "labeled" | "duplicates" | "ambiguous" => words::plain(value),
            _ => format!("{}{}", number(value), self.unit),
        }
    }
}

/// The number of predictions that a share is of, if the share is that of a whole number.
fn counted(share: f64, predictions: i64) -> Option<(String, String)> {
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    let exact = share * predictions as f64;
    let is_whole = predictions > 0 && (exact - exact.round()).abs() < 1e-6 && exact >= 0.0;
    #[expect(clippy::cast_possible_truncation, reason = "at most the number of predictions")]
    is_whole.then(|| (words::count(exact.round() as i64), words::count(predictions)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words_of(metric: &str, value: f64, limit: f64, predictions: i64) -> String {
        Judged { metric, value: Some(value), limit: Some(limit), unit: " MW", predictions }.words()
    }

    #[test]
    fn labels_are_counted_and_errors_are_measured() {
        assert_eq!(words_of("received", 95.0 / 96.0, 0.99, 96), "95 of 96 labels arrived (98.96 %, limit 99 %)");
        assert_eq!(words_of("coverage", 0.5, 0.9, 8), "4 of 8 predictions have a label (50 %, limit 90 %)");
        assert_eq!(
            words_of("label_arrival_rate", 0.97, 0.99, 8),
            "97 % of the labels that are due arrived, limit 99 %"
        );
        assert_eq!(words_of("received", 0.123, 0.9, 8), "12.3 % of the labels arrived, limit 90 %");
        assert_eq!(words_of("predictions", 0.0, 1.0, 0), "predictions 0, limit 1");
        assert_eq!(words_of("rmse", 533.06, 450.0, 24), "rmse 533.1 MW, limit 450.0 MW");
        assert_eq!(Judged { metric: "rmse", ..Judged::default() }.words(), "rmse has no value");
        assert!(is_about_data("received") && !is_about_data("rmse"));
    }
}
