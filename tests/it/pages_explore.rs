//! The pages to explore a job: one window, cohorts, versions, and the errors of single predictions.

use std::process::Stdio;

use crate::support::peers;
use crate::support::program::{Folder, Process};
use crate::support::world::{TABLES, World, at, hourly, quarter_hours};

/// Pages over a world's database, as `trueup web` serves them.
struct Pages {
    _process: Process,
    _folder: Folder,
    port: u16,
}

impl Pages {
    fn of(world: &World) -> Self {
        let port = peers::free_port();
        let folder = Folder::new("pages");
        let mut command = folder.trueup(&["web", "--listen", &format!("127.0.0.1:{port}")]);
        command.env("DATABASE_URL", world.db.url()).stdin(Stdio::null());
        let process = peers::start(&mut command, port);
        Self { _process: process, _folder: folder, port }
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let answer =
            peers::client().get(format!("http://127.0.0.1:{}{path}", self.port)).send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("text"))
    }

    async fn page(&self, path: &str) -> String {
        let (status, text) = self.get(path).await;
        assert_eq!(status, 200, "{path}\n{text}");
        assert!(!text.contains("the query failed") && !text.contains("may not read this"), "{path}\n{text}");
        text
    }
}

/// A cohort that is markup, SQL, and right to left.
const HOSTILE: &str = "<script>alert('b')</script>\u{202e}; drop table trueup.job; --";

/// Both versions predict every key. Labels of `a` are 98, of the hostile region 99; v1 predicts 100 and v2 102. Errors are 2 and 1,
/// and 4 and 3: mse 2.5 and 12.5, together 7.5; 10 in `a`, 5 in the other.
async fn world() -> World {
    let rules = "[windows]\nrolling = [\"6h\"]\ntumbling = [\"1h\"]\nlabel_wait = \"1d\"\n[residuals]\nkeep = \"3d\"\nworst = 3\n\
                 [[cohorts]]\nby = [\"region\"]\n[[alerts]]\nname = \"high\"\nmetric = \"rmse\"\nwindow = \"tumbling 1h\"\nabove = 2.0\n\
                 severity = \"page\"\nnotify = [\"hook\"]\n";
    let world = World::new(TABLES, &hourly(rules)).await;
    world.db.execute(&quarter_hours("2024-05-01T00:00:00Z", 24)).await;
    world
        .db
        .execute(&format!(
            "alter table public.p drop constraint p_pkey;
             update public.l set actual = 98 where id % 2 = 0;
             update public.p set region = '{}' where id % 2 = 1;
             insert into public.p select id, at, 102, 'v2', region, seen from public.p;
             insert into public.p values (1000, '2024-05-01T05:10:00Z', 100, 'v1', 'a', '2024-05-01T04:00:00Z');",
            HOSTILE.replace('\'', "''")
        ))
        .await;
    for hour in 1..=12 {
        world.run_at(at("2024-05-01T00:00:00Z") + chrono::TimeDelta::hours(hour)).await;
    }
    world
}

/// Queries of the panels of a page, as users copy them.
fn queries(page: &str) -> Vec<String> {
    let unescaped = |text: &str| {
        let mut text = text.to_owned();
        for (entity, sign) in
            [("&#60;", "<"), ("&#62;", ">"), ("&#34;", "\""), ("&#39;", "'"), ("&lt;", "<"), ("&gt;", ">")]
        {
            text = text.replace(entity, sign);
        }
        text.replace("&#38;", "&").replace("&amp;", "&")
    };
    page.split("<pre tabindex=\"0\" data-copy>")
        .skip(1)
        .map(|rest| unescaped(rest.split("</pre>").next().unwrap_or_default()).trim_end_matches(';').to_owned())
        .collect()
}

/// Runs each query of a page as an analyst; the rows of each.
async fn as_reader(world: &World, page: &str) -> Vec<Vec<String>> {
    let mut answers = Vec::new();
    for query in queries(page) {
        world.db.execute(&format!("set role trueup_reader; {query}; reset role")).await;
        answers.push(world.db.lines(&query).await);
    }
    answers
}

/// The text of the cells of a table's row whose header contains a text.
fn row(page: &str, header: &str) -> String {
    let heads = |row: &&str| row.split_once("</th>").is_some_and(|(th, _)| format!("{th}<").contains(header));
    let row = page.split("<tr").skip(1).find(heads);
    let row = row.unwrap_or_else(|| panic!("no row {header}\n{page}"));
    let mut text = String::new();
    let mut inside = false;
    for c in row.split("</tr>").next().unwrap_or_default().chars() {
        match c {
            '<' => inside = true,
            '>' => inside = false,
            _ if !inside => text.push(c),
            _ => {}
        }
        if c == '>' {
            text.push(' ');
        }
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

const WINDOW: &str = "/jobs/hourly/windows/tumbling-1h/2024-05-01T06:00:00Z";

#[tokio::test(flavor = "multi_thread")]
async fn a_window_shows_first_report_now_parts_and_samples_that_sql_confirms() {
    let world = world().await;
    let pages = Pages::of(&world);
    let page = pages.page(WINDOW).await;
    // Root of 7.5; the first report had the labels of three quarters of an hour at most.
    assert!(row(&page, ">rmse<").contains("2.739"), "{}", row(&page, ">rmse<"));
    let first: i64 = world
        .db
        .scalar("select labeled from trueup.window_revisions where window_end = '2024-05-01T06:00Z' and window_name = 'tumbling 1h' and cohort = 'all' and model_version is null and revision = 1")
        .await;
    assert!(first < 8);
    assert!(row(&page, ">labeled<").contains(&format!("{first} 8 of 9 +{}", 8 - first)), "{}", row(&page, ">labeled<"));
    // 20 of 30, and 25 of 30.
    assert!(row(&page, "region=a<").ends_with("67 %"), "{}", row(&page, "region=a<"));
    assert!(row(&page, "version v2<").contains("3.536") && row(&page, "version v2<").ends_with("83 %"));
    assert!(page.contains("by later labels; moved no alert") || row(&page, ">high<").contains("breach"), "{page}");
    assert!(!page.contains("<script>alert") && page.contains("&#60;script&#62;alert"), "{page}");

    let answers = as_reader(&world, &page).await;
    assert_eq!(answers.len(), 6);
    let rmse = answers[0].iter().find(|line| line.starts_with("rmse")).unwrap();
    let now = rmse.split(" | ").nth(2).unwrap().parse::<f64>().unwrap();
    assert!((now - 7.5_f64.sqrt()).abs() < 1e-9, "{rmse}");
    for (answer, anchor) in answers.iter().zip(["metrics", "age", "parts", "worst", "verdicts", "runs"]) {
        assert!(!answer.is_empty(), "{anchor} is empty: {page}");
    }
    // The largest errors are those of v2 in `a`.
    assert!(answers[3].iter().take(2).all(|line| line.contains("v2")), "{:?}", answers[3]);

    // As it was first reported; the neighbors; a cohort.
    let then =
        page.split("href=\"").filter_map(|rest| rest.split('"').next()).find(|href| href.contains("as_of=")).unwrap();
    let then = pages.page(&then.replace("&#38;", "&").replace("&amp;", "&")).await;
    assert!(row(&then, ">labeled<").contains(&format!("{first} {first} of")), "{}", row(&then, ">labeled<"));
    assert!(page.contains("2024-05-01T05:00:00Z") && page.contains("2024-05-01T07:00:00Z"));
    let hostile = trueup::text::links::escaped(
        &world
            .db
            .scalar::<String>("select distinct cohort from trueup.window_history where cohort like '%script%'")
            .await,
    );
    let cohort = pages.page(&format!("{WINDOW}?cohort={hostile}")).await;
    assert!(row(&cohort, ">rmse<").contains("2.236"), "{}", row(&cohort, ">rmse<"));
    as_reader(&world, &cohort).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cohorts_are_ordered_by_their_share_and_versions_compared_on_the_same_keys() {
    let world = world().await;
    let pages = Pages::of(&world);
    let page = pages.page("/jobs/hourly/cohorts?window=tumbling+1h&to=2024-05-01T08:00:00Z").await;
    let list = page.split("<caption>Cohorts in").nth(1).unwrap();
    let order: Vec<usize> =
        [">all<", ">region=a<", ">region=&#60;script"].iter().filter_map(|name| list.find(name)).collect();
    assert!(order.len() == 3 && order.is_sorted(), "{order:?}\n{list}");
    assert!(row(&page, ">region=a<").ends_with("67 %"), "{}", row(&page, ">region=a<"));
    assert!(row(&page, ">all<").contains("fires, page"), "{}", row(&page, ">all<"));
    assert!(!page.contains("<script>alert"), "{page}");
    let answers = as_reader(&world, &page).await;
    assert_eq!(answers[0].len(), 8 * 3, "windows by everything and two cohorts: {:?}", answers[0]);
    let usual = pages.page("/jobs/hourly/cohorts?scale=usual&top=40&by=region&window=tumbling-1h").await;
    assert!(usual.contains("the median of its row") && usual.contains("1.00 ×"), "{usual}");
    let few = pages.page("/jobs/hourly/cohorts?top=1&window=tumbling-1h").await;
    assert!(few.contains("Show 40 cohorts") && few.contains(">region=a<") && !few.contains("&#60;script"), "{few}");
    let thin = pages.page("/jobs/hourly/cohorts?window=tumbling-1h&as_of=2024-05-01T03:00:00Z").await;
    assert_eq!(as_reader(&world, &thin).await[0].len(), 9);

    let page =
        pages.page("/jobs/hourly/versions?window=tumbling+1h&version=v2&against=v1&to=2024-05-01T08:00:00Z").await;
    let v2 = row(&page, ">v2<");
    // Eight windows of four pairs each, as labels came by 12:00; v1 has one prediction without a label.
    assert!(
        v2.contains(" 8 32 3.536") && v2.contains("1.581") && v2.contains("+124 %") && v2.ends_with("worse"),
        "{v2}"
    );
    assert!(page.contains("v2 is worse than v1 on the same predictions."), "{page}");
    let answers = as_reader(&world, &page).await;
    let same = answers.iter().find(|lines| lines.len() == 1).unwrap();
    assert!(same[0].starts_with("32 | 3.535") && same[0].ends_with("| 10"), "{same:?}");
    let swapped = pages.page("/jobs/hourly/versions?window=tumbling+1h&version=v1&against=v2").await;
    assert!(swapped.contains("v1 is better than v2"), "{swapped}");
    let (status, text) = pages.get("/jobs/hourly/versions?version=v9").await;
    assert!(status == 404 && text.contains("v1"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_single_predictions_add_up() {
    let world = world().await;
    let pages = Pages::of(&world);
    let range = "from=2024-05-01T00:00:00Z&to=2024-05-01T08:00:00Z";
    let page = pages.page(&format!("/jobs/hourly/debug?{range}")).await;
    // 32 keys with two versions: bias (2 + 1 + 4 + 3) / 4, rmse root of 7.5.
    for fact in ["<b>64</b>", "<b>2.500</b>", "<b>2.739</b>", "<b>4.000</b>"] {
        assert!(page.contains(fact), "{fact}\n{page}");
    }
    // One of 64 is the worst percent: 16 of 480.
    assert!(page.contains("<b>3.3 %</b><span>of the squared error is in the worst 1 % (1 pair)"), "{page}");
    assert!(row(&page, ">unlabeled<").contains(" 1 1000"), "{}", row(&page, ">unlabeled<"));
    assert!(row(&page, ">00:00<").contains("2.739 bias 2.500, n 8"), "{}", row(&page, ">00:00<"));
    assert!(page.contains("<b>30 min</b>"), "{page}");
    assert!(!page.contains("<script>alert"), "{page}");
    let answers = as_reader(&world, &page).await;
    assert_eq!(answers.len(), 6);
    assert!(answers[0][0].starts_with("64 | 2.5 | 2.738"), "{:?}", answers[0]);
    assert_eq!(answers[1].len(), 20);
    let hours: usize = answers[2].len();
    assert_eq!(hours, 8);

    let v1 = pages.page(&format!("/jobs/hourly/debug?{range}&version=v1&cohort=region%3Da&scale=log")).await;
    assert!(v1.contains("<b>16</b>") && v1.contains("<b>2.000</b>"), "{v1}");
    as_reader(&world, &v1).await;
    let empty = pages.page("/jobs/hourly/debug?from=2020-01-01&to=2020-01-02").await;
    assert!(empty.contains("Residuals are kept for 3 d of event time"), "{empty}");
    let unknown = pages.page("/jobs/hourly/debug?cohort=region%3Dnowhere").await;
    assert!(unknown.contains("Nothing was measured for this cohort."), "{unknown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_addresses_say_what_to_change() {
    let world = world().await;
    let pages = Pages::of(&world);
    let long = "x".repeat(10_000);
    for (path, status, says) in [
        ("/jobs/hourly/windows/tumbling-1h/yesterday".to_owned(), 400, "2026-11-20T09:30:00Z"),
        ("/jobs/hourly/windows/tumbling-1h/2030-01-01T00:00:00Z".to_owned(), 404, "was measured"),
        ("/jobs/hourly/windows/tumbling-9h/2024-05-01T06:00:00Z".to_owned(), 404, "tumbling 1h"),
        (format!("{WINDOW}?cohrt=a"), 400, "did you mean `cohort`?"),
        (format!("{WINDOW}?cohort={long}"), 404, "..."),
        (format!("{WINDOW}?as_of=2024-04-01"), 404, "as_of"),
        ("/jobs/nothing/cohorts".to_owned(), 404, "There is no job"),
        ("/jobs/hourly/cohorts?by=planet".to_owned(), 400, "it has region"),
        ("/jobs/hourly/cohorts?scale=odd".to_owned(), 400, "value, usual, share"),
        ("/jobs/hourly/cohorts?top=41".to_owned(), 400, "from 1 to 40"),
        ("/jobs/hourly/versions?metric=nope".to_owned(), 404, "rmse"),
        ("/jobs/hourly/debug?scale=odd".to_owned(), 400, "linear, log"),
        ("/jobs/hourly/debug?from=2024-05-02&to=2024-05-01".to_owned(), 400, "before"),
        ("/jobs/hourly/debug?window=x".to_owned(), 400, "unknown parameter"),
    ] {
        let (answered, text) = pages.get(&path).await;
        let text = text.replace("&#96;", "`").replace("&#39;", "'");
        assert!(answered == status && text.contains(says), "{path}: {answered}\n{text}");
    }
}
