-- How far a backfill is, so that one that was killed goes on where it stopped.
create table trueup.backfill (
    id          bigint generated always as identity primary key,
    plan_id     bigint not null references trueup.plan (id),
    from_at     timestamptz not null,
    to_at       timestamptz not null,
    step_ms     bigint,
    begun_at    timestamptz not null default clock_timestamp(),
    -- Everything that had arrived by then is in what is done from now on.
    as_of       timestamptz not null,
    -- Windows that end here or earlier are done.
    done_until  timestamptz not null,
    finished_at timestamptz,
    constraint backfill_has_a_range check (from_at < to_at)
);
create index backfill_unfinished on trueup.backfill (plan_id, from_at, to_at) where finished_at is null;
