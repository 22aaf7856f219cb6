//! Every code of a finding, with what it means and what mends it. `docs/errors.md` is printed from here.

/// A code and its page.
#[derive(Debug, Clone, Copy)]
pub struct Code {
    pub name: &'static str,
    /// What is wrong, and why it matters.
    pub means: &'static str,
    /// What to do about it.
    pub mend: &'static str,
}

const fn code(name: &'static str, means: &'static str, mend: &'static str) -> Code {
    Code { name, means, mend }
}

/// All of them, by name.
pub const CODES: &[Code] = &[
    code(
        "always-in-breach",
        "Every value is beyond the limits: the rule would fire for ever.",
        "Check the signs: `above` is the upper limit, `below` the lower one.",
    ),
    code(
        "ambiguous-dimension",
        "Two cohort declarations give one name to two different expressions.",
        "Rename one of them.",
    ),
    code("bad-address", "This is not a mail address.", "Write `name@example.org`, or `Name <name@example.org>`."),
    code(
        "bad-bucket",
        "Windows are sums of whole buckets, and this bucket does not divide them or the offsets of the time zone.",
        "Leave `bucket` out, or use one that divides all windows.",
    ),
    code(
        "bad-column",
        "A Postgres column name has 1 to 63 bytes.",
        "Write the name as it is in the table, without quotes.",
    ),
    code("bad-cron", "This is not a cron expression.", "Write five fields, `*/15 * * * *`, or six with seconds first."),
    code("bad-day", "This is not a day of the week.", "Use mon, tue, wed, thu, fri, sat or sun."),
    code("bad-dimensions", "A cohort declaration has no dimension, or too many.", "Name one to a few columns in `by`."),
    code(
        "bad-distance",
        "This is not a distance from a baseline.",
        "Write `\"20%\"`, `30.0`, `\"3 mad\"`, or a list of these that must all be exceeded.",
    ),
    code("bad-duration", "This is not a duration.", "Write a whole number and a unit: `15m`, `24h`, `7d`, `2w`."),
    code(
        "bad-expression",
        "This is not one SQL expression of the allowed kind, or the database cannot evaluate it.",
        "Use columns of the prediction row, operators and plain functions; no subqueries, no aggregates, no `;`.",
    ),
    code(
        "bad-factor",
        "A burn-rate factor must be a positive number.",
        "Use 14.4 for a fast page, 1 for a slow ticket, or `burn = \"auto\"`.",
    ),
    code("bad-for", "`for` counts windows, or names a duration.", "Write `for = 3` or `for = \"2h\"`."),
    code(
        "bad-function",
        "Not a function that a query may call: not written `schema.function`, missing, or volatile.",
        "List functions as `schema.function` in `[database] allow_functions`, and declare them `stable` or `immutable` in Postgres.",
    ),
    code("bad-header", "This cannot be a header, or trueup sets it itself.", "Use a name such as `Authorization`."),
    code("bad-limit", "A limit must be a finite number.", "Write it as a number, such as `250.0`."),
    code("bad-link", "A link must begin with http:// or https://.", "Write the whole address of the runbook."),
    code("bad-listen", "This is not an address and a port.", "Write `127.0.0.1:9187`."),
    code("bad-max-connections", "A process needs at least 2 connections, and no more than 100.", "Leave it out for 8."),
    code("bad-min-coverage", "`min_coverage` is a share.", "Use a number from 0 to 1, such as 0.9."),
    code("bad-min-samples", "`min_samples` counts pairs.", "Use a whole number of at least 1."),
    code(
        "bad-name",
        "This is not a name that can stand here.",
        "Job names: 1 to 63 of a-z, 0-9 and `-`, beginning with a letter or digit. Metrics: a-z, 0-9 and `_`. The message says which.",
    ),
    code("bad-network", "This is not a network or an address.", "Write `10.1.0.0/16`, or one address."),
    code(
        "bad-objective",
        "An objective is a share below 1: with 1 there would be no error budget.",
        "Use 0.95, for example.",
    ),
    code(
        "bad-of",
        "`of = [2, 3]` means two of the last three windows.",
        "The first number is at least 1 and at most the second.",
    ),
    code(
        "bad-query",
        "A query in place of a table must be one SELECT.",
        "Write one SELECT without `;`, or make a view.",
    ),
    code("bad-range", "The lower limit is not below the upper one.", "Swap them."),
    code(
        "bad-secret",
        "A secret is a reference, never a value.",
        "Write `{ env = \"NAME\" }` or `{ file = \"/run/secrets/name\" }`.",
    ),
    code("bad-table", "This is not a table name with its schema.", "Write `schema.table`, as in SQL."),
    code(
        "bad-template",
        "The template fails on a message that can come.",
        "It sees one name, `notice`; `docs/schema/webhook.json` says what is in it.",
    ),
    code("bad-time", "This is not a time of day.", "Write `09:00`."),
    code("bad-top", "`top` counts cohorts.", "Use a whole number from 1 up to the limit that the message names."),
    code(
        "bad-url",
        "This address cannot be used.",
        "Use an https address of the public internet, or allow what is meant with `allow_http` and `allow_networks`.",
    ),
    code(
        "bad-window",
        "This is not a window.",
        "Rolling windows are durations; tumbling ones `1h`, `6h`, `1d`, `1w`, `1mo` and such.",
    ),
    code(
        "bad-windows",
        "Long and short window of a burn rate do not fit each other or the period.",
        "The short one is shorter, and both are within the period.",
    ),
    code(
        "clears-never",
        "No value could ever end the alert.",
        "Put `clear_below` on the calm side of `above`, and `clear_above` of `below`.",
    ),
    code(
        "clears-what",
        "The rule has several conditions, so there is no one value that a clearing limit could be about.",
        "Use `clear_for`, or put the rule on one metric.",
    ),
    code(
        "cohort-type",
        "SQL groups the values of this column otherwise than by their text, as citext does.",
        "Use an expression that gives one text for all that are equal, such as lower(column::text).",
    ),
    code(
        "endless-maintenance",
        "The maintenance begins again before it ends: nobody would ever be told.",
        "Use a shorter `duration`, or a cron expression that comes less often.",
    ),
    code(
        "failing-value",
        "An expression fails on a row of the source: a division by zero, a text that is no number.",
        "Handle the value in the expression, with nullif or case. Such a row is left out of what the expression is for.",
    ),
    code(
        "fires-on-one",
        "One bad prediction or window would fire this burn rate.",
        "Raise `min_samples`, or use a longer window.",
    ),
    code("half-credentials", "A user without a password, or a password without a user.", "Give both, or none."),
    code(
        "key-mismatch",
        "The key of the labels does not fit that of the predictions.",
        "Name the same number of columns in both `id`s, in the same order. Where several predictions share a label, name fewer in `labels.id`: \
         those that `predictions.id` begins with.",
    ),
    code(
        "key-types",
        "The keys of predictions and labels cannot be compared.",
        "Give both columns one type, in the tables or in a view.",
    ),
    code(
        "many-cohorts",
        "A cohort column has very many values. Each needs buckets, and few of them have enough predictions to judge.",
        "Set `top`, or group the values by an expression.",
    ),
    code(
        "metric-needs",
        "The metric needs a setting that is not there.",
        "Add the key that the hint names, such as `tolerance`.",
    ),
    code("missing-key", "A key that is needed is not there.", "Add it, as the hint shows."),
    code(
        "moving-source",
        "A view behind the job depends on the moment at which it is read, so rows leave it by themselves.",
        "Read the table behind the view. History keeps what leaves.",
    ),
    code("never-due", "The schedule has no time at all, such as the 31st of February.", "Check day and month."),
    code("never-enough", "The rule needs more windows than are ever looked at.", "Use fewer windows, or a longer one."),
    code(
        "never-fires",
        "No value can be beyond this limit, or the budget cannot burn that fast: the largest burn rate is 1/(1 - objective).",
        "Use a limit or factor that can be reached, or `burn = \"auto\"`.",
    ),
    code(
        "no-arrived-at",
        "Nothing says when rows became visible, so every run reads the whole horizon again.",
        "Name the column that says when a row was written, on both tables, if there is one.",
    ),
    code(
        "no-burn",
        "The objective has no burn rate that could fire.",
        "Use `burn = \"auto\"`, or add one to the list.",
    ),
    code(
        "no-cohorts",
        "The rule judges each cohort, and the job declares none.",
        "Add `[[cohorts]]`, or use `cohorts = \"all\"`.",
    ),
    code("no-column", "The table has no such column.", "The hint has the nearest name."),
    code("no-condition", "Nothing is compared with anything.", "Add `above`, `below` or a distance from a baseline."),
    code("no-days", "Nobody is ever there.", "Name at least one day."),
    code(
        "no-deviation",
        "A metric without a spread cannot be a number of deviations away.",
        "Use a share or an amount.",
    ),
    code("no-hours", "The hours end before they begin.", "`from` comes before `to`, on the same day."),
    code(
        "no-index",
        "Without an index every run reads the whole table to find these rows.",
        "Create the index that the hint prints.",
    ),
    code(
        "no-indicator",
        "The objective does not say what is good.",
        "Add `good = \"...\"`, or `metric`, `window` and a limit.",
    ),
    code(
        "no-interval",
        "`significant` needs a metric that has a confidence interval.",
        "Use one of those that `trueup explain --metrics` marks, or leave `significant` out.",
    ),
    code("no-key", "Rows need a key.", "Name the column or columns in `id`."),
    code("no-metrics", "The job measures nothing.", "Add metrics to `[metrics] include`."),
    code("no-owner", "Nobody answers for the rule.", "Add `owner` to it or to `[job]`."),
    code(
        "no-reason",
        "A silence or a maintenance window has no reason: whoever wonders later why nothing came reads it.",
        "Write it in a few words.",
    ),
    code("no-recipient", "Nobody would be told.", "Name a receiver or an address."),
    code("no-routing-key", "PagerDuty needs its integration key.", "Add `routing_key = { env = \"NAME\" }`."),
    code(
        "no-runbook",
        "A page without a runbook wakes somebody who does not know what to do.",
        "Add `runbook = \"https://...\"` to the rule or to `[job]`.",
    ),
    code("no-schedule", "The job has no schedule.", "Add `every = \"15m\"` or `cron = \"...\"`."),
    code("no-sender", "A mail needs a sender.", "Add `from`."),
    code("no-smtp", "A mail needs a server.", "Add `smtp = { host = \"mail.example.org\" }`."),
    code("no-source", "Neither a table nor a query is named.", "Add `table = \"schema.table\"`."),
    code(
        "no-table",
        "There is no such table, or the role may not see it.",
        "Check the name, and the grants: `trueup migrate --print-grants`.",
    ),
    code(
        "no-timezone",
        "A time column without a time zone means a different moment on every machine.",
        "Make it `timestamptz`, or a view that says `at time zone`.",
    ),
    code(
        "no-unique-key",
        "Nothing guarantees one prediction per key, so every read looks for duplicates.",
        "Add a unique index. Where there can be none (a table that is partitioned by time, a view) and you know that keys are unique, write `unique = true`.",
    ),
    code("no-url", "The receiver has no address.", "Add `url`."),
    code("no-version", "The rule is about versions, and the job declares none.", "Add `version` to `[predictions]`."),
    code("no-windows", "The job has no window.", "Add `rolling` or `tumbling` to `[windows]`."),
    code(
        "nobody-told",
        "The page reaches nobody.",
        "Add `notify` to the rule or to `[job]`, or a route to trueup.toml.",
    ),
    code("not-a-number", "The column is no number.", "Name a column of floats, integers or numerics."),
    code(
        "not-colocated",
        "Predictions and labels of one key lie on different servers of a sharded database.",
        "Distribute both tables on the key and colocate them (`create_distributed_table(..., colocate_with => ...)`): else all labels \
         are moved for every run.",
    ),
    code(
        "not-compared",
        "The database refused a statement that compares the job with its tables.",
        "Mend what Postgres says; a run would fail in the same way.",
    ),
    code(
        "not-on-the-key",
        "A table of a sharded database is spread by a column that is no part of the key.",
        "Distribute it on a column of `id`: else every run looks for its keys on all servers and moves what it finds.",
    ),
    code(
        "not-unique",
        "Rows share a key that `unique = true` vouches for.",
        "Take `unique = true` back: then such rows are left out as duplicates, and counted.",
    ),
    code(
        "null-key",
        "A key, an event time or an arrival time is NULL in some rows, which are counted nowhere.",
        "Fill it in the table, or in a query with coalesce.",
    ),
    code("open-secret", "A password stands in the settings file.", "Write `{ env = \"NAME\" }`."),
    code(
        "open-web",
        "The address can be reached from elsewhere, and nothing is asked for.",
        "Add `token`, or listen on 127.0.0.1.",
    ),
    code("out-of-range", "The value is outside what can be.", "The hint says from where to where."),
    code(
        "page-waits",
        "Pages on this route wait until somebody reads them.",
        "A page is for what cannot wait: match `severity = \"ticket\"`.",
    ),
    code("repeated-entry", "The same thing is declared twice.", "Remove or rename one."),
    code("repeated-job", "Two files declare a job of one name.", "Rename one of them."),
    code(
        "repeated-key",
        "Predictions share a key, and are left out as duplicates.",
        "Name the column that tells them apart in `predictions.id`, too. Several forecasts of one hour: see lead times.",
    ),
    code("reserved-name", "The name is taken by something built in.", "Use another one."),
    code(
        "row-security",
        "Row-level security hides rows of the source from the role, so numbers would be of a part of the rows.",
        "Let the role bypass it: alter role … bypassrls.",
    ),
    code(
        "short-horizon",
        "Labels would still be waited for when they may not correct anything any more.",
        "Make `horizon` at least as long as `label_wait`.",
    ),
    code(
        "short-label-wait",
        "Many labels come later than windows are final: rules that wait for the final number judge without them.",
        "Make `label_wait` as long as 95 % of the labels need.",
    ),
    code(
        "short-retention",
        "`[retention] rolling` is too short: rules still compare with those windows.",
        "Keep them for a week or longer.",
    ),
    code(
        "short-source",
        "The source does not reach back as far as the horizon.",
        "Use a shorter `windows.horizon`, or keep the source for longer. History keeps what leaves the source.",
    ),
    code(
        "short-window",
        "The window is shorter than the time between two runs: what happens between is never judged.",
        "Run more often, or use a longer window.",
    ),
    code("source-writes", "Reading the source writes to the database.", "Read the tables behind the view or function."),
    code(
        "text-encoding",
        "A text of the job has letters that the encoding of the database lacks.",
        "Write it in other letters, or keep the history in a database in UTF8.",
    ),
    code(
        "ticket-without-runbook",
        "Whoever gets the ticket does not know what to do.",
        "Add `runbook` to the rule or to `[job]`.",
    ),
    code("tls-required", "Mail would travel unprotected.", "Use `starttls` or `implicit`; `none` is for loopback."),
    code(
        "toml-syntax",
        "This is not TOML.",
        "Texts stand in double quotes, tables in [brackets], lists in [brackets] after `=`.",
    ),
    code(
        "too-long",
        "The rule looks back over more windows than are kept in view.",
        "Use a shorter time in `for` or `of`, or a longer window.",
    ),
    code(
        "too-many-columns",
        "The expressions use more columns of the prediction row than are carried.",
        "Compute some of them in a view.",
    ),
    code("too-often", "What repeats more than once a minute is not read.", "Use at least `1m`."),
    code(
        "too-short",
        "A window of a burn rate is shorter than what can change in it.",
        "Use a longer one, or `burn = \"auto\"`.",
    ),
    code("two-conditions", "Two ways of saying what is compared.", "Keep one."),
    code("two-persistences", "Two ways of saying how long it must last.", "Keep `for` or `of`."),
    code("two-schedules", "Both `every` and `cron`.", "Keep one."),
    code("two-sources", "Both `table` and `query`.", "Keep one."),
    code("unknown-cohort", "No declaration of the job has these dimensions.", "Name dimensions of one `[[cohorts]]`."),
    code("unknown-key", "There is no such key.", "The hint has the nearest one; `trueup schema` has all."),
    code(
        "unknown-metric",
        "There is no such metric, or the job does not include it.",
        "`trueup explain --metrics` lists them.",
    ),
    code("unknown-receiver", "trueup.toml declares no such receiver.", "Declare `[receivers.NAME]`, or mend the name."),
    code("unknown-rule", "There is no such rule.", "The hint has the nearest name."),
    code("unknown-severity", "This is no severity.", "Use page, ticket or info."),
    code("unknown-timezone", "This is not a time zone.", "Use an IANA name, such as `Europe/Bucharest`."),
    code("unknown-value", "This is none of the words that can stand here.", "The hint names them."),
    code("unknown-window", "The job has no such window.", "Add it to `[windows]`, or name one that is there."),
    code(
        "unreachable-route",
        "A route before this one takes everything.",
        "Move it up, or set `continue = true` on the one before.",
    ),
    code(
        "unreadable-file",
        "The file is no text in UTF-8, or it cannot be opened. The other jobs are not affected.",
        "Save it as UTF-8, let the user that runs trueup read it, or move it out of the folder.",
    ),
    code(
        "unreadable-source",
        "The source cannot be read as a run would read it.",
        "Grant what the hint says, or mend what Postgres says.",
    ),
    code(
        "unusable-receiver",
        "The receiver cannot be used here: a secret is not set.",
        "Set it where `trueup run` or `trueup serve` runs.",
    ),
    code(
        "unused-baseline",
        "Nothing is compared with this baseline.",
        "Add `above_baseline` or `below_baseline`, or remove it.",
    ),
    code("unused-key", "The key has no effect here.", "Remove it."),
    code(
        "unused-timezone",
        "`every` counts from a fixed moment: a time zone changes nothing.",
        "Use `cron`, or remove it.",
    ),
    code(
        "version-needed",
        "The baseline is about a version, and the rule judges all together.",
        "Set `versions = \"each\"`.",
    ),
    code(
        "window-too-long",
        "A seasonal baseline compares with the same time of past weeks, and windows longer than a week overlap those.",
        "Use a window of at most 7 days, or another `kind`.",
    ),
    code(
        "windows-overlap",
        "An objective that counts windows needs windows that do not overlap: in rolling ones what is bad once is counted many times.",
        "Use a tumbling window.",
    ),
    code("wrong-type", "A value of another kind is needed here.", "The message says which."),
];

/// The page of a code.
pub fn find(name: &str) -> Option<&'static Code> {
    CODES.iter().find(|code| code.name == name)
}

/// All codes as a page in Markdown.
pub fn page() -> String {
    let mut page = String::from(
        "# What `trueup check` says\n\n\
         Each finding has a code that does not change. `trueup check --explain CODE` prints what stands here; this page is printed by \
         `trueup explain --errors`.\n",
    );
    for code in CODES {
        page.push_str(&format!("\n## {}\n\n{}\n\n{}\n", code.name, code.means, code.mend));
    }
    page
}
