//! Ids that measurements refer to: the series that they belong to, and the set of metrics that they hold.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use sqlx::PgConnection;
use sqlx::types::Json as SqlJson;

/// A cohort and version of a named window of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct NewSeries {
    pub window_name: String,
    pub cohort: String,
    pub cohort_values: Json,
    pub model_version: Option<String>,
}

/// Ids of series and of metric sets, in the order of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ids {
    pub series: Vec<i32>,
    pub metric_sets: Vec<i32>,
}

/// Returns the ids of a job's series and of a plan's metric sets. Creates those that are missing.
pub async fn ids(
    connection: &mut PgConnection,
    (job_id, series): (i64, &[NewSeries]),
    (plan_id, metric_sets): (i64, &[Json]),
) -> sqlx::Result<Ids> {
    if let Some(ids) = find(connection, (job_id, series), (plan_id, metric_sets)).await? {
        return Ok(ids);
    }
    insert_series(connection, job_id, series).await?;
    insert_metric_sets(connection, plan_id, metric_sets).await?;
    find(connection, (job_id, series), (plan_id, metric_sets)).await?.ok_or(sqlx::Error::RowNotFound)
}

/// Returns `None` unless all of them exist.
async fn find(
    connection: &mut PgConnection,
    (job_id, series): (i64, &[NewSeries]),
    (plan_id, metric_sets): (i64, &[Json]),
) -> sqlx::Result<Option<Ids>> {
    let (names, cohorts, versions) = columns(series);
    let found = sqlx::query!(
        r#"
        select array(
                   select t.id
                   from unnest($2::text[], $3::text[], $4::text[]) with ordinality as a (window_name, cohort, model_version, place)
                   join trueup.series t
                       on t.job = (select j.name from trueup.job j where j.id = $1) and t.window_name = a.window_name
                      and t.cohort = a.cohort and coalesce(t.model_version, '') = coalesce(a.model_version, '')
                      and (t.model_version is null) = (a.model_version is null)
                   order by a.place
               ) as "series!",
               array(
                   select s.id
                   from unnest($6::jsonb[]) with ordinality as a (places, place)
                   join trueup.metric_set s on s.plan_id = $5 and md5(s.places::text) = md5(a.places::text)
                   order by a.place
               ) as "metric_sets!"
        "#,
        job_id,
        &names,
        &cohorts,
        &versions as &[Option<String>],
        plan_id,
        &json(metric_sets) as &[SqlJson<Json>]
    )
    .fetch_one(connection)
    .await?;
    let ids = Ids { series: found.series, metric_sets: found.metric_sets };
    Ok(Some(ids).filter(|ids| ids.series.len() == series.len() && ids.metric_sets.len() == metric_sets.len()))
}

/// A concurrent session may create the same series; only the next statement sees it then.
async fn insert_series(connection: &mut PgConnection, job_id: i64, series: &[NewSeries]) -> sqlx::Result<()> {
    let (names, cohorts, versions) = columns(series);
    let values: Vec<SqlJson<Json>> = series.iter().map(|one| SqlJson(one.cohort_values.clone())).collect();
    sqlx::query!(
        r#"
        insert into trueup.series (job_id, job, window_name, cohort, cohort_values, model_version)
        select j.id, j.name, a.window_name, a.cohort, a.cohort_values, a.model_version
        from unnest($2::text[], $3::text[], $4::jsonb[], $5::text[]) as a (window_name, cohort, cohort_values, model_version)
        join trueup.job j on j.id = $1
        -- A conflict would use up a number.
        where not exists (
            select from trueup.series t
            where t.job = j.name and t.window_name = a.window_name and t.cohort = a.cohort
              and coalesce(t.model_version, '') = coalesce(a.model_version, '') and (t.model_version is null) = (a.model_version is null)
        )
        -- Two that make the same ones wait for each other in one order.
        order by a.window_name, a.cohort, a.model_version
        on conflict do nothing
        "#,
        job_id,
        &names,
        &cohorts,
        &values as &[SqlJson<Json>],
        &versions as &[Option<String>]
    )
    .execute(connection)
    .await
    .map(drop)
}

async fn insert_metric_sets(connection: &mut PgConnection, plan_id: i64, metric_sets: &[Json]) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        insert into trueup.metric_set (plan_id, places)
        select $1, a.places from unnest($2::jsonb[]) as a (places)
        where not exists (
            select from trueup.metric_set s where s.plan_id = $1 and md5(s.places::text) = md5(a.places::text)
        )
        order by a.places
        on conflict do nothing
        "#,
        plan_id,
        &json(metric_sets) as &[SqlJson<Json>]
    )
    .execute(connection)
    .await
    .map(drop)
}

fn columns(series: &[NewSeries]) -> (Vec<String>, Vec<String>, Vec<Option<String>>) {
    let names = series.iter().map(|one| one.window_name.clone()).collect();
    let cohorts = series.iter().map(|one| one.cohort.clone()).collect();
    (names, cohorts, series.iter().map(|one| one.model_version.clone()).collect())
}

fn json(values: &[Json]) -> Vec<SqlJson<Json>> {
    values.iter().cloned().map(SqlJson).collect()
}

/// Distinct values in order of first appearance, with the index of each by key.
#[derive(Debug)]
pub struct Distinct<K, V> {
    places: BTreeMap<K, usize>,
    pub values: Vec<V>,
}

impl<K, V> Default for Distinct<K, V> {
    fn default() -> Self {
        Self { places: BTreeMap::new(), values: Vec::new() }
    }
}

impl<K: Ord, V> Distinct<K, V> {
    /// Returns the index of the value with this key; `value` makes it on first use.
    pub fn place(&mut self, key: K, value: impl FnOnce() -> V) -> usize {
        let next = self.values.len();
        let place = *self.places.entry(key).or_insert(next);
        if place == next {
            self.values.push(value());
        }
        place
    }
}
