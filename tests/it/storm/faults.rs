//! What is done to runners, to their networks and to the server, at random and several at a time.

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::process::Signal;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection};
use tokio::time::{Instant, sleep};

use crate::support::cluster::{Cluster, kill_backend};
use crate::support::dice::Dice;
use crate::support::fleet::Runner;
use crate::support::proxy::{Act, Mode, Place, Welcome};

/// How often each thing was done.
pub type Done = BTreeMap<&'static str, u64>;

/// Troubles one runner and its network until the end; afterwards both are well.
pub async fn trouble_runner(runner: &mut Runner, end: Instant, mut dice: Dice) -> Done {
    let mut done = Done::new();
    while Instant::now() < end {
        sleep(Duration::from_millis(200 + dice.roll(1_500))).await;
        let what = one_fault(runner, &mut dice).await;
        *done.entry(what).or_default() += 1;
        runner.revive();
    }
    runner.proxy.heal();
    runner.proxy.all(Mode::Close);
    runner.revive();
    done
}

async fn one_fault(runner: &mut Runner, dice: &mut Dice) -> &'static str {
    let proxy = &runner.proxy;
    match dice.roll(14) {
        0..=2 => {
            runner.kill();
            sleep(Duration::from_millis(dice.roll(1_500))).await;
            "SIGKILL of a runner"
        }
        3 => {
            runner.signal("STOP");
            // Longer than the lease.
            sleep(Duration::from_millis(3_500 + dice.roll(3_000))).await;
            runner.signal("CONT");
            "SIGSTOP longer than the lease"
        }
        4 | 5 => {
            proxy.all(Mode::Reset);
            "all connections of a runner reset"
        }
        6 => {
            proxy.all(Mode::HalfClosed);
            "half closed"
        }
        7 => commits(runner, Place::Answer, Act::Reset, "COMMIT: answer cut").await,
        8 => commits(runner, Place::Answer, Act::Swallow, "COMMIT: answer swallowed").await,
        9 => commits(runner, Place::Request, Act::Swallow, "COMMIT: never arrived").await,
        10 => {
            proxy.lose_fin(dice.roll(2) == 0);
            proxy.all(Mode::Silent);
            sleep(Duration::from_millis(dice.roll(2_000))).await;
            "all connections of a runner silent"
        }
        11 => {
            proxy.welcome(if dice.roll(2) == 0 { Welcome::Silence } else { Welcome::Refuse });
            proxy.all(Mode::Reset);
            sleep(Duration::from_millis(500 + dice.roll(2_500))).await;
            proxy.heal();
            "no new connections"
        }
        12 => {
            proxy.delay(Duration::from_millis(10));
            sleep(Duration::from_millis(2_000)).await;
            proxy.heal();
            "slow network"
        }
        _ => {
            proxy.sessions().first().copied().map(kill_softly);
            "session terminated"
        }
    }
}

/// `SIGTERM` to a backend is what `pg_terminate_backend` sends.
fn kill_softly(pid: i32) {
    // It may have ended by itself.
    let _sent = rustix::process::Pid::from_raw(pid).map(|pid| rustix::process::kill_process(pid, Signal::TERM));
}

async fn commits(runner: &Runner, place: Place, act: Act, what: &'static str) -> &'static str {
    let hits = runner.proxy.at(place, "COMMIT", 0, 2, act);
    let deadline = Instant::now() + Duration::from_secs(3);
    while hits.count() < 2 && Instant::now() < deadline {
        sleep(Duration::from_millis(20)).await;
    }
    runner.proxy.heal();
    what
}

/// Troubles the server until the end; afterwards it is well.
pub async fn trouble_server(cluster: &mut Cluster, options: &PgConnectOptions, end: Instant, mut dice: Dice) -> Done {
    let mut done = Done::new();
    while Instant::now() + Duration::from_secs(8) < end {
        sleep(Duration::from_millis(3_000 + dice.roll(4_000))).await;
        let what = match dice.roll(7) {
            0 => restart(cluster, Signal::QUIT, "Postgres immediate").await,
            1 => restart(cluster, Signal::INT, "Postgres fast").await,
            2 => during(options, "lock table public.p in access exclusive mode", 3_000, "source locked").await,
            3 => read_only(options).await,
            4 => hogged(cluster).await,
            5 => renamed(options).await,
            _ => backend_killed(options).await,
        };
        *done.entry(what).or_default() += 1;
    }
    done
}

async fn restart(cluster: &mut Cluster, signal: Signal, what: &'static str) -> &'static str {
    cluster.stop(signal).await;
    cluster.start_again().await;
    what
}

async fn admin(options: &PgConnectOptions) -> PgConnection {
    let options = options.clone().options([("default_transaction_read_only", "off")]);
    loop {
        // It may be restarting.
        if let Ok(connection) = options.connect().await {
            return connection;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

async fn run(connection: &mut PgConnection, sql: &str) -> bool {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await.is_ok()
}

/// Holds what a statement takes for some time.
async fn during(options: &PgConnectOptions, sql: &str, ms: u64, what: &'static str) -> &'static str {
    let mut connection = admin(options).await;
    if run(&mut connection, &format!("begin; set local lock_timeout = '5s'; {sql}")).await {
        sleep(Duration::from_millis(ms)).await;
        run(&mut connection, "rollback").await;
    }
    what
}

async fn read_only(options: &PgConnectOptions) -> &'static str {
    let mut connection = admin(options).await;
    for (sql, ms) in [
        ("alter system set default_transaction_read_only = on", 3_000),
        ("alter system reset default_transaction_read_only", 0),
    ] {
        assert!(run(&mut connection, sql).await && run(&mut connection, "select pg_reload_conf()").await, "{sql}");
        sleep(Duration::from_millis(ms)).await;
    }
    "read only"
}

async fn hogged(cluster: &Cluster) -> &'static str {
    let mut hogs = Vec::new();
    while let Ok(connection) = cluster.server.options("postgres").connect().await {
        hogs.push(connection);
    }
    sleep(Duration::from_millis(1_500)).await;
    "all connections taken"
}

async fn renamed(options: &PgConnectOptions) -> &'static str {
    let mut connection = admin(options).await;
    if run(&mut connection, "set lock_timeout = '5s'; alter table public.p rename column predicted to gone").await {
        sleep(Duration::from_millis(2_500)).await;
        while !run(&mut connection, "alter table public.p rename column gone to predicted").await {}
    }
    "a column gone"
}

async fn backend_killed(options: &PgConnectOptions) -> &'static str {
    let mut connection = admin(options).await;
    let found = sqlx::query_scalar(
        "select pid from pg_stat_activity where datname = 'storm' and pid <> pg_backend_pid() order by random() limit 1",
    );
    if let Ok(Some(pid)) = found.fetch_optional(&mut connection).await {
        kill_backend(pid);
    }
    "backend kill -9"
}
