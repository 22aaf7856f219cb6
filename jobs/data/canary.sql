-- Made-up trips of two days, one a minute; every fourth is estimated by v5, which has been off by eight minutes for eight hours.
create schema travel;
create table travel.estimate (
    trip_id bigint primary key, departed_at timestamptz not null, minutes double precision not null, model_version text not null,
    written_at timestamptz not null);
create table travel.trip (trip_id bigint primary key, minutes double precision not null, ended_at timestamptz not null);
insert into travel.estimate
select n, t, 20 + n % 30 + case when n % 4 = 0 and t > now() - interval '8 hours' then 8 else 0 end, case when n % 4 = 0 then 'v5' else 'v4' end, t
from (select n, date_trunc('minute', now()) - (2880 - n) * interval '1 minute' as t from generate_series(1, 2880) n) as q;
insert into travel.trip
select trip_id, 20 + trip_id % 30 + 3 * sin(trip_id), departed_at + (20 + trip_id % 30) * interval '1 minute'
from travel.estimate where departed_at + (20 + trip_id % 30) * interval '1 minute' < now();
create index on travel.estimate (departed_at); create index on travel.estimate (written_at); create index on travel.trip (ended_at);
analyze travel.estimate; analyze travel.trip;
