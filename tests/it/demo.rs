//! The demo tells its whole story, twice, and leaves nothing running.

use crate::support::program::{Folder, Run, has_program};

#[test]
fn the_demo_tells_its_story_and_can_be_repeated() {
    let folder = Folder::new("demo");
    for _ in 0..2 {
        // Whoever works with another Postgres has these set.
        let elsewhere = [("PGHOST", "/nowhere"), ("PGPORT", "5499"), ("PGUSER", "nobody"), ("PGDATABASE", "none")];
        let run = Run::of(folder.trueup(&["demo"]).envs(elsewhere).output().expect("the program")).ok();
        let said = |words: &str| assert!(run.stdout.contains(words), "`{words}` is not in\n{}", run.stdout);
        said("[[alerts]]");
        said("289 runs in");
        said("2025-05-01 09:30  FIRING    rmse-high region=north: rmse 533.1 MW, limit 450 MW");
        said("2025-05-02 00:15  RESOLVED  rmse-high region=north");
        said("Subject: [PAGE] load: rmse 533.1 MW for region=north");
        said("Runbook: https://runbooks.example.org/load");
        said("webhook-signature: v1,");
        said("\"schema\": \"trueup/v1\"");
        said("psql \"host=");
        said("port=5432");
        said("demo --keep");
        if has_program("psql") {
            said("| 59 of 96 |   154.1");
            said("| 95 of 96 |   232.3");
            said("region=north | v2");
        }
        assert!(!run.stdout.contains('\u{1b}'), "NO_COLOR is honoured");
    }
}
