//! Signed addresses for readers that cannot sign in and send no headers.

use secrecy::SecretString;

use crate::text::links::{Links, with_query};
use crate::web::session::tag;

/// An address with its use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedLink {
    pub name: &'static str,
    pub address: String,
}

/// Returns the addresses of a job. They hold until the token changes. Without a token nothing is signed, and there are no hooks for
/// Flagger.
pub fn links(token: Option<&SecretString>, links: &Links, job: &str) -> Vec<SignedLink> {
    let key = |purpose: &str, text: &str| token.and_then(|token| tag(token, purpose, text));
    let link = |name, address| SignedLink { name, address };
    let query = |address: String, key: Option<String>| with_query(&address, &[("k", key.as_deref())]);
    let mut all = vec![
        link("badge", query(links.badge(job), key("badge", job))),
        link("feed of all incidents", query(links.feed(), key("atom", "incidents"))),
    ];
    if let Some(key) = key("gate", job) {
        all.push(link("Flagger confirm-promotion", links.hook(job, &key, "promotion")));
        all.push(link("Flagger rollback", links.hook(job, &key, "rollback")));
    }
    all.push(link("gate", links.gate(job)));
    all
}
