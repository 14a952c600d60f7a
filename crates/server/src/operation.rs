//! What operators and machines ask without a credential: health, metrics, the reference.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    response::Response,
    routing::get,
};
use claviger_wire::headers;
use http::{HeaderValue, Request, StatusCode, header};

use crate::{
    app::App,
    failure::Failure,
    gate::{self, Peer},
    openapi,
    web::assets,
};

/// The routes on the main address.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_for_neighbours))
        .route("/openapi.json", get(reference))
        .route("/docs", get(docs_entry))
        .route("/docs/{file}", get(docs_file))
        .route("/canvas/assets/{file}", get(canvas_file))
}

/// The routes on the address of `--metrics-listen`.
pub(crate) fn private_routes(app: Arc<App>) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(app)
}

fn answer(status: StatusCode, media_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    fields.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

async fn healthz() -> Response {
    answer(StatusCode::OK, "application/json", r#"{"status":"ok"}"#)
}

/// 200 only when requests can be authenticated and recorded.
async fn readyz(State(app): State<Arc<App>>) -> Response {
    match app.readiness().await {
        Ok(()) => {
            let troubles = app.anchors.troubles();
            let body = if troubles.is_empty() {
                serde_json::json!({"status": "ready"})
            } else {
                serde_json::json!({"status": "ready", "warnings": troubles})
            };
            answer(StatusCode::OK, "application/json", body.to_string())
        }
        Err(reason) => {
            let body = serde_json::json!({"status": "not ready", "reason": reason}).to_string();
            answer(StatusCode::SERVICE_UNAVAILABLE, "application/json", body)
        }
    }
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    let page = app.metrics.page(&app.keys);
    answer(
        StatusCode::OK,
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
        page,
    )
}

/// Counters tell who is active: on the main address they are for this machine alone.
async fn metrics_for_neighbours(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    let is_near = request
        .extensions()
        .get::<Peer>()
        .is_some_and(|peer| peer.0.ip().to_canonical().is_loopback());
    let is_forwarded = headers::FORWARDING
        .iter()
        .any(|name| request.headers().contains_key(*name));
    if app.config.metrics_listen.is_none() && is_near && !is_forwarded {
        return metrics(State(app)).await;
    }
    gate::refuse(app, Failure::NoRoute, request).await
}

async fn reference() -> Response {
    answer(StatusCode::OK, "application/json", openapi::json())
}

async fn docs_entry() -> Response {
    let mut response = answer(StatusCode::SEE_OTHER, "text/plain", "/docs/index.html");
    response.headers_mut().insert(
        header::LOCATION,
        HeaderValue::from_static("/docs/index.html"),
    );
    response
}

/// The page that the `Link` header of a tier 3 answer names.
const MIGRATION: &str = include_str!("../../../docs/migrate-workspace-tokens.md");

async fn docs_file(
    State(app): State<Arc<App>>,
    Path(file): Path<String>,
    request: Request<Body>,
) -> Response {
    if file == "migrate-workspace-tokens" {
        return answer(StatusCode::OK, "text/markdown; charset=utf-8", MIGRATION);
    }
    match openapi::page(&file) {
        Some((media_type, bytes)) => {
            let mut response = answer(StatusCode::OK, "text/html; charset=utf-8", bytes);
            if let Ok(media_type) = HeaderValue::from_str(&media_type) {
                response
                    .headers_mut()
                    .insert(header::CONTENT_TYPE, media_type);
            }
            response.headers_mut().insert(
                header::CONTENT_SECURITY_POLICY,
                HeaderValue::from_static(
                    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'",
                ),
            );
            response
        }
        None => gate::refuse(app, Failure::NoRoute, request).await,
    }
}

/// A style sheet, a script or the icons of the Canvas.
async fn canvas_file(
    State(app): State<Arc<App>>,
    Path(file): Path<String>,
    request: Request<Body>,
) -> Response {
    let version = request
        .uri()
        .query()
        .and_then(|query| query.strip_prefix("v="));
    match assets::serve(&file, version, request.headers()) {
        Some(response) => response,
        None => gate::refuse(app, Failure::NoRoute, request).await,
    }
}
