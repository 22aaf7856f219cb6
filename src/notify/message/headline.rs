//! The subject of a message and the sentence below it, which are all that a phone shows: job, value, cohorts and start.

use chrono::{DateTime, Utc};

use super::{AlertFacts, Notice, Section};
use crate::text::line::single_line;
use crate::text::number::{amount, percent};
use crate::text::time::minute;

/// Most rules that a subject names after the worst one.
const MOST_RULES: usize = 2;

impl Notice {
    /// One line: job, value and cohorts. The tag is the severity of a firing notification, and the state of any other.
    pub fn headline(&self) -> String {
        let sections: Vec<&Section> = match self.kind.as_str() {
            "firing" => self.rules.iter().filter(|section| section.is_firing()).collect(),
            _ => self.rules.iter().collect(),
        };
        let (tag, job) = (self.tag(), &self.job.name);
        let Some((worst, others)) = sections.split_first() else { return single_line(&format!("[{tag}] {job}")) };
        let named: Vec<String> = others.iter().take(MOST_RULES).map(|section| section.counted()).collect();
        let also = match others.len() - named.len() {
            0 if named.is_empty() => String::new(),
            0 => format!("; also {}", named.join(" and ")),
            1 => format!("; also {} and 1 more rule", named.join(", ")),
            more => format!("; also {} and {more} more rules", named.join(", ")),
        };
        single_line(&format!("[{tag}] {job}{}{also}", worst.target()))
    }

    fn tag(&self) -> String {
        match self.kind.as_str() {
            _ if self.digest => "DIGEST".to_owned(),
            "resolved" if self.alerts().all(|(_, alert)| alert.closed.is_some()) => "CLOSED".to_owned(),
            "firing" => self.severity().to_uppercase(),
            other => other.to_uppercase(),
        }
    }

    /// The sentences below the headline: reason for sending, condition, and since when. May be empty.
    pub(super) fn lead(&self) -> String {
        let about = match self.rules.as_slice() {
            [] => None,
            [only] if only.is_operation() => Some(only.summary()),
            [only] => Some(format!("{}: {}", only.rule.name, only.summary())),
            several => count_of_rules(several),
        };
        // A reason that changes nothing for the reader comes last: a phone shows only the beginning.
        let parts = match self.reason.as_str() {
            "new_alerts" | "some_resolved" => [about, self.why()],
            _ => [self.why(), about],
        };
        single_line(&parts.into_iter().flatten().collect::<Vec<String>>().join(" "))
    }

    /// Explains why the notification was sent, unless the headline makes it plain.
    fn why(&self) -> Option<String> {
        let reason = match self.reason.as_str() {
            "repeat" => Some("Still firing.".to_owned()),
            "escalated" => Some("Not acknowledged in time.".to_owned()),
            "new_alerts" => Some("More alerts of this job are firing.".to_owned()),
            "some_resolved" => Some("Some alerts have resolved; others are still firing.".to_owned()),
            _ => None,
        };
        let parts: Vec<String> = [reason, self.note.clone()].into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    }
}

/// `2 rules are firing, the first since 2024-05-02 05:45 UTC.` `None` if none fires.
fn count_of_rules(sections: &[Section]) -> Option<String> {
    let firing = sections.iter().filter(|section| section.is_firing());
    let since = firing.clone().filter_map(Section::since).min();
    let since = since.map_or(String::new(), |at| format!(", the first since {}", minute(at)));
    match firing.count() {
        0 => None,
        1 => Some(format!("1 rule is firing{}.", since.replace(", the first", ""))),
        several => Some(format!("{several} rules are firing{since}.")),
    }
}

impl Section {
    /// Value and cohorts for a headline: `: rmse 412.3 MW for region=north and 6 more of 40 cohorts`.
    fn target(&self) -> String {
        let of_interest = self.of_interest();
        let Some(worst) = of_interest.first() else { return String::new() };
        if let Some(note) = worst.operation_note() {
            return format!("/{}: {note}", self.rule.name);
        }
        let others = match self.size() {
            1 => String::new(),
            size => format!(" and {} more{}", size - 1, self.out_of(size - 1)),
        };
        format!(": {} {} for {}{others}", self.rule.metric, amount(worst.value, &worst.unit), worst.target())
    }

    /// `rmse-high`, or `rmse-high for 7 of 40 cohorts`.
    fn counted(&self) -> String {
        if self.alerts.len() < 2 { self.rule.name.clone() } else { format!("{} for {}", self.rule.name, self.count()) }
    }

    /// `7 of 40 cohorts`.
    fn count(&self) -> String {
        let size = self.size();
        format!("{size}{}", self.out_of(size))
    }

    /// ` of 40 cohorts`, or the noun alone, for `counted` of them, if all that were judged are in the message.
    fn out_of(&self, counted: usize) -> String {
        let noun = if self.of_interest().iter().all(|alert| alert.cohort == "all") { "version" } else { "cohort" };
        match self.rule.judged.filter(|judged| *judged > self.size()) {
            Some(judged) => format!(" of {judged} {noun}s"),
            None if counted == 1 => format!(" {noun}"),
            None => format!(" {noun}s"),
        }
    }

    /// Number of firing alerts, or of all if none fires; those that were left out of the message are counted too.
    fn size(&self) -> usize {
        self.of_interest().len() + if self.is_firing() { self.omitted } else { 0 }
    }

    /// The firing alerts, or all if none fires, worst first.
    fn of_interest(&self) -> Vec<&AlertFacts> {
        self.alerts.iter().filter(|alert| alert.is_firing() == self.is_firing()).collect()
    }

    /// End of the first window of the oldest breach that still lasts.
    fn since(&self) -> Option<DateTime<Utc>> {
        self.alerts.iter().filter(|alert| alert.is_firing()).filter_map(|alert| alert.since).min()
    }

    /// True for an alert about the job's runs, source or deliveries.
    pub(super) fn is_operation(&self) -> bool {
        self.alerts.first().is_some_and(|alert| alert.operation_note().is_some())
    }

    /// The sentence above the numbers.
    pub(super) fn summary(&self) -> String {
        let (rule, firing) = (&self.rule, self.is_firing());
        let closed = self.alerts.iter().find_map(|alert| alert.closed.as_deref()).filter(|_| !firing);
        if let Some(why) = closed {
            let subject = format!("{} of {}", rule.metric, rule.window);
            return format!("{subject} is no longer evaluated: {why}. Recovery was not observed.");
        }
        if self.is_operation() {
            let since = self.since().map_or(String::new(), |at| format!("Firing since {}. ", minute(at)));
            return format!("{since}{}", about_operations(&rule.name, firing));
        }
        if !firing {
            return format!("{} of {} is no longer {}.", rule.metric, rule.window, rule.condition);
        }
        self.breach()
    }

    /// Condition, cohorts and start of a breach that lasts.
    fn breach(&self) -> String {
        let rule = &self.rule;
        let is = if self.since().is_some() { "has been" } else { "is" };
        let subject = format!("{} of {} {is} {}", rule.metric, rule.window, rule.condition);
        let is_first_of_several = self.of_interest().iter().any(|alert| alert.since != self.since());
        let since = self.since().map(|at| match is_first_of_several {
            true => format!("the first since {}", minute(at)),
            false => format!("since {}", minute(at)),
        });
        let lasting = Some(&rule.lasting).filter(|words| !words.is_empty());
        if self.size() == 1 {
            let lasting = lasting.map_or(String::new(), |words| format!(" {words}"));
            let comma = if lasting.is_empty() { "" } else { "," };
            let since = since.map_or(String::new(), |since| format!("{comma} {since}"));
            return format!("{subject}{lasting}{since}.");
        }
        let comma = if is_first_of_several { "," } else { "" };
        let since = since.map_or(String::new(), |since| format!("{comma} {since}"));
        let lasting = lasting.map_or(String::new(), |words| format!(", each {words}"));
        let share = self.joint_share().map_or(String::new(), |share| format!(" They cause {share}."));
        format!("{subject} for {}{since}{lasting}.{share}", self.count())
    }

    /// `62 % of the total squared error`, where every firing alert knows its share and they do not overlap.
    fn joint_share(&self) -> Option<String> {
        let firing = || self.alerts.iter().filter(|alert| alert.is_firing());
        let shares: Option<Vec<f64>> = firing().map(|alert| alert.squared_error_share).collect();
        // Cohorts of different declarations overlap, and so do versions and their total.
        let dimensions = |cohort: &str| -> Vec<String> {
            cohort.split(", ").map(|part| part.split('=').next().unwrap_or_default().to_owned()).collect()
        };
        let first = firing().next().map(|alert| (dimensions(&alert.cohort), alert.model_version.clone()));
        let alike = firing().all(|alert| Some((dimensions(&alert.cohort), alert.model_version.clone())) == first);
        let shares = shares.filter(|_| alike && self.omitted == 0)?;
        Some(format!("{} of the total squared error", percent(shares.iter().sum())))
    }
}

/// Consequence of a built-in alert about the job's runs, source or deliveries, or of its end.
fn about_operations(rule: &str, firing: bool) -> &'static str {
    match (rule, firing) {
        ("source-shrank", true) => "History keeps the numbers that were measured while the source had the data.",
        ("source-shrank", false) => "The source has all data that history was measured from.",
        ("delivery-failed", true) => "Receivers may miss alerts of this job.",
        ("delivery-failed", false) => "Notifications about this job are delivered again.",
        (_, true) => "Metrics are stale until a run succeeds; no other rule of this job can fire.",
        (_, false) => "Runs of this job publish again.",
    }
}
