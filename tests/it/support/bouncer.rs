//! PgBouncer in front of a test's Postgres.

use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

use sqlx::postgres::PgConnectOptions;

use super::peers;
use super::program::{Folder, Process};

/// A PgBouncer that ends with this.
pub struct Bouncer {
    pub port: u16,
    database: String,
    user: String,
    _process: Process,
    _folder: Folder,
}

impl Bouncer {
    /// Starts one with its defaults, but for `settings`. None where it is not installed.
    pub fn start(options: &PgConnectOptions, settings: &str) -> Option<Self> {
        let program = peers::find(&["pgbouncer"]).or_else(|| {
            // Debian puts it where only root looks for programs.
            let path = std::path::PathBuf::from("/usr/sbin/pgbouncer");
            path.is_file().then_some(path)
        })?;
        let folder = Folder::new("bouncer");
        let socket = options.get_socket().expect("a server with a socket");
        let (port, user) = (peers::free_port(), options.get_username());
        let users = folder.0.join("users").display().to_string();
        folder.write("users", &format!("\"{user}\" \"\"\n"));
        folder.write(
            "pgbouncer.ini",
            &format!(
                "[databases]\n* = host={} port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
                 unix_socket_dir =\nauth_type = trust\nauth_file = {users}\n{settings}\n",
                socket.display(),
                options.get_port(),
            ),
        );
        let mut command = Command::new(program);
        // It does not run as root, and the socket is open to one account only.
        let owner = std::fs::metadata(socket).expect("a socket's folder").uid();
        if owner != std::fs::metadata("/proc/self").expect("/proc").uid() {
            command.args(["-u", &account(owner)]);
        }
        command.arg(folder.0.join("pgbouncer.ini"));
        let process = peers::start(&mut command, port);
        let database = options.get_database().unwrap_or("postgres").to_owned();
        Some(Self { port, database, user: user.to_owned(), _process: process, _folder: folder })
    }

    /// The address that a person would write.
    pub fn url(&self) -> String {
        format!("postgres://{}@127.0.0.1:{}/{}", self.user, self.port, self.database)
    }
}

fn account(uid: u32) -> String {
    let out = Command::new("id").args(["-un", &uid.to_string()]).output().expect("id");
    String::from_utf8(out.stdout).expect("a name").trim().to_owned()
}
