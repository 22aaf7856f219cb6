//! Telling: every alert arrives, in order, with the same id on every retry, and every attempt is on record.

use std::collections::BTreeMap;
use std::sync::Arc;

use secrecy::SecretString;
use trueup::commands::demo::receivers::{LocalReceiver, mail_header, plain_text};
use trueup::dispatch::send::{self, Receivers, Summary};
use trueup::notify::receiver::{Receiver, Transport};
use trueup::notify::transport::email::{EmailReceiver, SmtpSecurity, SmtpServer};
use trueup::notify::transport::http::Endpoint;
use trueup::notify::transport::network::AllowedNetworks;
use trueup::notify::transport::webhook::{SigningSecret, WebhookReceiver};

use crate::support::database::TestDatabase;
use crate::support::program::{Folder, Run};
use crate::support::world::{World, fired_and_resolved, hourly};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn webhook(receiver: &LocalReceiver) -> Result<Receiver, String> {
    let allowed = AllowedNetworks::parse(&["127.0.0.0/8".to_owned()])?;
    let secret = SigningSecret::new(&SecretString::from(SECRET))?;
    let url = format!("http://{}/hook", receiver.address);
    let endpoint = Endpoint::new(&url, true, &allowed)?;
    let webhook = WebhookReceiver { secrets: vec![secret], ..WebhookReceiver::new(endpoint) };
    Ok(Transport::Webhook(Box::new(webhook)).into())
}

fn email(receiver: &LocalReceiver) -> Result<Receiver, String> {
    let server = SmtpServer {
        host: receiver.address.ip().to_string(),
        port: receiver.address.port(),
        security: SmtpSecurity::None,
        credentials: None,
    };
    let address = |text: &str| text.parse().map_err(|_| "no address".to_owned());
    let email = EmailReceiver::new(vec![address("oncall@example.org")?], address("trueup@example.org")?, &server)?;
    Ok(Transport::Email(Box::new(email)).into())
}

/// Makes one attempt for everything that is due, as the scheduler's tasks do.
async fn deliver_due(pool: &sqlx::PgPool, receivers: &Receivers) -> anyhow::Result<Summary> {
    let mut sum = Summary::default();
    for name in send::receivers_due(pool).await? {
        let one = send::drain(pool, receivers, &name, None, || false).await?;
        sum = Summary { sent: sum.sent + one.sent, retried: sum.retried + one.retried, dead: sum.dead + one.dead };
    }
    Ok(sum)
}

/// Lets time pass until the next attempts are due, and makes them.
async fn next_attempts(world: &World, receivers: &Arc<Receivers>) -> Summary {
    world.db.execute("update trueup.notification set next_attempt_at = clock_timestamp() - interval '1 second'; update trueup.receiver_health set open_until = null").await;
    deliver_due(&world.db.pool, receivers).await.expect("the outbox")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_fails_five_times_gets_each_alert_once_in_order_with_one_id() {
    let world = fired_and_resolved(&["mail", "hook"]).await;
    let (hook, mail) = (LocalReceiver::http().await.unwrap(), LocalReceiver::smtp().await.unwrap());
    hook.book.answer_next(&[500, 500, 500, 500, 500]);
    let receivers: Arc<Receivers> =
        Arc::new(BTreeMap::from([("hook".to_owned(), webhook(&hook)), ("mail".to_owned(), email(&mail))]).into());
    let first = deliver_due(&world.db.pool, &receivers).await.unwrap();
    // The webhook's trouble delays the mail by nothing.
    assert_eq!((first.sent, first.retried), (2, 1), "both mails, and the first attempt of the webhook");
    for _ in 0..4 {
        assert_eq!(next_attempts(&world, &receivers).await.sent, 0, "the resolved message waits for the firing one");
    }
    assert_eq!(next_attempts(&world, &receivers).await.sent, 2);
    let received = hook.book.all();
    assert_eq!(received.iter().map(|r| r.answer).collect::<Vec<_>>(), [500, 500, 500, 500, 500, 200, 200]);
    let ids: Vec<&str> = received.iter().map(|r| r.header("webhook-id").unwrap()).collect();
    assert!(ids[..6].iter().all(|id| *id == ids[0]), "one id on every retry: {ids:?}");
    assert_ne!(ids[6], ids[0]);
    let kinds: Vec<serde_json::Value> =
        received.iter().map(|r| serde_json::from_str::<serde_json::Value>(&r.body).unwrap()["kind"].clone()).collect();
    assert_eq!(kinds[5..], ["firing", "resolved"]);
    let history = world.db.lines("select attempt, outcome, status_code, failure from trueup.delivery_history where receiver = 'hook' order by attempted_at").await;
    assert_eq!(
        history,
        [
            "1 | retry | 500 | the receiver answered 500",
            "2 | retry | 500 | the receiver answered 500",
            "3 | retry | 500 | the receiver answered 500",
            "4 | retry | 500 | the receiver answered 500",
            "5 | retry | 500 | the receiver answered 500",
            "6 | sent | 200 | -",
            "1 | sent | 200 | -",
        ]
    );
    let waits = world.db.lines("select round(extract(epoch from next_attempt_at - attempted_at)) from trueup.delivery_history where outcome = 'retry' order by attempt").await;
    assert_eq!(waits, ["5", "15", "30", "60", "120"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_can_be_verified_and_a_changed_body_is_refused() {
    let world = fired_and_resolved(&["mail", "hook"]).await;
    let hook = LocalReceiver::http().await.unwrap();
    let receivers: Arc<Receivers> = Arc::new(BTreeMap::from([("hook".to_owned(), webhook(&hook))]).into());
    deliver_due(&world.db.pool, &receivers).await.unwrap();
    let request = hook.book.all().remove(0);
    // Computed here by Python's hmac, which shares no code with trueup.
    let verify = |body: &str| {
        let script = "import sys, hmac, hashlib, base64; key = base64.b64decode(sys.argv[1][6:]); print('v1,' + base64.b64encode(hmac.new(key, f'{sys.argv[2]}.{sys.argv[3]}.{sys.argv[4]}'.encode(), hashlib.sha256).digest()).decode())";
        let (id, timestamp) = (request.header("webhook-id").unwrap(), request.header("webhook-timestamp").unwrap());
        let output = std::process::Command::new("python3")
            .args(["-c", script, SECRET, id, timestamp, body])
            .output()
            .expect("python3");
        String::from_utf8(output.stdout).unwrap().trim() == request.header("webhook-signature").unwrap()
    };
    assert!(verify(&request.body));
    assert!(!verify(&request.body.replace("hourly", "weekly")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_greylisting_mail_server_gets_each_alert_once_in_order() {
    let world = fired_and_resolved(&["mail", "hook"]).await;
    world.db.execute("delete from trueup.notification where receiver = 'hook'").await;
    let mail = LocalReceiver::smtp().await.unwrap();
    mail.book.answer_next(&[451, 451]);
    let receivers: Arc<Receivers> = Arc::new(BTreeMap::from([("mail".to_owned(), email(&mail))]).into());
    assert_eq!(deliver_due(&world.db.pool, &receivers).await.unwrap().retried, 1);
    assert_eq!(next_attempts(&world, &receivers).await.retried, 1);
    assert_eq!(next_attempts(&world, &receivers).await.sent, 2);
    let mails: Vec<_> = mail.book.all().into_iter().filter(|m| m.answer == 250).collect();
    let header = |n: usize, name: &str| mail_header(&mails[n].body, name).unwrap_or_default();
    assert_eq!(mails.len(), 2);
    assert_eq!(header(0, "Subject"), "[PAGE] hourly: rmse 9.000 for all");
    assert_eq!(header(1, "Subject"), "[RESOLVED] hourly: rmse 1.000 for all");
    assert_eq!(header(0, "References"), header(1, "References"), "one thread");
    assert_eq!(header(0, "Auto-Submitted"), "auto-generated");
    let text = plain_text(&mails[0].body);
    for part in [
        "value        9.000",
        "limit        5",
        "4 labeled of 4 predictions",
        "coverage     100.0 %",
        "since        2024-05-01 01:00 UTC",
        "Runbook: https://runbooks.example.org/hourly",
        "trueup.window_revisions",
    ] {
        assert!(text.contains(part), "`{part}` is not in\n{text}");
    }
    assert!(mails[0].body.contains("text/html"));
    let history = world.db.lines("select attempt, outcome, status_code from trueup.delivery_history where receiver = 'mail' order by attempted_at").await;
    assert_eq!(history, ["1 | retry | 451", "2 | retry | 451", "3 | sent | 250", "1 | sent | 250"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_down_loses_nothing_and_a_refusal_is_final() {
    let world = fired_and_resolved(&["mail", "hook"]).await;
    let hook = LocalReceiver::http().await.unwrap();
    let closed = LocalReceiver { address: "127.0.0.1:1".parse().unwrap(), ..hook.clone() };
    let down: Arc<Receivers> = Arc::new(
        BTreeMap::from([
            ("hook".to_owned(), webhook(&closed)),
            ("mail".to_owned(), Err("the secret is not set".to_owned())),
        ])
        .into(),
    );
    let summary = deliver_due(&world.db.pool, &down).await.unwrap();
    assert_eq!((summary.sent, summary.retried, summary.dead), (0, 2, 0));
    let failures = world.db.lines("select receiver, failure from trueup.delivery_history order by receiver").await;
    assert_eq!(
        failures,
        ["hook | could not connect to the receiver", "mail | the receiver cannot be used: the secret is not set"]
    );
    // Up again, but the first is refused for good; the second still goes out.
    hook.book.answer_next(&[400]);
    let up: Arc<Receivers> = Arc::new(BTreeMap::from([("hook".to_owned(), webhook(&hook))]).into());
    let summary = next_attempts(&world, &up).await;
    assert_eq!((summary.sent, summary.dead), (1, 1));
    assert_eq!(
        world.db.lines("select kind, state from trueup.notification where receiver = 'hook' order by sequence").await,
        ["firing | dead", "resolved | sent"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_send_whose_record_was_lost_is_repeated_with_the_same_id() {
    let world = fired_and_resolved(&["mail", "hook"]).await;
    let hook = LocalReceiver::http().await.unwrap();
    let receivers: Arc<Receivers> = Arc::new(BTreeMap::from([("hook".to_owned(), webhook(&hook))]).into());
    // As after a kill between the receiver's answer and our record: leased, nothing recorded, and the lease runs out.
    let leased = trueup::store::outbox::delivery::lease(
        &mut world.db.pool.acquire().await.unwrap(),
        "hook",
        None,
        chrono::Utc::now() + chrono::TimeDelta::seconds(1),
        chrono::TimeDelta::seconds(60),
    )
    .await
    .unwrap()
    .unwrap();
    assert_eq!(deliver_due(&world.db.pool, &receivers).await.unwrap().sent, 0, "leased by somebody");
    world.db.execute("update trueup.notification set lease_until = clock_timestamp() - interval '1 second' where lease_until is not null").await;
    deliver_due(&world.db.pool, &receivers).await.unwrap();
    assert_eq!(hook.book.all()[0].header("webhook-id"), Some(leased.id.to_string().as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_senders_never_send_the_same() {
    let world = fired_and_resolved(&["mail", "hook"]).await;
    let hook = LocalReceiver::http().await.unwrap();
    let receivers: Arc<Receivers> = Arc::new(BTreeMap::from([("hook".to_owned(), webhook(&hook))]).into());
    let send = || deliver_due(&world.db.pool, &receivers);
    let (a, b, c) = tokio::join!(send(), send(), send());
    let sent = a.unwrap().sent + b.unwrap().sent + c.unwrap().sent;
    next_attempts(&world, &receivers).await;
    assert!(sent <= 2);
    assert_eq!(hook.book.all().len(), 2);
}

/// Webhooks connect to addresses that were checked, so a proxy is not used; a failure behind one says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_of_the_environment_is_not_used_and_a_failure_says_so() {
    let db = TestDatabase::new().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = listener.local_addr().unwrap();
    drop(listener);
    let folder = Folder::new("proxy");
    folder.write("jobs/hourly.toml", &hourly("[windows]\nrolling = [\"6h\"]\n")).write(
        "trueup.toml",
        &format!("[receivers.hook]\ntype = \"webhook\"\nurl = \"http://{dead}/\"\nallow_http = true\nallow_networks = [\"127.0.0.0/8\"]\n"),
    );
    let tried = |proxy: Option<&str>| {
        let mut program = folder.trueup(&["notify", "test", "hook"]);
        program.env("DATABASE_URL", db.url());
        for name in ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
            program.env_remove(name);
        }
        if let Some(proxy) = proxy {
            program.env("HTTPS_PROXY", proxy);
        }
        let tried = Run::of(program.output().unwrap());
        assert_eq!(tried.code, Some(1), "{}{}", tried.stdout, tried.stderr);
        tried.stdout + &tried.stderr
    };
    let words = "the proxy in `HTTPS_PROXY` is not used";
    let with = tried(Some("http://proxy.example.org:3128"));
    assert!(with.split_whitespace().collect::<Vec<_>>().join(" ").contains(words), "{with}");
    let without = tried(None);
    assert!(!without.contains("HTTPS_PROXY"), "{without}");
}
