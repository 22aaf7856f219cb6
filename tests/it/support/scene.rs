//! What runners of the fault tests work on: one prediction a second around now, labels at once.

use std::time::Duration;

use super::database::TestDatabase;
use super::fleet::until_or;

/// Errors are small for eight seconds and large for eight, so that an alert fires and ends again and again.
pub const SCENE: &str = "
    create table public.p (id bigint primary key, at timestamptz not null, predicted float8, seen timestamptz not null);
    create table public.l (id bigint primary key, actual float8, seen timestamptz not null);
    insert into public.p select s, to_timestamp(s), 1 + s % 3 + 20 * (s / 8 % 2), to_timestamp(s) - interval '1 hour'
        from generate_series(extract(epoch from now())::bigint - 400, extract(epoch from now())::bigint + 900) s;
    insert into public.l select id, 0, at from public.p;
    create index on public.p (at); create index on public.p (seen); create index on public.l (seen);
    analyze public.p; analyze public.l;";

/// A job every other second that tells a webhook: a busy machine still keeps up with it.
pub const EVERY_SECONDS: u32 = 2;

/// The job.
pub const BUSY: &str = r#"
[job]
name = "tick"
[schedule]
every = "2s"
catch_up = "all"
overlap = "5s"
timeout = "30s"
[predictions]
table = "public.p"
id = "id"
at = "at"
value = "predicted"
arrived_at = "seen"
[labels]
table = "public.l"
id = "id"
value = "actual"
arrived_at = "seen"
[windows]
rolling = ["4s"]
label_wait = "20s"
horizon = "20s"
[[alerts]]
name = "large"
metric = "rmse"
window = "rolling 4s"
above = 10.0
notify = ["hook"]
"#;

pub const LEASE_SECONDS: i64 = 3;
pub const POLL_SECONDS: i64 = 1;

/// Settings of a runner that tells a webhook on loopback, with few connections.
pub fn settings(hook: &str, connections: u64) -> String {
    format!(
        "[database]\nmax_connections = {connections}\n[scheduler]\nlease = \"{LEASE_SECONDS}s\"\npoll = \"{POLL_SECONDS}s\"\n\
         [routing]\ngroup_wait = \"0s\"\ngroup_interval = \"1s\"\n\
         [receivers.hook]\ntype = \"webhook\"\nurl = \"{hook}\"\nallow_http = true\nallow_networks = [\"127.0.0.0/8\"]\n"
    )
}

/// Whether the newest tick that was published is of the last few seconds.
pub const IS_ON_TIME: &str = "select coalesce(max(scheduled_for) > clock_timestamp() - interval '6 seconds', false)
    from trueup.run where state = 'ok'";

/// Seconds that a run takes on this machine just now: the slowest of those that nothing troubled.
pub async fn slowest_run(db: &TestDatabase) -> Duration {
    let seconds: f64 = db
        .scalar(
            "select coalesce(max(extract(epoch from finished_at - started_at)), 0)::float8 from trueup.run
             where state = 'ok' and attempt = 1",
        )
        .await;
    Duration::from_secs_f64(seconds)
}

/// Waits until anything is published. How long that took, whatever is left to catch up.
pub async fn resumed(db: &TestDatabase, within: Duration, what: impl Fn() -> String) -> Duration {
    let now: String = db.scalar("select clock_timestamp()::text").await;
    let fresh = format!("select exists (select from trueup.run where state = 'ok' and finished_at > '{now}')");
    until_or(within, what, || db.scalar::<bool>(&fresh)).await
}

/// Waits until a tick is published that was not due yet when this was asked, with all before it. How long that took.
pub async fn published_anew(db: &TestDatabase, within: Duration, what: impl Fn() -> String) -> Duration {
    let now: String = db.scalar("select clock_timestamp()::text").await;
    let fresh = format!("select coalesce(max(scheduled_for) > '{now}', false) from trueup.run where state = 'ok'");
    until_or(within, what, || db.scalar::<bool>(&fresh)).await
}

/// Ticks of every job that are not there exactly once, or have no end: nothing, once all is well.
pub async fn lost_or_doubled(db: &TestDatabase) -> Vec<String> {
    db.lines(&format!(
        "select j.name, t, count(r.id) from trueup.job j
         cross join lateral (select min(scheduled_for) as first, max(scheduled_for) filter (where state = 'ok') as last
             from trueup.run r where r.job_id = j.id and r.trigger in ('schedule', 'catch_up')) as range
         cross join lateral generate_series(range.first, range.last, interval '{EVERY_SECONDS} seconds') t
         left join trueup.run r on r.job_id = j.id and r.scheduled_for = t and r.trigger in ('schedule', 'catch_up')
         group by j.name, t having count(r.id) <> 1 or bool_or(r.state in ('due', 'running')) order by 1, 2"
    ))
    .await
}

/// Firings up to a moment that no settled message reports, after the runners had a minute to settle them.
///
/// Runners must still be running: what fires after the moment is theirs to report later.
pub async fn unreported(db: &TestDatabase, moment: &str) -> Vec<String> {
    let query = format!(
        "select t.id, t.changed_at, a.rule from trueup.alert_transition t
         join trueup.alert a on a.id = t.alert_id
         where t.to_state = 'firing' and t.changed_at <= '{moment}' and a.rule = 'large' and not exists (
             select from trueup.notification n where n.job_id = a.job_id and n.kind = 'firing'
                 and n.state in ('sent', 'dropped') and n.settled_at >= t.changed_at)"
    );
    let mut missing = db.lines(&query).await;
    for _ in 0..120 {
        if missing.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        missing = db.lines(&query).await;
    }
    missing
}

/// Windows whose published numbers are not those of plain SQL over the source.
pub const DIFFERENT: &str = "
    select w.window_end, w.labeled, w.mse, o.n, o.mse as expected from trueup.window_history w
    cross join lateral (select count(*) as n, avg(p.predicted * p.predicted) as mse from public.p p
        where p.at >= w.window_start and p.at < w.window_end) as o
    where w.cohort = 'all' and (w.labeled is distinct from o.n or abs(w.mse - o.mse) > 1e-9 * greatest(1, o.mse))";
