//! Rows of all pages, with the fields that may name cohorts. A row that is not listed cannot be read for a page.

use super::Hide;
use crate::domain::shown::Shown;
use crate::notify;
use crate::store::read;
use crate::web::view::cohorts::Track;
use crate::web::view::series::Rows;

/// Implements [`Hide`] for rows: their fields that may name cohorts, or none.
macro_rules! rows {
    ($($row:ty: $($field:ident),* ;)*) => {
        $(impl Hide for $row {
            #[allow(unused_variables, reason = "rows without such fields")]
            fn hide(&mut self, shown: &Shown) {
                $(self.$field.hide(shown);)*
            }
        })*
    };
}

rows! {
    read::budget::AdjustmentRow: ;
    read::budget::CohortRow: cohort;
    read::budget::DayRow: ;
    read::budget::EvaluationRow: burn;
    read::budget::LeftRow: ;
    read::firing::MetricRow: ;
    read::firing::NewestVerdictRow: reason;
    read::firing::ShareRow: cohort;
    read::firing::VersionRow: ;
    read::firings::FiringRow: cohort, ended_because;
    read::firings::StripRow: reason;
    read::incident::EventRow: what;
    read::incident::NoteRow: text;
    read::incident::NotificationRow: failure;
    read::incidents::IncidentRow: decision;
    read::latency::LatencyRow: ;
    read::notifications::AttemptRow: failure;
    read::notifications::NotificationRow: failure;
    read::notifications::ReceiverRow: ;
    read::overview::BudgetRow: burn;
    read::overview::FiringRow: cohort;
    read::overview::JobRow: unsure_reason, last_run_failure;
    read::overview::RecentRow: ;
    read::parts::PartRow: cohort;
    read::residuals::BinRow: ;
    read::residuals::CellRow: ;
    read::residuals::HourRow: ;
    read::residuals::LeftOutRow: keys;
    read::residuals::SliceRow: ;
    read::residuals::SummaryRow: ;
    read::runs::ChangeRow: cohort, reason;
    read::runs::NoticeRow: ;
    read::runs::RunRow: failure, reason;
    read::runs::RunnerRow: ;
    read::samples::SampleRow: ;
    read::series::AnnotationRow: note;
    read::series::FinishedRow: ;
    read::series::Names: cohorts;
    read::series::OpenAlertRow: cohort, about;
    read::series::QuietRow: cohort;
    read::series::RevisionRow: ;
    read::series::TransitionRow: reason;
    read::series::VerdictRow: reason;
    read::server::ServerRow: ;
    read::silences::FiredRow: cohort;
    read::silences::SilenceRow: cohort, reason;
    read::versions::FirstRow: ;
    read::versions::SamePairsRow: ;
    read::window::AgeRow: ;
    read::window::JudgedRow: reason;
    read::window::MetricRow: ;
    read::window::RunRow: ;
    read::classes::NumbersRow: ;
    read::classes::ConfusionRow: label, decision;
    read::classes::BinRow: ;
    read::classes::GroupRow: cohort;
    read::cohorts::CellRow: cohort;
    read::cohorts::CohortRow: cohort;
    read::executive::KeptRow: ;
    read::executive::DayRow: ;
    read::executive::PooledRow: cohort;
    read::gate::NewestVerdictRow: cohort, reason;
    read::incident::ChangeRow: cohort, reason;
    read::incident::EvidenceRow: cohort, suppressed_by, evidence;
    read::notifications::Notification: row, body, recipients;
    read::window::FactsRow: cohort_values;
    notify::postmortem::Record: evidence, timeline;
    read::cohort_values::CohortRow: cohort;
    notify::postmortem::Frozen: cohort, evidence;
    notify::postmortem::Event: what;
    Rows: verdicts, transitions, annotations, silences;
    Track: row, cells;
}
