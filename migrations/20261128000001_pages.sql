-- What the pages show in addition to history: jobs as they are now, incidents with their notes, silences and notifications.

-- Description of the job for people, written with every publication: pages need no job file.
alter table trueup.job add column about jsonb not null default '{}';

-- Notes, decisions and judgements of people about an incident.
create table trueup.incident_note (
    id          bigint generated always as identity primary key,
    incident_id bigint not null references trueup.incident (id),
    -- Null: about the incident as a whole.
    alert_id    bigint references trueup.alert (id),
    kind        text not null,
    author      text not null,
    text        text not null default '',
    noted_at    timestamptz not null default clock_timestamp(),
    constraint incident_note_kind_is_known check (kind in ('note', 'decision', 'useful', 'false_alarm')),
    constraint incident_note_says_something check (text <> '' or kind in ('useful', 'false_alarm'))
);
create index incident_note_by_incident on trueup.incident_note (incident_id, id);

-- A chart shows how many labels a value rests on, and which run wrote it.
create or replace view trueup.metric_revisions as
select m.job, t.window_name, w.window_start, m.window_end, t.cohort, t.model_version,
       metric.key as metric, m.numbers[(metric.value -> 0)::int] as value,
       m.numbers[(metric.value -> 1)::int] as ci_low, m.numbers[(metric.value -> 2)::int] as ci_high,
       m.labeled, case when m.predictions > 0 then m.labeled::float8 / m.predictions end as coverage,
       case when w.finalized_at is null or m.superseded_as_of <= w.finalized_at then 'provisional' else 'final' end as status,
       m.revision, m.computed_at, m.as_of, m.superseded_as_of, m.removed, m.revision = 1 as first_reported, w.finalized_at,
       m.as_of - m.window_end as label_age, w.source_gone_at, m.predictions, m.run_id
from trueup.measurement m
join trueup.series t on t.id = m.series_id and t.job = m.job
left join trueup.measured_window w on w.job = m.job and w.window_name = t.window_name and w.window_end = m.window_end
join trueup.metric_set s on s.id = m.metric_set_id
cross join lateral jsonb_each(s.places) as metric(key, value);

create or replace view trueup.metric_history as
select job, window_name, window_start, window_end, cohort, model_version, metric, value, ci_low, ci_high, labeled, coverage,
       status, revision, computed_at, as_of, label_age, source_gone_at, predictions, run_id
from trueup.metric_revisions
where superseded_as_of is null and not removed;
do $$
declare
    view_name text;
begin
    foreach view_name in array array['metric_revisions', 'metric_history'] loop
        execute format('comment on column trueup.%I.predictions is %L', view_name, 'Predictions in the window.');
        execute format('comment on column trueup.%I.run_id is %L', view_name,
            'The run that computed it; see run_history, which keeps runs for 13 months.');
    end loop;
end
$$;

create view trueup.alert_state as
select a.id as alert_id, j.name as job, a.rule, a.severity, a.cohort, a.model_version, a.state, a.since, a.fired_at, a.changed_at,
       a.dispatched, a.suppressed_by, a.acked_at, a.acked_by, a.incident_id, last.value, last.limit_value, a.about
from trueup.alert a
join trueup.job j on j.id = a.job_id
left join lateral (
    select t.value, t.limit_value from trueup.alert_transition t where t.alert_id = a.id order by t.id desc limit 1
) as last on true;
comment on view trueup.alert_state is 'Every alert as it is now; alert_history has its changes.';

create view trueup.job_about as
select j.name as job, j.about from trueup.job j;
comment on view trueup.job_about is 'Description of every job: windows, metrics with units, rules, objectives, dimensions.';

create view trueup.job_state as
select j.name as job,
       case when firing.alerts > 0 then 'firing'
            when late.is_late then 'late'
            when unsure.reason is not null then 'unsure'
            when firing.pending > 0 then 'pending'
            else 'ok' end as state,
       j.about ->> 'owner' as owner, j.about ->> 'description' as description, j.about ->> 'runbook' as runbook,
       j.about ->> 'unit' as unit, j.about ->> 'timezone' as timezone,
       firing.pages, firing.tickets, firing.infos, firing.pending, firing.unacknowledged, firing.since as firing_since,
       late.is_late, unsure.rule as unsure_rule, unsure.reason as unsure_reason,
       last.state as last_run_state, last.scheduled_for as last_run_scheduled_for, last.failure as last_run_failure,
       j.published_as_of, j.next_due_at, j.registered_at, j.about
from trueup.job j
cross join lateral (
    select count(*) filter (where a.state = 'firing') as alerts,
           count(*) filter (where a.state = 'firing' and a.severity = 'page') as pages,
           count(*) filter (where a.state = 'firing' and a.severity = 'ticket') as tickets,
           count(*) filter (where a.state = 'firing' and a.severity = 'info') as infos,
           count(*) filter (where a.state = 'pending') as pending,
           count(*) filter (where a.state = 'firing' and a.acked_at is null) as unacknowledged,
           min(a.since) filter (where a.state = 'firing') as since
    from trueup.alert a where a.job_id = j.id and a.state in ('firing', 'pending')
) as firing
cross join lateral (
    select coalesce(clock_timestamp() - coalesce(j.published_as_of, j.registered_at)
               > make_interval(secs => 2 * (j.about ->> 'interval_seconds')::float8) + interval '5 minutes', false) as is_late
) as late
left join lateral (
    select r.state, r.scheduled_for, r.failure from trueup.run r
    where r.job_id = j.id and r.state in ('ok', 'failed') order by r.finished_at desc limit 1
) as last on true
-- The first rule over everything whose newest verdict is that it could not judge.
left join lateral (
    select newest.rule, newest.reason
    from jsonb_array_elements(j.about -> 'rules') with ordinality as r (rule, place)
    cross join lateral (
        select v.rule, v.verdict, v.reason from trueup.verdict v
        where v.job_id = j.id and v.rule = r.rule ->> 'name' and v.cohort = 'all' and coalesce(v.model_version, '') = ''
          and (v.model_version is null) and not v.retroactive
        order by v.window_end desc, v.id desc limit 1
    ) as newest
    where newest.verdict in ('insufficient', 'no_data', 'error') and r.rule ->> 'severity' <> 'info'
    order by r.place limit 1
) as unsure on true;
comment on view trueup.job_state is 'Every job as it is now: firing, late, unsure (its rules could not judge), pending or ok.';

create view trueup.incident_history as
select i.id as incident_id, j.name as job, i.severity, i.opened_at, i.closed_at,
       (select count(distinct e.alert_id) from trueup.incident_evidence e where e.incident_id = i.id) as alerts,
       (select string_agg(distinct a.rule, ', ' order by a.rule) from trueup.incident_evidence e
           join trueup.alert a on a.id = e.alert_id where e.incident_id = i.id) as rules,
       (select min(x.acted_at) from trueup.alert_action x
           where x.action = 'acknowledged' and x.acted_at >= i.opened_at and x.acted_at <= coalesce(i.closed_at, 'infinity')
             and x.alert_id in (select e.alert_id from trueup.incident_evidence e where e.incident_id = i.id)) as acked_at,
       (select n.text from trueup.incident_note n where n.incident_id = i.id and n.kind = 'decision' order by n.id desc limit 1) as decision,
       (select n.kind from trueup.incident_note n
           where n.incident_id = i.id and n.kind in ('useful', 'false_alarm') order by n.id desc limit 1) as judged
from trueup.incident i
join trueup.job j on j.id = i.job_id;
comment on view trueup.incident_history is 'One row per incident: alerts of one job and severity that fired at overlapping times.';

create view trueup.incident_evidence_history as
select e.incident_id, e.id as evidence_id, e.alert_id, j.name as job, a.rule, a.cohort, a.model_version, a.state, a.acked_by,
       a.acked_at, a.changed_at, a.suppressed_by, e.frozen_at, e.evidence
from trueup.incident_evidence e
join trueup.alert a on a.id = e.alert_id
join trueup.job j on j.id = a.job_id;
comment on view trueup.incident_evidence_history is 'What was known when each alert of an incident fired, with the state of the alert now.';

create view trueup.incident_note_history as
select n.incident_id, i_job.name as job, n.id as note_id, n.alert_id, n.kind, n.author, n.text, n.noted_at
from trueup.incident_note n
join trueup.incident i on i.id = n.incident_id
join trueup.job i_job on i_job.id = i.job_id;
comment on view trueup.incident_note_history is 'Notes, decisions and judgements of people about incidents.';

create view trueup.alert_action_history as
select x.id as action_id, j.name as job, x.alert_id, a.rule, a.cohort, a.model_version, x.action, x.author, x.note, x.acted_at
from trueup.alert_action x
join trueup.alert a on a.id = x.alert_id
join trueup.job j on j.id = a.job_id;
comment on view trueup.alert_action_history is 'Acknowledgements and resolutions by people.';

create view trueup.silence_history as
select s.id as silence_id, s.job, s.rule, s.cohort, s.severity, s.starts_at, s.ends_at, s.reason, s.author,
       s.ends_at > clock_timestamp() as in_force
from trueup.silence s;
comment on view trueup.silence_history is 'Silences: which alerts were muted, until when, why and by whom. Null matches everything, a star any text.';

create view trueup.notification_state as
select n.id as notification_id, n.sequence, j.name as job, n.receiver, n.kind, n.state, n.attempt, n.created_at, n.settled_at,
       case when n.state = 'pending' then n.next_attempt_at end as next_attempt_at, n.run_id, n.recipients,
       n.fallback_at, n.topic, n.body
from trueup.notification n
left join trueup.job j on j.id = n.job_id;
comment on view trueup.notification_state is 'Every notification as it is now; delivery_history has its attempts.';

create view trueup.receiver_state as
select h.receiver, h.failures, h.open_until, h.gone, h.changed_at from trueup.receiver_health h;
comment on view trueup.receiver_state is 'Receivers that failed lately: paused until when, or gone for good.';

create view trueup.plan_history as
select p.id as plan_id, j.name as job, p.created_at, p.used_at, p.spec, p.dimensions, p.timezone, p.measured_as_of,
       p.reconciled_as_of, p.id = j.published_plan_id as is_current
from trueup.plan p
join trueup.job j on j.id = p.job_id;
comment on view trueup.plan_history is 'Definitions of a job: what was measured, from when on, and the text of the job file.';

do $$
declare
    described record;
begin
    for described in
        select c.relname, a.attname, d.text
        from pg_class c
        join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
        join (values
            (null, 'job', 'Name of the job, as in its file.'),
            (null, 'rule', 'Name of the rule, as in the job file.'),
            (null, 'severity', 'page, ticket or info.'),
            (null, 'cohort', 'The cohort; `all` for everything.'),
            (null, 'model_version', 'The version. Null means all versions together.'),
            (null, 'alert_id', 'Number of the alert, as `trueup alerts ack` takes it.'),
            (null, 'incident_id', 'Number of the incident, as `trueup incident` takes it.'),
            (null, 'author', 'Who did it.'),
            (null, 'changed_at', 'When it last changed, by the database clock.'),
            ('alert_state', 'state', 'inactive, pending, firing or resolved.'),
            ('alert_state', 'since', 'End of the first window of the present breach. Null unless pending or firing.'),
            ('alert_state', 'fired_at', 'When it began to fire.'),
            ('alert_state', 'dispatched', 'True once its notifications were enqueued.'),
            ('alert_state', 'suppressed_by', 'Why no notification was enqueued, while that is so.'),
            ('alert_state', 'acked_at', 'When it was acknowledged.'),
            ('alert_state', 'acked_by', 'Who acknowledged it.'),
            ('alert_state', 'value', 'Value of the metric at its last change.'),
            ('alert_state', 'limit_value', 'The limit at its last change.'),
            ('alert_state', 'about', 'The rule and the job for messages: metric, window, condition, runbook, owner, unit.'),
            ('job_state', 'state', 'firing; late: no run published in two intervals; unsure: a rule could not judge; pending; ok.'),
            ('job_state', 'owner', 'Owner, from the job file.'),
            ('job_state', 'description', 'Description, from the job file.'),
            ('job_state', 'runbook', 'Link to the runbook, from the job file.'),
            ('job_state', 'unit', 'Unit of the target.'),
            ('job_state', 'timezone', 'Time zone of the windows.'),
            ('job_state', 'pages', 'Alerts of severity page that fire.'),
            ('job_state', 'tickets', 'Alerts of severity ticket that fire.'),
            ('job_state', 'infos', 'Alerts of severity info that fire.'),
            ('job_state', 'pending', 'Alerts in breach that do not fire yet.'),
            ('job_state', 'unacknowledged', 'Firing alerts that are not acknowledged.'),
            ('job_state', 'firing_since', 'End of the first window of the oldest breach that fires.'),
            ('job_state', 'is_late', 'True if no run has published for two intervals and five minutes.'),
            ('job_state', 'unsure_rule', 'The first rule whose newest verdict was insufficient, no_data or error.'),
            ('job_state', 'unsure_reason', 'Why it could not judge.'),
            ('job_state', 'last_run_state', 'How the last run ended: ok or failed.'),
            ('job_state', 'last_run_scheduled_for', 'When that run was due.'),
            ('job_state', 'last_run_failure', 'Why it failed.'),
            ('job_state', 'published_as_of', 'As_of of the newest published run.'),
            ('job_state', 'next_due_at', 'When the next run is due. Null until a scheduler serves the job.'),
            ('job_state', 'registered_at', 'When the job was first seen.'),
            ('job_about', 'about', 'Description of the job, as its last publication wrote it.'),
            ('job_state', 'about', 'Description of the job: windows, metrics with units, rules, objectives, dimensions.'),
            ('incident_history', 'opened_at', 'When its first alert fired.'),
            ('incident_history', 'closed_at', 'When its last alert ended. Null while one fires.'),
            ('incident_history', 'alerts', 'Alerts that fired in it.'),
            ('incident_history', 'rules', 'Rules of these alerts.'),
            ('incident_history', 'acked_at', 'When the first of them was acknowledged.'),
            ('incident_history', 'decision', 'The newest decision about it: rollback, retrain, recalibrate, repair, hotfix or accept, and a note.'),
            ('incident_history', 'judged', 'useful or false_alarm, if a user marked it.'),
            ('incident_evidence_history', 'evidence_id', 'Key of the evidence.'),
            ('incident_evidence_history', 'state', 'State of the alert now.'),
            ('incident_evidence_history', 'acked_by', 'Who acknowledged the alert.'),
            ('incident_evidence_history', 'acked_at', 'When the alert was acknowledged.'),
            ('incident_evidence_history', 'suppressed_by', 'Why no notification was enqueued, while that is so.'),
            ('incident_evidence_history', 'frozen_at', 'When the evidence was frozen.'),
            ('incident_evidence_history', 'evidence', 'The alert, its rule, the series before it, cohorts, worst samples and changes.'),
            ('incident_note_history', 'note_id', 'Key of the note.'),
            ('incident_note_history', 'kind', 'note, decision, useful or false_alarm.'),
            ('incident_note_history', 'text', 'The note, or the decision.'),
            ('incident_note_history', 'noted_at', 'When it was written.'),
            ('alert_action_history', 'action_id', 'Key of the action.'),
            ('alert_action_history', 'action', 'acknowledged or resolved.'),
            ('alert_action_history', 'note', 'Note of the author.'),
            ('alert_action_history', 'acted_at', 'When it was done.'),
            ('silence_history', 'silence_id', 'Number of the silence, as `trueup silence expire` takes it.'),
            ('silence_history', 'starts_at', 'When it began.'),
            ('silence_history', 'ends_at', 'When it ends, or ended.'),
            ('silence_history', 'reason', 'Why.'),
            ('silence_history', 'in_force', 'True until it ends.'),
            ('notification_state', 'notification_id', 'The same on every retry; receivers see it as webhook-id or Message-ID.'),
            ('notification_state', 'sequence', 'Order of enqueueing.'),
            ('notification_state', 'receiver', 'Name of the receiver in trueup.toml.'),
            ('notification_state', 'kind', 'firing, resolved, acknowledged, test or heartbeat.'),
            ('notification_state', 'state', 'pending, sent, dead (given up) or dropped (over before it was sent).'),
            ('notification_state', 'attempt', 'Attempts so far.'),
            ('notification_state', 'created_at', 'When it was enqueued.'),
            ('notification_state', 'settled_at', 'When it was sent, given up or dropped.'),
            ('notification_state', 'next_attempt_at', 'When it is tried next. Null when settled.'),
            ('notification_state', 'run_id', 'The run that changed it last. Null: no run did.'),
            ('notification_state', 'recipients', 'Of a mail: addresses that took it (null) or refused it (why).'),
            ('notification_state', 'fallback_at', 'When the fallback receiver was notified instead.'),
            ('notification_state', 'topic', 'Group of notifications on one subject.'),
            ('notification_state', 'body', 'The notification, as `trueup schema webhook` describes it.'),
            ('receiver_state', 'receiver', 'Name of the receiver in trueup.toml.'),
            ('receiver_state', 'failures', 'Failed attempts in a row.'),
            ('receiver_state', 'open_until', 'Nothing is sent to it before this time.'),
            ('receiver_state', 'gone', 'True if it answered that it is gone for good (410).'),
            ('plan_history', 'plan_id', 'Key of the definition; measurements refer to it.'),
            ('plan_history', 'created_at', 'When it was first used.'),
            ('plan_history', 'used_at', 'When it was last used.'),
            ('plan_history', 'spec', 'The text of the job file.'),
            ('plan_history', 'dimensions', 'Names of the cohort dimensions.'),
            ('plan_history', 'timezone', 'Time zone of its days.'),
            ('plan_history', 'measured_as_of', 'Arrivals up to here are measured.'),
            ('plan_history', 'reconciled_as_of', 'When its history was last compared with the source.'),
            ('plan_history', 'is_current', 'True if it published last.')
        ) as d(view_name, column_name, text)
            on coalesce(d.view_name, c.relname) = c.relname and d.column_name = a.attname
        where c.relnamespace = 'trueup'::regnamespace
          and c.relname in ('alert_state', 'job_about', 'job_state', 'incident_history', 'incident_evidence_history', 'incident_note_history',
              'alert_action_history', 'silence_history', 'notification_state', 'receiver_state', 'plan_history')
    loop
        execute format('comment on column trueup.%I.%I is %L', described.relname, described.attname, described.text);
    end loop;
    if exists (select from pg_roles where rolname = 'trueup_reader') then
        grant select on trueup.alert_state, trueup.job_about, trueup.job_state, trueup.incident_history, trueup.incident_evidence_history,
            trueup.incident_note_history, trueup.alert_action_history, trueup.silence_history, trueup.notification_state,
            trueup.receiver_state, trueup.plan_history to trueup_reader;
    end if;
end
$$;

-- Operators ask which processes ran lately.
create or replace view trueup.run_history as
select j.name as job, r.scheduled_for, r.trigger, r.state, r.started_at, r.finished_at, r.as_of, r.rows_read,
       r.buckets_recomputed, r.windows_written, r.failure,
       r.id as run_id, r.plan_id, r.reason, r.attempt, r.rows_beyond_horizon, r.buckets_repaired, r.claimed_by as runner
from trueup.run r join trueup.job j on j.id = r.job_id;
comment on column trueup.run_history.runner is 'The process that claimed it last: its host and number.';
