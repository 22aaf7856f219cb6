//! The only place that joins predictions with labels: a subquery of classified rows, one per prediction key and version.

use crate::domain::name::{Identifier, quoted};
use crate::metric::state::kind::HistogramKind;
use crate::metric::task::Task;
use crate::plan::source::{OnDuplicate, SourceFacts};
use crate::plan::{PlannedJob, extra};
use crate::sql::pairs::guard;
use crate::sql::{appended, list};

/// Predictions to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection {
    /// Those that arrived, or whose label arrived, in `($3, $2]`.
    Arrivals,
    /// Those that arrived in `($3, $2]`, and those with a key among the texts `$4`.
    Keys,
    /// Those with an event time in `[$3, $4)`.
    Range,
    /// Those with an event time in `[$3, $4)` in one of the buckets `$5`.
    Buckets,
}

/// A `with` clause and a `from` item `s` with the columns `key, model_version, bucket_start, event_at, d1 …, hash (of
/// version and dimensions), predicted, actual, class (see `trueup.residual`), copies, label_at, x1 … (extra values),
/// digest`.
pub struct Rows {
    pub with: String,
    pub from: String,
}

/// Controls if each row is computed once, before its columns are read.
///
/// Postgres merges subqueries and computes an expression each time it is named, which doubles a big read. The fence
/// prevents that; a read of few rows goes without, in the form that a sharded database can push down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fence {
    Fenced,
    None,
}

impl Fence {
    /// Returns the fence for a read of many rows.
    pub fn of(facts: &SourceFacts) -> Self {
        if facts.sharded { Self::None } else { Self::Fenced }
    }

    /// Suffix of a subquery that must not be merged into the surrounding one.
    pub fn sql(self) -> &'static str {
        match self {
            Self::Fenced => " offset 0",
            Self::None => "",
        }
    }
}

/// The classified rows of a selection.
pub fn classified(job: &PlannedJob, facts: &SourceFacts, selection: Selection, fence: Fence) -> Rows {
    let with = match selection {
        Selection::Arrivals => format!("with {}\n", touched(job, "$3", "$2")),
        Selection::Keys => {
            let p = &job.predictions;
            let arrived = touched_keys(&p.relation.sql(), &p.id, &p.arrived_at, "$3", "$2");
            let cast = facts.relabeled_by.unwrap_or("text");
            format!(
                "with touched as (\n    {arrived}\n    union\n    select k::{cast} from unnest($4::text[]) as k\n)\n"
            )
        }
        Selection::Range | Selection::Buckets => String::new(),
    };
    if selection == Selection::Arrivals && facts.sharded && facts.predictions_unique && facts.labels_unique {
        let parts = arrived_apart(job).map(|bound| {
            let raw = raw_predictions(job, facts, Selection::Range, Some(&bound));
            let bucket = bucket_of(job, "r.event_at");
            let predictions = format!("select r.*, {bucket} as bucket_start, 1 as copies from ({raw}) as r");
            joined(job, facts, &predictions, &labels(job, facts, Selection::Range))
        });
        let hash = format!(", {} as hash", cell_hash(job));
        return Rows { with: String::new(), from: finished(job, facts, &parts.join(" union all "), &hash, fence) };
    }
    let joined = joined(job, facts, &predictions(job, facts, selection), &labels(job, facts, selection));
    Rows { with, from: finished(job, facts, &joined, &format!(", {} as hash", cell_hash(job)), fence) }
}

/// Two conditions over a row `a`: predictions that arrived in `($3, $2]`, and the others whose label did. A sharded database
/// pushes a union of two reads down to its workers, where each finds its own keys; a list of keys would go to all of them.
fn arrived_apart(job: &PlannedJob) -> [String; 2] {
    let (p, l) = (&job.predictions, &job.labels);
    let within = |row: &str, column: &Option<Identifier>| match column {
        Some(column) => format!("({row}.{column} > $3 and {row}.{column} <= $2)"),
        None => "false".to_owned(),
    };
    let keys = |row: &str, of: &[Identifier]| of.iter().map(|c| format!("{row}.{c}")).collect::<Vec<_>>().join(", ");
    let arrived = within("a", &p.arrived_at);
    let labeled = format!(
        "not {arrived} and ({}) in (select {} from {} as n where {})",
        keys("a", &p.id[..l.id.len()]),
        keys("n", &l.id),
        l.relation.sql(),
        within("n", &l.arrived_at)
    );
    [arrived, labeled]
}

/// Predictions joined with their labels, before classification.
fn joined(job: &PlannedJob, facts: &SourceFacts, predictions: &str, labels: &str) -> String {
    format!(
        r"
                select {key} as key{number}, {version} as model_version, p.event_at, p.bucket_start{dims},
                       p.predicted, p.copies{carried}, l.actual, l.label_at, l.found, l.ambiguous
                from ({predictions}) as p
                left join ({labels}) as l on {on}
            ",
        key = key_sql(job, facts),
        number = if facts.key_is_integer { ", p.k1 as number" } else { "" },
        version = if job.predictions.version.is_some() { bounded("p.model_version") } else { "''".to_owned() },
        dims = appended(job.dimensions.len(), |n| format!("{} as d{n}", bounded(&format!("p.d{n}")))),
        carried = appended(carried_values(job), |n| format!("p.c{n}")),
        on = (1..=job.labels.id.len()).map(|n| format!("l.k{n} = p.k{n}")).collect::<Vec<_>>().join(" and "),
    )
}

/// Adds class, extra values and digest to joined pairs, as a `from` item `s`.
fn finished(job: &PlannedJob, facts: &SourceFacts, joined: &str, hash_of_cell: &str, fence: Fence) -> String {
    let hash =
        if facts.key_is_integer { "hashint8extended(c.number, c.hash)" } else { "hashtextextended(c.key, c.hash)" };
    let failures = job.row_by_row.then(|| format!(", {} as x{}", guard::failures(job, facts), job.extra_values()));
    let extras = (0..job.extras.len())
        .map(|n| {
            let counts = job.extras[n].is_of_sql("c");
            format!(", case when {counts} then {} end as x{}", guard::extra(job, facts, n), n + 1)
        })
        .chain(failures);
    format!(
        r"(
    select x.*, {digest} as digest
    from (
        select c.*, coalesce(hashfloat8extended(c.predicted, {hash}), {hash} # 1) as seed{extras}
        from (
            select j.*, {class} as class{hash_of_cell}
            from ({joined}) as j{fence}
        ) as c{fence}
    ) as x{fence}
) as s",
        digest = digest(job),
        class = class(job),
        extras = extras.collect::<String>(),
        fence = fence.sql(),
    )
}

/// Labels that arrived in `($3, $2]`, matched with the residuals of plan `$1` that have their key: a `with` clause
/// whose `placed` contains every such label (`raw`: its key as text; `place`: location of its residual, if there is
/// one), and a `from` item `s` with the new state of those residuals.
///
/// The residual contains everything from its prediction, so nothing is looked up twice. Valid only if a key has one
/// prediction and one label: see [`SourceFacts::relabeled_by`].
pub fn relabeled(job: &PlannedJob, facts: &SourceFacts) -> Rows {
    let source = &job.labels;
    let (id, relation) = (&source.id[0], source.relation.sql());
    let arrived = source.arrived_at.as_ref().map_or("null::timestamptz".to_owned(), |column| format!("a.{column}"));
    let key = key_sql(job, facts).replace("p.k1", "l.k1");
    let with = format!(
        r"arrived as materialized (
    select l.k1::text as raw, {key} as key, l.actual, l.label_at
    from (
        select a.{id} as k1, {actual} as actual, {arrived} as label_at
        from {relation} as a where {arrived} > $3 and {arrived} <= $2 and a.{id} is not null
    ) as l
    -- In the order of the index that they are looked up in, which is mostly that of the table.
    order by key
), placed as materialized (
    select l.raw, l.actual, l.label_at, r.ctid as place, r.key, r.cell_id, r.predicted, r.copies
    from arrived as l
    left join trueup.residual as r on r.plan_id = $1 and r.key = l.key and r.class <> 7
)",
        actual = job.actual_sql(facts, "a"),
    );
    let joined = format!(
        "select p.place, p.key{number}, c.hash, p.predicted, p.copies, p.actual, p.label_at, true as found, false as ambiguous \
         from placed as p join trueup.cell as c on c.id = p.cell_id",
        number = if facts.key_is_integer { ", p.key::bigint as number" } else { "" },
    );
    Rows { with, from: finished(job, facts, &joined, "", Fence::None) }
}

/// Hash of the dimensions and the version of a row. It is part of the digest, so that the digest changes when a
/// prediction moves to another cohort.
fn cell_hash(job: &PlannedJob) -> String {
    let version = job.predictions.version.as_ref().map(|_| "j.model_version".to_owned());
    let dimensions = (1..=job.dimensions.len()).map(|n| format!("coalesce(j.d{n}, e'\\x01')"));
    let parts: Vec<String> = version.into_iter().chain(dimensions).collect();
    if parts.is_empty() {
        "0::bigint".to_owned()
    } else {
        format!("hashtextextended(({}) collate pg_catalog.\"C\", 0)", parts.join(" || e'\\x02' || "))
    }
}

/// Hash of the content of a pair. Sums of it do not depend on the order of rows. The arrival time of the label is
/// included only if a metric uses it: labels that are sent again unchanged revise nothing.
fn digest(job: &PlannedJob) -> String {
    let pair = "hashint4extended(x.class, coalesce(hashfloat8extended(x.actual, x.seed), x.seed # 2))";
    let latency = job.histograms().has(HistogramKind::Latency).then(|| "coalesce(x.label_at::text, '')".to_owned());
    let extras = list(job.extra_values(), |n| format!("x.x{n}"));
    let extras = (job.extra_values() > 0).then(|| format!("array[{extras}]::text"));
    latency
        .into_iter()
        .chain(extras)
        .fold(pair.to_owned(), |digest, more| format!("hashtextextended({more}, {digest})"))
}

/// Keys and versions that the source still yields for predictions that arrived in `($3, $2]`: a common table expression
/// `touched` of their keys, and a `from` item `s` with `key, model_version`.
pub fn still_there(job: &PlannedJob, facts: &SourceFacts) -> Rows {
    let keys =
        touched_keys(&job.predictions.relation.sql(), &job.predictions.id, &job.predictions.arrived_at, "$3", "$2");
    let version = if job.predictions.version.is_some() { bounded("p.model_version") } else { "''".to_owned() };
    Rows {
        with: format!("touched as (\n    {keys}\n)"),
        from: format!(
            "(select {} as key, {version} as model_version from ({}) as p) as s",
            key_sql(job, facts),
            predictions(job, facts, Selection::Arrivals)
        ),
    }
}

/// A common table expression `touched` with the keys of predictions and labels that arrived in `(since, until]`.
pub fn touched(job: &PlannedJob, since: &str, until: &str) -> String {
    let (p, l) = (&job.predictions, &job.labels);
    let labels = touched_keys(&l.relation.sql(), &l.id, &l.arrived_at, since, until);
    let labels = if l.id.len() == p.id.len() { labels } else { sharing_labels(job, &labels) };
    format!(
        "touched as (\n    {}\n    union\n    {labels}\n)",
        touched_keys(&p.relation.sql(), &p.id, &p.arrived_at, since, until),
    )
}

/// Keys of all predictions that share these labels: a label's key is a prefix of theirs.
fn sharing_labels(job: &PlannedJob, labels: &str) -> String {
    let (p, shared) = (&job.predictions, job.labels.id.len());
    let of = p.id.iter().take(shared).map(|column| format!("a.{column}")).collect::<Vec<_>>().join(", ");
    let keys = touched_keys(&p.relation.sql(), &p.id, &None, "", "");
    format!("{keys} where ({of}) in (select {} from ({labels}) as n)", list(shared, |n| format!("n.trueup_k{n}")))
}

fn touched_keys(
    relation: &str,
    id: &[Identifier],
    arrived_at: &Option<Identifier>,
    since: &str,
    until: &str,
) -> String {
    let keys = id.iter().enumerate().map(|(n, column)| format!("a.{column} as trueup_k{}", n + 1)).collect::<Vec<_>>();
    let arrived = arrived_at.as_ref().map_or(String::new(), |c| format!(" where a.{c} > {since} and a.{c} <= {until}"));
    format!("select {} from {relation} as a{arrived}", keys.join(", "))
}

/// One row per prediction key and version, with its bucket.
fn predictions(job: &PlannedJob, facts: &SourceFacts, selection: Selection) -> String {
    let dimensions = job.dimensions.len();
    let keys = job.predictions.id.len();
    let bound = match selection {
        Selection::Arrivals | Selection::Keys => "true".to_owned(),
        Selection::Range => "{at} >= $3 and {at} < $4".to_owned(),
        Selection::Buckets => format!("{{at}} >= $3 and {{at}} < $4 and {} = any($5)", bucket_of(job, "{at}")),
    };
    let raw_at = format!("a.{}", job.predictions.at);
    if facts.predictions_unique {
        let raw = raw_predictions(job, facts, selection, Some(&bound.replace("{at}", &raw_at)));
        let bucket = bucket_of(job, "r.event_at");
        return format!("select r.*, {bucket} as bucket_start, 1 as copies from ({raw}) as r");
    }
    // Copies of a key may be in different buckets: all copies are read and folded before a bucket is assigned.
    let raw = raw_predictions(job, facts, selection, None);
    let semi = match selection {
        Selection::Arrivals | Selection::Keys => String::new(),
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
         select {keys}, r.model_version, min(r.event_at) as event_at, min(r.predicted) as predicted{dims}{carried}, count(*)::int as copies \
         from ({raw}) as r{semi} group by {keys}, r.model_version having {having}) as f",
        bucket = bucket_of(job, "f.event_at"),
        keys = list(keys, |n| format!("r.k{n}")),
        // Copies that disagree belong to no particular cohort.
        dims = appended(dimensions, |n| {
            format!("case when min(r.d{n}) = max(r.d{n}) and count(r.d{n}) = count(*) then min(r.d{n}) end as d{n}")
        }),
        carried = appended(carried_values(job), |n| match n > extra::columns(&job.extras).len() {
            // Part of the digest of all rows, so it must not depend on which copy comes first.
            true => format!("max(r.c{n}) as c{n}"),
            false => format!("(array_agg(r.c{n}))[1] as c{n}"),
        }),
        having = bound.replace("{at}", "min(r.event_at)"),
    )
}

/// Prediction rows of the source, typed, with the user's filter and expressions applied.
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
        (0..job.dimensions.len()).map(|n| format!(", {} as d{}", guard::dimension(job, facts, n), n + 1)).collect();
    let join = match selection {
        Selection::Arrivals | Selection::Keys => {
            let on = source.id.iter().enumerate().map(|(n, column)| format!("a.{column} = t.trueup_k{}", n + 1));
            let on = on.collect::<Vec<_>>().join(" and ");
            let relation = source.relation.sql();
            if facts.predictions_indexed && !facts.sharded {
                // Look up by key, one by one: the range of event time that they span is a thousand times larger.
                format!("touched as t cross join lateral (select * from {relation} as a where {on} offset 0) as a")
            } else {
                format!("touched as t join {relation} as a on {on}")
            }
        }
        Selection::Range | Selection::Buckets => format!("{} as a", source.relation.sql()),
    };
    let mut conditions: Vec<String> = source.id.iter().map(|column| format!("a.{column} is not null")).collect();
    conditions.push(placeable(&format!("a.{}", source.at)));
    conditions.extend(source.arrived_at.as_ref().map(|column| format!("a.{column} <= $2")));
    let filter = guard::filter(job, facts);
    conditions.extend(filter.condition);
    conditions.extend(bound.map(str::to_owned));
    format!(
        "select {keys}, {version} as model_version, a.{at} as event_at, {predicted} as predicted{dims}{carried}{failed} from {join}{beside} where {}",
        conditions.join(" and "),
        carried = carried(&extra::columns(&job.extras)),
        failed = match job.row_by_row {
            true => format!(", {} as c{}", guard::failed_before(job, facts, filter.failed), carried_values(job)),
            false => String::new(),
        },
        beside = filter.beside,
        at = source.at,
        predicted = job.predicted_sql(facts, "a"),
    )
}

/// Number of values that are carried along to the pair: columns, and the code of a failed filter or dimension.
fn carried_values(job: &PlannedJob) -> usize {
    extra::columns(&job.extras).len() + usize::from(job.row_by_row)
}

/// Columns of a row `a` that extra values are computed from, as additional select items.
pub(crate) fn carried(columns: &[String]) -> String {
    columns.iter().enumerate().map(|(n, name)| format!(", a.{} as c{}", quoted(name), n + 1)).collect()
}

/// One row per label key: the effective value, and if several disagree.
fn labels(job: &PlannedJob, facts: &SourceFacts, selection: Selection) -> String {
    let source = &job.labels;
    let actual = job.actual_sql(facts, "a");
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
    if matches!(selection, Selection::Arrivals | Selection::Keys) {
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

/// True if an event time can be computed with: Postgres accepts years that calendars here do not.
pub fn placeable(at: &str) -> String {
    format!("{at} >= '1900-01-01 00:00:00+00' and {at} < '3000-01-01 00:00:00+00'")
}

/// Class of a row. Everything is classified before anything is subtracted, so that no value can fail a query; the usual
/// case is tested before invalid values, and is false for NULL, NaN and infinity.
fn class(job: &PlannedJob) -> String {
    let filter_failed = match job.row_by_row {
        true => format!("when j.c{} = {} then 8", carried_values(job), guard::FILTER_FAILED),
        false => String::new(),
    };
    let (usable, unknown_class) = match &job.parameters.task {
        Task::Multiclass(_) => ("j.predicted is not null and j.actual is not null".to_owned(), ""),
        Task::Binary(binary) => {
            let usable = format!("{} and j.actual in (0, 1)", binary.usable_sql("j.predicted"));
            (usable, "when j.predicted is not null and j.actual = 'NaN' then 9\n                   ")
        }
        Task::Regression => {
            let all = ["j.predicted", "j.actual", "j.predicted - j.actual"];
            (all.map(|value| format!("abs({value}) <= 1e70")).join(" and "), "")
        }
    };
    format!(
        "case
                   when j.copies > 1 then 5
                   when j.found is null then 1
                   {filter_failed}
                   when j.ambiguous then 6
                   when {usable} then 0
                   {unknown_class}when j.predicted is null or j.actual is null then 2
                   when j.predicted in ('NaN', 'Infinity', '-Infinity') or j.actual in ('NaN', 'Infinity', '-Infinity') then 3
                   else 4
               end"
    )
}

/// Key of a residual as text.
fn key_sql(job: &PlannedJob, facts: &SourceFacts) -> String {
    match job.predictions.id.len() {
        1 if facts.key_is_integer => "(p.k1::text) collate pg_catalog.\"C\"".to_owned(),
        1 => bounded("p.k1::text"),
        n => bounded(&format!("jsonb_build_array({})::text", list(n, |k| format!("p.k{k}")))),
    }
}

/// Key of a row of `touched`, in the form of a residual's key.
pub fn touched_key(job: &PlannedJob, facts: &SourceFacts) -> String {
    key_sql(job, facts).replace("p.k", "t.trueup_k")
}

/// A text that fits an index for any data: the start of a long one, and a hash of all of it.
fn bounded(text: &str) -> String {
    format!(
        "(case when octet_length({text}) > 200 then left({text}, 40) || '~' || md5({text}) else {text} end) collate pg_catalog.\"C\""
    )
}

/// The start of the bucket that holds an instant.
pub fn bucket_of(job: &PlannedJob, instant: &str) -> String {
    format!("date_bin('{} seconds', {instant}, 'epoch'::timestamptz)", job.windows.bucket.num_seconds())
}
