//! Addresses of the form `postgres://user:password@host:port/database?parameter=value`.

use anyhow::{Context as _, Result, bail, ensure};

use super::keywords;
use super::parameters::{Parameters, find};

/// Hint for an address that can be split in more than one way. No part of the address is shown.
const ENCODE: &str = "percent-encode special characters in the user name and password: `@` as %40, `/` as %2F, \
                      `#` as %23, `?` as %3F, `:` as %3A, `%` as %25";

/// Reads the part after `postgres://`.
pub(super) fn read(rest: &str, parameters: &mut Parameters) -> Result<()> {
    ensure!(!rest.contains('#'), "`DATABASE_URL` has a bare `#`: {ENCODE}");
    let (before, query) = rest.split_once('?').map_or((rest, None), |(before, query)| (before, Some(query)));
    let (authority, path) = before.split_once('/').map_or((before, None), |(authority, path)| (authority, Some(path)));
    one_way_to_cut(authority, path.unwrap_or_default(), query.unwrap_or_default())?;
    let hosts = match authority.split_once('@') {
        Some((user, hosts)) => {
            credentials(user, parameters)?;
            hosts
        }
        None => authority,
    };
    read_hosts(hosts, parameters)?;
    if let Some(database) = path.filter(|path| !path.is_empty()) {
        set("dbname", decoded(database)?, parameters)?;
    }
    read_query(query.unwrap_or_default(), parameters)
}

/// Refuses an address that can be split in more than one way: a part of the password would be read as host or database,
/// shown in messages and looked up.
fn one_way_to_cut(authority: &str, path: &str, query: &str) -> Result<()> {
    let is_cut_late = authority.matches('@').count() > 1;
    let is_cut_early = path.contains('@') || query.contains('@') && authority.contains(['@', ':']);
    ensure!(
        !is_cut_late && !is_cut_early,
        "`DATABASE_URL` has a bare `@`, `/` or `?` in its user name, password or database: {ENCODE}"
    );
    Ok(())
}

fn credentials(text: &str, parameters: &mut Parameters) -> Result<()> {
    let (user, password) = text.split_once(':').map_or((text, None), |(user, password)| (user, Some(password)));
    if !user.is_empty() {
        set("user", decoded(user)?, parameters)?;
    }
    match password.filter(|password| !password.is_empty()) {
        Some(password) => set("password", decoded(password)?, parameters),
        None => Ok(()),
    }
}

/// Reads `host`, `host:port`, `[address]:port`, `:port`, or several of them separated by commas.
fn read_hosts(hosts: &str, parameters: &mut Parameters) -> Result<()> {
    let mut names = Vec::new();
    let mut ports = Vec::new();
    for host in hosts.split(',') {
        let (name, port) = match host.strip_prefix('[') {
            Some(literal) => {
                let (name, after) = literal
                    .split_once(']')
                    .context("`DATABASE_URL` has a `[` without a `]`: an IPv6 address is written [::1]")?;
                let port = after.strip_prefix(':');
                ensure!(
                    port.is_some() || after.is_empty(),
                    "`DATABASE_URL` has text between the `]` of an IPv6 address and its port: write [::1]:5432"
                );
                (name, port)
            }
            None => host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port))),
        };
        ensure!(
            host.starts_with('[') || !port.is_some_and(|port| port.contains(':')),
            "`DATABASE_URL` has more than one `:` in its host: an IPv6 address is written in brackets, [::1]"
        );
        names.push(decoded(name)?);
        ports.push(decoded(port.unwrap_or_default())?);
    }
    if names.iter().any(|name| !name.is_empty()) {
        set("host", names.join(","), parameters)?;
    }
    match ports.iter().any(|port| !port.is_empty()) {
        true => set("port", ports.join(","), parameters),
        false => Ok(()),
    }
}

fn read_query(query: &str, parameters: &mut Parameters) -> Result<()> {
    let mut after_password = false;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let Some((name, value)) = pair.split_once('=') else {
            bail!("`DATABASE_URL` has text without `=` after the `?`: parameters are name=value, and {ENCODE}");
        };
        let (name, value) = (decoded(name)?, decoded(value)?);
        match name.as_str() {
            "ssl" if value == "true" => set("sslmode", "require".to_owned(), parameters)?,
            name => {
                let is_safe = !after_password && !query.contains('@');
                parameters.set(keywords::known(name, is_safe)?, value)?;
            }
        }
        after_password |= name.ends_with("password");
    }
    Ok(())
}

fn set(name: &str, value: String, parameters: &mut Parameters) -> Result<()> {
    parameters.set(find(name).expect("a name of the table"), value)
}

/// Undoes percent-encoding.
fn decoded(text: &str) -> Result<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, after) = after.split_at_checked(2).unwrap_or((&[], after));
        let code = std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|d| d.is_ascii_hexdigit()));
        let code = code.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(code.context("`DATABASE_URL` has a `%` without two hexadecimal digits after it: write it as %25")?);
        rest = after;
    }
    String::from_utf8(bytes).context("`DATABASE_URL` has percent-encoded bytes that are not UTF-8")
}
