//! Every code of a finding, with its meaning and its fix. `docs/errors.md` is generated from here.

/// A code and its page.
#[derive(Debug, Clone, Copy)]
pub struct Code {
    pub name: &'static str,
    /// Cause, and why it matters.
    pub means: &'static str,
    /// How to fix it.
    pub mend: &'static str,
}

const fn code(name: &'static str, means: &'static str, mend: &'static str) -> Code {
    Code { name, means, mend }
}

/// All codes, sorted by name.
pub const CODES: &[Code] = &[
    code(
        "always-in-breach",
        "Every value is in breach, because `below` is greater than `above`: the rule would fire forever.",
        "Check the signs: `above` is the upper limit, `below` the lower one.",
    ),
    code(
        "ambiguous-dimension",
        "Two cohort declarations use one name for two different expressions.",
        "Rename one of them.",
    ),
    code("bad-address", "This is not a valid mail address.", "Write `name@example.org`, or `Name <name@example.org>`."),
    code(
        "bad-base-url",
        "`base_url` is not the address of a site, or its host is not in `hosts`.",
        "Write `https://trueup.example.org`, and list its host in `hosts`.",
    ),
    code(
        "bad-bucket",
        "`bucket` does not divide all windows and the offsets of the time zone. Windows are sums of whole buckets.",
        "Omit `bucket`, or use one that divides all windows.",
    ),
    code(
        "bad-column",
        "This is not a column name: Postgres allows 1 to 63 bytes.",
        "Write the name as in the table, without quotes.",
    ),
    code("bad-cron", "This is not a cron expression.", "Write five fields, `*/15 * * * *`, or six with seconds first."),
    code("bad-day", "This is not a day of the week.", "Use mon, tue, wed, thu, fri, sat or sun."),
    code("bad-dimensions", "A cohort declaration has no dimension, or too many.", "List 1 to 5 dimensions in `by`."),
    code(
        "bad-distance",
        "This is not a distance from a baseline.",
        "Write `\"20%\"`, `30.0`, `\"3 mad\"`, or a list of these that must all be exceeded.",
    ),
    code("bad-duration", "This is not a duration.", "Write a whole number and a unit: `15m`, `24h`, `7d`, `2w`."),
    code(
        "bad-expression",
        "This is not a single SQL expression of the allowed kind, or the database cannot evaluate it.",
        "Use columns of the prediction row, operators and plain functions; no subqueries, aggregates or `;`.",
    ),
    code(
        "bad-factor",
        "A burn-rate factor must be a positive number.",
        "Use 14.4 for a fast page, 1 for a slow ticket, or `burn = \"auto\"`.",
    ),
    code("bad-for", "`for` is neither a number of windows nor a duration.", "Write `for = 3` or `for = \"2h\"`."),
    code(
        "bad-function",
        "This function cannot be allowed in queries: it is not written as `schema.function`, does not exist, or is volatile.",
        "List functions as `schema.function` in `[database] allow_functions`, and declare them `stable` or \
         `immutable` in Postgres.",
    ),
    code(
        "bad-header",
        "This is not a valid header name, or trueup sets the header itself.",
        "Use a name such as `Authorization`.",
    ),
    code("bad-limit", "A limit must be a finite number.", "Write a number, such as `250.0`."),
    code("bad-link", "A link must begin with http:// or https://.", "Write the full URL of the runbook."),
    code("bad-listen", "This is not an address with a port.", "Write `127.0.0.1:9187`."),
    code(
        "bad-login",
        "`login` of the pages lacks what it needs: a token, or the networks of the proxy.",
        "Add `token = { env = \"NAME\" }`, or `proxy` with `from` and `user`.",
    ),
    code(
        "bad-max-connections",
        "`max_connections` is out of range: 2 to 100 for a runner, 1 to 100 for pages.",
        "Omit it to use the default.",
    ),
    code("bad-min-coverage", "`min_coverage` must be a share.", "Use a number from 0 to 1, such as 0.9."),
    code("bad-min-samples", "`min_samples` must be a number of pairs.", "Use a whole number of at least 1."),
    code(
        "bad-name",
        "This is not a valid name.",
        "Job names: 1 to 63 of a-z, 0-9 and `-`, beginning with a letter or digit. Metrics: a-z, 0-9 and `_`. The \
         message says which kind of name it is.",
    ),
    code(
        "bad-network",
        "This is not a network or an address.",
        "Write a network such as `10.1.0.0/16`, or one address.",
    ),
    code(
        "bad-objective",
        "An objective must be a share below 1: at 1 there would be no error budget.",
        "Use a share such as 0.95.",
    ),
    code(
        "bad-of",
        "`of` must be two numbers: `[2, 3]` means two of the last three windows.",
        "Use a first number of at least 1 and at most the second.",
    ),
    code("bad-origin", "This is not the origin of a site.", "Write `https://portal.example.org`, without a path."),
    code(
        "bad-query",
        "A `query` in place of a table must be a single SELECT.",
        "Write one SELECT without `;`, or create a view.",
    ),
    code("bad-range", "The lower limit is not below the upper limit.", "Swap them."),
    code(
        "bad-secret",
        "A secret must be a reference, never a value.",
        "Write `{ env = \"NAME\" }` or `{ file = \"/run/secrets/name\" }`.",
    ),
    code("bad-table", "This is not a table name with its schema.", "Write `schema.table`, as in SQL."),
    code(
        "bad-template",
        "The template fails on a sample message.",
        "Use the one variable `notice`; `docs/schema/webhook.json` lists its fields.",
    ),
    code("bad-time", "This is not a time of day.", "Write `09:00`."),
    code(
        "bad-top",
        "`top` must be a number of cohorts within the limit.",
        "Use a whole number within the range in the hint.",
    ),
    code(
        "bad-url",
        "This address cannot be used.",
        "Use an https address on the public internet, or allow others with `allow_http` and `allow_networks`.",
    ),
    code(
        "bad-window",
        "This is not a window.",
        "Use a duration for rolling windows, and `1h`, `6h`, `1d`, `1w`, `1mo` or similar for tumbling ones.",
    ),
    code(
        "bad-windows",
        "The windows of a burn rate do not fit each other, the period or the bucket.",
        "Keep the short window within the long one, and the long one within the period; use multiples of the bucket.",
    ),
    code(
        "classes-as-numbers",
        "All labels are 0 or 1, but the job predicts numbers: mean squared error says little about classes.",
        "Add `[model]` with `task = \"binary\"`, and metrics such as `auc` and `log_loss`.",
    ),
    code(
        "clears-never",
        "No value could clear the alert.",
        "Use a `clear_below` of at most `above`, and a `clear_above` of at least `below`.",
    ),
    code(
        "clears-what",
        "The rule has several conditions, so a clearing limit has no single value to apply to.",
        "Use `clear_for`, or a rule on one metric.",
    ),
    code(
        "cohort-type",
        "SQL does not group values of this type (such as citext) by their text, but cohorts are stored as text.",
        "Use an expression that gives equal values the same text, such as `lower(column::text)`.",
    ),
    code(
        "endless-maintenance",
        "The maintenance begins again before it ends, so alerts would always be suppressed.",
        "Use a shorter `duration`, or a less frequent cron expression.",
    ),
    code(
        "failing-value",
        "An expression fails on a row of the source, for example because of a division by zero or a text that is not a number.",
        "Handle the value in the expression, with nullif or case. Such rows are excluded from what the expression defines.",
    ),
    code(
        "few-positives",
        "The shortest window holds fewer than 30 positive labels, so its recall, area and calibration jump.",
        "Use longer windows, or give rules `min_samples`.",
    ),
    code(
        "fires-on-one",
        "The long window of a burn rate holds a single window, which would fire it alone.",
        "Use a longer `long`.",
    ),
    code("half-credentials", "A user without a password, or a password without a user.", "Set both, or neither."),
    code(
        "idle-threshold",
        "All scores are on one side of the threshold, so every decision is the same.",
        "Set `threshold` under [model] to the score from which on you act.",
    ),
    code(
        "key-mismatch",
        "The key of the labels does not match the key of the predictions.",
        "List the same number of columns in both `id` keys, in the same order. Where several predictions share a \
         label, list only the leading columns of `predictions.id` in `labels.id`.",
    ),
    code(
        "key-of-another-task",
        "The key belongs to another kind of prediction than the one in `model.task`.",
        "Remove it, or correct `task`.",
    ),
    code(
        "key-types",
        "The keys of predictions and labels have types that cannot be compared.",
        "Give both columns the same type, in the tables or in a view.",
    ),
    code(
        "many-cohorts",
        "A cohort column has too many values: each needs buckets, and few have enough predictions to judge.",
        "Set `top`, or group the values by an expression.",
    ),
    code(
        "metric-needs",
        "The metric needs a setting that is missing.",
        "Add the key that the hint names, such as `tolerance`.",
    ),
    code(
        "metric-of-another-task",
        "The metric has no meaning for what the job predicts: numbers, or classes.",
        "Use a metric of its task, or set `task` under [model].",
    ),
    code("missing-key", "A required key is missing.", "Add it, as the hint shows."),
    code(
        "moving-source",
        "The rows of a view behind the job depend on the current time, so rows disappear from it without being deleted.",
        "Read the table behind the view. History keeps rows that disappear.",
    ),
    code(
        "needs-classes",
        "The key is for predictions of classes, and the job predicts numbers; or it needs `positive`, which is not set.",
        "Add `task = \"binary\"` under [model], or remove the key.",
    ),
    code(
        "needs-numbers",
        "Wrong classes have no size, so that none of them is the worst.",
        "Remove `residuals.worst`.",
    ),
    code("never-due", "The schedule never runs, for example on the 31st of February.", "Correct the day and month."),
    code(
        "never-enough",
        "`min` of the baseline is larger than the number of windows that it can have.",
        "Lower `min`, or use more windows.",
    ),
    code(
        "never-fires",
        "The error budget cannot burn that fast: the largest possible burn rate is 1/(1 - objective).",
        "Use a smaller factor, a stricter objective, or `burn = \"auto\"`.",
    ),
    code(
        "no-arrived-at",
        "No column says when rows became visible, so every run reads the whole horizon again.",
        "Set `arrived_at` on both tables to the column with the time of the write, if there is one.",
    ),
    code(
        "no-burn",
        "No burn rate fits this objective, period and cadence.",
        "Use a longer period, count predictions instead of windows, or list burn rates in `burn`.",
    ),
    code(
        "no-cohorts",
        "The rule judges each cohort, but the job declares none.",
        "Add `[[cohorts]]`, or use `cohorts = \"all\"`.",
    ),
    code("no-column", "The table has no such column.", "Use the name that the hint suggests."),
    code(
        "no-condition",
        "The rule or objective has no condition.",
        "Add `above`, `below` or a distance from a baseline.",
    ),
    code("no-days", "`days` is empty, so this route would never notify.", "List at least one day."),
    code(
        "no-deviation",
        "A distance in deviations (`mad`) needs a baseline of several windows; a single number has no deviation.",
        "Use a `rolling` or `seasonal` baseline, or a share or an amount as the distance.",
    ),
    code("no-hours", "The hours end before they begin.", "Set `from` before `to`, on the same day."),
    code(
        "no-index",
        "Without an index, every run reads the whole table to find these rows.",
        "Create the index in the hint.",
    ),
    code(
        "no-indicator",
        "The objective does not define good events.",
        "Add `good = \"abs(error) <= 250\"`, or `metric`, `window` and a limit.",
    ),
    code(
        "no-interval",
        "`significant` needs a metric with a confidence interval.",
        "Use a metric that `trueup explain --metrics` marks, or omit `significant`.",
    ),
    code("no-key", "The key has no column.", "List at least one column in `id`."),
    code("no-metrics", "The job has no metrics.", "Add metrics to `[metrics] include`."),
    code("no-owner", "The rule has no owner.", "Add `owner` to the rule or to `[job]`."),
    code("no-positive-label", "No label is positive.", "List at least one label in `model.positive`."),
    code(
        "no-reason",
        "A silence or maintenance needs a reason, which explains later why no notification was sent.",
        "Write the reason in a few words.",
    ),
    code("no-recipient", "There is no recipient, so nobody would be notified.", "Add a receiver or an address."),
    code("no-routing-key", "PagerDuty needs its integration key.", "Add `routing_key = { env = \"NAME\" }`."),
    code(
        "no-runbook",
        "A page without a runbook wakes an engineer who does not know what to do.",
        "Add `runbook = \"https://example.org/runbook\"` to the rule or to `[job]`.",
    ),
    code("no-schedule", "The job has no schedule.", "Add `every = \"15m\"` or `cron = \"*/15 * * * *\"`."),
    code("no-sender", "An email receiver needs a sender.", "Add `from`."),
    code("no-smtp", "An email receiver needs an SMTP server.", "Add `smtp = { host = \"mail.example.org\" }`."),
    code("no-source", "The source has neither a table nor a query.", "Add `table = \"schema.table\"`."),
    code(
        "no-table",
        "The table does not exist, or the role has no access to it.",
        "Check the name and the grants: `trueup migrate --print-grants`.",
    ),
    code(
        "no-timezone",
        "A time column without a time zone means a different moment in every session time zone.",
        "Use `timestamptz`, or a view with `at time zone`.",
    ),
    code(
        "no-unique-key",
        "No unique index guarantees one row per key, so every read checks for duplicates.",
        "Add a unique index. Where none is possible (a table partitioned by time, a view) and you know that keys are \
         unique, set `unique = true`.",
    ),
    code("no-url", "The receiver has no address.", "Add `url`."),
    code(
        "no-version",
        "The rule refers to model versions, but the job declares none.",
        "Add `version` to `[predictions]`.",
    ),
    code("no-windows", "The job has no window.", "Add `rolling` or `tumbling` to `[windows]`."),
    code(
        "nobody-told",
        "The page has no receiver.",
        "Add `notify` to the rule or to `[job]`, or a route to trueup.toml.",
    ),
    code("not-a-number", "The column is not numeric.", "Use a column of floats, integers or numerics."),
    code(
        "not-colocated",
        "Predictions and labels of the same key are on different servers of a sharded database, so every run moves all labels.",
        "Distribute both tables on the key and colocate them: `create_distributed_table(..., colocate_with => ...)`.",
    ),
    code(
        "not-compared",
        "The database rejected a statement that compares the job with its tables.",
        "Fix the error that Postgres reports; a run would fail in the same way.",
    ),
    code(
        "not-on-the-key",
        "A table of a sharded database is distributed on a column outside the key, so every run searches all servers \
         and moves the rows that it finds.",
        "Distribute it on a column of `id`.",
    ),
    code(
        "not-unique",
        "Rows share a key although the job sets `unique = true`.",
        "Remove `unique = true`; such rows are then excluded as duplicates, and counted.",
    ),
    code(
        "null-key",
        "A key, an event time or an arrival time is NULL in some rows, which are not counted.",
        "Fill in the column in the table, or use coalesce in a query.",
    ),
    code("open-secret", "The settings file contains a secret in plain text.", "Write `{ env = \"NAME\" }`."),
    code(
        "open-web",
        "The address can be reached from other machines, and no sign-in is required.",
        "Add `token`, or listen on 127.0.0.1.",
    ),
    code("out-of-range", "The value is out of range.", "Use a value within the range in the hint."),
    code(
        "page-on-proxy",
        "A rule pages on labels that only stand in for the true outcome, and nothing confirms it.",
        "Add a second condition, or use the severity `ticket`.",
    ),
    code(
        "page-waits",
        "Pages on this route are deferred by `hours` or `digest`.",
        "Restrict the route to alerts that can wait: match `severity = \"ticket\"`.",
    ),
    code("repeated-entry", "The same entry is declared twice.", "Remove or rename one of them."),
    code("repeated-job", "Two files declare a job with the same name.", "Rename one of them."),
    code(
        "repeated-key",
        "Several predictions share a key and are excluded as duplicates.",
        "Add the column that distinguishes them to `predictions.id`. For several forecasts of one hour, see \
         `docs/lead-times.md`.",
    ),
    code("reserved-name", "The name is reserved for something built in.", "Use another name."),
    code(
        "row-security",
        "Row-level security hides rows of the source from the role, so metrics would cover only some of the rows.",
        "Let the role bypass it: `alter role ... bypassrls`.",
    ),
    code(
        "short-horizon",
        "Labels could still arrive after the horizon, when they can no longer revise the window.",
        "Make `horizon` at least as long as `label_wait`.",
    ),
    code(
        "short-label-wait",
        "Many labels arrive after windows are final, so rules that wait for final windows judge without them.",
        "Set `label_wait` to the age by which 95 % of the labels have arrived.",
    ),
    code(
        "short-retention",
        "`[retention] rolling` is too short: rules still compare with these windows.",
        "Use at least `7d`.",
    ),
    code(
        "short-source",
        "The source does not reach back as far as the horizon.",
        "Use a shorter `windows.horizon`, or keep rows in the source longer. History keeps rows that leave the source.",
    ),
    code(
        "short-window",
        "The window is shorter than the time between two runs: events in between are never judged.",
        "Run more often, or use a longer window.",
    ),
    code("source-writes", "Reading the source writes to the database.", "Read the tables behind the view or function."),
    code(
        "text-encoding",
        "A string in the job has characters that the encoding of the database does not support.",
        "Use other characters, or keep the history in a UTF8 database.",
    ),
    code(
        "ticket-without-runbook",
        "A ticket without a runbook does not say what to do.",
        "Add `runbook` to the rule or to `[job]`.",
    ),
    code(
        "tls-required",
        "Mail would be sent unencrypted.",
        "Use `starttls` or `implicit`; `none` is allowed on loopback only.",
    ),
    code(
        "toml-syntax",
        "This is not valid TOML.",
        "Put strings in double quotes, table names in [brackets], and lists in [brackets] after `=`.",
    ),
    code(
        "too-long",
        "The rule looks back over more windows than are loaded.",
        "Use a shorter duration in `for` or `clear_for`, or a longer window.",
    ),
    code(
        "too-many-columns",
        "The expressions use more than 64 columns of the prediction row.",
        "Compute some of them in a view or a `query`.",
    ),
    code(
        "too-often",
        "The repeat interval is shorter than a minute: nobody would read that many notifications.",
        "Use at least `1m`.",
    ),
    code(
        "too-short",
        "A window of a burn rate is shorter than the time between two evaluations.",
        "Use a longer window, or `burn = \"auto\"`.",
    ),
    code(
        "two-conditions",
        "The rule has two conditions: a limit and a baseline, or several of `metric`, `all` and `any`.",
        "Keep one, or combine them in `all` or `any`.",
    ),
    code("two-decisions", "The model has both `threshold` and `decision`.", "Keep the one that your decisions follow."),
    code("two-persistences", "The rule has both `for` and `of`.", "Keep one."),
    code("two-schedules", "The schedule has both `every` and `cron`.", "Keep one."),
    code("two-sources", "The source has both `table` and `query`.", "Keep one."),
    code(
        "unknown-class",
        "Some labels are neither positive nor negative. Their pairs are excluded and counted.",
        "List them in `positive` or `negative` under [model].",
    ),
    code(
        "unknown-cohort",
        "No cohort declaration of the job has these dimensions.",
        "Use all dimensions of one `[[cohorts]]` table.",
    ),
    code(
        "unknown-key",
        "There is no such key.",
        "Use the key that the hint suggests; `trueup schema` prints all of them.",
    ),
    code(
        "unknown-metric",
        "There is no such metric, or the job does not include it.",
        "`trueup explain --metrics` lists them.",
    ),
    code(
        "unknown-receiver",
        "trueup.toml declares no such receiver.",
        "Declare `[receivers.NAME]`, or correct the name.",
    ),
    code("unknown-rule", "There is no such rule.", "Use the name that the hint suggests."),
    code("unknown-severity", "This is not a severity.", "Use page, ticket or info."),
    code("unknown-timezone", "This is not a time zone.", "Use an IANA name, such as `Europe/Bucharest`."),
    code("unknown-value", "This is not an allowed value.", "Use one of the values in the message or the hint."),
    code("unknown-window", "The job has no such window.", "Add it to `[windows]`, or use an existing one."),
    code(
        "unreachable-route",
        "An earlier route matches every alert, so this one is never used.",
        "Move it up, or set `continue = true` on the earlier route.",
    ),
    code(
        "unreadable-file",
        "The file is not UTF-8 text, or it cannot be opened. Other jobs are not affected.",
        "Save it as UTF-8, let the user that runs trueup read it, or move it out of the folder.",
    ),
    code(
        "unreadable-source",
        "The source cannot be read in the way a run reads it.",
        "Follow the hint, or fix the error that Postgres reports.",
    ),
    code(
        "unusable-receiver",
        "The receiver cannot be used here, because a secret is not set.",
        "Set the secret where `trueup run` or `trueup serve` runs.",
    ),
    code(
        "unusable-scores",
        "Some scores are NULL, not finite, or no probabilities. Such predictions are excluded and counted.",
        "Use a column of probabilities, or set `scores = \"any\"` under [model].",
    ),
    code(
        "unused-baseline",
        "No condition uses this baseline.",
        "Add `above_baseline` or `below_baseline`, or remove it.",
    ),
    code("unused-key", "The key has no effect here.", "Remove it."),
    code(
        "unused-timezone",
        "`every` is aligned to the Unix epoch, so a time zone has no effect.",
        "Use `cron`, or remove `timezone`.",
    ),
    code(
        "version-needed",
        "The baseline belongs to one model version, but the rule judges all versions together.",
        "Set `versions = \"each\"`.",
    ),
    code(
        "window-too-long",
        "A seasonal baseline compares with the same time of past weeks, and windows longer than a week overlap each other.",
        "Use a window of at most 7 days, or another `kind`.",
    ),
    code(
        "windows-overlap",
        "An objective that counts windows needs windows that do not overlap: rolling windows count one bad event many times.",
        "Use a tumbling window.",
    ),
    code("wrong-type", "The value has the wrong type.", "Use the type in the message."),
];

/// Returns the page of a code.
pub fn find(name: &str) -> Option<&'static Code> {
    CODES.iter().find(|code| code.name == name)
}

/// Returns all codes as a Markdown page.
pub fn page() -> String {
    let mut page = String::from(
        "# Errors and warnings of `trueup check`\n\n\
         Each finding has a code that does not change. `trueup check --explain CODE` prints its entry, and \
         `trueup explain --errors` prints this page.\n",
    );
    for code in CODES {
        page.push_str(&format!("\n## {}\n\n{}\n\n{}\n", code.name, code.means, code.mend));
    }
    page
}
