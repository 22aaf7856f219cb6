//! The `trueup` program as a person or a service manager runs it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// A folder of a test, removed with it.
pub struct Folder(pub PathBuf);

impl Folder {
    /// A new folder with a name of its own.
    pub fn new(name: &str) -> Self {
        let path = super::database::scratch_root().join(format!("trueup-it-{name}-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    /// Writes a file, and the folders on the way to it.
    pub fn write(&self, name: &str, text: &str) -> &Self {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        std::fs::write(path, text).expect("a file");
        self
    }

    /// The program, in this folder, without anything of the caller's environment that it reads.
    pub fn trueup(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trueup"));
        command
            .current_dir(&self.0)
            .args(arguments)
            .env_remove("DATABASE_URL")
            .env_remove("TRUEUP_LOG")
            .env_remove("PGPASSWORD")
            .env("NO_COLOR", "1");
        command.stdin(Stdio::null());
        command
    }

    /// Runs it to its end on a database.
    pub fn run_on(&self, url: &str, arguments: &[&str]) -> Run {
        Run::of(self.trueup(arguments).env("DATABASE_URL", url).output().expect("the program"))
    }

    /// Runs it on a database and a terminal, where somebody gives these answers. What the terminal showed.
    pub fn typed(&self, url: &str, arguments: &str, answers: &[&str]) -> String {
        let mut child = Command::new("script")
            .args(["-qec", &format!("{} {arguments}", env!("CARGO_BIN_EXE_trueup")), "/dev/null"])
            .current_dir(&self.0)
            .env("DATABASE_URL", url)
            .env("NO_COLOR", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the terminal");
        let mut stdin = child.stdin.take().expect("stdin");
        std::io::Write::write_all(&mut stdin, (answers.join("\n") + "\n").as_bytes()).expect("to answer");
        let done = child.wait_with_output().expect("to wait");
        drop(stdin);
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    /// Runs it to its end.
    pub fn run(&self, arguments: &[&str]) -> Run {
        Run::of(self.trueup(arguments).output().expect("the program"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("could not remove {}: {error}", self.0.display());
        }
    }
}

/// How a command ended.
#[derive(Debug)]
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    pub fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Expects exit code 0.
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        self
    }
}

/// A process that is killed with the test.
pub struct Process(pub Child);

impl Process {
    /// As `kill -9` would.
    pub fn kill(&mut self) {
        self.0.kill().expect("to kill");
        self.0.wait().expect("to wait");
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.0.id().to_string()]).status().expect("kill");
        assert!(sent.success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Whether a program is on PATH.
pub fn has_program(name: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| Path::new(&folder).join(name).is_file()))
}
