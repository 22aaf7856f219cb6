//! TCP keepalives on the client's end of a connection. For the server's end, see `connect`.
//!
//! The driver offers no socket options, so this process finds its own sockets connected to the server's port and sets them
//! there. If the kernel refuses, as in some containers, only the limits in `held` end a wait.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use tracing::debug;

/// Idle time before the first keepalive probe.
const IDLE: Duration = Duration::from_secs(30);
/// Time between two probes.
const INTERVAL: Duration = Duration::from_secs(10);
/// Unanswered probes after which the connection is closed.
const COUNT: u32 = 3;
/// Time limit for the acknowledgement of sent data, in milliseconds.
const UNACKNOWLEDGED_MS: u32 = 60_000;

/// Sets keepalives and the limit for unacknowledged data on every socket of this process that is connected to the server.
pub(super) fn watch(options: &PgConnectOptions) {
    if options.get_socket().is_some() {
        return;
    }
    if let Err(error) = watch_port(options.get_port()) {
        debug!(%error, "could not set keepalives");
    }
}

#[cfg(target_os = "linux")]
fn watch_port(port: u16) -> std::io::Result<()> {
    use std::net::SocketAddr;

    use rustix::net::{getpeername, sockopt};
    use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

    let this = pidfd_open(getpid(), PidfdFlags::empty())?;
    for entry in std::fs::read_dir("/proc/self/fd")?.flatten() {
        // A descriptor may be closed at any point in this loop.
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
