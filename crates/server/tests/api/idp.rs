//! `Idp`: a service whose people sign in at an identity provider, and a browser that goes there.

use std::fmt::Write as _;

use claviger_testkit::stand_in::{OidcStandIn, WorkosStandIn, WorkosUser};
use serde_json::Value;

use crate::{
    ask::Answer,
    service::{ADMIN, Backend, Service},
};

/// Where the browser finds the service.
pub(crate) const PUBLIC_URL: &str = "https://keys.example.com";
/// What ties a sign-in to the browser that began it.
const AWAY: &str = "__Host-claviger-away=";
/// The cookie of the Canvas.
pub(crate) const COOKIE: &str = "__Host-claviger=";

/// The seconds of the real clock.
pub(crate) fn seconds() -> i64 {
    claviger_server::clock::now().millis() / 1000
}

/// A service with a stand-in for `WorkOS`.
pub(crate) struct Idp {
    pub(crate) service: Service,
    pub(crate) workos: WorkosStandIn,
    _secret: tempfile::NamedTempFile,
}

/// A sign-in that is under way.
pub(crate) struct Away {
    /// As the browser was told to hold it.
    pub(crate) set_cookie: String,
    /// Where the browser was sent.
    pub(crate) url: String,
    /// Where it was sent back to, without the host.
    pub(crate) back: String,
}

impl Away {
    pub(crate) fn cookie(&self) -> &str {
        self.set_cookie.split(';').next().expect("a pair")
    }
}

impl Idp {
    /// Starts both.
    pub(crate) async fn start(backend: Backend) -> Self {
        let mut idp = Self::stopped(Service::stopped(backend)).await;
        idp.service.start().await.expect("the server starts");
        idp
    }

    /// A provider for a service that does not run yet.
    pub(crate) async fn stopped(mut service: Service) -> Self {
        let workos = WorkosStandIn::start(seconds()).await;
        let secret = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(secret.path(), WorkosStandIn::API_KEY).expect("written");
        let path = secret.path().to_str().expect("a path in UTF-8");
        for (name, value) in [
            ("workos-client-id", WorkosStandIn::CLIENT),
            ("workos-api-url", workos.base()),
            ("workos-api-key-file", path),
            ("orgs", "org_01HRDMC6CM357W30QMHMQ96Q0S=default"),
            ("public-url", PUBLIC_URL),
        ] {
            service.add_setting(name, value);
        }
        service.set_admin_token(ADMIN);
        Self {
            service,
            workos,
            _secret: secret,
        }
    }

    /// Whoever signs in next has this id and this role.
    pub(crate) fn visitor(&self, id: &str, role: &str) {
        self.workos.with(|state| {
            state.visitor = WorkosUser {
                id: id.to_owned(),
                email: format!("{role}@example.com"),
                role: role.to_owned(),
                permissions: Vec::new(),
                ..WorkosUser::default()
            };
        });
    }

    /// A whole sign-in; gives the cookie.
    pub(crate) async fn sign_in(&self) -> String {
        // However long the test has taken so far.
        self.workos.with(|state| state.now = seconds());
        sign_in(&self.service).await
    }

    /// A sign-in whose word from the provider has aged already: the next request asks again.
    pub(crate) async fn sign_in_stale(&self) -> String {
        // Its token ended just now, which the minute that clocks may differ by forgives.
        self.workos.with(|state| state.now = seconds() - 302);
        let cookie = sign_in(&self.service).await;
        self.workos.with(|state| state.now = seconds());
        cookie
    }

    /// The access token of whoever signs in next.
    pub(crate) fn access_token(&self) -> String {
        self.workos
            .with(|state| state.access_token(&state.visitor, "session_9"))
    }

    /// The same with these claims; `null` takes one away.
    pub(crate) fn access_token_with(&self, claims: Value) -> String {
        self.workos.with(|state| {
            state.claims = claims;
            let token = state.access_token(&state.visitor, "session_9");
            state.claims = Value::Null;
            token
        })
    }

    /// How often the provider was asked to authenticate somebody.
    pub(crate) fn asked(&self) -> usize {
        self.workos.with(|state| state.authentications)
    }
}

/// Goes to the provider and back, up to our door.
pub(crate) async fn go_away(service: &Service, next: &str) -> Away {
    let mut path = "/canvas/sign-in/provider".to_owned();
    if !next.is_empty() {
        write!(path, "?next={next}").expect("a string");
    }
    let ask = service.ask("GET", &path);
    let answer = ask.header("sec-fetch-site", "same-origin").send().await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    let url = answer.header("location").expect("a place").to_owned();
    let sent = visit(&url).await;
    let back = sent.strip_prefix(PUBLIC_URL).expect("back to us");
    Away {
        set_cookie: set_cookie(&answer, AWAY).expect("a cookie"),
        url,
        back: back.to_owned(),
    }
}

/// Comes back from the provider with this cookie.
pub(crate) async fn come_back(service: &Service, path: &str, cookie: &str) -> Answer {
    let ask = service.ask("GET", path).header("cookie", cookie);
    let ask = ask.header("sec-fetch-site", "cross-site");
    let ask = ask.header("sec-fetch-mode", "navigate");
    ask.header("sec-fetch-dest", "document").send().await
}

/// A whole sign-in; gives the cookie.
pub(crate) async fn sign_in(service: &Service) -> String {
    let away = go_away(service, "").await;
    let answer = come_back(service, &away.back, away.cookie()).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    session_of(&answer).expect("a session")
}

/// The pair of the cookie that an answer signs in with.
pub(crate) fn session_of(answer: &Answer) -> Option<String> {
    let cookie = set_cookie(answer, COOKIE)?;
    Some(cookie.split(';').next().expect("a pair").to_owned())
}

/// The whole cookie of this name that an answer sets.
pub(crate) fn set_cookie(answer: &Answer, name: &str) -> Option<String> {
    let all = answer.headers.get_all("set-cookie").iter();
    let mut all = all.filter_map(|value| value.to_str().ok());
    all.find(|cookie| cookie.starts_with(name))
        .map(str::to_owned)
}

/// Where a page of the provider leads.
pub(crate) async fn visit(url: &str) -> String {
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .expect("a client");
    let answer = client.get(url).send().await.expect("the provider answers");
    let to = answer.headers().get("location").expect("a redirect");
    to.to_str().expect("text").to_owned()
}

/// A service with a stand-in for an OIDC provider.
pub(crate) async fn oidc(backend: Backend) -> (Service, OidcStandIn) {
    let stand_in = OidcStandIn::start(seconds()).await;
    stand_in.with(|state| state.claims = serde_json::json!({"role": "admin"}));
    let mut service = Service::stopped(backend);
    for (name, value) in [
        ("oidc-issuer", stand_in.issuer()),
        ("oidc-client-id", OidcStandIn::CLIENT),
        ("oidc-role-claim", "role"),
        ("public-url", PUBLIC_URL),
    ] {
        service.add_setting(name, value);
    }
    service.set_admin_token(ADMIN);
    service.start().await.expect("the server starts");
    (service, stand_in)
}
