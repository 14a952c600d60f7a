//! A stand-in for an `OpenID` Connect provider, for what a good one never does. That all is well
//! with a real one is shown with a real one.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Router,
    body::Body,
    http::{Request, Response, header},
    routing::{get, post},
};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::{
    signer::{Kind, Signer, set},
    site::{
        Fields, Site, answer, body, challenge, fields, get as field, query, redirect, with_query,
    },
};

struct Pending {
    nonce: String,
    challenge: String,
}

/// What a test may look at and change.
pub struct OidcState {
    /// The seconds of its clock.
    pub now: i64,
    /// The key that it signs with.
    pub signer: Arc<Signer>,
    /// The keys that it publishes.
    pub published: Vec<Value>,
    /// What it says of itself, where that differs from the usual; `null` takes it away.
    pub description: Value,
    /// Claims of the ID token that differ from the usual ones; `null` takes one away.
    pub claims: Value,
    /// What `userinfo` says.
    pub userinfo: Value,
    /// Whether a token request brings an ID token.
    pub has_id_token: bool,
    /// Whether a token request brings a refresh token.
    pub has_refresh_token: bool,
    /// Whether it answers nothing but 503.
    pub is_down: bool,
    /// How often its keys were asked for.
    pub key_requests: usize,
    /// How often its description was asked for.
    pub description_requests: usize,
    /// The `Authorization` of the last token request.
    pub authorization: Option<String>,
    /// The form of the last token request.
    pub form: HashMap<String, String>,
    codes: HashMap<String, Pending>,
    refresh_tokens: Vec<String>,
    count: usize,
}

impl std::fmt::Debug for OidcState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OidcState").finish_non_exhaustive()
    }
}

/// The stand-in; it ends when it is dropped.
#[derive(Debug)]
pub struct OidcStandIn {
    site: Site,
    state: Shared,
}

type Shared = Arc<Mutex<OidcState>>;

impl OidcStandIn {
    /// The one client that it knows.
    pub const CLIENT: &'static str = "claviger";
    /// The access token that it gives, always.
    pub const ACCESS_TOKEN: &'static str = "opaque-access-token";

    /// Starts it; its clock stands at these seconds.
    pub async fn start(now: i64) -> Self {
        let signer = Arc::new(Signer::of("key-1", Kind::P256));
        let (listener, base) = Site::listener().await;
        let state = Arc::new(Mutex::new(OidcState {
            now,
            published: vec![signer.jwk()],
            signer,
            description: json!({}),
            claims: json!({}),
            userinfo: json!({"sub": "ada", "email": "ada@example.com", "email_verified": true}),
            has_id_token: true,
            has_refresh_token: true,
            is_down: false,
            key_requests: 0,
            description_requests: 0,
            authorization: None,
            form: HashMap::new(),
            codes: HashMap::new(),
            refresh_tokens: vec![],
            count: 0,
        }));
        let site = Site::start(listener, base.clone(), routes(&state, &base));
        Self { site, state }
    }

    /// The issuer.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.site.base
    }

    /// Looks at it, or changes it.
    pub fn with<T>(&self, change: impl FnOnce(&mut OidcState) -> T) -> T {
        change(&mut self.state.lock())
    }

    /// The claims that an ID token has.
    #[must_use]
    pub fn claims(&self, nonce: &str) -> Value {
        self.with(|state| state.id_claims(self.issuer(), nonce))
    }
}

impl OidcState {
    fn id_claims(&self, issuer: &str, nonce: &str) -> Value {
        let mut claims = json!({
            "iss": issuer, "aud": OidcStandIn::CLIENT, "sub": "ada", "sid": "s1", "nonce": nonce,
            "iat": self.now, "exp": self.now + 300,
        });
        for (name, value) in self.claims.as_object().into_iter().flatten() {
            set(&mut claims, name, value.clone());
        }
        claims
    }

    fn token(&mut self, issuer: &str, form: &Fields) -> Response<Body> {
        let nonce = match field(form, "grant_type") {
            "authorization_code" => {
                let pending = self.codes.remove(field(form, "code"));
                let verifier = challenge(field(form, "code_verifier"));
                pending
                    .filter(|own| own.challenge == verifier)
                    .map(|own| own.nonce)
            }
            "refresh_token" => {
                let at = self
                    .refresh_tokens
                    .iter()
                    .position(|own| own == field(form, "refresh_token"));
                at.map(|at| {
                    self.refresh_tokens.remove(at);
                    String::new()
                })
            }
            _ => None,
        };
        let Some(nonce) = nonce else {
            return answer(400, &json!({"error": "invalid_grant"}));
        };
        let mut whole = json!({
            "access_token": OidcStandIn::ACCESS_TOKEN, "token_type": "Bearer", "expires_in": 300,
        });
        if self.has_refresh_token {
            self.count += 1;
            let refresh_token = format!("refresh_{}", self.count);
            set(&mut whole, "refresh_token", json!(refresh_token));
            self.refresh_tokens.push(refresh_token);
        }
        if self.has_id_token {
            let claims = self.id_claims(issuer, &nonce);
            set(&mut whole, "id_token", json!(self.signer.sign(&claims)));
        }
        answer(200, &whole)
    }
}

fn describe(base: &str, changes: &Value) -> Value {
    let mut whole = json!({
        "issuer": base,
        "authorization_endpoint": format!("{base}/authorize"),
        "token_endpoint": format!("{base}/token"),
        "jwks_uri": format!("{base}/keys"),
        "userinfo_endpoint": format!("{base}/userinfo"),
        "end_session_endpoint": format!("{base}/logout?tenant=1"),
    });
    for (name, value) in changes.as_object().into_iter().flatten() {
        set(&mut whole, name, value.clone());
    }
    whole
}

fn routes(state: &Shared, base: &str) -> Router {
    let on = |name: &'static str| {
        let (state, base) = (state.clone(), base.to_owned());
        async move |request: Request<Body>| serve(name, &state, &base, request).await
    };
    Router::new()
        .route("/.well-known/openid-configuration", get(on("description")))
        .route("/authorize", get(on("authorize")))
        .route("/token", post(on("token")))
        .route("/keys", get(on("keys")))
        .route("/userinfo", get(on("userinfo")))
}

async fn serve(name: &str, state: &Shared, base: &str, request: Request<Body>) -> Response<Body> {
    let authorization = request.headers().get(header::AUTHORIZATION);
    let authorization = authorization
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let query = query(&request);
    let form = fields(&body(request).await);
    let mut state = state.lock();
    match name {
        "description" => state.description_requests += 1,
        "keys" => state.key_requests += 1,
        _ => {}
    }
    if state.is_down {
        return answer(503, &json!({}));
    }
    match name {
        "description" => answer(200, &describe(base, &state.description)),
        "keys" => answer(200, &json!({"keys": state.published})),
        "authorize" => authorize(&mut state, base, &query),
        "token" => {
            state.authorization = authorization;
            state.form.clone_from(&form);
            state.token(base, &form)
        }
        _ if authorization == Some(format!("Bearer {}", OidcStandIn::ACCESS_TOKEN)) => {
            answer(200, &state.userinfo)
        }
        _ => answer(401, &json!({"error": "invalid_token"})),
    }
}

/// Whoever comes is let in.
fn authorize(state: &mut OidcState, base: &str, query: &Fields) -> Response<Body> {
    state.count += 1;
    let code = format!("code_{}", state.count);
    let back = field(query, "redirect_uri");
    let pairs = [
        ("code", code.as_str()),
        ("state", field(query, "state")),
        ("iss", base),
    ];
    let to = with_query(back, &pairs);
    let pending = Pending {
        nonce: field(query, "nonce").to_owned(),
        challenge: field(query, "code_challenge").to_owned(),
    };
    state.codes.insert(code, pending);
    redirect(&to)
}
