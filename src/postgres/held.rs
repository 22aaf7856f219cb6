//! A pooled connection that is closed, not returned, when the work on it is cancelled.
//!
//! A future dropped in the middle of a statement leaves the session busy or in a transaction. Returned to the pool it
//! would hang the next borrower or swallow its writes.

use std::ops::{Deref, DerefMut};

use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, PgPool, Postgres};

/// A borrowed connection. Call [`Held::release`] when the work came to an end, good or bad.
pub struct Held(Option<PoolConnection<Postgres>>);

impl Held {
    /// Borrows a connection.
    pub async fn acquire(pool: &PgPool) -> sqlx::Result<Self> {
        Ok(Self(Some(pool.acquire().await?)))
    }

    /// Gives it back to the pool.
    pub fn release(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(connection.detach());
        }
    }
}

impl Deref for Held {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.0.as_ref().expect("a held connection is there until it is released")
    }
}

impl DerefMut for Held {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.0.as_mut().expect("a held connection is there until it is released")
    }
}
