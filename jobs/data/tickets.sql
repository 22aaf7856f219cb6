-- Made-up tickets of 42 days, one every three minutes. The likeliest of four queues is chosen, and the one that closes the ticket is drawn from
-- the same probabilities; every second ticket in Hungarian gets no queue of its own. The newest tickets are still open.
create schema support;
create table support.routing (
    ticket_id bigint primary key, opened_at timestamptz not null, queue text not null, p_billing double precision not null,
    p_delivery double precision not null, p_returns double precision not null, p_other double precision not null, language text not null,
    model text not null, stored_at timestamptz not null);
create table support.closed (ticket_id bigint primary key, queue text not null, closed_at timestamptz not null);
insert into support.routing
select n, at, case when language = 'hu' and n / 4 % 2 = 0 then 'other' when p[1] >= greatest(p[2], p[3], p[4]) then 'billing'
                   when p[2] >= greatest(p[3], p[4]) then 'delivery' when p[3] >= p[4] then 'returns' else 'other' end,
       p[1], p[2], p[3], p[4], language, case when n < 12000 then 'r1' else 'r2' end, at + interval '1 second'
from generate_series(1, 20160) n,
     lateral (select date_trunc('hour', now()) - (20160 - n) * interval '3 minutes' as at,
                     (array['de', 'en', 'hu', 'ro'])[1 + n % 4] as language,
                     power((n * 7919 % 10007) / 10007.0, 4) as a, power((n * 104729 % 10009) / 10009.0, 4) as b,
                     power((n * 15485863::bigint % 10037) / 10037.0, 4) as c) as t,
     lateral (select array[a, b, c, 0.05] as w, a + b + c + 0.05 as whole) as q,
     lateral (select array[w[1] / whole, w[2] / whole, w[3] / whole, w[4] / whole] as p) as r;
insert into support.closed
select ticket_id, case when u < p_billing then 'billing' when u < p_billing + p_delivery then 'delivery'
                       when u < p_billing + p_delivery + p_returns then 'returns' else 'other' end, closed_at
from support.routing,
     lateral (select (ticket_id * 32452843::bigint % 10039) / 10039.0 as u,
                     opened_at + interval '3 hours' + ticket_id % 45 * interval '1 hour' as closed_at) as t
where closed_at < now();
create index on support.routing (opened_at); create index on support.routing (stored_at); create index on support.closed (closed_at);
analyze support.routing; analyze support.closed;
