//! `baseline set`: stores a metric of a model version at validation, for rules that compare with it.

use std::process::ExitCode;

use anyhow::Result;

use crate::cli::{BaselineArgs, Global};
use crate::commands::shared::{database, jobs};
use crate::commands::{output, user_error};
use crate::metric::name::MetricName;
use crate::store::history::baseline::{self, NewBaseline};

pub(in crate::commands) async fn set(global: &Global, args: &BaselineArgs) -> Result<ExitCode> {
    let settings = jobs::settings(global)?;
    let job = jobs::find(global, &settings, &args.job)?;
    let is_count = MetricName::count(&args.metric).is_some();
    if !is_count && !job.metrics.iter().any(|metric| metric.name() == args.metric) {
        let known = job.metrics.iter().map(crate::metric::JobMetric::name).collect::<Vec<_>>().join(", ");
        return Err(user_error(format!("`{}` has no metric `{}`; it has {known}", job.name, args.metric)));
    }
    if !args.value.is_finite() {
        return Err(user_error(format!("{} is not a finite number", args.value)));
    }
    match (&args.version, job.predictions.version.is_some()) {
        (None, true) => return Err(user_error(format!("`{}` distinguishes model versions: add --version", job.name))),
        (Some(_), false) => {
            return Err(user_error(format!("`{}` declares no model version: leave out --version", job.name)));
        }
        _ => {}
    }
    let database = database::database(global, &settings).await?;
    let new = NewBaseline {
        job: &job.name,
        metric: &args.metric,
        cohort: &args.cohort,
        model_version: args.version.as_deref(),
        value: args.value,
        note: args.note.as_deref(),
    };
    baseline::set(&mut *database.pool.acquire().await?, new).await?;
    let version = args.version.as_ref().map_or(String::new(), |version| format!(" of version {version}"));
    output::note(&format!("{} of `{}`{version} for {}: {}", args.metric, job.name, args.cohort, args.value));
    Ok(ExitCode::SUCCESS)
}
