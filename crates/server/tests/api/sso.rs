//! Sign-in at an identity provider, through the routes that browsers and programs use.

use claviger_testkit::stand_in::Signer;
use futures_util::future::join_all;
use serde_json::json;

use crate::{
    idp::{
        COOKIE, Idp, PUBLIC_URL, come_back, go_away, seconds, session_of, set_cookie, sign_in,
        visit,
    },
    service::{ADMIN, Backend, Minted, Service, link_token, text},
};

on_each_database!(
    person_signs_in_at_the_provider,
    impersonator_stands_in_every_record,
    code_and_state_count_once,
    sign_in_of_another_browser_is_refused,
    person_without_a_role_or_an_org_here_gets_no_session,
    forged_access_tokens_are_refused,
    key_that_the_provider_publishes_ahead_is_taken_at_once,
    racing_requests_ask_the_provider_once,
    role_that_changed_at_the_provider_counts_from_the_next_word,
    session_that_the_provider_has_ended_ends_here,
    while_the_provider_is_down_people_read_and_nobody_new_gets_in,
    sign_out_goes_on_to_the_provider,
    local_ways_in_are_closed_where_a_provider_is_set,
    session_that_cannot_be_asked_about_again_ends,
);

const ADA: &str = "user_01HBEQKA6K4QJAS93VPE39W1JT";

async fn person_signs_in_at_the_provider(backend: Backend) {
    let idp = Idp::start(backend).await;
    let service = &idp.service;
    let page = service.ask("GET", "/canvas/sign-in").send().await.page();
    assert!(page.contains("/canvas/sign-in/provider"), "{page}");
    assert!(!page.contains("name=\"token\""), "{page}");

    let away = go_away(service, "/canvas/audit").await;
    let expected = format!("{}/user_management/authorize?", idp.workos.base());
    assert!(away.url.starts_with(&expected), "{}", away.url);
    assert!(away.url.contains("code_challenge_method=S256"));
    let held = away.cookie().split('=').nth(1).expect("a value");
    assert!(held.len() >= 43 && !away.url.contains(held));
    for part in [
        "; Path=/",
        "; HttpOnly",
        "; SameSite=Lax",
        "; Secure",
        "; Max-Age=600",
    ] {
        assert!(away.set_cookie.contains(part), "{}", away.set_cookie);
    }
    assert!(!away.set_cookie.contains("Domain"));

    let back = come_back(service, &away.back, away.cookie()).await;
    assert_eq!(
        (back.status, back.header("location")),
        (303, Some("/canvas/audit"))
    );
    assert_eq!(back.header("cache-control"), Some("no-store"));
    let cookie = set_cookie(&back, COOKIE).expect("a session");
    for part in [
        "; Path=/",
        "; HttpOnly",
        "; SameSite=Lax",
        "; Secure",
        "; Max-Age=86400",
    ] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("Domain"), "{cookie}");
    let gone = set_cookie(&back, "__Host-claviger-away=;").expect("taken away");
    assert!(gone.contains("Max-Age=0"), "{gone}");

    let cookie = session_of(&back).expect("a session");
    let key = service.ask_in(&cookie, "POST", "/org/tokens");
    let key = key.json(&json!({"name": "k"})).send().await.ok(201);
    let label = format!("session:{ADA}");
    assert_eq!(key["created_by"], *label);
    let me = service.ask_in(&cookie, "GET", "/org/whoami").send().await;
    let me = me.ok(200);
    assert_eq!((&me["actor"], &me["tier"]), (&json!(label), &json!("1")));
    let person = &me["person"];
    assert_eq!(
        (&person["id"], &person["email"], &person["name"]),
        (
            &json!(ADA),
            &json!("ada@example.com"),
            &json!("Ada Lovelace")
        )
    );
    assert_eq!(person["role"], "admin");
    assert!(person.get("impersonator").is_none(), "{person}");
    let member = service.get(ADMIN, &format!("/org/members/{ADA}")).await;
    assert_eq!(
        (&member["email"], &member["issuer"], &member["keys"]),
        (
            &json!("ada@example.com"),
            &json!(idp.workos.base()),
            &json!(1)
        )
    );
    let records = service.audit(ADMIN, &format!("&actor={label}")).await;
    let signed_in = records
        .iter()
        .find(|record| !record["change"]["signed_in"].is_null());
    let signed_in = signed_in.expect("a record");
    assert_eq!(signed_in["change"]["signed_in"]["method"], "workos");
    assert_eq!(
        signed_in["change"]["signed_in"]["session"],
        person["session"]
    );
    assert_eq!(signed_in["tier"], "1");

    // Whoever is signed in may sign in anew, and what another site embeds is told nothing.
    let again = go_away(service, "").await;
    let both = format!("{cookie}; {}", again.cookie());
    let framed = service.ask("GET", &again.back).header("cookie", &both);
    let framed = framed.header("sec-fetch-site", "cross-site").send().await;
    assert!(framed.is(403).contains("cross_site"));
    assert!(session_of(&framed).is_none());
    let back = come_back(service, &again.back, &both).await;
    assert_eq!(back.status, 303, "{}", back.text());

    // The same person by an access token.
    let token = idp.access_token();
    let key = service
        .make(&token, "/org/tokens", json!({"name": "by token"}))
        .await;
    assert_eq!(key["created_by"], *label);
    let me = service.get(&token, "/org/whoami").await;
    assert_eq!(me["person"]["id"], ADA);
    assert!(me["person"].get("session").is_none(), "{me}");
}

async fn impersonator_stands_in_every_record(backend: Backend) {
    let idp = Idp::start(backend).await;
    let service = &idp.service;
    idp.workos.with(|state| {
        state.visitor.impersonator = Some(("boss@example.com".to_owned(), "support".to_owned()));
    });
    let cookie = idp.sign_in().await;
    let made = service.ask_in(&cookie, "POST", "/workspaces");
    made.json(&json!({"name": "w"})).send().await.ok(201);
    let token = idp.access_token();
    let me = service.get(&token, "/org/whoami").await;
    assert_eq!(me["person"]["impersonator"], "boss@example.com");
    let me = service.ask_in(&cookie, "GET", "/org/whoami").send().await;
    assert_eq!(me.ok(200)["person"]["impersonator"], "boss@example.com");
    let records = service.audit(ADMIN, &format!("&actor=session:{ADA}")).await;
    let requests: Vec<_> = records
        .iter()
        .filter(|record| record["status"] != 0)
        .collect();
    assert!(requests.len() >= 4, "{records:?}");
    for record in requests.iter().filter(|record| !record["method"].is_null()) {
        assert_eq!(record["impersonator"], "boss@example.com", "{record}");
    }
}

async fn code_and_state_count_once(backend: Backend) {
    let idp = Idp::start(backend).await;
    let service = &idp.service;
    let first = go_away(service, "").await;
    let answer = come_back(service, &first.back, first.cookie()).await;
    assert_eq!(answer.status, 303);
    let again = come_back(service, &first.back, first.cookie()).await;
    assert!(again.is(401).contains("sign_in_spent"));
    assert!(session_of(&again).is_none());

    // The code of the first with the state of a second.
    let second = go_away(service, "").await;
    let part = |path: &str, name: &str| {
        let query = path.split_once('?').expect("a query").1;
        let pairs = url::form_urlencoded::parse(query.as_bytes());
        let mut found = pairs.filter(|(own, _)| own == name);
        found.next().expect("it").1.into_owned()
    };
    let mixed = format!(
        "/canvas/sign-in/callback?code={}&state={}",
        part(&first.back, "code"),
        part(&second.back, "state")
    );
    let answer = come_back(service, &mixed, second.cookie()).await;
    assert!(answer.is(401).contains("code_spent"));
    assert!(session_of(&answer).is_none());
    let nothing = come_back(service, "/canvas/sign-in/callback", second.cookie()).await;
    assert_eq!(nothing.status, 401);
}

async fn sign_in_of_another_browser_is_refused(backend: Backend) {
    let idp = Idp::start(backend).await;
    let service = &idp.service;
    let (own, other) = (go_away(service, "").await, go_away(service, "").await);
    let asked = idp.asked();
    let planted = come_back(service, &other.back, own.cookie()).await;
    assert!(planted.is(401).contains("sign_in_spent"));
    assert!(session_of(&planted).is_none());
    let bare = go_away(service, "").await;
    for cookie in ["a=b", "__Host-claviger-away=", "__Host-claviger-away=x"] {
        let answer = come_back(service, &bare.back, cookie).await;
        assert_eq!(answer.status, 401, "{cookie}");
        assert!(session_of(&answer).is_none());
    }
    assert_eq!(idp.asked(), asked, "no code of theirs was spent");
    let answer = come_back(service, &own.back, own.cookie()).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
}

async fn person_without_a_role_or_an_org_here_gets_no_session(backend: Backend) {
    let idp = Idp::start(backend).await;
    let service = &idp.service;
    for (org, role, code) in [
        ("org_01HRDMC6CM357W30QMHMQ96Q0S", "nothing", "no_role_here"),
        ("org_elsewhere", "admin", "no_org_here"),
    ] {
        idp.visitor("user_new", role);
        idp.workos
            .with(|state| state.visitor.org = Some(org.to_owned()));
        let away = go_away(service, "").await;
        let answer = come_back(service, &away.back, away.cookie()).await;
        assert!(answer.is(403).contains(code));
        assert!(session_of(&answer).is_none());
        let token = idp.access_token();
        let me = service.ask_as(&token, "GET", "/org/whoami").send().await;
        me.problem(403, code);
    }
    let people = service.get(ADMIN, "/org/members").await;
    assert_eq!(people["members"], json!([]), "nobody was let in");
}

async fn forged_access_tokens_are_refused(backend: Backend) {
    let idp = Idp::start(backend).await;
    let service = &idp.service;
    let claims = idp
        .workos
        .with(|state| state.token_claims(&state.visitor, "session_9"));
    let jwk = idp.workos.with(|state| state.published[0].clone());
    let impostor = Signer::impostor("sso_oidc_key_1");
    let with = |claims| idp.access_token_with(claims);
    let now = seconds();
    service.get(&idp.access_token(), "/org/whoami").await;
    for (token, code) in [
        (impostor.unsigned(&claims), "wrong_algorithm"),
        (
            impostor.sign_shared(jwk.to_string().as_bytes(), &claims),
            "wrong_algorithm",
        ),
        (
            impostor.sign_shared(text(&jwk["n"]).as_bytes(), &claims),
            "wrong_algorithm",
        ),
        (impostor.sign(&claims), "bad_signature"),
        (Signer::new("sso_oidc_key_2").sign(&claims), "unknown_key"),
        (with(json!({"iss": "https://evil.example"})), "wrong_issuer"),
        (with(json!({"client_id": "client_2"})), "wrong_audience"),
        (with(json!({"aud": "client_2"})), "wrong_audience"),
        (with(json!({"exp": now - 120})), "expired"),
        (with(json!({"nbf": now + 300})), "not_yet_valid"),
        (with(json!({"org_id": null})), "no_org"),
        (with(json!({"sub": "client_123456789"})), "not_a_person"),
    ] {
        let answer = service.ask_as(&token, "POST", "/org/tokens");
        let answer = answer.json(&json!({"name": "forged"})).send().await;
        answer.problem(401, code);
        let challenge = answer.header("www-authenticate").unwrap_or_default();
        assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
    }
    // Nor does a good cookie beside it help.
    let cookie = idp.sign_in().await;
    let both = service.ask_in(&cookie, "GET", "/org/whoami");
    let both = both.bearer(&impostor.sign(&claims)).send().await;
    both.problem(401, "bad_signature");
    let keys = service.get(ADMIN, "/org/tokens").await;
    assert_eq!(keys["tokens"], json!([]));
}

async fn key_that_the_provider_publishes_ahead_is_taken_at_once(backend: Backend) {
    let idp = Idp::start(backend).await;
    let service = &idp.service;
    let next = std::sync::Arc::new(Signer::new("sso_oidc_key_next"));
    idp.workos.with(|state| state.published.push(next.jwk()));
    let old = idp.access_token();
    service.get(&old, "/org/whoami").await;
    idp.workos.with(|state| state.signer = next);
    let new = idp.access_token();
    for token in [&new, &old, &new] {
        service.get(token, "/org/whoami").await;
    }
    assert!(idp.sign_in().await.starts_with(COOKIE));
    // Names of keys that nobody has cost the provider nothing.
    for number in 0..5 {
        let forged = Signer::impostor(&format!("forged-{number}"));
        let claims = idp
            .workos
            .with(|state| state.token_claims(&state.visitor, "s"));
        let me = service.ask_as(&forged.sign(&claims), "GET", "/org/whoami");
        me.send().await.problem(401, "unknown_key");
    }
    assert_eq!(idp.workos.with(|state| state.key_requests), 1);
}

async fn racing_requests_ask_the_provider_once(backend: Backend) {
    let idp = Idp::start(backend).await;
    let service = &idp.service;
    let cookie = idp.sign_in_stale().await;
    let asked = idp.asked();
    let whoami = || service.ask_in(&cookie, "GET", "/org/whoami").send();
    for answer in join_all((0..12).map(|_| whoami())).await {
        answer.ok(200);
    }
    assert_eq!(idp.asked(), asked + 1);
    let made = service.ask_in(&cookie, "POST", "/workspaces");
    made.json(&json!({"name": "w"})).send().await.ok(201);
    assert_eq!(idp.asked(), asked + 1, "what it said is fresh");
}

async fn role_that_changed_at_the_provider_counts_from_the_next_word(backend: Backend) {
    let idp = Idp::start(backend).await;
    let service = &idp.service;
    let cookie = idp.sign_in_stale().await;
    idp.workos.with(|state| {
        state.claims = json!({"role": "reader", "roles": ["reader"], "permissions": []});
    });
    let make = |cookie: &str| {
        let ask = service.ask_in(cookie, "POST", "/workspaces");
        ask.json(&json!({"name": "w"})).send()
    };
    make(&cookie).await.problem(403, "missing_permission");
    let me = service.ask_in(&cookie, "GET", "/org/whoami").send().await;
    assert_eq!(me.ok(200)["person"]["role"], "reader");
    // Without any role it is out, in a session and with a token.
    let cookie = idp.sign_in_stale().await;
    idp.workos.with(|state| {
        state.claims = json!({"role": "nothing", "roles": ["nothing"], "permissions": []});
    });
    make(&cookie).await.problem(401, "session_ended");
    let token = idp.access_token();
    let me = service.ask_as(&token, "GET", "/org/whoami").send().await;
    me.problem(403, "no_role_here");
}

async fn session_that_the_provider_has_ended_ends_here(backend: Backend) {
    let mut idp = Idp::start(backend).await;
    let cookie = idp.sign_in_stale().await;
    idp.workos.with(|state| {
        for count in 0..9 {
            state.end_session(&format!("session_{count}"));
        }
    });
    for _ in 0..2 {
        let me = idp
            .service
            .ask_in(&cookie, "GET", "/org/whoami")
            .send()
            .await;
        me.problem(401, "session_ended");
        idp.service.restart().await;
    }
}

async fn while_the_provider_is_down_people_read_and_nobody_new_gets_in(backend: Backend) {
    let idp = Idp::start(backend).await;
    let service = &idp.service;
    let fresh = idp.sign_in().await;
    let stale = idp.sign_in_stale().await;
    let token = idp.access_token();
    let workspace = service.workspace(ADMIN).await;
    let away = go_away(service, "").await;
    idp.workos.with(|state| state.is_down = true);

    let reveal = format!("/workspaces/{workspace}/secrets/values");
    let make = |cookie: &str| {
        let ask = service.ask_in(cookie, "POST", "/workspaces");
        ask.json(&json!({"name": "w"})).send()
    };
    make(&fresh).await.ok(201);
    for path in ["/org/whoami", "/org/tokens", "/org/audit"] {
        service.ask_in(&stale, "GET", path).send().await.ok(200);
    }
    let page = service.ask_in(&stale, "GET", "/canvas/keys").send().await;
    page.page();
    make(&stale).await.problem(503, "session_stale");
    let values = service.ask_in(&stale, "GET", &reveal).send().await;
    values.problem(503, "session_stale");
    // Its keys are known, so what they have signed counts.
    service.get(&token, "/org/whoami").await;

    let answer = come_back(service, &away.back, away.cookie()).await;
    assert!(answer.is(503).contains("provider_unreachable"));
    assert!(session_of(&answer).is_none());
    // Whoever wants to be out is out.
    let out = service
        .ask_in(&stale, "POST", "/canvas/sign-out")
        .send()
        .await;
    assert_eq!(out.status, 200);
    let me = service.ask_in(&stale, "GET", "/org/whoami").send().await;
    me.problem(401, "session_ended");
}

/// Where the page goes on to that says that one is signed out here. It is no redirect: the policy of
/// our pages lets a form lead nowhere else.
pub(crate) fn place_of_leaving(page: &str) -> String {
    let (_, rest) = page.split_once("content=\"0; url=").expect("it goes on");
    let (place, _) = rest.split_once('"').expect("a place");
    assert!(page.contains(&format!("href=\"{place}\"")), "{page}");
    place.replace("&#38;", "&")
}

async fn sign_out_goes_on_to_the_provider(backend: Backend) {
    let idp = Idp::start(backend).await;
    let service = &idp.service;
    let cookie = idp.sign_in().await;
    let out = service
        .ask_in(&cookie, "POST", "/canvas/sign-out")
        .send()
        .await;
    assert_eq!(out.status, 200);
    let gone = set_cookie(&out, COOKIE).expect("taken away");
    assert!(gone.contains("Max-Age=0"), "{gone}");
    let page = out.text();
    let place = place_of_leaving(&page);
    let place = place.as_str();
    let expected = format!(
        "{}/user_management/sessions/logout?session_id=",
        idp.workos.base()
    );
    assert!(place.starts_with(&expected), "{place}");
    let home = visit(place).await;
    assert_eq!(
        home,
        format!("{PUBLIC_URL}/canvas/sign-in?reason=signed_out")
    );
    let me = service.ask_in(&cookie, "GET", "/org/whoami").send().await;
    me.problem(401, "session_ended");
}

async fn local_ways_in_are_closed_where_a_provider_is_set(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    let before = service.sign_in(ADMIN).await;
    let made = service.ask_as(ADMIN, "POST", "/org/login-links").send();
    let link = link_token(&made.await.ok(201));
    service.stop().await;
    let mut idp = Idp::stopped(service).await;
    idp.service.start().await.expect("the server starts");
    let service = &idp.service;

    let cookie = before.replace("claviger_session=", COOKIE);
    let me = service.ask_in(&cookie, "GET", "/org/whoami").send().await;
    me.problem(401, "session_ended");
    let made = service.ask_as(ADMIN, "POST", "/org/login-links").send();
    made.await.problem(409, "refused");
    let used = service.use_link(&link).await;
    assert!(used.is(409).contains("identity provider is set"));
    let form = service.ask("POST", "/canvas/sign-in");
    let form = form.header("sec-fetch-site", "same-origin");
    let used = form.form(&[("token", ADMIN)]).send().await;
    assert!(used.is(409).contains("identity provider is set"));
    assert!(session_of(&used).is_none());
    // Break-glass stays, for programs.
    service.get(ADMIN, "/org/whoami").await;
}

async fn session_that_cannot_be_asked_about_again_ends(backend: Backend) {
    let mut idp = Idp::start(backend).await;
    let (stale, fresh) = (idp.sign_in_stale().await, idp.sign_in().await);
    idp.service.stop().await;
    let config = idp.service.config();
    claviger_server::rekey(config, None)
        .await
        .expect("a new master key");
    idp.service.start().await.expect("the server starts");
    let whoami = |cookie: &str| idp.service.ask_in(cookie, "GET", "/org/whoami").send();
    whoami(&stale).await.problem(401, "session_ended");
    whoami(&fresh).await.ok(200);
    assert!(sign_in(&idp.service).await.starts_with(COOKIE));
    // What it made goes on.
    let key = idp.service.ask_in(&fresh, "POST", "/org/tokens");
    let key = Minted::of(&key.json(&json!({"name": "k"})).send().await.ok(201));
    idp.service.get(&key.secret, "/org/whoami").await;
}
