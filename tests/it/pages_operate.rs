//! Pages about budgets, rules, definitions, runs, deliveries and promises: their numbers are those of the views.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::{Duration, Instant};

use chrono::TimeDelta;

use crate::support::peers;
use crate::support::program::{Folder, Process};
use crate::support::world::{TABLES, World, at, hourly, plan_job, quarter_hours};

const RULES: &str = "[windows]\nrolling = [\"24h\"]\ntumbling = [\"1d\"]\nlabel_wait = \"2d\"\nhorizon = \"20d\"\n[residuals]\nkeep = \"9d\"\n\
    [[cohorts]]\nby = [\"region\"]\n[[alerts]]\nname = \"rmse-high\"\nmetric = \"rmse\"\nwindow = \"tumbling 1d\"\nabove = 1.5\nseverity = \"page\"\n\
    [[slos]]\nname = \"near\"\ngood = \"abs(error) <= 1.5\"\nobjective = 0.9\nperiod = \"5d\"\nburn = \"2x\"\n";

/// Ten days of a job with a bad day that late labels make worse, a hostile region, and two definitions.
async fn world() -> World {
    let toml = hourly(RULES);
    let mut world = World::new(TABLES, &toml).await;
    world.db.execute(&quarter_hours("2024-05-01T00:00:00Z", 24 * 10)).await;
    world
        .db
        .execute(
            "update public.l set actual = 90 where id between 300 and 320;
         update public.p set region = '<script>alert(1)</script>' where id % 7 = 0;
         update public.l set seen = seen + interval '30 hours' where id % 5 = 0;",
        )
        .await;
    let mut time = at("2024-05-01T12:00:00Z");
    while time <= at("2024-05-10T12:00:00Z") {
        if time == at("2024-05-08T00:00:00Z") {
            world.job = plan_job(&toml.replace("above = 1.5", "above = 2.5").replace("<= 1.5", "<= 1.6"));
        }
        world.run_at(time).await;
        time += TimeDelta::hours(6);
    }
    world.db.execute("update public.l set actual = 99, seen = '2024-05-10T13:00Z' where id between 300 and 320").await;
    world.run_at(at("2024-05-10T18:00:00Z")).await;
    world
}

/// Pages on a port of their own.
struct Pages {
    port: u16,
    folder: Folder,
    _process: Process,
}

impl Pages {
    async fn start(world: &World, arguments: &[&str], settings: &str) -> Self {
        let port = peers::free_port();
        let folder = Folder::new("pages");
        let settings = format!("[web]\nlisten = \"127.0.0.1:{port}\"\n{settings}");
        folder.write("trueup.toml", &settings).write("jobs/hourly.toml", &world.job.spec);
        let mut command = folder.trueup(arguments);
        command.env("DATABASE_URL", world.db.url()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = Process(command.spawn().expect("pages"));
        let deadline = Instant::now() + Duration::from_secs(30);
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            assert!(Instant::now() < deadline, "no pages");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Self { port, folder, _process: process }
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let answer =
            peers::client().get(format!("http://127.0.0.1:{}{path}", self.port)).send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("text"))
    }

    async fn page(&self, path: &str) -> String {
        let (status, text) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {text}");
        assert!(!text.contains("the query failed") && !text.contains("<script>alert"), "{path}: {text}");
        text
    }

    async fn post(&self, path: &str) -> (u16, String) {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let asked = peers::client().post(url).header("sec-fetch-site", "same-origin").send().await.expect("an answer");
        (asked.status().as_u16(), asked.text().await.expect("text"))
    }
}

fn unescaped(html: &str) -> String {
    let pairs = [
        ("&#60;", "<"),
        ("&#62;", ">"),
        ("&#39;", "'"),
        ("&#34;", "\""),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#38;", "&"),
        ("&amp;", "&"),
    ];
    pairs.iter().fold(html.to_owned(), |text, (entity, sign)| text.replace(entity, sign))
}

/// The queries of all panels of a page.
fn queries(page: &str) -> Vec<String> {
    let parts = page.split("<details class=\"sql\">").skip(1);
    parts.map(|part| unescaped(part.split("data-copy>").nth(1).unwrap().split("</pre>").next().unwrap())).collect()
}

/// The targets of links whose address begins with a text.
fn links(page: &str, beginning: &str) -> Vec<String> {
    let all = page.split("href=\"").skip(1).map(|part| unescaped(part.split('"').next().unwrap()));
    all.filter(|link| link.starts_with(beginning)).collect()
}

/// A count as pages write it.
fn count(number: i64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_of_a_job_show_what_the_views_say() {
    let world = world().await;
    let pages = Pages::start(&world, &["web"], "").await;
    let budget = pages.page("/jobs/hourly/budget/near").await;
    let newest =
        "from trueup.slo_history where kind = 'evaluation' order by period_end desc, evaluated_at desc limit 1";
    let bad: i64 = world.db.scalar(&format!("select bad {newest}")).await;
    let total: i64 = world.db.scalar(&format!("select total {newest}")).await;
    let arithmetic = format!("{} bad of {}; allowed 10 % = ", count(bad), count(total));
    assert!(budget.contains(&arithmetic), "{arithmetic}\n{budget}");
    let adjustments: i64 = world.db.scalar("select count(*) from trueup.slo_history where kind = 'adjustment'").await;
    assert!(adjustments > 0 && budget.contains(&format!("adjustments by late labels ({adjustments})")), "{budget}");
    let spent: i64 = world
        .db
        .scalar(&format!(
            "select sum(h.labeled - round(h.value * h.labeled))::bigint from trueup.metric_history h, (select period_start, period_end {newest}) p \
             where metric = 'slo_near' and window_name = 'tumbling 1d' and cohort = 'region=b' and h.window_start >= p.period_start and h.window_end <= p.period_end"
        ))
        .await;
    let row = budget
        .split("region=b</a></th><td class=\"n\" data-name=\"Bad\">")
        .nth(1)
        .expect("the cohort")
        .split('<')
        .next()
        .unwrap();
    assert_eq!(row, count(spent), "the cohort that spent it");

    let rule = pages.page("/jobs/hourly/rules/rmse-high").await;
    let firings: i64 = world
        .db
        .scalar("select count(*) from trueup.alert_history where rule = 'rmse-high' and to_state = 'firing'")
        .await;
    assert!(firings > 0 && rule.contains(&format!("<b>{firings}</b><span>firings</span>")), "{firings}\n{rule}");
    assert!(rule.contains("Fires when rmse of tumbling 1d is above 2.5; page."), "{rule}");
    assert!(rule.contains("taken back"), "the labels of the bad day were corrected: {rule}");

    let definition = pages.page("/jobs/hourly/definition").await;
    assert!(definition.contains("alerts.rmse-high.above: 1.5 → 2.5"), "{definition}");
    assert!(
        definition.contains("<del>− above = 1.5</del>") && definition.contains("<ins>+ above = 2.5</ins>"),
        "{definition}"
    );

    let about = pages.page("/about").await;
    assert!(about.contains(env!("CARGO_PKG_VERSION")) && about.contains("Apache-2.0"), "{about}");
    let reader = "set role trueup_reader";
    let mut connection = world.db.connection().await;
    sqlx::raw_sql(reader).execute(&mut connection).await.unwrap();
    let executive = pages.page("/executive?month=2024-05").await;
    let (runs, deliveries) = (pages.page("/runs").await, pages.page("/deliveries").await);
    for page in [&budget, &rule, &definition, &executive, &runs, &deliveries, &about] {
        let all = queries(page);
        assert!(!all.is_empty());
        for sql in all {
            let rows = sqlx::raw_sql(sqlx::AssertSqlSafe(sql.clone())).fetch_all(&mut connection).await;
            let rows = rows.unwrap_or_else(|error| panic!("{error}\n{sql}"));
            assert!(!rows.is_empty() || sql.contains("notification_state"), "nothing for\n{sql}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_are_listed_page_by_page_and_shown_one_by_one() {
    let world = world().await;
    world
        .db
        .execute(
            "insert into trueup.run (job_id, scheduled_for, trigger, state, reason, finished_at)
             select id, timestamptz '2024-04-01Z' + n * interval '1 minute', 'manual', 'skipped', '<script>alert(1)</script>', now() from trueup.job, generate_series(1, 70) n",
        )
        .await;
    let pages = Pages::start(&world, &["web"], "").await;
    let mut seen = BTreeSet::new();
    let mut next = Some("/runs".to_owned());
    let mut turned = 0;
    while let Some(path) = next {
        let page = pages.page(&path).await;
        let list = page.split("id=\"list\"").nth(1).expect("the list");
        for link in links(list, "/runs/") {
            assert!(seen.insert(link.clone()), "{link} is listed twice");
        }
        next = links(list, "/runs?").into_iter().find(|link| link.contains("before=") && !link.contains("panel="));
        turned += 1;
        assert!(turned < 10, "no end");
    }
    let all = world.db.lines("select '/runs/' || run_id from trueup.run_history").await;
    assert_eq!(seen, all.into_iter().collect::<BTreeSet<_>>());
    let run: i64 = world.db.scalar("select max(run_id) from trueup.run_history where state = 'ok'").await;
    let rows: i64 = world.db.scalar(&format!("select rows_read from trueup.run_history where run_id = {run}")).await;
    let page = pages.page(&format!("/runs/{run}")).await;
    assert!(page.contains(&format!("</th><td class=\"n\">{}</td>", count(rows))), "{page}");
    let failed = pages.page("/runs?state=failed").await;
    assert!(failed.contains("No run matches these filters."), "{failed}");

    for (path, status, words) in [
        ("/runs?stat=ok", 400, "did you mean `state`?"),
        ("/runs?state=odd", 400, "must be one of"),
        ("/runs?before=x", 400, "not the place of a run"),
        ("/runs/999999", 404, "There is no run `999999`"),
        ("/runs/%3Cscript%3E", 404, "There is no run"),
        ("/deliveries?before=0", 400, "write a number"),
        ("/deliveries/7d0f", 404, "There is no message"),
        ("/deliveries/00000000-0000-0000-0000-000000000000", 404, "There is no message"),
        ("/jobs/none/definition", 404, "There is no job `none`"),
        ("/jobs/hourly/definition?plan=99999", 404, "no definition 99999"),
        ("/jobs/hourly/budget/%3Cscript%3Ealert(1)%3C%2Fscript%3E", 404, "it has near"),
        ("/jobs/hourly/rules/';drop%20table%20x", 404, "it has rmse-high"),
        ("/jobs/hourly/budget/near?from=now&to=now-1d", 400, "is not before"),
        ("/executive?month=2026-13", 400, "is not a month"),
        ("/executive?month=2026-10&period=30d", 400, "choose one of"),
    ] {
        let (got, text) = pages.get(path).await;
        assert_eq!(got, status, "{path}: {text}");
        assert!(unescaped(&text).contains(words) && !text.contains("<script>alert"), "{path}: {text}");
    }
    let long = "x".repeat(10_000);
    for path in [
        format!("/runs?job={long}"),
        format!("/deliveries?receiver={long}"),
        "/runs?job=%27%3B%20drop%20table%20trueup.run".to_owned(),
        "/jobs/hourly/rules/rmse-high?cohort=%E2%80%AE%3Cscript%3Ealert(1)%3C%2Fscript%3E".to_owned(),
        format!("/executive?owner={}", "%E2%80%AE".repeat(500)),
    ] {
        pages.page(&path).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_says_what_the_page_says_and_needs_no_other_file() {
    let world = world().await;
    let pages = Pages::start(&world, &["web"], "").await;
    let page = pages.page("/executive?month=2024-05").await;
    let rmse: f64 = world
        .db
        .scalar(
            "select sqrt(sum(value * labeled) / sum(labeled)) from trueup.metric_history where metric = 'mse' and window_name = 'tumbling 1d' \
             and cohort = 'all' and model_version is null and window_end > '2024-05-01' and window_end <= '2024-06-01'",
        )
        .await;
    let shown = format!("<dd><b>{}</b><small>no period to compare</small>", trueup::text::number::number(rmse));
    assert!(page.contains(&shown), "{shown}\n{page}");
    let kept: f64 = world.db.scalar("select good::float8 / total from trueup.slo_history where kind = 'evaluation' and total > 0 order by period_end desc, evaluated_at desc limit 1").await;
    assert!(
        page.contains(&format!("<b>{:.0} %</b>", kept * 100.0))
            || page.contains(&format!("<b>{:.1} %</b>", kept * 100.0)),
        "{kept}: {page}"
    );
    let report = |arguments: &[&str]| pages.folder.run_on(&world.db.url(), arguments);
    let html = report(&["report", "--month", "2024-05"]).ok().stdout;
    assert!(html.contains(&shown) && html.contains("May 2024") && html.contains("--ground: #ffffff"), "{html}");
    assert!(!html.contains("href=") && !html.contains("src=") && !html.contains("<script"), "{html}");
    let text = report(&["report", "--week", "2024-W18", "--format", "md"]).ok().stdout;
    assert!(text.starts_with("# trueup: week 18 of 2024") && text.contains("| hourly | 90 % of "), "{text}");
    let wrong = report(&["report", "--month", "2024-5x"]);
    assert!(wrong.code == Some(1) && wrong.stderr.contains("a month is written"), "{}", wrong.stderr);
}

const RECEIVER: &str = "[receivers.hook]\ntype = \"webhook\"\nurl = \"http://127.0.0.1:9/\"\nallow_http = true\nallow_networks = [\"127.0.0.0/8\"]\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_sent_again_and_a_receiver_tested_where_pages_may_act() {
    let world = crate::support::world::fired_and_resolved(&["hook"]).await;
    let dead = "select id::text from trueup.notification order by sequence limit 1";
    let id: String = world.db.scalar(dead).await;
    world.db.execute(&format!("update trueup.notification set state = 'dead', attempt = 5, settled_at = now() where id = '{id}'; update trueup.notification set state = 'sent', settled_at = now() where id <> '{id}'")).await;
    let only_shows = Pages::start(&world, &["web"], "").await;
    let list = only_shows.page("/deliveries?state=dead").await;
    assert!(list.contains("given up") && !list.contains("Send again"), "{list}");
    let (status, words) = only_shows.post(&format!("/deliveries/{id}/retry")).await;
    assert_eq!(status, 403, "{words}");

    let pages = Pages::start(&world, &["serve"], RECEIVER).await;
    let page = pages.page(&format!("/deliveries/{id}")).await;
    assert!(page.contains("Send again") && page.contains("rmse"), "{page}");
    // A form of another site is refused.
    let url = format!("http://127.0.0.1:{}/deliveries/{id}/retry", pages.port);
    let forged = peers::client().post(&url).header("sec-fetch-site", "cross-site").send().await.unwrap();
    assert_eq!(forged.status().as_u16(), 403);
    let state = format!("select state from trueup.notification where id = '{id}'");
    assert_eq!(world.db.scalar::<String>(&state).await, "dead");
    let (status, words) = pages.post(&format!("/deliveries/{id}/retry")).await;
    assert!(status == 200 && words.contains("The message is due again."), "{status} {words}");
    assert_eq!(world.db.scalar::<String>(&state).await, "pending");
    let sent: String = world.db.scalar("select id::text from trueup.notification where state = 'sent' limit 1").await;
    assert_eq!(pages.post(&format!("/deliveries/{sent}/retry")).await.0, 409);
    assert_eq!(pages.post("/deliveries/00000000-0000-0000-0000-000000000000/retry").await.0, 404);
    assert_eq!(pages.get(&format!("/deliveries/{id}/retry")).await.0, 405, "nothing acts on GET");

    let (status, words) = pages.post("/receivers/hook/test").await;
    assert!(status == 200 && words.contains("A test message is on its way."), "{status} {words}");
    let tests: i64 =
        world.db.scalar("select count(*) from trueup.notification where kind = 'test' and receiver = 'hook'").await;
    assert_eq!(tests, 1);
    assert_eq!(pages.post("/receivers/nobody/test").await.0, 404);
}
