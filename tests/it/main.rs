//! All integration tests: one program, one throw-away Postgres, a fresh database for each test.

mod history;
mod romania;
mod support;
