//! What happens to predictions and labels during the storm, and what plain SQL says about them in the end.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection};
use tokio::time::{Instant, sleep};

use crate::support::dice::Dice;

pub const TABLES: &str = "
    create table public.p (id bigint generated always as identity primary key, at timestamptz not null, predicted float8,
        region text, seen timestamptz not null);
    create table public.l (id bigint primary key, actual float8, seen timestamptz not null);
    create index on public.p (at); create index on public.p (seen); create index on public.l (seen);";

/// Windows that are final and differ from what plain SQL says of their predictions and labels now.
pub const DIFFERENT: &str = "
    select w.job, w.window_name, w.window_end, w.labeled, w.mse, o.n, o.mse as expected
    from trueup.window_history w
    join trueup.measured_window m on m.job = w.job and m.window_name = w.window_name and m.window_end = w.window_end
    cross join lateral (
        select count(*) as n, avg((p.predicted - l.actual) ^ 2) as mse from public.p p join public.l l using (id)
        where p.at >= m.window_start and p.at < m.window_end and p.predicted <> 'NaN' and p.predicted is not null
          and l.actual is not null) as o
    where w.cohort = 'all' and m.finalized_at is not null
      and (w.labeled is distinct from o.n or abs(w.mse - o.mse) > 1e-9 * greatest(1, o.mse))";

/// Errors are large for as many seconds as they are small, so that alerts fire and end.
const REGIME_SECONDS: u64 = 12;

/// Writes until the end. What fails because the server is away is not written: a source may lose rows, the history not.
pub async fn write(options: &PgConnectOptions, end: Instant, mut dice: Dice) -> u64 {
    let mut connection: Option<PgConnection> = None;
    let mut written = 0;
    while Instant::now() < end {
        sleep(Duration::from_millis(100 + dice.roll(100))).await;
        if connection.is_none() {
            connection = options.clone().connect().await.ok();
        }
        let Some(mut open) = connection.take() else { continue };
        if sqlx::raw_sql(AssertSqlSafe(statement(&mut dice))).execute(&mut open).await.is_ok() {
            written += 1;
            connection = Some(open);
        } else {
            // Closed or not, another one is opened.
            drop(open.close().await);
        }
    }
    written
}

/// One thing that happens. Nothing changes that is older than a few seconds: by the time a window is final it is at rest.
fn statement(dice: &mut Dice) -> String {
    let recent = "at > clock_timestamp() - interval '5 seconds'";
    let label = "insert into public.l select id, 1, clock_timestamp() from public.p
        where at > clock_timestamp() - interval '5 seconds' and id % 4 <> 0 on conflict do nothing;";
    let predicted =
        format!("1 + {} + 20 * (extract(epoch from clock_timestamp())::bigint / {REGIME_SECONDS} % 2)", dice.roll(5));
    let insert = format!(
        "insert into public.p (at, predicted, region, seen) select clock_timestamp(), {predicted}, 'r' || {}, clock_timestamp();",
        dice.roll(3)
    );
    match dice.roll(12) {
        0..=4 => format!("{insert}{label}"),
        5 => format!("{insert}update public.l set actual = actual + 1, seen = clock_timestamp() where id in (select id from public.p where {recent} and id % 5 = 0);"),
        6 => format!("update public.p set predicted = predicted + 1, seen = clock_timestamp() where {recent} and id % 7 = 0;"),
        7 => format!("delete from public.l where id in (select id from public.p where {recent} and id % 6 = 0);"),
        8 => format!("delete from public.p where {recent} and id % 11 = 0;"),
        9 => format!("begin;{insert}{label}rollback;"),
        10 => "insert into public.p (at, predicted, region, seen) values (clock_timestamp(), 'NaN', null, clock_timestamp()), (clock_timestamp(), null, 'r1', clock_timestamp());".to_owned(),
        // A session that writes early and commits late.
        _ => format!("begin;{insert}select pg_sleep(1.5);{label}commit;"),
    }
}
