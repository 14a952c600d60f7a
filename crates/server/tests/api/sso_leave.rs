//! How people who sign in at an identity provider leave: on its word, and on that of an admin.

use claviger_testkit::stand_in::{Kind, OidcStandIn, Signer};
use serde_json::{Value, json};

use crate::{
    ask::Answer,
    idp::{COOKIE, Idp, come_back, go_away, oidc, seconds, session_of, set_cookie, sign_in},
    service::{ADMIN, Backend, Minted, Service},
    sso::place_of_leaving,
};

on_each_database!(
    sign_out_tells_an_oidc_provider_which_session,
    provider_signs_people_out_over_the_back_channel,
    logout_token_counts_once,
    logout_token_ends_no_session_that_began_after_it,
    forged_logout_token_ends_nothing,
    suspended_member_is_refused_at_the_next_request,
    removed_member_is_refused_at_the_next_request,
);

/// What a logout token says.
fn logout_claims(provider: &OidcStandIn, changes: &Value) -> Value {
    let mut claims = provider.claims("");
    let members = claims.as_object_mut().expect("an object");
    members.remove("nonce");
    members.insert("jti".to_owned(), json!("j1"));
    members.insert(
        "events".to_owned(),
        json!({"http://schemas.openid.net/event/backchannel-logout": {}}),
    );
    for (name, value) in changes.as_object().expect("an object") {
        members.insert(name.clone(), value.clone());
    }
    members.retain(|_, value| !value.is_null());
    claims
}

fn logout_token(provider: &OidcStandIn, changes: &Value) -> String {
    let claims = logout_claims(provider, changes);
    let header = json!({"typ": "logout+jwt"});
    provider.with(|state| state.signer.sign_as(&header, &claims))
}

async fn say_logout(service: &Service, token: &str) -> Answer {
    let ask = service.ask("POST", "/oidc/back-channel-logout");
    ask.form(&[("logout_token", token)]).send().await
}

async fn whoami(service: &Service, cookie: &str) -> Answer {
    service.ask_in(cookie, "GET", "/org/whoami").send().await
}

async fn sign_out_tells_an_oidc_provider_which_session(backend: Backend) {
    let (service, provider) = oidc(backend).await;
    let cookie = sign_in(&service).await;
    let me = whoami(&service, &cookie).await.ok(200);
    assert_eq!(me["actor"], "session:ada");
    assert_eq!(me["person"]["email"], "ada@example.com");
    let out = service
        .ask_in(&cookie, "POST", "/canvas/sign-out")
        .send()
        .await;
    assert_eq!(out.status, 200);
    assert!(set_cookie(&out, COOKIE).is_some_and(|cookie| cookie.contains("Max-Age=0")));
    let place = place_of_leaving(&out.text());
    let expected = format!("{}/logout?tenant=1&", provider.issuer());
    assert!(place.starts_with(&expected), "{place}");
    assert!(place.contains("id_token_hint=ey"), "{place}");
    assert!(
        place
            .contains("post_logout_redirect_uri=https%3A%2F%2Fkeys.example.com%2Fcanvas%2Fsign-in"),
        "{place}"
    );
    whoami(&service, &cookie)
        .await
        .problem(401, "session_ended");
}

async fn provider_signs_people_out_over_the_back_channel(backend: Backend) {
    let (mut service, provider) = oidc(backend).await;
    let here = sign_in(&service).await;
    provider.with(|state| state.claims = json!({"role": "admin", "sid": "s2"}));
    let there = sign_in(&service).await;
    provider.with(|state| state.claims = json!({"role": "admin", "sid": "s3", "sub": "bob"}));
    provider.with(|state| state.userinfo = json!({"sub": "bob"}));
    let other = sign_in(&service).await;
    provider.with(|state| state.claims = json!({"role": "admin"}));

    // One session of the provider; then all of a person.
    let said = say_logout(&service, &logout_token(&provider, &json!({}))).await;
    assert_eq!(said.ok(200), json!({"sessions": 1}));
    assert_eq!(said.header("cache-control"), Some("no-store"));
    whoami(&service, &here).await.problem(401, "session_ended");
    whoami(&service, &there).await.ok(200);
    let all = logout_token(&provider, &json!({"sid": null, "jti": "j2"}));
    let said = say_logout(&service, &all).await;
    assert_eq!(said.ok(200), json!({"sessions": 1}));
    for _ in 0..2 {
        for cookie in [&here, &there] {
            whoami(&service, cookie).await.problem(401, "session_ended");
        }
        whoami(&service, &other).await.ok(200);
        service.restart().await;
    }
    let records = service.audit(ADMIN, "&actor=session:ada").await;
    let ended = records.iter().filter(|record| {
        record["change"]["sessions_ended"]
            .as_array()
            .is_some_and(|ended| ended.len() == 1)
    });
    assert_eq!(ended.count(), 2, "{records:?}");
}

async fn logout_token_counts_once(backend: Backend) {
    let (mut service, provider) = oidc(backend).await;
    sign_in(&service).await;
    let token = logout_token(&provider, &json!({"sid": null}));
    say_logout(&service, &token).await.ok(200);
    let cookie = sign_in(&service).await;
    for _ in 0..2 {
        let again = say_logout(&service, &token).await;
        assert_eq!(again.field(400, "bad_logout_token"), "logout_token");
        // Nor can what is remembered of it be taken away.
        let path = "/canvas/sign-in/callback?code=c&state=claviger%20logout%0Aj1";
        assert_eq!(come_back(&service, path, "a=b").await.status, 401);
        whoami(&service, &cookie).await.ok(200);
        service.restart().await;
    }
}

async fn logout_token_ends_no_session_that_began_after_it(backend: Backend) {
    let (service, provider) = oidc(backend).await;
    let cookie = sign_in(&service).await;
    let past = seconds() - 90;
    for (token, ended) in [
        (json!({"sid": null, "iat": past}), 0),
        (json!({"iat": past, "jti": "j2"}), 0),
        (json!({"jti": "j3"}), 1),
    ] {
        let said = say_logout(&service, &logout_token(&provider, &token)).await;
        assert_eq!(said.ok(200), json!({"sessions": ended}), "{token}");
        let me = whoami(&service, &cookie).await;
        assert_eq!(me.status, if ended == 0 { 200 } else { 401 }, "{token}");
    }
}

async fn forged_logout_token_ends_nothing(backend: Backend) {
    let (service, provider) = oidc(backend).await;
    let cookie = sign_in(&service).await;
    let header = json!({"typ": "logout+jwt"});
    let claims = logout_claims(&provider, &json!({}));
    let impostor = Signer::of("key-1", Kind::P256);
    let signed = |changes: Value| logout_token(&provider, &changes);
    for token in [
        impostor.sign_as(&header, &claims),
        impostor.unsigned(&claims),
        impostor.sign_shared(
            provider
                .with(|state| state.published[0].to_string())
                .as_bytes(),
            &claims,
        ),
        signed(json!({"iss": "https://evil.example"})),
        signed(json!({"aud": "other"})),
        signed(json!({"nonce": "n"})),
        signed(json!({"events": null})),
        signed(json!({"jti": null})),
        signed(json!({"iat": 1_000_000_000, "exp": 1_000_000_300})),
        "a.b.c".to_owned(),
    ] {
        let said = say_logout(&service, &token).await;
        assert_eq!(
            said.field(400, "bad_logout_token"),
            "logout_token",
            "{token}"
        );
    }
    let bare = service.ask("POST", "/oidc/back-channel-logout");
    bare.form(&[("other", "x")])
        .send()
        .await
        .problem(400, "bad_form");
    whoami(&service, &cookie).await.ok(200);
    let idp = Idp::start(backend).await;
    let said = say_logout(&idp.service, &signed(json!({}))).await;
    said.problem(400, "bad_logout_token");
}

/// A session of somebody, its access token, and a key that it made.
async fn member(idp: &Idp) -> (String, String, Minted) {
    idp.visitor("user_1", "admin");
    let cookie = idp.sign_in().await;
    let key = idp.service.ask_in(&cookie, "POST", "/org/tokens");
    let key = Minted::of(&key.json(&json!({"name": "k"})).send().await.ok(201));
    let token = idp.access_token();
    idp.service.get(&token, "/org/whoami").await;
    (cookie, token, key)
}

async fn expect_no_way_in(idp: &Idp, code: &str) {
    let away = go_away(&idp.service, "").await;
    let answer = come_back(&idp.service, &away.back, away.cookie()).await;
    assert!(answer.is(401).contains(code));
    assert!(session_of(&answer).is_none());
    let token = idp.access_token();
    let me = idp
        .service
        .ask_as(&token, "GET", "/org/whoami")
        .send()
        .await;
    me.problem(401, code);
}

async fn suspended_member_is_refused_at_the_next_request(backend: Backend) {
    let idp = Idp::start(backend).await;
    let service = &idp.service;
    let (cookie, token, key) = member(&idp).await;
    let suspend = service.ask_as(ADMIN, "POST", "/org/members/user_1/suspend");
    suspend.send().await.ok(200);
    whoami(service, &cookie).await.problem(401, "session_ended");
    let by = |token: &str| service.ask_as(token, "GET", "/org/whoami").send();
    by(&token).await.problem(401, "person_suspended");
    by(&key.secret).await.problem(401, "minter_inactive");
    expect_no_way_in(&idp, "person_suspended").await;
    let restore = service.ask_as(ADMIN, "POST", "/org/members/user_1/restore");
    restore.send().await.ok(200);
    whoami(service, &cookie).await.problem(401, "session_ended");
    by(&token).await.ok(200);
    by(&key.secret).await.ok(200);
    let back = idp.sign_in().await;
    whoami(service, &back).await.ok(200);
}

async fn removed_member_is_refused_at_the_next_request(backend: Backend) {
    let mut idp = Idp::start(backend).await;
    let (cookie, token, key) = member(&idp).await;
    let remove = idp.service.ask_as(ADMIN, "DELETE", "/org/members/user_1");
    let removed = remove.send().await.ok(200);
    assert_eq!(removed["revoked_prefixes"], json!([key.prefix]));
    for _ in 0..2 {
        let service = &idp.service;
        whoami(service, &cookie).await.problem(401, "session_ended");
        let page = service.ask_in(&cookie, "GET", "/canvas/keys").send().await;
        assert_eq!(page.status, 303);
        let by = |token: &str| service.ask_as(token, "GET", "/org/whoami").send();
        by(&token).await.problem(401, "person_removed");
        by(&key.secret).await.problem(401, "token_revoked");
        expect_no_way_in(&idp, "person_removed").await;
        idp.service.restart().await;
    }
}
