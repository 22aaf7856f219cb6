-- A believable warehouse: energy load in four regions, 60 days by quarter-hours, forecast by two model versions.
-- Nothing is random: noise comes from hashes, so that the demo tells the same story every time.
create schema warehouse;

create table warehouse.load_forecast (
    prediction_id  bigint primary key,
    region         text not null,
    interval_start timestamptz not null,
    model_version  text not null,
    forecast_mw    double precision not null,
    inserted_at    timestamptz not null
);

create table warehouse.load_actual (
    prediction_id bigint primary key,
    actual_mw     double precision not null,
    measured_at   timestamptz not null
);

create table warehouse.truth as
select row_number() over (order by q.interval_start, r.region) as prediction_id, r.region, q.interval_start,
       r.base
         + r.base * 0.22 * sin((extract(hour from q.interval_start) + extract(minute from q.interval_start) / 60.0 - 9) * pi() / 12)
         - r.base * 0.09 * (extract(isodow from q.interval_start) >= 6)::int
         + r.base * 0.03 * sin(extract(doy from q.interval_start)) as load_mw,
       r.base
from (values ('east', 3100.0), ('north', 5200.0), ('south', 4400.0), ('west', 2600.0)) as r (region, base)
cross join generate_series(timestamptz '2025-03-04 00:00Z', timestamptz '2025-05-02 23:45Z', interval '15 minutes') as q (interval_start);

-- Noise that looks normal: three uniform values from a hash, added.
create function warehouse.noise(id bigint, seed bigint) returns double precision language sql immutable as $$
    select (mod(abs(hashint8extended(id, seed)), 2001) + mod(abs(hashint8extended(id, seed + 1)), 2001)
            + mod(abs(hashint8extended(id, seed + 2)), 2001) - 3000) / 1000.0
$$;

insert into warehouse.load_forecast
select t.prediction_id, t.region, t.interval_start, v.model_version,
       t.load_mw + t.base * 0.03 * warehouse.noise(t.prediction_id, 11)
         -- Version 2 reads a weather feed for the north that goes stale on 1 May at 06:00; at 20:00 it is rolled back.
         - case when v.model_version = 'v2' and t.region = 'north' and t.interval_start >= '2025-05-01 06:00Z' then t.base * 0.14 else 0 end,
       t.interval_start - interval '14 hours'
from warehouse.truth t
cross join lateral (
    select case when t.interval_start >= '2025-04-24 00:00Z' and t.interval_start < '2025-05-01 20:00Z' then 'v2' else 'v1' end as model_version
) as v;

-- Meters report hours later, some of them days later, a few never. The south's afternoon of 30 April was lost on the
-- way: it arrives two days late, and shows that the forecast was worse than first reported.
insert into warehouse.load_actual
select t.prediction_id,
       t.load_mw + t.base * 0.02 * warehouse.noise(t.prediction_id, 23)
         + case when t.region = 'south' and t.interval_start >= '2025-04-30 12:00Z' and t.interval_start < '2025-04-30 18:00Z' then t.base * 0.07 else 0 end,
       case
           when t.region = 'south' and t.interval_start >= '2025-04-30 12:00Z' and t.interval_start < '2025-04-30 18:00Z'
               then timestamptz '2025-05-02 16:40Z'
           when mod(abs(hashint8extended(t.prediction_id, 5)), 100) < 8
               then t.interval_start + interval '20 hours' + mod(abs(hashint8extended(t.prediction_id, 6)), 28) * interval '1 hour'
           else t.interval_start + interval '45 minutes' + mod(abs(hashint8extended(t.prediction_id, 7)), 90) * interval '1 minute'
       end
from warehouse.truth t
where mod(abs(hashint8extended(t.prediction_id, 9)), 100) > 0;

create index on warehouse.load_forecast (inserted_at);
create index on warehouse.load_forecast (interval_start);
create index on warehouse.load_actual (measured_at);
analyze warehouse.load_forecast;
analyze warehouse.load_actual;
