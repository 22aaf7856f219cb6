//! The pages of incidents and silences, and what users do with their forms.

use std::time::Duration;

use reqwest::{Response, StatusCode};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::sync::watch;
use trueup::postgres::connect;
use trueup::settings::{Login, Proxy};
use trueup::web::{self, Acts, Site};

use crate::support::peers;
use crate::support::program::{Folder, Run};
use crate::support::world::{TABLES, World, at, hourly};

const RULES: &str = "[windows]\ntumbling = [\"1h\"]\nlabel_wait = \"12h\"\n[residuals]\nkeep = \"1d\"\n[[cohorts]]\nby = [\"region\"]\n[[alerts]]\nname = \"rmse-high\"\nmetric = \"rmse\"\nwindow = \"tumbling 1h\"\nabove = 5.0\nseverity = \"page\"\ncohorts = \"each\"\nnotify = [\"hook\"]\n";

/// A name that breaks what does not escape it.
const HOSTILE: &str = "<script>alert(1)</script>'; drop table trueup.alert; --\u{202e}";

/// A job with ten quiet hours, and one in which the errors of one region grow: its alert fires for everything and for the region.
async fn fired(region: &str) -> World {
    let world = World::new(TABLES, &hourly(RULES)).await;
    let region = region.replace('\'', "''");
    world
        .db
        .execute(&format!(
            "insert into public.p select h * 100 + n, timestamptz '2024-05-01Z' + h * interval '1 hour' + n * interval '4 minutes',
                 case when h = 7 and n > 5 then 20 else 2 end, 'v1', case when n > 5 then '{region}' else 'south' end, '2024-05-01Z'
             from generate_series(0, 9) h, generate_series(1, 10) n;
             insert into public.l select id, 0, at from public.p;
             insert into trueup.annotation (job, kind, starts_at, note, author)
             values ('hourly', 'deploy', '2024-05-01T07:40Z', '<b>v1</b>', 'kim')"
        ))
        .await;
    for hour in 1..=8 {
        world.run_at(at(&format!("2024-05-01T0{hour}:00:00Z"))).await;
    }
    world
}

/// The pages over a world, read as the role of analysts.
struct Pages {
    base: String,
    reader: PgPool,
    _stop: watch::Sender<bool>,
}

impl Pages {
    async fn new(world: &World, login: Login, acts: bool) -> Self {
        let options = world.db.options.clone().options([("role", "trueup_reader")]);
        let reader = connect::reading_pool(options, 4, Duration::from_secs(5)).await.expect("a pool");
        let (stop, stopped) = watch::channel(false);
        let site = Site {
            reader: reader.clone(),
            acts: acts.then(|| Acts { pool: world.db.pool.clone(), routing: world.routing.clone() }),
            runner: None,
            token: None,
            hosts: Vec::new(),
            login,
            local_user: "kim".to_owned(),
            links: None,
            embed: Vec::new(),
            badges: Vec::new(),
            zone: chrono_tz::Tz::UTC,
            retention: web::Retention::default(),
        };
        let bound = web::listen("127.0.0.1:0".parse().unwrap(), site, stopped).await.expect("pages");
        Self { base: format!("http://{bound}"), reader, _stop: stop }
    }

    async fn get(&self, path: &str) -> (StatusCode, String) {
        text(peers::client().get(format!("{}{path}", self.base)).send().await.expect("an answer")).await
    }

    /// Sends a form, and follows to the page that it leads to.
    async fn post(&self, path: &str, form: &str) -> (StatusCode, String) {
        text(self.send(path, form, &[]).await).await
    }

    async fn send(&self, path: &str, form: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = peers::client().post(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let form = form.to_owned();
        request.header("content-type", "application/x-www-form-urlencoded").body(form).send().await.expect("an answer")
    }

    /// Runs the query of a panel as the role of analysts. Returns its rows as text.
    async fn rows(&self, page: &str, panel: &str) -> Vec<String> {
        let from = page.find(&format!("<h2 id=\"{panel}\">")).unwrap_or_else(|| panic!("no panel {panel}"));
        let sql = page[from..].split("data-copy>").nth(1).expect("a query").split("</pre>").next().expect("its end");
        let sql = unescaped(sql);
        let sql = sql.trim_end_matches(';');
        let wrapped = format!("select row_to_json(q)::text from ({sql}) as q");
        sqlx::query_scalar(AssertSqlSafe(wrapped))
            .fetch_all(&self.reader)
            .await
            .unwrap_or_else(|e| panic!("{e}\n{sql}"))
    }
}

async fn text(answer: Response) -> (StatusCode, String) {
    (answer.status(), answer.text().await.expect("text"))
}

fn unescaped(html: &str) -> String {
    let pairs = [("&#60;", "<"), ("&#62;", ">"), ("&#34;", "\""), ("&#39;", "'"), ("&#38;", "&")];
    pairs.iter().fold(html.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}

/// The value of a hidden field.
fn field(page: &str, name: &str) -> String {
    let from = page.split(&format!("name=\"{name}\" value=\"")).nth(1).expect("the field");
    unescaped(from.split('"').next().expect("its end"))
}

/// Rows of the table of a panel.
fn lines(page: &str, panel: &str) -> usize {
    let section = page.split(&format!("<h2 id=\"{panel}\">")).nth(1).expect("the panel");
    let section = section.split("</section>").next().expect("its end");
    section
        .split("<tbody>")
        .skip(1)
        .map(|table| table.split("</tbody>").next().unwrap_or("").matches("<tr").count())
        .sum()
}

fn seen(page: &str) -> String {
    format!("seen={}", field(page, "seen").replace('+', "%2B"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_shows_what_its_queries_return() {
    let world = fired("north").await;
    let pages = Pages::new(&world, Login::None, true).await;
    let (status, list) = pages.get("/incidents").await;
    assert_eq!(status, 200, "{list}");
    assert!(list.contains("page, open") && list.contains("rmse-high") && list.contains("not yet"), "{list}");
    assert_eq!(pages.rows(&list, "incidents").await.len(), lines(&list, "incidents"));
    let (status, page) = pages.get("/incidents/1").await;
    assert_eq!(status, 200, "{page}");
    for part in [
        "nobody is on it",
        "limit 5.000",
        "rmse of tumbling 1h for region=north",
        "20 min before",
        "id=\"alert-1\"",
        "in breach so far",
    ] {
        assert!(page.contains(part), "`{part}` is not in\n{page}");
    }
    for panel in ["real", "changed", "alerts", "canary", "shape", "worst", "notified"] {
        let rows = pages.rows(&page, panel).await;
        let shown =
            if panel == "changed" { page.matches("<strong>deploy</strong>").count() } else { lines(&page, panel) };
        assert!(!rows.is_empty() && rows.len() == shown, "{panel}: {shown} shown, {rows:#?}");
    }
    // Errors of 20 in one half, of 2 in the other: 100 of 101 parts, and a half in the hours before.
    let whom = pages.rows(&page, "whom").await;
    assert!(whom[0].contains("region=north") && whom[0].contains("0.990"), "{whom:?}");
    assert!(
        page.contains("<td class=\"n\">99.0 %</td><td class=\"n\">50 %</td><td class=\"n low\">+49</td>"),
        "{page}"
    );
    assert!(!pages.rows(&page, "chart").await.is_empty() && !pages.rows(&page, "timeline").await.is_empty());
    let moved = pages.get("/alerts/1").await;
    assert!(moved.0 == 200 && moved.1.contains("Incident 1"), "the permalink leads to the incident");
    let (_, alone) = pages.get("/incidents/1?panel=whom").await;
    assert!(alone.contains("<h2 id=\"whom\">") && !alone.contains("<h2 id=\"real\">"));
}

#[tokio::test(flavor = "multi_thread")]
async fn later_labels_take_a_firing_back_and_the_page_can_show_what_was_known_then() {
    let world = fired("north").await;
    let pages = Pages::new(&world, Login::None, false).await;
    world.db.execute("update public.l set actual = 20, seen = '2024-05-01T08:30Z' where id in (select id from public.p where predicted = 20)").await;
    world.run_at(at("2024-05-01T09:00:00Z")).await;
    let (_, now) = pages.get("/incidents/1").await;
    assert!(
        now.contains("ok so far") && now.contains("1 of 1 windows that made it fire are ok by later labels"),
        "{now}"
    );
    let (_, then) = pages.get("/incidents/1?believed=then").await;
    let value = |rows: Vec<String>| rows.iter().find(|row| row.contains("\"rmse\"")).cloned().unwrap_or_default();
    let (now, then) = (value(pages.rows(&now, "shape").await), value(pages.rows(&then, "shape").await));
    assert!(then.contains("20") && !now.contains("20") && now != then, "{then} / {now}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledgement_counts_once_and_only_for_what_was_seen() {
    let world = fired("north").await;
    let pages = Pages::new(&world, Login::None, true).await;
    let count = async |what: &str| world.db.scalar::<i64>(&format!("select count(*) from trueup.{what}")).await;
    let (_, page) = pages.get("/incidents/1").await;
    // Neither a link nor another site acts.
    assert_eq!(pages.get("/incidents/1/ack").await.0, 405);
    assert_eq!(pages.get("/silences/1/expire").await.0, 405);
    let foreign = pages.send("/incidents/1/ack", &seen(&page), &[("sec-fetch-site", "cross-site")]).await;
    assert_eq!((foreign.status().as_u16(), count("alert_action").await), (403, 0));
    // Something changed since the page was read.
    let (status, changed) = pages.post("/incidents/1/ack", "seen=2024-05-01T00:00:00Z").await;
    assert!(status == 409 && changed.contains("have changed since") && changed.contains("is firing"), "{changed}");
    assert_eq!(count("alert_action").await, 0);
    let (status, acked) = pages.post("/incidents/1/ack", &format!("{}&note=on+it", seen(&page))).await;
    assert!(
        status == 200 && acked.contains("Acknowledged. Repeats") && acked.contains("acknowledged by kim"),
        "{acked}"
    );
    let after = count("alert_action").await;
    let (_, again) = pages.post("/incidents/1/ack", &seen(&page)).await;
    assert!(again.contains("It was acknowledged before"), "{again}");
    assert_eq!(
        (count("alert_action").await, after),
        (after, world.db.scalar("select count(*) from trueup.alert where state = 'firing'").await)
    );
    // A reason is needed to resolve, and what no longer fires is not resolved again.
    assert_eq!(pages.post("/incidents/1/resolve", &seen(&page)).await.0, 400);
    let (_, resolved) = pages.post("/alerts/1/resolve", &format!("{}&note=meter", seen(&page))).await;
    assert!(resolved.contains("Resolved by hand"), "{resolved}");
    let (status, nothing) = pages.post("/alerts/1/resolve", "note=meter").await;
    assert!(status == 409 && nothing.contains("none of these alerts fires"), "{nothing}");
    for (path, form) in
        [("/incidents/99/ack", ""), ("/alerts/99/ack", ""), ("/incidents/x/ack", ""), ("/incidents/99/notes", "text=a")]
    {
        assert_eq!(pages.post(path, form).await.0, 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn notes_decisions_marks_and_changes_are_recorded_with_their_author() {
    let world = fired("north").await;
    let pages = Pages::new(&world, Login::None, true).await;
    let (_, noted) = pages.post("/incidents/1/notes", "text=%3Cb%3Ebold%3C%2Fb%3E").await;
    assert!(noted.contains("The note was added") && noted.contains("note by kim: &#60;b&#62;bold"), "{noted}");
    let (_, decided) = pages.post("/incidents/1/decision", "decision=rollback&note=to+v0").await;
    assert!(decided.contains("The decision was recorded") && decided.contains("rollback: to v0"), "{decided}");
    assert_eq!(pages.rows(&decided, "decide").await.len(), 1);
    assert!(pages.post("/alerts/1/mark", "mark=useful").await.1.contains("the mark was recorded"));
    assert!(pages.post("/incidents/1/mark", "mark=false_alarm").await.1.contains("false alarm"));
    let stored = world.db.lines("select kind, author, text, alert_id from trueup.incident_note order by id").await;
    let expected = [
        "note | kim | <b>bold</b> | -",
        "decision | kim | rollback: to v0 | -",
        "useful | kim |  | 1",
        "false_alarm | kim |  | -",
    ];
    assert_eq!(stored, expected);
    let form = "incident=1&kind=retrain&at=2024-05-01T07%3A50%3A00Z&note=v2&suppress=2h";
    let (_, annotated) = pages.post("/jobs/hourly/annotations", form).await;
    assert!(
        annotated.contains("The annotation was added") && annotated.contains("<strong>retrain</strong>: v2"),
        "{annotated}"
    );
    let stored = world.db.lines("select kind, note, author, suppress_until > clock_timestamp() as until from trueup.annotation order by id desc limit 1").await;
    assert_eq!(stored, ["retrain | v2 | kim | true"]);
    for (path, form, hint) in [
        ("/incidents/1/notes", "text=+", "`text` is needed"),
        ("/incidents/1/notes", "txt=a", "did you mean `text`"),
        ("/incidents/1/notes", "text=a%00b", "NUL"),
        ("/incidents/1/decision", "decision=panic", "must be one of rollback"),
        ("/incidents/1/mark", "", "choose `mark`: useful"),
        ("/jobs/hourly/annotations", "kind=retrain&suppress=3000d", "at most a year"),
        ("/incidents/1/ack", "seen=yesterday", "is not a time"),
    ] {
        let (status, page) = pages.post(path, form).await;
        assert!(status == 400 && page.contains(hint), "{path} {form}: {status} {page}");
    }
    assert_eq!(pages.post("/jobs/other/annotations", "kind=retrain").await.0, 404);
    // The list shows them.
    let (_, list) = pages.get("/incidents").await;
    assert!(list.contains("rollback: to v0") && list.contains("false alarm"), "{list}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silence_is_previewed_created_and_ended() {
    let world = fired("north").await;
    let pages = Pages::new(&world, Login::None, true).await;
    let count = async || world.db.scalar::<i64>("select count(*) from trueup.silence").await;
    let form = "job=hourly&rule=rmse-high&cohort=region%3D*&for=2h&reason=meters";
    let (_, preview) = pages.post("/silences", &format!("{form}&preview=1")).await;
    assert!(preview.contains("would mute 1 alert that fires now") && preview.contains("for region=north"), "{preview}");
    assert_eq!(count().await, 0, "a preview writes nothing");
    let (_, nothing) = pages.post("/silences", "job=hourly&rule=other&for=2h&reason=meters&preview=1").await;
    assert!(nothing.contains("would mute 0 alerts that fire now") && nothing.contains("matches nothing"), "{nothing}");
    let (_, created) = pages.post("/silences", form).await;
    assert!(created.contains("The silence is in force") && created.contains("cohort = region=*"), "{created}");
    assert!(created.contains("<td class=\"n\" data-label=\"alerts muted\">1</td>"), "{created}");
    let (_, useless) = pages.post("/silences", "rule=other&for=1h&reason=later").await;
    assert!(useless.contains("matches nothing now"), "{useless}");
    assert_eq!((pages.rows(&useless, "silences").await.len(), lines(&useless, "silences")), (2, 2));
    assert_eq!(
        world.db.lines("select author, reason from trueup.silence order by id").await,
        ["kim | meters", "kim | later"]
    );
    assert!(pages.post("/silences/1/expire", "").await.1.contains("The silence has ended"));
    assert_eq!(pages.post("/silences/1/expire", "").await.0, 409);
    assert_eq!(lines(&pages.get("/silences?state=ended").await.1, "silences"), 1);
    for (form, hint) in [
        ("for=2h", "`reason` is needed"),
        ("reason=a", "`for` is needed"),
        ("for=2&reason=a", "`for`:"),
        ("for=2h&reason=a&severity=loud", "must be one of page"),
        ("for=2h&reason=a&job=other", "there is no job `other`"),
    ] {
        let (status, page) = pages.post("/silences", form).await;
        assert!(status == 400 && page.contains(hint), "{form}: {status} {page}");
    }
    assert_eq!(count().await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_without_a_scheduler_and_readers_cannot_act() {
    let world = fired("north").await;
    let alone = Pages::new(&world, Login::None, false).await;
    for path in ["/incidents/1", "/silences"] {
        let (status, page) = alone.get(path).await;
        assert!(status == 200 && !page.contains("method=\"post\""), "{page}");
    }
    for path in [
        "/incidents/1/ack",
        "/alerts/1/resolve",
        "/incidents/1/notes",
        "/silences",
        "/silences/1/expire",
        "/jobs/hourly/annotations",
    ] {
        assert_eq!(alone.post(path, "").await.0, 403, "{path}");
    }
    let proxy = Proxy {
        from: vec!["127.0.0.0/8".parse().unwrap()],
        user: "x-user".to_owned(),
        groups: Some("x-groups".to_owned()),
        act: vec!["oncall".to_owned()],
    };
    let pages = Pages::new(&world, Login::Proxy(proxy), true).await;
    let status = async |groups| {
        pages.send("/incidents/1/ack", "", &[("x-user", "lee"), ("x-groups", groups)]).await.status().as_u16()
    };
    assert_eq!(status("readers").await, 403);
    let acted = pages.send("/alerts/1/ack", "", &[("x-user", "lee"), ("x-groups", "oncall")]).await;
    assert!(acted.url().path() == "/incidents/1", "{}", acted.url());
    assert_eq!(world.db.lines("select acked_by from trueup.alert where id = 1").await, ["lee"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_names_and_wrong_addresses_are_harmless() {
    let world = fired(HOSTILE).await;
    let pages = Pages::new(&world, Login::None, true).await;
    for path in ["/incidents", "/incidents/1", "/incidents/1?believed=then", "/silences"] {
        let (status, page) = pages.get(path).await;
        assert!(status == 200 && !page.contains("<script>alert") && !page.contains("<b>v1"), "{path}\n{page}");
    }
    let (_, page) = pages.get("/incidents/1").await;
    assert!(page.contains("&#60;script&#62;alert(1)"), "{page}");
    for panel in ["whom", "alerts", "worst", "chart", "real", "shape"] {
        assert!(!pages.rows(&page, panel).await.is_empty(), "{panel}");
    }
    let long = "a".repeat(10_000);
    for note in [long.as_str(), "%F0%9F%92%A9%E2%80%AE%3C%2Fpre%3E%3Cscript%3E"] {
        let (status, page) = pages.post("/incidents/1/notes", &format!("text={note}")).await;
        assert!([200, 400].contains(&status.as_u16()) && !page.contains("</pre><script>"), "{page}");
    }
    for (path, status, hint) in [
        ("/incidents/1?beleived=then", 400, "did you mean `believed`"),
        ("/incidents/1?believed=never", 400, "must be one of then, now"),
        ("/incidents?state=half", 400, "must be one of open, closed"),
        ("/incidents?after=17", 400, "is no place in the list"),
        ("/incidents?job=%00", 400, "NUL"),
        ("/silences?before=x", 400, "write a number"),
        ("/incidents/99", 404, "There is no incident 99"),
        ("/incidents/'%20or%201=1", 404, "numbers only"),
        ("/incidents/99/postmortem.md", 404, "There is no incident 99"),
        ("/alerts/99", 404, "There is no alert 99"),
    ] {
        let (got, page) = pages.get(path).await;
        assert!(got == status && unescaped(&page).contains(hint), "{path}: {got} {page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_draft_of_a_postmortem_is_the_same_on_the_page_and_at_the_command_line() {
    let world = fired(HOSTILE).await;
    let pages = Pages::new(&world, Login::None, true).await;
    pages.post("/incidents/1/decision", "decision=retrain&note=%7Ctable%7C").await;
    let (status, page) = pages.get("/incidents/1/postmortem.md").await;
    let folder = Folder::new("postmortem");
    folder.write("jobs/hourly.toml", &world.job.spec);
    let mut command = folder.trueup(&["incident", "1", "--postmortem"]);
    let printed = Run::of(command.env("DATABASE_URL", world.db.url()).output().unwrap()).ok().stdout;
    assert_eq!((status.as_u16(), page.trim_end()), (200, printed.trim_end()));
    assert!(page.contains("decision by kim: retrain: \\|table\\|") && page.contains("## Open questions"), "{page}");
}
