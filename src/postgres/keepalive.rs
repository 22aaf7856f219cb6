//! Keepalives of the client's end of a connection. The server's end has its own settings, see `connect`.
//!
//! The driver offers no socket options, so they are set from outside: this process looks for its own sockets that lead to the
//! server's port. Where the kernel refuses that, as some containers do, the limits of `held` alone end a wait.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use tracing::debug;

/// A peer that says nothing for this long is asked whether it is there.
const IDLE: Duration = Duration::from_secs(30);
/// Time between two questions.
const INTERVAL: Duration = Duration::from_secs(10);
/// After so many questions without an answer the connection is closed.
const COUNT: u32 = 3;
/// What was sent must be acknowledged within so many milliseconds.
const UNACKNOWLEDGED_MS: u32 = 60_000;

/// Sets keepalives and the time limit for unacknowledged data on every socket of this process that leads to the server.
pub(super) fn watch(options: &PgConnectOptions) {
    if options.get_socket().is_some() {
        return;
    }
    if let Err(error) = watch_port(options.get_port()) {
        debug!("keepalives could not be set: {error}");
    }
}

#[cfg(target_os = "linux")]
fn watch_port(port: u16) -> std::io::Result<()> {
    use std::net::SocketAddr;

    use rustix::net::{getpeername, sockopt};
    use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

    let this = pidfd_open(getpid(), PidfdFlags::empty())?;
    for entry in std::fs::read_dir("/proc/self/fd")?.flatten() {
        // Anything may be closed between two lines of this.
        let is_socket =
            std::fs::read_link(entry.path()).is_ok_and(|target| target.to_string_lossy().starts_with("socket:"));
        let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let (true, Some(number)) = (is_socket, number) else { continue };
        let socket = pidfd_getfd(&this, number, PidfdGetfdFlags::empty())?;
        let Ok(Some(peer)) = getpeername(&socket) else { continue };
        if !SocketAddr::try_from(peer).is_ok_and(|peer| peer.port() == port) {
            continue;
        }
        sockopt::set_tcp_keepidle(&socket, IDLE)?;
        sockopt::set_tcp_keepintvl(&socket, INTERVAL)?;
        sockopt::set_tcp_keepcnt(&socket, COUNT)?;
        sockopt::set_tcp_user_timeout(&socket, UNACKNOWLEDGED_MS)?;
        sockopt::set_socket_keepalive(&socket, true)?;
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn watch_port(_port: u16) -> std::io::Result<()> {
    Err(std::io::Error::new(std::io::ErrorKind::Unsupported, "only Linux lets a process find its own sockets"))
}
