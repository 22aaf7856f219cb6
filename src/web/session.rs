//! Identifies the users of pages: by a cookie that signing in with the token sets, or by the headers of a reverse proxy.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

use super::access;
use crate::settings::{Login, Proxy};

/// Time after which a user signs in again.
const LASTS: TimeDelta = TimeDelta::hours(12);
/// Sign-ins that are checked per minute, right or wrong.
const MOST_PER_MINUTE: usize = 30;
/// Longest name of a user, in bytes.
const LONGEST_NAME: usize = 100;

/// The user of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visitor {
    /// Name, for the record of what was done.
    pub name: String,
    /// True if the user may acknowledge, resolve and silence.
    pub may_act: bool,
}

/// Identifies users.
pub struct Sessions {
    login: Login,
    token: Option<SecretString>,
    /// Name of the local user, for pages that need no sign-in.
    local: String,
    is_https: bool,
    attempts: Mutex<Vec<Instant>>,
}

/// The user of a request, or the reason why there is none.
pub enum Identity {
    Known(Visitor),
    /// Nobody is signed in.
    Unknown,
    /// A header of the proxy came from an address that is not the proxy's.
    Forged,
}

impl Sessions {
    pub fn new(login: Login, token: Option<SecretString>, local: String, is_https: bool) -> Self {
        Self { login, token, local, is_https, attempts: Mutex::default() }
    }

    /// True if users sign in with a form.
    pub fn has_form(&self) -> bool {
        self.login == Login::Token
    }

    /// True if programs with the token may act: users with it may. Behind a proxy, its groups say who may.
    pub fn token_may_act(&self) -> bool {
        !matches!(self.login, Login::Proxy(_))
    }

    /// Identifies the user of a request.
    pub fn identify(&self, headers: &HeaderMap, peer: Option<SocketAddr>, now: DateTime<Utc>) -> Identity {
        match &self.login {
            Login::None => Identity::Known(Visitor { name: self.local.clone(), may_act: true }),
            Login::Token => match self.by_cookie(headers, now) {
                Some(name) => Identity::Known(Visitor { name, may_act: true }),
                None => Identity::Unknown,
            },
            Login::Proxy(proxy) => by_proxy(proxy, headers, peer),
        }
    }

    fn by_cookie(&self, headers: &HeaderMap, now: DateTime<Utc>) -> Option<String> {
        let wanted = self.cookie_name();
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let (_, value) = pairs.find(|(name, _)| *name == wanted)?;
        let (payload, tag) = value.rsplit_once('.')?;
        if !access::same(tag.as_bytes(), self.tag("session", payload)?.as_bytes()) {
            return None;
        }
        let (name, until) = payload.rsplit_once('.')?;
        let until = DateTime::from_timestamp(until.parse().ok()?, 0)?;
        let name = String::from_utf8(URL_SAFE_NO_PAD.decode(name).ok()?).ok()?;
        (now < until).then_some(name)
    }

    /// Signs a user in. Returns the cookie, or why not.
    pub fn sign_in(&self, name: &str, token: &str, now: DateTime<Utc>) -> Result<HeaderValue, &'static str> {
        if !self.may_try() {
            return Err("Too many attempts. Wait a minute.");
        }
        let name = name_of(name).ok_or("Write your name: acknowledgements and silences carry it.")?;
        let right = self
            .token
            .as_ref()
            .is_some_and(|known| access::same(token.trim().as_bytes(), known.expose_secret().as_bytes()));
        if !right {
            return Err("The token is not right.");
        }
        let until = (now + LASTS).timestamp();
        let payload = format!("{}.{until}", URL_SAFE_NO_PAD.encode(name.as_bytes()));
        let tag = self.tag("session", &payload).ok_or("There is no token.")?;
        self.cookie(&format!("{payload}.{tag}"), LASTS.num_seconds()).ok_or("The name cannot be stored.")
    }

    /// The cookie that ends a session.
    pub fn sign_out(&self) -> Option<HeaderValue> {
        self.cookie("", 0)
    }

    /// `Lax`, not `Strict`: a strict cookie is not sent when a link in a mail is followed, and on-call would see a form.
    fn cookie(&self, value: &str, seconds: i64) -> Option<HeaderValue> {
        let secure = if self.is_https { "; Secure" } else { "" };
        let name = self.cookie_name();
        format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}").parse().ok()
    }

    fn cookie_name(&self) -> &'static str {
        if self.is_https { "__Host-trueup" } else { "trueup" }
    }

    /// Signs a text for a purpose; `None` without a token.
    pub fn tag(&self, purpose: &str, text: &str) -> Option<String> {
        tag(self.token.as_ref()?, purpose, text)
    }

    fn may_try(&self) -> bool {
        let mut attempts = self.attempts.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        attempts.retain(|at| at.elapsed() < Duration::from_secs(60));
        let free = attempts.len() < MOST_PER_MINUTE;
        if free {
            attempts.push(Instant::now());
        }
        free
    }
}

/// Returns the name of a user in one line; `None` if there is none, or if it is too long.
pub fn name_of(given: &str) -> Option<String> {
    let name = crate::text::line::single_line(given.trim());
    (!name.is_empty() && name.len() <= LONGEST_NAME).then_some(name)
}

/// Signs a text for a purpose. The key derives from the token: replicas agree, and a new token revokes everything.
pub fn tag(token: &SecretString, purpose: &str, text: &str) -> Option<String> {
    let mut key = Hmac::<Sha256>::new_from_slice(token.expose_secret().as_bytes()).ok()?;
    key.update(purpose.as_bytes());
    let mut tag = Hmac::<Sha256>::new_from_slice(&key.finalize().into_bytes()).ok()?;
    tag.update(text.as_bytes());
    Some(URL_SAFE_NO_PAD.encode(tag.finalize().into_bytes()))
}

fn by_proxy(proxy: &Proxy, headers: &HeaderMap, peer: Option<SocketAddr>) -> Identity {
    let Some(user) = headers.get(proxy.user.as_str()) else { return Identity::Unknown };
    let from_proxy =
        peer.is_some_and(|peer| proxy.from.iter().any(|network| network.contains(&peer.ip().to_canonical())));
    if !from_proxy {
        return Identity::Forged;
    }
    let Some(name) = name_of(user.to_str().unwrap_or_default()) else { return Identity::Unknown };
    if headers.get_all(proxy.user.as_str()).iter().count() > 1 {
        return Identity::Unknown;
    }
    let groups = proxy.groups.as_ref().and_then(|name| headers.get(name.as_str())?.to_str().ok()).unwrap_or_default();
    let may_act =
        proxy.act.is_empty() || groups.split(',').any(|group| proxy.act.iter().any(|known| known == group.trim()));
    Identity::Known(Visitor { name, may_act })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sessions(login: Login) -> Sessions {
        Sessions::new(login, Some("s3cret".to_owned().into()), "kim".to_owned(), false)
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (header::HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    fn name(identity: Identity) -> Option<String> {
        match identity {
            Identity::Known(visitor) => Some(visitor.name),
            Identity::Unknown | Identity::Forged => None,
        }
    }

    #[test]
    fn a_cookie_identifies_its_user_until_it_expires() {
        let sessions = sessions(Login::Token);
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        assert!(sessions.sign_in("kim", "wrong", now).is_err());
        let cookie = sessions.sign_in("Kim ü", "s3cret", now).unwrap();
        let cookie = cookie.to_str().unwrap().split(';').next().unwrap().to_owned();
        let at = |at, cookie: &str| name(sessions.identify(&headers(&[("cookie", cookie)]), None, at));
        assert_eq!(at(now, &format!("a=b; {cookie}")).as_deref(), Some("Kim ü"));
        assert_eq!(at(now + LASTS, &cookie), None, "expired");
        let mut forged = cookie.clone();
        forged.replace_range(7..9, "eA");
        assert_eq!(at(now, &forged), None, "another name");
        let other = Sessions::new(Login::Token, Some("other".to_owned().into()), String::new(), false);
        assert_eq!(name(other.identify(&headers(&[("cookie", &cookie)]), None, now)), None, "another token");
    }

    #[test]
    fn attempts_to_sign_in_are_limited() {
        let sessions = sessions(Login::Token);
        let now = DateTime::UNIX_EPOCH;
        for _ in 0..MOST_PER_MINUTE {
            assert_eq!(sessions.sign_in("kim", "wrong", now).unwrap_err(), "The token is not right.");
        }
        assert_eq!(sessions.sign_in("kim", "s3cret", now).unwrap_err(), "Too many attempts. Wait a minute.");
    }

    #[test]
    fn only_the_proxy_names_users() {
        let proxy = Proxy {
            from: vec!["10.0.0.0/8".parse().unwrap()],
            user: "x-user".to_owned(),
            groups: Some("x-groups".to_owned()),
            act: vec!["oncall".to_owned()],
        };
        let sessions = sessions(Login::Proxy(proxy));
        let ask = |from: &str, pairs: &[(&'static str, &str)]| {
            sessions.identify(&headers(pairs), from.parse().ok(), DateTime::UNIX_EPOCH)
        };
        let known = |identity| match identity {
            Identity::Known(visitor) => visitor,
            _ => panic!("not known"),
        };
        let reader = known(ask("10.1.2.3:1", &[("x-user", "kim")]));
        assert_eq!(reader, Visitor { name: "kim".to_owned(), may_act: false });
        assert!(known(ask("[::ffff:10.1.2.3]:1", &[("x-user", "kim"), ("x-groups", "dev, oncall")])).may_act);
        assert!(matches!(ask("192.0.2.1:1", &[("x-user", "kim")]), Identity::Forged));
        assert!(matches!(ask("10.1.2.3:1", &[]), Identity::Unknown));
    }
}
