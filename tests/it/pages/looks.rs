//! How pages behave in a browser: accessible, narrow, dark, without scripts, by keyboard.

use serde_json::Value as Json;

use super::site::Site;
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
    let world = story::story().await;
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
    let world = story::story().await;
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

#[tokio::test(flavor = "multi_thread")]
async fn the_keyboard_leads_from_the_overview_to_a_job() {
    let world = story::story().await;
    let site = Site::pages(&world.db.url()).await;
    let Some(browser) = Browser::start(Screen { width: 1_280, ..Screen::default() }).await else { return };
    browser.open(&site.address("/")).await;
    for _ in 0..40 {
        browser.press("\u{e004}").await;
        let focused = browser.run("return document.activeElement.textContent.trim()").await;
        if focused == "load" {
            browser.press("\u{e007}").await;
            break;
        }
    }
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert_eq!(browser.run("return location.pathname").await, "/jobs/load");
}
