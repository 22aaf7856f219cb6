-- Made-up quotes and deals of sixty days, ending now: deals close after one to ten days, and one in ten never does.
create schema pricing;
create table pricing.quote (
    quote_id bigint primary key, quoted_at timestamptz not null, price double precision not null, model_version text not null,
    segment text not null, is_test boolean not null, written_at timestamptz not null);
create table pricing.deal (quote_id bigint primary key, paid double precision not null, closed_at timestamptz not null);
insert into pricing.quote
select n, t, 100 + n % 400, case when n < 3000 then 'p7' else 'p8' end, (array['small', 'medium', 'large'])[1 + n % 3], n % 97 = 0, t
from (select n, date_trunc('hour', now()) - (5760 - n) * interval '15 minutes' as t from generate_series(1, 5760) n) as q;
insert into pricing.deal
select quote_id, price * (1 + 0.08 * sin(quote_id)), quoted_at + (1 + quote_id % 10) * interval '1 day'
from pricing.quote where quote_id % 10 <> 0 and quoted_at + (1 + quote_id % 10) * interval '1 day' < now();
create index on pricing.quote (quoted_at); create index on pricing.quote (written_at); create index on pricing.deal (closed_at);
analyze pricing.quote; analyze pricing.deal;
