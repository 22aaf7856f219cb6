//! A real browser, driven by WebDriver: Debian's chromium and its driver.
//!
//! The protocol is a few requests of JSON. A client library would turn on features of serde_json for every test, and the
//! program under test would write its JSON in another order than the one that is released.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value as Json, json};

use super::peers;
use super::program::{Folder, Process};

/// A browser window. It is closed with the value.
pub struct Browser {
    client: reqwest::Client,
    session: String,
    _driver: Process,
    _folder: Folder,
}

/// How the browser presents itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Screen {
    pub width: u32,
    pub is_dark: bool,
    pub without_scripts: bool,
}

impl Browser {
    /// Starts a browser; `None`, with a word in the output, where none is installed.
    pub async fn start(screen: Screen) -> Option<Self> {
        let driver = peers::find(&["chromedriver"])?;
        let browser = peers::find(&["chromium", "chromium-browser"])?;
        let folder = Folder::new("browser");
        let port = peers::free_port();
        let mut command = Command::new(driver);
        command.arg(format!("--port={port}")).env("HOME", &folder.0);
        let process = peers::start(&mut command, port);
        let client = peers::client();
        let address = format!("http://127.0.0.1:{port}/session");
        let answer: Json = post(&client, &address, &capabilities(&browser, &folder, screen)).await;
        let id = answer["sessionId"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
        let browser = Self { client, session: format!("{address}/{id}"), _driver: process, _folder: folder };
        browser.resize(screen.width, 900).await;
        Some(browser)
    }

    pub async fn resize(&self, width: u32, height: u32) {
        // A window is not narrower than 500 pixels; a device is.
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    /// Sends a command of the browser's own protocol.
    pub async fn devtools(&self, command: &str, parameters: Json) -> Json {
        self.post("goog/cdp/execute", json!({ "cmd": command, "params": parameters })).await
    }

    pub async fn open(&self, address: &str) {
        self.post("url", json!({ "url": address })).await;
    }

    /// Runs a script, which the page's policy does not restrict, and returns what it returns.
    pub async fn run(&self, script: &str) -> Json {
        self.post("execute/sync", json!({ "script": script, "args": [] })).await
    }

    /// Runs a script that calls its last argument when it is done.
    pub async fn run_until_done(&self, script: &str) -> Json {
        self.post("execute/async", json!({ "script": script, "args": [] })).await
    }

    /// Presses keys, one after the other. Tab is U+E004, Enter U+E007.
    pub async fn press(&self, keys: &str) {
        let actions: Vec<Json> = keys
            .chars()
            .flat_map(|key| {
                let key = key.to_string();
                [json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })]
            })
            .collect();
        self.post("actions", json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] })).await;
    }

    /// Messages of the console since the last call, errors and violations of the policy among them.
    pub async fn console(&self) -> Vec<String> {
        let log = self.post("se/log", json!({ "type": "browser" })).await;
        let entries = log.as_array().cloned().unwrap_or_default();
        entries.iter().map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// A picture of the whole page.
    pub async fn picture(&self) -> Vec<u8> {
        let height = self.run("return document.documentElement.scrollHeight").await.as_u64().unwrap_or(900);
        let width = self.run("return innerWidth").await.as_u64().unwrap_or(1_200);
        self.resize(u32::try_from(width).unwrap(), u32::try_from(height.clamp(400, 8_000)).unwrap()).await;
        let answer = self.client.get(format!("{}/screenshot", self.session)).send().await.expect("an answer");
        let answer: Json = answer.json().await.expect("JSON");
        let text = answer["value"].as_str().unwrap_or_else(|| panic!("{answer}"));
        base64::engine::general_purpose::STANDARD.decode(text).expect("base64")
    }

    /// The page as it prints, as a PDF.
    pub async fn print(&self) -> Vec<u8> {
        let text = self.post("print", json!({ "background": true })).await;
        base64::engine::general_purpose::STANDARD.decode(text.as_str().expect("a PDF")).expect("base64")
    }

    async fn post(&self, path: &str, body: Json) -> Json {
        post(&self.client, &format!("{}/{path}", self.session), &body).await
    }
}

impl Drop for Browser {
    /// Ends the session, which closes the browser: killing only the driver would leave it running.
    fn drop(&mut self) {
        let rest = self.session.trim_start_matches("http://");
        let Some((host, path)) = rest.split_once('/') else { return };
        let Ok(mut stream) = TcpStream::connect(host) else { return };
        let request = format!("DELETE /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        drop(stream.set_read_timeout(Some(Duration::from_secs(20))));
        if stream.write_all(request.as_bytes()).is_ok() {
            // The answer comes once the browser has ended; the driver keeps the connection open.
            let mut answer = [0; 1_024];
            drop(stream.read(&mut answer));
        }
    }
}

fn capabilities(browser: &PathBuf, folder: &Folder, screen: Screen) -> Json {
    let mut arguments = vec![
        "--headless".to_owned(),
        "--no-sandbox".to_owned(),
        "--disable-gpu".to_owned(),
        "--disable-dev-shm-usage".to_owned(),
        "--disable-quic".to_owned(),
        "--no-first-run".to_owned(),
        "--hide-scrollbars".to_owned(),
        "--disable-background-networking".to_owned(),
        "--disable-component-update".to_owned(),
        "--disable-sync".to_owned(),
        format!("--user-data-dir={}", folder.0.join("profile").display()),
        format!("--window-size={},900", screen.width.max(500)),
    ];
    if screen.is_dark {
        arguments.push("--blink-settings=preferredColorScheme=0".to_owned());
    }
    if screen.without_scripts {
        arguments.push("--blink-settings=scriptEnabled=false".to_owned());
    }
    json!({ "capabilities": { "alwaysMatch": {
        "goog:chromeOptions": { "binary": browser, "args": arguments },
        "goog:loggingPrefs": { "browser": "ALL" },
        "timeouts": { "script": 60_000, "pageLoad": 60_000 },
    } } })
}

async fn post(client: &reqwest::Client, address: &str, body: &Json) -> Json {
    let sent = client.post(address).json(body).timeout(Duration::from_secs(120)).send().await.expect("the driver");
    let answer: Json = sent.json().await.expect("JSON");
    assert!(answer["value"]["error"].is_null(), "{address}: {answer}");
    answer["value"].clone()
}
