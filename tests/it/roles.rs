//! The least that a runner and an analyst need, and that `doctor` sees what is too much and too little.

use serde_json::Value as Json;

use crate::support::program::{Folder, Process, Run};
use crate::support::world::{TABLES, VIEWS, World, fired_and_resolved, hourly, quarter_hours};

const RULES: &str = "[windows]\nrolling = [\"6h\"]\ntumbling = [\"1d\"]\nlabel_wait = \"1d\"\n[residuals]\nkeep = \"2d\"\nworst = 3\n[[cohorts]]\nby = [\"region\"]\n[[alerts]]\nname = \"low\"\nmetric = \"rmse\"\nwindow = \"rolling 6h\"\nabove = 0.5\nseverity = \"page\"\nnotify = [\"hook\"]\n[[slos]]\nname = \"good\"\ngood = \"abs(error) < 0.5\"\nobjective = 0.9\nperiod = \"1d\"\nburn = [{ long = \"6h\", short = \"1h\", factor = 2.0, severity = \"ticket\" }]\n";
const SETTINGS: &str = "[receivers.hook]\ntype = \"webhook\"\nurl = \"http://127.0.0.1:9/\"\nallow_http = true\nallow_networks = [\"127.0.0.0/8\"]\n";

/// Names of roles that no other test has: roles are shared by all databases of a server.
fn names() -> (String, String, String) {
    let id = uuid::Uuid::new_v4().simple().to_string();
    (format!("runner_{id}"), format!("reader_{id}"), format!("user_{id}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_needs_select_on_its_sources_and_dml_on_trueup_and_nothing_else() {
    let world = World::new(TABLES, &hourly(RULES)).await;
    world.db.execute(&quarter_hours("2024-05-01T00:00:00Z", 72)).await;
    let folder = Folder::new("roles");
    folder.write("jobs/hourly.toml", &world.job.spec).write("trueup.toml", SETTINGS);
    let (runner, reader, user) = names();
    let as_owner = world.db.url();
    let as_user = as_owner.replace("//trueup@", &format!("//{user}@"));
    let trueup =
        |url: &str, arguments: &[&str]| Run::of(folder.trueup(arguments).env("DATABASE_URL", url).output().unwrap());
    let printed =
        trueup(&as_owner, &["migrate", "--print-grants", "--runner", &runner, "--reader", &reader]).ok().stdout;
    let limit = format!("alter role \"{runner}\" set temp_file_limit = '10GB'");
    for part in [
        "grant select on \"public\".\"p\" to",
        "grant select on \"public\".\"l\" to",
        &limit,
        "idle_session_timeout = '1h'",
    ] {
        assert!(printed.contains(part), "{printed}");
    }
    world.db.execute(&format!("create role {user} login")).await;

    // Before: doctor says what is missing, and how to mend it.
    let sick = trueup(&as_user, &["doctor"]);
    assert!(sick.code == Some(1) && sick.stdout.contains("migrate --print-grants"), "{}{}", sick.stdout, sick.stderr);
    world.db.execute(&printed).await;
    world.db.execute(&printed).await;
    // A function that may not be called is missed like a table that may not be read.
    world.db.execute(&format!("revoke execute on function trueup.add_months from {runner}")).await;
    world.db.execute(&format!("grant {runner} to {user}")).await;
    let lacking = trueup(&as_user, &["doctor"]);
    assert!(
        lacking.code == Some(1) && lacking.stdout.contains("the role cannot use trueup.add_months"),
        "{}",
        lacking.stdout
    );
    world.db.execute(&printed).await;
    // Settings are not inherited, and doctor sees the session as it is.
    let limitless = trueup(&as_user, &["doctor"]).stdout;
    assert!(
        limitless.contains("can fill the server's disk") && limitless.contains("set temp_file_limit = '10GB'"),
        "{limitless}"
    );
    world.db.execute(&format!("alter role {user} set temp_file_limit = '10GB'")).await;
    assert!(!trueup(&as_user, &["doctor"]).stdout.contains("temp_file_limit"));

    for arguments in [
        &["check"][..],
        &["run", "hourly", "--at", "2024-05-02T12:00:00Z"][..],
        &["run", "hourly", "--at", "2024-05-02T18:00:00Z"][..],
        &["run", "hourly", "--at", "2024-05-02T20:00:00Z", "--dry-run"][..],
        &["backfill", "hourly", "--from", "2024-05-01", "--to", "2024-05-02"][..],
        &["reconcile", "hourly"][..],
        &["history", "hourly"][..],
        &["status"][..],
        &["alerts"][..],
        &["alerts", "ack", "1"][..],
        &["incident", "1"][..],
        &["deliveries"][..],
        &["silence", "add", "--for", "1h", "--reason", "x"][..],
        &["annotate", "deploy"][..],
        &["baseline", "set", "hourly", "--metric", "rmse", "--value", "1", "--version", "v1"][..],
        &["suggest", "hourly"][..],
        &["backtest", "hourly", "--from", "2024-05-01", "--to", "2024-05-03"][..],
        &["explain", "hourly"][..],
    ] {
        trueup(&as_user, arguments).ok();
    }
    let states = world.db.lines("select distinct state from trueup.run").await;
    assert_eq!(states, ["ok"]);
    // And the server, with all that it does between runs.
    folder.write("jobs/hourly.toml", &world.job.spec.replace("every = \"1h\"", "every = \"2s\""));
    let log = std::fs::File::create(folder.0.join("log")).unwrap();
    let serve = folder.trueup(&["serve"]).env("DATABASE_URL", &as_user).stderr(log).spawn().map(Process).unwrap();
    let before: i64 =
        world.db.scalar("select count(*) from trueup.run where trigger = 'schedule' and state = 'ok'").await;
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while world.db.scalar::<i64>("select count(*) from trueup.run where trigger = 'schedule' and state = 'ok'").await
        < before + 3
    {
        assert!(std::time::Instant::now() < deadline, "{}", std::fs::read_to_string(folder.0.join("log")).unwrap());
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    drop(serve);
    let log = std::fs::read_to_string(folder.0.join("log")).unwrap();
    assert!(!log.contains("permission denied") && !log.contains("42501"), "{log}");
    folder.write("jobs/hourly.toml", &world.job.spec);

    // What it may not do.
    let refused =
        async |sql: &str| {
            let mut connection = world.db.connection().await;
            let sql = format!("set role {runner}; {sql}");
            let answer = sqlx::raw_sql(sqlx::AssertSqlSafe(sql.clone())).execute(&mut connection).await;
            assert!(
                answer.as_ref().is_err_and(|error| error.to_string().contains("permission denied")
                    || error.to_string().contains("must be owner")),
                "{sql}: {answer:?}"
            );
        };
    for sql in [
        "insert into public.p select * from public.p",
        "update public.l set actual = 0",
        "delete from public.l",
        "create table trueup.mine (x int)",
        "create function trueup.f() returns int language sql as 'select 1'",
        "drop table trueup.run",
        "alter table trueup.run add column x int",
        "truncate trueup.run",
        "delete from trueup._sqlx_migrations",
    ] {
        refused(sql).await;
    }
    let mut connection = world.db.connection().await;
    let reads = |sql: &str| format!("set role {reader}; {sql}");
    for view in VIEWS.into_iter().chain(["metric_history_as_of(now())"]) {
        sqlx::raw_sql(sqlx::AssertSqlSafe(reads(&format!("select count(*) from trueup.{view}"))))
            .execute(&mut connection)
            .await
            .unwrap_or_else(|error| panic!("{view}: {error}"));
    }
    for sql in [
        "insert into trueup.annotation (kind, starts_at, suppress_until) values ('deploy', now(), 'infinity')",
        "insert into trueup.annotation (kind, starts_at) values ('incident', now())",
        "insert into trueup.model_baseline (job, metric, value) values ('hourly', 'rmse', 1e9)",
        "insert into trueup.silence (reason) values ('quiet')",
        "select from trueup.run",
        "select from trueup.notification",
        "select from public.p",
        "delete from trueup.annotation",
        "update trueup.alert set state = 'resolved'",
        "select trueup.drop_months('verdict', now())",
        "select trueup.add_months('verdict', array[now() + interval '9 years'])",
    ] {
        let answer = sqlx::raw_sql(sqlx::AssertSqlSafe(reads(sql))).execute(&mut connection).await;
        assert!(answer.is_err_and(|error| error.to_string().contains("permission denied")), "{sql}");
    }

    // A run that failed is no good news, whatever was published before it.
    world.db.execute("alter table public.p rename column predicted to guessed").await;
    let broken = trueup(&as_user, &["run", "hourly"]);
    assert_ne!(broken.code, Some(0));
    let found = trueup(&as_user, &["doctor"]).stdout;
    assert!(found.contains("its last run failed: ") && found.contains("trueup runs hourly"), "{found}");
    world.db.execute("alter table public.p rename column guessed to predicted").await;
    trueup(&as_user, &["run", "hourly"]).ok();
    // A schema of the future, a job file that is none, and a server that lets nobody in.
    world.db.execute("insert into trueup._sqlx_migrations (version, description, success, checksum, execution_time) values (29990101000000, 'x', true, '', 0)").await;
    let ahead = trueup(&as_user, &["status"]);
    assert!(ahead.code == Some(1) && ahead.stderr.contains("a newer trueup applied them"), "{}", ahead.stderr);
    assert!(trueup(&as_user, &["doctor"]).stdout.contains("has 1 migrations that this version does not know"));
    world.db.execute("delete from trueup._sqlx_migrations where version = 29990101000000").await;
    folder.write("jobs/broken.toml", "[job");
    assert!(trueup(&as_user, &["doctor"]).stdout.contains("`jobs/broken.toml` has mistakes"));
    std::fs::remove_file(folder.0.join("jobs/broken.toml")).unwrap();

    // After: nothing is wrong but the receiver, where nobody listens.
    let well = trueup(&as_user, &["doctor", "--output", "json"]);
    let found: Vec<Json> = serde_json::from_str(&well.stdout).unwrap();
    let of = |about: &str| -> Vec<&str> {
        found.iter().filter(|row| row["about"] == about).filter_map(|row| row["state"].as_str()).collect()
    };
    assert_eq!(
        (of("role"), of("grants"), of("source of hourly"), of("schema")),
        (vec!["ok"], vec!["ok"], vec!["ok"], vec!["ok"]),
        "{}",
        well.stdout
    );
    assert_eq!((of("receiver hook"), of("job hourly")), (vec!["error"], vec!["ok"]));
    // Too much is seen as well.
    world.db.execute(&format!("grant insert on public.p to {runner}; grant create on schema trueup to {runner}")).await;
    let more = trueup(&as_user, &["doctor"]).stdout;
    assert!(more.contains("which no runner needs") && more.contains("can create objects"), "{more}");
    world
        .db
        .execute(&format!(
            "drop owned by {runner}, {reader}, {user}; drop role {user}; drop role {runner}; drop role {reader}"
        ))
        .await;
}

/// What stands still is found, with the command that says why.
#[tokio::test(flavor = "multi_thread")]
async fn doctor_finds_messages_that_wait_or_were_given_up_and_jobs_that_nobody_runs() {
    let world = fired_and_resolved(&["hook"]).await;
    let folder = Folder::new("doctor");
    folder.write("jobs/hourly.toml", &world.job.spec).write("trueup.toml", SETTINGS);
    let findings = || {
        let ran = folder.trueup(&["doctor", "--output", "json"]).env("DATABASE_URL", world.db.url()).output().unwrap();
        let found: Vec<Json> = serde_json::from_slice(&ran.stdout).unwrap();
        found
    };
    let of = |found: &[Json], about: &str, state: &str| -> Vec<String> {
        let rows = found.iter().filter(|row| row["about"] == about && row["state"] == state);
        rows.map(|row| row.to_string()).collect()
    };
    let waits = "update trueup.notification set first_due_at = clock_timestamp() - interval '1 hour', next_attempt_at = clock_timestamp() - interval '1 hour'";
    world.db.execute(waits).await;
    let found = findings();
    let outbox = of(&found, "outbox", "error");
    assert!(outbox.len() == 1 && outbox[0].contains("2 messages are waiting, the oldest for 36"), "{outbox:?}");
    assert!(outbox[0].contains("trueup deliveries --state pending"), "{outbox:?}");
    // It published as of 2024, and is due every hour.
    let late = of(&found, "job hourly", "error");
    assert!(late.len() == 1 && late[0].contains("nothing has been published since 2024-05-01 02:00 UTC"), "{late:?}");
    assert!(late[0].contains("check that `trueup serve` is running"), "{late:?}");
    assert_eq!(of(&found, "clock", "ok").len(), 1, "{found:?}");
    world.db.execute("update trueup.notification set state = 'dead', settled_at = clock_timestamp()").await;
    let found = findings();
    let dead = of(&found, "outbox", "warning");
    assert!(
        dead.len() == 1 && dead[0].contains("messages given up, or refused by an address, in the last week: 2"),
        "{dead:?}"
    );
    assert!(dead[0].contains("trueup deliveries retry") && of(&found, "outbox", "error").is_empty(), "{dead:?}");
}

/// Owners of what a job reads, and of what lies behind it, can run code as the runner.
#[tokio::test(flavor = "multi_thread")]
async fn doctor_names_owners_that_nobody_said_are_trusted() {
    let world = World::new(TABLES, &hourly(RULES)).await;
    let (runner, _, owner) = names();
    let folder = Folder::new("owners");
    let doctor = |settings: &str| {
        folder.write("trueup.toml", &format!("{SETTINGS}{settings}"));
        let mut command = folder.trueup(&["doctor"]);
        let url = world.db.url().replace("//trueup@", &format!("//{runner}@"));
        Run::of(command.env("DATABASE_URL", url).output().unwrap()).stdout
    };
    folder.write("jobs/hourly.toml", &world.job.spec.replace("public.p\"", "public.seen\""));
    let grants = folder.trueup(&["migrate", "--print-grants", "--runner", &runner]).output().unwrap();
    // A view of a trusted owner over a view of another, which calls a function of theirs.
    world
        .db
        .execute(&format!(
            "create role {owner}; create role {runner} login; grant create, usage on schema public to {owner};
             create function public.evil(text) returns text language sql as 'select $1'; alter function public.evil(text) owner to {owner};
             create view public.inner_view as select id, at, predicted, version, public.evil(region) as region, seen from public.p;
             alter view public.inner_view owner to {owner}; grant select on public.p to {owner};
             create view public.seen as select * from public.inner_view; grant select on public.inner_view to {runner};"
        ))
        .await;
    world.db.execute(&String::from_utf8(grants.stdout).unwrap()).await;
    let found = doctor("");
    let line = found.lines().find(|line| line.contains("owners: ")).unwrap_or_else(|| panic!("{found}"));
    for part in [
        "warning",
        &format!("`{owner}` owns"),
        "view public.inner_view",
        "function public.evil(text)",
        "the runner's rights",
    ] {
        assert!(line.contains(part), "`{part}` is not in {line}");
    }
    assert!(!line.contains("seen") && found.contains(&format!("trusted_owners = [\"{owner}\"]")), "{found}");
    let trusted = doctor(&format!("[database]\ntrusted_owners = [\"{owner}\"]\n"));
    assert!(trusted.contains("ok       owners: "), "{trusted}");
    // A query is as good as its tables.
    let query = world.job.spec.replace("table = \"public.p\"", "query = \"select * from public.inner_view\"");
    folder.write("jobs/hourly.toml", &query);
    assert!(doctor("").contains("function public.evil(text)"));
    world
        .db
        .execute(&format!(
            "drop owned by {owner} cascade; drop owned by {runner} cascade; drop role {owner}; drop role {runner}"
        ))
        .await;
}
