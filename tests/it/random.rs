//! Random histories: whatever happens to the source, after every run the history is what a recompute says that shares no
//! code with the engine. `TRUEUP_HISTORIES=200000 cargo test --release random` runs more of them; `TRUEUP_SEED` repeats one.

mod classes;
mod oracle;
mod record;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{Executor as _, PgConnection};

use crate::support::dice::Dice;
use crate::support::histories;
use crate::support::world::{World, at, plan_job};

const HISTORIES: u64 = 100;
const STEPS: u64 = 9;

#[tokio::test(flavor = "multi_thread")]
async fn after_every_step_of_random_histories_the_history_is_what_a_recompute_says() {
    let (histories, totals) = histories::all(HISTORIES, history, Totals::plus).await;
    // What the test is about really happened.
    assert!(totals.incremental > histories, "most runs read only what arrived: {totals:?}");
    assert!(totals.repaired > 0 && totals.revisions > 0 && totals.spec_changes > 0, "{totals:?}");
    assert!(totals.compared > histories * 50, "{totals:?}");
    assert!(totals.open_sessions > 0 && totals.backfills > 0 && totals.believed > histories * 50, "{totals:?}");
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
    /// Runs beside a session that had written and not yet committed.
    open_sessions: u64,
    backfills: u64,
    /// Measurements that were believed at a run and asked for after the next.
    believed: u64,
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
            open_sessions: self.open_sessions + other.open_sessions,
            backfills: self.backfills + other.backfills,
            believed: self.believed + other.believed,
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
    /// Only the two largest regions are kept apart.
    top: bool,
    /// Days of Bucharest, which has changed its clocks in two of the three times that histories start at.
    zone: bool,
    start: &'static str,
    /// Scores and labels of two classes instead of numbers.
    classes: bool,
    /// A mistake of the recompute.
    fault: Option<classes::Fault>,
}

impl Shape {
    fn roll(dice: &mut Dice) -> Self {
        let numbers = Self::of_numbers(dice);
        let classes = dice.roll(3) == 0;
        Self { classes, rich: numbers.rich && !classes, ..numbers }
    }

    fn of_numbers(dice: &mut Dice) -> Self {
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
            rich: dice.roll(3) == 0,
            top: dice.roll(3) == 0,
            zone: dice.roll(3) == 0,
            start: ["2024-05-03T00:00:00Z", "2024-03-29T21:00:00Z", "2024-10-26T03:00:00Z"][dice.index(3)],
            classes: false,
            fault: None,
        }
    }

    fn toml(self) -> String {
        let seen = if self.incremental { "arrived_at = \"seen\"\n" } else { "" };
        let version = if self.versions { "version = \"version\"\n" } else { "" };
        let mut cohorts = String::new();
        if self.by_region {
            cohorts.push_str("[[cohorts]]\nby = [\"region\"]\n");
            if self.top {
                cohorts.push_str("top = 2\n");
            }
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
        if self.classes {
            let names: Vec<String> = classes::METRICS.iter().map(|name| format!("\"{name}\"")).collect();
            let names = names.join(", ");
            cohorts.push_str(&format!("[model]\ntask = \"binary\"\n[metrics]\ntop = 0.25\ninclude = [{names}]\n"));
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
        let zone = if self.zone { "timezone = \"Europe/Bucharest\"\n" } else { "" };
        format!(
            "[job]\nname = \"random\"\n[schedule]\nevery = \"1h\"\noverlap = \"10m\"\nreconcile = \"{}\"\n\
             [predictions]\n{predictions}\nid = {id}\nat = \"at\"\nvalue = \"predicted\"\n{version}{seen}\
             [labels]\n{labels}\nid = {id}\nvalue = \"actual\"\non_duplicate = \"{}\"\n{seen}\
             [windows]\nrolling = [\"6h\"]\ntumbling = [\"6h\", \"1d\"]\nlabel_wait = \"12h\"\nhorizon = \"20d\"\nshrink = 1.0\nbucket = \"{}\"\n{zone}\
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
    let shape = Shape::roll(&mut dice);
    history_of(seed, dice, shape).await
}

/// A recompute with a mistake must disagree, or the comparison would find none in the engine either.
#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_planted_in_the_recompute_of_classes_is_found() {
    for fault in classes::FAULTS {
        let mut found = false;
        for seed in 1..=5 {
            let mut dice = Dice::new(seed);
            let shape = Shape { classes: true, rich: false, fault: Some(fault), ..Shape::of_numbers(&mut dice) };
            let run = move || tokio::runtime::Handle::current().block_on(history_of(seed, dice, shape));
            let ended = tokio::task::spawn_blocking(run).await;
            found |= ended.is_err_and(|error| error.is_panic());
        }
        assert!(found, "{fault:?} was not noticed");
    }
}

async fn history_of(seed: u64, mut dice: Dice, mut shape: Shape) -> Totals {
    let mut world = World::new(&shape.tables(), &shape.toml()).await;
    let start = at(shape.start);
    let mut now = start;
    let mut record = record::Record::default();
    let mut totals = Totals::default();
    let mut next_id = 1;
    for step in 0..STEPS {
        let until = now + TimeDelta::hours(1 + i64::try_from(dice.roll(7)).expect("small"));
        for _ in 0..1 + dice.roll(4) {
            act(&mut dice, shape, &world, now, until, &mut next_id).await;
        }
        let is_new_plan = dice.roll(9) == 0;
        if is_new_plan {
            shape.by_region = !shape.by_region;
            world.job = plan_job(&shape.toml());
            totals.spec_changes += 1;
        }
        now = until;
        // A session that has written before the run and commits after it: its arrival times are within the overlap.
        let mut late = None;
        if dice.roll(3) == 0 {
            late = Some(write_and_wait(&mut dice, shape, &world, now, &mut next_id).await);
            totals.open_sessions += 1;
        }
        let published = world.run_at(now).await;
        totals.runs += 1;
        let reads_arrivals = published.done.buckets_repaired.is_none() && shape.incremental;
        totals.incremental += u64::from(reads_arrivals && step > 0 && !is_new_plan);
        totals.repaired += u64::try_from(published.done.buckets_repaired.unwrap_or(0)).expect("a count");
        let context = format!("seed {seed}, step {step}, {shape:?}, as of {now}");
        totals.compared += oracle::compare(&world, shape, oracle::RunRequest::of_run(now), &context).await;
        totals.believed += record.check(&world, now, &context).await;
        if let Some(mut session) = late {
            session.execute(if dice.roll(3) > 0 { "commit" } else { "rollback" }).await.expect("a session");
        }
    }
    if dice.roll(3) == 0 {
        // What no arrival time tells of, and no run has compared with the source, a backfill finds.
        let some = dice.roll(5);
        world.db.execute(&format!("delete from public.l where id::bigint % 5 = {some}; update public.p set region = 'late' where id::bigint % 4 = 0")).await;
        world.backfill(start - TimeDelta::days(3)..now, None).await;
        let context = format!("seed {seed}, after the backfill, {shape:?}");
        totals.compared += oracle::compare(&world, shape, oracle::RunRequest::of_backfill(), &context).await;
        totals.believed += record.check(&world, Utc::now(), &context).await;
        let again = world.backfill(start - TimeDelta::days(3)..now, None).await;
        assert_eq!(again.windows_written, 0, "{context}: a second one writes nothing");
        totals.backfills += 1;
    }
    totals.revisions =
        u64::try_from(world.db.scalar::<i64>("select count(*) from trueup.window_revisions where revision > 1").await)
            .expect("a count");
    totals
}

/// A predicted value, or a score.
fn prediction(dice: &mut Dice, shape: Shape) -> String {
    if !shape.classes {
        return value(dice);
    }
    match dice.roll(20) {
        0 => "null".to_owned(),
        1 => "'NaN'".to_owned(),
        2 => "1.25".to_owned(),
        // On edges of bins, and at the threshold.
        3..=6 => format!("{}::float8 / 10", dice.roll(11)),
        _ => format!("{}::float8 / 16", dice.roll(17)),
    }
}

/// An actual value, or a label.
fn label(dice: &mut Dice, shape: Shape) -> String {
    if !shape.classes {
        return value(dice);
    }
    match dice.roll(20) {
        0 => "null".to_owned(),
        1 => "7".to_owned(),
        n => (n % 2).to_string(),
    }
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
            let actual = label(dice, shape);
            let conflict = if shape.unique { "on conflict (id) do nothing" } else { "" };
            world.db.execute(&format!("insert into public.l select distinct id, ({actual})::float8, timestamptz '{seen}' from public.p where {some} {conflict}")).await;
        }
        5 => {
            let predicted = prediction(dice, shape);
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
            let actual = label(dice, shape);
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
            // Rolled back: as if it had never been.
            let sql =
                format!("begin; insert into public.p values (999999, '{until}', 1, 'v1', 'north', '{seen}'); rollback");
            world.db.execute(&sql).await;
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
    let sql = format!("begin;{}commit", inserts(dice, shape, seen, until, next_id, most));
    world.db.execute(&sql).await;
}

/// Writes in a session that is still open when this returns: nobody else sees any of it yet.
async fn write_and_wait(
    dice: &mut Dice,
    shape: Shape,
    world: &World,
    now: DateTime<Utc>,
    next_id: &mut u64,
) -> PgConnection {
    let seen = now - TimeDelta::seconds(i64::try_from(dice.roll(590)).expect("small"));
    let mut sql = format!("begin;{}", inserts(dice, shape, seen, now, next_id, 4));
    if dice.roll(2) == 0 {
        let (actual, some) = (label(dice, shape), dice.roll(9));
        sql.push_str(&format!("update public.l set actual = {actual}, seen = '{seen}' where id::bigint % 9 = {some};"));
    }
    let mut session = world.db.connection().await;
    session.execute(sqlx::AssertSqlSafe(sql)).await.expect("a session");
    session
}

/// Statements that insert predictions of the last day or two, some with a label.
fn inserts(
    dice: &mut Dice,
    shape: Shape,
    seen: DateTime<Utc>,
    until: DateTime<Utc>,
    next_id: &mut u64,
    most: u64,
) -> String {
    let mut sql = String::new();
    for _ in 0..1 + dice.roll(most) {
        let id = if !shape.unique && dice.roll(6) == 0 && *next_id > 1 { dice.roll(*next_id) } else { *next_id };
        *next_id = (*next_id).max(id + 1);
        let event = until - TimeDelta::minutes(i64::try_from(dice.roll(2 * 1_440)).expect("small"));
        let version = ["v1", "v2"][dice.index(2)];
        sql.push_str(&format!(
            "insert into public.p (id, at, predicted, version, region, seen, weight) values ({id}, '{event}', {}, '{version}', {}, '{seen}', {});",
            prediction(dice, shape),
            region(dice),
            ["1", "2", "3.5", "null"][dice.index(4)]
        ));
        if dice.roll(2) == 0 {
            let conflict = if shape.unique { "on conflict (id) do nothing" } else { "" };
            sql.push_str(&format!("insert into public.l values ({id}, {}, '{seen}') {conflict};", label(dice, shape)));
        }
    }
    sql
}
