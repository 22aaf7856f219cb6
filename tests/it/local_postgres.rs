//! The private Postgres: made once, shared, gone when nobody uses it, and never at the cost of anything else.

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::program::{Folder, Process, Run};

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

/// The pid of the server of a folder, if one runs.
fn server_pid(folder: &Path) -> Option<u32> {
    let text = std::fs::read_to_string(folder.join(".trueup/data/postmaster.pid")).ok()?;
    text.lines().next()?.trim().parse().ok()
}

/// True if a process names this folder in its arguments: a server or a guard.
fn runs_for(folder: &Path) -> bool {
    let folder = folder.to_str().unwrap();
    std::fs::read_dir("/proc").unwrap().flatten().any(|process| {
        let arguments = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&arguments).contains(folder)
    })
}

fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(15);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn it_is_made_once_reused_and_stopped_with_its_last_user_in_a_path_with_spaces() {
    let folder = Folder::new("a path with spaces and 'quotes'");
    folder.run(&["migrate"]).ok();
    let made = std::fs::metadata(folder.0.join(".trueup/data/PG_VERSION")).unwrap().ino();
    eventually("the server stops", || server_pid(&folder.0).is_none());
    folder.run(&["status"]).ok();
    assert_eq!(std::fs::metadata(folder.0.join(".trueup/data/PG_VERSION")).unwrap().ino(), made, "the same cluster");
    eventually("the server stops", || server_pid(&folder.0).is_none());
}

#[test]
fn several_programs_share_one_server() {
    let folder = Folder::new("several");
    let children: Vec<_> =
        (0..5).map(|_| folder.trueup(&["migrate"]).stdout(std::process::Stdio::null()).spawn().unwrap()).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    eventually("the server stops", || server_pid(&folder.0).is_none());
}

#[test]
fn it_comes_back_after_its_server_and_its_guard_were_killed() {
    let folder = Folder::new("killed");
    folder.write("jobs/none.toml", "");
    folder.run(&["migrate"]).ok();
    // A stale pid file that names a living process which is no Postgres.
    eventually("the server stops", || server_pid(&folder.0).is_none());
    std::fs::write(
        folder.0.join(".trueup/data/postmaster.pid"),
        format!("{}\n/x\n0\n5432\n\n\n\nready\n", std::process::id()),
    )
    .unwrap();
    folder.run(&["status"]).ok();
    // Killed while in use: `demo --keep` leaves it running.
    eventually("the server stops", || server_pid(&folder.0).is_none());
    std::fs::write(folder.0.join(".trueup/keep-running"), "").unwrap();
    folder.run(&["migrate"]).ok();
    let pid = server_pid(&folder.0).expect("it keeps running");
    assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
    eventually("it is gone", || !Path::new(&format!("/proc/{pid}/exe")).exists());
    folder.run(&["status"]).ok();
    folder.run(&["demo", "--stop"]).ok();
    eventually("the server stops", || server_pid(&folder.0).is_none());
}

#[test]
fn a_user_killed_with_9_takes_its_server_along() {
    let folder = Folder::new("user-killed");
    folder.write("jobs/slow.toml", &crate::support::world::hourly("[windows]\nrolling = [\"6h\"]\n"));
    folder.run(&["migrate"]).ok();
    eventually("the server stops", || server_pid(&folder.0).is_none());
    // `explain` of a job whose tables are missing ends quickly; the demo runs long enough to be killed in its middle.
    let mut user = Process(
        folder
            .trueup(&["demo"])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap(),
    );
    eventually("the server runs", || server_pid(&folder.0).is_some());
    user.kill();
    eventually("the server stops", || server_pid(&folder.0).is_none());
    folder.run(&["status"]).ok();
}

#[test]
fn a_folder_that_is_somebody_elses_is_refused_and_left_alone() {
    let folder = Folder::new("strange");
    folder.write(".trueup/thesis.txt", "years of work");
    let run = folder.run(&["status"]);
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("was not created by trueup") && run.stderr.contains("thesis.txt"), "{}", run.stderr);
    assert_eq!(std::fs::read_to_string(folder.0.join(".trueup/thesis.txt")).unwrap(), "years of work");
}

#[test]
fn it_works_as_another_user_and_for_root_in_a_folder_that_others_cannot_enter() {
    if !is_root() {
        println!("not root: this test runs as an ordinary user already, which the others cover");
        let folder = Folder::new("ordinary");
        folder.run(&["migrate"]).ok();
        return;
    }
    let folder = Folder::new("nobody");
    std::os::unix::fs::chown(&folder.0, Some(65_534), Some(65_534)).unwrap();
    // The program stands where that user can reach it.
    let program = folder.0.join("trueup");
    std::fs::copy(env!("CARGO_BIN_EXE_trueup"), &program).unwrap();
    let mut command = Command::new(&program);
    command.current_dir(&folder.0).arg("migrate").env_remove("DATABASE_URL").uid(65_534).gid(65_534);
    Run::of(command.output().unwrap()).ok();
    assert_eq!(std::fs::metadata(folder.0.join(".trueup/data")).unwrap().uid(), 65_534);

    use std::os::unix::fs::PermissionsExt;
    let closed = Folder::new("closed");
    std::fs::set_permissions(&closed.0, std::fs::Permissions::from_mode(0o700)).unwrap();
    let run = closed.run(&["migrate"]).ok();
    assert!(run.stdout.contains("/var/lib/trueup/"), "{}", run.stdout);
    let place = run.stdout.split_whitespace().find(|word| word.starts_with("/var/lib/trueup/")).unwrap();
    eventually("the server stops", || !Path::new(place).join("data/postmaster.pid").exists());
    std::fs::remove_dir_all(place).unwrap();
}

/// Who owns something, and whether others may write it. Of a link: of the link.
fn owner(path: &Path) -> (u32, u32) {
    let meta = std::fs::symlink_metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    (meta.uid(), meta.mode() & 0o022)
}

/// The account that the server of a folder runs under.
fn account(folder: &Folder) -> u32 {
    std::fs::metadata(folder.0.join(".trueup/data")).unwrap().uid()
}

/// Runs as the account of the server, as whoever broke into it would.
fn as_account(uid: u32, script: &str) {
    let done = Command::new("/bin/sh").args(["-c", script]).uid(uid).gid(uid).current_dir("/").output().unwrap();
    println!("{script}: {} {}", done.status, String::from_utf8_lossy(&done.stderr).trim());
}

/// A folder whose server ran once, and whose files are those of an account that is not ours; None where we are not root.
fn of_root(name: &str) -> Option<(Folder, u32)> {
    if !is_root() {
        println!("not root: the server runs as ourselves, and there is no account that could plant anything");
        return None;
    }
    let folder = Folder::new(name);
    folder.run(&["migrate"]).ok();
    eventually("the server stops", || server_pid(&folder.0).is_none());
    let account = account(&folder);
    assert_ne!(account, 0);
    Some((folder, account))
}

/// As an earlier version left it: the account owned the folder and could put anything into it.
fn as_before(folder: &Folder, account: u32) {
    std::os::unix::fs::chown(folder.0.join(".trueup"), Some(account), Some(account)).unwrap();
}

#[test]
fn of_the_folder_of_root_only_data_and_socket_belong_to_the_account() {
    let Some((folder, account)) = of_root("owners") else { return };
    let here = folder.0.join(".trueup");
    for entry in std::fs::read_dir(&here).unwrap().flatten() {
        let is_accounts = ["data", "socket"].contains(&entry.file_name().to_str().unwrap());
        let wanted = if is_accounts { account } else { 0 };
        assert_eq!(owner(&entry.path()), (wanted, 0), "{}", entry.path().display());
    }
    assert_eq!(owner(&here), (0, 0));
    for file in ["server.log", "guard.log", "gate.lock", "in-use.lock", "guard.lock", "trueup-cluster", "keep-running"]
    {
        as_account(
            account,
            &format!("echo planted >> {0}/{file}; ln -sf /etc/passwd {0}/{file}; rm -f {0}/{file}", here.display()),
        );
        if file != "keep-running" {
            let text = std::fs::read_to_string(here.join(file)).unwrap();
            assert!(!text.contains("planted") && !here.join(file).is_symlink(), "{file}");
        }
    }
    assert!(!here.join("keep-running").exists());
    folder.run(&["status"]).ok();
}

#[test]
fn root_writes_through_no_link_that_the_account_planted_before() {
    let Some((folder, account)) = of_root("planted") else { return };
    let here = folder.0.join(".trueup");
    let outside = Folder::new("outside");
    for file in ["server.log", "guard.log", "gate.lock", "in-use.lock", "guard.lock", "trueup-cluster", "keep-running"]
    {
        for kind in ["there", "missing", "second name", "pipe"] {
            // A guard that still ends would write or remove the files that are planted here.
            eventually("server and guard of the command before end", || !runs_for(&here));
            as_before(&folder, account);
            let (target, planted) = (outside.0.join(format!("target-{file}")), here.join(file));
            std::fs::remove_file(&target).ok();
            std::fs::rename(&planted, here.join("kept")).ok();
            if kind != "missing" {
                std::fs::write(&target, "of root").unwrap();
            }
            let plant = || {
                // The guard of the command before may still end, and writes its files until then.
                std::fs::remove_file(&planted).ok();
                match kind {
                    "second name" => std::fs::hard_link(&target, &planted).is_ok(),
                    "pipe" => Command::new("mkfifo").arg(&planted).status().unwrap().success(),
                    _ => std::os::unix::fs::symlink(&target, &planted).is_ok(),
                }
            };
            if kind == "second name" && !plant() {
                // This file system or kernel allows no hard links: there is no such attack.
                std::fs::rename(here.join("kept"), &planted).ok();
                continue;
            }
            eventually(&format!("{file} is planted as {kind}"), plant);
            std::os::unix::fs::lchown(&planted, Some(account), Some(account)).unwrap();
            let target_owner = (kind != "missing").then(|| owner(&target));
            let run = match file {
                "keep-running" => folder.run(&["demo", "--stop"]),
                _ => folder.run(&["migrate"]),
            };
            // A marker is looked at and never written.
            if file != "keep-running" && (file, kind) != ("trueup-cluster", "second name") {
                assert_eq!(run.code, Some(2), "{file}, {kind}: {}{}", run.stdout, run.stderr);
                assert!(run.stderr.contains(file) || file == "trueup-cluster", "{file}, {kind}: {}", run.stderr);
            }
            match kind {
                "missing" => assert!(!target.exists(), "{file}: it was made where the link leads"),
                _ => {
                    assert_eq!(std::fs::read_to_string(&target).unwrap(), "of root", "{file}, {kind}");
                    assert_eq!(Some(owner(&target)), target_owner, "{file}, {kind}");
                }
            }
            std::fs::remove_file(&planted).ok();
            std::fs::rename(here.join("kept"), &planted).ok();
        }
    }
    eventually("the server stops", || server_pid(&folder.0).is_none());
    // What is no link is taken over.
    as_before(&folder, account);
    for file in ["server.log", "guard.lock"] {
        std::os::unix::fs::chown(here.join(file), Some(account), Some(account)).unwrap();
    }
    folder.run(&["migrate"]).ok();
    for file in ["", "server.log", "guard.lock"] {
        assert_eq!(owner(&here.join(file)), (0, 0), "`{file}`");
    }
}

#[test]
fn folders_that_are_links_are_neither_given_away_nor_emptied() {
    let Some((folder, account)) = of_root("folders") else { return };
    let here = folder.0.join(".trueup");
    let outside = Folder::new("valuable");
    outside.write("data/thesis.txt", "years of work");
    let valuable = outside.0.join("data");
    for name in ["data", "socket", "data.new"] {
        as_before(&folder, account);
        // A new cluster is made only where there is none, and the old draft goes away first.
        let moved: &[&str] = if name == "data.new" { &["data"] } else { &[name] };
        moved.iter().for_each(|name| std::fs::rename(here.join(name), here.join(format!("{name}.kept"))).unwrap());
        std::os::unix::fs::symlink(&valuable, here.join(name)).unwrap();
        std::os::unix::fs::lchown(here.join(name), Some(account), Some(account)).unwrap();
        let refused = folder.run(&["migrate"]);
        assert_eq!(refused.code, Some(2), "{name}: {}{}", refused.stdout, refused.stderr);
        assert!(refused.stderr.contains(&format!("{name}` is a link")), "{name}: {}", refused.stderr);
        assert_eq!(std::fs::read_to_string(valuable.join("thesis.txt")).unwrap(), "years of work", "{name}");
        assert_eq!(owner(&valuable).0, 0, "{name}");
        std::fs::remove_file(here.join(name)).unwrap();
        moved.iter().for_each(|name| std::fs::rename(here.join(format!("{name}.kept")), here.join(name)).unwrap());
    }
    folder.run(&["migrate"]).ok();
}

/// The account writes the pid file. Whatever it says, root signals no process but the account's.
#[test]
fn a_pid_that_the_account_made_up_stops_nobody_elses_process() {
    let Some((folder, _)) = of_root("pid") else { return };
    let data = folder.0.join(".trueup/data");
    // A process of root that names the folder, as an editor of its configuration would.
    let mut bystander = Process(
        Command::new("sleep").args(["600"]).arg0(format!("tail -f {}", data.display())).spawn().expect("a process"),
    );
    std::fs::write(
        data.join("postmaster.pid"),
        format!("{}\n{}\n0\n5432\n\n\n\nready\n", bystander.0.id(), data.display()),
    )
    .unwrap();
    folder.run(&["status"]).ok();
    eventually("the server stops", || server_pid(&folder.0).is_none());
    assert!(bystander.0.try_wait().unwrap().is_none(), "it was stopped");
    // Nor is a pid file read through a link, or for ever.
    for planted in ["ln -s /dev/zero", "ln -s /etc/passwd", "mkfifo"] {
        let pid = data.join("postmaster.pid");
        assert!(Command::new("sh").args(["-c", &format!("{planted} '{}'", pid.display())]).status().unwrap().success());
        folder.run(&["status"]).ok();
        eventually("the server stops", || !pid.exists());
    }
}

#[test]
fn a_link_in_place_of_the_socket_folder_of_a_long_path_is_refused() {
    let folder = Folder::new(&format!("long-{}", "x".repeat(90)));
    let (first, valuable) = (folder.run(&["migrate"]).ok(), Folder::new("socket-target"));
    drop(first);
    eventually("the server stops", || server_pid(&folder.0).is_none());
    let aside: Vec<_> = std::fs::read_dir("/tmp").unwrap().flatten().map(|entry| entry.path()).collect();
    let newest = aside
        .into_iter()
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("trueup-socket-")))
        .max_by_key(|path| std::fs::symlink_metadata(path).and_then(|meta| meta.modified()).ok())
        .expect("a folder for the socket");
    let before = owner(&valuable.0);
    std::fs::remove_dir_all(&newest).unwrap();
    std::os::unix::fs::symlink(&valuable.0, &newest).unwrap();
    let refused = folder.run(&["migrate"]);
    std::fs::remove_file(&newest).unwrap();
    assert!(refused.code == Some(2) && refused.stderr.contains("is a link or not a folder"), "{}", refused.stderr);
    assert_eq!(owner(&valuable.0), before);
}
