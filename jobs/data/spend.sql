-- Made-up forecasts and invoices of 90 days for 50 accounts; every twentieth invoice is corrected two weeks later.
create schema finance;
create table finance.spend_forecast (
    forecast_id bigint primary key, account int not null, tier text not null, spend_day timestamptz not null,
    expected_eur numeric not null, made_at timestamptz not null);
create table finance.invoice (forecast_id bigint not null, eur numeric not null, booked_at timestamptz not null);
insert into finance.spend_forecast
select d * 1000 + a, a, (array['free', 'team', 'enterprise'])[1 + a % 3], day, 10 * (1 + a % 3), day - interval '1 day'
from generate_series(1, 90) d, generate_series(1, 50) a, lateral (select date_trunc('day', now()) - (91 - d) * interval '1 day' as day) as t;
insert into finance.invoice
select forecast_id, expected_eur + (forecast_id % 5) - 2, spend_day + interval '30 hours'
from finance.spend_forecast where spend_day + interval '30 hours' < now();
insert into finance.invoice
select forecast_id, eur + 1, booked_at + interval '14 days' from finance.invoice
where forecast_id % 20 = 0 and booked_at + interval '14 days' < now();
create index on finance.spend_forecast (spend_day); create index on finance.spend_forecast (made_at);
create index on finance.invoice (forecast_id); create index on finance.invoice (booked_at);
analyze finance.spend_forecast; analyze finance.invoice;
