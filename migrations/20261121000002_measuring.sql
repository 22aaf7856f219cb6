-- The three stages of measuring: residuals, buckets of sums, and measurements of windows.

-- One row per prediction that was read, with its label if there is one. The only stage that joins the source. No foreign
-- key: it would be checked for every row, and plans are never deleted.
create table trueup.residual (
    plan_id       bigint not null,
    -- Compared byte by byte: keys are looked up and never sorted for people, and no change of the system's locale breaks the index.
    key           text collate "C" not null,
    model_version text collate "C" not null,
    bucket_start  timestamptz not null,
    -- Its dimensions and version: which cell of the bucket it is in.
    cell_id       bigint not null,
    -- Where it was before its event time or its dimensions changed, so that what it left is recomputed too.
    prior_buckets timestamptz[],
    prior_cells   bigint[],
    event_at      timestamptz not null,
    predicted     float8,
    actual        float8,
    -- The weight and the two sides of custom metrics, where the job has them; where expressions are evaluated row by row, whether one fails.
    extras        float8[],
    -- 0 pair, 1 unlabeled, 2 null, 3 not finite, 4 out of range, 5 duplicate prediction, 6 ambiguous label,
    -- 7 gone: no longer in the source, kept until its bucket was recomputed and published. 8: the filter fails on it.
    class         smallint not null,
    copies        integer not null,
    label_at      timestamptz,
    digest        bigint not null,
    as_of         timestamptz not null,
    -- The plan's generation of its last change: a cell with a residual that was not published yet is due.
    generation    bigint not null,
    primary key (plan_id, key, model_version),
    constraint residual_class_is_known check (class between 0 and 8),
    constraint residual_that_is_gone_counts_nothing check ((class = 7) = (copies = 0))
)
-- Room on each page: a label that arrives updates its row in place, and touches no index.
with (fillfactor = 70);
create index residual_by_cell on trueup.residual (plan_id, bucket_start, cell_id);

-- One combination of all dimensions and the version: the finest group that is kept apart. Stored once: names are long,
-- buckets are many. Cohorts are merged from cells.
create table trueup.cell (
    id            bigint generated always as identity primary key,
    plan_id       bigint not null references trueup.plan (id),
    dimensions    text[] collate "C" not null,
    model_version text collate "C" not null,
    -- Of its dimensions and version. Part of the digest of every pair in it.
    hash          bigint not null,
    constraint cell_is_unique unique (plan_id, dimensions, model_version)
);

create view trueup.residual_history as
select j.name as job, r.key as prediction_key, nullif(r.model_version, '') as model_version, r.event_at,
       jsonb_object(p.dimensions, c.dimensions) as dimensions, r.predicted, r.actual,
       case when r.class = 0 then r.predicted - r.actual end as error,
       case r.class when 0 then 'pair' when 1 then 'unlabeled' when 2 then 'null value' when 3 then 'not finite'
            when 4 then 'out of range' when 5 then 'duplicate prediction' when 6 then 'ambiguous label'
            when 8 then 'filter failed' end as outcome,
       r.label_at, r.copies, r.plan_id, r.as_of, r.bucket_start,
       coalesce(p.row_by_row and r.extras[array_upper(r.extras, 1)] = 1, false) as expression_failed
from trueup.residual r
join trueup.cell c on c.id = r.cell_id
join trueup.plan p on p.id = r.plan_id
join trueup.job j on j.id = p.job_id
where r.class <> 7;
comment on view trueup.residual_history is 'One row per prediction with its label and error, for as long as `residuals.keep` says. Jobs without arrival times keep none.';
comment on column trueup.residual_history.job is 'Name of the job, as in its file.';
comment on column trueup.residual_history.prediction_key is 'Key of the prediction as text; a key of several columns as a JSON array.';
comment on column trueup.residual_history.model_version is 'Version of the model. Null where the job declares none.';
comment on column trueup.residual_history.event_at is 'Event time of the prediction.';
comment on column trueup.residual_history.dimensions is 'Cohort dimensions and their values, null for NULL.';
comment on column trueup.residual_history.predicted is 'The predicted value, in the target unit.';
comment on column trueup.residual_history.actual is 'The label that counts, in the target unit. Null while there is none.';
comment on column trueup.residual_history.error is 'predicted - actual. Null unless the pair is averaged.';
comment on column trueup.residual_history.outcome is 'pair (averaged), unlabeled, null value, not finite, out of range, duplicate prediction, ambiguous label or filter failed.';
comment on column trueup.residual_history.label_at is 'When the label became known.';
comment on column trueup.residual_history.copies is 'How many predictions share the key. More than one: none of them is averaged.';
comment on column trueup.residual_history.plan_id is 'Which definition of the job it was read with.';
comment on column trueup.residual_history.bucket_start is 'Start of the time slice it is in. Ask by it for a range of time: an index finds it.';
comment on column trueup.residual_history.expression_failed is 'Whether an expression of the job (filter, cohort, metric, objective) fails on it.';
comment on column trueup.residual_history.as_of is 'As_of of the run that last changed it.';

-- A slice of event time of one cell. Always recomputed whole, never added to. No foreign keys: they would be checked for
-- every row of a first build, and plans and cells are never deleted.
create table trueup.bucket (
    plan_id       bigint not null,
    -- Seconds. The job's own bucket is summed from pairs; coarser grains are merged from the next finer.
    grain         integer not null,
    bucket_start  timestamptz not null,
    cell_id       bigint not null,
    predictions   bigint not null,
    labeled       bigint not null,
    excluded      bigint not null,
    duplicates    bigint not null,
    ambiguous     bigint not null,
    -- In the order of the plan's catalogue of sums.
    sums          float8[] not null,
    -- Histograms of |error| and of label latency, where the job's metrics need them: bins, and how many pairs are in each.
    error_bins    integer[],
    error_counts  bigint[],
    latency_bins  integer[],
    latency_counts bigint[],
    -- Order-independent, so that it is equal whatever the plan of the query: floats would not be.
    digest        numeric not null,
    as_of         timestamptz not null,
    primary key (plan_id, grain, bucket_start, cell_id)
);

-- What buckets lost in the source. With gone_at they were kept as they are, because a window would have lost too much; without,
-- they followed the source, and what went a little at a time adds up.
create table trueup.gone_bucket (
    plan_id      bigint not null,
    bucket_start timestamptz not null,
    predictions  bigint not null,
    labeled      bigint not null,
    gone_at      timestamptz,
    primary key (plan_id, bucket_start)
);

-- Buckets that were recomputed, and whose windows were not published yet. Written with the buckets, removed with the
-- publish: whoever is cut off in between leaves a note for the next.
create table trueup.due_bucket (
    plan_id      bigint not null,
    bucket_start timestamptz not null,
    -- The plan's generation in which it was recomputed.
    generation   bigint not null,
    primary key (plan_id, bucket_start, generation)
);

-- Evaluates an expression of a job on one row, given as an object: its value, NULL where it fails, and whether it does. A block with a
-- handler costs some microseconds, so only expressions of jobs where one has failed come here. With the rights of the caller, who may
-- run the expression by itself.
create function trueup.guarded(statement text, source jsonb, out value text, out failed boolean)
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    failed := false;
    execute statement into value using source;
exception when others then
    value := null;
    failed := true;
end
$$;
revoke all on function trueup.guarded(text, jsonb) from public;
comment on function trueup.guarded is 'An expression of a job on one row: its value, and whether it failed.';

-- Has the planner look at what a first build filled: until then it expects one row of a plan that it does not know. A table that
-- somebody else analyses just now is left to them.
create function trueup.analyze_built() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '2s'
as $$
begin
    analyze trueup.residual, trueup.bucket, trueup.cell;
exception when lock_not_available then
    null;
end
$$;
revoke all on function trueup.analyze_built() from public;
comment on function trueup.analyze_built is 'Has the planner look at what a first build filled.';
-- A tenth of all jobs' rows would have to change before the server looks by itself.
alter table trueup.residual set (autovacuum_analyze_scale_factor = 0.01);
alter table trueup.bucket set (autovacuum_analyze_scale_factor = 0.01);

-- Count, sum and centred sum of squares, by the server's own accumulator (Youngs and Cramer), merged by Chan's formula.
create aggregate trueup.moments (float8)
    (sfunc = float8_accum, stype = float8[], combinefunc = float8_combine, initcond = '{0,0,0}', parallel = safe);
create aggregate trueup.merge_moments (float8[])
    (sfunc = float8_combine, stype = float8[], combinefunc = float8_combine, initcond = '{0,0,0}', parallel = safe);

-- What measurements are of: one cohort and version in one window of a job, through time. A measurement carries its number instead
-- of cohort, values and version.
create table trueup.series (
    id            integer generated always as identity primary key,
    job_id        bigint not null references trueup.job (id),
    job           text not null,
    window_name   text not null,
    cohort        text not null,
    cohort_values jsonb not null,
    model_version text
);
create unique index series_is_unique on trueup.series (job, window_name, cohort, coalesce(model_version, ''), (model_version is null));

-- Which metrics a measurement of a plan has, and where each stands among its numbers, counted from 1: {"mse": [1, 3, 4], "r2": [2]}
-- is a value with the bounds of its interval, and a value without. Few: a plan has one, and some more for windows in which
-- an interval cannot be computed.
create table trueup.metric_set (
    id      integer generated always as identity primary key,
    plan_id bigint not null references trueup.plan (id),
    places  jsonb not null
);
-- By hash: names of many metrics are longer than an index takes.
create unique index metric_set_is_unique on trueup.metric_set (plan_id, md5(places::text));

-- Which windows were measured, and when each became final.
create table trueup.measured_window (
    id            bigint generated always as identity primary key,
    job_id        bigint not null references trueup.job (id),
    -- Its name once more: views are asked by it, and an index is of use only where it stands.
    job           text not null,
    window_name   text not null,
    window_start  timestamptz not null,
    window_end    timestamptz not null,
    measured_at   timestamptz not null default clock_timestamp(),
    finalized_at  timestamptz,
    -- When a run first measured it, and when a run first saw it final. A backfill sets neither: it judges nothing.
    judged_at     timestamptz,
    settled_at    timestamptz,
    -- When a run found that the source no longer has what was measured here, so that the numbers stay as they are.
    source_gone_at timestamptz,
    constraint measured_window_is_unique unique (job, window_name, window_end),
    constraint measured_window_is_not_empty check (window_start < window_end)
);
create index measured_window_by_end on trueup.measured_window (job, window_end);
create index measured_window_unsettled on trueup.measured_window (job_id, window_end) where settled_at is null;

-- One row per revision of a measurement, in months of the end of its window: whoever asks for a range of time reads those months
-- and their indexes, and what is old rests. There are more of these than of anything else: a row has the name of its job, for an
-- index, and numbers; the rest is in the tables above and, if it is the same for a window, in measured_window. Columns are
-- in the order of their size, so that none is padded. No foreign keys: to attach a month would lock the tables that they
-- point to against every runner.
create table trueup.measurement (
    window_end    timestamptz not null,
    run_id        bigint not null,
    as_of         timestamptz not null,
    computed_at   timestamptz not null default clock_timestamp(),
    predictions   bigint not null,
    labeled       bigint not null,
    -- Of the digest of its pairs, which is compared and never shown.
    digest_hash   bigint not null,
    -- Null is 0, which these nearly always are, and takes no room.
    excluded      bigint,
    duplicates    bigint,
    ambiguous     bigint,
    superseded_as_of timestamptz,
    series_id     integer not null,
    -- Says the plan, too.
    metric_set_id integer not null,
    revision      integer not null,
    -- True when the cohort is no longer in the window: the history says so instead of keeping a stale number.
    removed       boolean not null default false,
    -- As in its series: an index serves only whoever asks for what is in it.
    job           text not null,
    -- Values and bounds, at the places that the metric set says. Null: nothing to average.
    numbers       float8[] not null,
    constraint measurement_revision_starts_at_one check (revision >= 1),
    constraint measurement_counts_add_up check (predictions >= 0 and labeled >= 0 and excluded >= 0 and labeled + coalesce(excluded, 0) <= predictions)
) partition by range (window_end);
-- There is one latest revision. Each revision is one more than the latest, in the transaction that supersedes it, so this keeps their
-- numbers apart, too.
create unique index measurement_has_one_latest on trueup.measurement (series_id, window_end) where superseded_as_of is null;
-- A series through time. Not unique, so that all revisions of a measurement share an entry.
create index measurement_by_series on trueup.measurement (series_id, window_end);
-- A job through time, whatever its windows and cohorts, and what a run finds a window by. All of a moment share an entry.
create index measurement_by_end on trueup.measurement (job, window_end);
-- What retention removes: neither what was reported first nor what counts now.
create index measurement_between on trueup.measurement (window_end) where revision > 1 and superseded_as_of is not null;

-- Makes the months of a table that these moments are in, where they are missing. Runners may define nothing: they may only call
-- this. A month is made beside the table and attached, so that nobody who reads or writes other months has to wait.
-- Measurements that were taken away are not measured again by the way: what was reported first would be another number.
create function trueup.add_months(parent text, moments timestamptz[]) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC'
as $$
declare
    month timestamptz;
    child text;
    made  integer := 0;
begin
    if coalesce(parent, '') not in ('measurement', 'verdict', 'slo_evaluation') then
        raise exception '% is not kept in months', parent;
    end if;
    -- As far as predictions are read at all.
    if exists (select from unnest(moments) as moment where moment < '1900-01-01' or moment >= '3000-01-01') then
        raise exception 'months are from 1900 to 2999';
    end if;
    for month in
        select distinct date_trunc('month', moment) as start from unnest(moments) as moment
        where moment is not null and not exists (
            select from pg_inherits i
            join pg_class c on c.oid = i.inhrelid
            where i.inhparent = format('trueup.%I', parent)::regclass and c.relname = parent || to_char(moment, '_YYYY_MM')
        )
        order by 1
    loop
        child := parent || to_char(month, '_YYYY_MM');
        perform pg_advisory_xact_lock(hashtextextended('trueup.' || parent, 0));
        -- Another runner may have made it while this one waited.
        continue when exists (
            select from pg_inherits i
            join pg_class c on c.oid = i.inhrelid
            where i.inhparent = format('trueup.%I', parent)::regclass and c.relname = child
        );
        if parent = 'measurement' and exists (
            select from trueup.measured_window w where w.window_end >= month and w.window_end < month + interval '1 month'
        ) then
            raise exception 'the measurements of % were taken away; attach trueup.% again', to_char(month, 'YYYY-MM'), child
                using errcode = 'TU001';
        end if;
        execute format('create table trueup.%I (like trueup.%I including all excluding identity)', child, parent);
        -- Who replicates the history needs to tell its rows apart; there is no primary key over a version that may be null.
        execute format('alter table trueup.%I replica identity full', child);
        execute format('alter table trueup.%I attach partition trueup.%I for values from (%L) to (%L)',
                       parent, child, month, month + interval '1 month');
        made := made + 1;
    end loop;
    return made;
end
$$;
comment on function trueup.add_months is 'Makes the months of a history table that these moments are in.';

-- Drops the months of verdicts or evaluations that ended before. Measurements have none that could go: first reports stay.
-- Whoever reads at that moment is waited for a little, so that nobody else has to wait behind; else it is for the next time.
-- One table in a transaction: to hold one and wait for the other could be a deadlock with a run that writes both.
create function trueup.drop_months(parent text, before timestamptz) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC' set lock_timeout = '2s'
as $$
declare
    child   text;
    dropped integer := 0;
begin
    if parent not in ('verdict', 'slo_evaluation') then
        raise exception '% keeps its months', parent;
    end if;
    for child in
        select c.relname
        from pg_inherits i
        join pg_class c on c.oid = i.inhrelid
        where i.inhparent = format('trueup.%I', parent)::regclass
          and c.relname < (parent || to_char(before, '_YYYY_MM'))::name
          and c.relname ~ '_[0-9]{4}_[0-9]{2}$'
        order by 1
    loop
        execute format('drop table trueup.%I', child);
        dropped := dropped + 1;
    end loop;
    return dropped;
end
$$;
comment on function trueup.drop_months is 'Drops the months of verdicts, or of evaluations of objectives, that ended before a moment.';
revoke all on function trueup.add_months(text, timestamptz[]), trueup.drop_months(text, timestamptz) from public;

-- The largest errors of a window, kept when its residuals are gone. Only where a job asks for it, and only so many.
create table trueup.worst_sample (
    window_id      bigint not null references trueup.measured_window (id),
    -- 1 is the largest |error|.
    place          integer not null,
    prediction_key text not null,
    model_version  text,
    dimensions     text[] not null,
    event_at       timestamptz not null,
    predicted      float8 not null,
    actual         float8 not null,
    label_at       timestamptz,
    plan_id        bigint not null references trueup.plan (id),
    as_of          timestamptz not null,
    primary key (window_id, place),
    constraint worst_sample_has_a_place check (place between 1 and 100)
);
create view trueup.worst_samples as
select w.job, w.window_name, w.window_start, w.window_end, s.place, s.prediction_key, s.model_version, s.event_at,
       jsonb_object(p.dimensions, s.dimensions) as dimensions, s.predicted, s.actual, s.predicted - s.actual as error, s.label_at,
       s.plan_id, s.as_of
from trueup.worst_sample s
join trueup.measured_window w on w.id = s.window_id
join trueup.plan p on p.id = s.plan_id;
comment on view trueup.worst_samples is 'The predictions with the largest errors of each window, for jobs with `residuals.worst`; kept longer than residuals.';
comment on column trueup.worst_samples.job is 'Name of the job, as in its file.';
comment on column trueup.worst_samples.window_name is 'Kind and length of the window.';
comment on column trueup.worst_samples.window_start is 'Start of the window, inclusive.';
comment on column trueup.worst_samples.window_end is 'End of the window, exclusive.';
comment on column trueup.worst_samples.place is '1 is the largest |error|.';
comment on column trueup.worst_samples.prediction_key is 'Key of the prediction as text; a key of several columns as a JSON array.';
comment on column trueup.worst_samples.model_version is 'Version of the model. Null where the job declares none.';
comment on column trueup.worst_samples.event_at is 'Event time of the prediction.';
comment on column trueup.worst_samples.dimensions is 'Cohort dimensions and their values, null for NULL.';
comment on column trueup.worst_samples.predicted is 'The predicted value, in the target unit.';
comment on column trueup.worst_samples.actual is 'The label that counted, in the target unit.';
comment on column trueup.worst_samples.error is 'predicted - actual.';
comment on column trueup.worst_samples.label_at is 'When the label became known.';
comment on column trueup.worst_samples.plan_id is 'Which definition of the job it was measured with.';
comment on column trueup.worst_samples.as_of is 'As_of of the run that wrote it.';

create view trueup.window_revisions as
select m.job, t.window_name, w.window_start, m.window_end, t.cohort, t.cohort_values, t.model_version,
       case when w.finalized_at is null or m.superseded_as_of <= w.finalized_at then 'provisional' else 'final' end as status,
       m.revision, m.computed_at, m.run_id, m.predictions, m.labeled, coalesce(m.excluded, 0) as excluded,
       case when m.predictions > 0 then m.labeled::float8 / m.predictions end as coverage,
       m.numbers[(s.places -> 'mse' -> 0)::int] as mse,
       m.numbers[(s.places -> 'mse' -> 1)::int] as mse_ci_low,
       m.numbers[(s.places -> 'mse' -> 2)::int] as mse_ci_high,
       m.numbers[(s.places -> 'rmse' -> 0)::int] as rmse,
       m.numbers[(s.places -> 'rmse' -> 1)::int] as rmse_ci_low,
       m.numbers[(s.places -> 'rmse' -> 2)::int] as rmse_ci_high,
       m.numbers[(s.places -> 'mae' -> 0)::int] as mae,
       m.numbers[(s.places -> 'mae' -> 1)::int] as mae_ci_low,
       m.numbers[(s.places -> 'mae' -> 2)::int] as mae_ci_high,
       m.numbers[(s.places -> 'bias' -> 0)::int] as bias,
       m.numbers[(s.places -> 'bias' -> 1)::int] as bias_ci_low,
       m.numbers[(s.places -> 'bias' -> 2)::int] as bias_ci_high,
       m.numbers[(s.places -> 'error_variance' -> 0)::int] as error_variance,
       m.numbers[(s.places -> 'mape' -> 0)::int] as mape,
       m.numbers[(s.places -> 'mape_excluded' -> 0)::int] as mape_excluded,
       m.numbers[(s.places -> 'smape' -> 0)::int] as smape,
       m.numbers[(s.places -> 'wape' -> 0)::int] as wape,
       m.numbers[(s.places -> 'rmsle' -> 0)::int] as rmsle,
       m.numbers[(s.places -> 'rmsle_excluded' -> 0)::int] as rmsle_excluded,
       m.numbers[(s.places -> 'r2' -> 0)::int] as r2,
       m.numbers[(s.places -> 'nrmse_mean' -> 0)::int] as nrmse_mean,
       m.numbers[(s.places -> 'nrmse_range' -> 0)::int] as nrmse_range,
       m.numbers[(s.places -> 'huber' -> 0)::int] as huber,
       m.numbers[(s.places -> 'max_abs_error' -> 0)::int] as max_abs_error,
       m.numbers[(s.places -> 'p50_abs_error' -> 0)::int] as p50_abs_error,
       m.numbers[(s.places -> 'p90_abs_error' -> 0)::int] as p90_abs_error,
       m.numbers[(s.places -> 'p95_abs_error' -> 0)::int] as p95_abs_error,
       m.numbers[(s.places -> 'p99_abs_error' -> 0)::int] as p99_abs_error,
       m.numbers[(s.places -> 'p50_squared_error' -> 0)::int] as p50_squared_error,
       m.numbers[(s.places -> 'p90_squared_error' -> 0)::int] as p90_squared_error,
       m.numbers[(s.places -> 'p95_squared_error' -> 0)::int] as p95_squared_error,
       m.numbers[(s.places -> 'p99_squared_error' -> 0)::int] as p99_squared_error,
       m.numbers[(s.places -> 'trimmed_mse' -> 0)::int] as trimmed_mse,
       m.numbers[(s.places -> 'winsorised_mse' -> 0)::int] as winsorised_mse,
       m.numbers[(s.places -> 'within_tolerance' -> 0)::int] as within_tolerance,
       m.numbers[(s.places -> 'within_tolerance' -> 1)::int] as within_tolerance_ci_low,
       m.numbers[(s.places -> 'within_tolerance' -> 2)::int] as within_tolerance_ci_high,
       m.numbers[(s.places -> 'outlier_rate' -> 0)::int] as outlier_rate,
       m.numbers[(s.places -> 'outlier_rate' -> 1)::int] as outlier_rate_ci_low,
       m.numbers[(s.places -> 'outlier_rate' -> 2)::int] as outlier_rate_ci_high,
       m.numbers[(s.places -> 'over_rate' -> 0)::int] as over_rate,
       m.numbers[(s.places -> 'over_rate' -> 1)::int] as over_rate_ci_low,
       m.numbers[(s.places -> 'over_rate' -> 2)::int] as over_rate_ci_high,
       m.numbers[(s.places -> 'under_rate' -> 0)::int] as under_rate,
       m.numbers[(s.places -> 'under_rate' -> 1)::int] as under_rate_ci_low,
       m.numbers[(s.places -> 'under_rate' -> 2)::int] as under_rate_ci_high,
       m.numbers[(s.places -> 'weighted_mse' -> 0)::int] as weighted_mse,
       m.numbers[(s.places -> 'weighted_mae' -> 0)::int] as weighted_mae,
       m.numbers[(s.places -> 'squared_error_share' -> 0)::int] as squared_error_share,
       m.numbers[(s.places -> 'label_coverage' -> 0)::int] as label_coverage,
       m.numbers[(s.places -> 'label_coverage' -> 1)::int] as label_coverage_ci_low,
       m.numbers[(s.places -> 'label_coverage' -> 2)::int] as label_coverage_ci_high,
       m.numbers[(s.places -> 'label_arrival_rate' -> 0)::int] as label_arrival_rate,
       m.numbers[(s.places -> 'label_arrival_rate' -> 1)::int] as label_arrival_rate_ci_low,
       m.numbers[(s.places -> 'label_arrival_rate' -> 2)::int] as label_arrival_rate_ci_high,
       m.numbers[(s.places -> 'label_latency_p50' -> 0)::int] as label_latency_p50,
       m.numbers[(s.places -> 'label_latency_p95' -> 0)::int] as label_latency_p95,
       m.numbers[(s.places -> 'prediction_mean' -> 0)::int] as prediction_mean,
       m.numbers[(s.places -> 'prediction_variance' -> 0)::int] as prediction_variance,
       m.numbers[(s.places -> 'actual_mean' -> 0)::int] as actual_mean,
       m.numbers[(s.places -> 'actual_variance' -> 0)::int] as actual_variance,
       (select coalesce(jsonb_object_agg(own.key, m.numbers[(own.value -> 0)::int]), '{}') from jsonb_each(s.places - array[
           'mse', 'rmse', 'mae', 'bias', 'error_variance', 'mape', 'mape_excluded', 'smape', 'wape', 'rmsle', 'rmsle_excluded',
           'r2', 'nrmse_mean', 'nrmse_range', 'huber', 'max_abs_error', 'p50_abs_error', 'p90_abs_error', 'p95_abs_error',
           'p99_abs_error', 'p50_squared_error', 'p90_squared_error', 'p95_squared_error', 'p99_squared_error', 'trimmed_mse',
           'winsorised_mse', 'within_tolerance', 'outlier_rate', 'over_rate', 'under_rate', 'weighted_mse', 'weighted_mae',
           'squared_error_share', 'label_coverage', 'label_arrival_rate', 'label_latency_p50', 'label_latency_p95',
           'prediction_mean', 'prediction_variance', 'actual_mean', 'actual_variance'
       ]) as own) as extra,
       m.as_of, m.superseded_as_of, m.removed, s.plan_id, coalesce(m.duplicates, 0) as duplicates,
       coalesce(m.ambiguous, 0) as ambiguous, w.finalized_at,
       m.revision = 1 as first_reported, m.as_of - m.window_end as label_age, w.source_gone_at
from trueup.measurement m
-- The name of the job again: that of a question finds the series, too.
join trueup.series t on t.id = m.series_id and t.job = m.job
-- Every measurement has its window and its metrics; said like this, Postgres looks for them only where a question needs them.
left join trueup.measured_window w on w.job = m.job and w.window_name = t.window_name and w.window_end = m.window_end
left join trueup.metric_set s on s.id = m.metric_set_id;
comment on view trueup.window_revisions is 'Every revision of every measurement: what was reported first, and each correction beside it. Of rolling windows older than `[retention] rolling` (90 days) one a day is there, the last by UTC, and those that alerts of incidents were about; of windows older than `[retention] windows` (13 months) the revisions between the first and the latest are gone. Both are kept of all windows that are there.';

create view trueup.window_history as
select job, window_name, window_start, window_end, cohort, cohort_values, model_version, status, revision, computed_at, run_id,
       predictions, labeled, excluded, coverage,
       mse, mse_ci_low, mse_ci_high, rmse, rmse_ci_low, rmse_ci_high, mae, mae_ci_low, mae_ci_high, bias, bias_ci_low,
       bias_ci_high, error_variance, mape, mape_excluded, smape, wape, rmsle, rmsle_excluded, r2, nrmse_mean, nrmse_range,
       huber, max_abs_error, p50_abs_error, p90_abs_error, p95_abs_error, p99_abs_error, p50_squared_error, p90_squared_error,
       p95_squared_error, p99_squared_error, trimmed_mse, winsorised_mse, within_tolerance, within_tolerance_ci_low,
       within_tolerance_ci_high, outlier_rate, outlier_rate_ci_low, outlier_rate_ci_high, over_rate, over_rate_ci_low,
       over_rate_ci_high, under_rate, under_rate_ci_low, under_rate_ci_high, weighted_mse, weighted_mae, squared_error_share,
       label_coverage, label_coverage_ci_low, label_coverage_ci_high, label_arrival_rate, label_arrival_rate_ci_low,
       label_arrival_rate_ci_high, label_latency_p50, label_latency_p95, prediction_mean, prediction_variance, actual_mean,
       actual_variance, extra,
       as_of, plan_id, duplicates, ambiguous, finalized_at, label_age, source_gone_at
from trueup.window_revisions
where superseded_as_of is null and not removed;
comment on view trueup.window_history is 'The latest revision of each measurement, one wide row per window, cohort and model version. Of rolling windows older than `[retention] rolling` (90 days) one a day is there, the last by UTC, and those that alerts of incidents were about: a count of rows is no count of windows there, and a mean over time weighs a day as much as a minute does later.';

create view trueup.metric_revisions as
select m.job, t.window_name, w.window_start, m.window_end, t.cohort, t.model_version,
       metric.key as metric, m.numbers[(metric.value -> 0)::int] as value,
       m.numbers[(metric.value -> 1)::int] as ci_low, m.numbers[(metric.value -> 2)::int] as ci_high,
       m.labeled, case when m.predictions > 0 then m.labeled::float8 / m.predictions end as coverage,
       case when w.finalized_at is null or m.superseded_as_of <= w.finalized_at then 'provisional' else 'final' end as status,
       m.revision, m.computed_at, m.as_of, m.superseded_as_of, m.removed, m.revision = 1 as first_reported, w.finalized_at,
       m.as_of - m.window_end as label_age, w.source_gone_at
from trueup.measurement m
join trueup.series t on t.id = m.series_id and t.job = m.job
left join trueup.measured_window w on w.job = m.job and w.window_name = t.window_name and w.window_end = m.window_end
join trueup.metric_set s on s.id = m.metric_set_id
cross join lateral jsonb_each(s.places) as metric(key, value);
comment on view trueup.metric_revisions is 'Every revision of every metric, one row per metric. Of rolling windows older than `[retention] rolling` (90 days) one a day is there, the last by UTC, and those that alerts of incidents were about; of windows older than `[retention] windows` (13 months) the revisions between the first and the latest are gone.';

create view trueup.metric_history as
select job, window_name, window_start, window_end, cohort, model_version, metric, value, ci_low, ci_high, labeled, coverage,
       status, revision, computed_at, as_of, label_age, source_gone_at
from trueup.metric_revisions
where superseded_as_of is null and not removed;
comment on view trueup.metric_history is 'The latest revision of each metric, one long row per metric: what a chart or a pivot wants. Of rolling windows older than `[retention] rolling` (90 days) one a day is there, the last by UTC, and those that alerts of incidents were about.';

create function trueup.metric_history_as_of(believed_at timestamptz)
returns table (job text, window_name text, window_start timestamptz, window_end timestamptz, cohort text, model_version text,
               metric text, value float8, ci_low float8, ci_high float8, labeled bigint, coverage float8, status text,
               revision integer, computed_at timestamptz, as_of timestamptz, label_age interval)
language sql stable
as $$
    select r.job, r.window_name, r.window_start, r.window_end, r.cohort, r.model_version, r.metric, r.value, r.ci_low, r.ci_high,
           r.labeled, r.coverage,
           case when r.finalized_at <= believed_at then 'final' else 'provisional' end,
           r.revision, r.computed_at, r.as_of, r.label_age
    -- Only the view, so that whoever may read the views may ask this.
    from trueup.metric_revisions r
    where r.as_of <= believed_at and (r.superseded_as_of is null or r.superseded_as_of > believed_at) and not r.removed
$$;
comment on function trueup.metric_history_as_of is 'metric_history as it was believed at a moment: revisions whose as_of is not later, and that were not yet superseded. Of a window whose revisions between the first and the latest are gone (older than 13 months, or a rolling one older than 90 days), there is nothing between the end of the first and the beginning of the latest.';

do $$
declare
    view_name text;
    described record;
begin
    foreach view_name in array array['window_revisions', 'window_history', 'metric_revisions', 'metric_history'] loop
        for described in
            select a.attname, d.text
            from pg_attribute a
            join (values
                ('job', 'Name of the job, as in its file.'),
                ('window_name', 'Kind and length: `rolling 24h`, `tumbling 1d`.'),
                ('window_start', 'Start of the window in event time, inclusive.'),
                ('window_end', 'End of the window in event time, exclusive.'),
                ('cohort', '`all`, or dimension=value pairs such as `region=north, tier=2`; `other` where only the top cohorts are kept.'),
                ('cohort_values', 'The cohort as an object: dimension to value. Empty for `all`.'),
                ('model_version', 'Version of the model. Null means all versions together.'),
                ('status', '`provisional` until the labels had label_wait to arrive, then `final`.'),
                ('revision', '1 is what was reported first; each later recomputation that differed counts up.'),
                ('computed_at', 'When it was computed, by the database clock.'),
                ('run_id', 'The run that computed it; see run_history, which keeps runs for 13 months.'),
                ('predictions', 'Predictions in the window.'),
                ('labeled', 'Pairs that are averaged: prediction and label both there and finite.'),
                ('excluded', 'Pairs that are not averaged: NULL, not finite, out of range, duplicate or ambiguous.'),
                ('coverage', 'labeled / predictions, from 0 to 1.'),
                ('mse', 'Mean squared error: sum((predicted - actual)^2) / n (in the square of the target unit).'),
                ('mse_ci_low', 'Lower bound of the 95 % interval of mse; pairs are taken as independent.'),
                ('mse_ci_high', 'Upper bound of the 95 % interval of mse; pairs are taken as independent.'),
                ('rmse', 'Square root of the mean squared error (in the target unit).'),
                ('rmse_ci_low', 'Lower bound of the 95 % interval of rmse; pairs are taken as independent.'),
                ('rmse_ci_high', 'Upper bound of the 95 % interval of rmse; pairs are taken as independent.'),
                ('mae', 'Mean absolute error: sum(|predicted - actual|) / n (in the target unit).'),
                ('mae_ci_low', 'Lower bound of the 95 % interval of mae; pairs are taken as independent.'),
                ('mae_ci_high', 'Upper bound of the 95 % interval of mae; pairs are taken as independent.'),
                ('bias', 'Mean error: sum(predicted - actual) / n; positive when the model predicts too much (in the target unit).'),
                ('bias_ci_low', 'Lower bound of the 95 % interval of bias; pairs are taken as independent.'),
                ('bias_ci_high', 'Upper bound of the 95 % interval of bias; pairs are taken as independent.'),
                ('error_variance', 'Variance of the error around its mean, of the population: mse - bias^2 (in the square of the target unit).'),
                ('mape', 'Mean of |error / actual| over pairs whose actual is not 0; small actuals make it large (a ratio, 1 is the whole).'),
                ('mape_excluded', 'Pairs that mape leaves out because their actual is 0 (a count).'),
                ('smape', 'Mean of 2|error| / (|predicted| + |actual|), 0 where both are 0 (a ratio, 1 is the whole).'),
                ('wape', 'Sum(|error|) / sum(|actual|) (a ratio, 1 is the whole).'),
                ('rmsle', 'Root of the mean of (ln(1 + predicted) - ln(1 + actual))^2 over pairs without a negative side (a ratio, 1 is the whole).'),
                ('rmsle_excluded', 'Pairs that rmsle leaves out because a side is negative (a count).'),
                ('r2', 'Share of the variance of the actual that is explained: 1 - sum(error^2) / sum((actual - mean)^2); none where the actual does not vary (a ratio, 1 is the whole).'),
                ('nrmse_mean', 'Rmse / |mean of the actual| (a ratio, 1 is the whole).'),
                ('nrmse_range', 'Rmse / (greatest actual - least actual) (a ratio, 1 is the whole).'),
                ('huber', 'Mean Huber loss: error^2 / 2 up to `huber_delta`, linear beyond it (in the square of the target unit).'),
                ('max_abs_error', 'Greatest |error| (in the target unit).'),
                ('p50_abs_error', 'Median of |error|, within 0.5 % unless `exact` (in the target unit).'),
                ('p90_abs_error', '90th percentile of |error|, within 0.5 % unless `exact` (in the target unit).'),
                ('p95_abs_error', '95th percentile of |error|, within 0.5 % unless `exact` (in the target unit).'),
                ('p99_abs_error', '99th percentile of |error|, within 0.5 % unless `exact` (in the target unit).'),
                ('p50_squared_error', 'Median of error^2, within 1 % unless `exact` (in the square of the target unit).'),
                ('p90_squared_error', '90th percentile of error^2, within 1 % unless `exact` (in the square of the target unit).'),
                ('p95_squared_error', '95th percentile of error^2, within 1 % unless `exact` (in the square of the target unit).'),
                ('p99_squared_error', '99th percentile of error^2, within 1 % unless `exact` (in the square of the target unit).'),
                ('trimmed_mse', 'Mean of error^2 without the largest `trim` of them, within 1 % (in the square of the target unit).'),
                ('winsorised_mse', 'Mean of error^2 where the largest `trim` of them count as the largest that is left, within 1 % (in the square of the target unit).'),
                ('within_tolerance', 'Share of pairs with |error| <= `tolerance` (a ratio, 1 is the whole).'),
                ('within_tolerance_ci_low', 'Lower bound of the 95 % interval of within_tolerance; pairs are taken as independent.'),
                ('within_tolerance_ci_high', 'Upper bound of the 95 % interval of within_tolerance; pairs are taken as independent.'),
                ('outlier_rate', 'Share of pairs with |error| > `tolerance` (a ratio, 1 is the whole).'),
                ('outlier_rate_ci_low', 'Lower bound of the 95 % interval of outlier_rate; pairs are taken as independent.'),
                ('outlier_rate_ci_high', 'Upper bound of the 95 % interval of outlier_rate; pairs are taken as independent.'),
                ('over_rate', 'Share of pairs with predicted > actual (a ratio, 1 is the whole).'),
                ('over_rate_ci_low', 'Lower bound of the 95 % interval of over_rate; pairs are taken as independent.'),
                ('over_rate_ci_high', 'Upper bound of the 95 % interval of over_rate; pairs are taken as independent.'),
                ('under_rate', 'Share of pairs with predicted < actual (a ratio, 1 is the whole).'),
                ('under_rate_ci_low', 'Lower bound of the 95 % interval of under_rate; pairs are taken as independent.'),
                ('under_rate_ci_high', 'Upper bound of the 95 % interval of under_rate; pairs are taken as independent.'),
                ('weighted_mse', 'Sum(weight * error^2) / sum(weight), over pairs with a weight of 0 or more (in the square of the target unit).'),
                ('weighted_mae', 'Sum(weight * |error|) / sum(weight), over pairs with a weight of 0 or more (in the target unit).'),
                ('squared_error_share', 'Sum(error^2) of the cohort / sum(error^2) of the whole window (a ratio, 1 is the whole).'),
                ('label_coverage', 'Share of predictions with a usable label (a ratio, 1 is the whole).'),
                ('label_coverage_ci_low', 'Lower bound of the 95 % interval of label_coverage; pairs are taken as independent.'),
                ('label_coverage_ci_high', 'Upper bound of the 95 % interval of label_coverage; pairs are taken as independent.'),
                ('label_arrival_rate', 'Share of predictions older than `labels.expected_within` whose label has arrived, usable or not (a ratio, 1 is the whole).'),
                ('label_arrival_rate_ci_low', 'Lower bound of the 95 % interval of label_arrival_rate; pairs are taken as independent.'),
                ('label_arrival_rate_ci_high', 'Upper bound of the 95 % interval of label_arrival_rate; pairs are taken as independent.'),
                ('label_latency_p50', 'Median of the time from event to label, within 0.5 % (in seconds).'),
                ('label_latency_p95', '95th percentile of the time from event to label, within 0.5 % (in seconds).'),
                ('prediction_mean', 'Mean of the predicted value over pairs (in the target unit).'),
                ('prediction_variance', 'Variance of the predicted value over pairs, of the population (in the square of the target unit).'),
                ('actual_mean', 'Mean of the actual value over pairs (in the target unit).'),
                ('actual_variance', 'Variance of the actual value over pairs, of the population (in the square of the target unit).'),
                ('extra', 'Metrics of the job''s own, by name.'),
                ('as_of', 'Rows that had arrived by this time were seen.'),
                ('label_age', 'How long the labels had to arrive: from the end of the window to as_of.'),
                ('superseded_as_of', 'As_of of the revision that replaced this one. Null for the latest.'),
                ('removed', 'The cohort is no longer in the window.'),
                ('plan_id', 'Which definition of the job it was measured with.'),
                ('duplicates', 'Predictions left out because their key is not unique.'),
                ('ambiguous', 'Predictions left out because their labels disagree.'),
                ('finalized_at', 'When the window became final. Null while provisional.'),
                ('source_gone_at', 'When it was found that the source no longer has all that was measured here. The numbers stay as they were. Null: it has.'),
                ('first_reported', 'True for the revision that was reported first.'),
                ('metric', 'Name of the metric.'),
                ('value', 'Value of the metric. Null when there was nothing to average.'),
                ('ci_low', 'Lower bound of the 95 % interval, where the metric has one.'),
                ('ci_high', 'Upper bound of the 95 % interval, where the metric has one.')
            ) as d(name, text) on d.name = a.attname
            where a.attrelid = format('trueup.%I', view_name)::regclass and a.attnum > 0
        loop
            execute format('comment on column trueup.%I.%I is %L', view_name, described.attname, described.text);
        end loop;
    end loop;
end
$$;
