//! `backfill`: recomputes past windows from all that is known now, with a progress bar.

use std::process::ExitCode;

use anyhow::{Result, anyhow, bail};

use crate::cli::{BackfillArgs, BackfillNotify, Global};
use crate::commands::output::{self, progress};
use crate::commands::shared::{database, jobs};
use crate::commands::user_error;
use crate::pipeline::backfill::{self, Finished, Progress, Request};
use crate::pipeline::enter::{RunRequest, enter};
use crate::pipeline::execute;
use crate::store::ledger::run as ledger;
use crate::store::ledger::run::End;
use crate::warehouse::failure::RunError;

pub(in crate::commands) async fn run(global: &Global, args: &BackfillArgs) -> Result<ExitCode> {
    let BackfillNotify::None = args.notify;
    if args.from >= args.to {
        return Err(user_error("`--from` must be before `--to`"));
    }
    let settings = jobs::settings(global)?;
    let job = jobs::find(global, &settings, &args.job)?;
    let database = database::database(global, &settings).await?;
    let pool = &database.pool;

    let Ok(claim) = enter(pool, &job, RunRequest::Backfill, &database::runner_name(), settings.lease).await? else {
        bail!("another backfill of `{}` is running; try again when it has finished", job.name);
    };
    let bar = progress::bar(0, "windows");
    let mut report = |progress: Progress| {
        let count = |windows: usize| u64::try_from(windows).unwrap_or(u64::MAX);
        bar.at(count(progress.windows_done), count(progress.windows_total));
        bar.say(&format!("{} predictions", progress.predictions));
    };
    let request = Request { range: args.from..args.to, step: args.step, accept_loss: args.accept_loss };
    let work = backfill::run(pool, &job, &claim, &request, &mut report);
    let done = execute::leased(pool, &claim, settings.lease, work).await;
    bar.finish();
    match done {
        Ok(Finished { done, kept }) => {
            if kept > 0 {
                output::note(&format!(
                    "{kept} buckets and windows were kept, because the source no longer has their rows; \
                     use --accept-loss to follow the source"
                ));
            }
            output::print(&format!(
                "{}: {} predictions read, {} buckets rebuilt, {} measurements written",
                job.name, done.rows_read, done.buckets_recomputed, done.windows_written
            ))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            ledger::finish_without(&mut *pool.acquire().await?, &claim, End::Failed(&error.to_string())).await?;
            Err(match error {
                RunError::Source(_) => user_error(format!("the backfill could not start: {error}")),
                _ => anyhow!("the backfill stopped: {error}; run the same command again to continue"),
            })
        }
    }
}
