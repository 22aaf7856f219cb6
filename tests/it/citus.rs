//! A real sharded database, where `TRUEUP_TEST_CITUS_URL` points at one: a scratch database on the coordinator of a Citus cluster, as a
//! role that may make tables and drop the schema `trueup`. Its workers may stand on any time zone.

use chrono::TimeDelta;
use sqlx::ConnectOptions as _;
use trueup::postgres::address;

use crate::support::database::TestDatabase;
use crate::support::program::{Folder, Run};
use crate::support::world::{TABLES, World, at, hourly, plan_job, quarter_hours};

const JOB: &str = "[windows]\nrolling = [\"6h\"]\ntumbling = [\"1d\"]\nlabel_wait = \"12h\"\nhorizon = \"5d\"\n[residuals]\nkeep = \"6h\"\n\
    [[cohorts]]\nby = [{ name = \"hour\", expr = \"extract(hour from at)\" }, { name = \"day\", expr = \"to_char(at, 'Dy')\" }]\n[[cohorts]]\nby = [\"region\"]\n\
    [metrics]\ninclude = [\"mse\", \"mae\", \"bias\", \"r2\", \"p90_abs_error\", \"label_latency_p50\"]\n";

const HISTORY: &str = "select window_name, window_end, cohort, model_version, revision, status, predictions, labeled, round(mse::numeric, 9)::text,
    round(r2::numeric, 6)::text, round(p90_abs_error::numeric, 9)::text, round(label_latency_p50::numeric, 6)::text
    from trueup.window_revisions order by 1, 2, 3, 4, 5";

/// A world on the cluster, with nothing of an earlier one.
async fn on_cluster(toml: &str) -> Option<World> {
    let Ok(url) = std::env::var("TRUEUP_TEST_CITUS_URL") else {
        println!("TRUEUP_TEST_CITUS_URL is not set: no sharded database was tried");
        return None;
    };
    let options = address::options(&url).expect("an address");
    let mut connection = options.connect().await.expect("a coordinator");
    sqlx::raw_sql("drop schema if exists trueup cascade; drop table if exists public.p, public.l")
        .execute(&mut connection)
        .await
        .expect("a scratch database");
    let db = TestDatabase::on(options).await;
    db.execute(TABLES).await;
    Some(World { db, job: plan_job(toml), routing: trueup::notify::policy::route::Routing::default(), delivers: true })
}

/// A first build, arrivals, labels that come late and very late, rows that change under the rug, versions and regions that change, and a
/// backfill. Returns the history.
async fn lived(world: &World, distribute: &str) -> Vec<String> {
    world.db.execute(&quarter_hours("2024-05-01T00:00:00Z", 24 * 3)).await;
    world.db.execute("update public.l set seen = seen + interval '20 hours' where id % 7 = 0").await;
    world.db.execute(distribute).await;
    for hour in [26, 27, 30, 31, 50, 51] {
        if hour == 51 {
            world.db.execute("update public.p set region = 'new' where id between 100 and 103; update public.l set actual = 90 where id = 150; delete from public.l where id = 151").await;
        }
        if hour == 31 {
            world.db.execute("update public.p set version = 'v2', seen = '2024-05-02T06:30Z' where id between 110 and 120; update public.p set region = 'moved', seen = '2024-05-02T06:40Z' where id = 121").await;
        }
        world.run_at(at("2024-05-01T00:00:00Z") + TimeDelta::hours(hour)).await;
    }
    // A day after the last time, all of it is compared with the source.
    world.run_at(at("2024-05-04T03:00:00Z")).await;
    world.backfill(at("2024-05-01T00:00:00Z")..at("2024-05-03T00:00:00Z"), None).await;
    world.db.lines(HISTORY).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sharded_database_gives_the_history_of_a_plain_one() {
    let toml = hourly(JOB);
    let plain = lived(&World::new(TABLES, &toml).await, "").await;
    assert!(plain.len() > 400 && plain.iter().any(|line| line.contains("day=Thu")), "{}", plain.len());
    let Some(cluster) = on_cluster(&toml).await else { return };
    let distribute = "select create_distributed_table('public.p', 'id'); select create_distributed_table('public.l', 'id', colocate_with => 'public.p')";
    let sharded = lived(&cluster, distribute).await;
    for (one, other) in plain.iter().zip(&sharded) {
        assert_eq!(one, other);
    }
    assert_eq!(plain.len(), sharded.len());

    let folder = Folder::new("citus");
    let url = std::env::var("TRUEUP_TEST_CITUS_URL").expect("as above");
    folder.write("jobs/hourly.toml", &toml);
    let run =
        |arguments: &[&str]| Run::of(folder.trueup(arguments).env("DATABASE_URL", &url).output().expect("trueup"));
    let explained = run(&["explain", "hourly", "--analyze"]).ok().stdout;
    assert!(explained.contains("Custom Scan (Citus Adaptive)"), "{explained}");
    let checked = run(&["check"]).ok().stdout;
    assert!(!checked.contains("not-colocated") && !checked.contains("about 0 predictions"), "{checked}");
    let init = Folder::new("citus-init");
    let made = Run::of(init.trueup(&["init", "--yes"]).env("DATABASE_URL", &url).output().expect("trueup"));
    assert_eq!(made.code, Some(0), "{}{}", made.stdout, made.stderr);

    // Labels that lie elsewhere are right, and said.
    cluster.db.execute("create table public.local_l (like public.l including all); insert into public.local_l select * from public.l").await;
    folder.write("jobs/hourly.toml", &toml.replace("public.l\"", "public.local_l\""));
    let checked = run(&["check"]).ok().stdout;
    assert!(checked.contains("warning[not-colocated]"), "{checked}");
    cluster.db.execute("drop table public.local_l").await;
}
