//! Templates of users: bounded in steps and in bytes, so that none of them can take the process along.

use std::process::Command;

use trueup::commands::demo::receivers::LocalReceiver;
use trueup::notify::message::samples;
use trueup::notify::template::{self, Templates};

use crate::support::database::TestDatabase;
use crate::support::program::{Folder, Run};
use crate::support::world::hourly;

/// Each would make gigabytes, or more calls than a stack holds, in a few steps.
const BOMBS: &[(&str, &str)] = &[
    ("batch", "{{ [1]|batch(1000000000, 'x')|list }}"),
    ("replace", "{{ (('x'*10000)|replace('x','y'*10000))|replace('y','z'*100) }}"),
    (
        "doubling by ~",
        "{% set ns = namespace(x='xxxxxxxx') %}{% for i in range(40) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x|length }}",
    ),
    (
        "doubling by +",
        "{% set ns = namespace(x='xxxxxxxx') %}{% for i in range(40) %}{% set ns.x = (ns.x) + ns.x %}{% endfor %}{{ ns.x|length }}",
    ),
    (
        "doubling a list",
        "{% set ns = namespace(x=[1]) %}{% for i in range(40) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x|length }}",
    ),
    (
        "a list of one list twice",
        "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x ~ '' }}",
    ),
    (
        "a list in a list",
        "{% set ns = namespace(x=[1]) %}{% for i in range(40000) %}{% set ns.x = [ns.x] %}{% endfor %}{{ 1 }}",
    ),
    (
        "a map in a map",
        "{% set ns = namespace(x=1) %}{% for i in range(40000) %}{% set ns.x = {'a': ns.x} %}{% endfor %}{{ 1 }}",
    ),
    (
        "dict in dict",
        "{% set ns = namespace(x=dict(a=1)) %}{% for i in range(40000) %}{% set ns.x = dict(a=ns.x) %}{% endfor %}{{ 1 }}",
    ),
    ("a namespace in itself", "{% set ns = namespace(x=1) %}{% set ns.x = ns %}{{ ns }}"),
    ("repetition", "{{ 'x' * 100000000 }}"),
    ("repetition of a list", "{{ [1] * 100000000 }}"),
    ("repetition turned round", "{{ 100000000 * 'xyz' }}"),
    ("repetition of repetition", "{{ ((('x' * 5000) * 5000) * 5000)|length }}"),
    ("repetition in a condition", "{% if 'x' * 100000000 %}x{% endif %}"),
    ("repetition in an argument", "{{ 'x'|replace('x', 'y' * 100000000)|length }}"),
    ("repetition in a default", "{% macro m(x='y' * 100000000) %}{{ x|length }}{% endmacro %}{{ m() }}"),
    ("repetition in a block", "{% filter replace('x', 'y' * 100000000) %}xxx{% endfilter %}"),
    ("repetition in a map", "{{ {'a': 'x' * 100000000} }}"),
    (
        "capture",
        "{% set ns = namespace(x='xxxxxxxx') %}{% for i in range(40) %}{% set y %}{{ ns.x }}{{ ns.x }}{% endset %}{% set ns.x = y %}{% endfor %}{{ ns.x|length }}",
    ),
    (
        "macros in macros",
        "{% macro a(x) %}{{ x }}{{ x }}{{ x }}{{ x }}{% endmacro %}{% set ns = namespace(x='xxxx') %}{% for i in range(30) %}{% set ns.x = a(a(ns.x)) %}{% endfor %}{{ ns.x|length }}",
    ),
    ("recursion", "{% macro a(x) %}{{ a(x ~ x) }}{% endmacro %}{{ a('x' * 1000) }}"),
    ("a recursive loop", "{% for x in [[1]] recursive %}{{ loop([x, x]) }}{% endfor %}"),
    (
        "calls",
        "{% macro a() %}{{ caller() }}{{ caller() }}{% endmacro %}{% call a() %}{% call a() %}{{ 'x' * 3000000 }}{% endcall %}{% endcall %}",
    ),
    ("text in a loop", "{% set x %}{% for i in range(100000) %}LONG{% endfor %}{% endset %}{{ x|length }}"),
    (
        "raw text in a loop",
        "{% set x %}{% for i in range(100000) %}{% raw %}{{LONG}}{% endraw %}{% endfor %}{% endset %}{{ x|length }}",
    ),
    ("join", "{{ range(50000)|join('x' * 100000)|length }}"),
    ("join of a text", "{{ ('x' * 100000)|join('y' * 100000)|length }}"),
    (
        "slices in lists",
        "{% set ns = namespace(l=[]) %}{% set s = 'x' * 1000000 %}{% for i in range(50000) %}{% set ns.l = [ns.l, s[1:]] %}{% endfor %}{{ 1 }}",
    ),
    (
        "slices of slices",
        "{% set ns = namespace(l=range(90000)) %}{% for i in range(40000) %}{% set ns.l = ns.l[0:] %}{% endfor %}{{ ns.l|length }}",
    ),
    ("slice", "{{ [1]|slice(1000000000)|list }}"),
    ("indent", "{{ ('x\n' * 100000)|indent(100000000) }}"),
    ("indent of many lines", "{{ ('x\n' * 1000000)|indent(999)|length }}"),
    ("format", "{{ '%1000000000d'|format(1) }}"),
    ("format with a width of its own", "{{ '%*d'|format(1000000000, 1) }}"),
    ("round", "{{ 1.5|round(1000000000) }}"),
    (
        "chain",
        "{% set ns = namespace(x=[1]) %}{% for i in range(40) %}{% set ns.x = ns.x|chain(ns.x) %}{% endfor %}{{ ns.x|list|length }}",
    ),
    (
        "zip",
        "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = ns.x|zip(ns.x)|list %}{% endfor %}{{ ns.x }}",
    ),
    (
        "map of map",
        "{% set ns = namespace(x=[1]) %}{% for i in range(40000) %}{% set ns.x = ns.x|map('string') %}{% endfor %}{{ ns.x|list }}",
    ),
    ("pprint", "{% set ns = namespace(x='\\n' * 1000000) %}{{ [ns.x, ns.x, ns.x, ns.x]|pprint|length }}"),
    ("split", "{{ ('x ' * 1000000)|split(' ')|list|length }}"),
    (
        "escapes of escapes",
        "{% set ns = namespace(x='<<<<<<<<') %}{% for i in range(40) %}{% set ns.x = ns.x|string|replace('&', '&&&&')|replace('<', '&<') %}{% endfor %}{{ ns.x|length }}",
    ),
    ("loop.cycle", "{% for i in range(3) %}{{ loop.cycle('x' * 100000000, 'y') }}{% endfor %}"),
    ("powers", "{{ 10 ** 1000000000 }}"),
    ("all variables", "{{ debug() }}"),
];

fn template(bomb: &str) -> String {
    bomb.replace("LONG", &"x".repeat(20_000))
}

/// With a gigabyte of addresses nothing aborts: `check` names the template and says why.
#[test]
fn no_template_takes_more_memory_than_it_may() {
    let folder = Folder::new("templates");
    folder.write("jobs/hourly.toml", &hourly("[windows]\ntumbling = [\"1h\"]\n"));
    for (name, bomb) in BOMBS {
        let settings = format!(
            "[receivers.hook]\ntype = \"webhook\"\nurl = \"https://example.org/\"\ntemplates = {{ text = {} }}\n",
            toml_text(&template(bomb))
        );
        folder.write("trueup.toml", &settings);
        let mut check = Command::new("sh");
        check.arg("-c").arg("ulimit -v 1000000; exec \"$0\" check").arg(env!("CARGO_BIN_EXE_trueup"));
        check.current_dir(&folder.0).env_remove("DATABASE_URL").env("NO_COLOR", "1");
        let started = std::time::Instant::now();
        let run = Run::of(check.output().expect("the program"));
        assert_eq!(run.code, Some(1), "{name}: {}{}", run.stdout, run.stderr);
        assert!(run.stdout.contains("error[bad-template]: the template fails"), "{name}: {}", run.stdout);
        let reasons =
            ["too much", "too large", "too deeply", "that is too", "fuel", "recursi", "calculate", "is unknown"];
        assert!(reasons.iter().any(|reason| run.stdout.contains(reason)), "{name}: {}", run.stdout);
        assert!(started.elapsed().as_secs() < 20, "{name} took {:?}", started.elapsed());
    }
}

fn toml_text(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

/// Where a message is written it goes out in our words, and says why.
#[test]
fn a_template_that_is_stopped_costs_nobody_the_message() {
    for (name, bomb) in BOMBS {
        let templates = Templates { text: Some(template(bomb)), ..Templates::default() };
        let mut notice = samples::notice("firing", "region=north");
        templates.fill(&mut notice);
        assert!(notice.text.contains("(the template `text` failed: "), "{name}: {}", notice.text);
        assert!(notice.text.contains("rmse-high") && notice.text.len() < 20_000, "{name}");
    }
}

/// A page of two thousand alerts is written by an ordinary template.
#[test]
fn a_large_message_leaves_room_for_its_template() {
    let mut notice = samples::notice("firing", "region=north");
    let alert = notice.rules[0].alerts[0].clone();
    notice.rules[0].alerts = vec![alert; 2_000];
    let text = "{% for rule in notice.rules %}{% for a in rule.alerts %}{{ a.cohort ~ ' ' ~ a.value|round(1) }}\n{% endfor %}{{ rule.alerts|length }}{% endfor %}";
    let rendered = template::render("text", text, &notice).expect("it has room");
    assert!(rendered.contains("region=north 412.3"), "{rendered}");
}

/// What Teams, Discord or Google Chat get: their own shape, whatever the words are.
#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_posts_a_body_in_the_shape_that_the_settings_give() {
    let db = TestDatabase::new().await;
    let hook = LocalReceiver::http().await.expect("a receiver");
    let folder = Folder::new("own-body");
    let settings = format!(
        r#"
[receivers.hook]
type = "webhook"
url = "http://{}/"
allow_http = true
allow_networks = ["127.0.0.0/8"]
[receivers.hook.templates]
title = "about \"{{{{ notice.job.name }}}}\""
[receivers.hook.templates.body]
type = "message"
important = true
parts = [{{ size = 2, text = "{{{{ notice.title }}}}" }}, {{ text = "{{{{ notice.kind }}}}\n{{{{ notice.text[:10] }}}}" }}]
"#,
        hook.address
    );
    folder.write("trueup.toml", &settings);
    let mut command = folder.trueup(&["notify", "test", "hook"]);
    let sent = command.env("DATABASE_URL", db.url()).output().expect("the program");
    let sent = Run::of(sent).ok();
    assert!(sent.stdout.contains("accepted the test message"), "{}", sent.stdout);
    let received = hook.book.all().pop().expect("a request");
    let body: serde_json::Value = serde_json::from_str(&received.body).expect("JSON");
    assert_eq!(body["type"], "message");
    assert_eq!(body["important"], true);
    assert_eq!((&body["parts"][0]["size"], &body["parts"][0]["text"]), (&2.into(), &"about \"load\"".into()));
    let text = body["parts"][1]["text"].as_str().expect("a text");
    assert!(text.starts_with("test\n") && text.chars().count() == 15, "{text}");
    assert!(received.header("webhook-id").is_some());
}

#[test]
fn a_body_that_fails_or_has_no_effect_is_said_by_check() {
    let folder = Folder::new("wrong-body");
    folder.write("jobs/hourly.toml", &hourly("[windows]\ntumbling = [\"1h\"]\n"));
    let hook = "type = \"webhook\"\nurl = \"https://example.org/\"";
    let mail =
        "type = \"email\"\nto = [\"a@example.org\"]\nfrom = \"b@example.org\"\nsmtp = { host = \"m.example.org\" }";
    for (receiver, body, words) in [
        (hook, "{ text = \"{{ notice.nothing }}\" }", "error[bad-template]: the body fails on a sample message"),
        (hook, "{ parts = [{ text = \"{{ notice\" }] }", "error[bad-template]: the body fails on a sample message"),
        (hook, "{ size = 1 }", "the body contains no string"),
        (hook, "{ text = \"x\", day = 2026-01-01 }", "write the date as a string"),
        (mail, "{ text = \"x\" }", "a receiver that is not a webhook"),
        (&format!("{hook}\nformat = \"slack\""), "{ text = \"x\" }", "a webhook with a `format`"),
    ] {
        folder.write("trueup.toml", &format!("[receivers.one]\n{receiver}\ntemplates = {{ body = {body} }}\n"));
        let run = folder.run(&["check"]);
        assert_eq!(run.code, Some(1), "{body}: {}{}", run.stdout, run.stderr);
        assert!(run.stdout.contains(words), "{body}: {}", run.stdout);
    }
}
