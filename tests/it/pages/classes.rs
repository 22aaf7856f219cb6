//! Pages of jobs that predict classes: the numbers of the history, by what is predicted.

use serde_json::Value as Json;
use trueup::text::number::percent;

use super::site::{Site, texts};
use crate::grafana::story;
use crate::support::world::{World, at, plan_job};

const TABLES: &str = "
    create schema bank;
    create table bank.p (id bigint primary key, at timestamptz not null, score float8, version text, region text, seen timestamptz not null);
    create table bank.l (id bigint primary key, outcome text, seen timestamptz not null);
    create table bank.t (id bigint primary key, at timestamptz not null, queue text, seen timestamptz not null, team text not null default 'first');
    create table bank.u (id bigint primary key, queue text, seen timestamptz not null);
    create index on bank.p (at); create index on bank.p (seen); create index on bank.l (seen);
    create index on bank.t (at); create index on bank.t (seen); create index on bank.u (seen);";

/// Region `b` has more positive decisions than `a`; most positive decisions get a label, of the negative ones every second.
const ROWS: &str = "
    insert into bank.p
    select n, timestamptz '2025-05-01Z' + n * interval '4 minutes', least(1.0, (n * 37 % 101) / 101.0 + case n % 2 when 0 then 0.3 else 0.0 end),
           'v' || 1 + n % 2, case n % 2 when 0 then 'b' else 'a' end, '2025-05-01Z'
    from generate_series(1, 700) n;
    insert into bank.l
    select id, case when id * 53 % 97 < score * 97 then 'bad' else 'good' end, '2025-05-01Z' from bank.p
    where case when score >= 0.5 then id % 10 > 0 else id % 4 < 2 end;
    insert into bank.t (id, at, queue, seen)
    select n, timestamptz '2025-05-01Z' + n * interval '4 minutes', (array['<script>alert(1)</script>', 'b, \"or\" not'])[n % 17] , '2025-05-01Z'
    from generate_series(1, 700) n;
    update bank.t set queue = 'queue ' || id % 17 where queue is null;
    insert into bank.u select id, case when id % 5 = 0 then 'queue 3' else queue end, '2025-05-01Z' from bank.t where id % 7 > 0;";

/// A job of two classes, whose recall is in breach, and which compares the regions.
pub fn credit(cohort: &str) -> String {
    format!(
        r#"
[job]
name = "credit"
owner = "risk@example.org"
runbook = "https://runbooks.example.org/credit"
[schedule]
every = "1h"
[model]
task = "binary"
positive = "bad"
[predictions]
table = "bank.p"
id = "id"
at = "at"
value = "score"
version = "version"
arrived_at = "seen"
[labels]
table = "bank.l"
id = "id"
value = "outcome"
arrived_at = "seen"
proxy = true
[builtin]
off = ["all"]
[windows]
tumbling = ["1d"]
label_wait = "2d"
[residuals]
worst = 3
[[cohorts]]
by = [{cohort}]
[metrics]
include = ["recall", "precision", "fpr", "auc", "log_loss", "ece", "positive_rate", "coverage_of_positive", "coverage_of_negative"]
[[fairness]]
by = "region"
metrics = ["tpr_gap", "fpr_gap", "selection_ratio", "ece_gap"]
min_group = 30
[[alerts]]
name = "unequal"
metric = "selection_ratio"
window = "tumbling 1d"
below = 0.999
severity = "ticket"
notify = ["mail"]
[[alerts]]
name = "missed"
metric = "recall"
window = "tumbling 1d"
below = 0.999
severity = "page"
notify = ["mail"]
"#
    )
}

const TICKETS: &str = r#"
[job]
name = "tickets"
[schedule]
every = "1h"
[model]
task = "multiclass"
[predictions]
table = "bank.t"
id = "id"
at = "at"
value = "queue"
arrived_at = "seen"
[labels]
table = "bank.u"
id = "id"
value = "queue"
arrived_at = "seen"
[builtin]
off = ["all"]
[windows]
tumbling = ["1d"]
label_wait = "2d"
[[cohorts]]
by = ["team"]
[metrics]
include = ["macro_f1", "accuracy"]
"#;

/// Adds the tables of both jobs.
pub async fn fill(world: &World) {
    world.db.execute(TABLES).await;
    world.db.execute(ROWS).await;
}

/// The demo's history, and next to it a job of two classes and one of several.
pub async fn scene() -> World {
    let mut world = story::story().await;
    fill(&world).await;
    let load = std::mem::replace(&mut world.job, plan_job(&credit("\"region\"")));
    for time in ["2025-05-02T00:00:00Z", "2025-05-03T00:00:00Z"] {
        world.run_at(at(time)).await;
    }
    world.job = plan_job(TICKETS);
    world.run_at(at("2025-05-03T00:00:00Z")).await;
    world.job = load;
    world
}

const PROXY: &str = "Labels stand in for the true outcome";

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_a_job_show_what_its_task_measures() {
    let world = scene().await;
    let site = Site::pages(&world.db.url()).await;
    let page = async |path: &str| {
        let answer = site.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.body
    };
    for (job, headline) in [("credit", "auc"), ("tickets", "accuracy"), ("load", "rmse")] {
        let body = page(&format!("/jobs/{job}")).await;
        assert!(body.contains(&format!("<h2 id=\"chart\">{headline} of ")), "{job}: {body}");
        assert_eq!(body.contains("<option>rmse") || body.contains(">rmse<"), job == "load", "{job}");
    }
    // The newest day, as the history has it, in percent.
    let accuracy: f64 = world
        .db
        .scalar(
            "select accuracy from trueup.classification_history where job = 'tickets' and cohort = 'all' order by window_end desc limit 1",
        )
        .await;
    let body = page("/jobs/tickets").await;
    assert!(body.contains(&format!("<td class=\"n\">{:.0} %", accuracy * 100.0)), "{accuracy}: {body}");

    let incident: i64 = world
        .db
        .scalar("select max(id) from trueup.incident where job_id = (select id from trueup.job where name = 'credit')")
        .await;
    let incident = page(&format!("/incidents/{incident}")).await;
    assert!(incident.contains(PROXY) && incident.contains("distance of score and label"), "{incident}");
    for path in ["/jobs/credit", "/jobs/credit/debug", "/jobs/credit/rules/missed", "/jobs/credit/definition"] {
        assert!(page(path).await.contains(PROXY), "{path}");
    }
    for path in ["/jobs/load", "/incidents/1", "/jobs/tickets"] {
        assert!(!page(path).await.contains(PROXY), "{path}");
    }

    let debug = page("/jobs/credit/debug").await;
    assert!(debug.contains("Distance of score and label") && !debug.contains(">rmse<"), "{debug}");
    let pairs = "select count(*) from trueup.residual_history where job = 'credit' and outcome = 'pair'";
    assert!(debug.contains(&format!("<b>{}</b><span>labeled pairs", world.db.scalar::<i64>(pairs).await)), "{debug}");
    let debug = page("/jobs/tickets/debug").await;
    assert!(debug.contains("id=\"latency\"") && !debug.contains("id=\"errors\""), "{debug}");
    let window = "windows/tumbling-1d/2025-05-02T00:00:00Z";
    assert!(!page(&format!("/jobs/tickets/{window}")).await.contains("Worst samples"));
    assert!(page(&format!("/jobs/credit/{window}")).await.contains("largest distance of score and label"));
}

/// Cells of the rows of the table below a panel, without their links: `80|20 %`.
fn table(page: &str, panel: &str) -> Vec<Vec<String>> {
    let start = format!("aria-labelledby=\"{panel}\"");
    let part = page.split(&start).nth(1).expect("the panel").split("</section>").next().expect("its end").to_owned();
    let body = part.split("<tbody>").nth(1).expect("a table").split("</tbody>").next().expect("its end").to_owned();
    let plain = |cell: String| {
        let text = cell.split_once('>').map_or(String::new(), |(_, rest)| rest.replace("<small>", "|"));
        let mut words = String::new();
        let mut is_tag = false;
        for letter in text.chars() {
            match letter {
                '<' => is_tag = true,
                '>' => is_tag = false,
                letter if !is_tag => words.push(letter),
                _ => {}
            }
        }
        super::site::unescaped(&words).trim().to_owned()
    };
    let row = |row: String| row.replace("<th", "<td").split("<td").skip(1).map(|cell| plain(cell.to_owned())).collect();
    texts_raw(&body, "<tr>", "</tr>").into_iter().map(row).collect()
}

/// Like `texts`, not unescaped: cells contain text that looks like tags.
fn texts_raw(html: &str, open: &str, close: &str) -> Vec<String> {
    html.split(open).skip(1).filter_map(|rest| rest.split(close).next()).map(str::to_owned).collect()
}

/// A count as pages show it.
fn shown(count: i64) -> String {
    assert!(count < 1_000);
    count.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_classes_shows_the_numbers_of_the_history() {
    let world = scene().await;
    let site = Site::pages(&world.db.url()).await;
    for (cohort, version) in [("all", None), ("region=a", None), ("all", Some("v2"))] {
        let query = trueup::text::links::with_query("", &[("cohort", Some(cohort)), ("version", version)]);
        let answer = site.get(&format!("/jobs/credit/classes{query}")).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.body);
        let page = answer.body;
        // The newest window with labels.
        let of = format!(
            "job = 'credit' and cohort = '{cohort}' and model_version is not distinct from {} and window_end = '2025-05-03Z'",
            version.map_or("null".to_owned(), |version| format!("'{version}'"))
        );
        let cells =
            world.db.lines(&format!("select label, decision, pairs from trueup.confusion_history where {of}")).await;
        let count = |label: &str, decision: &str| -> i64 {
            let start = format!("{label} | {decision} | ");
            cells.iter().find_map(|cell| cell.strip_prefix(&start)).expect("a cell").parse().expect("a number")
        };
        let matrix = table(&page, "confusion");
        for (row, label) in ["positive", "negative"].into_iter().enumerate() {
            assert_eq!(matrix[row][0], label);
            let whole = count(label, "positive") + count(label, "negative");
            for (column, decision) in ["positive", "negative"].into_iter().enumerate() {
                let pairs = count(label, decision);
                let (said, share) = matrix[row][column + 1].split_once('|').expect("a share");
                assert_eq!(said, shown(pairs), "{label} {decision} of {query}");
                #[expect(clippy::cast_precision_loss, reason = "small counts")]
                let expected = pairs as f64 / whole as f64;
                assert!(
                    share == percent(expected) || share == format!("{:.1} %", expected * 100.0),
                    "{share}, not {expected}"
                );
            }
            assert_eq!(matrix[row][3], shown(whole));
        }
        let bins = world
            .db
            .lines(&format!(
                "select pairs, predictions, coalesce(round((mean_score * 100)::numeric, 1)::text, '–') from trueup.calibration_history where {of} order by bin"
            ))
            .await;
        let (curve, coverage) = (table(&page, "calibration"), table(&page, "coverage"));
        assert_eq!((curve.len(), coverage.len(), bins.len()), (10, 12, 10));
        for (place, bin) in bins.iter().enumerate() {
            let [pairs, predictions, mean] = bin.split(" | ").collect::<Vec<_>>()[..] else { panic!("{bin}") };
            assert_eq!(curve[place][1], pairs, "{query}");
            assert_eq!([&coverage[place + 2][1], &coverage[place + 2][2]], [predictions, pairs], "{query}");
            let near = mean == "–" && curve[place][2] == "–"
                || (mean.parse::<f64>().unwrap() - curve[place][2].trim_end_matches(" %").parse::<f64>().unwrap())
                    .abs()
                    <= 0.5;
            assert!(near, "{mean}, not {}", curve[place][2]);
        }
        let numbers = world
            .db
            .lines(&format!("select ece, ece_by_chance, coverage_of_positive, coverage_of_negative from trueup.classification_history where {of}"))
            .await;
        let numbers: Vec<f64> = numbers[0].split(" | ").map(|number| number.parse().unwrap()).collect();
        let one = |share: f64| if share < 0.1 { format!("{:.1} %", share * 100.0) } else { percent(share) };
        for (number, meaning) in [(numbers[0], "ece<"), (numbers[1], "ece_by_chance, of calibrated scores")] {
            assert!(page.contains(&format!("<b>{}</b><span>{meaning}", one(number))), "{number}: {page}");
        }
        assert_eq!([&coverage[0][3], &coverage[1][3]], [&one(numbers[2]), &one(numbers[3])]);
        assert!(numbers[2] > 0.8 && numbers[3] < 0.6, "decisions choose what gets labels: {numbers:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gaps_name_their_groups_and_stand_above_the_numbers_of_each() {
    let world = scene().await;
    let site = Site::pages(&world.db.url()).await;
    let page = site.get("/jobs/credit/classes?to=2025-05-02T00:00:00Z").await.body;
    let history = world
        .db
        .lines(
            "select metric, round((value * 100)::numeric) || ' %', (ci_low is not null)::text,
                    regexp_replace(note, ' has \\d\\.\\d+', '', 'g')
             from trueup.metric_history where job = 'credit' and window_end = '2025-05-02Z' and note is not null and cohort = 'all'
               and model_version is null order by metric",
        )
        .await;
    assert_eq!(history.len(), 4, "{history:?}");
    let gaps = table(&page, "gaps");
    for line in &history {
        let [metric, value, has_interval, groups] = line.split(" | ").collect::<Vec<_>>()[..] else { panic!("{line}") };
        let row = gaps.iter().find(|row| row[0] == metric).expect("a row");
        let number = |text: &str| text.trim_end_matches(" %").parse::<f64>().unwrap();
        assert!((number(&row[2]) - number(value)).abs() <= 0.5, "{row:?} {line}");
        assert_eq!((row[3].contains(" to "), row[1].as_str()), (has_interval == "true", "region"), "{row:?}");
        for group in groups.split(", and ") {
            assert!(row[4].contains(group), "{row:?} {line}");
        }
    }
    assert!(
        gaps.iter().find(|row| row[0] == "selection_ratio").is_some_and(|row| row[5].starts_with("unequal")),
        "{gaps:?}"
    );
    let groups = table(&page, "groups");
    let expected = world
        .db
        .lines(
            "select cohort, labeled, predictions from trueup.classification_history
             where job = 'credit' and window_end = '2025-05-02Z' and cohort like 'region=%' and model_version is null
             order by predictions desc, cohort",
        )
        .await;
    let found: Vec<String> = groups.iter().map(|row| format!("{} | {} | {}", row[0], row[5], row[6])).collect();
    assert_eq!(found, expected);
    // A group leads to its own matrix.
    assert!(page.contains("/jobs/credit/classes?window=tumbling%201d&#38;cohort=region%3Da"), "{page}");
    // Another version or job without comparisons has none of this.
    assert!(!site.get("/jobs/tickets/classes").await.body.contains("id=\"gaps\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn several_classes_are_named_and_the_rest_is_summed() {
    let world = scene().await;
    let site = Site::pages(&world.db.url()).await;
    let answer = site.get("/jobs/tickets/classes").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(!answer.body.contains("<script>alert"), "names are text");
    assert!(!answer.body.contains("id=\"calibration\"") && !answer.body.contains("id=\"coverage\""));
    let matrix = table(&answer.body, "confusion");
    // Twelve by name, the rest, and the totals.
    assert_eq!((matrix.len(), matrix[0].len()), (14, 15), "{matrix:?}");
    assert_eq!(matrix[12][0], "the rest (5 classes)");
    let wanted = world
        .db
        .lines(
            "with c as (select * from trueup.confusion_history where job = 'tickets' and cohort = 'all' and window_end = '2025-05-03Z')
             select name, (select sum(pairs) from c where label = name)::text
             from (select label as name, pairs from c union all select decision, pairs from c) as s
             group by name order by sum(pairs) desc, name limit 12",
        )
        .await;
    let found: Vec<String> = matrix[..12].iter().map(|row| format!("{} | {}", row[0], row[14])).collect();
    assert_eq!(found, wanted);
    let all: i64 = world
        .db
        .scalar("select sum(pairs)::bigint from trueup.confusion_history where job = 'tickets' and cohort = 'all' and window_end = '2025-05-03Z'")
        .await;
    assert_eq!(matrix[13][14], shown(all));
    let cells = |row: &Vec<String>| {
        row[1..14].iter().map(|cell| cell.split('|').next().unwrap().parse::<i64>().unwrap()).sum::<i64>()
    };
    assert_eq!(matrix[..13].iter().map(cells).sum::<i64>(), all);
}

#[tokio::test(flavor = "multi_thread")]
async fn panels_of_classes_have_their_numbers_in_other_formats_and_wrong_addresses_say_so() {
    let world = scene().await;
    let site = Site::pages(&world.db.url()).await;
    let page = site.get("/jobs/credit/classes").await.body;
    for panel in ["confusion", "calibration", "coverage", "gaps", "groups"] {
        let api = format!("/api/v1/jobs/credit/{panel}");
        assert!(page.contains(&format!("<a href=\"{api}\">JSON</a>")), "{panel}");
        let rows: Vec<Json> = serde_json::from_str(&site.get(&api).await.body).expect("JSON");
        let csv = site.get(&format!("{api}.csv")).await;
        assert_eq!(csv.body.lines().count(), rows.len() + 1, "{panel}: {}", csv.body);
        // The query below the panel yields as many rows.
        let part = page.split(&format!("aria-labelledby=\"{panel}\"")).nth(1).expect("the panel");
        let sql = texts(part, "<summary>SQL</summary><pre tabindex=\"0\" data-copy>", "</pre>").remove(0);
        let counted = format!("select count(*) from ({}) as q", sql.trim_end_matches(';'));
        assert_eq!(usize::try_from(world.db.scalar::<i64>(&counted).await).unwrap(), rows.len(), "{sql}");
        assert!(!rows.is_empty(), "{panel}");
        let has_drawing = !["gaps", "groups"].contains(&panel);
        assert_eq!(site.get(&format!("{api}.svg")).await.status, if has_drawing { 200 } else { 404 }, "{panel}");
        let alone = site.get(&format!("/jobs/credit/classes?panel={panel}")).await.body;
        assert_eq!(alone.matches("<section class=\"panel\"").count(), 1, "{panel}");
    }
    let drawing = site.get("/api/v1/jobs/credit/calibration.svg").await.body;
    assert!(drawing.contains("c-diagonal") && drawing.contains("<style>"), "{drawing}");
    for (path, status, hint) in [
        ("/jobs/load/classes", 404, "The job predicts numbers"),
        ("/jobs/nobody/classes", 404, "There is no job"),
        ("/jobs/credit/classes?cohrt=a", 400, "did you mean `cohort`?"),
        ("/jobs/credit/classes?to=soon", 400, "is not a time"),
        ("/jobs/credit/classes?window=rolling+1h", 404, "tumbling 1d"),
        ("/jobs/credit/classes?cohort=region%3Dnone", 200, "Nothing was measured for this cohort and version"),
        ("/jobs/credit/classes?to=2020-01-01", 200, "No window of this kind ends in this range"),
        ("/api/v1/jobs/load/confusion", 404, "predicts numbers"),
    ] {
        let answer = site.get(path).await;
        assert!(answer.status == status && answer.body.contains(hint), "{path}: {} {}", answer.status, answer.body);
    }
    // Newer windows without labels do not hide the newest one that has some.
    let older = site.get("/jobs/credit/classes?to=2025-05-02T12:00:00Z").await.body;
    assert!(older.contains("to <time datetime=\"2025-05-02T00:00:00Z\">") && older.contains("rel=\"next\""), "{older}");
    assert!(page.contains("rel=\"prev\"") && page.contains("newest window"));
    assert!(!site.get("/jobs/load").await.body.contains("/jobs/load/classes"));
    assert!(site.get("/jobs/credit").await.body.contains("href=\"/jobs/credit/classes\">Classes</a>"));
}
