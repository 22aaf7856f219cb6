//! Random histories of a source that forgets, against an oracle that says what must be kept. It shares no code with the engine: it
//! keeps every pair that history knows, and tries each window of each kind by counting.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::Row as _;

use crate::support::dice::Dice;
use crate::support::histories;
use crate::support::world::{World, at};

const BUCKET: i64 = 3_600;
const START: &str = "2024-05-03T00:00:00Z";
/// Hours of tumbling windows; rolling ones are as long as the first.
const TUMBLING: [i64; 2] = [6, 24];

/// Of a prediction: its error, where it has a label.
type Pairs = BTreeMap<i64, Option<f64>>;
/// By the hour, counted from the epoch.
type Buckets = BTreeMap<i64, Pairs>;

#[derive(Debug, Default, Clone, Copy)]
struct Totals {
    histories: u64,
    compared: u64,
    kept: u64,
    corrected: u64,
    marked: u64,
    came_back: u64,
    /// Pairs of windows on which the job's expression fails.
    failed: u64,
}

impl Totals {
    fn plus(self, other: Self) -> Self {
        Self {
            histories: self.histories + other.histories,
            compared: self.compared + other.compared,
            kept: self.kept + other.kept,
            corrected: self.corrected + other.corrected,
            marked: self.marked + other.marked,
            came_back: self.came_back + other.came_back,
            failed: self.failed + other.failed,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn history_keeps_what_a_source_forgets_in_random_histories() {
    let (histories, totals) = histories::all(20, history, Totals::plus).await;
    // What the test is about really happened.
    assert!(totals.kept > histories && totals.corrected > histories / 2 && totals.came_back > 0, "{totals:?}");
    assert!(totals.compared > histories * 20 && totals.marked > 0 && totals.failed > histories, "{totals:?}");
}

/// What history must know, and what its buckets have lost so far.
#[derive(Default)]
struct Oracle {
    known: Buckets,
    /// Predictions and labeled pairs that buckets lost as corrections.
    lost: BTreeMap<i64, (i64, i64)>,
    /// Buckets that were kept at the last comparison.
    kept: BTreeSet<i64>,
}

fn amount(pairs: Option<&Pairs>) -> (i64, i64) {
    let Some(pairs) = pairs else { return (0, 0) };
    let labeled = pairs.values().filter(|error| error.is_some()).count();
    (i64::try_from(pairs.len()).expect("small"), i64::try_from(labeled).expect("small"))
}

impl Oracle {
    /// Takes over what a comparison with the source must take over.
    fn follow(&mut self, source: &Buckets, totals: &mut Totals) {
        let all: BTreeSet<i64> = self.known.keys().chain(source.keys()).copied().collect();
        let differing: BTreeSet<i64> =
            all.into_iter().filter(|hour| self.known.get(hour) != source.get(hour)).collect();
        let mut kept = BTreeSet::new();
        for (start, hours) in windows(self.known.keys().chain(source.keys()).copied().collect()) {
            if self.would_shrink(source, start..start + hours) {
                let inside = |hour: &&i64| (start..start + hours).contains(*hour);
                kept.extend(differing.iter().filter(inside));
            }
        }
        // What was kept stays while the source lacks it, and with it the windows around.
        for hour in self.kept.intersection(&differing) {
            let (before, after) = (amount(self.known.get(hour)), amount(source.get(hour)));
            if after.0 < before.0 || after.1 < before.1 {
                for length in TUMBLING {
                    let start = hour.div_euclid(length) * length;
                    kept.extend(differing.range(start..start + length));
                }
            }
        }
        for labels in [false, true] {
            let end = self.forgotten(source, labels);
            if self.would_shrink(source, i64::MIN..end) {
                kept.extend(differing.iter().filter(|hour| **hour < end));
            }
        }
        // A window without a bucket that shrinks decides nothing.
        for hour in differing.difference(&kept).copied().collect::<Vec<_>>() {
            let (before, after) = (amount(self.known.get(&hour)), amount(source.get(&hour)));
            if after.0 < before.0 || after.1 < before.1 {
                let lost = self.lost.entry(hour).or_default();
                *lost = (lost.0 + (before.0 - after.0).max(0), lost.1 + (before.1 - after.1).max(0));
                totals.corrected += 1;
            }
            match source.get(&hour) {
                Some(pairs) => drop(self.known.insert(hour, pairs.clone())),
                None => drop(self.known.remove(&hour)),
            }
        }
        for hour in &kept {
            self.lost.remove(hour);
        }
        totals.kept += u64::try_from(kept.len()).expect("small");
        totals.came_back += u64::try_from(self.kept.difference(&kept).count()).expect("small");
        self.kept = kept;
    }

    /// End of the oldest hours of which the source has no prediction, or no label, any more.
    fn forgotten(&self, source: &Buckets, labels: bool) -> i64 {
        let of = |pairs| if labels { amount(pairs).1 } else { amount(pairs).0 };
        let mut end = i64::MIN;
        let hours: BTreeSet<i64> = self.known.keys().chain(source.keys()).copied().collect();
        for hour in hours {
            let (before, left) = (of(self.known.get(&hour)), of(source.get(&hour)));
            if before == 0 && left == 0 {
                continue;
            }
            if left > 0 {
                let is_edge = left < before && end > i64::MIN;
                let is_same = self.known.get(&hour) == source.get(&hour);
                return if is_edge {
                    hour + 1
                } else if is_same {
                    end
                } else {
                    i64::MIN
                };
            }
            end = hour + 1;
        }
        end
    }

    fn would_shrink(&self, source: &Buckets, hours: std::ops::Range<i64>) -> bool {
        let (mut held, mut lost) = ((0, 0), (0, 0));
        let mut shrinks = false;
        let all: BTreeSet<i64> = self.known.keys().chain(source.keys()).chain(self.lost.keys()).copied().collect();
        for hour in all.range(hours) {
            let (before, after) = (amount(self.known.get(hour)), amount(source.get(hour)));
            let earlier = self.lost.get(hour).copied().unwrap_or_default();
            held = (held.0 + before.0 + earlier.0, held.1 + before.1 + earlier.1);
            lost = (lost.0 + before.0 - after.0 + earlier.0, lost.1 + before.1 - after.1 + earlier.1);
            shrinks |= after.0 < before.0 || after.1 < before.1;
        }
        let much = |lost: i64, held: i64| lost >= 10 && lost * 10 > held;
        shrinks && (much(lost.0, held.0) || much(lost.1, held.1))
    }
}

/// Start and length of every window that holds one of these hours.
fn windows(hours: BTreeSet<i64>) -> BTreeSet<(i64, i64)> {
    let mut found = BTreeSet::new();
    for hour in hours {
        for length in TUMBLING {
            found.insert((hour.div_euclid(length) * length, length));
        }
        // Rolling: any that holds this hour.
        found.extend((0..TUMBLING[0]).map(|before| (hour - before, TUMBLING[0])));
    }
    found
}

/// `fails`: a metric of the job's own divides by zero on every seventh prediction.
fn toml(incremental: bool, fails: bool) -> String {
    let seen = if incremental { "arrived_at = \"seen\"\n" } else { "" };
    let metric = if fails { "[[metrics.custom]]\nname = \"c\"\nsum = \"120 / (id % 7)\"\n" } else { "" };
    format!(
        "[job]\nname = \"forgetful\"\n[schedule]\nevery = \"1h\"\noverlap = \"10m\"\nreconcile = \"1s\"\n\
         [predictions]\ntable = \"public.p\"\nid = \"id\"\nat = \"at\"\nvalue = \"predicted\"\n{seen}\
         [labels]\ntable = \"public.l\"\nid = \"id\"\nvalue = \"actual\"\n{seen}\
         [windows]\nrolling = [\"6h\"]\ntumbling = [\"6h\", \"1d\"]\nlabel_wait = \"12h\"\nhorizon = \"20d\"\nbucket = \"1h\"\n\
         [residuals]\nkeep = \"30d\"\n{metric}"
    )
}

const TABLES: &str = "create table public.p (id bigint primary key, at timestamptz not null, predicted float8, seen timestamptz not null);
    create table public.l (id bigint primary key, actual float8, seen timestamptz not null);
    create table public.saved_p (like public.p); create table public.saved_l (like public.l);";

async fn history(seed: u64) -> Totals {
    let mut dice = Dice::new(seed);
    let incremental = dice.roll(3) > 0;
    let fails = dice.roll(2) > 0;
    let world = World::new(TABLES, &toml(incremental, fails)).await;
    let mut totals = Totals { histories: 1, ..Totals::default() };
    let mut now = at(START);
    // One prediction on which the expression fails, so that every later run evaluates it row by row.
    world.db.execute("insert into public.p values (0, '2024-05-02T12:30Z', 0, '2024-05-02T12:30Z'); insert into public.l select id, 0, seen from public.p").await;
    world.run_at(now).await;
    let mut oracle = Oracle { known: source(&world).await, ..Oracle::default() };
    let mut next_id = 1;
    for step in 0..10 {
        let until = now + TimeDelta::hours(1 + i64::try_from(dice.roll(10)).expect("small"));
        let mut done = Vec::new();
        for _ in 0..1 + dice.roll(3) {
            done.push(act(&mut dice, &world, now, until, &mut next_id).await);
        }
        let before = now;
        now = until;
        world.run_at(now).await;
        let source = source(&world).await;
        if incremental {
            // What arrived since the last run is read by its key; what is compared comes after.
            arrive(&world, before - TimeDelta::minutes(10), fails, &mut oracle.known).await;
        }
        oracle.follow(&source, &mut totals);
        let context = format!("seed {seed}, step {step}, incremental {incremental}, fails {fails}, {done:?}");
        compare(&world, &oracle, now, &context, &mut totals).await;
        if fails {
            compare_expression(&world, &oracle, now, &context, &mut totals).await;
        }
    }
    totals
}

/// One thing that happens between two runs.
async fn act(
    dice: &mut Dice,
    world: &World,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    next_id: &mut i64,
) -> &'static str {
    let seen = from + (until - from) / 2;
    let hours = 2 + i64::try_from(dice.roll(40)).expect("small");
    let old = format!("at < timestamptz '{until}' - interval '{hours} hours'");
    let (what, sql) = match dice.roll(12) {
        0..=4 => {
            let rows = 10 + i64::try_from(dice.roll(60)).expect("small");
            let first = *next_id;
            *next_id += rows;
            let labels = if dice.roll(3) > 0 { "true" } else { "id % 3 = 0" };
            ("new predictions", format!(
                "insert into public.p select n, timestamptz '{until}' - (n * 7919 % 2000) * interval '1 minute', n % 11, '{seen}' from generate_series({first}, {}) n;
                 insert into public.l select id, id % 5, '{seen}' from public.p where id >= {first} and {labels}",
                *next_id - 1
            ))
        }
        5 => ("late labels", format!("insert into public.l select id, id % 5, '{seen}' from public.p where id not in (select id from public.l) and id % 2 = 0")),
        6 => ("predictions purged by age", format!("delete from public.p where {old}")),
        7 => ("both purged by age", format!("delete from public.l using public.p where p.id = l.id and p.{old}; delete from public.p where {old}")),
        8 => ("labels purged by age", format!("delete from public.l using public.p where p.id = l.id and p.{old}")),
        9 => ("truncated", "insert into public.saved_p select * from public.p; insert into public.saved_l select * from public.l; truncate public.p, public.l".to_owned()),
        10 => ("loaded again", format!(
            "insert into public.p select distinct on (id) id, at, predicted, '{seen}' from public.saved_p on conflict do nothing;
             insert into public.l select distinct on (id) id, actual, '{seen}' from public.saved_l on conflict do nothing")),
        _ => ("a few rows deleted", format!("delete from public.p where id in (select id from public.p where id % 13 = {} order by id limit 4)", dice.roll(13))),
    };
    world.db.execute(&sql).await;
    what
}

const PAIRS: &str = "select p.id, extract(epoch from p.at)::bigint, (p.predicted - l.actual)::float8 from public.p left join public.l using (id)";

async fn source(world: &World) -> Buckets {
    let mut buckets = Buckets::new();
    for row in sqlx::query(PAIRS).fetch_all(&world.db.pool).await.expect("rows") {
        let (id, at): (i64, i64) = (row.get(0), row.get(1));
        buckets.entry(at.div_euclid(BUCKET)).or_default().insert(id, row.get(2));
    }
    buckets
}

/// Predictions and labels that arrived since a time.
async fn arrive(world: &World, since: DateTime<Utc>, fails: bool, known: &mut Buckets) {
    let sql = format!("{PAIRS} where p.seen > '{since}' or l.seen > '{since}'");
    for row in sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(&world.db.pool).await.expect("rows") {
        let (id, at): (i64, i64) = (row.get(0), row.get(1));
        known.entry(at.div_euclid(BUCKET)).or_default().insert(id, row.get(2));
    }
    // A label whose prediction left the source in the meantime finds it in what is known, unless an expression needs its row.
    if fails {
        return;
    }
    let sql = format!(
        "select id, actual, (id % 11)::float8 from public.l where seen > '{since}' and id not in (select id from public.p)"
    );
    for row in sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(&world.db.pool).await.expect("rows") {
        let (id, actual, predicted): (i64, f64, f64) = (row.get(0), row.get(1), row.get(2));
        if let Some(error) = known.values_mut().find_map(|pairs| pairs.get_mut(&id)) {
            *error = Some(predicted - actual);
        }
    }
}

async fn compare(world: &World, oracle: &Oracle, now: DateTime<Utc>, context: &str, totals: &mut Totals) {
    let sql = "select extract(epoch from window_start)::bigint, extract(epoch from window_end)::bigint, predictions, labeled, mse,
                      source_gone_at is not null
               from trueup.window_history where cohort = 'all' and window_name like 'tumbling%'";
    let mut found = BTreeMap::new();
    for row in sqlx::query(sql).fetch_all(&world.db.pool).await.expect("rows") {
        let (start, end): (i64, i64) = (row.get(0), row.get(1));
        let said: (i64, i64, Option<f64>, bool) = (row.get(2), row.get(3), row.get(4), row.get(5));
        found.insert((start / BUCKET, (end - start) / BUCKET), said);
    }
    for length in TUMBLING {
        let starts: BTreeSet<i64> = oracle.known.keys().map(|hour| hour.div_euclid(length) * length).collect();
        for start in starts.into_iter().filter(|start| (start + length) * BUCKET <= now.timestamp()) {
            let inside = start..start + length;
            let pairs: Vec<Option<f64>> =
                oracle.known.range(inside.clone()).flat_map(|(_, p)| p.values().copied()).collect();
            let errors: Vec<f64> = pairs.iter().flatten().copied().collect();
            if pairs.is_empty() {
                continue;
            }
            let count = |n: usize| i64::try_from(n).expect("small");
            let (predictions, labeled, mse, gone) = found
                .remove(&(start, length))
                .unwrap_or_else(|| panic!("{context}: the window of {length} h from {start} is missing"));
            assert_eq!(
                (predictions, labeled),
                (count(pairs.len()), count(errors.len())),
                "{context}: {length} h from {start}"
            );
            let sum: f64 = errors.iter().map(|error| error * error).sum();
            #[expect(clippy::cast_precision_loss, reason = "small counts")]
            let expected = (!errors.is_empty()).then(|| sum / errors.len() as f64);
            let is_near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * b.abs().max(1.0);
            assert!(
                match (mse, expected) {
                    (Some(a), Some(b)) => is_near(a, b),
                    (a, b) => a.is_none() && b.is_none(),
                },
                "{context}: mse of {length} h from {start} is {mse:?}, expected {expected:?}"
            );
            let is_kept = oracle.kept.range(inside).next().is_some();
            assert_eq!(gone, is_kept, "{context}: mark of {length} h from {start}");
            totals.compared += 1;
            totals.marked += u64::from(gone);
        }
    }
    assert!(found.is_empty(), "{context}: the history has more: {found:?}");
}

/// The job's own metric is the mean over the pairs on which it does not fail, and the others are counted.
async fn compare_expression(world: &World, oracle: &Oracle, now: DateTime<Utc>, context: &str, totals: &mut Totals) {
    let sql = "select extract(epoch from window_start)::bigint, extract(epoch from window_end)::bigint, (extra ->> 'c')::float8,
                      (extra ->> 'failed_expressions')::float8
               from trueup.window_history where cohort = 'all' and window_name like 'tumbling%' and labeled > 0";
    for row in sqlx::query(sql).fetch_all(&world.db.pool).await.expect("rows") {
        let (start, end): (i64, i64) = (row.get(0), row.get(1));
        if end > now.timestamp() {
            continue;
        }
        let pairs = oracle.known.range(start / BUCKET..end / BUCKET).flat_map(|(_, pairs)| pairs);
        let labeled: Vec<i64> = pairs.filter(|(_, error)| error.is_some()).map(|(id, _)| id % 7).collect();
        let values: Vec<i64> = labeled.iter().filter(|left| **left != 0).map(|left| 120 / left).collect();
        #[expect(clippy::cast_precision_loss, reason = "small counts")]
        let (sum, count, failed) =
            (values.iter().sum::<i64>() as f64, values.len() as f64, (labeled.len() - values.len()) as f64);
        let expected = (count > 0.0).then(|| sum / count);
        let (c, said): (Option<f64>, Option<f64>) = (row.get(2), row.get(3));
        let is_near = match (c, expected) {
            (Some(a), Some(b)) => (a - b).abs() < 1e-9 * b,
            (a, b) => a.is_none() && b.is_none(),
        };
        assert!(is_near, "{context}: c of {start} to {end} is {c:?}, expected {expected:?}");
        assert_eq!(said, Some(failed), "{context}: failures of {start} to {end}");
        totals.failed += u64::from(failed > 0.0);
    }
}
