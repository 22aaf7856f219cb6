//! Links in messages: every command that delivers fills them in where `[web] base_url` is set, and none guesses an address.

use serde_json::Value as Json;
use trueup::commands::demo::receivers::LocalReceiver;

use crate::peers::{WEB, paging};
use crate::support::program::{Folder, Run};
use crate::support::world::World;

/// Runs two hours, acknowledges, runs the third and sends a test. Returns the kind and both addresses of every body.
async fn delivered(name: &str, web: &str, templates: &str) -> (Vec<[String; 3]>, Run, World, Folder) {
    let world = paging("hook").await;
    let sink = LocalReceiver::http().await.expect("a server");
    let folder = Folder::new(name);
    let receiver = format!(
        "[receivers.hook]\ntype = \"webhook\"\nurl = \"http://{}\"\nallow_http = true\nallow_networks = [\"127.0.0.0/8\"]\n",
        sink.address
    );
    folder.write("jobs/hourly.toml", &world.job.spec).write("trueup.toml", &format!("{receiver}{templates}{web}"));
    let trueup = |arguments: &[&str]| folder.run_on(&world.db.url(), arguments).ok();
    trueup(&["run", "hourly", "--at", "2024-05-01T01:00:00Z"]);
    trueup(&["run", "hourly", "--at", "2024-05-01T02:00:00Z"]);
    trueup(&["alerts", "ack", "--incident", "1"]);
    trueup(&["run", "hourly", "--at", "2024-05-01T03:00:00Z"]);
    let test = trueup(&["notify", "test", "hook"]);
    let bodies = sink.book.all().into_iter().map(|request| serde_json::from_str::<Json>(&request.body).expect("JSON"));
    let texts = |body: Json| {
        let text = |value: &Json| value.as_str().unwrap_or("none").to_owned();
        [text(&body["kind"]), text(&body["url"]), text(&body["rules"][0]["alerts"][0]["url"])]
    };
    (bodies.map(texts).collect(), test, world, folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_that_delivers_links_to_the_incident_and_a_test_to_the_overview() {
    let templates = "templates = { title = \"{{ notice.job.name }} {{ notice.url }}\" }\n";
    let (bodies, test, world, folder) = delivered("linked", WEB, templates).await;
    let line = |kind: &str, page: &str, alert: &str| {
        let url =
            |path: &str| if path.is_empty() { "none".to_owned() } else { format!("https://trueup.example.org/{path}") };
        [kind.to_owned(), url(page), url(alert)]
    };
    let expected = [
        line("firing", "incidents/1", "alerts/1"),
        line("acknowledged", "incidents/1", "alerts/1"),
        line("resolved", "incidents/1", "alerts/1"),
        ["test".to_owned(), "https://trueup.example.org/".to_owned(), "none".to_owned()],
    ];
    assert_eq!(bodies, expected);
    assert!(test.stdout.ends_with("; it links to https://trueup.example.org/\n"), "{}", test.stdout);
    // Links depend on the settings of the sender, so the stored body has none.
    let stored: i64 = world.db.scalar("select count(*) from trueup.notification where body ? 'url'").await;
    assert_eq!(stored, 0);
    folder.run(&["check"]).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_address_of_the_pages_no_message_has_a_link() {
    let (bodies, test, _world, folder) = delivered("unlinked", "", "").await;
    let kinds = ["firing", "acknowledged", "resolved", "test"];
    assert_eq!(bodies, kinds.map(|kind| [kind.to_owned(), "none".to_owned(), "none".to_owned()]));
    assert!(!test.stdout.contains("it links to"), "{}", test.stdout);
    // A template that needs the link fails at `check`, not at night.
    let settings = std::fs::read_to_string(folder.0.join("trueup.toml")).expect("the settings");
    folder.write("trueup.toml", &format!("{settings}templates = {{ title = \"{{{{ notice.url }}}}\" }}\n"));
    let refused = folder.run(&["check"]);
    assert!(refused.code == Some(1) && refused.stdout.contains("bad-template"), "{}{}", refused.stdout, refused.stderr);
}
