//! `explain`: the plan in words, the SQL of each stage, and how the database would run it.

use std::process::ExitCode;

use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{PgConnection, Row};

use crate::cli::Global;
use crate::commands::shared::{database, jobs};
use crate::commands::{output, user_error};
use crate::domain::duration;
use crate::domain::severity::Severity;
use crate::notify::policy::matcher::Labels;
use crate::notify::policy::route::Routing;
use crate::pipeline;
use crate::plan::PlannedJob;
use crate::plan::objective::Indicator;
use crate::plan::source::SourceFacts;
use crate::sql::pairs::source::Selection;
use crate::sql::pairs::{bucket, residual};
use crate::sql::{PlannedSql, window};
use crate::store::clock;
use crate::store::ledger::job as store;
use crate::warehouse::failure::RunError;
use crate::warehouse::inspect::{self, SourceError};
use crate::warehouse::session::{self, Bind};

pub(in crate::commands) async fn run(global: &Global, name: &str, analyze: bool) -> Result<ExitCode> {
    let settings = jobs::settings(global)?;
    let job = jobs::find(global, &settings, name)?;
    let database = database::database(global, &settings).await?;
    let now = clock::now(&mut *database.pool.acquire().await?).await?;
    for line in words(&job, now, &settings.routing) {
        output::print(&line)?;
    }
    let mut connection = database.pool.acquire().await?;
    if !analyze {
        sqlx::query("set default_transaction_read_only = on").execute(&mut *connection).await?;
    }
    let facts = match inspect::inspect(&mut connection, &job).await {
        Ok(facts) => facts,
        Err(SourceError::Mistakes(mistakes)) => return Err(user_error(RunError::Source(mistakes).to_string())),
        Err(SourceError::Database(error)) => return Err(error.into()),
    };
    // Everything that runs here is rolled back.
    let mut transaction = session::begin(&mut connection, &facts).await?;
    let id = match analyze {
        true => {
            let known = store::register(&mut transaction, &job.name).await?;
            let fingerprint = format!("explain {}", uuid::Uuid::new_v4());
            pipeline::register_plan(&mut transaction, &job, known.id, &fingerprint).await?.id
        }
        false => 0,
    };
    for step in steps(&job, &facts, now) {
        output::print_lines(&format!("\n-- {}\n{};", step.title, step.sql))?;
        // Citus cannot analyze a statement that passes states of our aggregate between servers.
        let analyze = analyze && !(facts.sharded && step.sql.as_str().contains("trueup.moments("));
        let plan = plan(&mut transaction, &step, id, analyze).await?;
        let how = if analyze { "Executed plan" } else { "Plan" };
        output::print(&format!("-- {how}:"))?;
        for line in plan {
            output::print(&line)?;
        }
    }
    transaction.rollback().await?;
    Ok(ExitCode::SUCCESS)
}

/// One statement, with values to plan it with.
struct Step {
    title: &'static str,
    sql: PlannedSql,
    binds: Vec<Value>,
}

/// A bind that owns its value.
enum Value {
    Id,
    Time(DateTime<Utc>),
    Times(Vec<DateTime<Utc>>),
    Ids(Vec<i64>),
    Texts(Vec<String>),
    Number(i32),
    Numbers(Vec<i32>),
    Flags(Vec<bool>),
}

fn steps(job: &PlannedJob, facts: &SourceFacts, now: DateTime<Utc>) -> Vec<Step> {
    let recent = now - TimeDelta::minutes(15) - job.schedule.overlap;
    let reach = job.windows.reach(now);
    let mut steps = Vec::new();
    if residual::relabels(job, facts) {
        steps.push(Step {
            title: "1. Labels into the residuals of their predictions: arrivals since the last run ($1 plan, $2 as of, \
                    $3 since, $4 generation, $5 maximum keys of other labels)",
            sql: residual::relabel(job, facts),
            binds: vec![Value::Id, Value::Time(now), Value::Time(recent), Value::Id, Value::Id],
        });
        steps.push(Step {
            title: "1a. Other arrivals into residuals ($1 plan, $2 as of, $3 since, $4 keys of other labels, $5 generation)",
            sql: residual::upsert(job, facts, Selection::Keys),
            binds: vec![Value::Id, Value::Time(now), Value::Time(recent), Value::Texts(Vec::new()), Value::Id],
        });
    } else {
        steps.push(Step {
            title: "1. Arrivals since the last run into residuals ($1 plan, $2 as of, $3 since, $4 generation)",
            sql: residual::upsert(job, facts, Selection::Arrivals),
            binds: vec![Value::Id, Value::Time(now), Value::Time(recent), Value::Id],
        });
    }
    steps.push(match facts.sharded {
        true => Step {
            title: "1b. Keys of residuals whose prediction changed or disappeared ($1 plan, $2 as of, $3 since)",
            sql: residual::retiring(job, facts),
            binds: vec![Value::Id, Value::Time(now), Value::Time(recent)],
        },
        false => Step {
            title: "1b. Residuals whose prediction changed or disappeared (the same parameters)",
            sql: residual::retire(job, facts),
            binds: vec![Value::Id, Value::Time(now), Value::Time(recent), Value::Id],
        },
    });
    steps.extend([
        Step {
            title: "1c. Cells whose residuals changed ($1 plan, $2 as of, $3 since)",
            sql: residual::changed(job, facts),
            binds: vec![Value::Id, Value::Time(now), Value::Time(recent)],
        },
        Step {
            title: "2. Residuals into buckets: whole cells, replaced ($1 plan, $2 as of, $3 bucket starts, $4 cells)",
            sql: bucket::from_residuals(job),
            binds: vec![Value::Id, Value::Time(now), Value::Times(vec![now]), Value::Ids(vec![0])],
        },
        Step {
            title: "2b. Buckets into coarser buckets: the same cells ($1 plan, $2 starts, $3 from seconds, $4 to seconds, $5 cells)",
            sql: bucket::roll_up(job, bucket::Extent::Cells),
            binds: vec![
                Value::Id,
                Value::Times(vec![now]),
                Value::Number(3_600),
                Value::Number(86_400),
                Value::Ids(vec![0]),
            ],
        },
        Step {
            title: "3. Buckets into windows ($1 plan, $2 numbers, $3 seconds of the buckets, $4 starts, $5 ends, $6 labels due)",
            sql: window::merge(job),
            binds: vec![
                Value::Id,
                Value::Numbers(vec![0]),
                Value::Numbers(vec![86_400]),
                Value::Times(vec![reach]),
                Value::Times(vec![now]),
                Value::Flags(vec![true]),
            ],
        },
        Step {
            title: "First build and backfill: straight from the source into buckets ($1 plan, $2 as of, $3 from, $4 to)",
            sql: bucket::from_source(job, facts, Selection::Range),
            binds: vec![Value::Id, Value::Time(now), Value::Time(reach), Value::Time(now)],
        },
    ]);
    steps
}

async fn plan(connection: &mut PgConnection, step: &Step, id: i64, analyze: bool) -> Result<Vec<String>> {
    let binds: Vec<Bind<'_>> = step
        .binds
        .iter()
        .map(|value| match value {
            Value::Id => Bind::Id(id),
            Value::Time(time) => Bind::Time(*time),
            Value::Times(times) => Bind::Times(times),
            Value::Ids(ids) => Bind::Ids(ids),
            Value::Texts(texts) => Bind::Texts(texts),
            Value::Number(number) => Bind::Number(*number),
            Value::Numbers(numbers) => Bind::Numbers(numbers),
            Value::Flags(flags) => Bind::Flags(flags),
        })
        .collect();
    let rows = session::plan_of(connection, &step.sql, &binds, analyze).await?;
    Ok(rows.iter().map(|row| row.try_get::<String, _>(0)).collect::<Result<_, _>>()?)
}

/// Describes the plan in words, one item per line.
fn words(job: &PlannedJob, now: DateTime<Utc>, routing: &Routing) -> Vec<String> {
    let windows = job.windows.all.iter().map(|window| window.name.clone()).collect::<Vec<_>>().join(", ");
    let next = job.schedule.cadence.next_after(now).map_or("never".to_owned(), |next| next.to_rfc3339());
    let cohorts: Vec<String> = job
        .cohort_sets
        .iter()
        .map(|set| {
            let names =
                set.dimensions.iter().map(|at| job.dimensions[*at].name.as_str()).collect::<Vec<_>>().join(", ");
            format!("{names} (top {})", set.top)
        })
        .collect();
    let widest = job.metrics.iter().map(|metric| metric.name().chars().count()).max().unwrap_or_default();
    let metrics =
        job.metrics.iter().map(|metric| format!("  {:<widest$}  {}", metric.name(), metric.meaning())).collect();
    let told = |rule: &str, severity: Severity, owner: Option<&str>, notify: &Vec<String>| {
        let owner = owner.or(job.owner.as_deref());
        let labels = Labels { job: &job.name, rule, severity: severity.as_str(), owner, cohort: "all" };
        let told: Vec<String> = routing.path(&labels, notify).receivers.into_iter().collect();
        if told.is_empty() { "no receiver".to_owned() } else { told.join(", ") }
    };
    let rules: Vec<String> = job
        .rules
        .iter()
        .map(|rule| {
            let lasts = rule.fires.describe();
            let at_least = format!("at least {} labeled", rule.min_samples);
            let when =
                [rule.condition(), lasts].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
            format!(
                "  {} ({}): {} of {} {when}, {at_least}; notifies {}",
                rule.name,
                rule.severity.as_str(),
                rule.metric().name(),
                rule.window,
                told(&rule.name, rule.severity, rule.owner.as_deref(), &rule.notify)
            )
        })
        .collect();
    let objectives: Vec<String> = job
        .slos
        .iter()
        .flat_map(|slo| {
            let counted = match &slo.indicator {
                Indicator::Predictions { good, .. } => format!("predictions with {good}"),
                Indicator::Windows { metric, window, condition } => {
                    format!("windows of {window} without {} {}", metric.name(), condition.describe())
                }
            };
            let share = (slo.objective * 1e6).round() / 1e4;
            let head = format!("  {}: {share} % of {counted}, over {}", slo.name, duration::format(slo.period));
            let burns = slo.burns.iter().map(|burn| {
                format!(
                    "    {} ({}): {} times the budget over {} and {}; notifies {}",
                    slo.alert(burn),
                    burn.severity.as_str(),
                    burn.factor,
                    duration::format(burn.long),
                    duration::format(burn.short),
                    told(&slo.alert(burn), burn.severity, slo.owner.as_deref(), &slo.notify)
                )
            });
            std::iter::once(head).chain(burns).collect::<Vec<_>>()
        })
        .collect();
    let listed = |title: &str, lines: Vec<String>| {
        let none = lines.is_empty().then(|| "  none".to_owned());
        std::iter::once(title.to_owned()).chain(lines).chain(none).collect::<Vec<_>>()
    };
    let reads = if job.is_incremental() {
        format!("rows that arrived since the last run, and in the {} before it", duration::format(job.schedule.overlap))
    } else {
        "the whole horizon at every run, because `arrived_at` is not declared on both tables".to_owned()
    };
    let head = [
        format!("{}: {}", job.name, job.description.as_deref().unwrap_or("(no description)")),
        format!("runs next   {next}"),
        format!("reads       {reads}"),
        format!("windows     {windows}"),
        format!("buckets     {}", duration::format(job.windows.bucket)),
        format!(
            "final       {} after the end of a window; labels revise it for {}",
            duration::format(job.windows.label_wait),
            duration::format(job.windows.horizon)
        ),
        format!("cohorts     all{}", cohorts.iter().map(|cohort| format!("; {cohort}")).collect::<String>()),
    ];
    let lists = [listed("metrics", metrics), listed("rules", rules), listed("objectives", objectives)];
    head.into_iter().chain(lists.concat()).collect()
}
