//! Tokens that are not what they say: of `WorkOS`, of an OIDC provider, for a sign-out.

use claviger_server::config::ProviderKind;
use claviger_testkit::stand_in::{Kind, OidcStandIn, Signer, WorkosStandIn, WorkosUser};
use serde_json::{Value, json};

use crate::support::{NONCE, NOW, at, but, code, oidc_config, provider, sign_in, workos_config};

#[tokio::test]
async fn forged_access_tokens_of_workos_are_refused() {
    let stand_in = WorkosStandIn::start(NOW).await;
    let provider = provider(ProviderKind::Workos(workos_config(&stand_in)));
    let (claims, jwk) = stand_in.with(|state| {
        let claims = state.token_claims(&WorkosUser::default(), "session_1");
        (claims, state.published[0].clone())
    });
    let signed = |changes: Value| stand_in.with(|state| state.signer.sign(&but(&claims, &changes)));
    let headed = |header: Value| stand_in.with(|state| state.signer.sign_as(&header, &claims));
    // Somebody else's key under the name of the provider's.
    let impostor = Signer::impostor("sso_oidc_key_1");
    let unknown = Signer::new("sso_oidc_key_2");
    let good = signed(json!({}));
    let (head, signature) = good.rsplit_once('.').expect("three parts");
    let (header, _) = head.split_once('.').expect("three parts");
    let other = signed(json!({"role": "member"}));
    let other_payload = other.split('.').nth(1).expect("three parts");
    let modulus = jwk["n"].as_str().expect("text").to_owned();

    for (token, expected) in [
        (good.clone(), "no error"),
        (
            signed(json!({"iss": "https://api.workos.com/"})),
            "no error",
        ),
        (
            signed(json!({"iss": "https://api.workos.com/user_management/client_123456789"})),
            "no error",
        ),
        (impostor.unsigned(&claims), "wrong_algorithm"),
        (
            impostor.sign_shared(jwk.to_string().as_bytes(), &claims),
            "wrong_algorithm",
        ),
        (
            impostor.sign_shared(modulus.as_bytes(), &claims),
            "wrong_algorithm",
        ),
        (impostor.sign(&claims), "bad_signature"),
        (unknown.sign(&claims), "unknown_key"),
        (headed(json!({"kid": "no-such-key"})), "unknown_key"),
        // A key is for one algorithm, and of one kind.
        (headed(json!({"alg": "PS256"})), "unknown_key"),
        (headed(json!({"alg": "ES256"})), "unknown_key"),
        (headed(json!({"alg": "HS256"})), "wrong_algorithm"),
        (headed(json!({"alg": "none"})), "wrong_algorithm"),
        (headed(json!({"alg": "None"})), "wrong_algorithm"),
        (headed(json!({"alg": null})), "malformed_token"),
        (
            headed(json!({"crit": ["exp"], "exp": 1})),
            "malformed_token",
        ),
        (headed(json!({"typ": "logout+jwt"})), "wrong_kind"),
        // The key that the header brings along is nobody's.
        (
            impostor.sign_as(&json!({"jwk": impostor.jwk()}), &claims),
            "bad_signature",
        ),
        (
            signed(json!({"iss": "https://evil.example"})),
            "wrong_issuer",
        ),
        (
            signed(json!({"iss": "https://api.workos.com/user_management/client_2"})),
            "wrong_issuer",
        ),
        (signed(json!({"client_id": "client_2"})), "wrong_audience"),
        (signed(json!({"aud": "client_2"})), "wrong_audience"),
        (signed(json!({"exp": NOW - 60})), "expired"),
        (signed(json!({"exp": null})), "malformed_token"),
        (signed(json!({"nbf": NOW + 61})), "not_yet_valid"),
        (signed(json!({"iat": NOW + 61})), "not_yet_valid"),
        (
            signed(json!({"sub": "user_1\nadmin-token"})),
            "malformed_token",
        ),
        (signed(json!({"sub": "client_123456789"})), "not_a_person"),
        (signed(json!({"org_id": null})), "no_org"),
        (
            format!("{header}.{other_payload}.{signature}"),
            "bad_signature",
        ),
        (format!("{head}."), "bad_signature"),
        (format!("{head}.AAAA"), "bad_signature"),
        (format!("{good}="), "bad_signature"),
        (head.to_owned(), "malformed_token"),
        (format!("{good}.x"), "malformed_token"),
        (String::new(), "malformed_token"),
        ("..".to_owned(), "malformed_token"),
        ("x".repeat(20_000), "malformed_token"),
        (
            signed(json!({"more": "x".repeat(20_000)})),
            "malformed_token",
        ),
    ] {
        let outcome = provider.verify_access_token(&token, at(0)).await;
        assert_eq!(code(outcome), expected, "{token}");
    }
    // All those names of keys cost no request more than the first, for half a minute.
    assert_eq!(stand_in.with(|state| state.key_requests), 1);
}

#[tokio::test]
async fn forged_answers_do_not_sign_in() {
    let stand_in = OidcStandIn::start(NOW).await;
    let provider = provider(ProviderKind::Oidc(oidc_config(stand_in.issuer())));
    for (claims, expected) in [
        (json!({}), "no error"),
        (json!({"nonce": "another"}), "other_sign_in"),
        (json!({"nonce": null}), "other_sign_in"),
        (json!({"iss": "https://evil.example"}), "wrong_issuer"),
        (json!({"aud": "other"}), "wrong_audience"),
        (
            json!({"aud": ["claviger", "other"], "azp": "other"}),
            "wrong_audience",
        ),
        (json!({"exp": NOW - 60}), "expired"),
        (json!({"iat": NOW + 61}), "not_yet_valid"),
        (json!({"sub": "a b"}), "malformed_token"),
        (json!({"sid": "a b"}), "malformed_token"),
        // The left half of SHA-256 of the access token, and that of something else.
        (
            json!({"at_hash": "0WXJmuCAtAblEDlE1JBUyA"}),
            "other_sign_in",
        ),
        (json!({"c_hash": "0WXJmuCAtAblEDlE1JBUyA"}), "other_sign_in"),
        (json!({"sub": "mallory"}), "other_person"),
    ] {
        stand_in.with(|state| state.claims = claims.clone());
        assert_eq!(code(sign_in(&provider).await), expected, "{claims}");
    }
    stand_in.with(|state| {
        state.claims = json!({});
        state.signer = Signer::of("key-1", Kind::P256).into();
    });
    assert_eq!(code(sign_in(&provider).await), "bad_signature");
}

#[tokio::test]
async fn access_tokens_are_no_id_tokens() {
    let stand_in = OidcStandIn::start(NOW).await;
    let provider = provider(ProviderKind::Oidc(oidc_config(stand_in.issuer())));
    let id_claims = stand_in.claims(NONCE);
    let claims = but(&id_claims, &json!({"nonce": null, "azp": "claviger"}));
    let header = json!({"typ": "at+jwt"});
    for (header, claims, expected) in [
        (&header, claims.clone(), "no error"),
        (&json!({}), claims.clone(), "no error"),
        (&json!({"typ": null}), claims.clone(), "no error"),
        (
            &json!({"typ": "application/at+JWT"}),
            claims.clone(),
            "no error",
        ),
        (
            &json!({"typ": "secevent+jwt"}),
            claims.clone(),
            "wrong_kind",
        ),
        (&json!({}), id_claims, "wrong_kind"),
        (
            &header,
            but(&claims, &json!({"at_hash": "x"})),
            "wrong_kind",
        ),
        (
            &header,
            but(&claims, &json!({"azp": "other"})),
            "wrong_audience",
        ),
        (
            &header,
            but(&claims, &json!({"aud": "other"})),
            "wrong_audience",
        ),
        (
            &header,
            but(&claims, &json!({"sub": "claviger"})),
            "not_a_person",
        ),
    ] {
        let token = stand_in.with(|state| state.signer.sign_as(header, &claims));
        let outcome = provider.verify_access_token(&token, at(0)).await;
        assert_eq!(code(outcome), expected, "{header} {claims}");
    }
}

#[tokio::test]
async fn logout_tokens_are_for_us_and_of_now() {
    let stand_in = OidcStandIn::start(NOW).await;
    let provider = provider(ProviderKind::Oidc(oidc_config(stand_in.issuer())));
    let event = json!({"http://schemas.openid.net/event/backchannel-logout": {}});
    let claims = but(
        &stand_in.claims(NONCE),
        &json!({"nonce": null, "jti": "j1", "events": event}),
    );
    let header = json!({"typ": "logout+jwt"});
    let sign = |header: &Value, claims: &Value| {
        stand_in.with(|state| state.signer.sign_as(header, claims))
    };
    let logout = provider
        .verify_logout_token(&sign(&header, &claims), at(0))
        .await;
    let logout = logout.expect("a logout");
    assert_eq!(logout.subject.as_deref(), Some("ada"));
    assert_eq!(logout.provider_session.as_deref(), Some("s1"));
    assert_eq!(logout.token_id, "j1");
    // Five minutes of life, and one for the clocks.
    assert_eq!(logout.remember_until, at(360));
    for (header, claims, expected) in [
        (
            &header,
            but(&claims, &json!({"nonce": NONCE})),
            "wrong_kind",
        ),
        (
            &header,
            but(&claims, &json!({"events": null})),
            "wrong_kind",
        ),
        (
            &header,
            but(&claims, &json!({"aud": "other"})),
            "wrong_audience",
        ),
        (
            &header,
            but(&claims, &json!({"jti": null})),
            "malformed_token",
        ),
        (
            &header,
            but(&claims, &json!({"sub": null, "sid": null})),
            "malformed_token",
        ),
        (&json!({"typ": "at+jwt"}), claims.clone(), "wrong_kind"),
        (&json!({"alg": "none"}), claims.clone(), "wrong_algorithm"),
    ] {
        let outcome = provider
            .verify_logout_token(&sign(header, &claims), at(0))
            .await;
        assert_eq!(code(outcome), expected, "{header} {claims}");
    }
    let late = provider
        .verify_logout_token(&sign(&header, &claims), at(360))
        .await;
    assert_eq!(code(late), "expired");
    // It signs nobody in.
    let outcome = provider
        .verify_access_token(&sign(&json!({}), &claims), at(0))
        .await;
    assert_eq!(code(outcome), "wrong_kind");
}

#[tokio::test]
async fn keys_of_other_kinds_are_good_for_their_own_algorithm() {
    let stand_in = OidcStandIn::start(NOW).await;
    let provider = provider(ProviderKind::Oidc(oidc_config(stand_in.issuer())));
    let claims = but(&stand_in.claims(NONCE), &json!({"nonce": null}));
    let signers = [("p", Kind::P256), ("e", Kind::Ed25519), ("r", Kind::Rsa)]
        .map(|(id, kind)| Signer::of(id, kind));
    let mut keys: Vec<_> = signers.iter().map(Signer::jwk).collect();
    // RSA says nothing of an algorithm: it may be PS256. And some that nobody can use.
    keys[2] = but(&keys[2], &json!({"alg": null, "use": null}));
    keys.push(but(&Signer::new("enc").jwk(), &json!({"use": "enc"})));
    keys.push(but(
        &Signer::new("ops").jwk(),
        &json!({"key_ops": ["encrypt"]}),
    ));
    keys.extend([
        json!({"kty": "oct", "kid": "o", "k": "c2VjcmV0"}),
        json!({"kty": "EC", "kid": "q", "crv": "secp256k1", "x": "AA", "y": "AA"}),
        json!({"kty": 7}),
        json!("no key"),
    ]);
    stand_in.with(|state| state.published = keys);
    for signer in &signers {
        let outcome = provider
            .verify_access_token(&signer.sign(&claims), at(0))
            .await;
        assert_eq!(code(outcome), "no error", "{signer:?}");
    }
    let pss = signers[2].sign_as(&json!({"alg": "PS256"}), &claims);
    let outcome = provider.verify_access_token(&pss, at(0)).await;
    assert_eq!(code(outcome), "no error");
    // One RSA key fits, so a token may leave its name out.
    let nameless = signers[2].sign_as(&json!({"kid": null}), &claims);
    let outcome = provider.verify_access_token(&nameless, at(0)).await;
    assert_eq!(code(outcome), "no error");
    for id in ["enc", "ops"] {
        let outcome = provider
            .verify_access_token(&Signer::new(id).sign(&claims), at(0))
            .await;
        assert_eq!(code(outcome), "unknown_key", "{id}");
    }
    let shared = signers[0].sign_shared(b"secret", &claims);
    let outcome = provider.verify_access_token(&shared, at(0)).await;
    assert_eq!(code(outcome), "wrong_algorithm");
}
