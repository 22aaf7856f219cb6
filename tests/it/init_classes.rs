//! Labels of two classes that `init` recognizes, the class that is positive, and jobs that measure them.

use crate::support::database::TestDatabase;
use crate::support::program::{Folder, Run};

/// Scores of 3,000 payments, one every 20 minutes, the newest of now, and labels of those older than ten days, which arrive after ten
/// days. `e(n)` is uniform from 0 to 1; `bad` is true for a share of payments that grows with their score.
fn payments(score: &str, labels: &str) -> String {
    format!(
        "create or replace function public.e(n bigint, k int) returns float8 immutable language sql as
             $$ select ((hashtext(n::text || '/' || k)::bigint % 1000) + 1000) / 2000.0 $$;
         drop table if exists public.payment_score, public.chargeback;
         drop type if exists public.verdict;
         create type public.verdict as enum ('fine', 'fraud');
         create table public.payment_score as
             select n as payment_id, now() - (3000 - n) * interval '20 minutes' as at, {score}, (array['web', 'shop'])[1 + n % 2] as channel
             from generate_series(1, 3000) n;
         create table public.chargeback as
             select n as payment_id, {labels}, now() - (3000 - n) * interval '20 minutes' + interval '10 days' as known_at
             from (select n, public.e(n, 1) ^ 4 as p, public.e(n, 2) < public.e(n, 1) ^ 4 as bad from generate_series(1, 3000 - 720) n) as q;
         analyze public.payment_score; analyze public.chargeback;"
    )
}

/// Name, SQL of scores and of labels, lines of the job, and words that are printed.
type Case = (&'static str, &'static str, String, Vec<&'static str>, Vec<&'static str>);

struct Tried {
    run: Run,
    job: String,
    name: String,
}

fn init(folder: &Folder, db: &TestDatabase, more: &[&str]) -> Tried {
    let name = format!("j{}", uuid::Uuid::new_v4().simple());
    let arguments = [&["init", "--yes", "--name", &name], more].concat();
    let run = Run::of(folder.trueup(&arguments).env("DATABASE_URL", db.url()).output().unwrap());
    let job = std::fs::read_to_string(folder.0.join(format!("jobs/{name}.toml"))).unwrap_or_default();
    Tried { run, job, name }
}

impl Tried {
    /// Its job has these lines and no others of them, passes `check`, and has run.
    async fn holds(&self, case: &str, folder: &Folder, db: &TestDatabase, lines: &[&str], words: &[&str]) {
        assert_eq!(self.run.code, Some(0), "{case}: {}{}", self.run.stdout, self.run.stderr);
        for line in lines {
            let (there, line) = line.strip_prefix('!').map_or((true, *line), |line| (false, line));
            assert_eq!(self.job.contains(line), there, "{case}: `{line}`\n{}\n{}", self.job, self.run.stderr);
        }
        for word in words {
            assert!(self.run.stderr.contains(word), "{case}: `{word}` is not in\n{}", self.run.stderr);
        }
        let checked = Run::of(folder.trueup(&["check"]).env("DATABASE_URL", db.url()).output().unwrap());
        assert!(
            checked.code == Some(0) && checked.stdout.contains("0 errors"),
            "{case}: {}\n{}",
            checked.stdout,
            self.job
        );
        for code in ["idle-threshold", "few-positives", "unknown-class", "unusable-scores"] {
            assert!(!checked.stdout.contains(code), "{case}: {}\n{}", checked.stdout, self.job);
        }
        let measured = format!("select count(*) from trueup.window_history where job = '{}'", self.name);
        assert!(db.scalar::<i64>(&measured).await > 0, "{case}: nothing is measured");
        std::fs::remove_file(folder.0.join(format!("jobs/{}.toml", self.name))).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_of_two_classes_are_recognized_whatever_their_type() {
    let db = TestDatabase::new().await;
    let folder = Folder::new("init-classes");
    let probability = "public.e(n, 1) ^ 4 as score";
    let words = "case when bad then 'fraud' else 'fine' end";
    let regression = ["mse", "rmse", "mae", "r2"].map(|metric| format!("!\"{metric}\""));
    let regression: Vec<&str> = regression.iter().map(String::as_str).collect();
    let (fraud, rarer) = ("positive = \"fraud\" ", "positive label `fraud`: the rarer of `fraud` (");
    let cases: Vec<Case> = vec![
        (
            "words",
            probability,
            format!("{words} as outcome"),
            vec![
                fraud,
                "negative = \"fine\" ",
                "threshold = 0.5 ",
                "value = \"score\"\n",
                "value = \"outcome\"\n",
                "label_wait = \"10d\"",
                "on_final_only = true",
            ],
            vec![rarer, "and `fine` (", "label `outcome`: its name says so, and it has two values"],
        ),
        (
            "an enum",
            probability,
            format!("({words})::public.verdict as state"),
            vec![fraud, "value = \"state\"\n"],
            vec![rarer, "it has two values, and scores are higher for one of them"],
        ),
        (
            "truth next to an amount",
            "public.e(n, 1) ^ 4 as fraud_risk, n % 90 as age",
            "n % 70 as amount, bad as is_fraud, n % 5 = 0 as is_final".to_owned(),
            vec![
                "value = \"is_fraud\"\n",
                "value = \"fraud_risk\"\n",
                "# positive = true ",
                "!\npositive",
                "!\nnegative",
            ],
            vec!["a score is named after it"],
        ),
        (
            "truth that scores rank, among others",
            "public.e(n, 1) ^ 4 as probability",
            "n % 70 as amount, bad as chargeback, n % 5 = 0 as is_final".to_owned(),
            vec!["value = \"chargeback\"\n"],
            vec!["it has two values, and scores are higher for one of them"],
        ),
        (
            "0 and 1",
            "public.e(n, 1) ^ 4 as p_bad",
            "bad::int as bad".to_owned(),
            vec!["# positive = 1 ", "value = \"p_bad\"\n", "metric = \"auc\"", "rolling = [\"7d\"]"],
            vec!["positive label `1`: "],
        ),
        (
            "0.0 and 1.0",
            "public.e(n, 1) ^ 4 as proba",
            "bad::int::numeric(3, 1) as y".to_owned(),
            vec!["task = \"binary\"", "# positive = 1 "],
            vec![],
        ),
        (
            "1 and 2",
            probability,
            "1 + bad::int as grade".to_owned(),
            vec!["positive = 2 ", "negative = 1 "],
            vec!["the greater of `2`"],
        ),
        (
            "Python's truth",
            probability,
            "initcap((bad)::text) as label".to_owned(),
            vec!["positive = \"True\" ", "negative = \"False\" "],
            vec![],
        ),
        (
            "yes and no",
            probability,
            "case when bad then 'yes' else 'no' end as label".to_owned(),
            vec!["# positive = \"yes\" ", "!\npositive"],
            vec![],
        ),
        (
            "scores of the frequent class",
            "1 - public.e(n, 1) ^ 4 as score",
            format!("{words} as outcome"),
            vec!["positive = \"fine\" ", "negative = \"fraud\" "],
            vec!["positive label `fine`: the one with higher predictions of"],
        ),
        (
            "no probability",
            "850 - (550 * public.e(n, 1) ^ 4)::int as credit_score",
            "case when bad then 'defaulted' else 'paid' end as outcome".to_owned(),
            vec!["scores = \"any\"", "positive = \"paid\" ", "!log_loss", "!ece"],
            vec!["`credit_score` is no probability"],
        ),
        (
            "decisions",
            "(public.e(n, 1) > 0.8)::int as prediction",
            "bad::int as y".to_owned(),
            vec!["scores = \"any\"", "threshold = 0.5 ", "\"accuracy\"", "!log_loss"],
            vec![],
        ),
        (
            "scores that never reach one half",
            "public.e(n, 1) ^ 4 / 3 as score",
            format!("{words} as outcome"),
            vec!["threshold = 0.1", "!threshold = 0.5", "as many as labels are positive"],
            vec!["as many predictions reach it as labels are positive"],
        ),
    ];
    for (case, score, labels, lines, words) in cases {
        db.execute(&payments(score, &labels)).await;
        let tried = init(&folder, &db, &[]);
        let lines =
            [&lines[..], &["task = \"binary\"", "name = \"auc-low\"\nmetric = \"auc\"\n"], &regression].concat();
        tried.holds(case, &folder, &db, &lines, &words).await;
        let measured: i64 = db
            .scalar(&format!("select count(*) from trueup.classification_history where job = '{}'", tried.name))
            .await;
        assert!(measured > 0, "{case}: no classes are measured");
    }
}

/// An AUC that follows from the scores is the limit's basis, and a window has enough of the rarer class.
#[tokio::test(flavor = "multi_thread")]
async fn limits_fit_what_is_usual() {
    let db = TestDatabase::new().await;
    let folder = Folder::new("init-auc");
    let rare = "case when public.e(n, 3) < 0.005 + 0.1 * p then 'fraud' else 'fine' end as outcome";
    for (case, labels, window, coverage) in [
        ("frequent", "bad as label", "7d", "# [builtin] coverage"),
        ("rare", rare, "28d", "# [builtin] coverage"),
        ("missing", "case when n % 4 > 0 then bad end as label", "7d", "[builtin]\ncoverage = 0.7"),
    ] {
        db.execute(&payments("public.e(n, 1) ^ 4 as score", labels)).await;
        let tried = init(&folder, &db, &[]);
        let rule = format!("metric = \"auc\"\nwindow = \"rolling {window}\"\nbelow = 0.");
        tried.holds(case, &folder, &db, &[&rule, coverage, "severity = \"ticket\""], &[]).await;
        let below = tried.job.split("below = ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
        let number = |text: &str| text.parse::<f64>().unwrap();
        let usual = tried.job.split("5th percentile ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
        assert!((number(below) - (0.5 + 0.8 * (number(usual) - 0.5))).abs() < 0.002, "{case}: {}", tried.job);
        // The AUC of all labels lies above it.
        let area: f64 = db
            .scalar(
                "select ((sum(rank) filter (where bad) - sum(bad::int) * (sum(bad::int) + 1) / 2.0) / (sum(bad::int) * sum((not bad)::int)))::float8
                 from (select bad, rank() over (order by score) as rank from (
                     select score, coalesce(to_jsonb(c) ->> 'label' = 'true', to_jsonb(c) ->> 'outcome' = 'fraud') as bad
                     from public.payment_score join public.chargeback c using (payment_id)) as q where bad is not null) as ranked",
            )
            .await;
        assert!(area > number(usual) && number(usual) > 0.55, "{case}: {area} {usual}");
    }
}

/// Numbers stay numbers where nothing is a score, and a column beside them with two values is no label.
#[tokio::test(flavor = "multi_thread")]
async fn numbers_stay_numbers() {
    let db = TestDatabase::new().await;
    let folder = Folder::new("init-numbers");
    for (case, score, labels, lines) in [
        (
            "labels of 0 and 1, predictions beyond them",
            "3 * public.e(n, 1) as predicted",
            "bad::int as y",
            vec![
                "!\n[model]",
                "\"mse\"",
                "# All labels are 0 or 1, but `predicted` is not within 0 and 1",
                "# task = \"binary\"\n# scores = \"any\"\n",
            ],
        ),
        (
            "a flag next to the label",
            "100 * public.e(n, 1) as predicted_amount",
            "100 * public.e(n, 1) + n % 5 as amount, n % 9 = 0 as is_final, case when n % 2 = 0 then 'a' else 'b' end as source",
            vec!["!task", "value = \"amount\"\n", "\"mse\"", "metric = \"rmse\""],
        ),
        (
            "shares next to a flag",
            "public.e(n, 1) as predicted_share",
            "public.e(n, 1) * 0.9 + 0.001 * (n % 5) as share, n % 9 = 0 as is_final",
            vec!["!task", "value = \"share\"\n", "\"mse\""],
        ),
        (
            "two prices",
            "100 + public.e(n, 1) as forecast",
            "100 + 50 * (n % 2) as price",
            vec!["!task", "value = \"price\"\n", "\"mse\""],
        ),
    ] {
        db.execute(&payments(score, labels)).await;
        init(&folder, &db, &["--predictions", "public.payment_score", "--labels", "public.chargeback"])
            .holds(case, &folder, &db, &lines, &[])
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_that_are_no_classes_are_refused_with_the_flag_that_decides() {
    let db = TestDatabase::new().await;
    let folder = Folder::new("init-no-classes");
    let score = "public.e(n, 1) ^ 4 as score";
    for (case, labels, more, words) in [
        (
            "three words",
            "(array['a', 'b', 'c'])[1 + n % 3] as outcome",
            vec![],
            vec!["`public.chargeback` has no numeric column other than its key, and no column of two classes"],
        ),
        (
            "three words, named",
            "(array['a', 'b', 'c'])[1 + n % 3] as outcome",
            vec!["--actual", "outcome"],
            vec!["`outcome` of `public.chargeback` has no two values: a label is a number or one of two classes"],
        ),
        (
            "two that are as likely",
            "bad as lost, not bad as kept",
            vec![],
            vec!["which column of `public.chargeback` is the label", "`--actual`: lost, kept"],
        ),
    ] {
        db.execute(&payments(score, labels)).await;
        let named = [&["--predictions", "public.payment_score", "--labels", "public.chargeback"][..], &more].concat();
        let tried = init(&folder, &db, &named);
        assert!(tried.run.code == Some(1) && tried.job.is_empty(), "{case}: {}\n{}", tried.run.stderr, tried.job);
        for words in words {
            assert!(tried.run.stderr.contains(words), "{case}: `{words}` is not in\n{}", tried.run.stderr);
        }
    }
    init(&folder, &db, &["--actual", "lost"])
        .holds("named", &folder, &db, &["value = \"lost\"\n", "task = \"binary\""], &["label `lost`: as named"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_files_of_scores_and_classes_are_a_report() {
    let db = TestDatabase::new().await;
    let folder = Folder::new("init-classes-csv");
    for (case, positive, negative, lines) in [
        ("words", "spam", "ham", vec!["positive = \"spam\" ", "negative = \"ham\" "]),
        ("truth", "True", "False", vec!["# positive = true "]),
        ("numbers", "1", "0", vec!["# positive = 1 "]),
    ] {
        let (mut scores, mut labels) = ("id,received_at,p_spam,language\n".to_owned(), "id,verdict\n".to_owned());
        for n in 0..600_i64 {
            let at = chrono::DateTime::from_timestamp(1_746_057_600 + n * 1_800, 0).unwrap();
            let score = (n * 37 % 100) as f64 / 100.0;
            scores += &format!("{n},{},{score},{}\n", at.format("%Y-%m-%d %H:%M:%S"), ["de", "en"][(n % 2) as usize]);
            labels +=
                &format!("{n},{}\n", if (n * 53 % 97) as f64 / 97.0 < score * score { positive } else { negative });
        }
        folder.write("p.csv", &scores).write("l.csv", &labels);
        let name = format!("mail-{case}");
        let ran = folder.run_on(&db.url(), &["init", "--csv", "p.csv", "l.csv", "--name", &name]).ok();
        let job = std::fs::read_to_string(folder.0.join(format!("jobs/{name}.toml"))).unwrap();
        for line in [&lines[..], &["task = \"binary\"", "value = \"p_spam\"\n", "value = \"verdict\"\n"]].concat() {
            assert!(job.contains(line), "{case}: `{line}` is not in\n{job}");
        }
        assert!(ran.stdout.contains("auc"), "{case}: {}", ran.stdout);
        // The confusion matrix of the report is that of the files.
        let found = db
            .lines(&format!(
                "select label, decision, pairs from trueup.confusion_history
                 where job = '{name}' and cohort = 'all' and model_version is null and window_name like 'rolling%' order by 1, 2"
            ))
            .await;
        let window = job.split("rolling = [\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        let hours: i64 = match window {
            "24h" => 24,
            "7d" => 7 * 24,
            _ => 28 * 24,
        };
        let expected = db
            .lines(&format!(
                "select c.label, c.decision, count(q.label)
                 from (values ('negative', 'negative'), ('negative', 'positive'), ('positive', 'negative'), ('positive', 'positive')) as c (label, decision)
                 left join (
                     select case when l.verdict::text in ('{positive}', lower('{positive}')) then 'positive' else 'negative' end as label,
                            case when p.p_spam >= 0.5 then 'positive' else 'negative' end as decision
                     from csv.p p join csv.l l using (id), (select max(window_end) as ends from trueup.confusion_history where job = '{name}' and window_name like 'rolling%') as w
                     where p.received_at >= w.ends - {hours} * interval '1 hour' and p.received_at < w.ends
                 ) as q using (label, decision) group by 1, 2 order by 1, 2"
            ))
            .await;
        assert!(found.len() == 4 && found == expected, "{case}: {found:?}, expected {expected:?}");
        let checked = folder.run_on(&db.url(), &["check"]);
        assert_eq!(checked.code, Some(0), "{case}: {}", checked.stdout);
    }
}

/// On a terminal the positive class is asked for.
#[tokio::test(flavor = "multi_thread")]
async fn on_a_terminal_the_positive_class_is_confirmed() {
    let db = TestDatabase::new().await;
    let folder = Folder::new("init-positive");
    let labels = "case when bad then 'fraud' else 'fine' end as outcome";
    db.execute(&payments("public.e(n, 1) ^ 4 as score", labels)).await;
    // Tables, keys, time and values as proposed; version, arrivals, cohorts; an unknown class, then the other one; no links.
    let answers = ["", "", "", "", "", "", "", "", "", "", "", "maybe", "fine", "-", "-"];
    let said = folder.typed(&db.url(), "init --name fraud", &answers);
    assert!(said.contains("positive label [fraud]") && said.contains("`maybe` does not exist"), "{said}");
    let job = std::fs::read_to_string(folder.0.join("jobs/fraud.toml")).unwrap_or_else(|_| panic!("{said}"));
    assert!(job.contains("positive = \"fine\" ") && job.contains("negative = \"fraud\" "), "{job}");
    assert!(job.contains("below_baseline = \"5%\""), "the scores are of the other class:\n{job}");
}
