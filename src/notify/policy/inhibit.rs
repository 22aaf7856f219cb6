//! Decides whether a firing alert is notified or suppressed, and why a notification is sent. Pure.

use crate::notify::message::{AlertFacts, rank};
use crate::notify::policy::matcher::Labels;

/// Built-in rules that make others untrustworthy while they fire; an earlier one suppresses a later one.
const PIPELINE: [&str; 2] = ["labels-stopped", "coverage-low"];

/// The part of a firing alert that inhibition depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate<'a> {
    pub labels: Labels<'a>,
    pub metric: &'a str,
    pub model_version: Option<&'a str>,
    /// True if the alert is meaningless while labels are missing.
    pub needs_labels: bool,
}

/// Decision about a firing alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    Notify,
    Suppress(SuppressedBy),
}

/// Cause of a suppression. Its description continues the stored reason of the transition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SuppressedBy {
    /// Suppressed by a silence, maintenance or an annotation, with the reason given.
    Muted(String),
    /// A built-in rule reports that the labels it needs are missing.
    Untrustworthy { rule: String },
    /// A more severe alert covers it.
    MoreSevere { severity: String, rule: String },
    /// The alert of the total that it is part of fires.
    PartOfAll { rule: String },
}

impl SuppressedBy {
    /// In words: `while labels-stopped fires`.
    pub fn describe(&self) -> String {
        match self {
            Self::Muted(why) => why.clone(),
            Self::Untrustworthy { rule } => format!("while {rule} fires"),
            Self::MoreSevere { severity, rule } => format!("while the {severity} {rule} fires"),
            Self::PartOfAll { rule } => format!("while {rule} fires for all"),
        }
    }
}

/// Decides about one alert. `others` fire and are not muted: a muted alert suppresses no other.
pub fn decide<'a>(
    one: &Candidate<'_>,
    muted: Option<String>,
    mut others: impl Iterator<Item = Candidate<'a>>,
) -> Decision {
    let suppressed = muted.map(SuppressedBy::Muted).or_else(|| others.find_map(|other| other.inhibits(one)));
    suppressed.map_or(Decision::Notify, Decision::Suppress)
}

impl Candidate<'_> {
    /// True if it may suppress alerts of other metrics.
    pub fn is_about_the_pipeline(&self) -> bool {
        self.pipeline_rank().is_some()
    }

    fn pipeline_rank(&self) -> Option<usize> {
        PIPELINE.iter().position(|name| *name == self.labels.rule)
    }

    /// Returns why this alert suppresses another while it fires.
    fn inhibits(&self, other: &Candidate<'_>) -> Option<SuppressedBy> {
        let rule = self.labels.rule.to_owned();
        if let Some(mine) = self.pipeline_rank() {
            let about_labels = other.needs_labels || other.pipeline_rank().is_some();
            let above = other.pipeline_rank().is_none_or(|theirs| mine < theirs);
            return (about_labels && above).then_some(SuppressedBy::Untrustworthy { rule });
        }
        // Only a pipeline rule suppresses a pipeline rule: two alerts that inhibit each other would both be suppressed.
        if other.pipeline_rank().is_some() || self.metric != other.metric || self.model_version != other.model_version {
            return None;
        }
        let (mine, theirs) = (rank(self.labels.severity), rank(other.labels.severity));
        if self.labels.cohort == other.labels.cohort {
            return (mine < theirs)
                .then(|| SuppressedBy::MoreSevere { severity: self.labels.severity.to_owned(), rule });
        }
        // The notification of the total shows the worst of its parts.
        (self.labels.cohort == "all" && mine <= theirs).then_some(SuppressedBy::PartOfAll { rule })
    }
}

/// Returns the reason for a notification of these alerts. `given`: `repeat` or `escalated`, if it is one. `None` if there is
/// nothing to notify.
pub fn reason<'a>(given: Option<&'static str>, alerts: impl Iterator<Item = &'a AlertFacts>) -> Option<&'static str> {
    let (mut new, mut ongoing, mut ended) = (false, false, false);
    for alert in alerts {
        match alert.is_firing() {
            true if alert.is_new => new = true,
            true => ongoing = true,
            false => ended = true,
        }
    }
    match (new, ongoing, ended) {
        (false, true, false) => given,
        (true, _, _) if given == Some("escalated") => given,
        (true, false, false) => Some("first"),
        (true, _, _) => Some("new_alerts"),
        (false, true, true) => Some("some_resolved"),
        (false, false, true) => Some("all_resolved"),
        (false, false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(rule: &'static str, severity: &'static str, cohort: &'static str) -> Candidate<'static> {
        let labels = Labels { job: "load", rule, severity, owner: None, cohort };
        Candidate { labels, metric: "rmse", model_version: None, needs_labels: true }
    }

    fn told(one: Candidate<'static>, others: &[Candidate<'static>]) -> String {
        match decide(&one, None, others.iter().copied()) {
            Decision::Notify => "told".to_owned(),
            Decision::Suppress(suppressed) => suppressed.describe(),
        }
    }

    #[test]
    fn missing_labels_hold_back_what_needs_them() {
        let (stopped, low) = (candidate("labels-stopped", "ticket", "all"), candidate("coverage-low", "ticket", "all"));
        let page = candidate("rmse-high", "page", "all");
        assert_eq!(told(page, &[stopped]), "while labels-stopped fires");
        assert_eq!(told(low, &[stopped]), "while labels-stopped fires");
        assert_eq!(told(stopped, &[low]), "told", "the cause is notified");
        let about_predictions = Candidate { needs_labels: false, metric: "predictions", ..page };
        assert_eq!(told(about_predictions, &[stopped]), "told");
    }

    #[test]
    fn a_page_holds_back_the_ticket_that_says_the_same() {
        let (page, ticket) = (candidate("rmse-high", "page", "all"), candidate("rmse-drift", "ticket", "all"));
        assert_eq!(told(ticket, &[page]), "while the page rmse-high fires");
        assert_eq!(told(page, &[ticket]), "told");
        let compound = Candidate { metric: "coverage", ..page };
        let low = Candidate { metric: "coverage", ..candidate("coverage-low", "ticket", "all") };
        assert_eq!(told(low, &[compound]), "told", "if two alerts would inhibit each other, one is notified");
        assert_eq!(told(Candidate { metric: "bias", ..ticket }, &[page]), "told", "it says something else");
        assert_eq!(told(Candidate { model_version: Some("v2"), ..ticket }, &[page]), "told", "of something else");
        assert_eq!(
            told(candidate("rmse-also", "page", "all"), &[page]),
            "told",
            "one of two equals would hide the other"
        );
    }

    #[test]
    fn the_whole_holds_back_its_parts_and_not_the_other_way_round() {
        let (whole, part) = (candidate("rmse-high", "page", "all"), candidate("rmse-high", "page", "region=north"));
        assert_eq!(told(part, &[whole]), "while rmse-high fires for all");
        assert_eq!(told(whole, &[part]), "told");
        assert_eq!(told(part, &[candidate("rmse-drift", "ticket", "all")]), "told", "a ticket does not hide a page");
        assert_eq!(told(part, &[candidate("rmse-high", "page", "region=south")]), "told");
    }

    #[test]
    fn what_people_muted_is_quiet_in_their_words() {
        let why = "while silenced until noon".to_owned();
        let decided = decide(&candidate("r", "page", "all"), Some(why.clone()), std::iter::empty());
        assert_eq!(decided, Decision::Suppress(SuppressedBy::Muted(why)));
    }
}
