-- Made-up payments of 56 days, one every two minutes, with calibrated scores: of those with a score of 0.2, a fifth is fraud. Every tenth
-- payment is reviewed within a day; of the others, fraud is charged back within 20 days, and the rest is fine after 21 days. A few
-- chargebacks end in a dispute, which is neither.
create schema card;
create table card.payment (
    payment_id bigint primary key, paid_at timestamptz not null, p_fraud double precision not null, amount_eur numeric not null,
    country text not null, merchant text not null, model text not null, stored_at timestamptz not null);
create table card.outcome (payment_id bigint primary key, outcome text not null, known_at timestamptz not null);
insert into card.payment
select n, at, 0.001 + 0.998 * power((n * 7919 % 10007) / 10007.0, 18), 5 + n * 31 % 400,
       (array['DE', 'FR', 'PL', 'RO'])[1 + n % 4], 'M' || n * 53 % 40, case when n < 30000 then 'v7' else 'v8' end, at + interval '2 seconds'
from generate_series(1, 40320) n, lateral (select date_trunc('hour', now()) - (40320 - n) * interval '2 minutes' as at) as t;
insert into card.outcome
select payment_id, outcome, known_at
from (
    select payment_id, is_fraud, paid_at,
           case when is_fraud and payment_id % 50 = 7 then 'disputed' when is_fraud then 'fraud' else 'fine' end as outcome
    from card.payment, lateral (select payment_id * 104729 % 10009 < p_fraud * 10009 as is_fraud) as f
) as p, lateral (
    select paid_at + case when payment_id % 10 = 0 then interval '20 hours'
                          when is_fraud then interval '1 day' * (1 + payment_id % 20) else interval '21 days' - interval '1 hour' end as known_at
) as k
where known_at < now();
create index on card.payment (paid_at); create index on card.payment (stored_at); create index on card.outcome (known_at);
analyze card.payment; analyze card.outcome;
