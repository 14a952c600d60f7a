//! A stand-in for `WorkOS` `AuthKit`: authorize, authenticate, keys, logout, in the shapes of its
//! documentation. Codes and refresh tokens count once.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::Path,
    http::{Request, Response},
    routing::{get, post},
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::{
    signer::{Signer, set},
    site::{Site, answer, body, challenge, get as field, query, redirect, with_query},
};

/// Keeps requests waiting until it is lifted.
#[derive(Debug)]
pub struct Hold {
    arrived: Semaphore,
    lifted: Semaphore,
}

impl Default for Hold {
    fn default() -> Self {
        Self {
            arrived: Semaphore::new(0),
            lifted: Semaphore::new(0),
        }
    }
}

impl Hold {
    /// Until one more request waits.
    pub async fn next(&self) {
        self.arrived.acquire().await.expect("it is open").forget();
    }

    /// Lets all go on.
    pub fn lift(&self) {
        self.lifted.close();
    }

    async fn wait(&self) {
        self.arrived.add_permits(1);
        // It is closed when it is lifted.
        drop(self.lifted.acquire().await);
    }
}

/// Whoever signs in next.
#[derive(Debug, Clone)]
pub struct WorkosUser {
    /// `user_…`
    pub id: String,
    /// The e-mail address.
    pub email: String,
    /// The organization; `None`: the person is in none.
    pub org: Option<String>,
    /// The role.
    pub role: String,
    /// The permissions.
    pub permissions: Vec<String>,
    /// Who acts as this person, and why.
    pub impersonator: Option<(String, String)>,
}

impl Default for WorkosUser {
    fn default() -> Self {
        Self {
            id: "user_01HBEQKA6K4QJAS93VPE39W1JT".to_owned(),
            email: "ada@example.com".to_owned(),
            org: Some("org_01HRDMC6CM357W30QMHMQ96Q0S".to_owned()),
            role: "admin".to_owned(),
            permissions: vec!["channels:read".to_owned(), "posts:read".to_owned()],
            impersonator: None,
        }
    }
}

struct Pending {
    user: WorkosUser,
    challenge: String,
}

#[derive(Clone)]
struct Session {
    id: String,
    user: WorkosUser,
}

/// What a test may look at and change.
pub struct WorkosState {
    /// Whoever signs in next.
    pub visitor: WorkosUser,
    /// The seconds of its clock.
    pub now: i64,
    /// The key that it signs with.
    pub signer: Arc<Signer>,
    /// The keys that it publishes.
    pub published: Vec<Value>,
    /// What `iss` is.
    pub issuer: String,
    /// Claims that differ from the usual ones; `null` takes one away.
    pub claims: Value,
    /// Whether it answers nothing but 503.
    pub is_down: bool,
    /// How often its keys were asked for.
    pub key_requests: usize,
    /// Where it is set, whoever asks to authenticate waits for its leave.
    pub hold: Option<Arc<Hold>>,
    /// How often it was asked to authenticate.
    pub authentications: usize,
    codes: HashMap<String, Pending>,
    refresh_tokens: HashMap<String, Session>,
    count: usize,
}

impl std::fmt::Debug for WorkosState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkosState").finish_non_exhaustive()
    }
}

/// The stand-in; it ends when it is dropped.
#[derive(Debug)]
pub struct WorkosStandIn {
    site: Site,
    state: Shared,
}

type Shared = Arc<Mutex<WorkosState>>;

impl WorkosStandIn {
    /// The one client that it knows.
    pub const CLIENT: &'static str = "client_123456789";
    /// The secret of the environment.
    pub const API_KEY: &'static str = "sk_test_stand_in";

    /// Starts it; its clock stands at these seconds.
    pub async fn start(now: i64) -> Self {
        let signer = Arc::new(Signer::new("sso_oidc_key_1"));
        let (listener, base) = Site::listener().await;
        let state = Arc::new(Mutex::new(WorkosState {
            visitor: WorkosUser::default(),
            now,
            published: vec![signer.jwk()],
            signer,
            issuer: "https://api.workos.com".to_owned(),
            claims: json!({}),
            is_down: false,
            hold: None,
            key_requests: 0,
            authentications: 0,
            codes: HashMap::new(),
            refresh_tokens: HashMap::new(),
            count: 0,
        }));
        let site = Site::start(listener, base, routes(&state));
        Self { site, state }
    }

    /// `WORKOS_API_URL`.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.site.base
    }

    /// Looks at it, or changes it.
    pub fn with<T>(&self, change: impl FnOnce(&mut WorkosState) -> T) -> T {
        change(&mut self.state.lock())
    }
}

impl WorkosState {
    /// The access token of somebody, as it would be now.
    #[must_use]
    pub fn access_token(&self, user: &WorkosUser, session: &str) -> String {
        self.signer.sign(&self.token_claims(user, session))
    }

    /// Its claims.
    #[must_use]
    pub fn token_claims(&self, user: &WorkosUser, session: &str) -> Value {
        let mut claims = json!({
            "iss": self.issuer, "sub": user.id, "sid": session, "jti": format!("{session}-{}", self.count),
            "role": user.role, "roles": [user.role], "permissions": user.permissions,
            "entitlements": [], "iat": self.now, "exp": self.now + 300,
        });
        if let Some(org) = &user.org {
            set(&mut claims, "org_id", json!(org));
        }
        if let Some((email, _)) = &user.impersonator {
            set(&mut claims, "act", json!({"sub": email}));
        }
        for (name, value) in self.claims.as_object().into_iter().flatten() {
            set(&mut claims, name, value.clone());
        }
        claims
    }

    /// From now on it signs with another key, and publishes both.
    pub fn rotate(&mut self, id: &str) {
        self.signer = Arc::new(Signer::new(id));
        self.published.push(self.signer.jwk());
    }

    fn next(&mut self, prefix: &str) -> String {
        self.count += 1;
        format!("{prefix}_{}", self.count)
    }

    fn session(&mut self, session: Session) -> Value {
        let user = &session.user;
        let mut whole = json!({
            "user": {
                "object": "user", "id": user.id, "email": user.email, "email_verified": true,
                "first_name": "Ada", "last_name": "Lovelace", "profile_picture_url": null,
                "created_at": "2021-06-25T19:07:33.155Z", "updated_at": "2021-06-25T19:07:33.155Z",
            },
            "access_token": self.access_token(user, &session.id),
            "authentication_method": "Password",
        });
        if let Some(org) = &user.org {
            set(&mut whole, "organization_id", json!(org));
        }
        if let Some((email, reason)) = &user.impersonator {
            set(&mut whole, "authentication_method", json!("Impersonation"));
            set(
                &mut whole,
                "impersonator",
                json!({"email": email, "reason": reason}),
            );
        }
        let refresh_token = self.next("refresh");
        set(&mut whole, "refresh_token", json!(refresh_token));
        self.refresh_tokens.insert(refresh_token, session);
        whole
    }

    /// Ends a session: its refresh token counts no more.
    pub fn end_session(&mut self, id: &str) {
        self.refresh_tokens.retain(|_, session| session.id != id);
    }

    fn authenticate(&mut self, request: &Value) -> Response<Body> {
        let text = |name: &str| {
            request
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        if text("client_id") != WorkosStandIn::CLIENT
            || text("client_secret") != WorkosStandIn::API_KEY
        {
            let problem =
                json!({"error": "invalid_client", "error_description": "Invalid client secret."});
            return answer(401, &problem);
        }
        let session = match text("grant_type") {
            "authorization_code" => {
                let pending = self.codes.remove(text("code"));
                let own = |pending: &Pending| pending.challenge == challenge(text("code_verifier"));
                pending.filter(own).map(|pending| Session {
                    id: self.next("session"),
                    user: pending.user,
                })
            }
            "refresh_token" => self.refresh_tokens.remove(text("refresh_token")),
            _ => None,
        };
        match session {
            Some(session) => answer(200, &self.session(session)),
            None => answer(
                400,
                &json!({"error": "invalid_grant", "error_description": "It was exchanged already."}),
            ),
        }
    }
}

fn routes(state: &Shared) -> Router {
    let (one, two, three, four) = (state.clone(), state.clone(), state.clone(), state.clone());
    Router::new()
        .route(
            "/user_management/authorize",
            get(async move |request: Request<Body>| authorize(&one, &request)),
        )
        .route(
            "/user_management/authenticate",
            post(async move |request: Request<Body>| {
                let request = serde_json::from_slice(&body(request).await).unwrap_or_default();
                let hold = two.lock().hold.clone();
                two.lock().authentications += 1;
                if let Some(hold) = hold {
                    hold.wait().await;
                }
                let mut state = two.lock();
                if state.is_down {
                    return answer(503, &json!({}));
                }
                state.authenticate(&request)
            }),
        )
        .route(
            "/sso/jwks/{client}",
            get(async move |Path(client): Path<String>| keys(&three, &client)),
        )
        .route(
            "/user_management/sessions/logout",
            get(async move |request: Request<Body>| {
                let query = query(&request);
                four.lock().end_session(field(&query, "session_id"));
                redirect(field(&query, "return_to"))
            }),
        )
}

fn keys(state: &Shared, client: &str) -> Response<Body> {
    let mut state = state.lock();
    state.key_requests += 1;
    match client {
        _ if state.is_down => answer(503, &json!({})),
        WorkosStandIn::CLIENT => answer(200, &json!({"keys": state.published})),
        _ => answer(404, &json!({"message": "Not Found"})),
    }
}

/// Whoever comes is let in as the visitor.
fn authorize(state: &Shared, request: &Request<Body>) -> Response<Body> {
    let query = query(request);
    let mut state = state.lock();
    let is_right = field(&query, "client_id") == WorkosStandIn::CLIENT
        && field(&query, "response_type") == "code"
        && field(&query, "provider") == "authkit"
        && field(&query, "code_challenge_method") == "S256";
    let back = field(&query, "redirect_uri").to_owned();
    let own_state = ("state", field(&query, "state"));
    if !is_right {
        return redirect(&with_query(
            &back,
            &[("error", "invalid_request"), own_state],
        ));
    }
    let mut user = state.visitor.clone();
    if let Some(org) = query.get("organization_id") {
        user.org = Some(org.clone());
    }
    let code = state.next("code");
    let to = with_query(&back, &[("code", &code), own_state]);
    let challenge = field(&query, "code_challenge").to_owned();
    state.codes.insert(code, Pending { user, challenge });
    redirect(&to)
}
