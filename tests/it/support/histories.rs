//! Many random histories, a few at a time. `TRUEUP_HISTORIES` says how many, `TRUEUP_SEED` repeats one.

use chrono::Utc;
use futures::stream::{self, StreamExt};
use tokio::runtime::Handle;

use super::fleet::size;

/// Runs a history for each seed and adds up what they come to. Returns how many there were, too.
pub async fn all<T, F>(
    in_ci: u64,
    history: impl Fn(u64) -> F + Copy + Send + 'static,
    plus: impl Fn(T, T) -> T,
) -> (u64, T)
where
    T: Default + std::fmt::Debug + Send + 'static,
    F: Future<Output = T>,
{
    let histories = size("TRUEUP_HISTORIES", in_ci);
    let first = size("TRUEUP_SEED", u64::from(Utc::now().timestamp().unsigned_abs() as u32) << 20);
    println!("{histories} histories, first seed {first}");
    let mut ended = stream::iter(0..histories)
        // On threads of their own: a backfill is not `Send` in all its parts.
        .map(|n| tokio::task::spawn_blocking(move || Handle::current().block_on(history(first + n))))
        .buffer_unordered(4);
    let mut totals = T::default();
    let mut done = 0_u64;
    while let Some(one) = ended.next().await {
        totals = plus(totals, one.expect("a history"));
        done += 1;
        if done.is_multiple_of(100) {
            println!("{done} of {histories}: {totals:?}");
        }
    }
    println!("{totals:?}");
    (histories, totals)
}
