//! A program that takes anchors as a webhook: it keeps the largest checkpoint of each org.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{Request, Response, header},
    routing::post,
};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::site::{Site, answer, body};

/// What a stand-in does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Behaviour {
    /// What it is for.
    #[default]
    Good,
    /// Answers this status, and does nothing.
    Status(u16),
    /// Never answers.
    Silent,
    /// Signs wrongly; of a witness.
    Forged,
}

/// What it knows.
#[derive(Debug, Default)]
pub struct AnchorState {
    /// What it does.
    pub behaviour: Behaviour,
    /// The size of the largest checkpoint of each org.
    pub largest: HashMap<String, u64>,
    /// What was sent to it, also what it did not take.
    pub received: Vec<Value>,
    /// The last `Authorization`.
    pub authorization: Option<String>,
}

/// A site that ends when it is dropped.
#[derive(Debug)]
pub struct AnchorStandIn {
    site: Site,
    state: Arc<Mutex<AnchorState>>,
}

impl AnchorStandIn {
    /// Starts it.
    pub async fn start() -> Self {
        let (listener, base) = Site::listener().await;
        let state = Arc::<Mutex<AnchorState>>::default();
        let routes = Router::new()
            .route("/anchors", post(take))
            .with_state(Arc::clone(&state));
        Self {
            site: Site::start(listener, base, routes),
            state,
        }
    }

    /// Where it takes anchors.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}/anchors", self.site.base)
    }

    /// Looks at, or changes, what it knows.
    pub fn with<T>(&self, work: impl FnOnce(&mut AnchorState) -> T) -> T {
        work(&mut self.state.lock())
    }
}

async fn take(
    State(state): State<Arc<Mutex<AnchorState>>>,
    request: Request<Body>,
) -> Response<Body> {
    let authorization = request.headers().get(header::AUTHORIZATION);
    let authorization = authorization.map(|value| value.to_str().expect("text").to_owned());
    let document: Value = serde_json::from_slice(&body(request).await).expect("JSON");
    let text = |name: &str| {
        let value = document.get(name).and_then(Value::as_str);
        value.expect("a text").to_owned()
    };
    let size = text("note").lines().nth(1).map(str::parse::<u64>);
    let size = size.expect("a line").expect("a number");
    let behaviour = {
        let mut state = state.lock();
        state.authorization = authorization;
        state.received.push(document.clone());
        state.behaviour
    };
    match behaviour {
        Behaviour::Silent => std::future::pending().await,
        Behaviour::Status(status) => answer(status, &json!({})),
        Behaviour::Good | Behaviour::Forged => {
            let mut state = state.lock();
            let largest = state.largest.entry(text("org")).or_default();
            let is_new = document.get("accepted_rollback").is_some();
            if size < *largest && !is_new {
                return answer(409, &json!({"size": *largest}));
            }
            *largest = size;
            answer(200, &json!({}))
        }
    }
}
