//! The pages, one file each: read, build the view, render. Nothing below this room knows HTTP.

mod about;
mod acts;
mod budget;
mod classes;
mod cohorts;
mod conflict;
mod debug;
mod definition;
mod deliveries;
mod executive;
mod incident;
mod incidents;
mod job;
mod overview;
mod rule;
mod runs;
mod sign_in;
mod silences;
mod versions;
mod window;

use std::net::SocketAddr;
use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use chrono::Utc;

use super::error::PageError;
use super::session::Identity;
use super::{Shared, assets};
use crate::text::links;

/// Answer of a page.
type Page = Result<Response, PageError>;

/// Returns the routes of all pages.
pub(super) fn router(shared: Arc<Shared>) -> Router {
    let pages = Router::new()
        .route("/", get(overview::show))
        .route("/jobs/{job}", get(job::show))
        .route("/jobs/{job}/windows/{kind}/{end}", get(window::show))
        .route("/jobs/{job}/cohorts", get(cohorts::show))
        .route("/jobs/{job}/classes", get(classes::show))
        .route("/jobs/{job}/versions", get(versions::show))
        .route("/jobs/{job}/debug", get(debug::show))
        .route("/jobs/{job}/budget/{slo}", get(budget::show))
        .route("/jobs/{job}/rules/{rule}", get(rule::show))
        .route("/jobs/{job}/definition", get(definition::show))
        .route("/executive", get(executive::show))
        .route("/about", get(about::show))
        .route("/runs", get(runs::list))
        .route("/runs/{id}", get(runs::show))
        .route("/deliveries", get(deliveries::list))
        .route("/deliveries/{id}", get(deliveries::show))
        .route("/deliveries/{id}/retry", post(deliveries::retry))
        .route("/receivers/{name}/test", post(deliveries::test))
        .route("/incidents", get(incidents::show))
        .route("/incidents/{id}", get(incident::show))
        .route("/incidents/{id}/postmortem.md", get(incident::postmortem))
        .route("/alerts/{id}", get(incident::of_alert))
        .route("/silences", get(silences::show).post(silences::add))
        .route("/silences/{id}/expire", axum::routing::post(silences::expire))
        .merge(acts::router())
        .fallback(missing)
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), identify))
        .with_state(Arc::clone(&shared));
    Router::new()
        .route("/assets/{name}", get(assets::serve))
        .route("/login", get(sign_in::form).post(sign_in::sign_in))
        .route("/logout", axum::routing::post(sign_in::sign_out))
        .with_state(shared)
        .merge(pages)
}

/// Identifies the user, or asks for sign-in.
async fn identify(State(shared): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
    match shared.sessions.identify(request.headers(), peer, Utc::now()) {
        Identity::Known(visitor) => {
            request.extensions_mut().insert(visitor);
            next.run(request).await
        }
        Identity::Forged => {
            (StatusCode::FORBIDDEN, "the header of the proxy came from another address\n").into_response()
        }
        Identity::Unknown if shared.sessions.has_form() => {
            let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
            Redirect::to(&links::with_query("/login", &[("next", Some(path))])).into_response()
        }
        Identity::Unknown => (StatusCode::UNAUTHORIZED, "the proxy named no user\n").into_response(),
    }
}

async fn missing() -> PageError {
    PageError::NotFound("There is no page at this address.".to_owned())
}

/// Renders a page.
fn render(page: &impl Template) -> Page {
    match page.render() {
        Ok(html) => Ok(([(header::CONTENT_TYPE, "text/html; charset=utf-8")], Html(html)).into_response()),
        Err(failure) => Err(PageError::Unavailable(format!("The page could not be rendered: {failure}."))),
    }
}
