//! Acts over the API: the checks, the record and the refusals are those of the forms.

use reqwest::RequestBuilder;
use serde_json::{Value as Json, json};
use trueup::settings::{Login, Proxy};

use super::{Server, concrete, world};
use crate::pages::site::ActingSite;
use crate::support::peers;
use crate::support::world::World;

/// A program with the token.
struct Acting(ActingSite);

impl Acting {
    async fn new(world: &World, login: Login) -> Self {
        Self(ActingSite::start(world, login, Some("s3cret")).await)
    }

    fn url(&self, path: &str) -> String {
        format!("{}/api/v1{path}", self.0.base)
    }

    fn post(&self, path: &str, body: &Json) -> RequestBuilder {
        peers::client().post(self.url(path)).bearer_auth("s3cret").json(body)
    }

    /// Sends an act of a program that names `lee`. Returns status and answer.
    async fn act(&self, path: &str, body: Json) -> (u16, Json) {
        answer(self.post(&format!("{path}?by=lee"), &body)).await
    }

    async fn done(&self, path: &str, body: Json) -> Json {
        let (status, answer) = self.act(path, body).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }
}

async fn answer(request: RequestBuilder) -> (u16, Json) {
    let answer = request.send().await.expect("an answer");
    let (status, kind) = (answer.status().as_u16(), answer.headers()["content-type"].to_str().unwrap().to_owned());
    assert_eq!(kind, if status == 200 { "application/json" } else { "application/problem+json" });
    (status, answer.json().await.expect("JSON"))
}

/// Paths of the document that take a body.
fn acts(document: &Json) -> Vec<String> {
    let paths = document["paths"].as_object().expect("paths").iter();
    let taking = paths.filter(|(_, operations)| operations["post"].get("requestBody").is_some());
    taking.map(|(path, _)| path.replace("{alert}", "1").replace("{silence}", "1")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_process_and_a_caller_who_may_not_act_are_refused_every_act() {
    let world = world().await;
    let server = Server::start(&world).await;
    let proxy = Proxy {
        from: vec!["127.0.0.0/8".parse().unwrap()],
        user: "x-user".to_owned(),
        groups: Some("x-groups".to_owned()),
        act: vec!["oncall".to_owned()],
    };
    let acting = Acting::new(&world, Login::Proxy(proxy)).await;
    let paths = acts(&server.json("/openapi.json").await);
    assert_eq!(paths.len(), 11, "{paths:#?}");
    for path in paths {
        let path = concrete(&path);
        let url = server.url(&format!("/api/v1{path}"));
        let (status, words) = server.refusal(peers::client().post(&url).bearer_auth("s3cret").body("{}")).await;
        assert!(status == 403 && words.contains("`trueup serve`"), "{path}: {status} {words}");
        assert_eq!(server.refusal(peers::client().post(&url).json(&json!({}))).await.0, 401, "{path}");
        // Behind a proxy, its groups say who may act: the token says nothing about its sender.
        assert_eq!(acting.act(&path, json!({})).await.0, 403, "{path}");
        let reader = peers::client().post(acting.url(&path)).header("x-user", "kim");
        assert_eq!(answer(reader.json(&json!({}))).await.0, 403, "{path}");
    }
    let member = peers::client().post(acting.url("/incidents/1/notes"));
    let member = member.header("x-user", "kim").header("x-groups", "oncall").json(&json!({"text": "seen"}));
    assert_eq!(answer(member).await.1["by"], "kim");
}

#[tokio::test(flavor = "multi_thread")]
async fn acts_are_recorded_with_their_author_and_count_only_for_what_was_seen() {
    let world = world().await;
    let api = Acting::new(&world, Login::Token).await;
    let lines = async |sql: &str| world.db.lines(sql).await;
    let firing = "select id::text from trueup.alert where state = 'firing' order by id";
    let ids: Vec<i64> = lines(firing).await.iter().map(|id| id.parse().unwrap()).collect();
    assert!(!ids.is_empty());
    let (status, changed) = api.act("/incidents/1/ack", json!({"seen": "2024-05-01T00:00:00Z"})).await;
    assert_eq!(status, 409, "{changed}");
    let detail = changed["detail"].as_str().unwrap();
    assert!(detail.contains("have changed since") && detail.contains("r for all is firing"), "{detail}");
    assert_eq!(lines("select count(*)::text from trueup.alert_action").await, ["0"]);
    let asked = peers::client().get(api.url("/incidents/1")).bearer_auth("s3cret");
    let detail: Json = asked.send().await.unwrap().json().await.unwrap();
    let changes = detail["firings"].as_array().unwrap().iter().filter_map(|alert| alert["changed_at"].as_str());
    let seen = changes.max().expect("a change").to_owned();
    let acked = api.done("/incidents/1/ack", json!({"seen": seen, "note": "on it"})).await;
    assert_eq!((&acked["done"], &acked["by"], &acked["alerts"]), (&"acknowledged".into(), &"lee".into(), &json!(ids)));
    assert_eq!(acked["url"], "/incidents/1");
    assert_eq!(api.done("/incidents/1/ack", json!({})).await["done"], "already");
    assert_eq!(api.done("/alerts/1/ack", json!({"note": null, "seen": null})).await["done"], "already");
    let recorded = lines("select distinct action, author, note from trueup.alert_action_history").await;
    assert_eq!(recorded, ["acknowledged | lee | on it"]);

    assert_eq!(api.done("/incidents/1/notes", json!({"text": "<b>meter</b>"})).await["done"], "noted");
    assert_eq!(api.done("/incidents/1/decision", json!({"decision": "rollback"})).await["done"], "decided");
    assert_eq!(api.done("/alerts/1/mark", json!({"mark": "useful"})).await["done"], "marked");
    assert_eq!(api.done("/incidents/1/mark", json!({"mark": "false_alarm", "note": "x"})).await["done"], "marked");
    let stored = lines("select kind, author, text, alert_id from trueup.incident_note order by id").await;
    let expected = [
        "note | lee | <b>meter</b> | -",
        "decision | lee | rollback | -",
        "useful | lee |  | 1",
        "false_alarm | lee | x | -",
    ];
    assert_eq!(stored, expected);

    let resolved = api.done("/incidents/1/resolve", json!({"note": "meter replaced"})).await;
    assert_eq!((&resolved["done"], &resolved["alerts"]), (&"resolved".into(), &json!(ids)));
    assert_eq!(lines(firing).await, Vec::<String>::new());
    let (status, nothing) = api.act("/alerts/1/resolve", json!({"note": "again"})).await;
    assert!(status == 409 && nothing["detail"].as_str().unwrap().contains("none of these alerts fires"), "{nothing}");
}

#[tokio::test(flavor = "multi_thread")]
async fn silences_are_previewed_created_and_ended_and_changes_are_annotated() {
    let world = world().await;
    let api = Acting::new(&world, Login::Token).await;
    let silence = json!({"job": "hourly", "rule": "r", "for": "2h", "reason": "meters", "preview": true});
    let previewed = api.done("/silences", silence.clone()).await;
    let ids = world
        .db
        .scalar::<Vec<i64>>("select array_agg(id order by id) from trueup.alert where state = 'firing' and rule = 'r'")
        .await;
    let sorted = |answer: &Json| {
        let mut ids: Vec<i64> = answer["alerts"].as_array().unwrap().iter().filter_map(Json::as_i64).collect();
        ids.sort_unstable();
        ids
    };
    assert_eq!((&previewed["done"], sorted(&previewed)), (&"previewed".into(), ids.clone()));
    assert_eq!(world.db.scalar::<i64>("select count(*) from trueup.silence").await, 0);
    let mut silence = silence;
    silence["preview"] = false.into();
    let made = api.done("/silences", silence).await;
    assert_eq!((&made["silence_id"], sorted(&made)), (&1.into(), ids));
    let row = "select job, rule, reason, author, in_force, round(extract(epoch from ends_at - starts_at)) from trueup.silence_history";
    assert_eq!(world.db.lines(row).await, ["hourly | r | meters | lee | true | 7200"]);
    assert_eq!(api.done("/silences/1/expire", json!({})).await["done"], "expired");
    assert_eq!(api.act("/silences/1/expire", json!({})).await.0, 409);
    let annotated = json!({"kind": "deploy", "at": "2024-05-01T00:30:00Z", "note": "v2", "suppress": "1h"});
    let annotated = api.done("/jobs/hourly/annotations", annotated).await;
    assert_eq!((&annotated["done"], &annotated["at"]), (&"annotated".into(), &"2024-05-01T00:30:00Z".into()));
    let stored =
        world.db.lines("select kind, note, author, starts_at = '2024-05-01T00:30Z' from trueup.annotation").await;
    assert_eq!(stored, ["deploy | v2 | lee | true"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_acts_say_what_to_write_and_change_nothing() {
    let world = world().await;
    let api = Acting::new(&world, Login::Token).await;
    let long = "x".repeat(2_001);
    for (path, body, status, words) in [
        ("/incidents/99/ack", json!({}), 404, "There is no incident 99"),
        ("/incidents/x/ack", json!({}), 404, "There is no incident `x`"),
        ("/alerts/99/ack", json!({}), 404, "There is no alert 99"),
        ("/incidents/1/ack", json!({"nte": "x"}), 400, "unknown field `nte`"),
        ("/incidents/1/ack", json!({"seen": "noon"}), 400, "the body cannot be read"),
        ("/incidents/1/ack", json!({"note": long}), 400, "longer than 2000"),
        ("/incidents/1/ack", json!({"note": "a\u{0}b"}), 400, "NUL"),
        ("/incidents/1/resolve", json!({}), 400, "`note` is needed"),
        ("/incidents/1/notes", json!({"text": "  "}), 400, "`text` is needed"),
        ("/incidents/99/notes", json!({"text": "a"}), 404, "There is no incident 99"),
        ("/incidents/1/decision", json!({"decision": "pray"}), 400, "must be one of rollback"),
        ("/alerts/1/mark", json!({"mark": "fine"}), 400, "must be one of useful"),
        ("/silences", json!({"for": "2h", "reason": ""}), 400, "`reason` is needed"),
        ("/silences", json!({"for": "", "reason": "x"}), 400, "`for` is needed"),
        ("/silences", json!({"for": "900d", "reason": "x"}), 400, "at most a year"),
        ("/silences", json!({"for": "2h", "reason": "x", "job": "other"}), 400, "there is no job `other`"),
        ("/silences", json!({"for": "2h", "reason": "x", "severity": "loud"}), 400, "must be one of page"),
        ("/silences/9/expire", json!({}), 409, "not in force"),
        ("/jobs/other/annotations", json!({"kind": "deploy"}), 404, "There is no job"),
        ("/jobs/hourly/annotations", json!({"kind": "party"}), 400, "must be one of deploy"),
        ("/jobs/hourly/annotations", json!([]), 400, "the body cannot be read"),
    ] {
        let (given, problem) = api.act(path, body).await;
        let said = problem["detail"].as_str().unwrap_or_default();
        assert!(given == status && said.contains(words), "{path}: {given} {said}");
    }
    let url = api.url("/incidents/1/ack");
    let form = peers::client().post(&url).bearer_auth("s3cret").header("content-type", "text/plain").body("note=x");
    assert_eq!(answer(form).await.0, 415);
    let foreign = peers::client().post(&url).bearer_auth("s3cret").header("sec-fetch-site", "cross-site");
    assert_eq!(foreign.json(&json!({})).send().await.unwrap().status().as_u16(), 403);
    let large = api.post("/incidents/1/notes", &json!({"text": "x".repeat(70_000)}));
    assert_eq!(answer(large).await.0, 413);
    assert_eq!(answer(api.post("/incidents/1/ack?by=%20", &json!({}))).await.0, 400, "not a name");
    assert_eq!(answer(api.post("/incidents/1/ack", &json!({}))).await.0, 200);
    let touched = "select count(*) from trueup.silence union all select count(*) from trueup.annotation
                   union all select count(*) from trueup.incident_note";
    assert_eq!(world.db.lines(touched).await, ["0", "0", "0"]);
    let author = "select distinct author from trueup.alert_action_history";
    assert_eq!(world.db.lines(author).await, ["token"], "a program that names nobody");
}
