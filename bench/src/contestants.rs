//! Who Claviger is measured against: bare axum, and the design that most teams write by hand.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use claviger_core::digest::Digest;
use deadpool_postgres::{Manager, Pool};
use tokio_postgres::NoTls;

use crate::{Failure, say};

/// The answer of both, about as long as Claviger's.
const BODY: &str = r#"{"actor":"org-token:mole_00000000","tier":"2a","org":{"id":"org_00000000000000000000000000","name":"default"},"key":{"id":"tok_00000000000000000000000000","name":"key-0000000","prefix":"mole_00000000","created_by":"admin-token","created_at":"2026-01-01T00:00:00.000Z","expires_at":null},"root":"admin-token","grant":{"permissions":["*"],"workspaces":"*"},"within":[]}"#;

/// Bare axum: a constant.
pub(crate) fn bare() -> Result<(), Failure> {
    let answer = || async { ([(header::CONTENT_TYPE, "application/json")], BODY) };
    serve(Router::new().route("/org/whoami", get(answer)))
}

/// One SELECT by hash and one UPDATE of `last_used_at` for each request, in the same axum.
pub(crate) fn hand_written(url: &str) -> Result<(), Failure> {
    let config: tokio_postgres::Config = url.parse()?;
    let pool = Pool::builder(Manager::new(config, NoTls))
        .max_size(32)
        .build()?;
    serve(
        Router::new()
            .route("/org/whoami", get(look_up))
            .with_state(Arc::new(pool)),
    )
}

async fn look_up(State(pool): State<Arc<Pool>>, headers: HeaderMap) -> axum::response::Response {
    match authenticate(&pool, &headers).await {
        Ok(true) => ([(header::CONTENT_TYPE, "application/json")], BODY).into_response(),
        Ok(false) => StatusCode::UNAUTHORIZED.into_response(),
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn authenticate(pool: &Pool, headers: &HeaderMap) -> Result<bool, Failure> {
    let bearer = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let Some(token) = bearer.and_then(|text| text.strip_prefix("Bearer ")) else {
        return Ok(false);
    };
    let digest = Digest::of(token.as_bytes());
    let client = pool.get().await?;
    let select = client
        .prepare_cached("select id, revoked_at from keys where digest = $1")
        .await?;
    let Some(row) = client
        .query_opt(&select, &[&digest.as_bytes().as_slice()])
        .await?
    else {
        return Ok(false);
    };
    let id: &str = row.try_get(0)?;
    let update = client
        .prepare_cached("update keys set last_used_at = $2 where id = $1")
        .await?;
    client
        .execute(&update, &[&id, &claviger_server::clock::now().millis()])
        .await?;
    Ok(row.try_get::<_, Option<i64>>(1)?.is_none())
}

fn serve(router: Router) -> Result<(), Failure> {
    use hyper_util::{
        rt::{TokioExecutor, TokioIo},
        server::conn::auto::Builder,
        service::TowerToHyperService,
    };
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
            say(&format!("listening on {}", listener.local_addr()?));
            loop {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                let service = TowerToHyperService::new(router.clone());
                tokio::spawn(async move {
                    let builder = Builder::new(TokioExecutor::new());
                    builder
                        .serve_connection(TokioIo::new(stream), service)
                        .await
                        .unwrap_or_default();
                });
            }
        })
}
