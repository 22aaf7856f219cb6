//! `/login` and `/logout`.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use chrono::Utc;
use serde::Deserialize;

use super::{Page, render};
use crate::web::params::Params;
use crate::web::{Shared, assets};

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    css: &'static str,
    next: String,
    failure: Option<&'static str>,
}

/// The fields of the form.
#[derive(Deserialize)]
pub(super) struct SignIn {
    name: String,
    token: String,
    #[serde(default)]
    next: String,
}

pub(super) async fn form(State(shared): State<Arc<Shared>>, params: Params) -> Page {
    params.expect(&["next"])?;
    if !shared.sessions.has_form() {
        return Ok(Redirect::to("/").into_response());
    }
    let next = own(params.get("next").unwrap_or_default()).to_owned();
    render(&LoginPage { css: assets::css_path(), next, failure: None })
}

pub(super) async fn sign_in(State(shared): State<Arc<Shared>>, Form(given): Form<SignIn>) -> Page {
    let next = own(&given.next).to_owned();
    match shared.sessions.sign_in(&given.name, &given.token, Utc::now()) {
        Ok(cookie) => Ok(with_cookie(Redirect::to(&next), cookie)),
        Err(why) => {
            let page = render(&LoginPage { css: assets::css_path(), next, failure: Some(why) })?;
            Ok((StatusCode::UNAUTHORIZED, page).into_response())
        }
    }
}

pub(super) async fn sign_out(State(shared): State<Arc<Shared>>) -> Response {
    match shared.sessions.sign_out() {
        Some(cookie) => with_cookie(Redirect::to("/login"), cookie),
        None => Redirect::to("/login").into_response(),
    }
}

fn with_cookie(to: Redirect, cookie: HeaderValue) -> Response {
    let mut response = to.into_response();
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    response
}

/// A path of these pages, or the overview: the form must not send users elsewhere.
fn own(next: &str) -> &str {
    let is_own = next.starts_with('/')
        && !next.starts_with("//")
        && next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if is_own { next } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::own;

    #[test]
    fn signing_in_leads_to_a_page_of_ours() {
        assert_eq!(own("/incidents/17?tz=UTC"), "/incidents/17?tz=UTC");
        for elsewhere in ["//evil.example", "/\\evil.example", "https://evil.example", "", "/a\nb"] {
            assert_eq!(own(elsewhere), "/", "{elsewhere}");
        }
    }
}
