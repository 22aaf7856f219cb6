//! Users of the API: the token as `Authorization: Bearer`, or the session of the pages.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use chrono::Utc;

use crate::web::problem::Problem;
use crate::web::session::{Identity, Visitor};
use crate::web::{Shared, access};

/// Marks requests of programs with the token, which name their author themselves.
#[derive(Debug, Clone, Copy)]
pub(super) struct Program;

/// Identifies the user, or refuses with 401.
pub(super) async fn identify(State(shared): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    match visitor(&shared, request.headers(), request.extensions()) {
        Ok(visitor) => {
            if has_token(&shared, request.headers()) {
                request.extensions_mut().insert(Program);
            }
            request.extensions_mut().insert(visitor);
            next.run(request).await
        }
        Err(refused) => refused.into_response(),
    }
}

/// The user of a request that may also carry a signature instead.
pub(super) struct Guest(Result<Visitor, Problem>);

impl FromRequestParts<Arc<Shared>> for Guest {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Self::Rejection> {
        Ok(Self(visitor(shared, &parts.headers, &parts.extensions)))
    }
}

impl Guest {
    /// Admits users, and requests whose signature is that of `text` for `purpose`.
    pub(super) fn admit(self, shared: &Shared, signature: Option<&str>, of: (&str, &str)) -> Result<(), Problem> {
        match signature {
            Some(given) if is_signed(shared, given, of) => Ok(()),
            Some(_) => Err(Problem::new(StatusCode::FORBIDDEN, "the signature `k` is not right")),
            None => self.0.map(drop),
        }
    }
}

/// True if a signature is that of a text for a purpose. Without a token there are no signatures.
pub(super) fn is_signed(shared: &Shared, given: &str, (purpose, text): (&str, &str)) -> bool {
    let known = shared.sessions.tag(purpose, text);
    known.is_some_and(|known| access::same(given.as_bytes(), known.as_bytes()))
}

fn has_token(shared: &Shared, headers: &HeaderMap) -> bool {
    shared.token.as_ref().is_some_and(|token| access::has_token(headers, token))
}

fn visitor(shared: &Shared, headers: &HeaderMap, extensions: &Extensions) -> Result<Visitor, Problem> {
    if has_token(shared, headers) {
        return Ok(Visitor { name: "token".to_owned(), may_act: shared.sessions.token_may_act() });
    }
    let peer = extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
    match shared.sessions.identify(headers, peer, Utc::now()) {
        Identity::Known(visitor) => Ok(visitor),
        Identity::Forged => {
            Err(Problem::new(StatusCode::FORBIDDEN, "the header of the proxy came from another address"))
        }
        Identity::Unknown => Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            if headers.contains_key(header::AUTHORIZATION) {
                "the token is not right"
            } else {
                "send the token of [web] as `Authorization: Bearer TOKEN`"
            },
        )),
    }
}
