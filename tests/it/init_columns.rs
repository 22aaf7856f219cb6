//! Which columns `init` takes among many: predictions that features surround, versions, arrivals, cohorts.

use crate::support::database::TestDatabase;
use crate::support::program::{Folder, Run};

/// Cars with 18 features, most of which go with the price: on its scale or on another. `{}` is more columns. A factor of noise is
/// `e(n)`, between −1 and 1 and like nothing else.
fn cars(more: &str) -> String {
    format!(
        "create or replace function public.e(n bigint, k int) returns float8 immutable language sql as
             $$ select (hashtext(n::text || '/' || k)::bigint % 1000) / 1000.0 $$;
         drop table if exists public.car, public.sale;
         create table public.sale as
             select n as id, 21000 - 1500 * (n % 12) + 3000 * public.e(n, 1) as price from generate_series(1, 700) n;
         create table public.car as
             select n as id, timestamptz '2025-05-01' + n * interval '15 minutes' as at,
                    (n % 12)::int as age, 9000.0 * (n % 12) + 5000 * public.e(n, 2) as mileage_km, 900 + 100 * (n % 9) as engine_ccm,
                    60 + s.price / 200 as horsepower, 3 + n % 3 as doors, s.price * 0.012 as tax_eur, 5.5 + public.e(n, 3) as fuel_use,
                    1990 + n % 12 as year_made, s.price / 1000 as price_class, n % 5 as owners, public.e(n, 4) as noise,
                    (array['petrol', 'diesel', 'hybrid'])[1 + n % 3] as fuel, 'seller ' || n as seller,
                    (array['red', 'blue'])[1 + n % 2] as colour, 'VIN' || n as vin,
                    repeat('a very good car in any weather, ', 2) || n % 4 as description, n % 97 || '00' as zip, n % 2 = 0 as is_new{more}
             from generate_series(1, 700) n join public.sale s on s.id = n;
         analyze public.car; analyze public.sale;"
    )
}

/// A column that is near the price.
const NEAR: &str = "s.price + 900 * public.e(n, 7)";

struct Tried {
    run: Run,
    job: String,
}

fn init(folder: &Folder, db: &TestDatabase, more: &[&str]) -> Tried {
    let name = format!("j{}", uuid::Uuid::new_v4().simple());
    let base = ["init", "--yes", "--predictions", "public.car", "--labels", "public.sale", "--name", &name];
    let output = folder.trueup(&[&base, more].concat()).env("DATABASE_URL", db.url()).output().unwrap();
    let job = std::fs::read_to_string(folder.0.join(format!("jobs/{name}.toml"))).unwrap_or_default();
    Tried { run: Run::of(output), job }
}

impl Tried {
    fn takes(&self, case: &str, lines: &[&str]) -> &Self {
        assert_eq!(self.run.code, Some(0), "{case}: {}{}", self.run.stdout, self.run.stderr);
        for line in lines {
            assert!(self.job.contains(line), "{case}: `{line}` is not in\n{}\n{}", self.job, self.run.stderr);
        }
        self
    }

    fn says(&self, case: &str, words: &[&str]) -> &Self {
        for word in words {
            assert!(self.run.stderr.contains(word), "{case}: `{word}` is not in\n{}", self.run.stderr);
        }
        self
    }

    /// Writes nothing, and names what decides.
    fn refuses(&self, case: &str, words: &[&str]) -> &Self {
        assert_eq!(self.run.code, Some(1), "{case}: {}{}", self.run.stdout, self.run.stderr);
        assert!(self.job.is_empty(), "{case}: it wrote\n{}", self.job);
        self.says(case, words)
    }
}

/// Each name in a table where the first numbers are features, and where some features go with the label better than it does.
#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_is_called_a_prediction_is_taken_in_any_case_and_language() {
    let db = TestDatabase::new().await;
    let folder = Folder::new("init-names");
    db.execute(&cars(&format!(", {NEAR} as prediction"))).await;
    let mut current = "prediction".to_owned();
    for name in [
        "prediction",
        "pred",
        "y_pred",
        "yhat",
        "Y_HAT",
        "score",
        "Forecast",
        "predicted_price",
        "price_predicted",
        "price_pred",
        "PriceHat",
        "p_price",
        "vorhersage",
        "Prognose",
        "predicción",
        "previsione",
        "prévision",
        "prognoza",
        "previsao_preco",
        "voorspelde_prijs_voorspelling",
        "y_estimated",
    ] {
        if name != current {
            db.execute(&format!("alter table public.car rename column \"{current}\" to \"{name}\"")).await;
            name.clone_into(&mut current);
        }
        let tried = init(&folder, &db, &[]);
        tried.takes(name, &[&format!("value = \"{name}\"\n"), "id = \"id\"", "value = \"price\""]);
        tried.says(name, &[&format!("value `{name}`: its name"), "(rank correlation ", "the runner-up is `"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn among_features_the_column_that_predicts_is_taken_and_the_reason_is_said() {
    let db = TestDatabase::new().await;
    let folder = Folder::new("init-features");
    // (case, more columns, what is taken, what is said)
    let cases: Vec<(&str, String, &str, Vec<&str>)> = vec![
        (
            "no name, one near",
            format!(", {NEAR} as m1"),
            "m1",
            vec!["no name says so, but it is the only column close to the label", "the runner-up is"],
        ),
        (
            "bounds beside it",
            format!(
                ", {NEAR} - 100 as yhat_lower, {NEAR} + 100 as yhat_upper, 3 as pred_std, {NEAR} as yhat, s.price as trend"
            ),
            "yhat",
            vec!["its name says so", "`trend` equals `price` in every row"],
        ),
        (
            "forecasts of the weather",
            format!(
                ", 10 + public.e(n, 8) as temperature_forecast, n % 7 as rain_forecast, {NEAR} as price_prediction"
            ),
            "price_prediction",
            vec!["3 columns are named like predictions, and it is the closest to `price`"],
        ),
        (
            "the label itself",
            format!(", s.price as price, s.price as y_true, {NEAR} as pred"),
            "pred",
            vec!["its name says so"],
        ),
        (
            "a score that is a feature",
            format!(", 300 + (s.price / 60)::int as credit_score, {NEAR} as m1"),
            "m1",
            vec![],
        ),
        (
            "two models, one much better",
            ", s.price + 9000 * public.e(n, 9) as pred_old_b, s.price + 300 * public.e(n, 10) as pred_new_b".to_owned(),
            "pred_new_b",
            vec!["2 columns are named like predictions"],
        ),
        (
            "a model that is bad",
            ", 15000 + 9000 * public.e(n, 11) as prediction".to_owned(),
            "prediction",
            vec!["is not close to `price`"],
        ),
        (
            "last year's price beside it",
            format!(", s.price * 0.98 + 200 * public.e(n, 12) as price_last_year, {NEAR} as price_hat"),
            "price_hat",
            vec!["the runner-up is `price_last_year`"],
        ),
    ];
    for (case, more, value, words) in cases {
        db.execute(&cars(&more)).await;
        init(&folder, &db, &[]).takes(case, &[&format!("value = \"{value}\"\n")]).says(case, &words);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_neither_names_nor_rows_decide_is_refused_with_the_flag_that_decides() {
    let db = TestDatabase::new().await;
    let folder = Folder::new("init-doubt");
    let cases: Vec<(&str, String, Vec<&str>)> = vec![
        (
            "features only",
            String::new(),
            vec!["no column of `public.car` is named like a prediction", "Name the right column with `--value`"],
        ),
        (
            "two that are near",
            format!(", {NEAR} as a1, s.price + 900 * public.e(n, 13) as a2"),
            vec!["rows do not show which one", "`a1` (rank correlation", "`a2` (rank correlation", "--value"],
        ),
        (
            "name against rows",
            format!(", n * 0.001 as prediction, {NEAR} as m1"),
            vec![
                "`prediction` (",
                "is named like a prediction, but `m1` (",
                "is much closer to `price`",
                "--value`: prediction, m1",
            ],
        ),
        (
            "last year's price beside one without a name",
            ", s.price + 900 * public.e(n, 15) as price_last_year, s.price + 500 * public.e(n, 16) as m1".to_owned(),
            vec!["predicts `price`: `m1` (", "`price_last_year` ("],
        ),
        (
            "a feature that shares a word with the label",
            ", s.price / 1000 + 3 * public.e(n, 17) as expected_price_class".to_owned(),
            vec!["no column of `public.car` is named like a prediction"],
        ),
        (
            "a name on another scale against rows",
            format!(", s.price / 30000 as score, {NEAR} as m1"),
            vec!["`score` (rank correlation 1.00", "but `m1` ("],
        ),
        (
            "two models, equally good",
            format!(", {NEAR} as pred_a, s.price + 900 * public.e(n, 14) as pred_b"),
            vec!["more than one column", "pred_a", "pred_b"],
        ),
        (
            "only the label itself",
            ", s.price as price".to_owned(),
            vec!["`price` equals `price` in every row", "--value"],
        ),
        (
            "a word among the numbers",
            format!(", case when n = 9 then 'n.a.' else ({NEAR})::text end as prediction"),
            vec!["`prediction` of `public.car` is named like a prediction but is not numeric"],
        ),
        (
            "two times",
            format!(", {NEAR} as pred, now() - n * interval '1 day' as ts"),
            vec!["several columns that could be the event time", "Name the right column with `--at`: at, ts"],
        ),
    ];
    for (case, more, words) in cases {
        db.execute(&cars(&more)).await;
        init(&folder, &db, &[]).refuses(case, &words);
    }
    // What is named stands.
    init(&folder, &db, &["--at", "ts"]).takes("named", &["at = \"ts\""]);
    db.execute(&cars(&format!(", {NEAR} as pred_a, n as b"))).await;
    init(&folder, &db, &["--value", "b"])
        .takes("named against its name", &["value = \"b\"\n"])
        .says("named", &["value `b`: as named"]);
    // A number alone is no prediction because it is alone.
    db.execute("drop table public.car; create table public.car as select n as id, timestamptz '2025-05-01' + n * interval '1 hour' as at, (n % 12)::int as age from generate_series(1, 700) n").await;
    init(&folder, &db, &[])
        .refuses("one feature", &["`age` (rank correlation", "is the only numeric column of `public.car`"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_label_is_found_among_other_numbers_of_its_table() {
    let db = TestDatabase::new().await;
    let folder = Folder::new("init-labels");
    for (case, prediction, labels, actual) in [
        ("by its name", "prediction", ", n % 9 as rooms, s.price as y_true, 7 as fee", "y_true"),
        (
            "by the prediction's name",
            "predicted_price",
            ", n % 9 as rooms, s.price * 0.9 as net, s.price as price, 7 as fee",
            "price",
        ),
        (
            "by the rows",
            "prediction",
            ", n % 9 as rooms, s.price * 0.1 as net, s.price as paid_out, 7 as fee",
            "paid_out",
        ),
        ("by the rows alone", "m1", ", n % 9 as rooms, s.price as v2, (n % 12)::int as age", "v2"),
    ] {
        db.execute(&cars(&format!(", {NEAR} as {prediction}"))).await;
        let sql = format!(
            "create table public.other as select n as id{labels} from generate_series(1, 700) n join public.sale s on s.id = n; drop table public.sale; alter table public.other rename to sale"
        );
        db.execute(&sql).await;
        init(&folder, &db, &[])
            .takes(case, &[&format!("value = \"{actual}\"\n"), &format!("value = \"{prediction}\"\n")]);
    }
    db.execute(&cars(&format!(", {NEAR} as prediction"))).await;
    db.execute("alter table public.sale add column gross float8; update public.sale set gross = price + 1").await;
    init(&folder, &db, &[])
        .refuses("two labels", &["which column of `public.sale` is the label", "`--actual`: price, gross"]);
}

/// One table of both, and a label's name that the rows contradict.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_both_is_read_twice_and_a_wrong_name_is_found_out() {
    let db = TestDatabase::new().await;
    let folder = Folder::new("init-both");
    let csv = (0..300_i64).map(|n| {
        let at = chrono::DateTime::from_timestamp(1_746_057_600 + n * 3_600, 0).unwrap().format("%Y-%m-%d %H:%M:%S");
        let price = 900 + n * 37 % 400;
        format!("{n},{at},{},{price},{},{}\n", n % 9, price + n % 11, price * 3)
    });
    folder.write("both.csv", &("id,at,rooms,price,prediction,tax\n".to_owned() + &csv.collect::<String>()));
    let run = trueup_csv(&folder, &db, &["both.csv", "both.csv"]).ok();
    assert!(run.stderr.contains("value prediction)") && run.stderr.contains("(key id, value price)"), "{}", run.stderr);
    db.execute(&cars(&format!(", {NEAR} as prediction"))).await;
    db.execute(
        "alter table public.sale add column real_estate_tax float8; update public.sale set real_estate_tax = id % 7",
    )
    .await;
    init(&folder, &db, &[]).refuses(
        "a label by name only",
        &["`real_estate_tax` is named like a label, but the prediction is close to `price`", "--actual"],
    );
}

fn trueup_csv(folder: &Folder, db: &TestDatabase, files: &[&str]) -> Run {
    let arguments = [&["init", "--csv"], files, &["--name", "both"]].concat();
    Run::of(folder.trueup(&arguments).env("DATABASE_URL", db.url()).output().unwrap())
}

/// A probability is far from labels of 0 and 1, and it is the prediction.
#[tokio::test(flavor = "multi_thread")]
async fn a_probability_is_taken_for_labels_of_two_values() {
    let db = TestDatabase::new().await;
    let folder = Folder::new("init-binary");
    for (case, fraud, score) in [
        (
            "half",
            "(public.e(n, 1) > 0)::int",
            "0.5 + 0.3 * sign(public.e(n, 1)) * abs(public.e(n, 2)) + 0.15 * public.e(n, 3)",
        ),
        (
            "rare",
            "(public.e(n, 1) > 0.93)::int",
            "case when public.e(n, 1) > 0.9 then 0.9 else 0.4 end + 0.09 * public.e(n, 3)",
        ),
    ] {
        db.execute(&cars(&format!(", {score} as p_fraud, (public.e(n, 1) > 0.2)::int as is_night, n % 2 as is_web")))
            .await;
        db.execute(&format!("drop table public.sale; create table public.sale as select n as id, {fraud} as fraud from generate_series(1, 700) n")).await;
        init(&folder, &db, &[]).takes(case, &["value = \"p_fraud\"\n", "value = \"fraud\"\n"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_arrivals_and_cohorts_are_taken_with_the_same_care() {
    let db = TestDatabase::new().await;
    let folder = Folder::new("init-beside");
    let arrivals = "at + interval '1 minute'";
    // A model of a car is none of ours; `model_version` is. Neither keys nor texts nor what has many values make cohorts.
    let more = format!(
        ", {NEAR} as pred, (array['VW', 'BMW', 'Dacia'])[1 + n % 3] as brand, 'M' || n % 6 as model, 'v' || n / 400 as model_version,
           timestamptz '2020-01-01' + n % 50 * interval '1 day' as account_created_at,
           timestamptz '2025-05-01' + n * interval '15 minutes' + interval '1 minute' as scored_at, n % 40 as shop_code, 's' || n % 40 as shop_id"
    );
    db.execute(&cars(&more)).await;
    db.execute(&format!("alter table public.sale add known timestamptz; update public.sale set known = (select {arrivals} from public.car where car.id = sale.id)")).await;
    let tried = init(&folder, &db, &[]);
    tried.takes(
        "all",
        &[
            "version = \"model_version\"",
            "arrived_at = \"scored_at\"",
            "arrived_at = \"known\"",
            "by = [\"colour\"]",
            "by = [\"is_new\"]",
        ],
    );
    tried.says("all", &["version `model_version`; predictions arrive at `scored_at`; labels arrive at `known`; cohorts by `colour`, `is_new`"]);
    for none in [
        "by = [\"vin\"]",
        "by = [\"description\"]",
        "by = [\"seller\"]",
        "by = [\"zip\"]",
        "by = [\"model\"]",
        "\"shop_id\"",
        "account_created_at",
    ] {
        assert!(!tried.job.contains(none), "{none}\n{}", tried.job);
    }
    // `model` alone is a version where it has few values and no brand stands beside it.
    for (case, more, version) in [
        ("few", ", 'm' || n % 3 as model", Some("model")),
        ("a brand beside it", ", 'm' || n % 3 as model, 'b' || n % 2 as brand", None),
        ("many", ", 'm' || n % 200 as model", None),
        ("numbers of runs", ", n / 100 as run", Some("run")),
        ("a run each", ", n as run_id", None),
    ] {
        db.execute(&cars(&format!(", {NEAR} as pred{more}"))).await;
        let tried = init(&folder, &db, &[]);
        match version {
            Some(version) => _ = tried.takes(case, &[&format!("\nversion = \"{version}\"")]),
            None => assert!(!tried.takes(case, &[]).job.contains("\nversion = "), "{case}\n{}", tried.job),
        }
    }
    // An arrival with gaps would hide rows.
    db.execute(&cars(&format!(", {NEAR} as pred, case when n > 3 then now() - interval '1 day' end as created_at, now() - interval '1 day' as updated_at"))).await;
    init(&folder, &db, &[])
        .takes("gaps", &[])
        .says("gaps", &["`created_at` of `public.car` is NULL in some rows", "predictions arrive at `updated_at`"]);
}

/// Tables that share a word and a time are keyed by what tells their rows apart.
#[tokio::test(flavor = "multi_thread")]
async fn the_key_is_what_tells_rows_apart() {
    let db = TestDatabase::new().await;
    let folder = Folder::new("init-key");
    db.execute(&cars(&format!(", {NEAR} as pred"))).await;
    db.execute("alter table public.car rename id to ride; alter table public.sale rename id to ride; alter table public.sale add colour text, add owners_id int; update public.sale set colour = 'red', owners_id = 1; alter table public.car add owners_id int; update public.car set owners_id = 1").await;
    init(&folder, &db, &[]).takes("a word and a key of others", &["id = \"ride\""]);
    // Forecasts of an hour have the hour for their key.
    db.execute("drop table public.car, public.sale; create table public.sale (ds timestamptz, y float8); create table public.car (ds timestamptz, yhat float8, yhat_lower float8);
         insert into public.sale select timestamptz '2025-05-01' + n * interval '1 hour', n % 24 from generate_series(1, 500) n; insert into public.car select ds, y + 1, y - 3 from public.sale").await;
    init(&folder, &db, &[]).takes("a time", &["id = \"ds\"", "at = \"ds\"", "value = \"yhat\"\n", "value = \"y\"\n"]);
}

/// On a terminal it says what cannot be seen, and an empty line is no answer to it.
#[tokio::test(flavor = "multi_thread")]
async fn on_a_terminal_what_is_in_doubt_must_be_answered() {
    let db = TestDatabase::new().await;
    let folder = Folder::new("init-must");
    db.execute(&cars(&format!(", {NEAR} as a1, s.price + 900 * public.e(n, 13) as a2"))).await;
    // Tables, keys and time as proposed; nothing, an unknown column and then a column for the value; the rest as proposed.
    let answers = ["", "", "", "", "", "", "a3", "a2", "", "", "", "", "", "-", "-"];
    let arguments = "init --name cars --predictions public.car --labels public.sale";
    let said = folder.typed(&db.url(), arguments, &answers);
    for words in [
        "rows do not show which one predicts `price`: `a",
        "predicted value [?]",
        "names and rows do not decide this: enter it",
        "`a3` does not exist",
        "wrote `jobs/cars.toml`",
    ] {
        assert!(said.contains(words), "`{words}` is not in\n{said}");
    }
    let job = std::fs::read_to_string(folder.0.join("jobs/cars.toml")).unwrap_or_else(|_| panic!("{said}"));
    assert!(job.contains("value = \"a2\"\n") && job.contains("by = [\"colour\"]"), "{job}");
}
