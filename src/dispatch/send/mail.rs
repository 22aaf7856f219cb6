//! Sends one mail to each address separately: an address that accepted it does not get it again, and none waits for another.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use sqlx::PgPool;

use crate::notify::message::Notice;
use crate::notify::transport::delivery::Delivery;
use crate::notify::transport::email::EmailReceiver;
use crate::postgres::held;
use crate::store::outbox::delivery::{self, Leased, Recipients};

/// Addresses that are contacted concurrently. Servers limit connections.
const AT_ONCE: usize = 4;
/// Time after which no further address is contacted in the same attempt, so that the last one ends within the attempt's time.
const BEGIN_WITHIN: Duration = Duration::from_secs(14);

/// Sends a mail to each address that has neither accepted nor refused it; records each answer before contacting the next.
pub(super) async fn deliver(pool: &PgPool, email: &EmailReceiver, leased: &Leased, notice: &Notice) -> Delivery {
    let mail = match email.written(leased.id, notice) {
        Ok(mail) => mail,
        Err(failure) => return Delivery::Refused { status: None, failure },
    };
    let started = Instant::now();
    let mut addresses = email.addresses();
    let all: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    addresses.retain(|address| !leased.recipients.contains_key(&address.to_string()));
    // Each attempt begins with a different address, so that a slow server does not starve the same one every time.
    let first = usize::try_from(leased.attempt - 1).unwrap_or_default() % addresses.len().max(1);
    addresses.rotate_left(first);
    let asked = addresses.into_iter().map(|address| {
        let mail = &mail;
        async move {
            let name = address.to_string();
            let answer = match () {
                () if waits_for_an_earlier(leased, &name) => failed("an earlier mail of the group is still pending"),
                () if started.elapsed() > BEGIN_WITHIN => failed("not tried: the mail server is too slow"),
                () => email.send(&address, mail).await,
            };
            (noted(pool, leased, &name, answer).await, name)
        }
    });
    let answers: Vec<(Delivery, String)> = futures::stream::iter(asked).buffer_unordered(AT_ONCE).collect().await;
    let answers = answers.into_iter().map(|(answer, name)| (name, answer)).collect();
    together(&all, &leased.recipients, answers)
}

/// True if an earlier mail of the same topic is still pending for an address.
fn waits_for_an_earlier(leased: &Leased, address: &str) -> bool {
    leased.earlier.iter().any(|settled| !settled.contains_key(address))
}

fn failed(why: &str) -> Delivery {
    Delivery::Failed { status: None, failure: why.to_owned(), retry_after: None }
}

/// Records the answer of an address if it is final. If that fails, the address gets the mail again, with the same id.
async fn noted(pool: &PgPool, leased: &Leased, address: &str, answer: Delivery) -> Delivery {
    let refused = match &answer {
        Delivery::Accepted { .. } => None,
        Delivery::Refused { failure, .. } => Some(failure.as_str()),
        _ => return answer,
    };
    let noted = held::within(pool, held::SHORT, async |connection| {
        delivery::settle_recipient(connection, leased, address, refused).await
    });
    match noted.await {
        Ok(_) => answer,
        Err(_) => failed("could not record the answer of the mail server"),
    }
}

/// Combines the answers of all addresses.
fn together(all: &[String], settled: &Recipients, answers: BTreeMap<String, Delivery>) -> Delivery {
    let mut accepted = None;
    let mut troubles = Vec::new();
    let mut status = None;
    let mut is_final = true;
    for address in all {
        let trouble = match (answers.get(address), settled.get(address)) {
            (Some(Delivery::Accepted { status }), _) => {
                accepted = Some(*status);
                continue;
            }
            (None, Some(None)) => {
                accepted = accepted.or(Some(None));
                continue;
            }
            (None, Some(Some(why))) => why.clone(),
            (Some(Delivery::Refused { status: code, failure }), _) => {
                status = status.or(*code);
                failure.clone()
            }
            (Some(Delivery::Failed { status: code, failure, .. }), _) => {
                status = status.or(*code);
                is_final = false;
                failure.clone()
            }
            _ => continue,
        };
        troubles.push((address, trouble));
    }
    let failure = match (troubles.as_slice(), all.len()) {
        ([], _) => return Delivery::Accepted { status: accepted.flatten() },
        ([(_, trouble)], 1) => trouble.clone(),
        (several, _) => several.iter().map(|(address, why)| format!("{address}: {why}")).collect::<Vec<_>>().join("; "),
    };
    match (accepted, is_final) {
        (Some(_), is_final) => Delivery::Partly { status, failure, is_final },
        (None, true) => Delivery::Refused { status, failure },
        (None, false) => Delivery::Failed { status, failure, retry_after: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: u16) -> Delivery {
        let failure = format!("the mail server answered {code}");
        match code {
            250 => Delivery::Accepted { status: Some(code) },
            400..500 => Delivery::Failed { status: Some(code), failure, retry_after: None },
            _ => Delivery::Refused { status: Some(code), failure },
        }
    }

    fn outcome(settled: &[(&str, Option<&str>)], answers: &[(&str, u16)]) -> Delivery {
        let all = ["a", "b", "c"].map(str::to_owned);
        let settled = settled.iter().map(|(name, why)| ((*name).to_owned(), why.map(str::to_owned))).collect();
        together(&all, &settled, answers.iter().map(|(name, code)| ((*name).to_owned(), answer(*code))).collect())
    }

    #[test]
    fn each_address_is_named_with_its_answer_and_only_those_that_may_take_it_are_asked_again() {
        assert_eq!(outcome(&[], &[("a", 250), ("b", 250), ("c", 250)]), answer(250));
        let partly =
            |status, failure: &str, is_final| Delivery::Partly { status, failure: failure.to_owned(), is_final };
        assert_eq!(
            outcome(&[], &[("a", 250), ("b", 452), ("c", 550)]),
            partly(Some(452), "b: the mail server answered 452; c: the mail server answered 550", false)
        );
        assert_eq!(outcome(&[("a", None), ("c", Some("gone"))], &[("b", 250)]), partly(None, "c: gone", true));
        assert_eq!(outcome(&[("a", None), ("b", None)], &[("c", 250)]), answer(250));
        assert!(matches!(outcome(&[], &[("a", 550), ("b", 550), ("c", 551)]), Delivery::Refused { .. }));
        assert!(matches!(outcome(&[], &[("a", 550), ("b", 550), ("c", 451)]), Delivery::Failed { .. }));
    }
}
