//! Stylesheet, script and icon: part of the program, under names that change with their content.

use std::fmt::Write as _;
use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest as _, Sha256};

const CSS: &str = concat!(include_str!("assets/app.css"), include_str!("assets/chart.css"));
const JS: &str = include_str!("assets/app.js");
const ICON: &str = include_str!("assets/favicon.svg");

/// An asset with its path.
struct Asset {
    path: String,
    kind: &'static str,
    content: &'static str,
}

static ASSETS: LazyLock<[Asset; 3]> = LazyLock::new(|| {
    [
        asset("app", "css", "text/css; charset=utf-8", CSS),
        asset("app", "js", "text/javascript; charset=utf-8", JS),
        asset("favicon", "svg", "image/svg+xml", ICON),
    ]
});

fn asset(name: &str, ending: &str, kind: &'static str, content: &'static str) -> Asset {
    let digest = Sha256::digest(content.as_bytes());
    let mut path = format!("/assets/{name}-");
    for byte in digest.iter().take(6) {
        let _infallible = write!(path, "{byte:02x}");
    }
    Asset { path: format!("{path}.{ending}"), kind, content }
}

pub fn css_path() -> &'static str {
    &ASSETS[0].path
}

pub fn js_path() -> &'static str {
    &ASSETS[1].path
}

pub fn icon_path() -> &'static str {
    &ASSETS[2].path
}

/// The stylesheet itself, for reports that are one file.
pub fn css() -> &'static str {
    CSS
}

/// Serves an asset. Its name says its content, so browsers may keep it forever.
pub async fn serve(Path(name): Path<String>) -> Response {
    let path = format!("/assets/{name}");
    match ASSETS.iter().find(|asset| asset.path == path) {
        Some(asset) => {
            let headers =
                [(header::CONTENT_TYPE, asset.kind), (header::CACHE_CONTROL, "public, max-age=31536000, immutable")];
            (headers, asset.content).into_response()
        }
        None => (StatusCode::NOT_FOUND, "there is no such file\n").into_response(),
    }
}
