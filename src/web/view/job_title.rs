//! Title and tabs of a job's pages that select no metric.

use super::job::{Tab, tabs};
use super::overview::Job;

/// Title of a job's page.
#[derive(Debug, Clone)]
pub struct JobTitle {
    pub name: String,
    pub description: Option<String>,
    pub owner: Option<String>,
    /// The runbook, if it is a web link.
    pub runbook: Option<String>,
    /// Labels stand in for the true outcome.
    pub is_proxy: bool,
    pub tabs: Vec<Tab>,
}

/// Returns the title of a page of a job. `runbook` and `owner` of a rule or objective stand before those of the job.
pub fn job_title(job: &Job, current: &str, owner: Option<&str>, runbook: Option<&str>) -> JobTitle {
    let runbook = runbook.or(job.about.runbook.as_deref());
    JobTitle {
        name: job.row.job.clone(),
        description: job.about.description.clone(),
        owner: owner.or(job.about.owner.as_deref()).map(str::to_owned),
        runbook: runbook.filter(|link| crate::text::line::is_web_link(link)).map(str::to_owned),
        is_proxy: job.about.proxy,
        tabs: tabs(job, current),
    }
}
