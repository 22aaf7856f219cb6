//! Promise 10: one file of the jobs folder never stops the jobs of the others.

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use chrono::Utc;

use crate::support::database::TestDatabase;
use crate::support::dice::Dice;
use crate::support::fleet::{size, until};
use crate::support::program::{Folder, Process};
use crate::support::scene::{BUSY, SCENE};

/// What becomes of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is a job.
    Job,
    /// It is shown as a job file with a mistake.
    Mistake,
    /// It is said that it is passed over.
    Said,
    /// Nobody asks about it.
    Silent,
}

/// Makes an entry below a folder; the second part is a name of its own for each.
type Make = fn(&Path, &str);

fn job(name: &str) -> String {
    BUSY.replace("name = \"tick\"", &format!("name = \"{name}\"")).replace("notify = [\"hook\"]\n", "")
}

fn write(path: PathBuf, bytes: impl AsRef<[u8]>) {
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    std::fs::write(path, bytes).expect("a file");
}

fn latin_1(name: &str) -> Vec<u8> {
    [b"# Pr\xFCfung\n", job(name).as_bytes()].concat()
}

/// Everything that people, editors and deployments leave in a folder, with what becomes of it.
const KINDS: &[(Fate, &str, Make)] = &[
    (Fate::Job, ".toml", |at, n| write(at.join(format!("{n}.toml")), job(n))),
    (Fate::Job, "sub-folder", |at, n| write(at.join(format!("team {n}/deep/{n}.toml")), job(n))),
    (Fate::Job, ".TOML", |at, n| write(at.join(format!("{n}.TOML")), job(n))),
    (Fate::Job, "a link to a file elsewhere", |at, n| {
        let target = at.parent().expect("a parent").join(format!("elsewhere/{n}.toml"));
        write(target.clone(), job(n));
        symlink(target, at.join(format!("{n}.toml"))).expect("a link");
    }),
    (Fate::Job, "a mounted volume", |at, n| {
        write(at.join(format!("{n}/..2026_11_27/{n}.toml")), job(n));
        symlink("..2026_11_27", at.join(format!("{n}/..data"))).expect("a link");
        symlink(format!("..data/{n}.toml"), at.join(format!("{n}/{n}.toml"))).expect("a link");
    }),
    (Fate::Job, "a folder that ends in .toml", |at, n| write(at.join(format!("{n}.toml/{n}.toml")), job(n))),
    (Fate::Mistake, "Latin-1", |at, n| write(at.join(format!("{n}.toml")), latin_1(n))),
    (Fate::Mistake, "UTF-16", |at, n| {
        let units = job(n).encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
        write(at.join(format!("{n}.toml")), [&[0xFF, 0xFE], units.as_slice()].concat());
    }),
    (Fate::Mistake, "empty", |at, n| write(at.join(format!("{n}.toml")), "")),
    (Fate::Mistake, "no TOML", |at, n| write(at.join(format!("{n}.toml")), "[job\nname = ")),
    (Fate::Mistake, "zeros", |at, n| write(at.join(format!("{n}.toml")), [0; 512])),
    (Fate::Mistake, "too long", |at, n| write(at.join(format!("{n}.toml")), "#".repeat(2 << 20))),
    (Fate::Mistake, "a dangling link", |at, n| symlink("/nowhere/x", at.join(format!("{n}.toml"))).expect("a link")),
    (Fate::Mistake, "a link to itself", |at, n| {
        symlink(format!("{n}.toml"), at.join(format!("{n}.toml"))).expect("a link");
    }),
    (Fate::Mistake, "a pipe", |at, n| {
        let made = std::process::Command::new("mkfifo").arg(at.join(format!("{n}.toml"))).status().expect("mkfifo");
        assert!(made.success());
    }),
    (Fate::Mistake, "a device that is too long", |at, n| {
        symlink("/dev/zero", at.join(format!("{n}.toml"))).expect("a link")
    }),
    // Reading it fails for root too, as a lacking right does for others.
    (Fate::Mistake, "a file that cannot be read", |at, n| {
        symlink("/proc/self/mem", at.join(format!("{n}.toml"))).expect("a link");
    }),
    (Fate::Mistake, "a name that is no UTF-8", |at, n| {
        let name = [n.as_bytes(), &[0xE9], b".toml"].concat();
        write(at.join(std::ffi::OsStr::from_bytes(&name)), "");
    }),
    (Fate::Said, ".yaml", |at, n| write(at.join(format!("{n}.yaml")), "job: x")),
    (Fate::Said, ".YML", |at, n| write(at.join(format!("{n}.YML")), "job: x")),
    (Fate::Said, ".json", |at, n| write(at.join(format!("{n}.json")), "{}")),
    (Fate::Said, ".toml.txt", |at, n| write(at.join(format!("{n}.toml.txt")), job(n))),
    (Fate::Said, "the lock of an editor", |at, n| {
        symlink("user@host.1:1", at.join(format!(".#{n}.toml"))).expect("a link");
    }),
    (Fate::Said, "a swap file", |at, n| write(at.join(format!(".{n}.toml.swp")), [0, 255])),
    (Fate::Said, "a backup", |at, n| write(at.join(format!("{n}.toml~")), job(n))),
    (Fate::Said, "an autosave", |at, n| write(at.join(format!("#{n}.toml#")), job(n))),
    (Fate::Said, "a hidden file", |at, n| write(at.join(format!(".{n}.toml")), job(n))),
    (Fate::Silent, "tests of rules", |at, n| write(at.join(format!("{n}.test.toml")), [0xFF])),
    (Fate::Silent, "the settings", |at, n| write(at.join(format!("{n}/trueup.toml")), "")),
    (Fate::Silent, "a read-me", |at, n| write(at.join(format!("{n}.md")), "")),
    (Fate::Silent, "a hidden folder", |at, n| write(at.join(format!(".git{n}/{n}.toml")), "")),
    (Fate::Silent, "an empty folder", |at, n| std::fs::create_dir(at.join(n)).expect("a folder")),
    (Fate::Silent, "a link to the folder itself", |at, n| symlink(".", at.join(n)).expect("a link")),
    (Fate::Silent, "a link to the folder above", |at, n| {
        std::fs::create_dir(at.join(n)).expect("a folder");
        symlink("../..", at.join(format!("{n}/up"))).expect("a link");
    }),
];

#[test]
fn whatever_a_folder_holds_each_job_in_it_is_checked() {
    let seed = size("TRUEUP_SEED", Utc::now().timestamp_micros().unsigned_abs());
    let mut dice = Dice::new(seed);
    for trial in 0..size("TRUEUP_FAULT_TRIALS", 25) {
        let folder = Folder::new("folder");
        folder.write("jobs/good.toml", &job("good"));
        let (mut jobs, mut expected) = (1, Vec::new());
        for n in 0..dice.roll(12) {
            let (fate, kind, make) = KINDS[dice.index(KINDS.len())];
            make(&folder.0.join("jobs"), &format!("n{n}x"));
            jobs += usize::from(matches!(fate, Fate::Job | Fate::Mistake));
            expected.push((fate, kind, format!("n{n}x")));
        }
        let run = folder.run(&["check"]);
        let shown = format!("seed {seed}, trial {trial}: {expected:?}\n{}{}", run.stdout, run.stderr);
        let mistakes = expected.iter().filter(|(fate, _, _)| *fate == Fate::Mistake).count();
        assert_eq!(run.code, Some(i32::from(mistakes > 0)), "{shown}");
        let files = if jobs == 1 { "1 job file checked".to_owned() } else { format!("{jobs} job files checked") };
        assert!(run.stdout.contains(&files), "{files}: {shown}");
        for (fate, kind, name) in &expected {
            let is_named = run.stdout.contains(name.as_str());
            let is_noted = run.stderr.lines().filter(|line| line.contains(name.as_str())).count();
            match fate {
                Fate::Job => {}
                Fate::Mistake => assert!(is_named, "{kind}: {shown}"),
                Fate::Said => assert_eq!(is_noted, 1, "{kind}: {shown}"),
                Fate::Silent => assert_eq!((is_named, is_noted), (false, 0), "{kind}: {shown}"),
            }
        }
    }
}

/// A runner takes every job of such a folder, and takes in what is added or mended later.
#[tokio::test(flavor = "multi_thread")]
async fn a_runner_serves_every_job_of_a_folder_with_all_kinds_of_files() {
    let db = TestDatabase::new().await;
    db.execute(SCENE).await;
    let folder = Folder::new("folder-serve");
    folder.write("jobs/good.toml", &job("good"));
    for (n, (_, _, make)) in KINDS.iter().enumerate() {
        make(&folder.0.join("jobs"), &format!("n{n}x"));
    }
    // The second file of one name is named, and stops nobody.
    folder.write("jobs/good copy.toml", &job("good"));
    let mut command = folder.trueup(&["serve"]);
    command.env("DATABASE_URL", db.url()).stdout(Stdio::null()).stderr(Stdio::null());
    let _server = Process(command.spawn().expect("a server"));
    let wanted: Vec<String> = std::iter::once("good".to_owned())
        .chain(KINDS.iter().enumerate().filter(|(_, kind)| kind.0 == Fate::Job).map(|(n, _)| format!("n{n}x")))
        .collect();
    let have_run = async |names: &[String]| {
        let sql =
            "select j.name from trueup.run r join trueup.job j on j.id = r.job_id where r.state = 'ok' group by 1";
        let ran = db.lines(sql).await;
        names.iter().all(|name| ran.contains(name))
    };
    until(Duration::from_secs(60), "promise 10: every job runs", || have_run(&wanted)).await;
    let broken = KINDS.iter().position(|kind| kind.1 == "Latin-1").expect("its place");
    write(folder.0.join(format!("jobs/n{broken}x.toml")), job("mended"));
    folder.write("jobs/new/later.toml", &job("later"));
    let later = ["mended".to_owned(), "later".to_owned()];
    until(Duration::from_secs(60), "promise 10: a job that is added or mended runs", || have_run(&later)).await;
}

/// Reading this file fails for root too, as it does for others where they lack the right.
#[test]
fn a_file_that_may_not_be_read_is_one_mistake_and_a_name_that_is_not_found_says_so() {
    let folder = Folder::new("folder-rights");
    folder.write("jobs/good.toml", &job("good"));
    symlink("/proc/self/mem", folder.0.join("jobs/secret.toml")).expect("a link");
    let run = folder.run(&["check"]);
    let found = run.stdout.matches("error[").count();
    assert_eq!(found, 1, "{}", run.stdout);
    assert!(run.stdout.contains("error[unreadable-file]: the job file cannot be read: "), "{}", run.stdout);
    assert!(run.stdout.contains("jobs/secret.toml"), "{}", run.stdout);
    let run = folder.run(&["route", "--job", "other"]);
    assert!(run.stderr.contains("no name could be read from jobs/secret.toml"), "{}", run.stderr);
}

/// A file of tests that cannot be used fails, and the others are run.
#[test]
fn tests_of_rules_that_cannot_be_read_keep_no_others_from_running() {
    let folder = Folder::new("folder-tests");
    folder.write("jobs/good.toml", &job("good"));
    let test = "job = \"good.toml\"\n[[tests]]\nname = \"t\"\nseries = [{ every = \"2s\", window = \"rolling 4s\", end = \"2025-05-01T00:00:00Z\", values = { rmse = \"5 50\", predictions = 9, labeled = 9 } }]\n\
                expect = [{ rule = \"large\", at = \"2025-05-01T00:00:02Z\", verdict = \"breach\" }]\n";
    folder
        .write("jobs/a.test.toml", "job = ")
        .write("jobs/sub/b.test.toml", &test.replace("good.toml", "../good.toml"));
    write(folder.0.join("jobs/c.test.toml"), [0xFF]);
    let run = folder.run(&["test", "jobs"]);
    assert_eq!(run.code, Some(1), "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.contains("1 passed, 0 failed"), "{}{}", run.stdout, run.stderr);
    assert!(run.stderr.contains("2 test files have mistakes"), "{}", run.stderr);
}

#[test]
fn a_file_that_two_paths_lead_to_is_one_job_under_the_shorter_path() {
    let folder = Folder::new("two_paths");
    folder.write("shared/once.toml", &job("once"));
    folder.write("jobs/good.toml", &job("good"));
    symlink("../shared/once.toml", folder.0.join("jobs/short.toml")).expect("a link to the file");
    symlink("../shared", folder.0.join("jobs/whole")).expect("a link to its folder");
    let run = folder.run(&["check"]);
    assert!(run.stdout.contains("2 job files checked"), "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.contains("jobs/short.toml") && !run.stdout.contains("jobs/whole"), "{}", run.stdout);
}
