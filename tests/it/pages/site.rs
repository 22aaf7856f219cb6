//! Pages of a history, served by the program as users start it.

use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use trueup::postgres::connect;
use trueup::settings::Login;
use trueup::web::{self, Acts};

use crate::support::peers;
use crate::support::program::{Folder, Process};
use crate::support::world::World;

/// A running `trueup web` or `serve`.
pub struct Site {
    pub port: u16,
    pub folder: Folder,
    _process: Process,
}

/// Pages and API that act, as `serve` has them, in the process of the test.
pub struct ActingSite {
    /// Scheme, host and port.
    pub base: String,
    _stop: watch::Sender<bool>,
}

impl ActingSite {
    /// Starts pages for the user `kim`, read as the role of analysts.
    pub async fn start(world: &World, login: Login, token: Option<&str>) -> Self {
        let options = world.db.options.clone().options([("role", "trueup_reader")]);
        let reader = connect::reading_pool(options, 4, Duration::from_secs(5)).await.expect("a pool");
        let (stop, stopped) = watch::channel(false);
        let site = web::Site {
            reader,
            acts: Some(Acts { pool: world.db.pool.clone(), routing: world.routing.clone() }),
            runner: None,
            token: token.map(|token| token.to_owned().into()),
            hosts: Vec::new(),
            login,
            local_user: "kim".to_owned(),
            links: None,
            embed: Vec::new(),
            badges: Vec::new(),
            zone: chrono_tz::Tz::UTC,
            retention: web::Retention::default(),
        };
        let bound = web::listen("127.0.0.1:0".parse().unwrap(), site, stopped).await.expect("pages");
        Self { base: format!("http://{bound}"), _stop: stop }
    }
}

/// An answer.
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: String,
}

impl Site {
    /// Starts the pages of a database. `settings` is the settings file, where `PORT` stands for the port.
    pub async fn start(url: &str, command: &[&str], settings: &str) -> Self {
        let folder = Folder::new("pages");
        let port = peers::free_port();
        folder.write("trueup.toml", &settings.replace("PORT", &port.to_string()));
        let mut program = folder.trueup(command);
        program.env("DATABASE_URL", url).env("TRUEUP_WEB_TOKEN", "s3cret").env("USER", "kim");
        let log = std::fs::File::create(folder.0.join("log")).expect("a file");
        let process = Process(program.stdout(Stdio::null()).stderr(log).spawn().expect("the program"));
        let site = Self { port, folder, _process: process };
        let deadline = Instant::now() + Duration::from_secs(40);
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            let log = std::fs::read_to_string(site.folder.0.join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "the pages do not listen\n{log}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        site
    }

    /// Pages alone, without sign-in.
    pub async fn pages(url: &str) -> Self {
        Self::start(url, &["web"], "[web]\nlisten = \"127.0.0.1:PORT\"\n").await
    }

    pub fn address(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Asks for a page without following redirects.
    pub async fn get(&self, path: &str) -> Answer {
        self.ask(reqwest::Method::GET, path, &[], None).await
    }

    /// Sends a request with headers, and a form.
    pub async fn ask(
        &self,
        method: reqwest::Method,
        path: &str,
        headers: &[(&str, &str)],
        form: Option<&[(&str, &str)]>,
    ) -> Answer {
        trueup::notify::transport::http::install_tls();
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
        let mut request = client.request(method, self.address(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(form) = form {
            let fields: Vec<(String, Option<String>)> =
                form.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned()))).collect();
            let pairs: Vec<(&str, Option<&str>)> =
                fields.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
            let body = trueup::text::links::with_query("", &pairs);
            request = request
                .header("content-type", "application/x-www-form-urlencoded")
                .body(body.trim_start_matches('?').to_owned());
        }
        let answer = request.send().await.expect("an answer");
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Answer { status, headers, body: answer.text().await.expect("text") }
    }
}

/// All values of an attribute in HTML, unescaped.
pub fn attributes(html: &str, name: &str) -> Vec<String> {
    let mark = format!(" {name}=\"");
    html.split(&mark).skip(1).filter_map(|rest| rest.split('"').next()).map(unescaped).collect()
}

/// Texts of elements that begin with this mark.
pub fn texts(html: &str, open: &str, close: &str) -> Vec<String> {
    html.split(open).skip(1).filter_map(|rest| rest.split(close).next()).map(unescaped).collect()
}

pub fn unescaped(text: &str) -> String {
    text.replace("&#39;", "'")
        .replace("&#34;", "\"")
        .replace("&quot;", "\"")
        .replace("&#60;", "<")
        .replace("&lt;", "<")
        .replace("&#62;", ">")
        .replace("&gt;", ">")
        .replace("&#38;", "&")
        .replace("&amp;", "&")
}
