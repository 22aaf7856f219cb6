//! The parts that all pages have in common: navigation, the moment that they show, the user, and a message about what was just done.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use sqlx::PgConnection;

use super::params::Params;
use super::session::Visitor;
use super::{Retention, Shared, assets};
use crate::domain::duration;
use crate::store::read::overview;
use crate::text::links::Links;
use crate::web::error::PageError;
use crate::web::view::words;

/// Sections of the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    Overview,
    Incidents,
    Runs,
    Deliveries,
    Silences,
    Executive,
    Elsewhere,
}

/// A section in the navigation.
#[derive(Debug, Clone)]
pub struct NavigationLink {
    pub name: &'static str,
    pub link: String,
    pub is_current: bool,
    /// A number that needs attention.
    pub count: Option<i64>,
}

/// The frame of a page.
#[derive(Debug, Clone)]
pub struct Frame {
    pub title: String,
    pub section: Section,
    pub zone: Tz,
    /// The moment that the page was read, by the database clock.
    pub now: DateTime<Utc>,
    /// The page shows what was known at this time. `None`: what is known now.
    pub as_of: Option<DateTime<Utc>>,
    /// Says that retention has thinned what was known then.
    pub thinned: Option<String>,
    pub user: String,
    pub may_act: bool,
    pub has_sign_out: bool,
    pub open_incidents: i64,
    pub theme: &'static str,
    /// Sentence about what was just done.
    pub done: Option<&'static str>,
    /// Address of the page as it is, with absolute times.
    pub exact: Option<String>,
    /// Show this panel alone.
    pub panel: Option<String>,
}

impl Frame {
    /// Reads what the frame shows.
    pub async fn read(
        connection: &mut PgConnection,
        (shared, visitor, params): (&Shared, &Visitor, &Params),
        section: Section,
    ) -> sqlx::Result<Self> {
        let moment = overview::moment(connection).await?;
        let as_of = params.time("as_of", moment.now).ok().flatten();
        Ok(Self {
            title: String::new(),
            section,
            zone: params.zone(shared.zone).unwrap_or(shared.zone),
            now: moment.now,
            as_of,
            thinned: as_of.and_then(|at| thinned(moment.now - at, shared.retention)),
            user: visitor.name.clone(),
            may_act: visitor.may_act && shared.acts.is_some(),
            has_sign_out: shared.sessions.has_form(),
            open_incidents: moment.open_incidents,
            theme: theme(params),
            done: params.get("did").and_then(done),
            exact: None,
            panel: params.get("panel").map(str::to_owned),
        })
    }

    #[must_use]
    pub fn titled(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// Title of the browser tab: it says how many incidents are open.
    pub fn tab(&self) -> String {
        let open = if self.open_incidents > 0 { format!("({}) ", self.open_incidents) } else { String::new() };
        if self.title.is_empty() { format!("{open}trueup") } else { format!("{open}{} · trueup", self.title) }
    }

    /// The past moment that the page shows, if any.
    pub fn past(&self) -> Option<String> {
        self.as_of.map(|at| words::when(at, self.zone).text)
    }

    /// Time of day at which the page was read.
    pub fn clock(&self) -> String {
        self.now.with_timezone(&self.zone).format("%H:%M:%S").to_string()
    }

    /// The sections of the navigation.
    pub fn navigation(&self) -> [NavigationLink; 6] {
        let links = Links::default();
        let open = (self.open_incidents > 0).then_some(self.open_incidents);
        [
            ("Overview", links.overview(), Section::Overview, None),
            ("Incidents", links.incidents(), Section::Incidents, open),
            ("Runs", links.runs(), Section::Runs, None),
            ("Deliveries", links.deliveries(), Section::Deliveries, None),
            ("Silences", links.silences(), Section::Silences, None),
            ("Executive", links.executive(), Section::Executive, None),
        ]
        .map(|(name, link, section, count)| NavigationLink {
            name,
            link,
            is_current: section == self.section,
            count,
        })
    }

    /// True if a panel is shown: always, unless the address names another one.
    pub fn shows(&self, panel: &str) -> bool {
        self.panel.as_deref().is_none_or(|alone| alone == panel)
    }

    pub fn css(&self) -> &'static str {
        assets::css_path()
    }

    pub fn js(&self) -> &'static str {
        assets::js_path()
    }

    pub fn icon(&self) -> &'static str {
        assets::icon_path()
    }
}

/// Checks the parameters that all pages accept.
pub fn check(params: &Params, known: &[&str], shared: &Shared) -> Result<(), PageError> {
    params.expect(known)?;
    params.zone(shared.zone)?;
    params.one_of("theme", &["light", "dark"])?;
    Ok(())
}

/// Says what retention has removed of a time so long ago; `None` if it kept everything.
fn thinned(ago: TimeDelta, retention: Retention) -> Option<String> {
    let rolling = format!("of rolling windows older than {} one a day is kept", duration::format(retention.rolling));
    if ago > retention.windows {
        let kept = duration::format(retention.windows);
        return Some(format!(
            "Retention has thinned this time: windows older than {kept} have only their first report and their latest revision, and \
             {rolling}. Revisions between them are not shown here."
        ));
    }
    (ago > retention.rolling).then(|| format!("Retention has thinned this time: {rolling}."))
}

fn theme(params: &Params) -> &'static str {
    match params.get("theme") {
        Some("light") => "light",
        Some("dark") => "dark",
        _ => "auto",
    }
}

/// Sentences for what was done, by the word in the address. Free text there would put words into our mouth.
fn done(word: &str) -> Option<&'static str> {
    Some(match word {
        "acknowledged" => "Acknowledged. Repeats and escalation have stopped.",
        "already" => "It was acknowledged before; nothing changed.",
        "resolved" => "Resolved by hand. Windows that end later can make it fire again.",
        "noted" => "The note was added.",
        "decided" => "The decision was recorded.",
        "marked" => "Thank you: the mark was recorded.",
        "silenced" => "The silence is in force.",
        "expired" => "The silence has ended.",
        "annotated" => "The annotation was added.",
        "retried" => "The message is due again.",
        "tested" => "A test message is on its way.",
        _ => return None,
    })
}
