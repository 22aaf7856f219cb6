//! Converts parameters to driver options. A parameter that the driver does not support is refused by name, not dropped.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::Environment;
use super::parameters::{KNOWN, Origin, Parameters, Support, find};

pub(super) const DEFAULT_PORT: u16 = 5432;
/// Default socket folders of servers: Debian, others.
const SOCKETS: [&str; 2] = ["/var/run/postgresql", "/tmp"];

/// Returns the driver's options.
pub(super) fn options(parameters: &Parameters) -> Result<PgConnectOptions> {
    refuse_unsupported(parameters)?;
    let mut options = PgConnectOptions::new_without_pgpass()
        // PgBouncer refuses it as a startup parameter; see `connect::SESSION`.
        .extra_float_digits(None);
    options = place(options, parameters)?;
    if let Some(user) = parameters.get("user") {
        options = options.username(user);
    }
    if let Some(password) = parameters.get("password") {
        options = options.password(password);
    }
    if let Some(database) = parameters.get("dbname") {
        options = options.database(database);
    }
    let name = parameters.get("application_name").or_else(|| parameters.get("fallback_application_name"));
    options = options.application_name(name.unwrap_or("trueup"));
    encryption(settings(options, parameters)?, parameters)
}

/// Returns the operating system's user, the default.
pub(super) fn os_user() -> String {
    PgConnectOptions::new_without_pgpass().get_username().to_owned()
}

/// Sets the files in the user's home folder that apply if no others are named.
pub(super) fn default_files(parameters: &mut Parameters, environment: Environment) {
    let Some(home) = environment("HOME").filter(|home| !home.is_empty()) else { return };
    let folder = PathBuf::from(home).join(".postgresql");
    let files = [("sslrootcert", "root.crt"), ("sslcert", "postgresql.crt"), ("sslkey", "postgresql.key")];
    // A certificate is useless without its key.
    let has_pair = files[1..].iter().all(|(_, file)| folder.join(file).is_file());
    for (name, file) in files {
        let path = folder.join(file);
        if let (Some(known), true) = (find(name), path.is_file() && (name == "sslrootcert" || has_pair)) {
            parameters.offer(known, path.display().to_string(), Origin::Environment);
        }
    }
}

fn refuse_unsupported(parameters: &Parameters) -> Result<()> {
    for known in KNOWN {
        let (Support::Only(values), Some(value)) = (known.support, parameters.get(known.name)) else { continue };
        if values.contains(&value) {
            continue;
        }
        let place = parameters.place(known);
        match values {
            [] => bail!("{place} has a value that trueup does not support; omit it"),
            values => bail!("{place} must be one of {}", list(values)),
        }
    }
    Ok(())
}

fn list(values: &[&str]) -> String {
    values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", ")
}

/// Sets host and port, or a socket.
fn place(options: PgConnectOptions, parameters: &Parameters) -> Result<PgConnectOptions> {
    let several =
        ["host", "hostaddr", "port"].into_iter().find(|name| parameters.get(name).is_some_and(|v| v.contains(',')));
    if let Some(name) = several {
        let count = parameters.get(name).unwrap_or_default().split(',').count();
        bail!(
            "{} lists {count} hosts or ports, but trueup connects to one: use the server that accepts writes, or a \
             DNS name or proxy that leads to it",
            parameters.place_of(name)
        );
    }
    let port = match parameters.get("port") {
        None => DEFAULT_PORT,
        Some(port) => port.trim().parse().ok().filter(|port| *port > 0).with_context(|| {
            format!(
                "{} is not a number from 1 to 65535; in a password, write `:` as %3A and `@` as %40",
                parameters.place_of("port")
            )
        })?,
    };
    let options = options.port(port);
    if let Some(address) = parameters.get("hostaddr") {
        let address = address.trim_matches(['[', ']']);
        let is_address = address.parse::<IpAddr>().is_ok();
        ensure!(is_address, "{} is not an IP address; put a name in `host`", parameters.place_of("hostaddr"));
        return Ok(options.host(address));
    }
    let host = parameters.get("host").map_or_else(|| default_host(port), str::to_owned);
    ensure!(
        !host.starts_with('@'),
        "{} is an abstract socket, which the driver does not support",
        parameters.place_of("host")
    );
    Ok(match host.starts_with('/') {
        true => options.socket(host),
        false => options.host(host.trim_matches(['[', ']'])),
    })
}

fn default_host(port: u16) -> String {
    let socket = SOCKETS.iter().find(|folder| Path::new(folder).join(format!(".s.PGSQL.{port}")).exists());
    socket.map_or_else(|| "localhost".to_owned(), |folder| (*folder).to_owned())
}

/// Sets startup settings: `-c name=value` or `--name=value`; a backslash escapes spaces and backslashes.
fn settings(options: PgConnectOptions, parameters: &Parameters) -> Result<PgConnectOptions> {
    if let Some(seconds) = parameters.get("connect_timeout") {
        // Checked but not used: the limits in `connect` and `held` are tighter than usual values.
        let place = parameters.place_of("connect_timeout");
        ensure!(seconds.trim().parse::<i32>().is_ok(), "{place} must be a number of seconds");
    }
    // The driver reads `PGOPTIONS` itself.
    let read_already = std::env::var("PGOPTIONS").unwrap_or_default();
    let Some(text) = parameters.get("options").filter(|text| *text != read_already) else { return Ok(options) };
    let mistake =
        || format!("{} does not consist of `-c name=value` and `--name=value`", parameters.place_of("options"));
    let mut pairs = Vec::new();
    let mut words = words(text).into_iter();
    while let Some(word) = words.next() {
        let pair = match word.strip_prefix("--").or_else(|| word.strip_prefix("-c")) {
            Some("") => words.next(),
            other => other.map(str::to_owned),
        };
        let (name, value) = pair.as_deref().and_then(|pair| pair.split_once('=')).with_context(mistake)?;
        pairs.push((name.to_owned(), value.to_owned()));
    }
    Ok(options.options(pairs))
}

fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let last = words.last_mut().expect("there is always one");
        match c {
            '\\' => last.extend(rest.next()),
            c if c.is_whitespace() => words.push(String::new()),
            c => last.push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

const MODES: [(&str, PgSslMode); 6] = [
    ("disable", PgSslMode::Disable),
    ("allow", PgSslMode::Allow),
    ("prefer", PgSslMode::Prefer),
    ("require", PgSslMode::Require),
    ("verify-ca", PgSslMode::VerifyCa),
    ("verify-full", PgSslMode::VerifyFull),
];

fn encryption(options: PgConnectOptions, parameters: &Parameters) -> Result<PgConnectOptions> {
    let named = parameters.get("sslmode");
    let mode = MODES.iter().find(|(name, _)| *name == named.unwrap_or("prefer")).map(|(_, mode)| *mode);
    let mode = mode.with_context(|| {
        format!("{} must be one of {}", parameters.place_of("sslmode"), list(&MODES.map(|(name, _)| name)))
    })?;
    let root = parameters.get("sslrootcert");
    let mode = match (root, mode) {
        // As in libpq: public authorities vouch only for a host name, so `system` needs `verify-full`, and a given root
        // certificate is meant to be used, so `require` becomes `verify-ca`.
        (Some("system"), PgSslMode::VerifyFull) => mode,
        (Some("system"), _) if named.is_none() => PgSslMode::VerifyFull,
        (Some("system"), _) => {
            bail!("{} needs `sslmode=verify-full` with `sslrootcert=system`", parameters.place_of("sslmode"))
        }
        (Some(_), PgSslMode::Require) => PgSslMode::VerifyCa,
        _ => mode,
    };
    let is_verified = matches!(mode, PgSslMode::VerifyCa | PgSslMode::VerifyFull);
    ensure!(
        !(parameters.get("hostaddr").is_some()
            && parameters.get("host").is_some()
            && matches!(mode, PgSslMode::VerifyFull)),
        "`hostaddr` cannot be combined with `sslmode=verify-full`: the certificate is compared with `host`, so omit \
         `hostaddr`"
    );
    let mut options = options.ssl_mode(mode);
    match root.filter(|_| is_verified) {
        // The driver always trusts the public authorities, but treats `system` in the environment as a file.
        Some("system") => options = options.ssl_root_cert_from_pem(Vec::new()),
        Some(file) => options = options.ssl_root_cert(readable("sslrootcert", file, parameters)?),
        None => {}
    }
    match (parameters.get("sslcert"), parameters.get("sslkey")) {
        (Some(certificate), Some(key)) => Ok(options
            .ssl_client_cert(readable("sslcert", certificate, parameters)?)
            .ssl_client_key(readable("sslkey", key, parameters)?)),
        (None, None) => Ok(options),
        _ => bail!("`sslcert` and `sslkey` must be set together: a certificate and its key"),
    }
}

fn readable<'a>(name: &str, path: &'a str, parameters: &Parameters) -> Result<&'a str> {
    match std::fs::File::open(path) {
        Ok(_) => Ok(path),
        Err(error) => bail!("{} names a file that cannot be read: {error}", parameters.place_of(name)),
    }
}
