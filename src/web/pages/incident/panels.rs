//! The panels of an incident's page, each with the query behind it.

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::about::About;
use crate::domain::name::text_literal;
use crate::store::read::series::Selector;
use crate::text::links::Links;
use crate::web::params::Params;
use crate::web::selection;
use crate::web::view::firing::Firing;
use crate::web::view::panel::{Panel, equals, time_literal};
use crate::web::view::words;

/// The panels, in the order of the page.
pub struct Panels {
    pub chart: Panel,
    pub real: Panel,
    pub changed: Panel,
    pub whom: Panel,
    pub alerts: Panel,
    pub canary: Panel,
    pub shape: Panel,
    pub worst: Panel,
    pub decide: Panel,
    pub timeline: Panel,
    pub notified: Panel,
    pub query: Panel,
}

/// The incident that the queries are about.
pub struct Of<'a> {
    pub id: i64,
    pub job: &'a str,
    pub opened_at: DateTime<Utc>,
    /// When it was closed, or now.
    pub until: DateTime<Utc>,
    /// The alert that the page is about.
    pub main: Option<&'a Firing>,
}

impl Panels {
    pub fn of(of: &Of<'_>, (selector, about): (Option<&Selector>, &About), params: &Params) -> Self {
        let panel = |id: &'static str, title: &str, says: &str, sql: String| {
            let here = Links::default().incident(of.id);
            Panel::new(id, title, says).sql(sql).alone(format!("{here}{}", params.with(&[("panel", Some(id))])))
        };
        let words = Words::of(of, selector);
        let end = of.main.and_then(Firing::span).map(|(_, until)| until);
        let windows = |sql: fn(&Selector, DateTime<Utc>) -> String| {
            selector.zip(end).map(|(selector, end)| sql(selector, end)).unwrap_or_default()
        };
        let shape = if about.has_classes() { "5 Metrics of the window" } else { "5 Shape of the errors" };
        let error = if about.is_binary() { words::residual(about) } else { "errors" };
        let chart = selector.map(selection::sql).unwrap_or_default();
        let changed = "Recorded changes, from a week before the breach.";
        let timeline_says = "States, acts, changes, messages and notes, by the clock.";
        Self {
            chart: panel("chart", "What happened", &words.chart, chart)
                .download("JSON", format!("/api/v1/incidents/{}", of.id)),
            real: panel("real", "1 Is it real?", "The newest verdicts, retroactive ones included.", verdicts(of)),
            changed: panel("changed", "2 What changed?", changed, changes(of)),
            whom: panel("whom", "3 For whom?", &words.whom, windows(shares)),
            alerts: panel("alerts", "Alerts of the incident", "As they fired, and as they are now.", alerts(of)),
            canary: panel("canary", "4 Versions", &words.canary, windows(versions)),
            shape: panel("shape", shape, &words.shape, windows(metrics)),
            worst: panel(
                "worst",
                "6 Worst samples",
                &format!("The largest {error}, frozen when it fired."),
                samples(of),
            ),
            decide: panel("decide", "7 Decision", "What was decided, and by whom.", decisions(of)),
            timeline: panel("timeline", "8 Timeline", timeline_says, timeline(of)),
            notified: panel("notified", "Who is notified", "Notifications that name this incident.", notified(of)),
            query: panel("query", "9 Reproduce and report", "The query froze with the alert.", String::new()),
        }
    }
}

/// Sentences of the panels about windows.
struct Words {
    chart: String,
    whom: String,
    canary: String,
    shape: String,
}

impl Words {
    fn of(of: &Of<'_>, selector: Option<&Selector>) -> Self {
        let rule = of.main.map_or("", |main| main.row.rule.as_str());
        let target = of.main.map_or(String::new(), Firing::target);
        let is_then = selector.is_some_and(|selector| selector.as_of.is_some());
        let known = if is_then { "as it was known when it fired" } else { "as it is known now" };
        let usual = "against the median of 30 windows before";
        Self {
            chart: format!("{rule} for {target}, from 60 windows before the breach, {known}."),
            whom: format!("Share of the squared error in the window that fired {usual}, {known}."),
            canary: format!("In the same window, {known}."),
            shape: format!("All metrics of the window for {target} {usual}, {known}."),
        }
    }
}

fn verdicts(of: &Of<'_>) -> String {
    let Some((main, (since, until))) = of.main.and_then(|main| Some((main, main.span()?))) else {
        return String::new();
    };
    format!(
        "select distinct on (window_end) window_end, verdict, value, labeled, coverage, retroactive, reason\nfrom \
         trueup.verdict_history\nwhere job = {} and rule = {} and cohort = {} and {}\n  and window_end >= {} and window_end <= \
         {}\norder by window_end, evaluated_at desc;",
        text_literal(of.job),
        text_literal(&main.row.rule),
        text_literal(&main.row.cohort),
        equals("model_version", main.row.model_version.as_deref()),
        time_literal(since),
        time_literal(until)
    )
}

/// Elements of a list in the evidence of the main alert.
fn frozen(of: &Of<'_>, list: &str) -> String {
    let Some(main) = of.main else { return String::new() };
    format!(
        "select frozen.*\nfrom trueup.incident_evidence_history\ncross join jsonb_array_elements(evidence -> '{list}') as \
         frozen\nwhere incident_id = {} and alert_id = {} and frozen_at = {};",
        of.id,
        main.row.alert_id,
        time_literal(main.row.frozen_at)
    )
}

/// The time in which changes matter: from a week before the breach until the incident was closed.
pub fn recorded_range(of: &Of<'_>) -> (DateTime<Utc>, DateTime<Utc>) {
    let since = of.main.and_then(Firing::span).map_or(of.opened_at, |(since, _)| since);
    (since.checked_sub_signed(TimeDelta::days(7)).unwrap_or(since), of.until)
}

fn changes(of: &Of<'_>) -> String {
    let (from, until) = recorded_range(of);
    format!(
        "select starts_at, ends_at, kind, note, author\nfrom trueup.annotation\nwhere (job = {} or job is null) and starts_at <= {}\n  \
         and coalesce(ends_at, starts_at) >= {}\norder by starts_at desc, id desc;",
        text_literal(of.job),
        time_literal(until),
        time_literal(from)
    )
}

fn samples(of: &Of<'_>) -> String {
    frozen(of, "worst_samples")
}

/// Condition on revisions: those that counted at the moment of the page.
fn counts(of: &Selector) -> String {
    match of.as_of {
        Some(at) => {
            let at = time_literal(at);
            format!("not removed and as_of <= {at} and (superseded_as_of is null or superseded_as_of > {at})")
        }
        None => "not removed and superseded_as_of is null".to_owned(),
    }
}

fn shares(of: &Selector, end: DateTime<Utc>) -> String {
    format!(
        "select cohort, labeled, squared_error, squared_error / nullif(sum(squared_error) over (partition by dimension), 0) as \
         share\nfrom (\n  select cohort, labeled, coalesce(mse, rmse * rmse) * labeled as squared_error,\n    \
         array_to_string(array(select jsonb_object_keys(cohort_values)), ', ') as dimension\n  from trueup.window_revisions\n  where \
         job = {} and window_name = {} and window_end = {}\n    and cohort <> 'all' and model_version is null and coalesce(mse, rmse) is \
         not null and {}\n) as cohorts\norder by squared_error desc;",
        text_literal(&of.job),
        text_literal(&of.window),
        time_literal(end),
        counts(of)
    )
}

fn metrics(of: &Selector, end: DateTime<Utc>) -> String {
    format!(
        "select metric, value, ci_low, ci_high\nfrom trueup.metric_revisions\nwhere job = {} and window_name = {} and window_end = {}\n  \
         and cohort = {} and {} and value is not null and {}\norder by metric;",
        text_literal(&of.job),
        text_literal(&of.window),
        time_literal(end),
        text_literal(&of.cohort),
        equals("model_version", of.version.as_deref()),
        counts(of)
    )
}

fn versions(of: &Selector, end: DateTime<Utc>) -> String {
    format!(
        "select model_version, value, ci_low, ci_high, labeled, predictions\nfrom trueup.metric_revisions\nwhere job = {} and window_name \
         = {} and window_end = {}\n  and cohort = {} and metric = {} and model_version is not null and {}\norder by predictions desc, \
         model_version;",
        text_literal(&of.job),
        text_literal(&of.window),
        time_literal(end),
        text_literal(&of.cohort),
        text_literal(&of.metric),
        counts(of)
    )
}

fn alerts(of: &Of<'_>) -> String {
    format!(
        "select alert_id, rule, cohort, model_version, state, acked_by, suppressed_by, frozen_at, evidence -> 'alert' -> 'value' as \
         value\nfrom trueup.incident_evidence_history\nwhere incident_id = {}\norder by evidence_id;",
        of.id
    )
}

fn decisions(of: &Of<'_>) -> String {
    format!(
        "select noted_at, author, text\nfrom trueup.incident_note_history\nwhere incident_id = {} and kind = 'decision'\norder by note_id;",
        of.id
    )
}

fn timeline(of: &Of<'_>) -> String {
    format!(
        "select changed_at as at, 'state' as kind, rule, cohort, to_state as what, reason as note\nfrom trueup.alert_history\nwhere alert_id \
         in (select alert_id from trueup.incident_evidence_history where incident_id = {id})\n  and changed_at >= {since}::timestamptz - \
         interval '1 day'\nunion all\nselect acted_at, 'act', rule, cohort, action || ' by ' || author, note\nfrom \
         trueup.alert_action_history\nwhere alert_id in (select alert_id from trueup.incident_evidence_history where incident_id = \
         {id})\n  and acted_at >= {since}\nunion all\nselect noted_at, 'note', null, null, kind || ' by ' || author, text\nfrom \
         trueup.incident_note_history where incident_id = {id}\norder by at;",
        id = of.id,
        since = time_literal(of.opened_at)
    )
}

fn notified(of: &Of<'_>) -> String {
    format!(
        "select receiver, kind, state, attempt, created_at, settled_at, next_attempt_at\nfrom trueup.notification_state\nwhere job = {} \
         and created_at >= {}\n  and jsonb_path_exists(body, '$.rules[*].alerts[*].incident ? (@ == {})')\norder by created_at, sequence;",
        text_literal(of.job),
        time_literal(of.opened_at),
        of.id
    )
}
