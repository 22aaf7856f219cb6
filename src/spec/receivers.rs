//! `trueup.toml`, key by key: receivers and process settings that stand beside the jobs.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

/// Settings of the process. Everything is optional.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SettingsSpec {
    /// Who can be told, by name.
    #[serde(default)]
    pub receivers: BTreeMap<String, ReceiverSpec>,
    #[serde(default)]
    pub database: DatabaseSection,
    #[serde(default)]
    pub scheduler: SchedulerSection,
    #[serde(default)]
    pub retention: RetentionSection,
}

/// How the database is used.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DatabaseSection {
    /// Most connections of this process. Default 8.
    pub max_connections: Option<i64>,
}

/// How runs are claimed.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SchedulerSection {
    /// How long a claim lasts without renewal; a dead runner's work resumes after it. Default `30s`.
    pub lease: Option<String>,
    /// How often the ledger is looked at. Default `2s`.
    pub poll: Option<String>,
}

/// How long history is kept. `serve` removes what is older, a little at a time.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetentionSection {
    /// Age of a window at which its corrections, verdicts and buckets go; first reports stay. Default `395d` (13 months).
    pub windows: Option<String>,
}

/// One receiver.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReceiverSpec {
    /// `email` or `webhook`.
    #[serde(rename = "type")]
    pub kind: ReceiverKind,
    /// email: addresses to tell.
    pub to: Option<Vec<String>>,
    /// email: address of the sender.
    pub from: Option<String>,
    /// email: the server that takes the mail.
    pub smtp: Option<SmtpSpec>,
    /// webhook: where to post. May hold a secret: `{ env = "NAME" }`.
    pub url: Option<TextOrSecret>,
    /// webhook: `trueup`, `alertmanager`, `pagerduty` or `slack`.
    pub format: Option<WebhookFormat>,
    /// webhook: allow `http://`. Default false.
    pub allow_http: Option<bool>,
    /// webhook: private networks that may be reached, such as `10.1.0.0/16`.
    pub allow_networks: Option<Vec<String>>,
    /// webhook: secret of the signature, `whsec_` and base64.
    pub signing_secret: Option<SecretSpec>,
}

/// What kind of receiver it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReceiverKind {
    Email,
    Webhook,
}

/// Shape of a webhook body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WebhookFormat {
    Trueup,
    Alertmanager,
    Pagerduty,
    Slack,
}

/// The server that takes mail.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SmtpSpec {
    pub host: String,
    /// Default: 587 with `starttls`, 465 with `implicit`, 25 with `none`.
    pub port: Option<u16>,
    /// `starttls` (default), `implicit`, or `none` (loopback only).
    pub tls: Option<SmtpTls>,
    pub username: Option<String>,
    pub password: Option<SecretSpec>,
}

/// How the connection to the mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SmtpTls {
    Starttls,
    Implicit,
    None,
}

/// Where a secret is. Never the secret itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretSpec {
    /// Name of an environment variable.
    pub env: Option<String>,
    /// Path of a file; a trailing newline is dropped.
    pub file: Option<String>,
}

/// Plain text, or a reference to a secret.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum TextOrSecret {
    Text(String),
    Secret(SecretSpec),
}
