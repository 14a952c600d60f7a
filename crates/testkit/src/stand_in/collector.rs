//! A receiver of OTLP logs over HTTP, in JSON: it keeps what it has taken, and refuses what it is told to.

use std::{collections::VecDeque, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderMap, Request, Response, header},
    response::IntoResponse as _,
    routing::post,
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::site::{Site, answer, body};

/// What it says once, in place of taking records.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The status.
    pub status: u16,
    /// Seconds, for `Retry-After`.
    pub retry_after: Option<u64>,
}

/// What it knows.
#[derive(Debug, Default)]
pub struct CollectorState {
    /// The log records that it has taken.
    pub taken: Vec<Value>,
    /// What it says to the next requests.
    pub refusals: VecDeque<Refusal>,
    /// A request with a record whose body has this text is answered with this status.
    pub unwanted: Option<(String, u16)>,
    /// A record whose body has this text is left out, and the answer counts it (partial success).
    pub left_out: Option<String>,
    /// The headers of the last request.
    pub headers: HeaderMap,
    /// The resource and the scope of the last request.
    pub sender: Value,
    /// How many requests came.
    pub requests: usize,
}

/// A site that ends when it is dropped.
#[derive(Debug)]
pub struct CollectorStandIn {
    site: Site,
    state: Arc<Mutex<CollectorState>>,
    changes: watch::Receiver<()>,
}

#[derive(Debug, Clone)]
struct Shared {
    state: Arc<Mutex<CollectorState>>,
    changed: Arc<watch::Sender<()>>,
}

impl CollectorStandIn {
    /// Starts it.
    pub async fn start() -> Self {
        let (listener, base) = Site::listener().await;
        let state = Arc::<Mutex<CollectorState>>::default();
        let (changed, changes) = watch::channel(());
        let shared = Shared {
            state: Arc::clone(&state),
            changed: Arc::new(changed),
        };
        let routes = Router::new()
            .route("/v1/logs", post(take))
            .with_state(shared);
        Self {
            site: Site::start(listener, base, routes),
            state,
            changes,
        }
    }

    /// Where it takes logs.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}/v1/logs", self.site.base)
    }

    /// Looks at, or changes, what it knows.
    pub fn with<T>(&self, work: impl FnOnce(&mut CollectorState) -> T) -> T {
        work(&mut self.state.lock())
    }

    /// Waits until what it knows is as awaited: looked at again after each request.
    pub async fn until(&self, is_awaited: impl Fn(&CollectorState) -> bool) {
        let mut changes = self.changes.clone();
        while !is_awaited(&self.state.lock()) {
            changes.changed().await.expect("it is still there");
        }
    }
}

async fn take(State(shared): State<Shared>, request: Request<Body>) -> Response<Body> {
    let headers = request.headers().clone();
    let document: Value = serde_json::from_slice(&body(request).await).expect("JSON");
    let answer = judge(&mut shared.state.lock(), headers, document);
    shared.changed.send_replace(());
    answer
}

fn judge(state: &mut CollectorState, headers: HeaderMap, document: Value) -> Response<Body> {
    state.headers = headers;
    state.requests += 1;
    if let Some(refusal) = state.refusals.pop_front() {
        let mut response = answer(refusal.status, &json!({"message": "not now"}));
        if let Some(seconds) = refusal.retry_after {
            let kind = [(header::RETRY_AFTER, seconds.to_string())];
            response
                .headers_mut()
                .extend(kind.into_response().headers().clone());
        }
        return response;
    }
    let pointer = "/resourceLogs/0/scopeLogs/0/logRecords";
    let records = document.pointer(pointer).and_then(Value::as_array);
    let records = records.expect("records").clone();
    let has = |record: &Value, text: &str| {
        let body = record.pointer("/body/stringValue").and_then(Value::as_str);
        body.expect("a body").contains(text)
    };
    if let Some((text, status)) = &state.unwanted
        && records.iter().any(|record| has(record, text))
    {
        return answer(*status, &json!({"message": "not that"}));
    }
    state.sender = json!({
        "resource": document.pointer("/resourceLogs/0/resource"),
        "scope": document.pointer("/resourceLogs/0/scopeLogs/0/scope"),
    });
    let left_out = state.left_out.clone();
    let is_left_out = |record: &Value| left_out.as_ref().is_some_and(|text| has(record, text));
    let (out, taken): (Vec<_>, Vec<_>) = records.into_iter().partition(is_left_out);
    state.taken.extend(taken);
    if out.is_empty() {
        return answer(200, &json!({}));
    }
    let said = json!({"rejectedLogRecords": out.len().to_string(), "errorMessage": "not that"});
    answer(200, &json!({"partialSuccess": said}))
}
