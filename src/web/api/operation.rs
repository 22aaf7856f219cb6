//! One operation of the API: its route and its documentation.

use std::sync::Arc;

use axum::routing::MethodRouter;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::parameter::Parameter;
use crate::web::Shared;

/// An operation.
pub(super) struct Operation {
    /// Path below `/api/v1`, as documented.
    pub(super) path: &'static str,
    /// `get` or `post`.
    pub(super) method: &'static str,
    pub(super) summary: &'static str,
    pub(super) parameters: &'static [Parameter],
    /// Schema of the body of the request, in JSON.
    pub(super) takes: Option<fn(&mut SchemaGenerator) -> Schema>,
    pub(super) content: Content,
    pub(super) access: Access,
    pub(super) handler: MethodRouter<Arc<Shared>>,
}

/// Callers of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Users.
    User,
    /// Users, and readers whose address is signed or public.
    Signed,
}

/// The body of a successful answer.
#[derive(Clone, Copy)]
pub(super) enum Content {
    Json(fn(&mut SchemaGenerator) -> Schema),
    /// Any other type.
    File(&'static str),
}

/// An answer in JSON of a type.
pub(super) fn json<T: JsonSchema>() -> Content {
    Content::Json(SchemaGenerator::subschema_for::<T>)
}

impl Operation {
    pub(super) fn new(
        path: &'static str,
        summary: &'static str,
        parameters: &'static [Parameter],
        content: Content,
        handler: MethodRouter<Arc<Shared>>,
    ) -> Self {
        Self { path, method: "get", summary, parameters, takes: None, content, access: Access::User, handler }
    }

    /// The same for readers without sign-in.
    #[must_use]
    pub(super) fn signed(self) -> Self {
        Self { access: Access::Signed, ..self }
    }

    /// The same as an answer to POST.
    #[must_use]
    pub(super) fn post(self) -> Self {
        Self { method: "post", ..self }
    }

    /// The same as an answer to POST with a body in JSON.
    #[must_use]
    pub(super) fn taking<T: JsonSchema>(self) -> Self {
        Self { takes: Some(SchemaGenerator::subschema_for::<T>), ..self.post() }
    }

    /// The path as the router takes it, which knows no endings of parameters.
    pub(super) fn route(&self) -> String {
        self.path.replace("}.svg", "}")
    }
}
