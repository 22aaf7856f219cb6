//! Why a connection could not be made, in the server's own words if it sent any.

use std::fmt;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::time::timeout;

/// Time the server has to say why it refuses a connection.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// A connection that could not be made.
#[derive(Debug)]
pub struct Refused {
    place: String,
    error: sqlx::Error,
}

impl Refused {
    pub fn new(options: &PgConnectOptions, error: sqlx::Error) -> Self {
        Self { place: place(options), error }
    }

    /// True if the user has to correct it: a wrong password, database, key or pooler, but not an unreachable server.
    pub fn is_mistake(&self) -> bool {
        matches!(self.error, sqlx::Error::Configuration(_)) || ["28", "3D"].contains(&self.class().as_str())
    }

    /// True if the same attempt may succeed later.
    pub fn may_pass(&self) -> bool {
        !self.is_mistake() && ["", "08", "53", "57", "58", "XX"].contains(&self.class().as_str())
    }

    /// Returns the class of the server's SQLSTATE; empty if the server sent none.
    fn class(&self) -> String {
        let code = self.error.as_database_error().and_then(|refused| refused.code()).unwrap_or_default();
        code.chars().take(2).collect()
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not connect to the database at {}: {}", self.place, why(&self.error))
    }
}

impl std::error::Error for Refused {}

/// Returns the cause of a pool error. A pool retries while the server refuses connections and finally reports only a
/// timeout, so this connects once more for the server's own message.
pub(super) async fn reason(options: &PgConnectOptions, error: sqlx::Error) -> sqlx::Error {
    if !matches!(error, sqlx::Error::PoolTimedOut) {
        return error;
    }
    match timeout(ANSWER_WITHIN, options.connect()).await {
        Ok(Err(refused)) => refused,
        // The server accepts connections now: the pool was too small, or the server too slow.
        Ok(Ok(connection)) => {
            drop(connection.close_hard().await);
            error
        }
        Err(_) => error,
    }
}

/// Explains in one line why a connection could not be made: the server's message without its source location, or the
/// driver's, with a fix if one is known.
pub fn why(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(refused) => with_way_out(refused.message()),
        sqlx::Error::Io(error) => with_way_out(&error.to_string()),
        sqlx::Error::Tls(error) => with_way_out(&error.to_string()),
        sqlx::Error::Configuration(error) => error.to_string(),
        other => other.to_string(),
    }
}

/// Appends the fix for a message of the server or the driver, if one is known.
fn with_way_out(said: &str) -> String {
    let way_out = WAYS_OUT.iter().find(|(part, _)| said.contains(part)).map(|(_, way_out)| *way_out);
    way_out.map_or_else(|| said.to_owned(), |way_out| format!("{said}; {way_out}"))
}

/// Parts of messages and their fixes; the first match wins.
const WAYS_OUT: &[(&str, &str)] = &[
    (
        "UnknownIssuer",
        "the server's certificate is signed by an authority that is not trusted here: set its certificate file with \
         `sslrootcert=…`, or use `sslmode=require`, which encrypts without verification",
    ),
    (
        "NotValidForName",
        "the server's certificate is for another host: connect to the host name in it, or use `sslmode=verify-ca`",
    ),
    (
        "not valid for name",
        "the server's certificate is for another host: connect to the host name in it, or use `sslmode=verify-ca`",
    ),
    (
        "CaUsedAsEndEntity",
        "the server's certificate is that of an authority: give the server an end-entity certificate (`CA:FALSE`), or \
         use `sslmode=require`, which encrypts without verification",
    ),
    ("Expired", "renew the server's certificate, or use `sslmode=require`, which encrypts without verification"),
    (
        "certificate expired",
        "renew the server's certificate, or use `sslmode=require`, which encrypts without verification",
    ),
    (
        "invalid peer certificate",
        "the TLS library rejects the server's certificate with every `sslmode` that encrypts: give the server an X.509 \
         version 3 certificate and set its authority in `sslrootcert`, or, on a trusted network, use `sslmode=disable`",
    ),
    ("prepared statement", "a pooler gives every transaction another session: set `pool_mode = session`"),
    ("server does not support TLS", "turn on `ssl` on the server, or, on a trusted network, use `sslmode=prefer`"),
    ("no encryption", "the server accepts only encrypted connections: use `sslmode=require`"),
    (
        "unsupported startup parameter",
        "a pooler rejects a startup parameter: omit `options` and `PGOPTIONS`, or let the pooler ignore the parameter \
         (PgBouncer: `ignore_startup_parameters`)",
    ),
];

/// Returns host and database for messages, never user or password.
pub fn place(options: &PgConnectOptions) -> String {
    let (host, port) = (options.get_host(), options.get_port());
    let host = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None if host.contains(':') => format!("[{host}]:{port}"),
        None => format!("{host}:{port}"),
    };
    format!("{host}, database `{}`", options.get_database().unwrap_or("(default)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_is_refused_is_said_with_the_way_out() {
        let io = |text: &str| sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::InvalidData, text));
        for (said, way_out) in [
            ("invalid peer certificate: Other(OtherError(UnsupportedCertVersion))", "`sslmode=disable`"),
            ("invalid peer certificate: BadEncoding", "`sslmode=disable`"),
            ("invalid peer certificate: UnknownIssuer", "`sslrootcert=…`"),
            ("invalid peer certificate: NotValidForName", "`sslmode=verify-ca`"),
            ("invalid peer certificate: Expired", "renew"),
            ("invalid peer certificate: Other(OtherError(CaUsedAsEndEntity))", "`CA:FALSE`"),
        ] {
            let why = why(&io(said));
            assert!(why.starts_with(said) && why.contains(way_out), "{why}");
        }
    }
}
