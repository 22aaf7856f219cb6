//! The demo tells its whole story, twice, and leaves nothing running.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::support::peers;
use crate::support::program::{Folder, Process, Run, has_program};

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

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_that_is_kept_serves_its_pages_until_it_is_stopped() {
    let folder = Folder::new("kept");
    let mut child = folder.trueup(&["demo", "--keep"]).stdout(Stdio::piped()).spawn().expect("the program");
    let said = BufReader::new(child.stdout.take().expect("stdout"));
    let mut demo = Process(child);
    let is_link = |line: &String| line.trim().starts_with("http://127.0.0.1:");
    let link = said.lines().map(|line| line.expect("text")).find(is_link).expect("a link to the pages");
    let page = peers::client().get(link.trim()).send().await.expect("an answer");
    assert_eq!(page.status().as_u16(), 200);
    let html = page.text().await.expect("text");
    assert!(html.contains("Day-ahead load forecast by region") && html.contains("<svg"), "{html}");
    demo.signal("INT");
    assert!(demo.0.wait().expect("its end").success());
    let stopped = folder.run(&["demo", "--stop"]).ok();
    assert!(stopped.stdout.contains("stopping the demo database"), "{}", stopped.stdout);
}
