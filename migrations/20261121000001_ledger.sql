-- The ledger: which jobs exist, which runs were due, and how each ended.
-- No runner keeps any of this in memory, so any number of runners can share it and any of them may die.
-- The schema is there already: `trueup migrate` makes it, or an administrator did.
do $$ begin
    comment on schema trueup is 'History of prediction error, kept by trueup. The views named *_history are the public contract; the tables behind them are not.';
exception when insufficient_privilege then
    -- Only the owner of a schema may describe it; one who may create in it can do without.
    null;
end $$;

create table trueup.job (
    id                bigint generated always as identity primary key,
    name              text not null,
    -- Where the schedule stands: the last slot that was put into the ledger. Slots are computed from it, never from now.
    last_scheduled_for timestamptz,
    -- When the next slot is due, so that a poll reads an index and not every job. Null until a scheduler has seen the job.
    next_due_at       timestamptz,
    -- The newest as_of that was published. A run for an older time is refused: it would rewrite what is already known.
    published_as_of   timestamptz,
    -- The plan that published last. A run of another one measures every window anew.
    published_plan_id bigint,
    registered_at     timestamptz not null default clock_timestamp(),
    -- When a runner last knew it, to the hour. The raw data of a job that nobody runs any more are removed.
    seen_at           timestamptz not null default clock_timestamp(),
    constraint job_name_is_unique unique (name)
);
create index job_by_next_due on trueup.job (next_due_at) where next_due_at is not null;

-- A plan is what a job measures. Changing what is measured starts a new plan, whose buckets never mix with the old ones.
create table trueup.plan (
    id            bigint generated always as identity primary key,
    job_id        bigint not null references trueup.job (id),
    fingerprint   text not null,
    spec          text not null,
    -- Identifies the rows that it reads: plans that differ in nothing but what they measure share it.
    source        text not null,
    -- An expression failed on a row: all of the job's are evaluated row by row from then on, by a plan of its own.
    guarded       boolean not null default false,
    -- It is that later plan: its residuals carry whether an expression fails on them, as the last of their extras.
    row_by_row    boolean not null default false,
    -- Names of the dimensions, in the order in which residuals and cells carry their values.
    dimensions    text[] not null,
    -- Arrivals up to here are in residuals and buckets.
    measured_as_of timestamptz,
    -- Residuals are complete for buckets that start here or later; older buckets are recomputed from the source.
    residual_from timestamptz,
    -- Buckets are complete from here on.
    built_from    timestamptz,
    -- Time zone whose days were published last. It is no part of the fingerprint: buckets are the same in every zone.
    timezone      text,
    -- When its history was last compared with the source over the whole horizon.
    reconciled_as_of timestamptz,
    -- Raised by every run or backfill before it writes residuals; a residual carries the one it was last changed in.
    generation    bigint not null default 0,
    -- Residuals of a later generation are in buckets that were not published yet: those buckets are due.
    published_generation bigint not null default 0,
    -- The newest as_of that anything of this plan was written with.
    newest_as_of  timestamptz,
    -- When anything of this plan was last written, by the database clock: what is in use is not removed.
    used_at       timestamptz not null default clock_timestamp(),
    created_at    timestamptz not null default clock_timestamp(),
    constraint plan_is_unique_per_job unique (job_id, fingerprint),
    constraint plan_is_measured_whole check (
        (measured_as_of is null) = (residual_from is null) and (measured_as_of is null) = (built_from is null)
    )
);

create table trueup.run (
    id                 bigint generated always as identity primary key,
    job_id             bigint not null references trueup.job (id),
    -- No foreign key: a plan that measured nothing that is kept goes, and nobody looks through all runs for it.
    plan_id            bigint,
    scheduled_for      timestamptz not null,
    trigger            text not null,
    state              text not null default 'due',
    reason             text,
    -- Raised by every claim. A runner that lost its lease holds an old epoch and can publish nothing.
    epoch              integer not null default 0,
    attempt            integer not null default 0,
    -- How often it was claimed from a runner whose lease ran out.
    takeovers          integer not null default 0,
    not_before         timestamptz,
    lease_until        timestamptz,
    claimed_by         text,
    created_at         timestamptz not null default clock_timestamp(),
    started_at         timestamptz,
    finished_at        timestamptz,
    as_of              timestamptz,
    rows_read          bigint,
    rows_beyond_horizon bigint,
    buckets_recomputed bigint,
    buckets_repaired   bigint,
    windows_written    bigint,
    failure            text,
    constraint run_trigger_is_known check (trigger in ('schedule', 'catch_up', 'manual', 'reconcile', 'backfill')),
    constraint run_state_is_known check (state in ('due', 'running', 'ok', 'failed', 'skipped')),
    constraint run_is_finished_when_it_ended check ((state in ('ok', 'failed', 'skipped')) = (finished_at is not null)),
    constraint run_is_leased_while_running check ((state = 'running') = (lease_until is not null)),
    constraint run_failure_is_explained check ((state = 'failed') = (failure is not null)),
    constraint run_skip_is_explained check (state <> 'skipped' or reason is not null)
);
-- One result per tick, whatever replicas run.
create unique index run_is_unique_per_tick on trueup.run (job_id, scheduled_for) where trigger in ('schedule', 'catch_up');
create index run_unfinished on trueup.run (job_id, scheduled_for) where state in ('due', 'running');
-- In the order in which they are claimed.
create index run_claimable on trueup.run (scheduled_for) where state in ('due', 'running');
create index run_by_job on trueup.run (job_id, scheduled_for desc);

create view trueup.run_history as
select j.name as job, r.scheduled_for, r.trigger, r.state, r.started_at, r.finished_at, r.as_of, r.rows_read,
       r.buckets_recomputed, r.windows_written, r.failure,
       r.id as run_id, r.plan_id, r.reason, r.attempt, r.rows_beyond_horizon, r.buckets_repaired
from trueup.run r join trueup.job j on j.id = r.job_id;
comment on view trueup.run_history is 'One row per run of a job: what was due, how it ended, and how much it read and wrote. Runs are kept for `[retention] windows` (13 months): a run_id of older history finds none.';
comment on column trueup.run_history.job is 'Name of the job, as in its file.';
comment on column trueup.run_history.scheduled_for is 'The time the run was due; for a manual run, the time it was asked for.';
comment on column trueup.run_history.trigger is 'schedule, catch_up (due while no runner was alive), manual, reconcile or backfill.';
comment on column trueup.run_history.state is 'due, running, ok, failed (see failure) or skipped (see reason).';
comment on column trueup.run_history.started_at is 'When a runner last claimed it, by the database clock.';
comment on column trueup.run_history.finished_at is 'When it ended, by the database clock. Null while due or running.';
comment on column trueup.run_history.as_of is 'Rows that had arrived by this time were seen.';
comment on column trueup.run_history.rows_read is 'Predictions that were new or changed for this run, or that were read to rebuild buckets.';
comment on column trueup.run_history.buckets_recomputed is 'Time slices whose sums were recomputed whole.';
comment on column trueup.run_history.windows_written is 'Measurements written: first reports and revisions.';
comment on column trueup.run_history.failure is 'Why it failed, in words; never data of the source.';
comment on column trueup.run_history.run_id is 'Key of the run; other views refer to it.';
comment on column trueup.run_history.plan_id is 'Which definition of the job it measured with.';
comment on column trueup.run_history.reason is 'Why a tick was skipped.';
comment on column trueup.run_history.attempt is 'How many times it was claimed.';
comment on column trueup.run_history.rows_beyond_horizon is 'Changed rows older than the horizon: not in history until a backfill covers them.';
comment on column trueup.run_history.buckets_repaired is 'Time slices that differed from the source and were recomputed. Null when the run did not compare them.';
