//! Real programs of others that some tests talk to: they are there where `.ci/run` has installed them. Elsewhere a test says so
//! and checks what it can without them; where `TRUEUP_REQUIRE_PEERS` is set it fails instead.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::program::Process;

/// A program, or None with a word to whoever reads the test's output.
pub fn find(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).collect::<Vec<_>>();
    let found =
        names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name))).find(|path| path.is_file());
    missing(found, &names.join(" or "))
}

/// A Python that has a module: that of `TRUEUP_TEST_PYTHON`, or the system's.
pub fn python_with(module: &str) -> Option<PathBuf> {
    let own = std::env::var_os("TRUEUP_TEST_PYTHON").map(PathBuf::from);
    let all = own.into_iter().chain([PathBuf::from("python3")]);
    let has = |python: &PathBuf| {
        let asked = Command::new(python).args(["-c", &format!("import {module}")]).stderr(Stdio::null()).status();
        asked.is_ok_and(|status| status.success())
    };
    missing(all.into_iter().find(has), &format!("Python with {module}"))
}

/// The folder of packages of npm that has this one.
pub fn npm_with(package: &str) -> Option<PathBuf> {
    let modules = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/peers/npm/node_modules");
    missing(Some(modules).filter(|modules| modules.join(package).is_dir()), &format!("npm's {package}"))
}

/// A shared library of another program, where Debian puts it.
pub fn library(name: &str) -> Option<PathBuf> {
    let folder = PathBuf::from(format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH));
    let all = [folder.join(name), PathBuf::from("/usr/lib").join(name)];
    missing(all.into_iter().find(|path| path.is_file()), name)
}

fn missing(found: Option<PathBuf>, what: &str) -> Option<PathBuf> {
    if found.is_none() {
        assert!(std::env::var_os("TRUEUP_REQUIRE_PEERS").is_none(), "{what} is not installed");
        println!("{what} is not installed: this test checks less than it could");
    }
    found
}

/// A client for whoever answers in HTTP. Each test installs TLS itself: which of them is the first is left to chance.
pub fn client() -> reqwest::Client {
    trueup::notify::transport::http::install_tls();
    reqwest::Client::new()
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// Starts a program that is killed with the test, and waits until its port is open.
pub fn start(command: &mut Command, port: u16) -> Process {
    let mut child: Child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("a program");
    let deadline = Instant::now() + Duration::from_secs(20);
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        if let Ok(Some(status)) = child.try_wait() {
            let mut said = String::new();
            if let Some(mut stderr) = child.stderr.take() {
                drop(std::io::Read::read_to_string(&mut stderr, &mut said));
            }
            panic!("{command:?} ended with {status}: {said}");
        }
        assert!(Instant::now() < deadline, "{command:?} does not listen on {port}");
        std::thread::sleep(Duration::from_millis(50));
    }
    // What it says from now on goes nowhere, and must not fill a pipe.
    if let Some(mut stderr) = child.stderr.take() {
        std::thread::spawn(move || drop(std::io::copy(&mut stderr, &mut std::io::sink())));
    }
    Process(child)
}
