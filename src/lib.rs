//! trueup joins predictions with the labels that arrive later, keeps the revised history of a model's error in Postgres, and
//! notifies the right person, with a runbook link, when it matters.
//!
//! Data flows in one direction: `spec → plan → sql → warehouse` measures, `evaluate` judges, `alerting`, `dispatch` and `notify`
//! notify, and `pipeline` is one run of it all. `ARCHITECTURE.md` describes the rooms.

pub mod alerting;
pub mod chart;
pub mod cli;
pub mod commands;
pub mod dispatch;
pub mod domain;
pub mod evaluate;
pub mod metric;
pub mod notify;
pub mod pipeline;
pub mod plan;
pub mod postgres;
pub mod scheduler;
pub mod settings;
pub mod spec;
pub mod sql;
pub mod store;
pub mod telemetry;
pub mod text;
pub mod warehouse;
pub mod web;
