//! A real OIDC provider that is not ours, from the first redirect to its word that somebody is out.

use std::collections::HashMap;

use claviger_core::role::Role;
use claviger_server::{
    clock,
    config::{OidcConfig, ProviderKind},
    provider::{Begin, Finish, LogoutUrl, Provider, ProviderError, Refresh, Verified},
};
use serde_json::{Value, json};
use url::Url;

use crate::{
    node::NodeProvider,
    support::{NONCE, PUBLIC_URL, VERIFIER, client, code, oidc_config, provider},
};

const CALLBACK: &str = "https://keys.example.com/canvas/sign-in/callback";

/// The provider, and ours for it.
fn bed(
    arguments: &[&str],
    change: impl FnOnce(&mut OidcConfig),
) -> Option<(NodeProvider, Provider)> {
    let usual = [
        "--redirect-uri",
        CALLBACK,
        "--post-logout-redirect-uri",
        "https://keys.example.com/canvas/sign-in",
    ];
    let node = NodeProvider::start(&[&usual, arguments].concat())?;
    let mut config = oidc_config(node.fact("issuer"));
    let secret = node.fact("client_secret");
    config.client_secret = (!secret.is_empty()).then(|| secret.to_owned().into());
    config.org_claim = Some("org".to_owned());
    config.role_claim = Some("role".to_owned());
    change(&mut config);
    let provider = provider(ProviderKind::Oidc(config));
    Some((node, provider))
}

/// Walks as a browser does, with cookies, until it is sent back to us.
async fn walk(mut url: Url) -> HashMap<String, String> {
    let client = client();
    let mut jar: HashMap<String, String> = HashMap::new();
    for _ in 0..10 {
        let cookies: Vec<_> = jar
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let request = client.get(url.clone()).header("cookie", cookies.join("; "));
        let response = request.send().await.expect("an answer");
        for line in response.headers().get_all("set-cookie") {
            let line = line.to_str().expect("text");
            let pair = line.split(';').next().and_then(|pair| pair.split_once('='));
            let (name, value) = pair.expect("a cookie");
            jar.insert(name.to_owned(), value.to_owned());
        }
        let to = response.headers().get("location").expect("a redirect");
        url = url.join(to.to_str().expect("text")).expect("an address");
        if url.as_str().starts_with(PUBLIC_URL) {
            return url.query_pairs().into_owned().collect();
        }
    }
    panic!("too many redirects")
}

/// Signs this person in, up to what the browser brings back.
async fn arrive(provider: &Provider, login: &str) -> HashMap<String, String> {
    let begin = Begin {
        state: "state-1",
        nonce: NONCE,
        verifier: VERIFIER,
        org: None,
        now: clock::now(),
    };
    let mut url = provider.begin(&begin).await.expect("an address");
    url.query_pairs_mut().append_pair("login_hint", login);
    walk(url).await
}

async fn finish(
    provider: &Provider,
    callback: &HashMap<String, String>,
) -> Result<Verified, ProviderError> {
    assert_eq!(callback["state"], "state-1");
    let finish = Finish {
        code: callback.get("code").map_or("", String::as_str),
        issuer: callback.get("iss").map(String::as_str),
        verifier: VERIFIER,
        nonce: NONCE,
        now: clock::now(),
    };
    provider.finish(&finish).await
}

async fn sign_in(provider: &Provider, login: &str) -> Result<Verified, ProviderError> {
    let callback = arrive(provider, login).await;
    finish(provider, &callback).await
}

async fn refresh(provider: &Provider, verified: &Verified) -> Result<Verified, ProviderError> {
    let refresh = Refresh {
        token: verified.refresh_token.as_ref().expect("a refresh token"),
        subject: &verified.subject,
        now: clock::now(),
    };
    provider.refresh(&refresh).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_sign_in_whichever_way_the_provider_is_set_up() {
    for (arguments, name) in [
        (&[][..], "a secret, claims in the ID token"),
        (&["--claims-in", "userinfo"], "claims at userinfo"),
        (&["--public-client"], "a public client"),
        (&["--alg", "ES256"], "ES256"),
    ] {
        let Some((node, provider)) = bed(arguments, |_| {}) else {
            return;
        };
        let verified = sign_in(&provider, "editor").await;
        let verified = verified.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert_eq!(verified.subject, "user_editor", "{name}");
        assert_eq!(verified.issuer, node.fact("issuer"), "{name}");
        assert_eq!(verified.org, "default", "{name}");
        assert_eq!(
            verified.email.as_deref(),
            Some("editor@example.com"),
            "{name}"
        );
        assert_eq!(verified.name.as_deref(), Some("Edgar Editor"), "{name}");
        assert_eq!(verified.role, Some(Role::Editor), "{name}");
        let again = refresh(&provider, &verified).await;
        let again = again.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert_eq!(again.subject, verified.subject, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn code_and_refresh_token_count_once() {
    let Some((node, provider)) = bed(&[], |_| {}) else {
        return;
    };
    let callback = arrive(&provider, "admin").await;
    let verified = finish(&provider, &callback).await.expect("a person");
    assert_eq!(code(finish(&provider, &callback).await), "code_spent");

    let verified = match refresh(&provider, &verified).await {
        // A code that was used twice takes the tokens of its first use with it.
        Err(error) => {
            assert_eq!(error.code(), "session_ended");
            sign_in(&provider, "admin").await.expect("a person")
        }
        Ok(_) => panic!("the provider forgave a code that was used twice"),
    };
    let next = refresh(&provider, &verified).await.expect("a person");
    assert_eq!(code(refresh(&provider, &verified).await), "session_ended");
    // And with the old one used twice, the new one has ended too.
    assert_eq!(code(refresh(&provider, &next).await), "session_ended");

    let verified = sign_in(&provider, "admin").await.expect("a person");
    node.order("delete-account", &json!({"login": "admin"}))
        .await;
    assert_eq!(code(refresh(&provider, &verified).await), "session_ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn falsified_answers_do_not_sign_in() {
    let Some((node, provider)) = bed(&[], |_| {}) else {
        return;
    };
    sign_in(&provider, "admin").await.expect("a person");
    for (id_token, expected) in [
        (json!({"key": "none"}), "wrong_algorithm"),
        (json!({"key": "public-as-hmac"}), "wrong_algorithm"),
        (json!({"key": "foreign-same-kid"}), "bad_signature"),
        (json!({"key": "foreign"}), "unknown_key"),
        (
            json!({"claims": {"iss": "https://evil.example"}}),
            "wrong_issuer",
        ),
        (json!({"claims": {"aud": "other"}}), "wrong_audience"),
        (json!({"claims": {"nonce": "other"}}), "other_sign_in"),
        (json!({"claims": {"exp": 1_700_000_000}}), "expired"),
        (
            json!({"claims": {"nbf": 4_000_000_000_u64}}),
            "not_yet_valid",
        ),
        (json!({"claims": {"at_hash": "AAAA"}}), "other_sign_in"),
        (json!({"claims": {"org": null}}), "no error"),
    ] {
        node.order("tamper", &json!({"id_token": id_token})).await;
        let outcome = sign_in(&provider, "admin").await;
        // Without an org in the ID token `userinfo` is asked, which has it.
        assert_eq!(code(outcome), expected, "{id_token}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn access_tokens_are_taken_from_people_of_our_audience() {
    let audience = "https://claviger.test";
    let change = |config: &mut OidcConfig| config.audience = Some(audience.to_owned());
    let Some((node, provider)) = bed(&["--audience", audience], change) else {
        return;
    };
    let ask = async |order: Value| {
        let answer = node.order("access-token", &order).await;
        let token = answer["access_token"].as_str().expect("a token").to_owned();
        provider.verify_access_token(&token, clock::now()).await
    };
    let verified = ask(json!({"login": "reader"})).await.expect("a person");
    assert_eq!(verified.subject, "user_reader");
    assert_eq!(verified.role, Some(Role::Reader));
    assert_eq!(verified.email.as_deref(), Some("reader@example.com"));
    for (order, expected) in [
        (
            json!({"login": "admin", "audience": "claviger"}),
            "wrong_audience",
        ),
        (json!({"login": "admin", "key": "none"}), "wrong_algorithm"),
        (
            json!({"login": "admin", "key": "public-as-hmac"}),
            "wrong_algorithm",
        ),
        (
            json!({"login": "admin", "key": "foreign-same-kid"}),
            "bad_signature",
        ),
        (json!({"login": "admin", "claims": {"org": null}}), "no_org"),
        (
            json!({"login": "admin", "claims": {"exp": 1_700_000_000}}),
            "expired",
        ),
        (
            json!({"login": "admin", "claims": {"sub": "claviger"}}),
            "not_a_person",
        ),
        (
            json!({"login": "admin", "header": {"typ": "logout+jwt"}}),
            "wrong_kind",
        ),
    ] {
        assert_eq!(code(ask(order.clone()).await), expected, "{order}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sign_out_is_said_to_the_provider_and_by_the_provider() {
    let Some((node, provider)) = bed(&[], |_| {}) else {
        return;
    };
    let verified = sign_in(&provider, "admin").await.expect("a person");
    let logout = LogoutUrl {
        id_token: verified.id_token.as_ref(),
        provider_session: None,
        return_to: "https://keys.example.com/canvas/sign-in",
        now: clock::now(),
    };
    let url = provider
        .logout_url(&logout)
        .await
        .expect("an answer")
        .expect("an address");
    let answer = client().get(url).send().await.expect("an answer");
    // The page that asks: the client and the place to return to were accepted.
    assert_eq!(answer.status(), 200);

    let answer = node
        .order("logout-token", &json!({"login": "admin", "sid": "s1"}))
        .await;
    let token = answer["logout_token"].as_str().expect("a token");
    let logout = provider
        .verify_logout_token(token, clock::now())
        .await
        .expect("a logout");
    assert_eq!(logout.subject.as_deref(), Some("user_admin"));
    assert_eq!(logout.provider_session.as_deref(), Some("s1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn provider_changes_its_keys_goes_away_and_comes_back() {
    let Some((node, provider)) = bed(&[], |_| {}) else {
        return;
    };
    let old = node
        .order(
            "access-token",
            &json!({"login": "admin", "claims": {"nonce": null}}),
        )
        .await;
    let old = old["access_token"].as_str().expect("a token").to_owned();
    let now = clock::now();
    let later = now.plus(std::time::Duration::from_secs(31));
    assert_eq!(
        code(provider.verify_access_token(&old, now).await),
        "no error"
    );
    node.order("rotate-keys", &json!({"keep": true})).await;
    let new = node.order("access-token", &json!({"login": "admin"})).await;
    let new = new["access_token"].as_str().expect("a token");
    assert_eq!(
        code(provider.verify_access_token(new, later).await),
        "no error"
    );
    assert_eq!(
        code(provider.verify_access_token(&old, later).await),
        "no error"
    );

    let callback = arrive(&provider, "admin").await;
    node.order("down", &json!({})).await;
    assert_eq!(
        code(finish(&provider, &callback).await),
        "provider_unreachable"
    );
    assert_eq!(
        code(provider.verify_access_token(new, later).await),
        "no error"
    );
    node.order("up", &json!({})).await;
    assert_eq!(code(finish(&provider, &callback).await), "no error");
}
