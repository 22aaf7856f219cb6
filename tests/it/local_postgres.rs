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
    assert!(run.stderr.contains("was not made by trueup") && run.stderr.contains("thesis.txt"), "{}", run.stderr);
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
