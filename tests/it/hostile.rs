//! What comes from data, from job files and from other people's servers is inert: in every format, every header, every log.

use serde_json::Value as Json;
use trueup::commands::demo::receivers::LocalReceiver;
use trueup::notify::format::{Format, bodies};
use trueup::notify::message::{Notice, samples};
use trueup::notify::template::Templates;
use trueup::notify::transport::http::Endpoint;
use trueup::notify::transport::network::AllowedNetworks;
use trueup::text::links::Links;

use crate::support::faulty::{Faulty, HttpFault};
use crate::support::program::{Folder, Run};
use crate::support::world::{TABLES, World, at, hourly};

/// Names that a cohort, a version, a note or a runbook may have, whoever chose them.
fn hostile() -> Vec<String> {
    let mut names: Vec<String> = [
        "x\r\nBcc: all@example.org",
        "x\nSubject: you won",
        "x\r\n.\r\nMAIL FROM:<a@b>",
        "x\r\n\r\n<script>alert(1)</script>",
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "\"><svg onload=alert(1)>",
        "'><a href='javascript:alert(1)'>x</a>",
        "<!--",
        "-->",
        "<![CDATA[",
        "]]>",
        "</pre><h1>x</h1>",
        "</td></tr></table>",
        "</style>",
        "</title>",
        "&lt;script&gt;",
        "&#x3c;script&#x3e;",
        "&amp;amp;",
        "<@U012345>",
        "<!channel>",
        "<!here|x>",
        "<https://evil.example|the runbook>",
        "*bold* _it_ ~no~ `code`",
        "```",
        "``` <!everyone> ```",
        "'; drop table trueup.alert; --",
        "\\'; select 1",
        "$1",
        "%s%n",
        "%(x)s",
        "${jndi:ldap://x}",
        "{{ 7 * 7 }}",
        "{% for x in y %}",
        "{# x #}",
        "<%= x %>",
        "#{x}",
        "=cmd|' /C calc'!A0",
        "+1",
        "-1",
        "@SUM(1)",
        "\t=1",
        "\r=1",
        "../../etc/passwd",
        "file:///etc/passwd",
        "\u{202e}gnp.exe",
        "a\u{2028}b",
        "a\u{2029}b",
        "\u{feff}x",
        "\u{0}x",
        "a\u{7}b\u{1b}[31mred",
        "\u{200f}x",
        "=?utf-8?B?QmNjOiBhbGw=?=",
        "=?utf-8?Q?=0D=0ABcc:?=",
        "a, b",
        "a=b",
        "\"quoted\"",
        "back\\slash",
        "'",
        "\"",
        "`",
        "ÄÖÜ 漢字 🙂",
        "Z̶a̶l̶g̶o̶",
        "null",
        "NaN",
        "true",
        "",
    ]
    .iter()
    .map(|name| (*name).to_owned())
    .collect();
    names.push("x".repeat(10_240));
    names.push("<b>".repeat(3_000));
    names.push("\r\n".repeat(5_000));
    names.push("🙂".repeat(2_560));
    names
}

/// Places in a message where such a name may stand.
fn placed(name: &str) -> Vec<Notice> {
    let mut notices = Vec::new();
    for kind in ["firing", "resolved"] {
        let place = |change: &dyn Fn(&mut Notice)| {
            let mut notice = samples::notice(kind, "all");
            change(&mut notice);
            notice
        };
        notices.extend([
            place(&|n| n.rules[0].alerts[0].cohort = name.to_owned()),
            place(&|n| n.rules[0].alerts[0].model_version = Some(name.to_owned())),
            place(&|n| {
                // Several alerts are a table, whose names link to pages.
                n.rules[0].alerts[0].cohort = name.to_owned();
                n.rules[0].alerts[0].unit = format!(" {name}");
                n.rules[0].alerts[0].acknowledged_by = Some(name.to_owned());
                n.rules[0].alerts[0].note = Some(name.to_owned());
                let second = n.rules[0].alerts[0].clone();
                n.rules[0].alerts.push(second);
                n.link(&Links::new("https://trueup.example.org").expect("an address"));
            }),
            place(&|n| n.rules[0].alerts[0].unit = format!(" {name}")),
            place(&|n| n.rules[0].alerts[0].note = Some(name.to_owned())),
            place(&|n| n.rules[0].alerts[0].closed = Some(name.to_owned())),
            place(&|n| n.rules[0].rule.runbook = Some(name.to_owned())),
            place(&|n| n.rules[0].rule.runbook = Some(format!("javascript:alert('{name}')"))),
            place(&|n| n.rules[0].rule.runbook = Some(format!("https://example.org/{name}"))),
            place(&|n| n.rules[0].query = format!("select '{name}'")),
            place(&|n| n.job.description = Some(name.to_owned())),
            place(&|n| n.note = Some(name.to_owned())),
            place(&|n| {
                let at = n.as_of;
                n.rules[0].changes.push(trueup::notify::message::ChangeFacts {
                    kind: "deploy".into(),
                    at,
                    note: name.to_owned(),
                    author: name.to_owned(),
                });
            }),
        ]);
    }
    notices
}

/// Tags of an HTML text, in small letters: what a browser makes of it is only as harmless as these.
fn tags(html: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        let end = rest[start..].find('>').map_or(rest.len(), |end| start + end + 1);
        found.push(rest[start..end].to_lowercase());
        rest = &rest[end..];
    }
    found
}

const KNOWN_TAGS: [&str; 17] = [
    "!doctype", "html", "head", "meta", "body", "p", "a", "br", "span", "table", "tr", "td", "pre", "b", "img", "/",
    "h1",
];

#[test]
fn a_hostile_name_is_inert_in_html_text_headers_and_every_format() {
    let (mut checked, names) = (0, hostile());
    for name in &names {
        for mut notice in placed(name) {
            Templates::default().fill(&mut notice);
            assert!(!notice.title.contains(|c: char| c.is_control()), "{:?}", notice.title);
            // HTML: only our own tags, links by http(s) only, no event handlers, no break out of the page.
            let html = notice.html(true);
            for tag in tags(&html) {
                let word: String = tag[1..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '!').collect();
                let closes = tag.starts_with("</");
                assert!(closes || KNOWN_TAGS.contains(&word.as_str()), "{tag} of {name:?}");
                assert!(!tag.contains("<script"), "{tag}");
                if let Some(link) = tag.split("href=\"").nth(1) {
                    assert!(link.starts_with("https://") || link.starts_with("http://"), "{tag}");
                }
                let attributes = tag.split('"').step_by(2).collect::<String>();
                assert!(!attributes.contains(" on") && !attributes.contains('\''), "{tag} of {name:?}");
            }
            assert!(html.matches("</body>").count() == 1 && html.ends_with("</body></html>"));
            // The formats are JSON whose strings are strings.
            for format in [Format::Trueup, Format::Alertmanager, Format::Pagerduty, Format::Slack] {
                for made in bodies(format, notice.clone(), "hook", Some("key")) {
                    let again: Json = serde_json::from_str(&made.to_string()).expect("JSON");
                    assert_eq!(again, made);
                    if format == Format::Slack {
                        slack(&made, name);
                    }
                    if format == Format::Pagerduty && made["event_action"] == "trigger" {
                        assert!(
                            made["payload"]["summary"].as_str().is_some_and(|summary| summary.chars().count() <= 1_024)
                        );
                        assert!(made["dedup_key"].as_str().is_some_and(|key| key.chars().count() <= 255));
                        let links = made["links"].as_array().expect("links");
                        assert!(
                            links.iter().all(|link| link["href"].as_str().is_some_and(|href| href.starts_with("http")))
                        );
                    }
                    checked += 1;
                }
            }
        }
    }
    println!("{} names, {checked} bodies", names.len());
    assert!(checked >= 1_400);
}

/// Mentions and links of Slack begin with `<`: the only one is ours, and sections stay within what is taken.
fn slack(message: &Json, name: &str) {
    for block in message["blocks"].as_array().expect("blocks") {
        let text = block["text"]["text"].as_str().expect("text");
        assert!(text.chars().count() <= 3_000, "{} characters", text.chars().count());
        for (at, _) in text.match_indices('<') {
            let is_ours = text.ends_with("|Open the runbook>") || text.ends_with("|Open incident 3>");
            assert!(text[at..].starts_with("<http") && is_ours, "{text} of {name:?}");
        }
        let inner = text.trim_start_matches("```").trim_end_matches("```");
        assert!(!inner.contains("```"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_cohort_arrives_as_one_mail_with_our_headers_only() {
    let mail = LocalReceiver::smtp().await.expect("a mail server");
    let names: Vec<String> = hostile().into_iter().filter(|name| !name.contains('\0')).collect();
    let rules = "[windows]\ntumbling = [\"1h\"]\nlabel_wait = \"2h\"\n[[cohorts]]\nby = [\"region\"]\ntop = 500\n[[alerts]]\nname = \"r\"\nmetric = \"rmse\"\nwindow = \"tumbling 1h\"\nabove = 5.0\nseverity = \"page\"\ncohorts = \"each\"\nnotify = [\"mail\"]\n";
    let world = World::new(TABLES, &hourly(rules)).await;
    for (n, name) in names.iter().enumerate() {
        sqlx::query("insert into public.p select $1 * 10 + k, '2024-05-01Z'::timestamptz + k * interval '5 minutes', 10 + $1, 'v1', $2, '2024-05-01Z' from generate_series(1, 5) k")
            .bind(i64::try_from(n).expect("few"))
            .bind(name)
            .execute(&world.db.pool)
            .await
            .expect("rows");
    }
    world.db.execute("insert into public.l select id, 0, at from public.p; analyze public.p; analyze public.l").await;
    let mut world = world;
    world.delivers = false;
    world.run_at(at("2024-05-01T01:00:00Z")).await;
    let folder = Folder::new("hostile");
    folder.write("jobs/hourly.toml", &world.job.spec).write(
        "trueup.toml",
        &format!(
            "[receivers.mail]\ntype = \"email\"\nto = [\"oncall@example.org\"]\nfrom = \"trueup@example.org\"\nsmtp = {{ host = \"127.0.0.1\", port = {}, tls = \"none\" }}\n",
            mail.address.port()
        ),
    );
    let tell = folder
        .trueup(&["deliveries", "retry", "--receiver", "mail"])
        .env("DATABASE_URL", world.db.url())
        .output()
        .unwrap();
    // Nothing was given up, so there is nothing to retry; a run sends what waits.
    assert_eq!(Run::of(tell).code, Some(1));
    let run = folder
        .trueup(&["alerts", "ack", "--incident", "1", "--by", "kim\r\nBcc: all@example.org"])
        .env("DATABASE_URL", world.db.url())
        .output()
        .unwrap();
    Run::of(run).ok();
    let mails = mail.book.all();
    assert_eq!(mails.len(), 2, "one of the alerts, one of the acknowledgement");
    for received in &mails {
        let head = received.body.split("\r\n\r\n").next().expect("headers").to_lowercase();
        assert!(!head.contains("\nbcc:") && head.matches("\nsubject:").count() <= 1, "{head}");
        assert!(head.lines().all(|line| line.len() < 998));
    }
    let told: i64 = world
        .db
        .scalar(
            "select jsonb_array_length(body #> '{rules,0,alerts}')::bigint from trueup.notification order by sequence limit 1",
        )
        .await;
    assert_eq!(usize::try_from(told).ok(), Some(names.len()));
}

/// Addresses that lead into networks that are not public, however they are written.
fn inner_addresses() -> Vec<String> {
    let mut hosts: Vec<String> = Vec::new();
    for (a, b) in [
        (0, 0),
        (10, 0),
        (10, 255),
        (100, 64),
        (100, 100),
        (100, 127),
        (127, 0),
        (127, 1),
        (127, 255),
        (169, 254),
        (172, 16),
        (172, 20),
        (172, 31),
        (192, 168),
        (198, 18),
        (198, 19),
        (224, 0),
        (239, 255),
        (240, 0),
        (255, 255),
    ] {
        for (c, d) in [(0, 1), (169, 254), (255, 255)] {
            hosts.push(format!("{a}.{b}.{c}.{d}"));
            let number = (u32::from(a as u8) << 24)
                | (u32::from(b as u8) << 16)
                | (u32::from(c as u8) << 8)
                | u32::from(d as u8);
            // As one number, in octal, in hexadecimal: URLs know all of these.
            hosts.push(number.to_string());
            hosts.push(format!("0x{number:08x}"));
            hosts.push(format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"));
            hosts.push(format!("[::ffff:{a}.{b}.{c}.{d}]"));
            hosts.push(format!("[64:ff9b::{a:02x}{b:02x}:{c:02x}{d:02x}]"));
            hosts.push(format!("[2002:{a:02x}{b:02x}:{c:02x}{d:02x}::1]"));
        }
    }
    for host in [
        "[::1]",
        "[::]",
        "[fe80::1]",
        "[fc00::1]",
        "[fdff::1]",
        "[ff02::1]",
        "[2001::1]",
        "[2001:db8::1]",
        "[100::1]",
        "[::127.0.0.1]",
        "[64:ff9b:1::7f00:1]",
        "127.1",
        "127.0.1",
        "0",
        "0x7f.1",
        "017700000001",
        "2130706433",
        "１２７.0.0.1",
        "127。0。0。1",
        "192.0.0.8",
        "192.88.99.1",
    ] {
        hosts.push(host.to_owned());
    }
    hosts
}

#[tokio::test(flavor = "multi_thread")]
async fn no_address_of_an_inner_network_is_connected_to() {
    let hosts = inner_addresses();
    let none = AllowedNetworks::default();
    let mut refused = 0;
    for host in &hosts {
        for scheme in ["https", "http"] {
            let url = format!("{scheme}://{host}:8099/latest/meta-data");
            assert!(Endpoint::new(&url, true, &none).is_err(), "{url}");
            refused += 1;
        }
    }
    println!("{refused} addresses refused");
    assert!(refused >= 200);
    // A name that leads there is refused when it is resolved, whatever it said before.
    let hook = LocalReceiver::http().await.expect("a server");
    for name in ["localhost", "LOCALHOST", "localhost."] {
        let endpoint = Endpoint::new(&format!("http://{name}:{}/", hook.address.port()), true, &none).expect("a name");
        let delivery = endpoint.post(&[], b"{}".to_vec()).await;
        assert!(
            matches!(delivery, trueup::notify::transport::delivery::Delivery::Failed { status: None, .. }),
            "{delivery:?}"
        );
    }
    assert!(hook.book.all().is_empty(), "nothing arrived");
    // Credentials in an address do not move the host, and other schemes are not spoken.
    for url in [
        "https://example.org@127.0.0.1/",
        "https://127.0.0.1#@example.org/",
        "https://127.0.0.1\\@example.org/",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "ftp://example.org/",
        "unix:/run/x",
    ] {
        assert!(Endpoint::new(url, true, &none).is_err(), "{url}");
    }
    // A redirect is not followed: where it leads was never looked at.
    let redirecting = Faulty::http(HttpFault::Redirect, 1).await;
    let allowed = AllowedNetworks::parse(&["127.0.0.0/8".to_owned()]).unwrap();
    let endpoint = Endpoint::new(&format!("http://{}/", redirecting.address), true, &allowed).expect("allowed");
    let delivery = endpoint.post(&[], b"{}".to_vec()).await;
    assert!(
        matches!(delivery, trueup::notify::transport::delivery::Delivery::Refused { status: Some(302), .. }),
        "{delivery:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_stand_in_no_log_no_error_no_table_and_no_output() {
    const CANARIES: [&str; 5] = [
        "c4nary-url-t0ken",
        "c4nary-header-value",
        "c4nary-smtp-passw0rd",
        "Y4NhcnktaG9vay1zZWNyZXQtMTIzNDU2",
        "c4nary-routing-key",
    ];
    let rules = "[windows]\ntumbling = [\"1h\"]\nlabel_wait = \"2h\"\n[[alerts]]\nname = \"r\"\nmetric = \"rmse\"\nwindow = \"tumbling 1h\"\nabove = 5.0\nseverity = \"page\"\nnotify = [\"mail\", \"hook\", \"pager\"]\n";
    let world =
        World::new(TABLES, &hourly(rules).replace("[\"mail\", \"hook\", \"pager\"]", "[\"mail\", \"hook\"]")).await;
    world.db.execute("insert into public.p select n, timestamptz '2024-05-01Z' + n * interval '5 minutes', 9, 'v1', 'a', '2024-05-01Z' from generate_series(1, 10) n; insert into public.l select id, 0, at from public.p;").await;
    let folder = Folder::new("secrets");
    folder.write("secret", "c4nary-smtp-passw0rd\n").write("jobs/hourly.toml", &world.job.spec.replace("notify = [\"mail\", \"hook\"]", "notify = [\"mail\", \"hook\", \"pager\"]")).write(
        "trueup.toml",
        "[receivers.mail]\ntype = \"email\"\nto = [\"a@example.org\"]\nfrom = \"b@example.org\"\nsmtp = { host = \"127.0.0.1\", port = 9, tls = \"implicit\", username = \"u\", password = { file = \"secret\" } }\n\
         [receivers.hook]\ntype = \"webhook\"\nurl = { env = \"HOOK_URL\" }\nallow_http = true\nallow_networks = [\"127.0.0.0/8\"]\nsigning_secret = { env = \"HOOK_SECRET\" }\nheaders = { X-Key = { env = \"HOOK_HEADER\" } }\n\
         [receivers.pager]\ntype = \"webhook\"\nformat = \"pagerduty\"\nurl = { env = \"HOOK_URL\" }\nallow_http = true\nallow_networks = [\"127.0.0.0/8\"]\nrouting_key = { env = \"PAGER_KEY\" }\n",
    );
    let mut seen = String::new();
    for arguments in [
        &["check"][..],
        &["run", "hourly", "--at", "2024-05-01T01:00:00Z"][..],
        &["notify", "test", "mail"][..],
        &["notify", "test", "hook"][..],
        &["notify", "test", "pager"][..],
        &["deliveries"][..],
        &["deliveries", "--output", "json"][..],
        &["alerts"][..],
        &["incident", "1", "--output", "json"][..],
        &["route", "--job", "hourly"][..],
        &["explain", "hourly"][..],
        &["status"][..],
        &["deliveries", "retry", "--receiver", "hook"][..],
    ] {
        let output = folder
            .trueup(arguments)
            .env("DATABASE_URL", world.db.url())
            .env("TRUEUP_LOG", "trace")
            .env("HOOK_URL", "http://127.0.0.1:9/c4nary-url-t0ken?key=c4nary-url-t0ken")
            .env("HOOK_SECRET", "whsec_Y4NhcnktaG9vay1zZWNyZXQtMTIzNDU2")
            .env("HOOK_HEADER", "c4nary-header-value")
            .env("PAGER_KEY", "c4nary-routing-key")
            .output()
            .unwrap();
        let run = Run::of(output);
        assert!(run.code.is_some_and(|code| code < 2), "{arguments:?}: {}", run.stderr);
        seen += &run.stdout;
        seen += &run.stderr;
    }
    assert!(seen.contains("could not connect to the receiver"), "the receivers were really tried");
    for table in world.db.lines("select format('%I.%I', table_schema, table_name) from information_schema.tables where table_schema = 'trueup'").await {
        seen += &world.db.lines(&format!("select row_to_json(t)::text from {table} t")).await.join("\n");
    }
    assert!(seen.len() > 100_000, "everything was looked at: {} bytes", seen.len());
    for canary in CANARIES {
        assert!(
            !seen.contains(canary),
            "`{canary}` was seen: {}",
            &seen[seen.find(canary).unwrap_or(0).saturating_sub(300)..][..600]
        );
    }
}
