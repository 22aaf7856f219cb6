//! Measurements. They are never overwritten: a change becomes a new revision, and the old one stays.

use chrono::{DateTime, Utc};
use serde_json::{Value as Json, json};
use sqlx::PgConnection;

use crate::store::history::numbers::Numbers;
use crate::store::history::series::{self, Distinct, NewSeries};

/// A measurement to be stored.
#[derive(Debug, Clone)]
pub struct NewMeasurement {
    pub window_id: i64,
    pub window_name: String,
    pub window_end: DateTime<Utc>,
    pub cohort: String,
    pub cohort_values: Json,
    pub model_version: Option<String>,
    pub predictions: i64,
    pub labeled: i64,
    pub excluded: i64,
    pub duplicates: i64,
    pub ambiguous: i64,
    pub numbers: Numbers,
    /// Subject of a number, by metric. Null if there is nothing to say.
    pub notes: Json,
    /// Decimal text.
    pub digest: String,
}

/// The run or backfill that publishes.
#[derive(Debug, Clone, Copy)]
pub struct Publisher {
    pub run_id: i64,
    pub job_id: i64,
    pub plan_id: i64,
    pub as_of: DateTime<Utc>,
}

/// A measurement that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    pub window_id: i64,
    pub cohort: String,
    pub model_version: Option<String>,
    /// 1 is the first report.
    pub revision: i32,
}

/// Windows that were measured together.
#[derive(Debug, Clone)]
pub struct Batch {
    ids: Vec<i64>,
    /// First and last end, for partition pruning: Postgres opens only the months in between.
    first: DateTime<Utc>,
    last: DateTime<Utc>,
}

impl Batch {
    /// Builds a batch from ids and ends of windows. Returns `None` if there are no windows.
    pub fn new(windows: impl IntoIterator<Item = (i64, DateTime<Utc>)>) -> Option<Self> {
        let (ids, ends): (Vec<i64>, Vec<DateTime<Utc>>) = windows.into_iter().unzip();
        Some(Self { first: *ends.iter().min()?, last: *ends.iter().max()?, ids })
    }
}

/// Writes measurements that differ from the latest revision, and returns those written. `windows` are all measured windows.
pub async fn publish(
    connection: &mut PgConnection,
    publisher: Publisher,
    windows: &Batch,
    measurements: &[NewMeasurement],
) -> sqlx::Result<Vec<Written>> {
    let rows = Rows::of(connection, publisher, measurements).await?;
    supersede(connection, publisher, windows, &rows).await?;
    let mut written = insert(connection, publisher, windows, &rows).await?;
    written.extend(bury(connection, publisher, windows, rows.empty_set).await?);
    Ok(written)
}

/// Measurements by column, as statements take them.
struct Rows {
    windows: Vec<i64>,
    series: Vec<i32>,
    metric_sets: Vec<i32>,
    predictions: Vec<i64>,
    labeled: Vec<i64>,
    excluded: Vec<i64>,
    duplicates: Vec<i64>,
    ambiguous: Vec<i64>,
    digests: Vec<String>,
    numbers: Vec<String>,
    notes: Vec<Option<String>>,
    /// The metric set without metrics.
    empty_set: i32,
}

impl Rows {
    async fn of(
        connection: &mut PgConnection,
        publisher: Publisher,
        measurements: &[NewMeasurement],
    ) -> sqlx::Result<Self> {
        let mut known: Distinct<(&str, &str, Option<&str>), NewSeries> = Distinct::default();
        let mut sets: Distinct<String, Json> = Distinct::default();
        let empty = sets.place("{}".to_owned(), || json!({}));
        let (mut of_series, mut of_set, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
        for m in measurements {
            let key = (&*m.window_name, &*m.cohort, m.model_version.as_deref());
            of_series.push(known.place(key, || m.series()));
            let packed = m.numbers.pack();
            of_set.push(sets.place(packed.places.to_string(), || packed.places));
            numbers.push(packed.numbers);
        }
        let (job, plan) = ((publisher.job_id, &*known.values), (publisher.plan_id, &*sets.values));
        let ids = series::ids(connection, job, plan).await?;
        let counts = |pick: fn(&NewMeasurement) -> i64| measurements.iter().map(pick).collect::<Vec<i64>>();
        Ok(Self {
            windows: counts(|m| m.window_id),
            series: of_series.into_iter().map(|place| ids.series[place]).collect(),
            metric_sets: of_set.into_iter().map(|place| ids.metric_sets[place]).collect(),
            predictions: counts(|m| m.predictions),
            labeled: counts(|m| m.labeled),
            excluded: counts(|m| m.excluded),
            duplicates: counts(|m| m.duplicates),
            ambiguous: counts(|m| m.ambiguous),
            digests: measurements.iter().map(|m| m.digest.clone()).collect(),
            numbers,
            notes: measurements.iter().map(|m| (!m.notes.is_null()).then(|| m.notes.to_string())).collect(),
            empty_set: ids.metric_sets[empty],
        })
    }
}

impl NewMeasurement {
    fn series(&self) -> NewSeries {
        NewSeries {
            window_name: self.window_name.clone(),
            cohort: self.cohort.clone(),
            cohort_values: self.cohort_values.clone(),
            model_version: self.model_version.clone(),
        }
    }
}

/// Supersedes latest revisions that differ from the new measurements, or whose cohort has disappeared.
async fn supersede(
    connection: &mut PgConnection,
    publisher: Publisher,
    windows: &Batch,
    rows: &Rows,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        with measured as (
            select window_id, series_id, predictions, labeled, excluded, hash_numeric_extended(digest::numeric, 0) as digest_hash
            from unnest($3::bigint[], $4::int[], $5::bigint[], $6::bigint[], $7::bigint[], $8::text[])
                as m (window_id, series_id, predictions, labeled, excluded, digest)
        )
        update trueup.measurement as old
        set superseded_as_of = $2
        from trueup.measured_window w
        join trueup.series t on t.job = w.job and t.window_name = w.window_name
        where w.id = any($1) and old.job = w.job and old.window_end = w.window_end and old.series_id = t.id
          and old.window_end between $10 and $11 and old.superseded_as_of is null
          -- What a backfill that knew more has written is not taken back.
          and old.as_of <= $2
          -- Compared by digest and counts, never by floats: their sums depend on the order of the rows.
          and not exists (
              select from measured m
              where m.window_id = w.id and m.series_id = old.series_id
                and m.digest_hash = old.digest_hash and m.predictions = old.predictions and m.labeled = old.labeled
                and m.excluded = coalesce(old.excluded, 0) and not old.removed
                and (select s.plan_id from trueup.metric_set s where s.id = old.metric_set_id) = $9
          )
          -- A cohort that was gone and still is needs no second note.
          and not (old.removed and not exists (
              select from measured m where m.window_id = w.id and m.series_id = old.series_id
          ))
        "#,
        &windows.ids,
        publisher.as_of,
        &rows.windows,
        &rows.series,
        &rows.predictions,
        &rows.labeled,
        &rows.excluded,
        &rows.digests,
        publisher.plan_id,
        windows.first,
        windows.last
    )
    .execute(connection)
    .await
    .map(drop)
}

/// Inserts every measurement that has no latest revision now.
async fn insert(
    connection: &mut PgConnection,
    publisher: Publisher,
    windows: &Batch,
    rows: &Rows,
) -> sqlx::Result<Vec<Written>> {
    sqlx::query_as!(
        Written,
        r#"
        with measured as (
            select m.*, w.window_end, t.job, t.cohort, t.model_version
            from unnest($3::bigint[], $4::int[], $5::int[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[],
                        $10::bigint[], $11::text[], $12::text[], $15::text[])
                as m (window_id, series_id, metric_set_id, predictions, labeled, excluded, duplicates, ambiguous, digest, numbers, notes)
            join trueup.measured_window w on w.id = m.window_id
            join trueup.series t on t.id = m.series_id
        ), written as (
            insert into trueup.measurement
                (window_end, run_id, as_of, predictions, labeled, digest_hash, excluded, duplicates, ambiguous, series_id,
                 metric_set_id, revision, job, numbers, notes)
            select m.window_end, $1, $2, m.predictions, m.labeled, hash_numeric_extended(m.digest::numeric, 0),
                   nullif(m.excluded, 0), nullif(m.duplicates, 0), nullif(m.ambiguous, 0), m.series_id, m.metric_set_id,
                   1 + coalesce(known.revision, 0), m.job, m.numbers::float8[], m.notes::jsonb
            from measured m
            cross join lateral (
                select max(old.revision) as revision, bool_or(old.superseded_as_of is null) as has_latest
                from trueup.measurement old
                where old.series_id = m.series_id and old.window_end = m.window_end and old.window_end between $13 and $14
            ) as known
            where known.has_latest is not true
            returning series_id, window_end, revision
        )
        select m.window_id as "window_id!", m.cohort as "cohort!", m.model_version, written.revision
        from written
        join measured m on m.series_id = written.series_id and m.window_end = written.window_end
        "#,
        publisher.run_id,
        publisher.as_of,
        &rows.windows,
        &rows.series,
        &rows.metric_sets,
        &rows.predictions,
        &rows.labeled,
        &rows.excluded,
        &rows.duplicates,
        &rows.ambiguous,
        &rows.digests,
        &rows.numbers,
        windows.first,
        windows.last,
        &rows.notes as &[Option<String>]
    )
    .fetch_all(connection)
    .await
}

/// Writes a `removed` revision for cohorts that have disappeared, so that no stale number remains the latest.
async fn bury(
    connection: &mut PgConnection,
    publisher: Publisher,
    windows: &Batch,
    empty_set: i32,
) -> sqlx::Result<Vec<Written>> {
    sqlx::query_as!(
        Written,
        r#"
        with gone as (
            select w.id as window_id, w.job, w.window_end, old.series_id, max(old.revision) as revision
            from trueup.measured_window w
            join trueup.series t on t.job = w.job and t.window_name = w.window_name
            join trueup.measurement old
                on old.job = w.job and old.window_end = w.window_end and old.series_id = t.id and old.window_end between $5 and $6
            where w.id = any($3)
            group by w.id, old.series_id
            having not bool_or(old.superseded_as_of is null)
        ), written as (
            insert into trueup.measurement
                (window_end, run_id, as_of, predictions, labeled, digest_hash, series_id, metric_set_id, revision, removed, job, numbers)
            select window_end, $1, $2, 0, 0, 0, series_id, $4, revision + 1, true, job, '{}' from gone
            returning series_id, window_end, revision
        )
        select gone.window_id as "window_id!", t.cohort, t.model_version, written.revision
        from written
        join gone on gone.series_id = written.series_id and gone.window_end = written.window_end
        join trueup.series t on t.id = written.series_id
        "#,
        publisher.run_id,
        publisher.as_of,
        &windows.ids,
        empty_set,
        windows.first,
        windows.last
    )
    .fetch_all(connection)
    .await
}

/// Stores the largest errors of windows, from their residuals. Replaces those stored before.
pub async fn store_worst_samples(
    connection: &mut PgConnection,
    publisher: Publisher,
    windows: &[i64],
    starts: &[DateTime<Utc>],
    ends: &[DateTime<Utc>],
    most: i64,
) -> sqlx::Result<()> {
    sqlx::query!("delete from trueup.worst_sample where window_id = any($1)", windows)
        .execute(&mut *connection)
        .await?;
    sqlx::query!(
        r#"
        insert into trueup.worst_sample
            (window_id, place, prediction_key, model_version, dimensions, event_at, predicted, actual, label_at, plan_id, as_of)
        select w.id, r.place, r.key, nullif(r.model_version, ''), c.dimensions, r.event_at, r.predicted, r.actual, r.label_at, $1, $2
        from unnest($3::bigint[], $4::timestamptz[], $5::timestamptz[]) as w (id, starts, ends)
        cross join lateral (
            select r.*, row_number() over (order by abs(r.predicted - r.actual) desc, r.key)::int as place
            from trueup.residual r
            where r.plan_id = $1 and r.bucket_start >= w.starts and r.bucket_start < w.ends and r.class = 0
            order by abs(r.predicted - r.actual) desc, r.key
            limit $6
        ) as r
        join trueup.cell c on c.id = r.cell_id
        "#,
        publisher.plan_id,
        publisher.as_of,
        windows,
        starts,
        ends,
        most
    )
    .execute(connection)
    .await
    .map(drop)
}
