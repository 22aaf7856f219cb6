//! Windows of another alignment: days measured in the time zone of an earlier definition of the job.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::store::history::gone::Amount;

/// A stored window that overlaps a window of the job's current alignment.
#[derive(Debug, Clone)]
pub struct Overlapped {
    /// Index of the overlapped window in the request, from 0.
    pub of: usize,
    pub id: i64,
    pub start: DateTime<Utc>,
    pub end: DateTime<Utc>,
    /// Amount in its latest revision, over all cohorts and versions.
    pub amount: Amount,
}

/// Returns stored windows of a job that share a name with one of these, overlap it, and begin or end elsewhere. Only tumbling
/// ones: rolling windows overlap each other. Windows whose measurements were already removed are left out.
pub async fn overlapped(
    connection: &mut PgConnection,
    job: &str,
    names: &[String],
    starts: &[DateTime<Utc>],
    ends: &[DateTime<Utc>],
) -> sqlx::Result<Vec<Overlapped>> {
    let rows = sqlx::query!(
        r#"
        select a.place as "place!", w.id, w.window_start, w.window_end, m.predictions, m.labeled
        from unnest($2::text[], $3::timestamptz[], $4::timestamptz[]) with ordinality as a (name, starts, ends, place)
        -- Windows of one name are about equally long: what ends later than twice that is not looked at.
        join trueup.measured_window w
            on w.job = $1 and w.window_name = a.name and w.window_end > a.starts and w.window_end < a.ends + 2 * (a.ends - a.starts)
           and w.window_start < a.ends and (w.window_start, w.window_end) <> (a.starts, a.ends)
        join trueup.series t
            on t.job = w.job and t.window_name = w.window_name and t.cohort = 'all' and t.model_version is null
        join trueup.measurement m
            on m.series_id = t.id and m.window_end = w.window_end and m.superseded_as_of is null and not m.removed
        where a.name like 'tumbling %'
        "#,
        job,
        names,
        starts,
        ends
    )
    .fetch_all(connection)
    .await?;
    let found = rows.into_iter().map(|row| Overlapped {
        of: usize::try_from(row.place - 1).unwrap_or(usize::MAX),
        id: row.id,
        start: row.window_start,
        end: row.window_end,
        amount: Amount { predictions: row.predictions, labeled: row.labeled },
    });
    Ok(found.collect())
}
