//! Where the database is, in each form that a person may write it, and what is said when it does not let trueup in.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sqlx::ConnectOptions as _;

use crate::support::bouncer::Bouncer;
use crate::support::cluster::Cluster;
use crate::support::database::TestDatabase;
use crate::support::dice::Dice;
use crate::support::peers;
use crate::support::program::{Folder, Run};
use crate::support::world::{TABLES, hourly};

async fn scene() -> (TestDatabase, Folder) {
    let db = TestDatabase::new().await;
    db.execute(TABLES).await;
    let folder = Folder::new("address");
    folder.write("jobs/hourly.toml", &hourly("[windows]\ntumbling = [\"1h\"]\n"));
    (db, folder)
}

/// Runs a command. `serve` waits for a database that is away, so it is ended after it has said so.
fn with(folder: &Folder, variables: &[(&str, &str)], arguments: &[&str]) -> Run {
    let mut command = folder.trueup(arguments);
    command.envs(variables.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(if arguments == ["serve"] { 3 } else { 40 });
    while child.try_wait().unwrap().is_none() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    let has_ended = child.try_wait().unwrap().is_some();
    drop(child.kill());
    let run = Run::of(child.wait_with_output().unwrap());
    assert!(has_ended || arguments == ["serve"], "{arguments:?} hangs: {}{}", run.stdout, run.stderr);
    run
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_of_an_address_leads_to_the_database() {
    let (db, folder) = scene().await;
    let socket = db.options.get_socket().unwrap().display().to_string();
    let encoded = socket.replace('/', "%2F");
    let (port, name) = (db.options.get_port().to_string(), &db.name);
    folder.write("services", &format!("[mine]\nhost={socket}\nport={port}\nuser=trueup\ndbname={name}\n"));
    let services = folder.0.join("services").display().to_string();
    for address in [
        db.url(),
        format!("postgres://trueup@/{name}?host={socket}&port={port}"),
        format!("postgresql://trueup@{encoded}:{port}/{name}"),
        format!("host={socket} port={port} user=trueup dbname={name}"),
        format!("host = '{socket}' port = {port} user = 'trueup' dbname = '{name}' connect_timeout = 5"),
        format!("postgres://?service=mine&servicefile={services}"),
        format!("service=mine servicefile={services} options='-c work_mem=5MB'\n"),
    ] {
        with(&folder, &[("DATABASE_URL", &address)], &["status"]).ok();
    }
    let variables = [
        ("DATABASE_URL", "postgres://"),
        ("PGHOST", &socket),
        ("PGPORT", &port),
        ("PGUSER", "trueup"),
        ("PGDATABASE", name),
        ("PGOPTIONS", "-c work_mem=5MB"),
    ];
    with(&folder, &variables, &["status"]).ok();
    let service = [("DATABASE_URL", "postgres://"), ("PGSERVICE", "mine"), ("PGSERVICEFILE", services.as_str())];
    with(&folder, &service, &["status"]).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ipv6_literal_connects() {
    let (db, folder) = scene().await;
    let Ok(listener) = tokio::net::TcpListener::bind("[::1]:0").await else {
        println!("this machine has no IPv6: the test checks nothing");
        return;
    };
    let port = listener.local_addr().unwrap().port();
    let socket = db.options.get_socket().unwrap().join(format!(".s.PGSQL.{}", db.options.get_port()));
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut server = tokio::net::UnixStream::connect(&socket).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut server).await });
        }
    });
    let address = format!("postgres://trueup@[::1]:{port}/{}", db.name);
    let run = tokio::task::spawn_blocking(move || with(&folder, &[("DATABASE_URL", &address)], &["status"]));
    run.await.unwrap().ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_own_words_say_why_it_refuses() {
    let cluster = Cluster::start().await;
    let admin = cluster.server.options("postgres");
    let db = TestDatabase::on(admin.clone()).await;
    db.execute(TABLES).await;
    db.execute(
        "create role plain login connection limit 1;
         grant usage on schema trueup to plain; grant all on all tables in schema trueup to plain;
         grant all on all sequences in schema trueup to plain; grant execute on all functions in schema trueup to plain;
         grant select on public.p, public.l to plain",
    )
    .await;
    db.execute("create database closed allow_connections false").await;
    let folder = Folder::new("refused");
    folder.write("jobs/hourly.toml", &hourly("[windows]\ntumbling = [\"1h\"]\n"));
    let socket = admin.get_socket().unwrap().display().to_string();
    let port = admin.get_port();
    let held = admin.clone().username("plain").connect().await.unwrap();
    for (parameters, words) in [
        ("user=plain dbname=postgres", "too many connections for role \"plain\""),
        ("user=trueup dbname=none", "database \"none\" does not exist"),
        ("user=nobody_here dbname=postgres", "role \"nobody_here\" does not exist"),
        ("user=trueup dbname=closed", "database \"closed\" is not currently accepting connections"),
    ] {
        let address = format!("host={socket} port={port} {parameters}");
        for arguments in [&["run", "hourly"][..], &["migrate"], &["status"], &["check"], &["doctor"], &["serve"]] {
            let run = with(&folder, &[("DATABASE_URL", &address)], arguments);
            let said = format!("{}{}", run.stdout, run.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(said.contains(words), "{arguments:?} with {parameters}: {said}");
        }
    }
    drop(held);
    // One connection is enough to begin a run, and not to end it.
    let address = format!("host={socket} port={port} user=plain dbname=postgres");
    let run = with(&folder, &[("DATABASE_URL", &address)], &["run", "hourly"]);
    assert_ne!(run.code, Some(0));
    assert!(run.stderr.contains("too many connections for role \"plain\""), "{}", run.stderr);
}

/// A certificate of X.509 version 1, as `create extension citus` makes it, and one of an authority that nobody knows.
fn certificates(folder: &Folder) {
    let script = "set -e
        openssl req -new -newkey rsa:2048 -nodes -keyout key.pem -out request.pem -subj /CN=localhost
        openssl req -x509 -x509v1 -key key.pem -in request.pem -days 2 -out v1.pem || openssl x509 -req -in request.pem -signkey key.pem -days 2 -out v1.pem
        openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -subj '/CN=an authority' -days 2 -out ca.pem
        printf 'subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n' > extensions
        openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out v3.pem
        chmod 644 *.pem";
    let made = Command::new("sh").args(["-c", script]).current_dir(&folder.0).output().expect("a shell");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_cannot_be_used_is_said_with_the_way_out() {
    if peers::find(&["openssl"]).is_none() {
        return;
    }
    let (db, folder) = scene().await;
    certificates(&folder);
    let at = |file: &str| folder.0.join(file).display().to_string();
    let encrypting = |certificate: &str| {
        let settings = format!(
            "pool_mode = session\nclient_tls_sslmode = allow\nclient_tls_key_file = {}\nclient_tls_cert_file = {}",
            at("key.pem"),
            at(certificate)
        );
        Bouncer::start(&db.options, &settings)
    };
    let (Some(old), Some(unknown)) = (encrypting("v1.pem"), encrypting("v3.pem")) else { return };
    for mode in ["", "?sslmode=prefer", "?sslmode=require", "?sslmode=verify-full"] {
        let address = format!("{}{mode}", old.url());
        for arguments in [&["status"][..], &["migrate"], &["check"], &["doctor"]] {
            let run = with(&folder, &[("DATABASE_URL", &address)], arguments);
            let said = format!("{}{}", run.stdout, run.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(said.contains("certificate") && said.contains("sslmode"), "{mode} {arguments:?}: {said}");
        }
    }
    with(&folder, &[("DATABASE_URL", &format!("{}?sslmode=disable", old.url()))], &["status"]).ok();

    let localhost = unknown.url().replace("127.0.0.1", "localhost");
    let refused = with(&folder, &[("DATABASE_URL", &format!("{localhost}?sslmode=verify-full"))], &["status"]);
    assert!(refused.stderr.contains("`sslrootcert=…`"), "{}", refused.stderr);
    with(&folder, &[("DATABASE_URL", &format!("{localhost}?sslmode=require"))], &["status"]).ok();
    let known = format!("{localhost}?sslmode=verify-full&sslrootcert={}", at("ca.pem"));
    with(&folder, &[("DATABASE_URL", &known)], &["status"]).ok();
    let elsewhere = format!("{}?sslmode=verify-full&sslrootcert={}", unknown.url(), at("ca.pem"));
    let refused = with(&folder, &[("DATABASE_URL", &elsewhere)], &["status"]);
    assert!(refused.stderr.contains("`sslmode=verify-ca`"), "{}", refused.stderr);
}

/// Every command and every line of the log, with passwords that cut the address at every place.
#[test]
fn no_part_of_a_password_is_shown_by_a_connection_that_fails() {
    let folder = Folder::new("secret");
    folder.write("jobs/hourly.toml", &hourly("[windows]\ntumbling = [\"1h\"]\n"));
    folder.write("pass", "no line of a password file qxkwz\n127.0.0.1:1:*:qxkwz\n127.0.0.1:1:db:u:qxkwz\n");
    Command::new("chmod").args(["600", "pass"]).current_dir(&folder.0).status().unwrap();
    let pass = folder.0.join("pass").display().to_string();
    let mut dice = Dice::new(36);
    let marks = ["@", "/", "#", "?", ":", "&", "=", "%", "[", "]", "\\", "'", " ", "+", ",", "%40", "%2F"];
    for round in 0..60 {
        let mut password = String::new();
        for _ in 0..3 {
            password += "qxkwz";
            password += marks[dice.index(marks.len())];
        }
        let address = match round % 3 {
            0 => format!("postgres://u:{password}@127.0.0.1:1/db"),
            1 => format!("host=127.0.0.1 port=1 password={password} dbname=db"),
            _ => "postgres://u@127.0.0.1:1/db".to_owned(),
        };
        let arguments =
            [&["status"][..], &["migrate"], &["check"], &["doctor"], &["serve"], &["run", "hourly"]][round / 3 % 6];
        let variables = [("DATABASE_URL", address.as_str()), ("TRUEUP_LOG", "trace"), ("PGPASSFILE", pass.as_str())];
        let run = with(&folder, &variables, arguments);
        let said = format!("{}{}", run.stdout, run.stderr);
        assert!(!said.contains("qxkwz"), "{address} {arguments:?}: {said}");
        assert!(run.code != Some(0) || arguments == ["check"], "{address} {arguments:?}: {said}");
    }
}
