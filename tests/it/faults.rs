//! Receivers that misbehave, and senders that are killed: nothing is lost, a duplicate has the id of the first, and what is
//! about one alert arrives in order.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::process::Stdio;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use trueup::dispatch::send::{self, Receivers};
use trueup::notify::receiver::{Receiver, Transport};
use trueup::notify::transport::email::{EmailReceiver, SmtpSecurity, SmtpServer};
use trueup::notify::transport::http::Endpoint;
use trueup::notify::transport::network::AllowedNetworks;
use trueup::notify::transport::webhook::WebhookReceiver;

use crate::support::faulty::{Faulty, HTTP_FAULTS, HttpFault, SMTP_FAULTS, Taken};
use crate::support::program::{Folder, Process};
use crate::support::world::{World, fired_and_resolved};

fn webhook(address: std::net::SocketAddr) -> Result<Receiver, String> {
    let allowed = AllowedNetworks::parse(&["127.0.0.0/8".to_owned()])?;
    let endpoint = Endpoint::new(&format!("http://{address}/hook"), true, &allowed)?;
    Ok(Transport::Webhook(Box::new(WebhookReceiver::new(endpoint))).into())
}

fn email(address: std::net::SocketAddr) -> Result<Receiver, String> {
    let server = SmtpServer {
        host: address.ip().to_string(),
        port: address.port(),
        security: SmtpSecurity::None,
        credentials: None,
    };
    let mailbox = |text: &str| text.parse().map_err(|_| "no address".to_owned());
    let email = EmailReceiver::new(vec![mailbox("oncall@example.org")?], mailbox("trueup@example.org")?, &server)?;
    Ok(Transport::Email(Box::new(email)).into())
}

/// One round of attempts of every receiver, at once, as the scheduler's tasks make them; then time passes.
async fn round(world: &World, receivers: &Receivers) {
    let due = send::receivers_due(&world.db.pool).await.expect("the outbox");
    let drains = due.iter().map(|name| send::drain(&world.db.pool, receivers, name, None, || false));
    for drained in futures::future::join_all(drains).await {
        drained.expect("a drain");
    }
    world
        .db
        .execute("update trueup.notification set next_attempt_at = clock_timestamp() - interval '1 second' where state = 'pending'; update trueup.receiver_health set open_until = null")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_receiver_does_wrong_nothing_is_lost_or_out_of_order() {
    let world = fired_and_resolved(&["hook"]).await;
    let well = Faulty::http(HttpFault::Status(500), 0).await;
    let fallback = Faulty::http(HttpFault::Status(500), 0).await;
    let mut servers: BTreeMap<String, (Faulty, bool)> = BTreeMap::new();
    let mut by_name = BTreeMap::from([
        ("well".to_owned(), webhook(well.address)),
        ("fallback".to_owned(), webhook(fallback.address)),
    ]);
    for (n, fault) in HTTP_FAULTS.into_iter().enumerate() {
        let (name, server) = (format!("http-{n:02}-{fault:?}"), Faulty::http(fault, 1).await);
        by_name.insert(name.clone(), webhook(server.address));
        servers.insert(name, (server, fault.is_final()));
    }
    for (n, fault) in SMTP_FAULTS.into_iter().enumerate() {
        let (name, server) = (format!("smtp-{n:02}-{fault:?}"), Faulty::smtp(fault, 1).await);
        by_name.insert(name.clone(), email(server.address));
        servers.insert(name, (server, fault.is_final()));
    }
    // Whoever is not there at all.
    by_name.insert("refused".to_owned(), webhook("127.0.0.1:1".parse().expect("an address")));
    for name in servers.keys().map(String::as_str).chain(["well", "refused"]) {
        let copy = format!(
            "insert into trueup.notification (id, job_id, run_id, receiver, topic, kind, body)
             select gen_random_uuid(), job_id, run_id, '{name}', topic, kind, body from trueup.notification where receiver = 'hook' order by sequence"
        );
        world.db.execute(&copy).await;
    }
    world.db.execute("delete from trueup.notification where receiver = 'hook'").await;
    let receivers = Receivers { by_name, fallback: Some("fallback".to_owned()) };

    let started = Instant::now();
    let slow = round(&world, &receivers);
    let watch = async {
        while well.taken().len() < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        started.elapsed()
    };
    let ((), quick) = tokio::join!(slow, watch);
    assert!(quick < Duration::from_secs(5), "the well one waited {quick:?} for the others");
    for _ in 0..2 {
        round(&world, &receivers).await;
    }

    let mut duplicates = 0;
    for (name, (server, is_final)) in &servers {
        let taken = server.taken();
        let mut kinds: Vec<&str> = taken.iter().map(|taken| taken.kind.as_str()).collect();
        // The same one again has the same id.
        let mut unique: Vec<&Taken> = Vec::new();
        for one in &taken {
            if unique.iter().any(|seen| seen.id == one.id) {
                duplicates += 1;
            } else {
                unique.push(one);
            }
        }
        kinds.dedup();
        let gone = name.contains("410");
        let expected: &[&str] = match (is_final, gone) {
            // It said that it is gone: it gets nothing more.
            (_, true) => &[],
            (true, false) => &["resolved"],
            (false, false) => &["firing", "resolved"],
        };
        assert_eq!(kinds, expected, "{name}");
        let sent: i64 = world
            .db
            .scalar(&format!("select count(*) from trueup.notification where receiver = '{name}' and state = 'sent'"))
            .await;
        assert_eq!(usize::try_from(sent).ok(), Some(unique.len()), "{name}: what is recorded as sent was taken");
    }
    println!("{} faults, {duplicates} duplicates with their ids", servers.len());
    assert_eq!(duplicates, 2, "only where the receiver took it and did not say so");
    // What was given up goes to the fallback, and says why.
    send::fall_back(&world.db.pool, &receivers).await.unwrap();
    send::drain(&world.db.pool, &receivers, "fallback", None, || false).await.unwrap();
    let dead: i64 =
        world.db.scalar("select count(*) from trueup.notification where state = 'dead' and kind = 'firing'").await;
    let told = world.db.lines("select body ->> 'note' from trueup.notification where receiver = 'fallback' and state = 'sent' order by sequence").await;
    assert_eq!(usize::try_from(dead).ok(), Some(told.len()), "{told:?}");
    assert!(told.iter().all(|note| note.contains("could not be notified: ")), "{told:?}");
    assert_eq!(send::fall_back(&world.db.pool, &receivers).await.unwrap(), 0, "once");
    let waiting = world
        .db
        .lines("select distinct receiver, failure from trueup.delivery_history where receiver = 'refused'")
        .await;
    assert_eq!(waiting, ["refused | could not connect to the receiver"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_fails_again_and_again_is_left_alone_and_the_fallback_is_told() {
    let world = fired_and_resolved(&["hook"]).await;
    world.db.execute("delete from trueup.notification where kind = 'resolved'").await;
    let (broken, fallback) =
        (Faulty::http(HttpFault::Status(503), 100).await, Faulty::http(HttpFault::Status(500), 0).await);
    let by_name = BTreeMap::from([
        ("hook".to_owned(), webhook(broken.address)),
        ("fallback".to_owned(), webhook(fallback.address)),
    ]);
    let receivers = Receivers { by_name, fallback: Some("fallback".to_owned()) };
    let attempt = async || {
        send::drain(&world.db.pool, &receivers, "hook", None, || false).await.expect("a drain");
        world.db.execute("update trueup.notification set next_attempt_at = clock_timestamp() - interval '1 second' where state = 'pending'").await;
    };
    for _ in 0..4 {
        attempt().await;
    }
    assert_eq!(send::receivers_due(&world.db.pool).await.unwrap(), ["hook"]);
    attempt().await;
    assert!(send::receivers_due(&world.db.pool).await.unwrap().is_empty(), "five failures in a row");
    let pause = world
        .db
        .lines("select failures, round(extract(epoch from open_until - changed_at)) from trueup.receiver_health")
        .await;
    assert_eq!(pause, ["5 | 30"]);
    assert_eq!(send::fall_back(&world.db.pool, &receivers).await.unwrap(), 0, "not yet");
    // Two minutes later it has still not worked.
    world.db.execute("update trueup.receiver_health set open_until = null; update trueup.notification set first_due_at = first_due_at - interval '2 minutes'").await;
    attempt().await;
    attempt().await;
    let pause = world
        .db
        .lines("select failures, round(extract(epoch from open_until - changed_at)) from trueup.receiver_health")
        .await;
    assert_eq!(pause, ["7 | 120"], "twice as long each time");
    for _ in 0..2 {
        send::fall_back(&world.db.pool, &receivers).await.unwrap();
        send::drain(&world.db.pool, &receivers, "fallback", None, || false).await.unwrap();
    }
    assert_eq!(fallback.taken().len(), 1, "once");
    let note: String =
        world.db.scalar("select body ->> 'note' from trueup.notification where receiver = 'fallback'").await;
    assert_eq!(note, "The receiver `hook` could not be notified: the receiver answered 503.");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_to_a_receiver_that_is_down_reaches_the_fallback_also_those_behind_others() {
    let world = fired_and_resolved(&["hook"]).await;
    world.db.execute("delete from trueup.notification where kind = 'resolved'").await;
    // Twenty groups, two messages each: all but one of them wait behind another, or behind the pause of the receiver.
    world.db.execute("insert into trueup.notification (id, job_id, run_id, receiver, topic, kind, body)
        select gen_random_uuid(), job_id, run_id, 'hook', 'group ' || g, kind, body from trueup.notification, generate_series(1, 20) g, generate_series(1, 2);
        delete from trueup.notification where topic = 'hourly'").await;
    let (broken, fallback) =
        (Faulty::http(HttpFault::Status(503), 6).await, Faulty::http(HttpFault::Status(500), 0).await);
    let by_name = BTreeMap::from([
        ("hook".to_owned(), webhook(broken.address)),
        ("fallback".to_owned(), webhook(fallback.address)),
    ]);
    let receivers = Receivers { by_name, fallback: Some("fallback".to_owned()) };
    send::drain(&world.db.pool, &receivers, "hook", None, || false).await.unwrap();
    assert!(send::receivers_due(&world.db.pool).await.unwrap().is_empty(), "it is left alone");
    let tried: i64 = world.db.scalar("select count(*) from trueup.notification where attempt > 0").await;
    assert_eq!(tried, 5, "the others were not even tried");
    assert_eq!(send::fall_back(&world.db.pool, &receivers).await.unwrap(), 0);
    world.db.execute("update trueup.notification set first_due_at = first_due_at - interval '3 minutes', next_attempt_at = next_attempt_at - interval '3 minutes'").await;
    assert_eq!(send::fall_back(&world.db.pool, &receivers).await.unwrap(), 40);
    send::drain(&world.db.pool, &receivers, "fallback", None, || false).await.unwrap();
    assert_eq!(fallback.taken().len(), 40);
    // One more failure, and it is well again: what was to wait for an hour goes out at once.
    world.db.execute("update trueup.notification set next_attempt_at = clock_timestamp() + interval '1 hour' where receiver = 'hook' and attempt > 0").await;
    for _ in 0..5 {
        world.db.execute("update trueup.receiver_health set open_until = null").await;
        send::drain(&world.db.pool, &receivers, "hook", None, || false).await.unwrap();
    }
    let left: i64 = world.db.scalar("select count(*) from trueup.notification where receiver = 'hook' and state = 'pending' and next_attempt_at > clock_timestamp() + interval '1 minute'").await;
    assert_eq!((broken.taken().len(), left), (40, 0), "nothing waits for its hour");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_gone_gets_nothing_until_a_test_gets_through() {
    let world = fired_and_resolved(&["hook"]).await;
    let gone = Faulty::http(HttpFault::Status(410), 1).await;
    let receivers: Receivers = BTreeMap::from([("hook".to_owned(), webhook(gone.address))]).into();
    send::drain(&world.db.pool, &receivers, "hook", None, || false).await.unwrap();
    assert!(gone.taken().is_empty(), "the second was not even tried");
    let failures =
        world.db.lines("select outcome, status_code, failure from trueup.delivery_history order by attempted_at").await;
    assert_eq!(
        failures,
        [
            "dead | 410 | the receiver answered 410",
            "dead | - | the receiver answered 410 Gone; deliveries resume after a successful test"
        ]
    );
    let folder = Folder::new("gone");
    folder.write("jobs/hourly.toml", &world.job.spec).write(
        "trueup.toml",
        &format!("[receivers.hook]\ntype = \"webhook\"\nurl = \"http://{}/\"\nallow_http = true\nallow_networks = [\"127.0.0.0/8\"]\n", gone.address),
    );
    let program = |arguments: &[&str]| {
        crate::support::program::Run::of(folder.trueup(arguments).env("DATABASE_URL", world.db.url()).output().unwrap())
    };
    let tested = program(&["notify", "test", "hook"]).ok();
    assert!(tested.stdout.contains("`hook` accepted the test message"), "{}", tested.stdout);
    let retried = program(&["deliveries", "retry", "--receiver", "hook"]).ok();
    assert!(retried.stderr.contains("2 retried: 2 sent"), "{}", retried.stderr);
    assert_eq!(
        gone.taken().iter().map(|taken| taken.kind.as_str()).collect::<Vec<_>>(),
        ["test", "firing", "resolved"]
    );
    let listed = program(&["deliveries"]).ok();
    assert!(listed.stdout.contains("sent") && !listed.stdout.contains("dead"), "{}", listed.stdout);
    let again = program(&["deliveries", "retry", "--receiver", "hook"]);
    assert_eq!(again.code, Some(1), "{}", again.stderr);
}

/// What a receiver tells of a message that it has whole: its id, and how to let it answer.
type Arrival = (String, mpsc::Sender<()>);

/// Kills so many senders while the receiver has the message and has not answered, and lets the last one live until both
/// messages are recorded. Returns the ids that the receiver saw, in order.
async fn killed_then_served(
    world: &World,
    folder: &Folder,
    arrivals: &mpsc::Receiver<Arrival>,
    kills: usize,
) -> Vec<String> {
    let serve = || {
        let mut command = folder.trueup(&["serve"]);
        command.env("DATABASE_URL", world.db.url()).stdout(Stdio::null()).stderr(Stdio::null());
        Process(command.spawn().expect("a server"))
    };
    let arrival = || arrivals.recv_timeout(Duration::from_secs(60)).expect("a message");
    let mut ids = Vec::new();
    for _ in 0..kills {
        let mut server = serve();
        let (id, _never) = arrival();
        ids.push(id);
        server.kill();
        // The lease of the dead runs out.
        world.db.execute("update trueup.notification set lease_until = clock_timestamp() - interval '1 second' where lease_until is not null").await;
    }
    let _server = serve();
    for _ in 0..2 {
        let (id, answer) = arrival();
        ids.push(id);
        answer.send(()).expect("to answer");
    }
    let deadline = Instant::now() + Duration::from_secs(30);
    while world.db.scalar::<i64>("select count(*) from trueup.notification where state = 'sent'").await < 2 {
        assert!(Instant::now() < deadline, "not recorded");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    ids
}

/// The receiver takes the message; before it can say so, the sender is killed. Again and again.
#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_is_killed_between_the_taking_and_the_record_sends_again_with_the_same_id() {
    const KILLS: usize = 6;
    let world = fired_and_resolved(&["hook"]).await;
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let folder = Folder::new("killed");
    let job = world.job.spec.replace("every = \"1h\"", "cron = \"0 0 1 1 *\"");
    folder.write("jobs/hourly.toml", &job).write(
        "trueup.toml",
        &format!("[receivers.hook]\ntype = \"webhook\"\nurl = \"http://{address}/\"\nallow_http = true\nallow_networks = [\"127.0.0.0/8\"]\n"),
    );
    // Tells of each request that it has read, and answers when it is told to.
    let (arrived, arrivals) = mpsc::channel::<Arrival>();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let arrived = arrived.clone();
            std::thread::spawn(move || {
                let (mut text, mut chunk) = (String::new(), [0; 16_384]);
                let done = |text: &str| {
                    let (head, body) = text.split_once("\r\n\r\n")?;
                    let length = head
                        .lines()
                        .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok())?;
                    (body.len() >= length).then_some(())
                };
                while done(&text).is_none() {
                    match stream.read(&mut chunk) {
                        Ok(n) if n > 0 => text += &String::from_utf8_lossy(&chunk[..n]),
                        _ => return,
                    }
                }
                let id = text.lines().find_map(|line| line.strip_prefix("webhook-id: ")).unwrap_or_default().to_owned();
                let (answer, asked) = mpsc::channel();
                drop(arrived.send((id, answer)));
                if asked.recv().is_ok() {
                    drop(std::io::Write::write_all(
                        &mut stream,
                        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
                    ));
                }
            });
        }
    });
    let ids = killed_then_served(&world, &folder, &arrivals, KILLS).await;
    let (last, same) = ids.split_last().expect("ids");
    assert!(same.iter().all(|id| id == &same[0]) && last != &same[0], "{ids:?}");
    let recorded = world.db.lines("select kind, state, attempt from trueup.notification order by sequence").await;
    assert_eq!(recorded, [format!("firing | sent | {}", KILLS + 1), "resolved | sent | 1".to_owned()]);
}

/// The same for mail: the server has the whole of it, and the sender dies before the reply.
#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_is_killed_before_the_mail_servers_reply_sends_again_with_the_same_id() {
    const KILLS: usize = 5;
    let world = fired_and_resolved(&["mail"]).await;
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let folder = Folder::new("killed-mail");
    let job = world.job.spec.replace("every = \"1h\"", "cron = \"0 0 1 1 *\"");
    folder.write("jobs/hourly.toml", &job).write(
        "trueup.toml",
        &format!("[receivers.mail]\ntype = \"email\"\nto = [\"a@example.org\"]\nfrom = \"b@example.org\"\nsmtp = {{ host = \"127.0.0.1\", port = {port}, tls = \"none\" }}\n"),
    );
    let (arrived, arrivals) = mpsc::channel::<Arrival>();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let arrived = arrived.clone();
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().expect("a stream"));
                let say = |text: &str| drop(std::io::Write::write_all(&mut &stream, text.as_bytes()));
                say("220 here\r\n");
                let mut line = String::new();
                loop {
                    line.clear();
                    if reader.read_line(&mut line).unwrap_or(0) == 0 {
                        return;
                    }
                    match line.trim_end().to_ascii_uppercase().as_str() {
                        "DATA" => {
                            say("354 go on\r\n");
                            let mut id = String::new();
                            loop {
                                line.clear();
                                if reader.read_line(&mut line).unwrap_or(0) == 0 || line == ".\r\n" {
                                    break;
                                }
                                if let Some(found) = line.strip_prefix("Message-ID: ") {
                                    id = found.trim().to_owned();
                                }
                            }
                            let (answer, asked) = mpsc::channel();
                            drop(arrived.send((id, answer)));
                            if asked.recv().is_ok() {
                                say("250 kept\r\n");
                            }
                        }
                        "QUIT" => {
                            say("221 bye\r\n");
                            return;
                        }
                        _ => say("250 ok\r\n"),
                    }
                }
            });
        }
    });
    let ids = killed_then_served(&world, &folder, &arrivals, KILLS).await;
    let (last, same) = ids.split_last().expect("ids");
    assert!(same.iter().all(|id| id == &same[0] && !id.is_empty()) && last != &same[0], "{ids:?}");
}
