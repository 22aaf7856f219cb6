//! Addresses of the pages. Everything that links to a page builds the link here, so that a test can resolve all of them.

use std::fmt::Write as _;

use chrono::{DateTime, SecondsFormat, Utc};

/// Builds addresses of pages below a base, which is empty for links within the pages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Links {
    base: String,
}

impl Links {
    /// Returns links below an `http` or `https` address without query or fragment; `None` for any other text.
    pub fn new(base: &str) -> Option<Self> {
        let rest = base.strip_prefix("https://").or_else(|| base.strip_prefix("http://"))?;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:[]/".contains(&byte);
        let (host, _) = rest.split_once('/').unwrap_or((rest, ""));
        (!host.is_empty() && host != ":" && rest.bytes().all(is_plain))
            .then(|| Self { base: base.trim_end_matches('/').to_owned() })
    }

    /// Host of the base, without its port.
    pub fn host(&self) -> &str {
        let authority = self.authority();
        match authority.find(']') {
            Some(end) => &authority[..=end],
            None => authority.split(':').next().unwrap_or_default(),
        }
    }

    /// True if the base is encrypted.
    pub fn is_https(&self) -> bool {
        self.base.starts_with("https://")
    }

    /// Scheme and host, as browsers send them in `Origin`.
    pub fn origin(&self) -> String {
        let scheme = if self.is_https() { "https" } else { "http" };
        format!("{scheme}://{}", self.authority())
    }

    /// True if the base has no path.
    pub fn is_origin(&self) -> bool {
        self.authority().len() == self.after_scheme().len()
    }

    fn after_scheme(&self) -> &str {
        self.base.split_once("://").map_or("", |(_, rest)| rest)
    }

    fn authority(&self) -> &str {
        self.after_scheme().split('/').next().unwrap_or_default()
    }

    pub fn overview(&self) -> String {
        format!("{}/", self.base)
    }

    pub fn job(&self, job: &str) -> String {
        format!("{}/jobs/{}", self.base, escaped(job))
    }

    /// A page of a job: `cohorts`, `classes`, `versions`, `debug`, `definition`.
    pub fn job_part(&self, job: &str, part: &str) -> String {
        format!("{}/{part}", self.job(job))
    }

    /// One window: its kind, such as `rolling 24h`, and its end.
    pub fn window(&self, job: &str, window: &str, end: DateTime<Utc>) -> String {
        format!("{}/windows/{}/{}", self.job(job), escaped(&window.replace(' ', "-")), instant(end))
    }

    pub fn rule(&self, job: &str, rule: &str) -> String {
        format!("{}/rules/{}", self.job(job), escaped(rule))
    }

    pub fn budget(&self, job: &str, slo: &str) -> String {
        format!("{}/budget/{}", self.job(job), escaped(slo))
    }

    pub fn incidents(&self) -> String {
        format!("{}/incidents", self.base)
    }

    pub fn incident(&self, id: i64) -> String {
        format!("{}/incidents/{id}", self.base)
    }

    /// A part of an incident's page or an act on it: `postmortem.md`, `ack`, `notes`.
    pub fn incident_part(&self, id: i64, part: &str) -> String {
        format!("{}/{part}", self.incident(id))
    }

    /// An act on an alert: `ack`, `resolve`, `mark`.
    pub fn alert_part(&self, id: i64, part: &str) -> String {
        format!("{}/{part}", self.alert(id))
    }

    pub fn alert(&self, id: i64) -> String {
        format!("{}/alerts/{id}", self.base)
    }

    pub fn runs(&self) -> String {
        format!("{}/runs", self.base)
    }

    pub fn run(&self, id: i64) -> String {
        format!("{}/runs/{id}", self.base)
    }

    pub fn deliveries(&self) -> String {
        format!("{}/deliveries", self.base)
    }

    pub fn delivery(&self, id: &str) -> String {
        format!("{}/deliveries/{}", self.base, escaped(id))
    }

    pub fn silences(&self) -> String {
        format!("{}/silences", self.base)
    }

    pub fn silence_expire(&self, id: i64) -> String {
        format!("{}/{id}/expire", self.silences())
    }

    pub fn executive(&self) -> String {
        format!("{}/executive", self.base)
    }

    /// Root of the API.
    pub fn api(&self) -> String {
        format!("{}/api/v1", self.base)
    }

    /// Gate of a job, to which `rule` or `slo` are added.
    pub fn gate(&self, job: &str) -> String {
        format!("{}/jobs/{}/gate", self.api(), escaped(job))
    }

    /// Hook of the gate for programs that send no headers: `promotion` or `rollback`.
    pub fn hook(&self, job: &str, key: &str, hook: &str) -> String {
        format!("{}/gate/{}/{}/{hook}", self.api(), escaped(job), escaped(key))
    }

    pub fn badge(&self, job: &str) -> String {
        format!("{}/badge/{}.svg", self.api(), escaped(job))
    }

    /// Atom feed of incidents.
    pub fn feed(&self) -> String {
        format!("{}/incidents.atom", self.api())
    }
}

/// A time in a path or query.
pub fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// Adds parameters to an address; those without a value are left out.
pub fn with_query(address: &str, parameters: &[(&str, Option<&str>)]) -> String {
    let mut text = address.to_owned();
    let mut sign = if address.contains('?') { '&' } else { '?' };
    for (name, value) in parameters.iter().filter_map(|(name, value)| Some((name, (*value)?))) {
        text.push(sign);
        text.push_str(name);
        text.push('=');
        text.push_str(&escaped(value));
        sign = '&';
    }
    text
}

/// Escapes text for a segment of a path or a value of a query: everything but the unreserved characters of RFC 3986.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            let _infallible = write!(escaped, "%{byte:02X}");
        }
    }
    // A browser resolves these segments away.
    match escaped.as_str() {
        "." => "%2E".to_owned(),
        ".." => "%2E%2E".to_owned(),
        _ => escaped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_an_address_of_a_site() {
        for (base, host) in [
            ("https://trueup.example.org", "trueup.example.org"),
            ("https://trueup.example.org:8443/", "trueup.example.org"),
            ("http://127.0.0.1:9187", "127.0.0.1"),
            ("https://[::1]:9187/monitoring", "[::1]"),
        ] {
            assert_eq!(Links::new(base).unwrap().host(), host);
        }
        for base in ["", "trueup.example.org", "https://", "ftp://x", "https://x/?a=1", "https://x#y", "https://x y"] {
            assert_eq!(Links::new(base), None, "{base}");
        }
        assert!(Links::new("https://x").unwrap().is_origin() && !Links::new("https://x/y").unwrap().is_origin());
    }

    #[test]
    fn names_of_data_are_escaped() {
        let links = Links::new("https://t.example/").unwrap();
        assert_eq!(links.incident(17), "https://t.example/incidents/17");
        assert_eq!(links.rule("a", "ü/..?x"), "https://t.example/jobs/a/rules/%C3%BC%2F..%3Fx");
        let end = DateTime::from_timestamp(0, 0).unwrap();
        assert_eq!(
            links.window("a", "rolling 24h", end),
            "https://t.example/jobs/a/windows/rolling-24h/1970-01-01T00:00:00Z"
        );
        assert_eq!(
            with_query(&links.job("a"), &[("cohort", Some("region=a&b")), ("version", None), ("tz", Some("UTC"))]),
            "https://t.example/jobs/a?cohort=region%3Da%26b&tz=UTC"
        );
    }
}
