//! A provider with its stand-in, and a browser that goes where it is sent.

use std::{collections::HashMap, time::Duration};

use claviger_core::{role::RoleMap, time::Timestamp};
use claviger_server::{
    config::{OidcConfig, ProviderConfig, ProviderKind, WorkosConfig},
    provider::{Begin, Finish, Private, Provider, ProviderError, Refresh, Verified},
};
use claviger_testkit::stand_in::{OidcStandIn, WorkosStandIn};
use serde_json::Value;
use url::Url;

/// The second at which the clocks of these tests stand.
pub(crate) const NOW: i64 = 1_800_000_000;
/// A verifier, as RFC 7636 gives one.
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(crate) const NONCE: &str = "nonce-1";
pub(crate) const PUBLIC_URL: &str = "https://keys.example.com";

/// The clock, so many seconds later.
pub(crate) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(NOW * 1000).plus(Duration::from_secs(seconds))
}

/// The provider of this configuration.
pub(crate) fn provider(kind: ProviderKind) -> Provider {
    let config = ProviderConfig {
        kind,
        roles: RoleMap::default(),
        orgs: [("org_01HRDMC6CM357W30QMHMQ96Q0S", "acme")]
            .map(|(their, our)| (their.to_owned(), our.to_owned()))
            .into(),
        public_url: Url::parse(PUBLIC_URL).expect("an address"),
    };
    Provider::new(&config).expect("a provider")
}

/// The settings for the stand-in of `WorkOS`.
pub(crate) fn workos_config(stand_in: &WorkosStandIn) -> WorkosConfig {
    let client = WorkosStandIn::CLIENT;
    WorkosConfig {
        api_key: WorkosStandIn::API_KEY.to_owned().into(),
        client_id: client.to_owned(),
        api_url: Url::parse(stand_in.base()).expect("an address"),
        issuers: ["", "/user_management/client_123456789"]
            .map(|path| format!("https://api.workos.com{path}"))
            .into(),
    }
}

/// The settings for the stand-in of OIDC.
pub(crate) fn oidc_config(issuer: &str) -> OidcConfig {
    OidcConfig {
        issuer: Url::parse(issuer).expect("an address"),
        issuer_text: issuer.to_owned(),
        client_id: OidcStandIn::CLIENT.to_owned(),
        client_secret: None,
        org_claim: None,
        role_claim: None,
        audience: None,
        scopes: "openid profile email".to_owned(),
    }
}

/// Where the provider wants the browser.
pub(crate) async fn begin(provider: &Provider) -> Url {
    let begin = Begin {
        state: "state-1",
        nonce: NONCE,
        verifier: VERIFIER,
        org: None,
        now: at(0),
    };
    provider.begin(&begin).await.expect("an address")
}

/// A client that follows no redirect.
pub(crate) fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .expect("a client")
}

/// What the browser brings back.
pub(crate) type Callback = HashMap<String, String>;

/// Goes there and returns what the provider sends back.
pub(crate) async fn visit(url: &Url) -> Callback {
    let response = client().get(url.clone()).send().await.expect("an answer");
    let to = response.headers().get("location").expect("a redirect");
    let to = Url::parse(to.to_str().expect("text")).expect("an address");
    assert_eq!(to.origin().ascii_serialization(), PUBLIC_URL);
    assert_eq!(to.path(), "/canvas/sign-in/callback");
    to.query_pairs().into_owned().collect()
}

/// Finishes with what the browser brought.
pub(crate) async fn finish(
    provider: &Provider,
    callback: &Callback,
) -> Result<Verified, ProviderError> {
    assert_eq!(callback["state"], "state-1");
    let finish = Finish {
        code: &callback["code"],
        issuer: callback.get("iss").map(String::as_str),
        verifier: VERIFIER,
        nonce: NONCE,
        now: at(0),
    };
    provider.finish(&finish).await
}

/// A whole sign-in.
pub(crate) async fn sign_in(provider: &Provider) -> Result<Verified, ProviderError> {
    let url = begin(provider).await;
    finish(provider, &visit(&url).await).await
}

/// A refresh of this person.
pub(crate) async fn refresh(
    provider: &Provider,
    token: &Private,
    subject: &str,
) -> Result<Verified, ProviderError> {
    let refresh = Refresh {
        token,
        subject,
        now: at(1),
    };
    provider.refresh(&refresh).await
}

/// The stable name of the error.
pub(crate) fn code<T>(outcome: Result<T, ProviderError>) -> &'static str {
    match outcome {
        Ok(_) => "no error",
        Err(error) => error.code(),
    }
}

/// The object with these members replaced; `null` takes one away.
pub(crate) fn but(base: &Value, changes: &Value) -> Value {
    let mut whole = base.clone();
    let members = whole.as_object_mut().expect("an object");
    for (name, value) in changes.as_object().expect("an object") {
        members.insert(name.clone(), value.clone());
    }
    members.retain(|_, value| !value.is_null());
    whole
}
