-- Made-up forecasts of 40 days for 60 articles in 4 stores; sales are booked the next morning, a few of them twice.
create schema demand;
create table demand.forecast (
    sku text not null, store text not null, day date not null, day_start timestamptz not null, units double precision not null,
    unit_price double precision not null, model text not null, made_at timestamptz not null, primary key (sku, store, day, model));
create table demand.sold (sku text not null, store text not null, day date not null, units integer not null, booked_at timestamptz not null);
insert into demand.forecast
select 'a' || lpad(a::text, 3, '0'), s, d, d::timestamp at time zone 'Europe/Bucharest', 5 + a % 20, 1 + a % 9, 'd3',
       d::timestamp at time zone 'Europe/Bucharest' - interval '1 day'
from generate_series(1, 60) a, unnest(array['north', 'south', 'east', 'west']) s,
     (select (now() at time zone 'Europe/Bucharest')::date - n as d from generate_series(1, 40) n) as days;
insert into demand.sold
select sku, store, day, greatest(0, units + (abs(hashtext(sku || store || day)) % 7) - 3), day_start + interval '29 hours'
from demand.forecast where day_start + interval '29 hours' < now();
insert into demand.sold
select sku, store, day, units + 1, booked_at + interval '1 day' from demand.sold
where abs(hashtext(sku || day)) % 50 = 0 and booked_at + interval '1 day' < now();
create index on demand.forecast (day_start); create index on demand.forecast (made_at);
create index on demand.sold (sku, store, day); create index on demand.sold (booked_at);
analyze demand.forecast; analyze demand.sold;
