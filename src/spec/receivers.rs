//! `trueup.toml`, key by key: receivers and process settings.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

/// Settings of the process. Every key is optional.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SettingsSpec {
    /// Receivers, by name.
    #[serde(default)]
    pub receivers: BTreeMap<String, ReceiverSpec>,
    /// Fallback receiver, and timing of notifications.
    #[serde(default)]
    pub routing: RoutingSection,
    /// Routes in order: the first that matches decides.
    #[serde(default)]
    pub routes: Vec<RouteSpec>,
    /// Recurring maintenance, during which alerts are expected and suppressed.
    #[serde(default)]
    pub maintenance: Vec<MaintenanceSpec>,
    /// Heartbeat to an external service that alerts when it stops.
    pub watchdog: Option<WatchdogSpec>,
    /// Health and metrics over HTTP while `serve` runs.
    pub web: Option<WebSection>,
    #[serde(default)]
    pub database: DatabaseSection,
    #[serde(default)]
    pub scheduler: SchedulerSection,
    #[serde(default)]
    pub retention: RetentionSection,
}

/// Defaults of all routes.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RoutingSection {
    /// Receiver that is notified when no route matches, and when another receiver cannot be reached for two minutes.
    pub fallback: Option<String>,
    /// How long a first notification waits for more alerts of the same job. Default `30s`.
    pub group_wait: Option<String>,
    /// Minimum time between two notifications about the same job. Default `5m`.
    pub group_interval: Option<String>,
    /// Time after which the notification of a firing alert is repeated. Default `4h`.
    pub repeat_interval: Option<String>,
}

/// One route: a matcher of alerts, and their receivers.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteSpec {
    /// Alerts that match. Default: all.
    #[serde(default, rename = "match")]
    pub matcher: MatchSpec,
    /// Receivers. `notify` of a rule or its job takes precedence.
    #[serde(default)]
    pub notify: Vec<String>,
    pub group_wait: Option<String>,
    pub group_interval: Option<String>,
    pub repeat_interval: Option<String>,
    /// Notify only at these times; other notifications are deferred.
    pub hours: Option<HoursSpec>,
    /// Send one notification a day.
    pub digest: Option<DigestSpec>,
    /// Additional receivers of alerts that are not acknowledged.
    pub escalate: Option<EscalateSpec>,
    /// Also evaluate the routes after this one. Default false.
    #[serde(rename = "continue")]
    pub continue_matching: Option<bool>,
}

/// Labels that must match. `*` matches any text.
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

/// Times at which a route notifies.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HoursSpec {
    /// `mon`, `tue`, `wed`, `thu`, `fri`, `sat`, `sun`. Default: Monday to Friday.
    pub days: Option<Vec<String>>,
    /// Time of day, such as `09:00`.
    pub from: String,
    /// Time of day, exclusive.
    pub to: String,
    /// IANA name. Default `UTC`.
    pub timezone: Option<String>,
}

/// Time of a daily notification.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DigestSpec {
    /// Time of day, such as `09:00`.
    pub at: String,
    /// IANA name. Default `UTC`.
    pub timezone: Option<String>,
}

/// Escalation.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EscalateSpec {
    /// Time without acknowledgement after which the alert is escalated.
    pub after: String,
    pub notify: Vec<String>,
}

/// A recurring maintenance.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MaintenanceSpec {
    /// Alerts that match. Default: all.
    #[serde(default, rename = "match")]
    pub matcher: MatchSpec,
    /// Start: a cron expression of 5 fields, or 6 with seconds first.
    pub cron: String,
    /// Length, such as `2h`.
    pub duration: String,
    /// IANA name. Default `UTC`.
    pub timezone: Option<String>,
    /// Reason, in a few words.
    pub reason: String,
}

/// Heartbeat to an external service.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WatchdogSpec {
    /// Address that the heartbeat is posted to. May be a secret: `{ env = "NAME" }`.
    pub url: TextOrSecret,
    /// Interval of the heartbeat. Default `1m`.
    pub every: Option<String>,
    /// Longest time that a notification or run may wait before the heartbeat stops. Default `5m`.
    pub patience: Option<String>,
    /// Allow `http://`. Default false.
    pub allow_http: Option<bool>,
    /// Private networks that may be reached.
    pub allow_networks: Option<Vec<String>>,
}

/// Pages, API, probes and metrics over HTTP.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebSection {
    /// Address and port, such as `127.0.0.1:9187`. Addresses other than loopback need a `token` or a `proxy`.
    pub listen: String,
    /// Address under which users reach the pages, such as `https://trueup.example.org`: messages link to it. Its host must be in
    /// `hosts`. Without it, messages carry no links.
    pub base_url: Option<String>,
    /// Token that `/metrics` and the API require as `Authorization: Bearer ...`, and that users sign in with.
    pub token: Option<SecretSpec>,
    /// Host names accepted in requests, in addition to those of loopback; `*` for any.
    pub hosts: Option<Vec<String>>,
    /// How users sign in: `none` (loopback addresses only), `token` (a form asks for the token) or `proxy`. Default: `proxy` if
    /// `proxy` is set, else `token` if `token` is set, else `none`.
    pub login: Option<LoginSpec>,
    /// Reverse proxy that authenticates users.
    pub proxy: Option<ProxySpec>,
    /// Database connection of the pages. Default: that of the runner, read-only.
    pub database: Option<WebDatabaseSpec>,
    /// Origins of sites that may show pages in a frame, such as `https://portal.example.org`. Default: none.
    pub embed: Option<Vec<String>>,
    /// Parts that need no sign-in. Default: none.
    pub public: Option<PublicSpec>,
    /// Time zone of the pages. Default `UTC`.
    pub timezone: Option<String>,
}

/// How users of the pages sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LoginSpec {
    None,
    Token,
    Proxy,
}

/// A reverse proxy that authenticates users and names them in headers.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProxySpec {
    /// Networks of the proxy, such as `10.0.0.0/8`. The headers are refused from any other address.
    pub from: Vec<String>,
    /// Header with the user, such as `X-Forwarded-Email`.
    pub user: String,
    /// Header with the groups of the user, separated by commas.
    pub groups: Option<String>,
    /// Groups that may acknowledge, resolve and silence alerts. Default: all users.
    pub act: Option<Vec<String>>,
}

/// Database connection of the pages.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebDatabaseSpec {
    /// Address of the database with a role that may only read.
    pub url: Option<SecretSpec>,
    /// Maximum number of connections of the pages. Default 4.
    pub max_connections: Option<i64>,
    /// Limit of one statement. Default `2s`.
    pub timeout: Option<String>,
}

/// Parts that need no sign-in.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PublicSpec {
    /// Jobs whose badges are public.
    pub badges: Option<Vec<String>>,
}

/// Use of the database.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DatabaseSection {
    /// Maximum number of connections of this process. Default 8.
    pub max_connections: Option<i64>,
    /// Functions that a `query` of a job may call in addition to those of Postgres: `["public.to_mw"]`. Must not be volatile.
    pub allow_functions: Option<Vec<String>>,
    /// Roles trusted to own the tables, views and functions that jobs read; such an owner can act with the rights of the runner.
    /// `doctor` lists all other owners except superusers.
    pub trusted_owners: Option<Vec<String>>,
}

/// Claiming of runs.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SchedulerSection {
    /// How long a claim lasts without renewal; the work of a failed runner resumes after it. Default `30s`.
    pub lease: Option<String>,
    /// How often the ledger is polled. Default `2s`.
    pub poll: Option<String>,
}

/// Retention of history. `serve` deletes older rows in small batches.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetentionSection {
    /// Age at which the verdicts and buckets of a window are deleted, and its revisions between the first and the latest. Default
    /// `395d` (13 months).
    pub windows: Option<String>,
    /// Age from which only the last rolling window of each UTC day is kept, with its first report and its latest revision.
    /// Windows of incidents, and those that a rule or the horizon of a job still needs, are kept longer. Default `90d`, at
    /// least `7d`.
    pub rolling: Option<String>,
}

/// One receiver.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReceiverSpec {
    /// `email`, `webhook` or `alertmanager`.
    #[serde(rename = "type")]
    pub kind: ReceiverKind,
    /// email: addresses of the recipients.
    pub to: Option<Vec<String>>,
    /// email: address of the sender.
    pub from: Option<String>,
    /// email: the SMTP server.
    pub smtp: Option<SmtpSpec>,
    /// webhook: address to post to; alertmanager: its address, such as `https://alertmanager.example.org`. May be a secret:
    /// `{ env = "NAME" }`.
    pub url: Option<TextOrSecret>,
    /// webhook: `trueup`, `alertmanager`, `pagerduty` or `slack`.
    pub format: Option<WebhookFormat>,
    /// webhook: allow `http://`. Default false.
    pub allow_http: Option<bool>,
    /// webhook: private networks that may be reached, such as `10.1.0.0/16`.
    pub allow_networks: Option<Vec<String>>,
    /// webhook: signing secret, `whsec_` followed by base64. A list signs with each secret, for rotation.
    pub signing_secret: Option<OneOrMany>,
    /// webhook of format `pagerduty`: the integration key.
    pub routing_key: Option<SecretSpec>,
    /// webhook, alertmanager: additional headers, such as `Authorization = { env = "NAME" }`.
    pub headers: Option<BTreeMap<String, TextOrSecret>>,
    /// Notify when an alert resolves. Default true.
    pub send_resolved: Option<bool>,
    /// alertmanager: how often a firing alert is sent again. Default `1m`.
    pub resend: Option<String>,
    /// Custom texts, in Jinja syntax; `trueup schema webhook` lists the fields that they can use.
    pub templates: Option<TemplatesSpec>,
}

/// Type of a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReceiverKind {
    Email,
    Webhook,
    Alertmanager,
}

/// Custom texts.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TemplatesSpec {
    /// Single line: the subject or summary.
    pub title: Option<String>,
    /// The whole message as plain text.
    pub text: Option<String>,
    /// webhook: the body as a table, for a service with its own format. Each text in it is a template.
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

/// SMTP server.
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

/// Encryption of the connection to the mail server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SmtpTls {
    Starttls,
    Implicit,
    None,
}

/// Reference to a secret, never the secret itself.
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
