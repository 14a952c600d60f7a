//! A web site on a port of its own, for as long as somebody holds it.

use std::collections::HashMap;

use axum::{
    Router,
    body::Body,
    http::{Request, Response, StatusCode, header},
    response::IntoResponse as _,
};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio::{net::TcpListener, task::AbortHandle};

/// A site that ends when it is dropped.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) base: String,
    task: AbortHandle,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Site {
    /// Takes a port, so that the address is known before the routes are.
    pub(super) async fn listener() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        (listener, format!("http://{address}"))
    }

    /// Serves.
    pub(super) fn start(listener: TcpListener, base: String, routes: Router) -> Self {
        let task = tokio::spawn(async move {
            axum::serve(listener, routes).await.expect("it serves");
        });
        Self {
            base,
            task: task.abort_handle(),
        }
    }
}

pub(super) fn answer(status: u16, body: &Value) -> Response<Body> {
    let status = StatusCode::from_u16(status).expect("a status");
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (status, kind, body.to_string()).into_response()
}

pub(super) fn redirect(to: &str) -> Response<Body> {
    (StatusCode::FOUND, [(header::LOCATION, to)]).into_response()
}

/// The parameters of a question or a form.
pub(super) type Fields = HashMap<String, String>;

pub(super) fn fields(encoded: &[u8]) -> Fields {
    url::form_urlencoded::parse(encoded).into_owned().collect()
}

pub(super) fn query(request: &Request<Body>) -> Fields {
    fields(request.uri().query().unwrap_or_default().as_bytes())
}

pub(super) async fn body(request: Request<Body>) -> Vec<u8> {
    let collected = request.into_body().collect().await.expect("a body");
    collected.to_bytes().to_vec()
}

/// A field of a form or a question; empty for none.
pub(super) fn get<'a>(fields: &'a Fields, name: &str) -> &'a str {
    fields.get(name).map_or("", String::as_str)
}

/// The challenge of a verifier (RFC 7636, 4.2).
pub(super) fn challenge(verifier: &str) -> String {
    use aws_lc_rs::digest;
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()))
}

/// An address with these parameters behind.
pub(super) fn with_query(base: &str, pairs: &[(&str, &str)]) -> String {
    let mut url = url::Url::parse(base).expect("an address");
    url.query_pairs_mut().extend_pairs(pairs);
    url.to_string()
}
