//! What every window must be, recomputed from the rows of the source as they are. Shares no code with the engine.

use std::collections::BTreeMap;

use chrono::{DateTime, Days, TimeDelta, TimeZone, Utc};
use chrono_tz::Europe::Bucharest;
use serde_json::Value as Json;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::Shape;
use super::classes::{self, Labeled};
use crate::support::world::World;

/// A copy of a prediction.
#[derive(Debug, Clone)]
struct Copy {
    event: DateTime<Utc>,
    predicted: Option<f64>,
    region: Option<String>,
    weight: Option<f64>,
}
/// A label: when it was seen, and its value.
type Label = (DateTime<Utc>, Option<f64>);
/// Name, start, cohort and version of a window.
type Key = (String, DateTime<Utc>, String, Option<String>);

/// What the history is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct RunRequest {
    /// Rows that had arrived by then, and windows that had ended.
    as_of: DateTime<Utc>,
    /// The rolling window that ends here.
    rolling: Option<DateTime<Utc>>,
}

impl RunRequest {
    pub(super) fn of_run(now: DateTime<Utc>) -> Self {
        Self { as_of: now, rolling: Some(now) }
    }

    /// It knows all that is known now.
    pub(super) fn of_backfill() -> Self {
        Self { as_of: Utc::now(), rolling: None }
    }
}

/// Groups of a window by region and version.
type Regions = BTreeMap<Option<String>, BTreeMap<String, Group>>;

/// Counts and pairs of a group.
#[derive(Debug, Default, Clone)]
struct Group {
    predictions: i64,
    excluded: i64,
    duplicates: i64,
    pairs: Vec<Pair>,
    /// Usable scores of predictions, labeled or not.
    scores: Vec<f64>,
    ends: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Copy)]
struct Pair {
    error: f64,
    predicted: f64,
    actual: f64,
    weight: Option<f64>,
}

impl Group {
    fn add(&mut self, copies: i64, outcome: Outcome, score: Option<f64>) {
        self.predictions += copies;
        self.scores.extend(score);
        match outcome {
            Outcome::Pair(pair) => self.pairs.push(pair),
            Outcome::Unlabeled => {}
            Outcome::Excluded => self.excluded += 1,
            Outcome::Duplicate => {
                self.excluded += copies;
                self.duplicates += copies;
            }
        }
    }

    fn merge(&mut self, other: &Self) {
        self.predictions += other.predictions;
        self.excluded += other.excluded;
        self.duplicates += other.duplicates;
        self.pairs.extend(&other.pairs);
        self.scores.extend(&other.scores);
        self.ends = other.ends;
    }
}

/// One key of the source, decided.
struct Decided {
    id: i64,
    version: String,
    event: DateTime<Utc>,
    region: Option<String>,
    copies: i64,
    /// Its score, if it has one that can be used.
    score: Option<f64>,
    outcome: Outcome,
}

async fn decide(world: &World, shape: Shape, asked: RunRequest) -> Vec<Decided> {
    let visible = if shape.incremental { format!("where seen <= '{}'", asked.as_of) } else { String::new() };
    let mut by_key: BTreeMap<(i64, String), Vec<Copy>> = BTreeMap::new();
    let sql = format!("select id::bigint, at, predicted, version, region, weight::float8 from public.p {visible}");
    for row in rows(world, &sql).await {
        let version: String = if shape.versions { row.get(3) } else { String::new() };
        let copy = Copy { event: row.get(1), predicted: row.get(2), region: row.get(4), weight: row.get(5) };
        by_key.entry((row.get(0), version)).or_default().push(copy);
    }
    let mut labels: BTreeMap<i64, Vec<Label>> = BTreeMap::new();
    for row in rows(world, &format!("select id::bigint, seen, actual from public.l {visible}")).await {
        let label: Option<f64> = row.get(2);
        // A label of neither class is like any other of them.
        let unknown = |label: f64| shape.classes && label != 0.0 && label != 1.0;
        let label = label.map(|label| if unknown(label) { f64::NAN } else { label });
        labels.entry(row.get(0)).or_default().push((row.get(1), label));
    }
    by_key
        .into_iter()
        .map(|((id, version), copies)| Decided {
            id,
            version,
            // Of several copies of a key the earliest place counts, and none of them is averaged.
            event: copies.iter().map(|copy| copy.event).min().expect("a copy"),
            // Copies of several regions are in none.
            region: copies[0]
                .region
                .clone()
                .filter(|region| copies.iter().all(|copy| copy.region.as_ref() == Some(region))),
            copies: i64::try_from(copies.len()).expect("a count"),
            score: copies[0].predicted.filter(|score| copies.len() == 1 && (0.0..=1.0).contains(score)),
            outcome: outcome(shape, &copies, labels.get(&id)),
        })
        .collect()
}

/// Every window that the history must know by now.
async fn recompute(world: &World, shape: Shape, asked: RunRequest) -> BTreeMap<Key, Group> {
    let mut groups: BTreeMap<Key, Group> = BTreeMap::new();
    // Regions of each window and version, apart from each other until their ranks are known.
    let mut regions: BTreeMap<(String, DateTime<Utc>), Regions> = BTreeMap::new();
    for one in decide(world, shape, asked).await {
        let mut cohorts = vec!["all".to_owned()];
        if shape.by_both {
            cohorts.push(format!("odd={}, {}", one.id.rem_euclid(2), cohort(one.region.as_deref())));
        }
        for (window, start, end) in windows_of(shape, one.event, asked) {
            for cohort in &cohorts {
                for version in versions(shape, &one.version) {
                    let group = groups.entry((window.clone(), start, cohort.clone(), version)).or_default();
                    group.add(one.copies, one.outcome, one.score);
                    group.ends = Some(end);
                }
            }
            if shape.by_region {
                let of_window = regions.entry((window, start)).or_default();
                let of_version = of_window.entry(one.region.clone()).or_default();
                let group = of_version.entry(one.version.clone()).or_default();
                group.add(one.copies, one.outcome, one.score);
                group.ends = Some(end);
            }
        }
    }
    for ((window, start), of_window) in regions {
        let mut ranked: Vec<_> = of_window.into_iter().collect();
        // By predictions, ties by the text of the value as Postgres writes it in an array.
        ranked.sort_by_key(|(region, of_version)| {
            let predictions: i64 = of_version.values().map(|group| group.predictions).sum();
            (-predictions, in_array(region.as_deref()))
        });
        for (place, (region, of_version)) in ranked.into_iter().enumerate() {
            let name = if shape.top && place >= 2 { "region=other".to_owned() } else { cohort(region.as_deref()) };
            for (version, group) in of_version {
                for version in versions(shape, &version) {
                    groups.entry((window.clone(), start, name.clone(), version)).or_default().merge(&group);
                }
            }
        }
    }
    groups
}

/// All versions together, and its own.
fn versions(shape: Shape, version: &str) -> Vec<Option<String>> {
    if shape.versions { vec![None, Some(version.to_owned())] } else { vec![None] }
}

fn in_array(region: Option<&str>) -> String {
    match region {
        None => "{NULL}".to_owned(),
        Some("") => "{\"\"}".to_owned(),
        Some(name) => format!("{{{name}}}"),
    }
}

#[derive(Debug, Clone, Copy)]
enum Outcome {
    Pair(Pair),
    Unlabeled,
    Excluded,
    Duplicate,
}

fn outcome(shape: Shape, copies: &[Copy], labels: Option<&Vec<Label>>) -> Outcome {
    if copies.len() > 1 {
        return Outcome::Duplicate;
    }
    let Some(labels) = labels else { return Outcome::Unlabeled };
    let chosen: Vec<Option<f64>> = match (shape.on_duplicate, shape.incremental) {
        ("error", _) if labels.len() > 1 => return Outcome::Excluded,
        (_, false) | ("error", _) => labels.iter().map(|label| label.1).collect(),
        ("first", true) => {
            let first = labels.iter().map(|label| label.0).min();
            labels.iter().filter(|label| Some(label.0) == first).map(|label| label.1).collect()
        }
        (_, true) => {
            let last = labels.iter().map(|label| label.0).max();
            labels.iter().filter(|label| Some(label.0) == last).map(|label| label.1).collect()
        }
    };
    let same = |a: &Option<f64>, b: &Option<f64>| match (a, b) {
        (Some(a), Some(b)) => a == b || (a.is_nan() && b.is_nan()),
        (a, b) => a.is_none() && b.is_none(),
    };
    if chosen.iter().any(|value| !same(value, &chosen[0])) {
        return Outcome::Excluded;
    }
    match (copies[0].predicted, chosen[0]) {
        (Some(p), Some(_)) if shape.classes && !(0.0..=1.0).contains(&p) => Outcome::Excluded,
        (Some(p), Some(a)) if p.abs() <= 1e70 && a.abs() <= 1e70 => {
            Outcome::Pair(Pair { error: p - a, predicted: p, actual: a, weight: copies[0].weight })
        }
        _ => Outcome::Excluded,
    }
}

fn cohort(region: Option<&str>) -> String {
    match region {
        None => "region=(null)".to_owned(),
        Some("") => "region=\"\"".to_owned(),
        Some(name) => format!("region={name}"),
    }
}

/// The windows an event lies in, of those that have ended: name, start and end.
fn windows_of(shape: Shape, event: DateTime<Utc>, asked: RunRequest) -> Vec<(String, DateTime<Utc>, DateTime<Utc>)> {
    let floor =
        |seconds: i64| DateTime::from_timestamp(event.timestamp().div_euclid(seconds) * seconds, 0).expect("a time");
    let six = floor(21_600);
    let day = if shape.zone {
        let midnight = |days: u64| {
            let date = event.with_timezone(&Bucharest).date_naive() + Days::new(days);
            let local = date.and_hms_opt(0, 0, 0).expect("midnight");
            Bucharest.from_local_datetime(&local).single().expect("clocks change at 3 and 4").with_timezone(&Utc)
        };
        (midnight(0), midnight(1))
    } else {
        (floor(86_400), floor(86_400) + TimeDelta::days(1))
    };
    let tumbling = [("tumbling 6h", (six, six + TimeDelta::hours(6))), ("tumbling 1d", day)];
    let mut found: Vec<_> = tumbling
        .into_iter()
        .filter(|(_, (_, end))| *end <= asked.as_of)
        .map(|(name, (start, end))| (name.to_owned(), start, end))
        .collect();
    if let Some(end) = asked.rolling.filter(|end| event < *end && event >= *end - TimeDelta::hours(6)) {
        found.push(("rolling 6h".to_owned(), end - TimeDelta::hours(6), end));
    }
    found
}

pub(super) async fn rows(world: &World, sql: &str) -> Vec<PgRow> {
    sqlx::query(sqlx::AssertSqlSafe(sql.to_owned())).fetch_all(&world.db.pool).await.expect("rows")
}

/// A metric of a group by name; None where it has none.
#[expect(clippy::cast_precision_loss, reason = "small counts")]
fn metric(group: &Group, name: &str) -> Option<f64> {
    let n = group.pairs.len() as f64;
    let mean = |of: fn(f64) -> f64| (n > 0.0).then(|| group.pairs.iter().map(|pair| of(pair.error)).sum::<f64>() / n);
    let weighted = |of: fn(f64) -> f64| {
        let pairs = || group.pairs.iter().filter_map(|pair| Some((pair.weight?, pair.error)));
        let weight: f64 = pairs().map(|(weight, _)| weight).sum();
        (weight > 0.0).then(|| pairs().map(|(weight, error)| weight * of(error)).sum::<f64>() / weight)
    };
    match name {
        "mse" => mean(|e| e * e),
        "mae" => mean(f64::abs),
        "bias" => mean(|e| e),
        "weighted_mse" => weighted(|e| e * e),
        "c" => weighted(f64::abs),
        "r2" => {
            let center = group.pairs.iter().map(|pair| pair.actual).sum::<f64>() / n;
            let spread: f64 = group.pairs.iter().map(|pair| (pair.actual - center).powi(2)).sum();
            let differ = group.pairs.iter().any(|pair| pair.actual != group.pairs[0].actual);
            differ.then(|| 1.0 - group.pairs.iter().map(|pair| pair.error.powi(2)).sum::<f64>() / spread)
        }
        "p90_abs_error" => {
            let mut sizes: Vec<f64> = group.pairs.iter().map(|pair| pair.error.abs()).collect();
            sizes.sort_by(f64::total_cmp);
            let place = 0.9 * (sizes.len().checked_sub(1)? as f64);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small counts")]
            let (low, high) = (sizes[place.floor() as usize], sizes[place.ceil() as usize]);
            Some(low + (high - low) * place.fract())
        }
        other => panic!("no metric `{other}`"),
    }
}

/// A metric of classes of a group by name.
fn of_classes(shape: Shape, group: &Group, name: &str) -> Option<f64> {
    let labeled = |pair: &Pair| Labeled { score: pair.predicted, positive: pair.actual == 1.0 };
    let pairs: Vec<Labeled> = group.pairs.iter().map(labeled).collect();
    classes::metric(&pairs, &group.scores, name, shape.fault)
}

/// Compares everything, both ways. Returns how much there was.
pub(super) async fn compare(world: &World, shape: Shape, asked: RunRequest, context: &str) -> u64 {
    let expected = recompute(world, shape, asked).await;
    let rolling = asked.rolling.map(|end| format!("or window_end = '{end}'")).unwrap_or_default();
    let sql = format!(
        "select window_name, window_start, cohort, model_version, to_jsonb(h) || extra
         from trueup.window_history as h where window_name like 'tumbling%' {rolling}"
    );
    let mut found: BTreeMap<Key, Json> = BTreeMap::new();
    for row in rows(world, &sql).await {
        found.insert((row.get(0), row.get(1), row.get(2), row.get(3)), row.get(4));
    }
    // Cohorts of an earlier definition of the job stay in its history: they are of another plan.
    found.retain(|key, _| match key.2.split_once('=') {
        None => true,
        Some(("region", _)) => shape.by_region,
        Some(_) => shape.by_both,
    });
    let mut metrics = vec![("mse", 1e-9), ("mae", 1e-9), ("bias", 1e-9)];
    if shape.classes {
        metrics = classes::METRICS.iter().map(|name| (*name, 1e-9)).collect();
    }
    if shape.rich {
        metrics.extend([("weighted_mse", 1e-9), ("c", 1e-9), ("r2", 1e-7), ("p90_abs_error", 0.01)]);
    }
    for (key, group) in &expected {
        let row = found.remove(key).unwrap_or_else(|| panic!("{context}: {key:?} is missing, expected {group:?}"));
        let labeled = i64::try_from(group.pairs.len()).expect("a count");
        let counts = ["predictions", "labeled", "excluded", "duplicates"].map(|name| row[name].as_i64());
        let wanted = [group.predictions, labeled, group.excluded, group.duplicates].map(Some);
        assert_eq!(counts, wanted, "{context}: {key:?}");
        let is_final = group.ends.expect("an end") + TimeDelta::hours(12) <= asked.as_of;
        assert_eq!(row["status"], if is_final { "final" } else { "provisional" }, "{context}: {key:?}");
        for (name, tolerance) in &metrics {
            let wanted = if shape.classes { of_classes(shape, group, name) } else { metric(group, name) };
            match (row[name].as_f64(), wanted) {
                (Some(value), Some(wanted)) => assert!(
                    (value - wanted).abs() <= tolerance * wanted.abs().max(1e-3),
                    "{context}: {key:?}: {name} is {value}, expected {wanted}"
                ),
                (None, None) => {}
                (value, wanted) => panic!("{context}: {key:?}: {name} is {value:?}, expected {wanted:?}"),
            }
        }
    }
    assert!(found.is_empty(), "{context}: the history has more: {:?}", found.keys().collect::<Vec<_>>());
    u64::try_from(expected.len()).expect("a count")
}
