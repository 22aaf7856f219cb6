-- Made-up readings of 12 bearings on 2 lines over 60 days; a bearing lives 20 days, and then its readings have their truth.
create schema plant;
create table plant.bearing (bearing_id int primary key, line text not null);
create table plant.reading (
    reading_id bigint primary key, bearing_id int not null, read_at timestamptz not null, hours_left double precision not null,
    model text not null, stored_at timestamptz not null);
create table plant.outcome (reading_id bigint primary key, hours_left double precision not null, known_at timestamptz not null);
insert into plant.bearing select n, case when n % 2 = 0 then 'A' else 'B' end from generate_series(1, 12) n;
with hours as (
    select b, h, date_trunc('hour', now()) - (1440 - h) * interval '1 hour' as t, 480 - (h + b * 40) % 480 as left_hours
    from generate_series(1, 12) b, generate_series(1, 1440) h
)
insert into plant.reading select b * 10000 + h, b, t, left_hours + 30 * sin(h + b), 'w2', t from hours;
insert into plant.outcome
select b * 10000 + h, 480 - (h + b * 40) % 480, date_trunc('hour', now()) - (1440 - h - (480 - (h + b * 40) % 480)) * interval '1 hour'
from generate_series(1, 12) b, generate_series(1, 1440) h
where h + (480 - (h + b * 40) % 480) < 1440;
create index on plant.reading (read_at); create index on plant.reading (stored_at); create index on plant.outcome (known_at);
analyze plant.bearing; analyze plant.reading; analyze plant.outcome;
