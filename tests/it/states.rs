//! The state machines as they are documented: the alert's is explored, the others are compared with what the database allows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use chrono::{DateTime, TimeDelta, Utc};
use trueup::evaluate::state::{AlertState, ChangeReason, DecidedWindow, State};
use trueup::plan::rule::Persistence;

use crate::support::database::TestDatabase;

const STATES: [State; 4] = [State::Inactive, State::Pending, State::Firing, State::Resolved];

/// Edges of a diagram: from, to, and why.
type Edges = BTreeSet<(String, String, String)>;

/// Every change of an alert that some sequence of up to four windows causes, under each kind of persistence.
fn alert_edges() -> Edges {
    let hour = |n: usize| DateTime::<Utc>::UNIX_EPOCH + TimeDelta::hours(i64::try_from(n).expect("small"));
    let kinds = [
        Persistence::Windows(1),
        Persistence::Windows(2),
        Persistence::Of { needed: 2, last: 3 },
        Persistence::Lasting(TimeDelta::hours(2)),
    ];
    let mut edges = Edges::new();
    for (state, fires, clears) in
        STATES.into_iter().flat_map(|s| kinds.into_iter().flat_map(move |f| kinds.into_iter().map(move |c| (s, f, c))))
    {
        let is_open = matches!(state, State::Pending | State::Firing);
        let alert = AlertState { state, since: is_open.then(|| hour(1)) };
        for sequence in 0..16_u8 {
            let windows: Vec<DecidedWindow> = (0..4)
                .map(|place| sequence >> place & 1 == 1)
                .enumerate()
                .map(|(place, breach)| DecidedWindow { window_end: hour(5 - place), breach, recovered: !breach })
                .collect();
            let change = alert.next(&windows, fires, clears);
            edges.extend(change.map(|change| edge(change.from, change.to, why(change.reason))));
        }
        for reason in [ChangeReason::Forgotten, ChangeReason::Vanished] {
            let change = alert.forget(reason);
            edges.extend(change.map(|change| edge(change.from, change.to, why(change.reason))));
        }
    }
    edges
}

fn edge(from: State, to: State, why: &str) -> (String, String, String) {
    (from.as_str().to_owned(), to.as_str().to_owned(), why.to_owned())
}

fn why(reason: ChangeReason) -> &'static str {
    match reason {
        ChangeReason::Begun { .. } => "a window is in breach",
        ChangeReason::Persisted { .. } => "enough windows are in breach",
        ChangeReason::Passed => "the newest window is ok",
        ChangeReason::Recovered { .. } => "enough windows have recovered",
        ChangeReason::Forgotten => "no rule judges it any more",
        ChangeReason::Vanished => "no predictions for long",
    }
}

/// State machines of the ledger and the outbox, whose changes are made in SQL.
fn stored() -> [(&'static str, &'static str, Edges); 2] {
    let edges = |list: &[(&str, &str, &str)]| {
        list.iter().map(|(a, b, why)| ((*a).to_owned(), (*b).to_owned(), (*why).to_owned())).collect()
    };
    [
        (
            "run",
            "A tick enters the ledger as `due`, or as `skipped` if it is too old to catch up; a manual run as `running`.",
            edges(&[
                ("due", "running", "a runner claims it"),
                ("running", "running", "its lease expired and another runner claims it"),
                ("running", "due", "given back: the database is unavailable, or the runner stops"),
                ("running", "ok", "it published"),
                ("running", "failed", "an error that no retry helps"),
                ("running", "skipped", "a later run has published"),
            ]),
        ),
        (
            "notification",
            "A notification is enqueued as `pending`, in the transaction that changed the alerts.",
            edges(&[
                ("pending", "pending", "an attempt failed and is retried"),
                ("pending", "sent", "the receiver accepted it; of a mail, at least one address"),
                ("pending", "dead", "refused for good, or retried for too long"),
                ("pending", "dropped", "it became obsolete before it was sent"),
                ("dead", "pending", "`trueup deliveries retry`"),
                ("sent", "pending", "`trueup deliveries retry`, for the recipients that refused it"),
            ]),
        ),
    ]
}

fn diagram(edges: &Edges) -> String {
    let mut merged: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for (from, to, why) in edges {
        merged.entry((from, to)).or_default().push(why);
    }
    let mut text = "```mermaid\nstateDiagram-v2\n".to_owned();
    for ((from, to), why) in merged {
        writeln!(text, "    {from} --> {to}: {}", why.join("; or ")).expect("a string");
    }
    text + "```\n"
}

fn page() -> String {
    let mut page = "# States\n\nThe state machines of trueup. A test draws this page from the code: `cargo test --test it states::`.\n\n\
        ## alert\n\nThe latest verdicts on the last windows decide; `insufficient` and `no_data` verdicts do not count. An alert \
        starts as `inactive`.\nA user who resolves a firing alert sets it to `resolved`, and it starts again with later windows.\n\n"
        .to_owned()
        + &diagram(&alert_edges());
    for (name, prose, edges) in stored() {
        write!(page, "\n## {name}\n\n{prose}\n\n{}", diagram(&edges)).expect("a string");
    }
    page
}

#[test]
fn the_page_of_states_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/states.md");
    if std::env::var_os("TRUEUP_WRITE_DOCS").is_some() {
        std::fs::write(path, page()).expect("the page");
    }
    let shipped = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(shipped, page(), "`TRUEUP_WRITE_DOCS=1 cargo test --test it states::` brings it up to date");
}

/// Every state that the database allows is drawn, and no other.
#[tokio::test(flavor = "multi_thread")]
async fn the_states_that_are_drawn_are_those_of_the_database() {
    let db = TestDatabase::new().await;
    let alert = ("alert", "", alert_edges());
    for (table, _, edges) in stored().into_iter().chain([alert]) {
        let check: String = db
            .scalar(&format!(
                "select pg_get_constraintdef(oid) from pg_constraint where conname = '{table}_state_is_known'"
            ))
            .await;
        let allowed: BTreeSet<&str> = check.split('\'').skip(1).step_by(2).collect();
        let drawn: BTreeSet<&str> = edges.iter().flat_map(|(from, to, _)| [from.as_str(), to.as_str()]).collect();
        assert_eq!(drawn, allowed, "{table}");
    }
}
