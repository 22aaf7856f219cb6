//! Real parties: a mail server with TLS and a password, Alertmanager, a browser, and a receiver of signed webhooks that shares
//! no code with trueup.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use trueup::commands::demo::receivers::LocalReceiver;

use crate::support::peers;
use crate::support::program::{Folder, Run};
use crate::support::world::{TABLES, World, at, hourly};

/// A mail server that keeps what it gets: TLS as asked, a password required, each mail parsed by Python and printed as JSON.
const MAIL_SERVER: &str = r#"
import email, email.policy, json, ssl, sys, time
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

mode, port, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(f"{folder}/server.pem", f"{folder}/server.key")

def authenticate(server, session, envelope, mechanism, data):
    right = isinstance(data, LoginPassword) and (data.login, data.password) == (b"trueup", b"correct horse")
    # Whoever has "handled" it has answered: the answer is left to the server.
    return AuthResult(success=right, handled=False)

class Keep:
    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        parts = [(p.get_content_type(), p.get("Content-ID"), len(p.get_payload(decode=True) or b"")) for p in message.walk() if not p.is_multipart()]
        kept = {
            "tls": server.transport.get_extra_info("ssl_object") is not None, "authenticated": session.authenticated, "to": envelope.rcpt_tos, "from": envelope.mail_from,
            "subject": message["Subject"], "references": message["References"], "id": message["Message-ID"], "auto": message["Auto-Submitted"],
            "importance": message["Importance"], "parts": parts, "defects": [str(d) for p in message.walk() for d in p.defects],
            "text": message.get_body(("plain",)).get_content(), "html": message.get_body(("html",)).get_content(),
        }
        with open(f"{folder}/mails.jsonl", "a") as file:
            file.write(json.dumps(kept) + "\n")
        return "250 kept"

options = {"authenticator": authenticate, "auth_required": True, "hostname": "127.0.0.1", "port": port}
if mode == "starttls":
    controller = Controller(Keep(), tls_context=context, require_starttls=True, **options)
else:
    # TLS from the first byte is not what the server takes for it: it would not offer a password.
    controller = Controller(Keep(), ssl_context=context, auth_require_tls=False, **options)
controller.start()
while True:
    time.sleep(1)
"#;

/// A certificate authority, and a certificate of it for this machine.
fn certificates(folder: &Path) {
    let script = "set -e
        openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj '/CN=test authority' -addext basicConstraints=critical,CA:TRUE
        openssl req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj '/CN=localhost'
        printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n' > extensions
        openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 2 -extfile extensions";
    let made = Command::new("sh").args(["-c", script]).current_dir(folder).output().expect("openssl");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// Where the pages are, so that messages link to them.
pub const WEB: &str =
    "[web]\nlisten = \"127.0.0.1:9187\"\nbase_url = \"https://trueup.example.org\"\nhosts = [\"trueup.example.org\"]\n";

/// A job that pages for 9 against 5 in its second hour, and is well in its third.
pub async fn paging(notify: &str) -> World {
    let rule = format!(
        "[windows]\ntumbling = [\"1h\"]\nlabel_wait = \"2h\"\n[[alerts]]\nname = \"rmse-high\"\nmetric = \"rmse\"\nwindow = \"tumbling 1h\"\nabove = 5.0\nseverity = \"page\"\nnotify = [\"{notify}\"]\n"
    );
    let world = World::new(TABLES, &hourly(&rule)).await;
    world.db.execute(
        "insert into public.p select h * 100 + n, timestamptz '2024-05-01Z' + h * interval '1 hour' + n * interval '5 minutes', case when h = 1 then 9 else 1 + n / 20.0 end, 'v1', 'a', '2024-05-01Z'
         from generate_series(0, 2) h, generate_series(1, 10) n; insert into public.l select id, 0, at from public.p;",
    ).await;
    world
}

fn mails(folder: &Path) -> Vec<Json> {
    let text = std::fs::read_to_string(folder.join("mails.jsonl")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_server_with_tls_and_a_password_gets_a_mail_that_it_can_parse() {
    let folder = Folder::new("mail");
    let (Some(python), Some(_)) = (peers::python_with("aiosmtpd"), peers::find(&["openssl"])) else {
        // What is left to check without one: a server whose certificate nobody vouches for is not trusted with a password.
        let sink = LocalReceiver::smtp().await.expect("a server");
        let settings = format!(
            "[receivers.mail]\ntype = \"email\"\nto = [\"a@example.org\"]\nfrom = \"b@example.org\"\nsmtp = {{ host = \"127.0.0.1\", port = {} }}\n",
            sink.address.port()
        );
        let world = paging("mail").await;
        folder.write("trueup.toml", &settings).write("jobs/hourly.toml", &world.job.spec);
        let tested =
            Run::of(folder.trueup(&["notify", "test", "mail"]).env("DATABASE_URL", world.db.url()).output().unwrap());
        assert_eq!(tested.code, Some(1));
        assert!(sink.book.all().is_empty(), "nothing goes out without TLS");
        return;
    };
    certificates(&folder.0);
    folder.write("server.py", MAIL_SERVER).write("password", "correct horse\n").write("wrong", "battery staple\n");
    for mode in ["starttls", "implicit"] {
        drop(std::fs::remove_file(folder.0.join("mails.jsonl")));
        let port = peers::free_port();
        let mut command = Command::new(&python);
        command.arg(folder.0.join("server.py")).args([mode, &port.to_string()]).arg(&folder.0);
        let _server = peers::start(&mut command, port);
        let world = paging("mail").await;
        let settings = |password: &str, host: &str| {
            format!(
                "[receivers.mail]\ntype = \"email\"\nto = [\"On Call <oncall@example.org>\", \"lead@example.org\"]\nfrom = \"trueup <trueup@example.org>\"\n\
                 smtp = {{ host = \"{host}\", port = {port}, tls = \"{mode}\", username = \"trueup\", password = {{ file = \"{password}\" }} }}\n{WEB}"
            )
        };
        folder.write("trueup.toml", &settings("password", "localhost")).write("jobs/hourly.toml", &world.job.spec);
        let trueup = |arguments: &[&str], authority: &str| {
            let mut command = folder.trueup(arguments);
            command.env("DATABASE_URL", world.db.url());
            if !authority.is_empty() {
                command.env("SSL_CERT_FILE", folder.0.join(authority));
            }
            Run::of(command.output().unwrap())
        };
        for hour in 1..=3 {
            trueup(&["run", "hourly", "--at", &format!("2024-05-01T0{hour}:00:00Z")], "ca.pem").ok();
        }
        let got = mails(&folder.0);
        // Each address gets its own, under the id that they share.
        assert_eq!(got.len(), 4, "{mode}: {got:#?}");
        assert!(got[0]["id"] == got[1]["id"] && got[2]["id"] == got[3]["id"], "{mode}: {got:#?}");
        let mut both: Vec<String> = got[..2].iter().map(|mail| mail["to"].to_string()).collect();
        both.sort();
        assert_eq!(both, [r#"["lead@example.org"]"#, r#"["oncall@example.org"]"#]);
        let got = [&got[0], &got[2]];
        let fired = got[0];
        for (key, expected) in [
            ("tls", Json::Bool(true)),
            ("authenticated", Json::Bool(true)),
            ("from", "trueup@example.org".into()),
            ("subject", "[PAGE] hourly: rmse 9.000 for all".into()),
            ("references", "<incident-1@trueup>".into()),
            ("auto", "auto-generated".into()),
            ("importance", "high".into()),
            ("defects", serde_json::json!([])),
        ] {
            assert_eq!(fired[key], expected, "{mode}: {key}");
        }
        let parts: Vec<&str> = fired["parts"].as_array().unwrap().iter().filter_map(|part| part[0].as_str()).collect();
        assert_eq!(parts, ["text/plain", "text/html", "image/png"]);
        assert_eq!(fired["parts"][2][1], "<chart@trueup>");
        assert!(fired["html"].as_str().unwrap().contains("src=\"cid:chart@trueup\""));
        assert!(fired["text"].as_str().unwrap().contains("Runbook: https://runbooks.example.org/hourly"));
        let link = "href=\"https://trueup.example.org/incidents/1\"";
        assert!(fired["html"].as_str().unwrap().contains(link), "{}", fired["html"]);
        let line = "\nOpen incident 1: https://trueup.example.org/incidents/1\n";
        assert!(fired["text"].as_str().unwrap().replace("\r\n", "\n").contains(line), "{}", fired["text"]);
        assert_eq!(got[1]["subject"], "[RESOLVED] hourly: rmse 1.283 for all");
        assert_eq!(got[1]["references"], fired["references"], "one thread");
        assert_ne!(got[1]["id"], fired["id"]);
        // A wrong password is the user's to mend; a server that nobody vouches for, or under another name, is not trusted.
        folder.write("trueup.toml", &settings("wrong", "localhost"));
        let refused = trueup(&["notify", "test", "mail"], "ca.pem");
        assert!(
            refused.code == Some(1) && refused.stderr.contains("the mail server answered 535"),
            "{}",
            refused.stderr
        );
        folder.write("trueup.toml", &settings("password", "localhost"));
        let unknown = trueup(&["notify", "test", "mail"], "");
        assert!(
            unknown.code == Some(1) && unknown.stderr.contains("did not accept the test message"),
            "{}",
            unknown.stderr
        );
        folder.write("trueup.toml", &settings("password", "127.0.0.2"));
        let other = trueup(&["notify", "test", "mail"], "ca.pem");
        assert!(other.code == Some(1), "{}", other.stderr);
        assert_eq!(mails(&folder.0).len(), 4, "{mode}: none of these came through");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn alertmanager_takes_an_alert_with_its_runbook_and_forgets_it_when_it_ends() {
    let settings = |address: &str| {
        format!(
            "[receivers.hook]\ntype = \"alertmanager\"\nurl = \"http://{address}\"\nallow_http = true\nallow_networks = [\"127.0.0.0/8\"]\n{WEB}"
        )
    };
    let folder = Folder::new("alertmanager");
    let world = paging("hook").await;
    folder.write("jobs/hourly.toml", &world.job.spec);
    let run = |hour: u32| {
        let at = format!("2024-05-01T0{hour}:00:00Z");
        Run::of(folder.trueup(&["run", "hourly", "--at", &at]).env("DATABASE_URL", world.db.url()).output().unwrap())
            .ok()
    };
    let Some(program) = peers::find(&["prometheus-alertmanager", "alertmanager"]) else {
        let sink = LocalReceiver::http().await.expect("a server");
        folder.write("trueup.toml", &settings(&sink.address.to_string()));
        run(1);
        run(2);
        let posted: Json = serde_json::from_str(&sink.book.all()[0].body).unwrap();
        assert_eq!(posted[0]["annotations"]["runbook_url"], "https://runbooks.example.org/hourly");
        assert_eq!(posted[0]["generatorURL"], "https://trueup.example.org/alerts/1");
        return;
    };
    let port = peers::free_port();
    folder
        .write("alertmanager.yml", "route:\n  receiver: nobody\nreceivers:\n  - name: nobody\n")
        .write("trueup.toml", &settings(&format!("127.0.0.1:{port}")));
    let mut command = Command::new(program);
    command.arg(format!("--config.file={}", folder.0.join("alertmanager.yml").display()));
    command.arg(format!("--storage.path={}", folder.0.join("data").display()));
    command.args(["--cluster.listen-address=", &format!("--web.listen-address=127.0.0.1:{port}")]);
    let _alertmanager = peers::start(&mut command, port);
    let active = || async {
        let answer =
            peers::client().get(format!("http://127.0.0.1:{port}/api/v2/alerts")).send().await.expect("an answer");
        answer.json::<Vec<Json>>().await.expect("JSON")
    };
    run(1);
    assert!(active().await.is_empty());
    run(2);
    let alerts = active().await;
    assert_eq!(alerts.len(), 1, "{alerts:#?}");
    let alert = &alerts[0];
    let labels = serde_json::json!({
        "alertname": "rmse-high", "job": "hourly", "severity": "page", "metric": "rmse", "window": "tumbling 1h", "cohort": "all", "owner": "team@example.org"
    });
    assert_eq!(alert["labels"], labels);
    assert_eq!(alert["annotations"]["runbook_url"], "https://runbooks.example.org/hourly");
    assert_eq!(alert["annotations"]["value"], "9.000");
    assert_eq!(alert["generatorURL"], "https://trueup.example.org/alerts/1");
    assert_eq!(alert["status"]["state"], "active");
    // It ends by itself unless it is sent again.
    let time = |key: &str| alert[key].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap();
    let lasts = time("endsAt") - chrono::Utc::now();
    assert!(lasts > chrono::TimeDelta::minutes(3) && lasts <= chrono::TimeDelta::minutes(4), "{lasts}");
    run(3);
    let deadline = Instant::now() + Duration::from_secs(10);
    while !active().await.is_empty() {
        assert!(Instant::now() < deadline, "it still fires there");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let sent = world.db.lines("select kind, state from trueup.notification order by sequence").await;
    assert_eq!(sent, ["firing | sent", "resolved | sent"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn alertmanager_is_told_again_and_again_and_once_more_of_the_end() {
    let mut world = paging("hook").await;
    world.routing.resend.insert("hook".to_owned(), chrono::TimeDelta::minutes(1));
    let pass = async |world: &World, seconds: u32| {
        let sql = format!("update trueup.notification set created_at = created_at - interval '{seconds} seconds'");
        world.db.execute(&sql).await;
        trueup::dispatch::repeat::all(&world.db.pool, &world.routing).await.unwrap();
        world.delivered().await;
    };
    for hour in 1..=2 {
        world.run_at(at(&format!("2024-05-01T0{hour}:00:00Z"))).await;
    }
    let kinds = "select string_agg(body ->> 'reason', ' ' order by sequence) from trueup.notification";
    for _ in 0..3 {
        pass(&world, 61).await;
    }
    assert_eq!(world.db.scalar::<String>(kinds).await, "first repeat repeat repeat");
    pass(&world, 30).await;
    assert_eq!(world.db.scalar::<String>(kinds).await, "first repeat repeat repeat", "not sooner");
    world.run_at(at("2024-05-01T03:00:00Z")).await;
    for _ in 0..8 {
        pass(&world, 61).await;
    }
    let ends: i64 = world.db.scalar("select count(*) from trueup.notification where kind = 'resolved'").await;
    assert!((4..=5).contains(&ends), "for five minutes: {ends}");
}

/// A receiver as Standard Webhooks describes it, checked against the vector that its authors publish.
const STANDARD_RECEIVER: &str = r#"
import base64, hashlib, hmac, json, sys

def verify(secrets, headers, body, now, tolerance=300):
    timestamp = int(headers["webhook-timestamp"])
    if abs(now - timestamp) > tolerance:
        return False
    signed = f"{headers['webhook-id']}.{timestamp}.{body}".encode()
    expected = {base64.b64encode(hmac.new(base64.b64decode(s.removeprefix("whsec_")), signed, hashlib.sha256).digest()).decode() for s in secrets}
    given = [part.split(",", 1) for part in headers["webhook-signature"].split(" ")]
    return any(version == "v1" and any(hmac.compare_digest(signature, one) for one in expected) for version, signature in given)

vector = {"webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": "1614265330", "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}
secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
assert verify([secret], vector, '{"test": 2432232314}', 1614265330)
assert not verify([secret], vector, '{"test": 2432232315}', 1614265330)
given = json.load(sys.stdin)
print(json.dumps([verify([s], given["headers"], body, given["now"]) for s in given["secrets"] for body in given["bodies"]]))
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_of_signed_webhooks_accepts_ours_and_refuses_a_changed_one() {
    const SECRETS: [&str; 2] = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_bmV3IHNlY3JldCBvZiB0aGUgdGVzdA=="];
    let hook = LocalReceiver::http().await.expect("a server");
    let world = paging("hook").await;
    let folder = Folder::new("signed");
    folder.write("jobs/hourly.toml", &world.job.spec).write(
        "trueup.toml",
        &format!("[receivers.hook]\ntype = \"webhook\"\nurl = \"http://{}/\"\nallow_http = true\nallow_networks = [\"127.0.0.0/8\"]\nsigning_secret = [{{ env = \"OLD\" }}, {{ env = \"NEW\" }}]\nheaders = {{ X-Team = \"grid\", Authorization = {{ env = \"TOKEN\" }} }}\n", hook.address),
    );
    for hour in 1..=2 {
        let at = format!("2024-05-01T0{hour}:00:00Z");
        let mut command = folder.trueup(&["run", "hourly", "--at", &at]);
        command
            .env("DATABASE_URL", world.db.url())
            .env("OLD", SECRETS[0])
            .env("NEW", SECRETS[1])
            .env("TOKEN", "Bearer t");
        Run::of(command.output().unwrap()).ok();
    }
    let request = hook.book.all().remove(0);
    assert_eq!((request.header("x-team"), request.header("authorization")), (Some("grid"), Some("Bearer t")));
    let headers: serde_json::Map<String, Json> = ["webhook-id", "webhook-timestamp", "webhook-signature"]
        .into_iter()
        .map(|name| (name.to_owned(), Json::from(request.header(name).expect("a header"))))
        .collect();
    let changed = request.body.replace("\"value\":9.0", "\"value\":1.0");
    assert_ne!(changed, request.body);
    let given = serde_json::json!({
        "headers": headers, "bodies": [request.body, changed], "now": chrono::Utc::now().timestamp(),
        "secrets": [SECRETS[0], SECRETS[1], "whsec_c29tZWJvZHkgZWxzZSdzIHNlY3JldA=="],
    });
    let mut python = Command::new("python3")
        .args(["-c", STANDARD_RECEIVER])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("python3");
    std::io::Write::write_all(&mut python.stdin.take().expect("stdin"), given.to_string().as_bytes())
        .expect("to write");
    let said = python.wait_with_output().expect("its end");
    let verdicts: Vec<bool> = serde_json::from_slice(&said.stdout).expect("JSON");
    assert_eq!(
        verdicts,
        [true, false, true, false, false, false],
        "either secret, the body as it is, nobody else's secret"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_comes_while_the_canary_does_and_stops_when_something_waits() {
    let outside = LocalReceiver::http().await.expect("a server");
    let world = paging("hook").await;
    let folder = Folder::new("watchdog");
    let job = world.job.spec.replace("every = \"1h\"", "cron = \"0 0 1 1 *\"");
    folder.write("jobs/hourly.toml", &job).write(
        "trueup.toml",
        &format!("[receivers.hook]\ntype = \"webhook\"\nurl = \"http://{0}/\"\nallow_http = true\nallow_networks = [\"127.0.0.0/8\"]\n[watchdog]\nurl = \"http://{0}/alive\"\nevery = \"1s\"\npatience = \"30s\"\nallow_http = true\nallow_networks = [\"127.0.0.0/8\"]\n", outside.address),
    );
    let mut command = folder.trueup(&["serve"]);
    let log = std::fs::File::create(folder.0.join("log")).unwrap();
    command.env("DATABASE_URL", world.db.url()).stdout(std::process::Stdio::null()).stderr(log);
    let _server = crate::support::program::Process(command.spawn().expect("a server"));
    let wait_for = async |what: &str, done: &dyn Fn() -> bool| {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !done() {
            assert!(
                Instant::now() < deadline,
                "{what}: {}",
                std::fs::read_to_string(folder.0.join("log")).unwrap_or_default()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    wait_for("no heartbeat", &|| outside.book.all().len() >= 2).await;
    let body: Json = serde_json::from_str(&outside.book.all()[0].body).unwrap();
    assert_eq!((&body["kind"], &body["schema"]), (&Json::from("heartbeat"), &Json::from("trueup/v1")));
    // A message that nobody can be told waits for longer than anybody should: whoever listens outside must hear of it.
    world.db.execute("insert into trueup.notification (id, receiver, topic, kind, body, next_attempt_at, first_due_at, lease_until) values (gen_random_uuid(), 'hook', 'x', 'firing', '{}', clock_timestamp(), clock_timestamp() - interval '1 minute', clock_timestamp() + interval '1 hour')").await;
    let log = || std::fs::read_to_string(folder.0.join("log")).unwrap_or_default();
    wait_for("it does not stop", &|| log().contains("a notification has waited for")).await;
    let before = outside.book.all().len();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(outside.book.all().len() <= before + 1, "it stopped");
    world.db.execute("delete from trueup.notification where topic = 'x'").await;
    let stopped = outside.book.all().len();
    wait_for("it does not begin again", &|| outside.book.all().len() > stopped + 1).await;
    let kept = world.db.lines("select distinct kind, receiver from trueup.notification where kind = 'heartbeat'").await;
    assert_eq!(kept, ["heartbeat | watchdog"]);
}

/// A mail as a page by itself: its picture within it, and its width as the title.
fn page_of(notice: &trueup::notify::message::Notice) -> String {
    let chart = notice.rules.first().filter(|section| section.is_firing()).and_then(trueup::notify::chart::draw);
    let html = notice.html(chart.is_some());
    let html = match &chart {
        Some(png) => {
            let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, png);
            html.replace("cid:chart@trueup", &format!("data:image/png;base64,{text}"))
        }
        None => html,
    };
    html.replace("</body>", "<script>document.title = document.documentElement.scrollWidth</script></body>")
}

/// A mail on a screen that is as narrow as they come; a window of the browser is wider.
fn narrow_page_of(notice: &trueup::notify::message::Notice) -> String {
    let mail = notice.html(false).replace('&', "&amp;").replace('"', "&quot;");
    format!(
        "<!doctype html><body style=\"margin:0\"><iframe style=\"width:320px;height:1800px;border:0\" srcdoc=\"{mail}\"></iframe>\
         <script>onload = () => document.title = frames[0].document.documentElement.scrollWidth</script></body>"
    )
}

#[test]
fn a_browser_shows_every_kind_of_mail_on_a_phone() {
    let mut wide = crate::messages::linked("group");
    for (n, alert) in wide.rules[0].alerts.iter_mut().enumerate() {
        alert.cohort =
            format!("region=r{n}, a rather long dimension=with-an-even-longer-value-that-has-no-space-in-it-{n}");
    }
    let kinds = crate::messages::KINDS.map(|kind| (kind, crate::messages::message(kind)));
    let all: Vec<(&str, _)> = kinds.into_iter().chain([("wide", wide)]).collect();
    let Some(browser) = peers::find(&["chromium-headless-shell", "chromium", "chromium-browser"]) else {
        assert!(all.iter().all(|(_, notice)| notice.html(true).contains("width=device-width")));
        return;
    };
    let folder = Folder::new("browser");
    let run = |page: &str, arguments: &[String]| {
        let mut command = Command::new(&browser);
        command.args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--window-size=500,1800",
        ]);
        command.arg(format!("--user-data-dir={}", folder.0.join("profile").display()));
        let output = command.args(arguments).arg(page).output().expect("a browser");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    for (kind, notice) in &all {
        folder.write("mail.html", &page_of(notice));
        let page = format!("file://{}", folder.0.join("mail.html").display());
        let dom = run(&page, &["--dump-dom".to_owned()]);
        let title = dom.split("<title>").nth(1).and_then(|rest| rest.split("</title>").next()).expect("a title");
        assert_eq!(title, "500", "{kind}: nothing is wider than the screen");
        folder.write("narrow.html", &narrow_page_of(notice));
        let narrow = format!("file://{}", folder.0.join("narrow.html").display());
        let dom = run(&narrow, &["--dump-dom".to_owned()]);
        assert!(dom.contains("<title>320</title>"), "{kind}: it does not reflow at 320 pixels");
        let picture = folder.0.join("mail.png");
        run(&page, &[format!("--screenshot={}", picture.display())]);
        let shown = tiny_skia::Pixmap::decode_png(&std::fs::read(&picture).expect("a picture")).expect("a PNG");
        let count =
            |color: (u8, u8, u8)| shown.pixels().iter().filter(|p| (p.red(), p.green(), p.blue()) == color).count();
        let headline = match notice.kind.as_str() {
            "resolved" => (26, 127, 55),
            "test" | "acknowledged" => (5, 80, 174),
            _ => (180, 35, 24),
        };
        assert!(count(headline) > 20, "{kind}: the headline");
        assert!(count((31, 35, 40)) > 2_000, "{kind}: the button of the runbook");
        let has_chart = notice.rules[0].is_firing() && notice.rules[0].series.len() > 1;
        assert_eq!(count((255, 235, 233)) > 500, has_chart, "{kind}: the breach in the chart");
        if let Some(keep) = std::env::var_os("TRUEUP_KEEP_PICTURES") {
            std::fs::copy(&picture, Path::new(&keep).join(format!("{kind}.png"))).expect("to keep it");
            run(&narrow, &[format!("--screenshot={}", picture.display())]);
            std::fs::copy(&picture, Path::new(&keep).join(format!("{kind}-narrow.png"))).expect("to keep it");
        }
    }
}
