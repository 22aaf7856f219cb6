-- The login of Grafana: reads the public views, for at most 10 s a query. After `trueup migrate`, as a role that may create roles:
--   psql -v password="$TRUEUP_GRAFANA_PASSWORD" -f deploy/grafana/role.sql
do $$ begin
    if not exists (select from pg_roles where rolname = 'grafana') then
        create role grafana login;
    end if;
end $$;
alter role grafana password :'password';
grant trueup_reader to grafana;
-- A user who sees a board can send any query as this role.
alter role grafana set default_transaction_read_only = on;
alter role grafana set statement_timeout = '10s';
-- Postgres would compile the plan of a query over many months, which takes longer than the query.
alter role grafana set jit = off;
