-- Made-up load of sixty days by quarter-hours, forecast the day before; actuals come an hour to two days later.
create table public.load_forecast (
    prediction_id bigint primary key, interval_start timestamptz not null, forecast_mw double precision not null, model_version text not null,
    environment text not null, daypart text not null, price_eur double precision not null, inserted_at timestamptz not null);
create table public.load_actual (prediction_id bigint primary key, actual_mw double precision, labeled_at timestamptz not null);
insert into public.load_forecast
select n, t, 6000 + 1500 * sin(extract(epoch from t) / 13750), 'made-up-1', 'prod',
       (array['night', 'morning', 'afternoon', 'evening'])[1 + extract(hour from t at time zone 'UTC')::int / 6], 40 + n % 60, t - interval '14 hours'
from (select n, date_trunc('hour', now()) - (5760 - n) * interval '15 minutes' as t from generate_series(1, 5856) n) as q;
insert into public.load_actual
select prediction_id, forecast_mw + 150 * sin(prediction_id), interval_start + interval '1 hour' + (prediction_id % 7) * interval '5 hours'
from public.load_forecast where interval_start + interval '1 hour' + (prediction_id % 7) * interval '5 hours' < now();
create index on public.load_forecast (interval_start); create index on public.load_forecast (inserted_at); create index on public.load_actual (labeled_at);
analyze public.load_forecast; analyze public.load_actual;
