//! Reads the page of an incident: the incident, its main alert, and the windows around the firing.

use chrono::TimeDelta;
use chrono_tz::Tz;
use sqlx::PgConnection;

use super::panels::{self, Panels};
use crate::chart::Series;
use crate::domain::about::About;
use crate::store::read::firing::{self as windows, MetricRow, Moment, NewestVerdictRow, ShareRow, VersionRow};
use crate::store::read::incident::{self as read, ChangeRow, EventRow, NoteRow, NotificationRow};
use crate::store::read::incidents::{self, IncidentRow};
use crate::store::read::overview;
use crate::store::read::series::{self, AnnotationRow, Selector};
use crate::web::acting::unknown;
use crate::web::error::PageError;
use crate::web::params::Params;
use crate::web::reading;
use crate::web::selection::{self, MOST_REVISIONS, Selection};
use crate::web::view::drift;
use crate::web::view::firing::{self as view, Firing};
use crate::web::view::series::{self as series_view, Rows};

/// Windows before the breach and after it that the chart shows.
const BEFORE: i64 = 60;
const AFTER: i32 = 10;
/// Windows whose median is usual.
const USUAL: i64 = 30;
const MOST_VERSIONS: i64 = 20;
const MOST_NOTES: i64 = 100;
const MOST_NOTIFICATIONS: i64 = 100;
const MOST_MARKS: i64 = 60;

/// Everything that the page shows.
pub struct Read {
    pub incident: IncidentRow,
    pub firings: Vec<Firing>,
    /// The alert that the page is about.
    pub main: Option<Firing>,
    selection: Option<Selection>,
    /// Newest verdicts, and the places of their alerts among all.
    verdicts: Vec<NewestVerdictRow>,
    places: Vec<usize>,
    /// Changes in the week before the breach and since, as recorded by now; oldest first.
    pub recorded: Vec<AnnotationRow>,
    pub around: Around,
    pub events: Vec<EventRow>,
    pub notes: Vec<NoteRow>,
    pub notified: Vec<NotificationRow>,
    /// Changes of its alerts around the time when it closed.
    pub closing: Vec<ChangeRow>,
}

/// The windows around the firing of the main alert.
#[derive(Default)]
pub struct Around {
    rows: Rows,
    pub shares: Vec<ShareRow>,
    pub metrics: Vec<MetricRow>,
    pub versions: Vec<VersionRow>,
}

/// Reads an incident, each panel on its own.
pub async fn read(
    connection: &mut PgConnection,
    (id, is_then): (i64, bool),
    params: &Params,
) -> Result<(Panels, Read), PageError> {
    let incident = incidents::find(connection, id).await?.ok_or_else(|| unknown(id))?;
    let firings: Vec<Firing> =
        reading::all(connection, async |c| read::evidence(c, id).await).await?.into_iter().map(Firing::read).collect();
    let main = view::main(&firings).cloned();
    let selection = match &main {
        Some(main) => selection_of(connection, &incident.job, main, is_then).await?,
        None => None,
    };
    let now = overview::moment(connection).await?.now;
    let until = incident.closed_at.unwrap_or(now);
    let of = panels::Of { id, job: &incident.job, opened_at: incident.opened_at, until, main: main.as_ref() };
    let mut panels =
        Panels::of(&of, (selection.as_ref().map(|selection| &selection.of), &about(selection.as_ref())), params);
    let (asked, places) = view::judged(&firings);
    let job = incident.job.clone();
    let verdicts = reading::panel(connection, async |c| windows::newest_verdicts(c, &job, &asked).await).await?;
    let verdicts = panels.real.take(verdicts);
    let events = reading::panel(connection, async |c| read::timeline(c, id).await).await?;
    let events = panels.timeline.take(events);
    let notes = reading::panel(connection, async |c| read::notes(c, id, MOST_NOTES).await).await?;
    let notes = panels.decide.take(notes);
    let since = incident.opened_at;
    let notified =
        reading::panel(connection, async |c| read::notifications(c, (id, &job), since, MOST_NOTIFICATIONS).await)
            .await?;
    let notified = panels.notified.take(notified);
    let (from, to) = panels::recorded_range(&of);
    let range = (Some(from), Some(to));
    let recorded =
        reading::panel(connection, async |c| series::annotations(c, Some(&job), range, MOST_MARKS).await).await?;
    let recorded = panels.changed.take(recorded);
    let closing = match incident.closed_at {
        // The incident closes in the transaction that ends its last alert.
        Some(at) => {
            let before = at - TimeDelta::minutes(1);
            reading::all(connection, async |c| read::changes_after(c, (Some(id), None), before).await).await?
        }
        None => Vec::new(),
    };
    let around = match (&selection, &main) {
        (Some(selection), Some(main)) => around(connection, (selection, main), &mut panels, is_then).await?,
        _ => Around::default(),
    };
    Ok((
        panels,
        Read {
            incident,
            firings,
            main,
            selection,
            verdicts,
            places,
            recorded,
            around,
            events,
            notes,
            notified,
            closing,
        },
    ))
}

/// The windows around a firing; `None` if its rule judges no windows.
async fn selection_of(
    connection: &mut PgConnection,
    job: &str,
    main: &Firing,
    is_then: bool,
) -> Result<Option<Selection>, PageError> {
    let job = selection::job(connection, job).await?;
    let (Some(rule), Some((since, until))) = (&main.rule, main.span()) else { return Ok(None) };
    let Some(window) = job.about.windows.iter().find(|window| window.name == rule.window) else { return Ok(None) };
    let step = if window.is_rolling { job.about.interval_seconds } else { window.seconds };
    let range = series::newest(connection, (&job.row.job, &window.name), Some(since), BEFORE).await?;
    let from = range.map_or(since, |(first, _)| first) - TimeDelta::milliseconds(1);
    let later = TimeDelta::try_seconds(step).unwrap_or_default().checked_mul(AFTER).unwrap_or_default();
    let of = Selector {
        job: job.row.job.clone(),
        window: window.name.clone(),
        metric: rule.metric.clone(),
        cohort: main.row.cohort.clone(),
        version: main.row.model_version.clone(),
        from,
        to: if is_then { until } else { until + later },
        as_of: main.as_of.filter(|_| is_then),
    };
    Ok(Some(Selection { job, of, rules: vec![rule.name.clone()] }))
}

/// The job of the windows around the firing.
fn about(selection: Option<&Selection>) -> About {
    selection.map(|selection| selection.about().clone()).unwrap_or_default()
}

impl Read {
    pub fn about(&self) -> About {
        about(self.selection.as_ref())
    }

    pub fn metric(&self) -> String {
        self.selection.as_ref().map(|selection| selection.of.metric.clone()).unwrap_or_default()
    }

    /// The metric of the rule, which may have no history of its own.
    pub fn rule_metric(&self) -> String {
        self.main.as_ref().and_then(|main| Some(main.rule.as_ref()?.metric.clone())).unwrap_or_default()
    }

    /// How the value of the window that fired has moved since its first report.
    pub fn drift(&self) -> Option<String> {
        let (selection, end) = (self.selection.as_ref()?, self.main.as_ref()?.span()?.1);
        let entries = series_view::entries(&selection.of, selection.about(), &self.around.rows);
        let entry = entries.iter().find(|entry| entry.end == end)?;
        drift::since_first_report(entry, selection.about().metric(&selection.of.metric))
    }

    pub fn window(&self) -> String {
        self.selection.as_ref().map(|selection| selection.of.window.clone()).unwrap_or_default()
    }

    pub fn unit(&self) -> String {
        let unit = self.main.as_ref().and_then(|main| Some(main.alert.as_ref()?.unit.trim().to_owned()));
        unit.unwrap_or_default()
    }

    /// The newest verdicts on the windows that made the main alert fire.
    pub fn verdicts_of_main(&self) -> Vec<&NewestVerdictRow> {
        let is_main = |firing: &Firing| self.main.as_ref().is_some_and(|main| main.row.alert_id == firing.row.alert_id);
        self.firings.iter().position(is_main).map(|place| self.verdicts_of(place)).unwrap_or_default()
    }

    fn verdicts_of(&self, place: usize) -> Vec<&NewestVerdictRow> {
        let asked = self.places.iter().position(|known| *known == place);
        let asked = asked.and_then(|asked| i64::try_from(asked + 1).ok());
        self.verdicts.iter().filter(|row| Some(row.place) == asked).collect()
    }

    /// For each alert the answer to "would it still fire?"; `None` if its windows were not read.
    pub fn hindsight(&self) -> Vec<Option<&'static str>> {
        let answer = |(place, firing): (usize, &Firing)| {
            let verdicts = self.verdicts_of(place);
            (!verdicts.is_empty()).then(|| view::answer(view::look_back(firing.rule.as_ref(), &verdicts)).0)
        };
        self.firings.iter().enumerate().map(answer).collect()
    }

    /// The chart: from history, or as frozen where the metric has no history of its own.
    pub fn drawing(&self, zone: Tz) -> Series {
        let drawn = self.selection.as_ref().map(|selection| selection::chart(selection, &self.around.rows, zone));
        match (drawn, &self.main) {
            (Some(series), _) if !series.points.is_empty() => series,
            (_, Some(main)) => view::frozen_chart(main),
            (drawn, None) => drawn.unwrap_or_default(),
        }
    }
}

/// Reads the windows around a firing.
async fn around(
    connection: &mut PgConnection,
    (selection, main): (&Selection, &Firing),
    panels: &mut Panels,
    is_then: bool,
) -> Result<Around, PageError> {
    let of = &selection.of;
    let frozen = is_then.then_some(main.row.frozen_at);
    let rows = reading::panel(connection, async |c| match frozen {
        Some(frozen_at) => rows_then(c, selection, frozen_at).await,
        None => selection::rows(c, selection).await,
    });
    let rows = panels.chart.take(rows.await?);
    let end = main.span().map_or(of.to, |(_, until)| until);
    let at = Moment { job: of.job.clone(), window: of.window.clone(), end, as_of: of.as_of };
    let shares = reading::panel(connection, async |c| windows::shares(c, &at, USUAL).await).await?;
    let target = (of.cohort.as_str(), of.version.as_deref());
    let metrics = reading::panel(connection, async |c| windows::metrics(c, &at, target, USUAL).await).await?;
    let asked = (of.cohort.as_str(), of.metric.as_str());
    let versions = reading::panel(connection, async |c| windows::versions(c, &at, asked, MOST_VERSIONS).await).await?;
    Ok(Around {
        rows,
        shares: panels.whom.take(shares),
        metrics: panels.shape.take(metrics),
        versions: panels.canary.take(versions),
    })
}

/// The chart as it was when the evidence was frozen: measurements by the time of their run, verdicts by the clock.
async fn rows_then(
    connection: &mut PgConnection,
    selection: &Selection,
    frozen_at: chrono::DateTime<chrono::Utc>,
) -> sqlx::Result<Rows> {
    let of = &selection.of;
    let judged = Selector { as_of: Some(frozen_at), ..of.clone() };
    Ok(Rows {
        revisions: series::revisions(connection, of, MOST_REVISIONS).await?,
        verdicts: series::verdicts(connection, &judged, &selection.rules).await?,
        transitions: series::transitions(connection, &judged, &selection.rules).await?,
        annotations: series::annotations(connection, Some(&of.job), (Some(of.from), Some(of.to)), MOST_MARKS).await?,
        silences: Vec::new(),
        finished: Vec::new(),
    })
}
