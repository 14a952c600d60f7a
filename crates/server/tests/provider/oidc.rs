//! An OIDC provider, as it may be: with `userinfo` or without, with a secret or without, and not
//! what it says.

use claviger_core::role::Role;
use claviger_server::{
    config::{OidcConfig, ProviderConfig, ProviderKind},
    provider::{LogoutUrl, Private, Provider, ProviderError},
};
use claviger_testkit::stand_in::{OidcStandIn, Signer};
use serde_json::json;
use url::Url;

use crate::support::{
    NONCE, NOW, PUBLIC_URL, at, begin, but, code, finish, oidc_config, provider, refresh, sign_in,
    visit,
};

/// A provider with its settings changed.
async fn bed(change: impl FnOnce(&mut OidcConfig)) -> (OidcStandIn, Provider) {
    let stand_in = OidcStandIn::start(NOW).await;
    let mut config = oidc_config(stand_in.issuer());
    change(&mut config);
    let provider = provider(ProviderKind::Oidc(config));
    (stand_in, provider)
}

#[tokio::test]
async fn person_signs_in_and_userinfo_completes_what_the_token_leaves_out() {
    let (stand_in, provider) = bed(|_| {}).await;
    let verified = sign_in(&provider).await.expect("a person");
    assert_eq!(verified.subject, "ada");
    assert_eq!(verified.issuer, stand_in.issuer());
    assert_eq!(verified.org, "default");
    assert_eq!(verified.email.as_deref(), Some("ada@example.com"));
    assert_eq!((verified.role, verified.role_name), (None, None));
    assert_eq!(verified.provider_session.as_deref(), Some("s1"));
    assert!(verified.id_token.is_some() && verified.refresh_token.is_some());
    assert_eq!(verified.expires_at, at(300));
}

#[tokio::test]
async fn org_and_roles_come_from_claims() {
    let (stand_in, provider) = bed(|config| {
        config.org_claim = Some("https://claims.example/org".to_owned());
        config.role_claim = Some("realm_access.roles".to_owned());
    })
    .await;
    assert_eq!(code(sign_in(&provider).await), "no_org");
    stand_in.with(|state| {
        state.claims = json!({
            "https://claims.example/org": "Acme Inc",
            "realm_access": {"roles": ["offline_access", "reader", "editor"]},
        });
    });
    let verified = sign_in(&provider).await.expect("a person");
    assert_eq!(verified.org, "Acme Inc");
    assert_eq!(verified.role, Some(Role::Editor));
    assert_eq!(verified.role_name.as_deref(), Some("editor"));
    // What the token says counts before what `userinfo` says.
    stand_in.with(|state| {
        state.userinfo = json!({"sub": "ada", "realm_access": {"roles": ["admin"]}});
    });
    let verified = sign_in(&provider).await.expect("a person");
    assert_eq!(verified.role, Some(Role::Editor));
}

#[tokio::test]
async fn star_gives_everybody_a_role_who_signs_in_and_none_to_a_token_that_says_nothing() {
    let stand_in = OidcStandIn::start(NOW).await;
    let config = ProviderConfig {
        kind: ProviderKind::Oidc(oidc_config(stand_in.issuer())),
        roles: "*=reader".parse().expect("a map"),
        orgs: Default::default(),
        public_url: Url::parse(PUBLIC_URL).expect("an address"),
    };
    let provider = Provider::new(&config).expect("a provider");
    let verified = sign_in(&provider).await.expect("a person");
    assert_eq!(verified.role, Some(Role::Reader));
    let claims = but(&stand_in.claims(NONCE), &json!({"nonce": null}));
    let token = stand_in.with(|state| state.signer.sign(&claims));
    let verified = provider
        .verify_access_token(&token, at(0))
        .await
        .expect("a person");
    assert_eq!((verified.role, verified.role_name), (None, None));
}

#[tokio::test]
async fn secret_goes_where_the_provider_takes_it() {
    let secret = "s&cret=1";
    let with_secret =
        |config: &mut OidcConfig| config.client_secret = Some(secret.to_owned().into());
    let (stand_in, provider) = bed(with_secret).await;
    sign_in(&provider).await.expect("a person");
    stand_in.with(|state| {
        // RFC 6749, 2.3.1: each half is encoded as in a form, then both in base64.
        assert_eq!(
            state.authorization.as_deref(),
            Some("Basic Y2xhdmlnZXI6cyUyNmNyZXQlM0Qx")
        );
        assert!(!state.form.contains_key("client_secret"));
    });

    let (stand_in, provider) = bed(with_secret).await;
    stand_in.with(|state| {
        state.description =
            json!({"token_endpoint_auth_methods_supported": ["client_secret_post"]});
    });
    sign_in(&provider).await.expect("a person");
    stand_in.with(|state| {
        assert_eq!(state.authorization, None);
        assert_eq!(state.form["client_secret"], secret);
        assert_eq!(state.form["client_id"], "claviger");
    });

    let (stand_in, provider) = bed(|_| {}).await;
    sign_in(&provider).await.expect("a person");
    stand_in.with(|state| {
        assert_eq!(state.authorization, None);
        assert_eq!(state.form["client_id"], "claviger");
        assert_eq!(
            state.form["redirect_uri"],
            "https://keys.example.com/canvas/sign-in/callback"
        );
    });
}

#[tokio::test]
async fn browser_is_asked_with_state_nonce_and_challenge() {
    let (_stand_in, provider) = bed(|_| {}).await;
    let url = begin(&provider).await;
    let query: std::collections::HashMap<_, _> = url.query_pairs().into_owned().collect();
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", "claviger"),
        (
            "redirect_uri",
            "https://keys.example.com/canvas/sign-in/callback",
        ),
        ("scope", "openid profile email"),
        ("state", "state-1"),
        ("nonce", NONCE),
        (
            "code_challenge",
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        ),
        ("code_challenge_method", "S256"),
    ] {
        assert_eq!(query[name], value, "{name}");
    }
    assert_eq!(query.len(), 8);
}

#[tokio::test]
async fn code_counts_once() {
    let (_stand_in, provider) = bed(|_| {}).await;
    let callback = visit(&begin(&provider).await).await;
    assert!(finish(&provider, &callback).await.is_ok());
    assert_eq!(code(finish(&provider, &callback).await), "code_spent");
}

#[tokio::test]
async fn answer_of_another_provider_is_not_taken_for_this_ones() {
    let (stand_in, provider) = bed(|_| {}).await;
    let mut callback = visit(&begin(&provider).await).await;
    callback.insert("iss".to_owned(), "https://evil.example".to_owned());
    assert_eq!(code(finish(&provider, &callback).await), "wrong_issuer");
    // A provider that promises `iss` must keep it, one that does not need not.
    callback.remove("iss");
    assert_eq!(code(finish(&provider, &callback).await), "no error");
    drop(stand_in);

    let (stand_in, provider) = bed(|_| {}).await;
    let promise = json!({"authorization_response_iss_parameter_supported": true});
    stand_in.with(|state| state.description = promise);
    let mut callback = visit(&begin(&provider).await).await;
    callback.remove("iss");
    assert_eq!(code(finish(&provider, &callback).await), "wrong_issuer");
}

#[tokio::test]
async fn refresh_brings_who_it_is_with_an_id_token_or_without() {
    let (stand_in, provider) = bed(|_| {}).await;
    let first = sign_in(&provider).await.expect("a person");
    let token = first.refresh_token.expect("a refresh token");
    let second = refresh(&provider, &token, "ada").await.expect("a person");
    let next = second.refresh_token.expect("a refresh token");
    assert_ne!(next.expose(), token.expose());
    assert_eq!(
        code(refresh(&provider, &token, "ada").await),
        "session_ended"
    );

    stand_in.with(|state| state.has_id_token = false);
    let third = refresh(&provider, &next, "ada").await.expect("a person");
    assert_eq!(third.email.as_deref(), Some("ada@example.com"));
    assert!(third.id_token.is_none());
    let next = third.refresh_token.expect("a refresh token");
    stand_in.with(|state| state.userinfo = json!({"sub": "mallory"}));
    assert_eq!(code(refresh(&provider, &next, "ada").await), "other_person");
}

#[tokio::test]
async fn audience_of_its_own_lets_other_clients_ask_for_people() {
    let (stand_in, provider) =
        bed(|config| config.audience = Some("urn:claviger".to_owned())).await;
    let claims = but(
        &stand_in.claims(NONCE),
        &json!({"nonce": null, "aud": "urn:claviger", "azp": "script"}),
    );
    let sign = |changes| stand_in.with(|state| state.signer.sign(&but(&claims, &changes)));
    for (token, expected) in [
        (sign(json!({})), "no error"),
        (sign(json!({"aud": "claviger"})), "wrong_audience"),
        (sign(json!({"sub": "script"})), "not_a_person"),
    ] {
        assert_eq!(
            code(provider.verify_access_token(&token, at(0)).await),
            expected
        );
    }
}

#[tokio::test]
async fn sign_out_goes_to_the_end_session_endpoint() {
    let (stand_in, provider) = bed(|_| {}).await;
    let id_token = Private::new("x.y.z".to_owned());
    let logout = LogoutUrl {
        id_token: Some(&id_token),
        provider_session: Some("s1"),
        return_to: "https://keys.example.com/canvas/sign-in",
        now: at(0),
    };
    let url = provider.logout_url(&logout).await.expect("an answer");
    let expected = "/logout?tenant=1&client_id=claviger&post_logout_redirect_uri=https%3A%2F%2Fkeys.example.com%2Fcanvas%2Fsign-in&id_token_hint=x.y.z";
    assert_eq!(
        url.expect("an address").as_str(),
        format!("{}{expected}", stand_in.issuer())
    );

    let (stand_in, provider) = bed(|_| {}).await;
    stand_in.with(|state| state.description = json!({"end_session_endpoint": null}));
    assert_eq!(provider.logout_url(&logout).await, Ok(None));
}

#[tokio::test]
async fn provider_that_is_not_what_the_settings_say_is_unfit() {
    for description in [
        json!({"issuer": "https://other.example"}),
        json!({"issuer": null}),
        json!({"token_endpoint": null}),
        json!({"jwks_uri": "http://id.example.com/keys"}),
        json!({"authorization_endpoint": "javascript:alert(1)"}),
        json!({"token_endpoint": "no address"}),
        // A redirect is not followed: nobody said that this place is the provider's.
        json!({"jwks_uri": "REDIRECT"}),
    ] {
        let (stand_in, provider) = bed(|_| {}).await;
        let place = format!(
            "{}/authorize?redirect_uri={}/keys",
            stand_in.issuer(),
            stand_in.issuer()
        );
        let text = description.to_string().replace("REDIRECT", &place);
        let description = serde_json::from_str(&text).expect("JSON");
        stand_in.with(|state| state.description = description);
        let error = provider.probe(at(0)).await.expect_err(&text);
        assert_eq!(error.code(), "provider_unfit", "{text}");
        assert!(error.cause().is_some());
    }
    for keys in [
        vec![],
        vec![json!({"kty": "oct", "k": "AA"})],
        (0..101).map(|_| json!({})).collect(),
        vec![but(
            &Signer::new("large").jwk(),
            &json!({"x5c": "x".repeat(1024 * 1024)}),
        )],
    ] {
        let (stand_in, provider) = bed(|_| {}).await;
        stand_in.with(|state| state.published = keys);
        assert_eq!(code(provider.probe(at(0)).await), "provider_unfit");
    }
    let (_stand_in, provider) = bed(|config| config.issuer_text.push('/')).await;
    let error = provider.probe(at(0)).await.expect_err("another issuer");
    assert!(
        error
            .cause()
            .is_some_and(|cause| cause.contains("to the letter")),
        "{error:?}"
    );
}

#[tokio::test]
async fn refusals_that_the_browser_brings_are_told_apart() {
    for (word, expected) in [
        ("access_denied", "denied"),
        ("temporarily_unavailable", "provider_unreachable"),
        ("invalid_scope", "provider_unfit"),
        ("\u{202e}\n", "provider_unfit"),
    ] {
        assert_eq!(
            ProviderError::of_callback(word).code(),
            expected,
            "{word:?}"
        );
    }
}
