//! Keys of the contract that this version reads but does not act on yet. They are refused by name, never ignored.

use crate::spec::diagnostic::Diagnostic;
use crate::spec::document::Document;
use crate::spec::job::{CohortsSpec, ForSpec, JobSpec};

/// The keys of a job file that are written but not supported yet, each at its own line.
pub fn unsupported_job_keys(document: &Document, spec: &JobSpec) -> Vec<Diagnostic> {
    let mut paths: Vec<String> = Vec::new();
    for (index, alert) in spec.alerts.iter().enumerate() {
        let keys = [
            "above_baseline",
            "below_baseline",
            "baseline",
            "of",
            "clear_below",
            "clear_above",
            "clear_for",
            "significant",
        ];
        paths.extend(keys.iter().map(|key| format!("alerts[{index}].{key}")));
        if let Some(ForSpec::Duration(_)) = alert.persistence {
            paths.push(format!("alerts[{index}].for"));
        }
        if let Some(CohortsSpec::Values(values)) = &alert.cohorts
            && values.is_empty()
        {
            paths.push(format!("alerts[{index}].cohorts"));
        }
    }
    paths.extend((0..spec.slos.len()).map(|index| format!("slos[{index}]")));
    paths.iter().filter(|path| document.has(path)).map(|path| unsupported(document, path)).collect()
}

fn unsupported(document: &Document, path: &str) -> Diagnostic {
    document
        .error(path, "not-supported-yet", format!("`{path}` is not supported by this version"))
        .hint("remove it for now: a key that would be ignored is refused")
}
