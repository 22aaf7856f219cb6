//! Admission of requests: the host name that a request is for, and its token.

use std::net::Ipv6Addr;

use axum::extract::Request;
use axum::http::{HeaderMap, header};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

/// True if a request is for a loopback name or one of `hosts`, where `*` is any.
pub fn is_known(request: &Request, hosts: &[String]) -> bool {
    let mut asked = request.headers().get_all(header::HOST).iter();
    let (Some(host), None) = (asked.next(), asked.next()) else { return false };
    // A request with an absolute URI names its host twice.
    let authority = request.uri().authority().map(|authority| authority.as_str());
    let all = std::iter::once(host.to_str().unwrap_or_default()).chain(authority);
    all.map(name_of).all(|name| name.is_some_and(|name| is_listed(name, hosts)))
}

fn is_listed(name: &str, hosts: &[String]) -> bool {
    let is = |known: &str| name.eq_ignore_ascii_case(known);
    ["localhost", "127.0.0.1", "::1"].into_iter().any(is) || hosts.iter().any(|host| host == "*" || is(host))
}

/// Returns the host of `host`, `host:port`, `[v6]` or `[v6]:port`; `None` for anything else.
fn name_of(authority: &str) -> Option<&str> {
    let (name, port) = match authority.strip_prefix('[') {
        Some(v6) => {
            let (name, port) = v6.split_once(']')?;
            name.parse::<Ipv6Addr>().ok()?;
            (name, port)
        }
        None => {
            let end = authority.find(':').unwrap_or(authority.len());
            let (name, port) = authority.split_at(end);
            let labels = name.split('.').all(|label| !label.is_empty() && label.bytes().all(is_of_name));
            labels.then_some((name, port))?
        }
    };
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    (port.is_empty() || port.strip_prefix(':').is_some_and(is_port)).then_some(name)
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

/// True if a request carries the token.
pub fn has_token(headers: &HeaderMap, token: &SecretString) -> bool {
    let given = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes()).unwrap_or_default();
    same(given, format!("Bearer {}", token.expose_secret()).as_bytes())
}

/// Compares digests of equal length in constant time, which reveals neither where two texts differ nor how long they are.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    let (a, b) = (Sha256::digest(a), Sha256::digest(b));
    a.iter().zip(&b).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_and_perhaps_a_port() {
        for (authority, name) in [
            ("localhost", "localhost"),
            ("localhost:9187", "localhost"),
            ("127.0.0.1:1", "127.0.0.1"),
            ("[::1]", "::1"),
            ("[::1]:65535", "::1"),
            ("runner-1.example_x.org:80", "runner-1.example_x.org"),
        ] {
            assert_eq!(name_of(authority), Some(name), "{authority}");
        }
        for authority in [
            "",
            ":80",
            "[::1]x",
            "[::1]:",
            "[::1",
            "[x]",
            "[]",
            "::1",
            "localhost:",
            "localhost:80:evil",
            "localhost:evil",
            "localhost:65536",
            "localhost:+80",
            "kim@localhost",
            "localhost@evil.example",
            "localhost.",
            "localhost..",
            ".localhost",
            "local host",
            "localhost/x",
            "localhost#",
            "[::1]:80:1",
            "lo%63alhost",
            "localhost\\x",
        ] {
            assert_eq!(name_of(authority), None, "{authority}");
        }
    }

    #[test]
    fn tokens_are_the_same_or_not() {
        assert!(same(b"Bearer s3cret", b"Bearer s3cret"));
        for other in ["Bearer s3cre", "Bearer s3cret ", "bearer s3cret", ""] {
            assert!(!same(other.as_bytes(), b"Bearer s3cret"), "{other}");
        }
    }
}
