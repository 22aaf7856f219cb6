//! Several predictions for one label, as the documentation has it.

use crate::docs::{blocks, commands, page};
use crate::support::database::TestDatabase;
use crate::support::program::{Folder, Run};

#[tokio::test(flavor = "multi_thread")]
async fn each_lead_time_has_its_own_error_against_one_label() {
    let db = TestDatabase::new().await;
    let folder = Folder::new("leads");
    let mut done = 0;
    for (kind, body) in blocks(&page("lead-times.md")) {
        match kind.as_str() {
            "sql" => db.execute(&body).await,
            "toml" => _ = folder.write("jobs/wind.toml", &body),
            _ => {
                for (line, arguments) in commands(&body) {
                    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                    let ran = Run::of(folder.trueup(&arguments).env("DATABASE_URL", db.url()).output().unwrap());
                    assert_eq!(ran.code, Some(0), "`{line}`: {}{}", ran.stdout, ran.stderr);
                    done += 1;
                }
            }
        }
    }
    assert_eq!(done, 3);
    // By hand: every forecast of a lead is off by that lead.
    let by_lead =
        "select cohort, round(rmse::numeric, 6)::text, labeled = predictions as complete from trueup.window_history
                   where window_name = 'rolling 24h' and cohort <> 'all' and labeled > 0 order by rmse";
    let lines = db.lines(by_lead).await;
    let expected = ["lead_hours=1 | 1.000000", "lead_hours=6 | 6.000000", "lead_hours=24 | 24.000000"];
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.starts_with(expected), "{lines:?}");
    }
    assert_eq!(lines.len(), 3, "{lines:?}");
    let same = "select count(distinct predictions)::bigint from trueup.window_history where window_name = 'rolling 24h' and cohort <> 'all'";
    assert_eq!(db.scalar::<i64>(same).await, 1, "each lead has as many predictions as the others");
}
