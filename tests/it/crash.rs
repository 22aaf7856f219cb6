//! A run may be cut off anywhere: the next one makes the history whole, and no session is left in a transaction.

use std::pin::pin;
use std::task::Poll;

use chrono::{DateTime, TimeDelta, Utc};
use trueup::pipeline::backfill::{self, Request};
use trueup::pipeline::enter::{RunRequest, enter};
use trueup::pipeline::run_job;

use crate::support::world::{LEASE, TABLES, World, at, hourly, quarter_hours};

const JOB: &str = "[windows]\nrolling = [\"6h\"]\ntumbling = [\"1d\"]\nlabel_wait = \"4h\"\n[residuals]\nkeep = \"3h\"\n[[cohorts]]\nby = [\"region\"]\n\
    [[alerts]]\nname = \"r\"\nmetric = \"rmse\"\nwindow = \"rolling 6h\"\nabove = 0.5\nfor = 2\nnotify = [\"hook\"]\n\
    [[alerts]]\nname = \"usual\"\nmetric = \"rmse\"\nwindow = \"rolling 6h\"\nabove_baseline = \"10%\"\nbaseline = { windows = 4, min = 2 }\ncohorts = \"each\"\nnotify = [\"hook\"]\n\
    [[slos]]\nname = \"near\"\ngood = \"abs(error) <= 1\"\nobjective = 0.97\nmin_samples = 5\nperiod = \"2d\"\nburn = [{ long = \"6h\", short = \"2h\", factor = 1.0, severity = \"ticket\" }]\nnotify = [\"hook\"]\n\
    [builtin]\noff = [\"run-late\"]\n";

const HISTORY: &str = "select window_name, window_end, cohort, model_version, predictions, labeled, mse, bias, status from trueup.window_history order by 1, 2, 3, 4";

async fn world() -> World {
    let world = World::new(TABLES, &hourly(JOB)).await;
    world.db.execute(&quarter_hours("2024-05-01T00:00:00Z", 24 * 5)).await;
    // Every seventh label is late, some of them by more than residuals are kept.
    world
        .db
        .execute("update public.l set actual = id % 5, seen = seen + (id % 4) * interval '3 hours' where id % 7 = 0")
        .await;
    world
}

fn hour(n: i64) -> DateTime<Utc> {
    at("2024-05-01T06:00:00Z") + TimeDelta::hours(n)
}

/// Polls a future at most so often, then drops it. Some of its value, if it came to its end.
async fn cut_off<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}

/// As if the lease of whoever held a run had run out.
async fn expire(world: &World) {
    world
        .db
        .execute("update trueup.run set lease_until = clock_timestamp() - interval '1 second' where state = 'running'")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_cut_off_at_any_await_loses_nothing() {
    let (clean, cut) = (world().await, world().await);
    let mut completed = 0;
    for n in 0..80 {
        clean.run_at(hour(n)).await;
        let claim = enter(&cut.db.pool, &cut.job, RunRequest::RunAt(hour(n)), "test", LEASE).await.unwrap().unwrap();
        let polls = usize::try_from(n).unwrap() + 1;
        completed +=
            usize::from(cut_off(run_job(&cut.db.pool, &cut.job, &claim, hour(n), &cut.routing), polls).await.is_some());
        expire(&cut).await;
        cut.run_at(hour(n)).await;
    }
    assert_eq!(cut.db.lines(HISTORY).await, clean.db.lines(HISTORY).await);
    let verdicts = "select rule, cohort, window_end, verdict from trueup.verdict_history order by 3, evaluated_at";
    let transitions =
        "select rule, cohort, to_state, since, value from trueup.alert_history order by rule, cohort, changed_at";
    let budgets = "select kind, period_end, good, total, burn -> 0 ->> 'verdict' from trueup.slo_history order by evaluated_at, kind";
    assert_eq!(cut.db.lines(budgets).await, clean.db.lines(budgets).await);
    assert!(
        clean.db.lines("select 1 from trueup.alert_history where rule like 'near/%'").await.len() > 1,
        "the budget burns"
    );
    assert_eq!(cut.db.lines(transitions).await, clean.db.lines(transitions).await);
    assert_eq!(
        cut.db.scalar::<i64>("select count(*) from trueup.notification").await,
        clean.db.scalar::<i64>("select count(*) from trueup.notification").await
    );
    assert!(!cut.db.lines(verdicts).await.is_empty());
    assert!(completed < 60, "{completed} of 80 runs were not cut off at all");
    let idle: i64 = cut.db.scalar("select count(*) from pg_stat_activity where datname = current_database() and state like 'idle in transaction%'").await;
    assert_eq!(idle, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_lost_its_lease_publishes_nothing() {
    let world = world().await;
    let claim = enter(&world.db.pool, &world.job, RunRequest::RunAt(hour(0)), "test", LEASE).await.unwrap().unwrap();
    expire(&world).await;
    let ended = run_job(&world.db.pool, &world.job, &claim, hour(0), &world.routing).await;
    assert!(matches!(ended, Err(trueup::warehouse::failure::RunError::LostLease)), "{ended:?}");
    let written: i64 = world.db.scalar("select (select count(*) from trueup.residual) + (select count(*) from trueup.bucket) + (select count(*) from trueup.measurement)").await;
    assert_eq!(written, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_cut_off_goes_on_where_it_stopped() {
    let (clean, cut) = (world().await, world().await);
    let range = at("2024-05-01T00:00:00Z")..at("2024-05-06T00:00:00Z");
    for world in [&clean, &cut] {
        // Labels of two months before, so that there are several chunks.
        world.db.execute("insert into public.p select -n, timestamptz '2024-03-01Z' + n * interval '2 hours', 100, 'v1', 'a', '2024-03-01Z' from generate_series(1, 700) n; insert into public.l select id, 98, seen from public.p where id < 0").await;
    }
    let range = at("2024-03-01T00:00:00Z")..range.end;
    let step = Some(TimeDelta::hours(12));
    let whole = clean.backfill(range.clone(), step).await;
    let mut read = 0;
    let mut pieces = 0;
    // A busy machine answers more at each poll: small steps, so that there are several pieces on any.
    for polls in (15..).step_by(8) {
        let claim = enter(&cut.db.pool, &cut.job, RunRequest::Backfill, "test", LEASE).await.unwrap().unwrap();
        let request = Request { range: range.clone(), step, accept_loss: false };
        let mut report = |_| {};
        pieces += 1;
        match cut_off(backfill::run(&cut.db.pool, &cut.job, &claim, &request, &mut report), polls).await {
            Some(done) => {
                read = done.unwrap().done.rows_read;
                break;
            }
            None => expire(&cut).await,
        }
    }
    assert_eq!(cut.db.lines(HISTORY).await, clean.db.lines(HISTORY).await);
    assert!(pieces > 2, "it was cut off {pieces} times");
    assert!(
        read < whole.rows_read,
        "the last piece read {read} of {} rows: what was done is not done again",
        whole.rows_read
    );
    assert_eq!(cut.db.scalar::<i64>("select max(revision)::bigint from trueup.window_revisions").await, 1);
}
