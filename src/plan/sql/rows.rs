//! The one place that joins predictions with labels: a subquery of classified rows, one per prediction key and version.

use crate::plan::PlannedJob;
use crate::plan::duration;
use crate::plan::name::Identifier;
use crate::plan::source::{OnDuplicate, SourceFacts};
use crate::plan::sql::{appended, list};

/// Which predictions are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection {
    /// Those that arrived, or whose label arrived, in `($3, $2]`, with an event time of `$4` or later.
    Arrivals,
    /// Those with an event time in `[$3, $4)`.
    Range,
    /// Those with an event time in `[$3, $4)` in one of the buckets `$5`.
    Buckets,
}

/// A `with` clause and a `from` item `s` with the columns `key, model_version, bucket_start, event_at, d1 …, predicted,
/// actual, class, copies, label_at, digest`.
pub struct Rows {
    pub with: String,
    pub from: String,
}

/// The classified rows of a selection.
pub fn classified(job: &PlannedJob, facts: &SourceFacts, selection: Selection) -> Rows {
    let with = match selection {
        Selection::Arrivals => format!("with {}\n", touched(job, "$3", "$2")),
        Selection::Range | Selection::Buckets => String::new(),
    };
    let dimensions = job.dimensions.len();
    let from = format!(
        r"(
    select c.*,
           hashtextextended(c.class, coalesce(hashfloat8extended(c.actual, c.seed), c.seed # 2)) as digest
    from (
        select j.*, {class} as class,
               coalesce(hashfloat8extended(j.predicted, hashtextextended(j.key, 0)), hashtextextended(j.key, 1)) as seed
        from (
            select {key} as key, {version} as model_version, p.event_at, p.bucket_start{dims},
                   p.predicted, p.copies, l.actual, l.label_at, l.found, l.ambiguous
            from ({predictions}) as p
            left join ({labels}) as l on {on}
        ) as j
    ) as c
) as s",
        class = class_sql(),
        key = bounded(&key_sql(job)),
        version = bounded("p.model_version"),
        dims = appended(dimensions, |n| format!("{} as d{n}", bounded(&format!("p.d{n}")))),
        predictions = predictions(job, facts, selection),
        labels = labels(job, facts, selection),
        on = (1..=job.predictions.id.len()).map(|n| format!("l.k{n} = p.k{n}")).collect::<Vec<_>>().join(" and "),
    );
    Rows { with, from }
}

/// A common table expression `touched` with the keys of predictions and labels that arrived in `(since, until]`.
pub fn touched(job: &PlannedJob, since: &str, until: &str) -> String {
    let branch = |relation: String, id: &[Identifier], arrived_at: &Option<Identifier>| {
        let keys =
            id.iter().enumerate().map(|(n, column)| format!("a.{column} as trueup_k{}", n + 1)).collect::<Vec<_>>();
        let arrived =
            arrived_at.as_ref().map_or(String::new(), |c| format!(" where a.{c} > {since} and a.{c} <= {until}"));
        format!("select {} from {relation} as a{arrived}", keys.join(", "))
    };
    format!(
        "touched as (\n    {}\n    union\n    {}\n)",
        branch(job.predictions.relation.sql(), &job.predictions.id, &job.predictions.arrived_at),
        branch(job.labels.relation.sql(), &job.labels.id, &job.labels.arrived_at),
    )
}

/// One row per prediction key and version, with its bucket.
fn predictions(job: &PlannedJob, facts: &SourceFacts, selection: Selection) -> String {
    let dimensions = job.dimensions.len();
    let keys = job.predictions.id.len();
    let bound = match selection {
        Selection::Arrivals => "{at} >= $4".to_owned(),
        Selection::Range => "{at} >= $3 and {at} < $4".to_owned(),
        Selection::Buckets => format!("{{at}} >= $3 and {{at}} < $4 and {} = any($5)", bucket_of(job, "{at}")),
    };
    let raw_at = format!("a.{}", job.predictions.at);
    if facts.predictions_unique {
        let raw = raw_predictions(job, facts, selection, Some(&bound.replace("{at}", &raw_at)));
        let bucket = bucket_of(job, "r.event_at");
        return format!("select r.*, {bucket} as bucket_start, 1 as copies from ({raw}) as r");
    }
    // Copies of a key may lie in different buckets: all copies are read, folded, and only then placed.
    let raw = raw_predictions(job, facts, selection, None);
    let semi = match selection {
        Selection::Arrivals => String::new(),
        Selection::Range | Selection::Buckets => format!(
            " where ({}) in (select {} from {} as a where {})",
            list(keys, |n| format!("r.k{n}")),
            job.predictions.id.iter().map(|column| format!("a.{column}")).collect::<Vec<_>>().join(", "),
            job.predictions.relation.sql(),
            bound.replace("{at}", &raw_at),
        ),
    };
    format!(
        "select f.*, {bucket} as bucket_start from (\
         select {keys}, r.model_version, min(r.event_at) as event_at, min(r.predicted) as predicted{dims}, count(*)::int as copies \
         from ({raw}) as r{semi} group by {keys}, r.model_version having {having}) as f",
        bucket = bucket_of(job, "f.event_at"),
        keys = list(keys, |n| format!("r.k{n}")),
        dims = appended(dimensions, |n| format!("min(r.d{n}) as d{n}")),
        having = bound.replace("{at}", "min(r.event_at)"),
    )
}

/// Prediction rows as they stand in the source, typed, with the user's filter and expressions applied.
fn raw_predictions(job: &PlannedJob, facts: &SourceFacts, selection: Selection, bound: Option<&str>) -> String {
    let source = &job.predictions;
    let keys = source
        .id
        .iter()
        .enumerate()
        .map(|(n, column)| format!("a.{column} as k{}", n + 1))
        .collect::<Vec<_>>()
        .join(", ");
    let version =
        source.version.as_ref().map_or("''".to_owned(), |column| format!("coalesce(a.{column}::text, '(null)')"));
    let dims: String =
        job.dimensions.iter().enumerate().map(|(n, d)| format!(", ({})::text as d{}", d.sql, n + 1)).collect();
    let join = match selection {
        Selection::Arrivals => {
            let on = source.id.iter().enumerate().map(|(n, column)| format!("a.{column} = t.trueup_k{}", n + 1));
            format!("touched as t join {} as a on {}", source.relation.sql(), on.collect::<Vec<_>>().join(" and "))
        }
        Selection::Range | Selection::Buckets => format!("{} as a", source.relation.sql()),
    };
    let mut conditions: Vec<String> = source.id.iter().map(|column| format!("a.{column} is not null")).collect();
    conditions.push(format!("isfinite(a.{})", source.at));
    conditions.extend(source.arrived_at.as_ref().map(|column| format!("a.{column} <= $2")));
    conditions.extend(source.filter.as_ref().map(ToString::to_string));
    conditions.extend(bound.map(str::to_owned));
    format!(
        "select {keys}, {version} as model_version, a.{at} as event_at, {predicted} as predicted{dims} from {join} where {}",
        conditions.join(" and "),
        at = source.at,
        predicted = facts.predicted.float(&format!("a.{}", source.value)),
    )
}

/// One row per label key: the value that counts, and whether several disagree.
fn labels(job: &PlannedJob, facts: &SourceFacts, selection: Selection) -> String {
    let source = &job.labels;
    let actual = facts.actual.float(&format!("a.{}", source.value));
    let label_at = source.arrived_at.as_ref().map_or("null::timestamptz".to_owned(), |column| format!("a.{column}"));
    let arrived = source.arrived_at.as_ref().map(|column| format!("a.{column} <= $2"));
    let keys = source
        .id
        .iter()
        .enumerate()
        .map(|(n, column)| format!("a.{column} as k{}", n + 1))
        .collect::<Vec<_>>()
        .join(", ");
    let relation = source.relation.sql();
    if facts.labels_unique {
        let visible = arrived.map_or(String::new(), |condition| format!(" where {condition}"));
        return format!(
            "select {keys}, {actual} as actual, {label_at} as label_at, true as found, false as ambiguous from {relation} as a{visible}"
        );
    }
    let bare = source.id.iter().map(|column| format!("a.{column}")).collect::<Vec<_>>().join(", ");
    let mut conditions: Vec<String> = arrived.into_iter().collect();
    if selection == Selection::Arrivals {
        conditions
            .push(format!("({bare}) in (select {} from touched)", list(source.id.len(), |n| format!("trueup_k{n}"))));
    }
    let visible = if conditions.is_empty() { String::new() } else { format!(" where {}", conditions.join(" and ")) };
    let place = match (source.on_duplicate, &source.arrived_at) {
        (OnDuplicate::Latest, Some(column)) => format!("rank() over (partition by {bare} order by a.{column} desc)"),
        (OnDuplicate::First, Some(column)) => format!("rank() over (partition by {bare} order by a.{column})"),
        (OnDuplicate::Error, _) | (_, None) => "1".to_owned(),
    };
    let ambiguous = match source.on_duplicate {
        OnDuplicate::Error => "count(*) > 1",
        OnDuplicate::Latest | OnDuplicate::First => {
            "(min(v.actual) is distinct from max(v.actual) or count(v.actual) not in (0, count(*)))"
        }
    };
    let grouped = list(source.id.len(), |n| format!("v.k{n}"));
    format!(
        "select {grouped}, min(v.actual) as actual, max(v.label_at) as label_at, true as found, {ambiguous} as ambiguous \
         from (select {keys}, {actual} as actual, {label_at} as label_at, {place} as place from {relation} as a{visible}) as v \
         where v.place = 1 group by {grouped}"
    )
}

/// What became of a row. Everything is classified before anything is subtracted, so that no value can fail a query.
fn class_sql() -> &'static str {
    "case
                   when j.copies > 1 then 'duplicate_prediction'
                   when j.found is null then 'unlabeled'
                   when j.ambiguous then 'ambiguous_label'
                   when j.predicted is null or j.actual is null then 'null'
                   when j.predicted in ('NaN', 'Infinity', '-Infinity') or j.actual in ('NaN', 'Infinity', '-Infinity') then 'non_finite'
                   when abs(j.predicted) > 1e300 or abs(j.actual) > 1e300 then 'out_of_range'
                   when abs(j.predicted - j.actual) > 1e70 then 'out_of_range'
                   else 'pair'
               end"
}

/// The key of a residual as text.
fn key_sql(job: &PlannedJob) -> String {
    match job.predictions.id.len() {
        1 => "p.k1::text".to_owned(),
        n => format!("jsonb_build_array({})::text", list(n, |k| format!("p.k{k}"))),
    }
}

/// A text that fits an index whatever the data holds: the start of a long one, and a hash of all of it.
fn bounded(text: &str) -> String {
    format!("case when octet_length({text}) > 200 then left({text}, 40) || '~' || md5({text}) else {text} end")
}

/// The start of the bucket that holds an instant.
pub fn bucket_of(job: &PlannedJob, instant: &str) -> String {
    format!("date_bin('{} seconds', {instant}, 'epoch'::timestamptz)", job.windows.bucket.num_seconds())
}

/// In words, for explanations.
pub fn describe(job: &PlannedJob) -> String {
    format!("buckets of {}", duration::format(job.windows.bucket))
}
