//! How pages behave in a browser: accessible, narrow, dark, without scripts, by keyboard.

use serde_json::Value as Json;
use trueup::settings::Login;

use super::classes;
use super::site::{ActingSite, Site};
use crate::grafana::story;
use crate::support::browser::{Browser, Screen};
use crate::support::peers;

/// One page of each kind.
const PAGES: &[&str] = &[
    "/",
    "/jobs/load",
    "/jobs/load?cohort=region%3Dnorth&window=rolling+6h",
    "/jobs/load/cohorts",
    "/jobs/load/windows/rolling-6h/2025-05-02T10:00:00Z?cohort=region%3Dnorth",
    "/jobs/load/rules/rmse-high?cohort=region%3Dnorth",
    "/jobs/load/budget/near",
    "/jobs/load/versions",
    "/jobs/load/debug",
    "/jobs/load/definition",
    "/jobs/credit",
    "/jobs/credit/classes",
    "/jobs/credit/classes?cohort=region%3Da&version=v1",
    "/jobs/credit/debug",
    "/jobs/tickets/classes",
    "/incidents",
    "/incidents/1",
    "/runs",
    "/runs/1",
    "/deliveries",
    "/silences",
    "/executive",
    "/about",
];

/// Source of axe, which checks the rules of accessibility.
fn axe() -> Option<String> {
    let folder = peers::npm_with("axe-core")?;
    Some(std::fs::read_to_string(folder.join("axe-core/axe.min.js")).expect("axe"))
}

const AXE: &str = "const done = arguments[arguments.length - 1]; axe.run(document, { resultTypes: ['violations'] }).then(
    (found) => done(found.violations.map((v) => v.id + ': ' + v.nodes.map((n) => n.target.join(' ') + ' ' + n.failureSummary).join(' | '))),
    (error) => done(['axe failed: ' + error]));";

fn keep(name: &str, picture: &[u8]) {
    if let Some(folder) = std::env::var_os("TRUEUP_KEEP_PICTURES") {
        std::fs::write(std::path::Path::new(&folder).join(format!("{name}.png")), picture).expect("to keep it");
    }
}

fn name_of(path: &str) -> String {
    let name: String = path.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    name.trim_matches('-').chars().take(60).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_accessible_in_light_and_dark_and_break_no_policy() {
    let world = classes::scene().await;
    let site = Site::pages(&world.db.url()).await;
    let Some(axe) = axe() else { return };
    for is_dark in [false, true] {
        let screen = Screen { width: 1_280, is_dark, without_scripts: false };
        let Some(browser) = Browser::start(screen).await else { return };
        for path in PAGES {
            browser.open(&site.address(path)).await;
            browser.run(&axe).await;
            let found = browser.run_until_done(AXE).await;
            assert_eq!(found, Json::Array(vec![]), "{path}, dark: {is_dark}");
            assert_eq!(browser.console().await, Vec::<String>::new(), "{path}");
            let theme = if is_dark { "dark" } else { "light" };
            keep(&format!("{}-{theme}", name_of(path)), &browser.picture().await);
            browser.resize(1_280, 900).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_fit_narrow_screens_and_need_no_scripts() {
    let world = classes::scene().await;
    let site = Site::pages(&world.db.url()).await;
    let Some(browser) = Browser::start(Screen { width: 320, ..Screen::default() }).await else { return };
    for path in PAGES {
        for width in [320, 360, 1_280] {
            browser.resize(width, 900).await;
            browser.open(&site.address(path)).await;
            let wide = browser.run("return document.documentElement.scrollWidth").await;
            assert_eq!(wide, Json::from(width), "{path} scrolls sideways at {width} pixels");
        }
        browser.resize(360, 900).await;
        keep(&format!("{}-360", name_of(path)), &browser.picture().await);
    }
    let Some(plain) = Browser::start(Screen { width: 1_280, without_scripts: true, ..Screen::default() }).await else {
        return;
    };
    plain.open(&site.address("/jobs/load")).await;
    let text = plain.run("return document.querySelector('main').innerText").await;
    let text = text.as_str().expect("text");
    assert!(text.contains("rmse of rolling 6h") && text.contains("fires"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_executive_page_prints_on_one_sheet() {
    let world = story::story().await;
    let site = Site::pages(&world.db.url()).await;
    let screen = Screen { width: 1_280, is_dark: true, ..Screen::default() };
    let Some(browser) = Browser::start(screen).await else { return };
    browser.open(&site.address("/executive?month=2025-05")).await;
    let printed = browser.print().await;
    let text = String::from_utf8_lossy(&printed);
    let pages = text.matches("/Type /Page\n").count() + text.matches("/Type /Page/").count();
    assert_eq!((&printed[..5], pages), (&b"%PDF-"[..], 1));
}

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";

/// Presses Tab until the element with a text has the focus, then Enter. The focus must be visible all the way.
async fn press_on(browser: &Browser, wanted: &str) {
    let mut passed = Vec::new();
    for _ in 0..80 {
        browser.press(TAB).await;
        let focused = browser
            .run(
                "const e = document.activeElement, s = getComputedStyle(e);
                 return { text: (e.innerText || e.name || '').trim(), seen: s.outlineStyle !== 'none' && s.outlineWidth !== '0px' };",
            )
            .await;
        let text = focused["text"].as_str().unwrap_or_default().to_owned();
        assert!(focused["seen"] == true, "the focus on `{text}` is not visible");
        if text.starts_with(wanted) {
            return browser.press(ENTER).await;
        }
        passed.push(text);
    }
    panic!("the keyboard never reaches `{wanted}`: {passed:#?}");
}

/// Waits for a script to return true.
async fn until(browser: &Browser, condition: &str) {
    for _ in 0..100 {
        if browser.run(&format!("return document.readyState === 'complete' && ({condition})")).await == true {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let text = browser.run("return location.href + '\\n' + document.body.innerText").await;
    panic!("never `{condition}`: {}", text.as_str().unwrap_or_default());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keyboard_leads_from_the_overview_to_an_acknowledgement() {
    let world = story::story().await;
    let site = ActingSite::start(&world, Login::None, None).await;
    let Some(browser) = Browser::start(Screen { width: 1_280, ..Screen::default() }).await else { return };
    browser.open(&format!("{}/", site.base)).await;
    press_on(&browser, "load").await;
    until(&browser, "location.pathname === '/jobs/load'").await;
    press_on(&browser, "Open incident").await;
    until(&browser, "location.pathname.startsWith('/incidents/')").await;
    let incident = browser.run("return location.pathname.split('/')[2]").await;
    let incident: i64 = incident.as_str().expect("text").parse().expect("a number");
    press_on(&browser, "Acknowledge").await;
    until(&browser, "document.body.innerText.includes('Acknowledged. Repeats and escalation have stopped.')").await;
    let sql = format!(
        "select distinct a.action, a.author from trueup.alert_action_history a
         join trueup.incident_evidence_history e using (alert_id) where e.incident_id = {incident}"
    );
    assert_eq!(world.db.lines(&sql).await, ["acknowledged | kim"]);
    assert_eq!(browser.console().await, Vec::<String>::new());
}
