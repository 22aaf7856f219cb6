//! All integration tests: one program, one throw-away Postgres, a fresh database for each test.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test tells whoever runs it, and may end"
)]

mod acting;
mod addresses;
mod alerts;
mod alignment;
mod api;
mod architecture;
mod backfill;
mod changes;
mod citus;
mod classes;
mod cli;
mod commits;
mod crash;
mod delivery;
mod demo;
mod docs;
mod equality;
mod faults;
mod folder;
mod fuzz;
mod grafana;
mod guarded;
mod history;
mod hostile;
mod init;
mod init_classes;
mod init_columns;
mod init_csv;
mod injection;
mod leads;
mod linked;
mod local_postgres;
mod looking;
mod messages;
mod metrics;
mod mistakes;
mod months;
mod multiclass;
mod no_postgres;
mod notifications;
mod outages;
mod own_schema;
mod pages;
mod pages_explore;
mod pages_incident;
mod pages_operate;
mod peers;
mod poolers;
mod queries;
mod random;
mod recipients;
mod replay;
mod roles;
mod romania;
mod serve;
mod servers;
mod settings;
mod shrink;
mod silence;
mod silences;
mod statements;
mod states;
mod storage;
mod stories;
mod storm;
mod support;
mod syntax;
mod takeover;
mod templates;
mod terminal;
mod values;
mod web;
