-- Verdicts of rules, the state of alerts, and the outbox that tells people.

-- In months of the end of the window, which retention drops whole. No foreign keys, as with measurements.
create table trueup.verdict (
    id            bigint generated always as identity,
    job_id        bigint not null,
    rule          text not null,
    -- Identifies the rule's definition: verdicts of an older definition do not count towards its state.
    rule_fingerprint text not null,
    severity      text not null,
    cohort        text not null,
    model_version text,
    -- Null where what was judged is not one measured window, as with burn rates.
    window_id     bigint,
    window_name   text not null,
    window_start  timestamptz not null,
    window_end    timestamptz not null,
    verdict       text not null,
    value         float8,
    -- Null if there was none, as without a baseline.
    limit_value   float8,
    baseline      float8,
    labeled       bigint,
    coverage      float8,
    reason        text not null,
    retroactive   boolean not null,
    run_id        bigint not null,
    evaluated_at  timestamptz not null default clock_timestamp(),
    constraint verdict_is_known check (verdict in ('ok', 'breach', 'insufficient', 'no_data', 'error')),
    constraint verdict_severity_is_known check (severity in ('page', 'ticket', 'info'))
) partition by range (window_end);
create index verdict_by_target on trueup.verdict
    (job_id, rule, cohort, coalesce(model_version, ''), (model_version is null), window_end desc, id desc);
-- Which targets there were lately.
create index verdict_by_end on trueup.verdict (job_id, rule, window_end);

-- Alerts of one job and severity that fire at overlapping times: what people work on, and write a postmortem about.
create table trueup.incident (
    id        bigint generated always as identity primary key,
    job_id    bigint not null references trueup.job (id),
    severity  text not null,
    opened_at timestamptz not null default clock_timestamp(),
    -- Null while one of its alerts fires.
    closed_at timestamptz
);
create unique index incident_open_is_unique on trueup.incident (job_id, severity) where closed_at is null;

create table trueup.alert (
    id            bigint generated always as identity primary key,
    job_id        bigint not null references trueup.job (id),
    rule          text not null,
    rule_fingerprint text not null,
    severity      text not null,
    cohort        text not null,
    model_version text,
    state         text not null,
    -- End of the first window of the present breach. Null while inactive or resolved.
    since         timestamptz,
    fired_at      timestamptz,
    -- True once its notifications are in the outbox. An alert that is inhibited or silenced fires without.
    dispatched    boolean not null default false,
    -- Why no notification was dispatched, while that is so.
    suppressed_by text,
    -- What a message says of the rule, and whom it names: messages are written without the job's file.
    about         jsonb not null,
    incident_id   bigint references trueup.incident (id),
    -- Who works on it. Reminders and escalation stop.
    acked_at      timestamptz,
    acked_by      text,
    -- Windows that end at or before this count for nothing: somebody declared the alert resolved.
    ignore_until  timestamptz,
    changed_at    timestamptz not null default clock_timestamp(),
    constraint alert_state_is_known check (state in ('inactive', 'pending', 'firing', 'resolved')),
    constraint alert_has_a_start_while_open check ((state in ('pending', 'firing')) = (since is not null))
);
create unique index alert_is_unique
    on trueup.alert (job_id, rule, cohort, coalesce(model_version, ''), (model_version is null));
create index alert_by_incident on trueup.alert (incident_id);
create index alert_firing on trueup.alert (job_id) where state = 'firing';

-- Alerts that receivers were notified of, until they are notified that the alert ended.
create table trueup.notification_log (
    alert_id        bigint not null references trueup.alert (id),
    receiver        text not null,
    -- Group of its notifications; see notification.
    topic           text not null,
    -- The first notification of it.
    notification_id uuid not null,
    escalated       boolean not null default false,
    notified_at     timestamptz not null default clock_timestamp(),
    primary key (alert_id, receiver)
);

-- What people did about an alert.
create table trueup.alert_action (
    id       bigint generated always as identity primary key,
    alert_id bigint not null references trueup.alert (id),
    action   text not null,
    author   text not null,
    note     text not null default '',
    acted_at timestamptz not null default clock_timestamp(),
    constraint alert_action_is_known check (action in ('acknowledged', 'resolved'))
);
create index alert_action_by_alert on trueup.alert_action (alert_id, id);

-- What was known when an alert of an incident fired: measurements and residuals may be gone by the time somebody asks. Goes with
-- its incident.
create table trueup.incident_evidence (
    id          bigint generated always as identity primary key,
    incident_id bigint not null references trueup.incident (id),
    alert_id    bigint not null references trueup.alert (id),
    evidence    jsonb not null,
    frozen_at   timestamptz not null default clock_timestamp()
);
create index incident_evidence_by_incident on trueup.incident_evidence (incident_id, id);

create table trueup.alert_transition (
    id          bigint generated always as identity primary key,
    alert_id    bigint not null references trueup.alert (id),
    -- Null: by hand. No foreign key: runs go when they are old, and nobody looks through all transitions for each of them.
    run_id      bigint,
    severity    text not null,
    from_state  text not null,
    to_state    text not null,
    reason      text not null,
    value       float8,
    limit_value float8,
    since       timestamptz,
    evidence    jsonb not null,
    changed_at  timestamptz not null default clock_timestamp(),
    constraint alert_transition_changes_state check (from_state <> to_state)
);
create index alert_transition_by_alert on trueup.alert_transition (alert_id, id);
-- What retention removes.
create index alert_transition_by_age on trueup.alert_transition (changed_at);

-- What a model version was worth when it was validated, for rules that compare with it. Never changed: a correction is a
-- newer row, and the newest counts.
create table trueup.model_baseline (
    id            bigint generated always as identity primary key,
    job           text not null,
    metric        text not null,
    cohort        text not null default 'all',
    -- Null for jobs that declare no version.
    model_version text,
    value         float8 not null,
    set_by        text not null default current_user,
    note          text,
    set_at        timestamptz not null default clock_timestamp(),
    constraint model_baseline_is_a_number check (value > '-Infinity' and value < 'Infinity')
);
create index model_baseline_by_version on trueup.model_baseline (job, metric, cohort, model_version, id desc);
comment on table trueup.model_baseline is 'Validation values of model versions; `trueup baseline set` or a plain insert adds one, and the newest counts.';
comment on column trueup.model_baseline.job is 'Name of the job.';
comment on column trueup.model_baseline.metric is 'Name of the metric, as in the job file.';
comment on column trueup.model_baseline.cohort is 'Cohort, as in the history; `all` for everything.';
comment on column trueup.model_baseline.model_version is 'The version. Null for jobs that declare none.';
comment on column trueup.model_baseline.value is 'The value, in the unit of the metric.';

-- What happened to a model or its data, and when. People and programs insert into it.
create table trueup.annotation (
    id         bigint generated always as identity primary key,
    -- Null: every job.
    job        text,
    kind       text not null,
    starts_at  timestamptz not null,
    -- Null: a moment.
    ends_at    timestamptz,
    note       text not null default '',
    author     text not null default current_user,
    -- Until then alerts of the job tell nobody: the model warms up.
    suppress_until timestamptz,
    created_at timestamptz not null default clock_timestamp(),
    constraint annotation_kind_is_known check (kind in ('deploy', 'retrain', 'schema_change', 'experiment', 'incident', 'backfill')),
    constraint annotation_does_not_end_before_it_starts check (ends_at >= starts_at)
);
create index annotation_by_time on trueup.annotation (starts_at);
comment on table trueup.annotation is 'Events beside the history: deploy, retrain, schema_change, experiment, incident, backfill. Insert freely. Windows within an incident are left out of baselines.';
comment on column trueup.annotation.job is 'Name of the job it is about. Null: every job.';
comment on column trueup.annotation.kind is 'deploy, retrain, schema_change, experiment, incident or backfill.';
comment on column trueup.annotation.starts_at is 'When it happened, or began.';
comment on column trueup.annotation.ends_at is 'When it ended. Null: a moment; of an incident: it lasts.';
comment on column trueup.annotation.note is 'In a few words.';
comment on column trueup.annotation.author is 'Who says so.';
comment on column trueup.annotation.suppress_until is 'Until then alerts of the job fire without telling anybody. Null: they tell.';

-- What people muted. An alert that is silenced is judged and recorded as ever; its receivers are told when the silence ends,
-- should it still fire then.
create table trueup.silence (
    id         bigint generated always as identity primary key,
    -- Null: whatever it is. A star stands for any text.
    job        text,
    rule       text,
    cohort     text,
    severity   text,
    starts_at  timestamptz not null default clock_timestamp(),
    ends_at    timestamptz not null,
    reason     text not null,
    author     text not null,
    constraint silence_ends_after_it_starts check (ends_at >= starts_at),
    constraint silence_has_a_reason check (reason <> '')
);
create index silence_by_end on trueup.silence (ends_at);

-- Error budgets: one row per evaluation of an objective, and one per correction of an earlier one.
create table trueup.slo_evaluation (
    id            bigint generated always as identity,
    job_id        bigint not null,
    slo           text not null,
    -- Identifies what was counted: evaluations of another definition are not compared.
    fingerprint   text not null,
    kind          text not null,
    run_id        bigint not null,
    as_of         timestamptz not null,
    period_start  timestamptz not null,
    -- Labels had their time for everything before this.
    period_end    timestamptz not null,
    objective     float8 not null,
    good          bigint not null,
    total         bigint not null,
    budget_left   float8,
    exhausted_at  timestamptz,
    burn          jsonb not null,
    evaluated_at  timestamptz not null default clock_timestamp(),
    constraint slo_evaluation_kind_is_known check (kind in ('evaluation', 'adjustment'))
) partition by range (period_end);
create index slo_evaluation_by_time on trueup.slo_evaluation (job_id, slo, period_end desc, id desc);

create view trueup.slo_history as
select j.name as job, e.slo, e.kind, e.period_start, e.period_end, e.objective, e.good, e.total - e.good as bad, e.total,
       e.budget_left, e.burn, e.exhausted_at, e.as_of - e.period_end as shift, e.as_of, e.run_id, e.evaluated_at
from trueup.slo_evaluation e
join trueup.job j on j.id = e.job_id;
comment on view trueup.slo_history is 'One row per evaluation of an objective, and one per correction when labels or predictions of the past changed.';

-- The intent to tell. Written with the transition it tells of, sent afterwards by whoever leases it. Until its first attempt
-- it is open: what changes meanwhile goes into the same message.
create table trueup.notification (
    id              uuid primary key,
    -- Order of telling: a later one of the same receiver and topic waits for the earlier one.
    sequence        bigint generated always as identity,
    -- Null: about no job, such as a test.
    job_id          bigint references trueup.job (id),
    -- The run that changed it last. Null: no run did, such as a reminder. No foreign key, as with transitions.
    run_id          bigint,
    receiver        text not null,
    topic           text not null,
    kind            text not null,
    body            jsonb not null,
    state           text not null default 'pending',
    attempt         integer not null default 0,
    next_attempt_at timestamptz not null default clock_timestamp(),
    -- When the first attempt was due: retries end a day later.
    first_due_at    timestamptz,
    lease_until     timestamptz,
    epoch           integer not null default 0,
    created_at      timestamptz not null default clock_timestamp(),
    settled_at      timestamptz,
    -- Of a mail: each address that needs no other attempt. Null: it took the message. Else: why it refused it for good.
    recipients      jsonb not null default '{}',
    -- When the fallback receiver was told instead, or as well.
    fallback_at     timestamptz,
    constraint notification_kind_is_known check (kind in ('firing', 'resolved', 'acknowledged', 'test', 'heartbeat')),
    -- Dropped: what it was to tell was over before anything went out.
    constraint notification_state_is_known check (state in ('pending', 'sent', 'dead', 'dropped')),
    constraint notification_is_settled_when_it_ended check ((state = 'pending') = (settled_at is null))
);
create index notification_by_topic on trueup.notification (topic, receiver, sequence);
create index notification_by_receiver on trueup.notification (receiver, created_at);
create index notification_by_age on trueup.notification (settled_at) where settled_at is not null;
create index notification_pending on trueup.notification (receiver, topic, sequence) where state = 'pending';

-- What every run of the job looks for.
create index notification_undelivered on trueup.notification (job_id, settled_at)
    where state = 'dead' or jsonb_path_exists(recipients, '$.* ? (@ != null)');

create table trueup.delivery_attempt (
    id              bigint generated always as identity primary key,
    notification_id uuid not null references trueup.notification (id),
    attempt         integer not null,
    attempted_at    timestamptz not null,
    duration_ms     bigint not null,
    outcome         text not null,
    status_code     integer,
    failure         text,
    next_attempt_at timestamptz,
    constraint delivery_outcome_is_known check (outcome in ('sent', 'retry', 'dead')),
    -- What was sent may have a failure too: an address among several that refused it.
    constraint delivery_failure_is_explained check (outcome = 'sent' or failure is not null)
);
create index delivery_attempt_by_notification on trueup.delivery_attempt (notification_id, attempt);

-- Receivers that failed lately. One that fails again and again is left alone for a while.
create table trueup.receiver_health (
    receiver   text primary key,
    failures   integer not null,
    -- Nothing is sent before this.
    open_until timestamptz,
    -- It said that it is gone for good (410): its messages are given up at once, until a test gets through.
    gone       boolean not null default false,
    changed_at timestamptz not null default clock_timestamp()
);

create view trueup.verdict_history as
select j.name as job, v.rule, v.severity, v.cohort, v.model_version, v.window_name, v.window_start, v.window_end, v.verdict,
       v.value, v.limit_value, v.baseline, v.labeled, v.coverage, v.reason, v.retroactive, v.run_id, v.evaluated_at
from trueup.verdict v
join trueup.job j on j.id = v.job_id;
comment on view trueup.verdict_history is 'One row per verdict of a rule on a window, passes included.';

create view trueup.alert_history as
select j.name as job, a.rule, t.severity, a.cohort, a.model_version, t.from_state, t.to_state, t.reason, t.value, t.limit_value,
       t.since, t.changed_at, t.evidence, t.run_id, a.id as alert_id, a.incident_id
from trueup.alert_transition t
join trueup.alert a on a.id = t.alert_id
join trueup.job j on j.id = a.job_id;
comment on view trueup.alert_history is 'One row per change of state of an alert: inactive, pending, firing, resolved.';

create view trueup.delivery_history as
select d.notification_id, n.receiver, n.kind, j.name as job, d.attempt, d.attempted_at, d.outcome, d.status_code, d.failure,
       d.next_attempt_at, d.duration_ms
from trueup.delivery_attempt d
join trueup.notification n on n.id = d.notification_id
left join trueup.job j on j.id = n.job_id;
comment on view trueup.delivery_history is 'One row per attempt to deliver a notification, and its answer.';

do $$
declare
    described record;
begin
    for described in
        select c.relname, a.attname, d.text
        from pg_class c
        join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
        join (values
            ('verdict_history', 'job', 'Name of the job, as in its file.'),
            ('verdict_history', 'rule', 'Name of the rule, as in the job file.'),
            ('verdict_history', 'severity', 'page, ticket or info.'),
            ('verdict_history', 'cohort', 'The cohort that was judged; `all` for everything.'),
            ('verdict_history', 'model_version', 'Version that was judged. Null means all versions together.'),
            ('verdict_history', 'window_name', 'Kind and length of the window that was judged.'),
            ('verdict_history', 'window_start', 'Start of the window, inclusive.'),
            ('verdict_history', 'window_end', 'End of the window, exclusive.'),
            ('verdict_history', 'verdict', 'ok, breach, insufficient, no_data or error. Only breach can open an alert, only ok can close one.'),
            ('verdict_history', 'value', 'Value of the metric that was compared.'),
            ('verdict_history', 'limit_value', 'The limit it was compared with. Null where none could be told.'),
            ('verdict_history', 'baseline', 'The baseline the limit was derived from, if any.'),
            ('verdict_history', 'labeled', 'Pairs behind the value.'),
            ('verdict_history', 'coverage', 'Share of the predictions that had a usable label.'),
            ('verdict_history', 'reason', 'Why this verdict.'),
            ('verdict_history', 'retroactive', 'True when the window was already final: the verdict moves no alert.'),
            ('verdict_history', 'run_id', 'The run that judged; see run_history.'),
            ('verdict_history', 'evaluated_at', 'When it was judged, by the database clock.'),
            ('alert_history', 'job', 'Name of the job, as in its file.'),
            ('alert_history', 'rule', 'Name of the rule, as in the job file.'),
            ('alert_history', 'severity', 'page, ticket or info.'),
            ('alert_history', 'cohort', 'The cohort the alert is about.'),
            ('alert_history', 'model_version', 'The version the alert is about. Null means all versions together.'),
            ('alert_history', 'from_state', 'State before: inactive, pending, firing or resolved.'),
            ('alert_history', 'to_state', 'State after.'),
            ('alert_history', 'reason', 'Why the state changed.'),
            ('alert_history', 'value', 'Value of the metric at the change.'),
            ('alert_history', 'limit_value', 'The limit at the change.'),
            ('alert_history', 'since', 'End of the first window of the breach.'),
            ('alert_history', 'changed_at', 'When the state changed, by the database clock.'),
            ('alert_history', 'evidence', 'What was known at the change.'),
            ('alert_history', 'run_id', 'The run that changed it; see run_history. Null: it was resolved by hand.'),
            ('alert_history', 'alert_id', 'Number of the alert, as `trueup alerts ack` takes it.'),
            ('alert_history', 'incident_id', 'The latest incident that the alert was part of, as `trueup incident` takes it.'),
            ('slo_history', 'job', 'Name of the job, as in its file.'),
            ('slo_history', 'slo', 'Name of the objective, as in the job file.'),
            ('slo_history', 'kind', '`evaluation`, or `adjustment`: how much good and bad changed of what was evaluated before.'),
            ('slo_history', 'period_start', 'Start of what is counted, inclusive.'),
            ('slo_history', 'period_end', 'End of what is counted, exclusive: labels had their time for everything before it.'),
            ('slo_history', 'objective', 'Share that should be good.'),
            ('slo_history', 'good', 'Good predictions or windows; of an adjustment, how many more.'),
            ('slo_history', 'bad', 'Bad ones; of an adjustment, how many more.'),
            ('slo_history', 'total', 'All that were counted; of an adjustment, how many more.'),
            ('slo_history', 'budget_left', 'Share of the error budget that is left; below 0 when more than all of it is spent.'),
            ('slo_history', 'burn', 'Burn rates: long and short window, factor, rate of each, and the verdict.'),
            ('slo_history', 'exhausted_at', 'When the budget is gone if it is spent on as in the longest burn window. Null: not within a period.'),
            ('slo_history', 'shift', 'How far behind the run the counted period ends, so that labels had their time.'),
            ('slo_history', 'as_of', 'Rows that had arrived by this time were seen.'),
            ('slo_history', 'run_id', 'The run that evaluated; see run_history.'),
            ('slo_history', 'evaluated_at', 'When it was evaluated, by the database clock.'),
            ('delivery_history', 'notification_id', 'The same on every retry; receivers see it as webhook-id or Message-ID.'),
            ('delivery_history', 'receiver', 'Name of the receiver in trueup.toml.'),
            ('delivery_history', 'kind', 'firing, resolved, acknowledged, test or heartbeat.'),
            ('delivery_history', 'job', 'Name of the job. Null: about no job.'),
            ('delivery_history', 'attempt', 'First attempt is 1.'),
            ('delivery_history', 'attempted_at', 'When it was tried.'),
            ('delivery_history', 'outcome', 'sent, retry (see next_attempt_at) or dead (given up).'),
            ('delivery_history', 'status_code', 'HTTP status or SMTP reply code, if there was an answer.'),
            ('delivery_history', 'failure', 'What went wrong, in our words; of a mail, by address. One that was sent has a failure where an address refused it.'),
            ('delivery_history', 'next_attempt_at', 'When it is tried again. Null when settled.'),
            ('delivery_history', 'duration_ms', 'How long the attempt took, in milliseconds.')
        ) as d(view_name, column_name, text) on d.view_name = c.relname and d.column_name = a.attname
        where c.relnamespace = 'trueup'::regnamespace
    loop
        execute format('comment on column trueup.%I.%I is %L', described.relname, described.attname, described.text);
    end loop;
end
$$;

-- Analysts read the views and nothing else. Roles are shared by all databases of a server, so it may exist already.
do $$
begin
    if not exists (select from pg_roles where rolname = 'trueup_reader') then
        create role trueup_reader nologin;
    end if;
exception
    when duplicate_object or unique_violation then null;
    when insufficient_privilege then
        raise notice 'role trueup_reader was not created: the migrating role may not create roles';
end
$$;
do $$
begin
    if exists (select from pg_roles where rolname = 'trueup_reader') then
        grant usage on schema trueup to trueup_reader;
        grant select on trueup.run_history, trueup.window_revisions, trueup.window_history, trueup.metric_revisions,
            trueup.metric_history, trueup.residual_history, trueup.worst_samples, trueup.verdict_history, trueup.alert_history,
            trueup.slo_history, trueup.annotation, trueup.model_baseline, trueup.delivery_history to trueup_reader;
    end if;
end
$$;
