//! Random histories: whatever happens to the source, after every run the history is what a recompute says that shares no
//! code with the engine. `TRUEUP_HISTORIES=200000 cargo test --release random` runs more of them; `TRUEUP_SEED` repeats one.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use futures::stream::{self, StreamExt};
use sqlx::Row;

use crate::support::dice::Dice;
use crate::support::world::{World, at, plan_job};

const HISTORIES: u64 = 100;
const STEPS: u64 = 9;

#[tokio::test(flavor = "multi_thread")]
async fn after_every_step_of_random_histories_the_history_is_what_a_recompute_says() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let histories = number("TRUEUP_HISTORIES").unwrap_or(HISTORIES);
    let first = number("TRUEUP_SEED").unwrap_or_else(|| u64::from(Utc::now().timestamp().unsigned_abs() as u32) << 20);
    println!("{histories} histories, first seed {first}");
    let totals = stream::iter(0..histories)
        .map(|n| tokio::spawn(history(first + n)))
        .buffer_unordered(4)
        .fold(Totals::default(), |sum, one| async move { sum.plus(one.expect("a history")) })
        .await;
    println!("{totals:?}");
    // What the test is about really happened.
    assert!(totals.incremental > histories, "most runs read only what arrived: {totals:?}");
    assert!(totals.repaired > 0 && totals.revisions > 0 && totals.spec_changes > 0, "{totals:?}");
    assert!(totals.compared > histories * 50, "{totals:?}");
}

#[derive(Debug, Default, Clone, Copy)]
struct Totals {
    runs: u64,
    /// Runs that read less than everything.
    incremental: u64,
    /// Buckets that reconciliation found to differ.
    repaired: u64,
    revisions: u64,
    spec_changes: u64,
    /// Measurements compared.
    compared: u64,
}

impl Totals {
    fn plus(self, other: Self) -> Self {
        Self {
            runs: self.runs + other.runs,
            incremental: self.incremental + other.incremental,
            repaired: self.repaired + other.repaired,
            revisions: self.revisions + other.revisions,
            spec_changes: self.spec_changes + other.spec_changes,
            compared: self.compared + other.compared,
        }
    }
}

/// How one history differs from others.
#[derive(Debug, Clone, Copy)]
struct Shape {
    unique: bool,
    versions: bool,
    /// Every run compares with the source, so that changes which no arrival time tells of are found at once.
    reconciles: bool,
    incremental: bool,
    on_duplicate: &'static str,
    keep: &'static str,
    by_region: bool,
    /// And a second set of cohorts, by region and the parity of the key.
    by_both: bool,
    bucket: &'static str,
    /// `bigint`, `text`, or a key of two columns.
    key: &'static str,
    /// Queries in place of tables.
    queries: bool,
    /// More is summed: histograms, a weight, a ratio of its own.
    rich: bool,
}

impl Shape {
    fn roll(dice: &mut Dice) -> Self {
        Self {
            unique: dice.roll(3) > 0,
            versions: dice.roll(2) == 0,
            reconciles: dice.roll(2) == 0,
            incremental: dice.roll(6) > 0,
            on_duplicate: ["latest", "first", "error"][dice.index(3)],
            keep: ["2h", "12h", "3d"][dice.index(3)],
            by_region: dice.roll(3) > 0,
            by_both: dice.roll(3) == 0,
            bucket: ["15m", "1h"][dice.index(2)],
            key: ["bigint", "text", "two columns"][dice.index(3)],
            queries: dice.roll(4) == 0,
            rich: dice.roll(4) == 0,
        }
    }

    fn toml(self) -> String {
        let seen = if self.incremental { "arrived_at = \"seen\"\n" } else { "" };
        let version = if self.versions { "version = \"version\"\n" } else { "" };
        let mut cohorts = String::new();
        if self.by_region {
            cohorts.push_str("[[cohorts]]\nby = [\"region\"]\n");
        }
        if self.by_both {
            cohorts.push_str(
                "[[cohorts]]\nby = [\"region\", { name = \"odd\", expr = \"mod(cast(id as bigint), 2)\" }]\n",
            );
        }
        if self.rich {
            cohorts.push_str(
                "[metrics]\ninclude = [\"mse\", \"mae\", \"bias\", \"p90_abs_error\", \"weighted_mse\", \"r2\"]\nweight = \"weight\"\n\
                 [[metrics.custom]]\nname = \"c\"\nsum = \"abs(error) * weight\"\nper = \"weight\"\n",
            );
        }
        let id = if self.key == "two columns" { "[\"id\", \"part\"]" } else { "\"id\"" };
        let source = |table: &str| {
            if self.queries {
                format!("query = \"select * from public.{table}\"")
            } else {
                format!("table = \"public.{table}\"")
            }
        };
        let (predictions, labels) = (source("p"), source("l"));
        format!(
            "[job]\nname = \"random\"\n[schedule]\nevery = \"1h\"\noverlap = \"10m\"\nreconcile = \"{}\"\n\
             [predictions]\n{predictions}\nid = {id}\nat = \"at\"\nvalue = \"predicted\"\n{version}{seen}\
             [labels]\n{labels}\nid = {id}\nvalue = \"actual\"\non_duplicate = \"{}\"\n{seen}\
             [windows]\nrolling = [\"6h\"]\ntumbling = [\"6h\", \"1d\"]\nlabel_wait = \"12h\"\nhorizon = \"20d\"\nbucket = \"{}\"\n\
             [residuals]\nkeep = \"{}\"\n{cohorts}",
            if self.reconciles { "1s" } else { "900d" },
            if seen.is_empty() && self.on_duplicate != "error" { "latest" } else { self.on_duplicate },
            self.bucket,
            self.keep
        )
    }

    fn tables(self) -> String {
        let id = if self.key == "text" { "text" } else { "bigint" };
        let (prediction_key, label_key) = match (self.unique, self.versions) {
            (false, _) => ("", ""),
            (true, true) => (", primary key (id, version)", ", primary key (id)"),
            (true, false) => (", primary key (id)", ", primary key (id)"),
        };
        format!(
            "create table public.p (id {id} not null, at timestamptz not null, predicted float8, version text not null, region text, seen timestamptz not null,
                 part text not null default 'x', weight numeric default 2{prediction_key});
             create table public.l (id {id} not null, actual float8, seen timestamptz not null, part text not null default 'x'{label_key});"
        )
    }
}

async fn history(seed: u64) -> Totals {
    let mut dice = Dice::new(seed);
    let mut shape = Shape::roll(&mut dice);
    let mut world = World::new(&shape.tables(), &shape.toml()).await;
    let mut now = at("2024-05-03T00:00:00Z");
    let mut totals = Totals::default();
    let mut next_id = 1;
    for step in 0..STEPS {
        let until = now + TimeDelta::hours(1 + i64::try_from(dice.roll(7)).expect("small"));
        for _ in 0..1 + dice.roll(4) {
            act(&mut dice, shape, &world, now, until, &mut next_id).await;
        }
        if dice.roll(9) == 0 {
            shape.by_region = !shape.by_region;
            world.job = plan_job(&shape.toml());
            totals.spec_changes += 1;
        }
        now = until;
        let published = world.run_at(now).await;
        totals.runs += 1;
        totals.incremental += u64::from(published.done.buckets_repaired.is_none() && shape.incremental && step > 0);
        totals.repaired += u64::try_from(published.done.buckets_repaired.unwrap_or(0)).expect("a count");
        totals.compared +=
            compare(&world, shape, now, &format!("seed {seed}, step {step}, {shape:?}, as of {now}")).await;
        // Committed late: its arrival time is before the run that has just been, within the overlap.
        if dice.roll(3) == 0 {
            let seen = now - TimeDelta::seconds(i64::try_from(dice.roll(590)).expect("small"));
            insert(&mut dice, shape, &world, seen, now, &mut next_id, 3).await;
        }
    }
    totals.revisions =
        u64::try_from(world.db.scalar::<i64>("select count(*) from trueup.window_revisions where revision > 1").await)
            .expect("a count");
    totals
}

fn value(dice: &mut Dice) -> String {
    match dice.roll(24) {
        0 => "null".to_owned(),
        1 => "'NaN'".to_owned(),
        2 => "'Infinity'".to_owned(),
        3 => "1e300".to_owned(),
        4 => "0".to_owned(),
        _ => format!("{}::float8 / 16", dice.roll(3_000)),
    }
}

fn region(dice: &mut Dice) -> &'static str {
    ["'north'", "'south'", "'east'", "null", "''"][dice.index(5)]
}

/// One thing that happens to the source between two runs. What it writes arrived in `(from, until]`.
async fn act(
    dice: &mut Dice,
    shape: Shape,
    world: &World,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    next_id: &mut u64,
) {
    let span = (until - from).num_seconds().unsigned_abs();
    let seen = from + TimeDelta::seconds(1 + i64::try_from(dice.roll(span)).expect("small"));
    let some = format!("id::bigint % 7 = {}", dice.roll(7));
    // What leaves no arrival time is only found by reconciliation, or by a run that reads everything.
    let quiet = shape.reconciles || !shape.incremental;
    match dice.roll(10) {
        0..=2 => insert(dice, shape, world, seen, until, next_id, 12).await,
        3 | 4 => {
            let actual = value(dice);
            let conflict = if shape.unique { "on conflict (id) do nothing" } else { "" };
            world.db.execute(&format!("insert into public.l select distinct id, ({actual})::float8, timestamptz '{seen}' from public.p where {some} {conflict}")).await;
        }
        5 => {
            let predicted = value(dice);
            world
                .db
                .execute(&format!("update public.p set predicted = {predicted}, seen = '{seen}' where {some}"))
                .await;
        }
        6 => {
            let region = region(dice);
            // Where a row was before is known only while its residual is kept; after that reconciliation finds out.
            let kept =
                if quiet { String::new() } else { format!("and at > timestamptz '{until}' - interval '2 days'") };
            let minutes =
                if quiet || shape.keep == "3d" { i64::try_from(dice.roll(400)).expect("small") - 200 } else { 0 };
            let sql = format!(
                "update public.p set region = {region}, at = at + interval '{minutes} minutes', seen = '{seen}' where {some} {kept}"
            );
            world.db.execute(&sql).await;
        }
        7 => {
            let actual = value(dice);
            world.db.execute(&format!("update public.l set actual = {actual}, seen = '{seen}' where {some}")).await;
        }
        8 if quiet => {
            let table = ["public.p", "public.l"][dice.index(2)];
            world.db.execute(&format!("delete from {table} where {some} and id::bigint % 5 = {}", dice.roll(5))).await;
        }
        9 if quiet => {
            world
                .db
                .execute(&format!("update public.p set region = 'moved' where {some} and id::bigint % 3 = 0"))
                .await;
        }
        _ => {
            // Rolled back, in a session of its own: as if it had never been.
            let mut session = world.db.connection().await;
            let sql =
                format!("begin; insert into public.p values (999999, '{until}', 1, 'v1', 'north', '{seen}'); rollback");
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut session).await.expect("a session");
        }
    }
}

/// New predictions of the last day or two, some with a label at once.
async fn insert(
    dice: &mut Dice,
    shape: Shape,
    world: &World,
    seen: DateTime<Utc>,
    until: DateTime<Utc>,
    next_id: &mut u64,
    most: u64,
) {
    let mut session = world.db.connection().await;
    let mut sql = "begin;".to_owned();
    for _ in 0..1 + dice.roll(most) {
        let id = if !shape.unique && dice.roll(6) == 0 && *next_id > 1 { dice.roll(*next_id) } else { *next_id };
        *next_id = (*next_id).max(id + 1);
        let event = until - TimeDelta::minutes(i64::try_from(dice.roll(2 * 1_440)).expect("small"));
        let version = ["v1", "v2"][dice.index(2)];
        sql.push_str(&format!(
            "insert into public.p values ({id}, '{event}', {}, '{version}', {}, '{seen}');",
            value(dice),
            region(dice)
        ));
        if dice.roll(2) == 0 {
            let conflict = if shape.unique { "on conflict (id) do nothing" } else { "" };
            sql.push_str(&format!("insert into public.l values ({id}, {}, '{seen}') {conflict};", value(dice)));
        }
    }
    sql.push_str("commit");
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut session).await.expect("predictions");
}

/// A copy of a prediction: event time, value, region.
type Copy = (DateTime<Utc>, Option<f64>, Option<String>);
/// A label: when it was seen, and its value.
type Label = (DateTime<Utc>, Option<f64>);
type Key = (String, DateTime<Utc>, String, Option<String>);

/// Counts and metrics of a group, recomputed.
#[derive(Debug, Default, Clone)]
struct Group {
    predictions: i64,
    excluded: i64,
    duplicates: i64,
    errors: Vec<f64>,
}

/// Every window that the history must know by now, from the rows of the source as they are. Shares no code with the engine.
async fn recompute(world: &World, shape: Shape, now: DateTime<Utc>) -> BTreeMap<Key, Group> {
    let mut by_key: BTreeMap<(i64, String), Vec<Copy>> = BTreeMap::new();
    let visible = if shape.incremental { format!("where seen <= '{now}'") } else { String::new() };
    for row in rows(world, &format!("select id::bigint, at, predicted, version, region from public.p {visible}")).await
    {
        let version: String = if shape.versions { row.get(3) } else { String::new() };
        by_key.entry((row.get(0), version)).or_default().push((row.get(1), row.get(2), row.get(4)));
    }
    let mut labels: BTreeMap<i64, Vec<Label>> = BTreeMap::new();
    for row in rows(world, &format!("select id::bigint, seen, actual from public.l {visible}")).await {
        labels.entry(row.get(0)).or_default().push((row.get(1), row.get(2)));
    }
    let mut groups = BTreeMap::new();
    for ((id, version), copies) in by_key {
        // Of several copies of a key the earliest place counts, and none of them is averaged.
        let event = copies.iter().map(|copy| copy.0).min().expect("a copy");
        let region = copies.iter().filter_map(|copy| copy.2.clone()).min();
        let outcome = outcome(shape, &copies, labels.get(&id));
        let mut cohorts = vec!["all".to_owned()];
        if shape.by_region {
            cohorts.push(cohort(region.as_deref()));
        }
        if shape.by_both {
            cohorts.push(format!("odd={}, {}", id.rem_euclid(2), cohort(region.as_deref())));
        }
        let versions = if shape.versions { vec![None, Some(version)] } else { vec![None] };
        for (window, start) in windows_of(event, now) {
            for cohort in &cohorts {
                for version in &versions {
                    let key = (window.clone(), start, cohort.clone(), version.clone());
                    let group: &mut Group = groups.entry(key).or_default();
                    group.predictions += i64::try_from(copies.len()).expect("a count");
                    match outcome {
                        Outcome::Error(error) => group.errors.push(error),
                        Outcome::Unlabeled => {}
                        Outcome::Excluded => group.excluded += 1,
                        Outcome::Duplicate => {
                            group.excluded += i64::try_from(copies.len()).expect("a count");
                            group.duplicates += i64::try_from(copies.len()).expect("a count");
                        }
                    }
                }
            }
        }
    }
    groups
}

#[derive(Debug, Clone, Copy)]
enum Outcome {
    Error(f64),
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
    match (copies[0].1, chosen[0]) {
        (Some(p), Some(a)) if p.abs() <= 1e70 && a.abs() <= 1e70 => Outcome::Error(p - a),
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

/// The windows an event lies in, of those that have ended: by name and start.
fn windows_of(event: DateTime<Utc>, now: DateTime<Utc>) -> Vec<(String, DateTime<Utc>)> {
    let floor =
        |seconds: i64| DateTime::from_timestamp(event.timestamp().div_euclid(seconds) * seconds, 0).expect("a time");
    let mut found = Vec::new();
    for (name, seconds) in [("tumbling 6h", 21_600), ("tumbling 1d", 86_400)] {
        if floor(seconds) + TimeDelta::seconds(seconds) <= now {
            found.push((name.to_owned(), floor(seconds)));
        }
    }
    if event >= now - TimeDelta::hours(6) && event < now {
        found.push(("rolling 6h".to_owned(), now - TimeDelta::hours(6)));
    }
    found
}

async fn rows(world: &World, sql: &str) -> Vec<sqlx::postgres::PgRow> {
    sqlx::query(sqlx::AssertSqlSafe(sql.to_owned())).fetch_all(&world.db.pool).await.expect("rows")
}

/// Compares everything, both ways. Returns how much there was.
async fn compare(world: &World, shape: Shape, now: DateTime<Utc>, context: &str) -> u64 {
    let expected = recompute(world, shape, now).await;
    let sql = format!(
        "select window_name, window_start, cohort, model_version, predictions, labeled, excluded, duplicates, mse, mae, bias
         from trueup.window_history where window_name like 'tumbling%' or window_end = '{now}'"
    );
    let mut found: BTreeMap<Key, sqlx::postgres::PgRow> = BTreeMap::new();
    for row in rows(world, &sql).await {
        found.insert((row.get(0), row.get(1), row.get(2), row.get(3)), row);
    }
    // Cohorts of an earlier definition of the job stay in its history: they are of another plan.
    found.retain(|key, _| match key.2.split_once('=') {
        None => true,
        Some(("region", _)) => shape.by_region,
        Some(_) => shape.by_both,
    });
    for (key, group) in &expected {
        let row = found.remove(key).unwrap_or_else(|| panic!("{context}: {key:?} is missing, expected {group:?}"));
        let labeled = i64::try_from(group.errors.len()).expect("a count");
        let counts: (i64, i64, i64, i64) = (row.get(4), row.get(5), row.get(6), row.get(7));
        assert_eq!(counts, (group.predictions, labeled, group.excluded, group.duplicates), "{context}: {key:?}");
        let mean = |of: fn(f64) -> f64| group.errors.iter().map(|e| of(*e)).sum::<f64>() / labeled as f64;
        for (place, expected) in [(8, mean(|e| e * e)), (9, mean(f64::abs)), (10, mean(|e| e))] {
            let value: Option<f64> = row.get(place);
            match value {
                Some(value) => assert!(
                    (value - expected).abs() <= 1e-9 * expected.abs().max(1e-3),
                    "{context}: {key:?}: {value}, expected {expected}"
                ),
                None => assert_eq!(labeled, 0, "{context}: {key:?}"),
            }
        }
    }
    assert!(found.is_empty(), "{context}: the history has more: {:?}", found.keys().collect::<Vec<_>>());
    u64::try_from(expected.len()).expect("a count")
}
