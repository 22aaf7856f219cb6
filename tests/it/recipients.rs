//! Several addresses of one mail receiver: each is told, tried again and refused for itself.

use std::time::{Duration, Instant};

use trueup::dispatch::send::{self, Receivers};
use trueup::notify::receiver::Transport;
use trueup::notify::transport::email::{EmailReceiver, SmtpSecurity, SmtpServer};

use crate::support::database::TestDatabase;
use crate::support::fleet::until;
use crate::support::mailboxes::{Mailbox, Mailboxes};
use crate::support::peers;
use crate::support::program::{Folder, Process, Run};
use crate::support::world::{World, at, fired_and_resolved, plan_job};

const A: &str = "a@example.org";
const B: &str = "b@example.org";
const FULL: &str = "full@example.org";
const GONE: &str = "gone@example.org";

fn receivers(server: &Mailboxes, to: &[&str]) -> Receivers {
    let smtp = SmtpServer {
        host: "127.0.0.1".to_owned(),
        port: server.address.port(),
        security: SmtpSecurity::None,
        credentials: None,
    };
    let to = to.iter().map(|to| to.parse().unwrap()).collect();
    let email = EmailReceiver::new(to, "trueup@example.org".parse().unwrap(), &smtp).unwrap();
    Receivers::from(
        [("mail".to_owned(), Ok(Transport::Email(Box::new(email)).into()))]
            .into_iter()
            .collect::<std::collections::BTreeMap<_, _>>(),
    )
}

/// One round of attempts; then time passes.
async fn round(world: &World, receivers: &Receivers) {
    send::drain(&world.db.pool, receivers, "mail", None, || false).await.unwrap();
    world
        .db
        .execute("update trueup.notification set next_attempt_at = clock_timestamp() - interval '1 second' where state = 'pending'")
        .await;
}

async fn states(world: &World) -> Vec<String> {
    world.db.lines("select kind, state, attempt from trueup.notification order by sequence").await
}

/// Ids of the mails that an address took, in order.
fn ids(server: &Mailboxes, address: &str) -> Vec<String> {
    server.taken().into_iter().filter(|(to, _)| to == address).map(|(_, id)| id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_mailbox_delays_nobody_else_and_gets_every_mail_once_it_has_room() {
    let world = fired_and_resolved(&["mail"]).await;
    let server = Mailboxes::start(&[(FULL, Mailbox::Answers("452 4.2.2 mailbox full"))]).await;
    let receivers = receivers(&server, &[A, FULL, B]);
    // More rounds than a receiver may fail in a row before it is left alone.
    for _ in 0..8 {
        round(&world, &receivers).await;
    }
    // The others have both mails, the end too, while the first still waits for one mailbox.
    for address in [A, B] {
        assert_eq!(ids(&server, address).len(), 2, "{address}: {:?}", server.taken());
        assert_eq!(server.asked(address), 2, "{address} was told again");
    }
    assert_eq!(ids(&server, A), ids(&server, B), "one id for everybody");
    assert_eq!(ids(&server, FULL), Vec::<String>::new());
    assert!(states(&world).await.iter().all(|line| line.contains("pending")), "{:?}", states(&world).await);
    let failure = world.db.lines("select failure from trueup.delivery_attempt order by id limit 1").await;
    assert_eq!(failure, ["full@example.org: the mail server answered 452 (4.2.2 mailbox full)"]);
    let paused: i64 = world.db.scalar("select count(*) from trueup.receiver_health").await;
    assert_eq!(paused, 0, "a mailbox is no trouble of the server");

    server.mend(FULL);
    for _ in 0..3 {
        round(&world, &receivers).await;
    }
    assert_eq!(ids(&server, FULL), ids(&server, A), "in order, with the same ids");
    assert_eq!(server.asked(A), 2);
    assert!(states(&world).await.iter().all(|line| line.contains("sent")), "{:?}", states(&world).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_refused_is_refused_once_and_shown() {
    let world = fired_and_resolved(&["mail"]).await;
    let server =
        Mailboxes::start(&[(GONE, Mailbox::Answers("550 5.1.1 no such user")), (FULL, Mailbox::Answers("451 later"))])
            .await;
    let receivers = receivers(&server, &[GONE, A, FULL]);
    for _ in 0..2 {
        round(&world, &receivers).await;
    }
    server.mend(FULL);
    for _ in 0..3 {
        round(&world, &receivers).await;
    }
    assert_eq!((server.asked(A), server.asked(GONE)), (2, 2), "each mail once");
    assert_eq!(ids(&server, FULL), ids(&server, A));
    let folder = Folder::new("refused-address");
    folder.write("trueup.toml", &server.settings(&[GONE, A, FULL])).write("jobs/hourly.toml", &world.job.spec);
    let run =
        |arguments: &[&str]| Run::of(folder.trueup(arguments).env("DATABASE_URL", world.db.url()).output().unwrap());
    let listed = run(&["deliveries", "--output", "csv"]).ok().stdout;
    let sent = listed.lines().filter(|line| {
        line.contains("sent,") && line.contains("gone@example.org: the mail server answered 550 (5.1.1 no such user)")
    });
    assert_eq!(sent.count(), 2, "{listed}");
    let doctor = run(&["doctor"]);
    assert!(doctor.stdout.contains("refused by an address"), "{}", doctor.stdout);

    let test = run(&["notify", "test", "mail"]);
    assert_eq!(test.code, Some(1), "{}{}", test.stdout, test.stderr);
    assert!(test.stderr.contains("gone@example.org: the mail server answered 550"), "{}", test.stderr);
    assert!(!test.stderr.contains("a@example.org:"), "{}", test.stderr);

    // Corrected at the server: asked again, and only that one is.
    server.mend(GONE);
    let before = server.asked(A);
    run(&["deliveries", "retry", "--receiver", "mail"]).ok();
    assert_eq!(server.asked(A), before);
    assert!(ids(&server, GONE).len() >= 2, "{:?}", server.taken());
    run(&["notify", "test", "mail"]).ok();
}

/// Somebody whose address is mistyped finds out by a ticket, which the other addresses get.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_refused_raises_a_ticket_until_a_message_gets_through() {
    let mut world = fired_and_resolved(&["mail"]).await;
    let watched = world.job.spec.replace(
        "off = [\"all\"]",
        "off = [\"labels-stopped\", \"coverage-low\", \"labels-late\", \"no-predictions\"]",
    );
    world.job = plan_job(&watched.replace("[job]", "[job]\nnotify = [\"mail\"]"));
    world.delivers = false;
    let server = Mailboxes::start(&[(GONE, Mailbox::Answers("550 5.1.1 no such user"))]).await;
    let both = receivers(&server, &[A, GONE]);
    round(&world, &both).await;
    round(&world, &both).await;
    world.run_at(at("2024-05-01T03:00:00Z")).await;
    let alert = "select to_state, evidence ->> 'note' from trueup.alert_history where rule = 'delivery-failed' order by changed_at";
    let words = "notifications about this job are not delivered to mail: gone@example.org the mail server answered 550 (5.1.1 no such user)";
    assert_eq!(world.db.lines(alert).await, [format!("firing | {words}")]);
    let taken = ids(&server, A).len();
    round(&world, &both).await;
    assert_eq!(ids(&server, A).len(), taken + 1, "the other address has the ticket");
    // Nothing has changed: it fires once.
    world.run_at(at("2024-05-01T04:00:00Z")).await;
    assert_eq!(world.db.lines(alert).await.len(), 1);
    server.mend(GONE);
    let retry = Folder::new("delivery-failed");
    retry.write("trueup.toml", &server.settings(&[A, GONE])).write("jobs/hourly.toml", &world.job.spec);
    retry.run_on(&world.db.url(), &["deliveries", "retry", "--receiver", "mail"]).ok();
    world.run_at(at("2024-05-01T05:00:00Z")).await;
    assert_eq!(
        world.db.lines(alert).await.last().map(String::as_str),
        Some("resolved | no notification failed within seven days, or later ones were delivered")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_given_up_raises_a_ticket() {
    let mut world = fired_and_resolved(&["mail"]).await;
    world.job = plan_job(&world.job.spec.replace("off = [\"all\"]", "off = [\"no-predictions\"]"));
    let server = Mailboxes::start(&[(A, Mailbox::Answers("550 5.7.1 not here"))]).await;
    round(&world, &receivers(&server, &[A])).await;
    world.run_at(at("2024-05-01T03:00:00Z")).await;
    let alert = "select to_state, evidence ->> 'note' from trueup.alert_history where rule = 'delivery-failed'";
    let fired = world.db.lines(alert).await;
    assert!(fired.len() == 1 && fired[0].contains("mail: a@example.org the mail server answered 550"), "{fired:?}");
    // A job that does not watch its messages raises none.
    let other = fired_and_resolved(&["mail"]).await;
    round(&other, &receivers(&server, &[A])).await;
    other.run_at(at("2024-05-01T03:00:00Z")).await;
    assert_eq!(other.db.lines(alert).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fallback_is_told_of_an_address_that_is_refused() {
    let world = fired_and_resolved(&["mail"]).await;
    let server = Mailboxes::start(&[(GONE, Mailbox::Answers("550 5.1.1 no such user"))]).await;
    let mut receivers = receivers(&server, &[A, GONE]);
    receivers.fallback = Some("other".to_owned());
    round(&world, &receivers).await;
    round(&world, &receivers).await;
    assert_eq!(send::fall_back(&world.db.pool, &receivers).await.unwrap(), 1);
    let note = world.db.lines("select body ->> 'note' from trueup.notification where receiver = 'other'").await;
    let words = "The receiver `mail` could not be notified: gone@example.org: the mail server answered 550 (5.1.1 no such user).";
    assert_eq!(note, [words]);
    assert_eq!(send::fall_back(&world.db.pool, &receivers).await.unwrap(), 0, "once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_refuses_every_address_is_given_up() {
    let world = fired_and_resolved(&["mail"]).await;
    let refuses = Mailbox::Answers("550 5.7.1 not here");
    let server = Mailboxes::start(&[(A, refuses.clone()), (B, refuses)]).await;
    let receivers = receivers(&server, &[A, B]);
    round(&world, &receivers).await;
    assert_eq!(states(&world).await, ["firing | dead | 1", "resolved | dead | 1"]);
    assert_eq!((server.asked(A), server.asked(B)), (2, 2));
}

/// One address hangs after it has taken the mail: the others are told within the same attempt.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_hangs_delays_nobody_else() {
    let world = fired_and_resolved(&["mail"]).await;
    let server = Mailboxes::start(&[(A, Mailbox::Hangs)]).await;
    let receivers = receivers(&server, &[A, B, FULL, GONE]);
    let started = Instant::now();
    let sending = round(&world, &receivers);
    let others = async {
        until(Duration::from_secs(5), "the others have the mail", async || server.taken().len() >= 4).await;
        started.elapsed()
    };
    tokio::select! {
        () = sending => panic!("the attempt ended before the address that hangs"),
        took = others => println!("the others were told after {took:?}"),
    }
}

/// The sender is killed when one address has taken the mail and the next has not answered, again and again.
#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_is_killed_between_two_addresses_repeats_to_none_that_is_recorded() {
    let world = fired_and_resolved(&["mail"]).await;
    let server = Mailboxes::start(&[(B, Mailbox::Hangs)]).await;
    let folder = Folder::new("killed-between");
    let job = world.job.spec.replace("every = \"1h\"", "cron = \"0 0 1 1 *\"");
    folder.write("trueup.toml", &server.settings(&[A, B])).write("jobs/hourly.toml", &job);
    for kill in 1..=3 {
        let mut command = folder.trueup(&["serve"]);
        let serve = Process(command.env("DATABASE_URL", world.db.url()).spawn().unwrap());
        until(Duration::from_secs(30), "the second address was asked", async || server.asked(B) >= kill).await;
        until(Duration::from_secs(10), "the first address is recorded", async || {
            let sql = "select count(*) from trueup.notification where recipients ? 'a@example.org'";
            world.db.scalar::<i64>(sql).await == 1
        })
        .await;
        drop(serve);
        world.db.execute("update trueup.notification set lease_until = null, next_attempt_at = clock_timestamp() where state = 'pending'").await;
    }
    assert_eq!(server.asked(A), 1, "{:?}", server.taken());
    let repeated = ids(&server, B);
    assert!(repeated.len() >= 3 && repeated.iter().all(|id| *id == ids(&server, A)[0]), "{:?}", server.taken());
    server.mend(B);
    round(&world, &receivers(&server, &[A, B])).await;
    assert_eq!(states(&world).await.iter().filter(|line| line.contains("sent")).count(), 2);
    assert_eq!((ids(&server, A).len(), server.asked(A)), (2, 2));
}

#[test]
fn an_international_domain_is_written_as_servers_know_it_and_an_international_name_is_refused() {
    let folder = Folder::new("international");
    let settings = |to: &str| {
        format!(
            "[receivers.mail]\ntype = \"email\"\nto = [\"{to}\"]\nfrom = \"Bereitschaft <trueup@bücher.example>\"\nsmtp = {{ host = \"mail.example.org\" }}\n[[routes]]\nnotify = [\"mail\"]\n"
        )
    };
    folder.write("trueup.toml", &settings("oncall@büro.example")).write("jobs/readme.txt", "");
    folder.run(&["check"]).ok();
    folder.write("trueup.toml", &settings("jürgen@example.org"));
    let refused = folder.run(&["check"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.stdout.contains("error[bad-address]") && refused.stdout.contains("SMTPUTF8"), "{}", refused.stdout);
}

/// A mail server that shares no code with ours, whose mailboxes answer as a file says.
const MAIL_SERVER: &str = r#"
import email, json, sys, time
from aiosmtpd.controller import Controller

port, folder = int(sys.argv[1]), sys.argv[2]

class Boxes:
    async def handle_RCPT(self, server, session, envelope, address, options):
        with open(f"{folder}/answers.json") as file:
            answer = json.load(file).get(address)
        if answer:
            return answer
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, server, session, envelope):
        kept = {"to": envelope.rcpt_tos, "id": email.message_from_bytes(envelope.content)["Message-ID"]}
        with open(f"{folder}/mails.jsonl", "a") as file:
            file.write(json.dumps(kept) + "\n")
        return "250 kept"

controller = Controller(Boxes(), hostname="127.0.0.1", port=port)
controller.start()
while True:
    time.sleep(1)
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_real_mail_server_is_told_for_each_address_and_again_only_for_those_that_did_not_take_it() {
    let Some(python) = peers::python_with("aiosmtpd") else { return };
    let db = TestDatabase::new().await;
    let folder = Folder::new("real-mailboxes");
    let port = peers::free_port();
    folder.write("server.py", MAIL_SERVER).write("mails.jsonl", "");
    folder.write(
        "answers.json",
        "{\"full@example.org\": \"452 4.2.2 full\", \"gone@example.org\": \"550 5.1.1 unknown\"}",
    );
    let mut command = std::process::Command::new(python);
    command.arg(folder.0.join("server.py")).args([port.to_string(), folder.0.display().to_string()]);
    let _server = peers::start(&mut command, port);
    folder.write(
        "trueup.toml",
        &format!(
            "[receivers.mail]\ntype = \"email\"\nto = [\"full@example.org\", \"Gone <gone@example.org>\", \"a@example.org\", \"b@example.org\"]\nfrom = \"trueup@example.org\"\nsmtp = {{ host = \"127.0.0.1\", port = {port}, tls = \"none\" }}\n"
        ),
    );
    let run = |arguments: &[&str]| Run::of(folder.trueup(arguments).env("DATABASE_URL", db.url()).output().unwrap());
    let mails = || std::fs::read_to_string(folder.0.join("mails.jsonl")).unwrap();
    let test = run(&["notify", "test", "mail"]);
    assert_eq!(test.code, Some(1), "{}", test.stdout);
    for words in [
        "full@example.org: the mail server answered 452 (4.2.2 full)",
        "gone@example.org: the mail server answered 550 (5.1.1 unknown)",
    ] {
        assert!(test.stderr.contains(words), "{}", test.stderr);
    }
    let lines = |mails: &str, to: &str| mails.lines().filter(|line| line.contains(to)).count();
    assert_eq!(
        (lines(&mails(), "a@example.org"), lines(&mails(), "b@example.org"), mails().lines().count()),
        (1, 1, 2)
    );

    folder.write("answers.json", "{\"gone@example.org\": \"550 5.1.1 unknown\"}");
    run(&["deliveries", "retry", "--receiver", "mail"]).ok();
    let all = mails();
    assert_eq!(
        (lines(&all, "full@example.org"), lines(&all, "a@example.org"), all.lines().count()),
        (1, 1, 3),
        "{all}"
    );
    let mut ids: Vec<_> = all.lines().map(|line| line.split("\"id\": ").nth(1).unwrap().to_owned()).collect();
    ids.dedup();
    assert_eq!(ids.len(), 1, "one id for everybody: {all}");
}
