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
    /// Who is told when a rule and its job name nobody, and how messages are spaced.
    #[serde(default)]
    pub routing: RoutingSection,
    /// In order: the first that fits decides.
    #[serde(default)]
    pub routes: Vec<RouteSpec>,
    /// Times at which alerts are expected and tell nobody.
    #[serde(default)]
    pub maintenance: Vec<MaintenanceSpec>,
    /// A heartbeat to somebody outside, who notices when it stops.
    pub watchdog: Option<WatchdogSpec>,
    /// Health and metrics over HTTP, while `serve` runs.
    pub web: Option<WebSection>,
    #[serde(default)]
    pub database: DatabaseSection,
    #[serde(default)]
    pub scheduler: SchedulerSection,
    #[serde(default)]
    pub retention: RetentionSection,
}

/// What holds for all routes.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RoutingSection {
    /// Receiver that is told when no route fits, and when another receiver cannot be reached for two minutes.
    pub fallback: Option<String>,
    /// How long a first message waits for more of the same job. Default `30s`.
    pub group_wait: Option<String>,
    /// Least time between two messages about the same job. Default `5m`.
    pub group_interval: Option<String>,
    /// After how long what still fires is told again. Default `4h`.
    pub repeat_interval: Option<String>,
}

/// One route: which alerts, and who is told of them.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteSpec {
    /// Which alerts. Default: all.
    #[serde(default, rename = "match")]
    pub matcher: MatchSpec,
    /// Receivers. What a rule or its job names in `notify` comes first.
    #[serde(default)]
    pub notify: Vec<String>,
    pub group_wait: Option<String>,
    pub group_interval: Option<String>,
    pub repeat_interval: Option<String>,
    /// Only at these times; what comes at others waits.
    pub hours: Option<HoursSpec>,
    /// One message a day.
    pub digest: Option<DigestSpec>,
    /// Who else is told when nobody acknowledges.
    pub escalate: Option<EscalateSpec>,
    /// Whether routes after this one are looked at too. Default false.
    #[serde(rename = "continue")]
    pub continue_matching: Option<bool>,
}

/// Labels that must fit. `*` stands for any text.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MatchSpec {
    pub job: Option<String>,
    pub rule: Option<String>,
    /// `page`, `ticket` or `info`.
    pub severity: Option<String>,
    pub owner: Option<String>,
    /// As in the history: `all`, `region=north`, or a pattern such as `region=*`.
    pub cohort: Option<String>,
}

/// Times at which somebody is there.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HoursSpec {
    /// `mon`, `tue`, `wed`, `thu`, `fri`, `sat`, `sun`. Default: Monday to Friday.
    pub days: Option<Vec<String>>,
    /// Such as `09:00`.
    pub from: String,
    /// Exclusive.
    pub to: String,
    /// IANA name. Default `UTC`.
    pub timezone: Option<String>,
}

/// The time of a daily message.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DigestSpec {
    /// Such as `09:00`.
    pub at: String,
    /// IANA name. Default `UTC`.
    pub timezone: Option<String>,
}

/// Escalation.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EscalateSpec {
    /// After this long without acknowledgement.
    pub after: String,
    pub notify: Vec<String>,
}

/// A maintenance that comes again and again.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MaintenanceSpec {
    /// Which alerts. Default: all.
    #[serde(default, rename = "match")]
    pub matcher: MatchSpec,
    /// When it begins: a cron expression of 5 fields, or 6 with seconds.
    pub cron: String,
    /// How long it lasts, such as `2h`.
    pub duration: String,
    /// IANA name. Default `UTC`.
    pub timezone: Option<String>,
    /// Why.
    pub reason: String,
}

/// A heartbeat to somebody outside.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WatchdogSpec {
    /// Where it is posted. May hold a secret: `{ env = "NAME" }`.
    pub url: TextOrSecret,
    /// How often. Default `1m`.
    pub every: Option<String>,
    /// Oldest message or run that may wait without the heartbeat stopping. Default `5m`.
    pub patience: Option<String>,
    /// Allow `http://`. Default false.
    pub allow_http: Option<bool>,
    /// Private networks that may be reached.
    pub allow_networks: Option<Vec<String>>,
}

/// Health and metrics over HTTP: `/healthz`, `/readyz`, `/metrics`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebSection {
    /// Address and port, such as `127.0.0.1:9187`. Another address than loopback needs a `token`.
    pub listen: String,
    /// What `/metrics` asks for as `Authorization: Bearer ...`.
    pub token: Option<SecretSpec>,
    /// Host names by which it may be asked, besides those of loopback; `*` for any.
    pub hosts: Option<Vec<String>>,
}

/// How the database is used.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DatabaseSection {
    /// Most connections of this process. Default 8.
    pub max_connections: Option<i64>,
    /// Functions that a `query` of a job may call beside those of Postgres: `["public.to_mw"]`. They must not be volatile.
    pub allow_functions: Option<Vec<String>>,
    /// Roles that may own tables, views and functions that jobs read: with the rights of the runner they can do what it can.
    /// `doctor` names all other owners but superusers.
    pub trusted_owners: Option<Vec<String>>,
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
    /// Age of a window at which its verdicts and buckets go, and of its revisions those between the first and the latest. Default `395d` (13 months).
    pub windows: Option<String>,
    /// Age of rolling windows from which one a day stays, the last by UTC, with its first report and its latest revision. Those that
    /// a rule or the horizon of a job still needs stay longer, and those of incidents. Default `90d`, at least `7d`.
    pub rolling: Option<String>,
}

/// One receiver.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReceiverSpec {
    /// `email`, `webhook` or `alertmanager`.
    #[serde(rename = "type")]
    pub kind: ReceiverKind,
    /// email: addresses to tell.
    pub to: Option<Vec<String>>,
    /// email: address of the sender.
    pub from: Option<String>,
    /// email: the server that takes the mail.
    pub smtp: Option<SmtpSpec>,
    /// webhook: where to post; alertmanager: its address, such as `https://alertmanager.example.org`. May hold a secret: `{ env = "NAME" }`.
    pub url: Option<TextOrSecret>,
    /// webhook: `trueup`, `alertmanager`, `pagerduty` or `slack`.
    pub format: Option<WebhookFormat>,
    /// webhook: allow `http://`. Default false.
    pub allow_http: Option<bool>,
    /// webhook: private networks that may be reached, such as `10.1.0.0/16`.
    pub allow_networks: Option<Vec<String>>,
    /// webhook: secret of the signature, `whsec_` and base64. A list signs with each, while a secret is replaced.
    pub signing_secret: Option<OneOrMany>,
    /// webhook of format `pagerduty`: the integration key.
    pub routing_key: Option<SecretSpec>,
    /// webhook, alertmanager: more headers, such as `Authorization = { env = "NAME" }`.
    pub headers: Option<BTreeMap<String, TextOrSecret>>,
    /// Whether the end of an alert is told. Default true.
    pub send_resolved: Option<bool>,
    /// alertmanager: how often a firing alert is sent again. Default `1m`.
    pub resend: Option<String>,
    /// Texts of one's own, in Jinja's syntax; `trueup schema webhook` says what they can use.
    pub templates: Option<TemplatesSpec>,
}

/// What kind of receiver it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReceiverKind {
    Email,
    Webhook,
    Alertmanager,
}

/// Texts of one's own.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TemplatesSpec {
    /// The one line: subject, summary.
    pub title: Option<String>,
    /// The whole message as plain text.
    pub text: Option<String>,
    /// webhook: the body as a table, for a service with a format of its own. Each text in it is a template.
    pub body: Option<serde_json::Map<String, serde_json::Value>>,
}

/// One secret, or several.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OneOrMany {
    One(SecretSpec),
    Many(Vec<SecretSpec>),
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
