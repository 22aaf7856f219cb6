//! Statements about classes: scores and labels of the newest predictions, and names of classes.

use crate::metric::confusion;
use crate::plan::PlannedJob;
use crate::plan::model::class_text;
use crate::plan::source::SourceFacts;
use crate::sql::PlannedSql;

/// Newest predictions that are looked at.
const NEWEST: u32 = 20_000;

/// One row: `predictions, unusable` (scores), `reached` (positive decisions by threshold), `seconds` (from the first event to the
/// last), `labeled` (labels that are not NULL), `ones, zeros` (labels by number), `unknown` (labels of no class) and `examples` of
/// those.
pub fn profile(job: &PlannedJob, facts: &SourceFacts) -> PlannedSql {
    let (p, l) = (&job.predictions, &job.labels);
    let task = &job.parameters.task;
    let on = p.id.iter().zip(&l.id).map(|(p, l)| format!("a.{p} = l.{l}")).collect::<Vec<_>>().join(" and ");
    let usable = task.binary().map_or("true".to_owned(), |binary| binary.usable_sql("s.score"));
    let reached = task.binary().and_then(|binary| binary.threshold()).unwrap_or(0.0);
    PlannedSql::new(format!(
        "select count(*) as predictions, count(*) filter (where coalesce(not ({usable}), true)) as unusable,
                count(*) filter (where {usable} and s.score >= {reached:e}) as reached,
                coalesce(extract(epoch from max(s.at) - min(s.at)), 0)::float8 as seconds,
                count(s.label) as labeled, count(*) filter (where s.label = 1) as ones, count(*) filter (where s.label = 0) as zeros,
                count(*) filter (where s.label = 'NaN') as unknown,
                coalesce((array_agg(distinct left(s.written, 40)) filter (where s.label = 'NaN'))[1:3], array[]::text[]) as examples
         from (
             select a.{at} as at, {score} as score, {label} as label, l.{value}::text as written
             from (select * from {predictions} as a where isfinite(a.{at}) order by a.{at} desc limit {NEWEST}) as a
             left join {labels} as l on {on}
         ) as s",
        at = p.at,
        score = job.predicted_sql(facts, "a"),
        label = job.actual_sql(facts, "l"),
        value = l.value,
        predictions = p.relation.sql(),
        labels = l.relation.sql(),
    ))
}

/// Names of the codes `$1` among the classes of predictions and labels: `code, name`.
pub fn names(job: &PlannedJob, facts: &SourceFacts) -> PlannedSql {
    let (p, l) = (&job.predictions, &job.labels);
    let distinct = |relation: &str, column: String, of| {
        format!("select distinct {} as name from {relation} as a where {column} is not null", class_text(&column, of))
    };
    PlannedSql::new(format!(
        "select distinct on (v.code) v.code, left(v.name, 200) as name
         from (select {code} as code, d.name from ({predicted} union {actual}) as d) as v
         where v.code = any($1)
         order by v.code, v.name",
        code = confusion::code_sql("d.name"),
        predicted = distinct(&p.relation.sql(), format!("a.{}", p.value), facts.predicted),
        actual = distinct(&l.relation.sql(), format!("a.{}", l.value), facts.actual),
    ))
}
