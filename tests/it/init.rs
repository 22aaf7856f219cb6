//! From a database that nobody has described, or from two files, to a job that runs.

use std::time::Instant;

use trueup::commands::demo::receivers::LocalReceiver;

use crate::support::database::TestDatabase;
use crate::support::program::{Folder, Run};

/// Thirty tables: a shop with its forecasts, and much that looks a little like predictions or labels.
const SHOP: &str = "
    create schema shop; create schema ml; create schema staging;
    create table shop.customers (id bigint primary key, name text, created_at timestamptz, score int);
    create table shop.orders (id bigint primary key, customer_id bigint, created_at timestamptz, amount numeric, status text);
    create table shop.order_items (id bigint primary key, order_id bigint, product_id bigint, price numeric, added_at timestamptz);
    create table shop.products (id bigint primary key, title text, price numeric, updated_at timestamptz);
    create table shop.stores (id int primary key, city text, opened_at timestamptz, area double precision);
    create table shop.inventory (product_id bigint, store_id int, level int, measured_at timestamptz, primary key (product_id, store_id));
    create table shop.expected_deliveries (id bigint primary key, order_id bigint, due_at timestamptz, quantity int);
    create table ml.forecast_runs (id bigint primary key, started_at timestamptz, finished_at timestamptz, duration double precision, model_version text);
    create table ml.features (id bigint primary key, at timestamptz, value double precision, name text);
    create table ml.training_labels (id bigint primary key, at timestamptz, label double precision);
    create table ml.demand_forecast (forecast_id bigint primary key, target_time timestamptz not null, predicted_units double precision not null,
        model_version text not null, store text not null, created_at timestamptz not null);
    create table ml.demand_actuals (forecast_id bigint primary key, units_sold numeric, recorded_at timestamptz not null);
    insert into ml.demand_forecast
        select n, t, 100 + 20 * sin(n / 4.0), 'v3', (array['north', 'south', 'east'])[1 + n % 3], t - interval '2 hours'
        from (select n, now() - (2880 - n) * interval '15 minutes' as t from generate_series(1, 2880) n) q;
    insert into ml.demand_actuals
        select forecast_id, predicted_units + case when target_time > now() - interval '1 day' then 60 else 10 * (forecast_id % 3 - 1) end, target_time + interval '1 hour'
        from ml.demand_forecast where target_time < now() - interval '1 hour';
    insert into ml.training_labels select n, now() - n * interval '1 hour', n from generate_series(1, 500) n;
    insert into ml.features select n, now() - n * interval '1 hour', n, 'f' from generate_series(1, 500) n;
    analyze;";

fn trueup(folder: &Folder, url: &str, arguments: &[&str]) -> Run {
    Run::of(folder.trueup(arguments).env("DATABASE_URL", url).output().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn from_an_unknown_database_with_thirty_tables_to_a_page_in_five_commands() {
    let db = TestDatabase::new().await;
    db.execute(SHOP).await;
    for n in 0..18 {
        db.execute(&format!("create table staging.import_{n} (id bigint, loaded_at timestamptz, value double precision, result int, note text)")).await;
    }
    db.execute("drop schema trueup cascade").await;
    let tables: i64 = db
        .scalar("select count(*) from information_schema.tables where table_schema in ('shop', 'ml', 'staging')")
        .await;
    assert_eq!(tables, 30);
    let hook = LocalReceiver::http().await.expect("a webhook");
    let url = format!("http://{}/hook", hook.address);
    let folder = Folder::new("init");
    let started = Instant::now();
    for arguments in [
        &["migrate"][..],
        &["init", "--yes", "--webhook", &url, "--runbook", "https://runbooks.example.org/demand"][..],
        &["check"][..],
        &["run", "demand-forecast"][..],
        &["alerts"][..],
    ] {
        let ran = trueup(&folder, &db.url(), arguments);
        println!("$ trueup {}\n{}{}", arguments.join(" "), ran.stderr, ran.stdout);
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}{}", ran.stdout, ran.stderr);
        if arguments[0] == "check" {
            assert!(ran.stdout.contains("0 errors"), "{}", ran.stdout);
        }
    }
    println!("five commands in {:.1} s", started.elapsed().as_secs_f64());
    assert!(started.elapsed().as_secs() < 120, "whoever tries it has two minutes");
    let job = std::fs::read_to_string(folder.0.join("jobs/demand-forecast.toml")).expect("a job");
    for line in [
        "table = \"ml.demand_forecast\"",
        "id = \"forecast_id\"",
        "at = \"target_time\"",
        "value = \"predicted_units\"",
        "version = \"model_version\"",
        "arrived_at = \"created_at\"",
        "table = \"ml.demand_actuals\"",
        "value = \"units_sold\"",
        "arrived_at = \"recorded_at\"",
        "every = \"15m\"",
        "label_wait = \"1h\"",
        "by = [\"store\"]",
        "severity = \"page\"",
    ] {
        assert!(job.contains(line), "`{line}` is not in\n{job}");
    }
    let received = hook.book.all();
    assert_eq!(received.len(), 1, "one page, by the first run");
    let body: serde_json::Value = serde_json::from_str(&received[0].body).expect("JSON");
    assert_eq!(
        (&body["kind"], &body["rules"][0]["runbook"]),
        (&"firing".into(), &"https://runbooks.example.org/demand".into())
    );
    // It does not write over what is there.
    let again = trueup(&folder, &db.url(), &["init", "--yes"]);
    assert!(again.code == Some(1) && again.stderr.contains("already exists"), "{}", again.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_files_are_a_report_in_one_command() {
    let db = TestDatabase::new().await;
    let folder = Folder::new("csv");
    let mut predictions = "prediction_id,interval_start,forecast,model,region\n".to_owned();
    let mut labels = "prediction_id,measured\n".to_owned();
    for n in 0..480 {
        let time = chrono::DateTime::from_timestamp(1_704_067_200 + n * 900, 0).unwrap().format("%Y-%m-%d %H:%M:%S");
        predictions += &format!("{n:05},{time},{},m{},\"a, {}\"\n", 100 + n % 7, n % 2, n % 3);
        if n % 10 != 9 {
            labels += &format!("{n:05},{}\n", 97 + n % 7);
        }
    }
    folder.write("p.csv", &predictions).write("l.csv", &labels);
    let ran = trueup(&folder, &db.url(), &["init", "--csv", "p.csv", "l.csv", "--name", "report"]).ok();
    for part in [
        "480 rows of `p.csv` are in csv.p",
        "times without a zone in `p.csv` are read as UTC",
        "90 % of 480 predictions have a label",
        "next: `trueup backfill report --from 2024-01-01",
        "`trueup history report`, or the same `init` on a database",
    ] {
        assert!(ran.stderr.contains(part), "`{part}` is not in\n{}", ran.stderr);
    }
    let day =
        ran.stdout.lines().find(|line| line.contains("tumbling 1d") && line.contains(" all ")).unwrap_or_default();
    assert!(ran.stdout.contains("rmse 3.000") && !day.is_empty(), "every error is 3:\n{}", ran.stdout);
    assert!(ran.stdout.contains("region=a, 1") || ran.stdout.contains("region="), "{}", ran.stdout);
    assert_eq!(
        db.scalar::<String>("select pg_typeof(prediction_id)::text from csv.p limit 1").await,
        "text",
        "a code keeps its zeros"
    );
    let checked = trueup(&folder, &db.url(), &["check"]);
    assert_eq!(checked.code, Some(0), "{}{}", checked.stdout, checked.stderr);
    // One prediction a day: a window that can have enough of them, and a rule that decides.
    let (mut predictions, mut labels) = ("id,day_of,forecast\n".to_owned(), "id,actual\n".to_owned());
    for n in 0..90 {
        let time =
            chrono::DateTime::from_timestamp(1_704_067_200 + n * 86_400, 0).unwrap().format("%Y-%m-%dT%H:%M:%SZ");
        predictions += &format!("{n},{time},{}\n", 100 + n % 7);
        labels += &format!("{n},{}\n", 97 + n % 5);
    }
    folder.write("daily_forecast.csv", &predictions).write("daily_actual.csv", &labels);
    trueup(&folder, &db.url(), &["init", "--csv", "daily_forecast.csv", "daily_actual.csv", "--name", "daily"]).ok();
    let job = std::fs::read_to_string(folder.0.join("jobs/daily.toml")).unwrap();
    assert!(job.contains("window = \"rolling 7d\"") && job.contains("min_samples = 3 "), "{job}");
    trueup(&folder, &db.url(), &["backfill", "daily", "--from", "2024-02-01", "--to", "2024-03-01"]).ok();
    let replay = trueup(&folder, &db.url(), &["backtest", "daily", "--output", "json"]).ok().stdout;
    let replay: serde_json::Value = serde_json::from_str(&replay).unwrap();
    assert!(replay[0]["verdicts"].as_i64() > Some(20) && replay[0]["undecided"].as_i64() < Some(5), "{replay}");
    // Files that are none.
    folder.write("bad.csv", "a,b\n1\n").write("empty.csv", "a,b\n");
    for (file, words) in
        [("bad.csv", "is not a CSV file"), ("empty.csv", "has no rows"), ("none.csv", "there is no file `none.csv`")]
    {
        let refused = trueup(&folder, &db.url(), &["init", "--csv", file, "l.csv", "--name", "x"]);
        assert!(refused.code == Some(1) && refused.stderr.contains(words), "{file}: {}", refused.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_guessed_is_said_with_what_there_is() {
    let db = TestDatabase::new().await;
    db.execute("create table public.a (id int primary key, x float8); create table public.b (id int, y float8, at timestamptz); insert into public.b values (1, 2, now())").await;
    let folder = Folder::new("guess");
    let run = |arguments: &[&str]| trueup(&folder, &db.url(), arguments);
    let empty = TestDatabase::new().await;
    let nothing = trueup(&folder, &empty.url(), &["init", "--yes"]);
    assert!(nothing.code == Some(1) && nothing.stderr.contains("there is no table at "), "{}", nothing.stderr);
    let none = run(&["init", "--yes"]);
    assert!(
        none.code == Some(1)
            && none.stderr.contains("no two tables look like")
            && none.stderr.contains("public.a, public.b"),
        "{}",
        none.stderr
    );
    let unknown = run(&["init", "--yes", "--predictions", "public.c", "--labels", "public.a"]);
    assert!(unknown.code == Some(1) && unknown.stderr.contains("there is no table `public.c`"), "{}", unknown.stderr);
    db.execute("insert into public.a values (1, 3)").await;
    let column = run(&["init", "--yes", "--predictions", "public.b", "--labels", "public.a", "--value", "z"]);
    assert!(
        column.code == Some(1) && column.stderr.contains("`public.b` has no column `z`; it has id, y, at"),
        "{}",
        column.stderr
    );
    // They share a key, and nothing says that one of them predicts: only who names them gets a job.
    let guessed = run(&["init", "--yes"]);
    assert!(guessed.code == Some(1) && guessed.stderr.contains("no two tables look like"), "{}", guessed.stderr);
    let nobody = run(&["init", "--predictions", "public.b", "--labels", "public.a"]);
    assert!(nobody.code == Some(1) && nobody.stderr.contains("there is no terminal to ask on"), "{}", nobody.stderr);
    run(&["init", "--yes", "--predictions", "public.b", "--labels", "public.a"]).ok();
}

/// On a terminal it asks, says what it does not take, and an empty line takes what is proposed.
#[tokio::test(flavor = "multi_thread")]
async fn on_a_terminal_it_asks_what_it_cannot_know() {
    let db = TestDatabase::new().await;
    let tables = "create table public.fare_estimate (ride bigint primary key, starts_at timestamptz not null, estimated float8, zone text, tier text, written timestamptz not null);
         create table public.fare_actual (ride bigint primary key, paid float8, settled_on timestamptz not null);
         insert into public.fare_estimate select n, now() - n * interval '1 hour', 10 + n % 7, 'z' || n % 3, 't' || n % 2, now() - n * interval '1 hour' from generate_series(1, 800) n;
         insert into public.fare_actual select ride, estimated + ride % 3 - 1, starts_at + interval '1 hour' from public.fare_estimate;
         analyze";
    db.execute(tables).await;
    let folder = Folder::new("init-asks");
    // Tables, keys, time and values as proposed; no version; arrival times; one cohort column, after one that is not there.
    let answers = [
        "",
        "",
        "",
        "",
        "",
        "",
        "",
        "-",
        "written",
        "settled_on",
        "zonne",
        "zone",
        "ftp://x",
        "https://example.org/hook",
        "-",
    ];
    let said = folder.typed(&db.url(), "init --name fares", &answers);
    for words in [
        "cohort columns [",
        "`zonne` does not exist",
        "`ftp://x` is not allowed; enter `-` for none",
        "wrote `jobs/fares.toml`",
    ] {
        assert!(said.contains(words), "`{words}` is not in\n{said}");
    }
    let job = std::fs::read_to_string(folder.0.join("jobs/fares.toml")).unwrap_or_else(|_| panic!("{said}"));
    for line in ["arrived_at = \"written\"", "arrived_at = \"settled_on\"", "by = [\"zone\"]", "# runbook = "] {
        assert!(job.contains(line), "`{line}` is not in\n{job}");
    }
    assert!(!job.contains("\"tier\"") && !job.contains("\nversion"), "{job}");
    let settings = std::fs::read_to_string(folder.0.join("trueup.toml")).expect("the settings");
    assert!(settings.contains("https://example.org/hook"), "{settings}");
}

/// What is wrong with a file is said with its line and column, and is the user's to change.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_loaded_says_where_it_is_wrong() {
    let db = TestDatabase::new().await;
    let folder = Folder::new("csv-mistakes");
    folder.write("l.csv", "id,actual\n1,1\n");
    let many = (0..2_000).map(|n| format!("c{n}")).collect::<Vec<_>>().join(",");
    let row = vec!["1"; 2_000].join(",");
    let long = "ö".repeat(40);
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        (
            "a NUL",
            b"id,at,value\n1,2024-05-01,a\n2,2024-05-02,a\0b\n".to_vec(),
            "`p.csv`, line 3, column 3: it contains a NUL",
        ),
        ("a NUL in a name", b"id,a\0b\n1,2\n".to_vec(), "`p.csv`, line 1, column 2: a column name contains a NUL"),
        (
            "a column twice",
            b"id,at,id\n1,2,3\n".to_vec(),
            "`p.csv`, line 1, column 3: its name `id` is also that of column 1",
        ),
        ("twice but for blanks", b"id, id \n1,2\n".to_vec(), "`p.csv`, line 1, column 2: its name `id` is also"),
        ("too large", b"id,v\n1,2\n2,1e400\n".to_vec(), "`p.csv`, line 3, column 2: `1e400` is outside the range"),
        ("too small", b"id,v\n1,-1e-400\n".to_vec(), "`p.csv`, line 2, column 2: `-1e-400` is outside the range"),
        (
            "2,000 columns",
            format!("{many}\n{row}\n").into_bytes(),
            "`p.csv`, line 1, column 1601: it names 2000 columns",
        ),
        (
            "a short row",
            b"id,v\n1,2\n3\n".to_vec(),
            "`p.csv`, line 3, column 2: it is not a CSV file: this line has 1 values, but line 1 names 2 columns",
        ),
        (
            "a long row",
            b"id,v\n1,2,3\n".to_vec(),
            "`p.csv`, line 2, column 3: it is not a CSV file: this line has 3 values",
        ),
        ("Latin-1", b"id,v\n1,caf\xe9\n".to_vec(), "`p.csv`, line 2, column 2: it is not UTF-8"),
        ("Latin-1 in a name", b"id,caf\xe9\n1,2\n".to_vec(), "`p.csv`, line 1, column 2: it is not UTF-8"),
        ("nothing", Vec::new(), "`p.csv`, line 1: the file is empty"),
        ("a BOM alone", "\u{feff}".as_bytes().to_vec(), "`p.csv`, line 1: the file is empty"),
        ("a header alone", b"id,v\n".to_vec(), "`p.csv`, line 2: it has no rows"),
        (
            "open quotes",
            b"id,v\n1,\"2\n3,4\n".to_vec(),
            "`p.csv`, line 2, column 2: the quote that opens here is never closed",
        ),
        ("a long name", format!("id,{long}\n1,2\n").into_bytes(), "`p.csv`, line 1, column 2: `"),
        ("equal when cut", format!("{long}a,{long}b\n1,2\n").into_bytes(), "longer than 63 bytes"),
        ("no name", b"id,\n1,2\n".to_vec(), "`p.csv`, line 1, column 2: a column name is empty"),
        (
            "a name of the server",
            b"id,xmin\n1,2\n".to_vec(),
            "`p.csv`, line 1, column 2: `xmin` is a name reserved by Postgres",
        ),
        (
            "no row of a table",
            format!("{}\n{}\n", vec_of("c", 1_599), vec_of("12345", 1_599)).into_bytes(),
            "`p.csv` could not be loaded",
        ),
    ];
    for (name, bytes, words) in cases {
        std::fs::write(folder.0.join("p.csv"), bytes).unwrap();
        let run = trueup(&folder, &db.url(), &["init", "--csv", "p.csv", "l.csv"]);
        assert_eq!(run.code, Some(1), "{name}: {}{}", run.stdout, run.stderr);
        assert!(run.stderr.contains(words), "{name}: {}", run.stderr);
    }
    // What looks like a number out of range is text where the others are.
    std::fs::write(
        folder.0.join("p.csv"),
        "id,at,value,code\n1,2024-05-01T00:00:00Z,1,1e400\n2,2024-05-02T00:00:00Z,2,x\n",
    )
    .unwrap();
    let run = trueup(&folder, &db.url(), &["init", "--csv", "p.csv", "l.csv"]);
    assert!(run.stderr.contains("2 rows of `p.csv` are in csv.p"), "{}", run.stderr);
}

/// So many values of a line, numbered where they are names.
fn vec_of(what: &str, count: usize) -> String {
    let number = |n: usize| if what == "c" { format!("c{n}") } else { what.to_owned() };
    (0..count).map(number).collect::<Vec<_>>().join(",")
}
