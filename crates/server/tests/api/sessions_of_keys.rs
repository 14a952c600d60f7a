//! Sessions that began with the link of a key: in all that it may do, is held to and leaves behind,
//! such a session is that key.

use serde_json::{Value, json};

use crate::{
    ask::Answer,
    browser::Browser,
    key_requests,
    service::{ADMIN, Backend, Minted, Service, link_token},
};

on_each_database!(
    what_its_session_approves_ends_with_the_key,
    its_session_collects_nothing_of_others,
    policy_binds_its_session,
    rate_limit_is_shared_with_its_session,
    what_its_session_did_is_the_doing_of_the_key,
    its_session_mints_nothing_that_outlives_the_key,
    its_session_sees_and_ends_its_own_sessions_alone,
    its_sessions_push_out_no_others,
    link_of_a_session_ends_with_the_session,
    link_ends_with_the_credential_that_made_it,
    its_session_signs_out_whatever_holds_the_key,
    links_of_one_maker_stop_nobody,
    its_account_says_what_it_may,
);

async fn get(service: &Service, cookie: &str, path: &str) -> Answer {
    service.ask_in(cookie, "GET", path).send().await
}

async fn post(service: &Service, cookie: &str, path: &str, body: Value) -> Answer {
    service
        .ask_in(cookie, "POST", path)
        .json(&body)
        .send()
        .await
}

async fn what_its_session_approves_ends_with_the_key(backend: Backend) {
    let service = Service::guarded(backend).await;
    let key = json!({"name": "k", "expires_in": "1h"});
    let key = service.mint(ADMIN, key).await;
    let session = service.sign_in(&key.secret).await;
    let asker = key_requests::reader(&service).await;
    let ask = |lifetime: &str| json!({"expires_in": lifetime});
    let long = key_requests::ask(&service, &asker.secret, ask("30d")).await;
    let approve = format!("/org/requests/{long}/approve");
    let refused = post(&service, &session, &approve, json!({})).await;
    refused.problem(403, "beyond_minter");
    let short = key_requests::ask(&service, &asker.secret, ask("30m")).await;
    let approve = format!("/org/requests/{short}/approve");
    post(&service, &session, &approve, json!({})).await.ok(200);
    let made = key_requests::step(&service, &asker.secret, &short, "collect", json!({})).await;
    let made = Minted::of(&made.ok(201));
    service.get(&made.secret, "/org/whoami").await;
    let end = service.ask_as(ADMIN, "DELETE", &key.path());
    assert_eq!(end.send().await.ok(200)["descendants"], json!([made.id]));
    let after = service.ask_as(&made.secret, "GET", "/org/whoami");
    after.send().await.problem(401, "token_revoked");
}

async fn its_session_collects_nothing_of_others(backend: Backend) {
    let service = Service::guarded(backend).await;
    let admin = service.sign_in(ADMIN).await;
    let ask = json!({"name": "wide", "justification": "for the admin", "permissions": ["*"]});
    let asked = post(&service, &admin, "/org/requests", ask).await.ok(201);
    let id = asked["id"].as_str().expect("an id");
    let approve = format!("/org/requests/{id}/approve");
    let approved = service.ask_as(ADMIN, "POST", &approve).json(&json!({}));
    approved.send().await.ok(200);
    let narrow = json!({"name": "n", "permissions": ["org:admin"]});
    let narrow = service.mint(ADMIN, narrow).await;
    let session = service.sign_in(&narrow.secret).await;
    for step in ["collect", "withdraw"] {
        let path = format!("/org/requests/{id}/{step}");
        let refused = post(&service, &session, &path, json!({})).await;
        refused.problem(404, "not_found");
    }
    let path = format!("/org/requests/{id}/collect");
    post(&service, &admin, &path, json!({})).await.ok(201);
}

async fn policy_binds_its_session(backend: Backend) {
    let service = Service::guarded(backend).await;
    let workspace = service.workspace(ADMIN).await;
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    let session = service.sign_in(&key.secret).await;
    let values = format!("/workspaces/{workspace}/secrets/values");
    get(&service, &session, &values).await.ok(200);
    let policy = json!({
        "permissions": ["org:admin", "org.tokens:*", "workspaces:*"],
        "minters": ["people", "admin_token"],
    });
    let put = service.ask_as(ADMIN, "PUT", "/org/policy").json(&policy);
    put.send().await.ok(200);
    let refused = get(&service, &session, &values).await;
    refused.problem(403, "policy_permission");
    let refused = post(&service, &session, "/org/tokens", json!({"name": "child"})).await;
    refused.problem(403, "beyond_policy");
    // A person's own session is under no policy about keys.
    let admin = service.sign_in(ADMIN).await;
    get(&service, &admin, &values).await.ok(200);
    post(&service, &admin, "/org/tokens", json!({"name": "own"}))
        .await
        .ok(201);
}

async fn rate_limit_is_shared_with_its_session(backend: Backend) {
    let service = Service::guarded(backend).await;
    let key = json!({"name": "k", "rate_limit": {"per_minute": 4}});
    let key = service.mint(ADMIN, key).await;
    // The link is one.
    let session = service.sign_in(&key.secret).await;
    for _ in 0..2 {
        get(&service, &session, "/org/whoami").await.ok(200);
    }
    service.get(&key.secret, "/org/whoami").await;
    let refused = get(&service, &session, "/org/whoami").await;
    refused.problem(429, "rate_limited");
    let refused = service.ask_as(&key.secret, "GET", "/org/whoami");
    refused.send().await.problem(429, "rate_limited");
}

async fn what_its_session_did_is_the_doing_of_the_key(backend: Backend) {
    let service = Service::guarded(backend).await;
    let workspace = service.workspace(ADMIN).await;
    let secrets = format!("/workspaces/{workspace}/secrets");
    let set = service.ask_as(ADMIN, "PUT", &secrets);
    let set = set.json(&json!({"key": "DB", "value": "v"}));
    set.send().await.ok(200);
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    let session = service.sign_in(&key.secret).await;
    get(&service, &session, &format!("{secrets}/values"))
        .await
        .ok(200);
    let record = service
        .audit(
            ADMIN,
            &format!("&token={}&route=/workspaces/{{id}}/secrets/values", key.id),
        )
        .await;
    assert_eq!(record.len(), 1, "{record:?}");
    assert_eq!(record[0]["actor"], "session:local-admin");
    assert_eq!(
        (&record[0]["tier"], &record[0]["key"]),
        (&json!("1"), &json!(key.id))
    );
    let radius = service
        .get(ADMIN, &format!("{}/blast-radius", key.path()))
        .await;
    assert_eq!(
        radius["reveals"].as_array().map(Vec::len),
        Some(1),
        "{radius}"
    );
}

async fn its_session_mints_nothing_that_outlives_the_key(backend: Backend) {
    let service = Service::guarded(backend).await;
    let key = json!({"name": "k", "expires_in": "1h"});
    let key = service.mint(ADMIN, key).await;
    let session = service.sign_in(&key.secret).await;
    let long = json!({"name": "long", "expires_in": "2h"});
    let refused = post(&service, &session, "/org/tokens", long).await;
    refused.problem(403, "beyond_minter");
    let short = json!({"name": "short", "expires_in": "30m"});
    let made = post(&service, &session, "/org/tokens", short).await.ok(201);
    assert_eq!(made["created_by"], "session:local-admin");
}

async fn its_session_sees_and_ends_its_own_sessions_alone(backend: Backend) {
    let service = Service::guarded(backend).await;
    let admin = service.sign_in(ADMIN).await;
    let key = json!({"name": "k", "permissions": ["org:admin"]});
    let key = service.mint(ADMIN, key).await;
    let (one, two) = (
        service.sign_in(&key.secret).await,
        service.sign_in(&key.secret).await,
    );
    let all = get(&service, &admin, "/org/sessions").await.ok(200);
    assert_eq!(all["sessions"].as_array().map(Vec::len), Some(3));
    let seen = get(&service, &one, "/org/sessions").await.ok(200);
    assert_eq!(seen["sessions"].as_array().map(Vec::len), Some(2));
    let of_admin = all["sessions"].as_array().and_then(|all| {
        let current = all.iter().find(|session| session["is_current"] == true)?;
        current["id"].as_str()
    });
    let of_admin = format!("/org/sessions/{}", of_admin.expect("the admin's session"));
    let refused = service.ask_in(&one, "DELETE", &of_admin).send().await;
    refused.problem(404, "not_found");
    let end = service.ask_in(&one, "DELETE", "/org/sessions").send().await;
    assert_eq!(end.ok(200)["ended"].as_array().map(Vec::len), Some(2));
    let after = get(&service, &two, "/org/whoami").await;
    after.problem(401, "session_ended");
    get(&service, &admin, "/org/whoami").await.ok(200);
}

async fn its_sessions_push_out_no_others(backend: Backend) {
    let service = Service::guarded(backend).await;
    let admin = service.sign_in(ADMIN).await;
    let key = json!({"name": "k", "permissions": ["org:admin"]});
    let key = service.mint(ADMIN, key).await;
    let first = service.sign_in(&key.secret).await;
    for _ in 0..claviger_store::SESSIONS_PER_PERSON_MAX {
        service.sign_in(&key.secret).await;
    }
    get(&service, &admin, "/org/whoami").await.ok(200);
    let after = get(&service, &first, "/org/whoami").await;
    after.problem(401, "session_ended");
}

async fn link_of_a_session_ends_with_the_session(backend: Backend) {
    let service = Service::guarded(backend).await;
    let session = service.sign_in(ADMIN).await;
    let made = service.ask_in(&session, "POST", "/org/login-links");
    let token = link_token(&made.send().await.ok(201));
    let out = service.ask_in(&session, "DELETE", "/org/sessions");
    out.send().await.ok(200);
    assert_eq!(service.use_link(&token).await.status, 401);
}

/// What stands behind `#` in a link that this bearer makes.
async fn link_of(service: &Service, bearer: &str) -> String {
    let made = service.ask_as(bearer, "POST", "/org/login-links").send();
    link_token(&made.await.ok(201))
}

async fn link_ends_with_the_credential_that_made_it(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    let suspended = service.mint(ADMIN, json!({"name": "s"})).await;
    let revoked = service.mint(ADMIN, json!({"name": "r"})).await;
    let below = service.mint(&revoked.secret, json!({"name": "b"})).await;
    let mut links = Vec::new();
    for key in [&suspended, &revoked, &below] {
        links.push(link_of(&service, &key.secret).await);
    }
    let cookie = service.sign_in(&suspended.secret).await;
    let stop = format!("{}/suspend", suspended.path());
    service.ask_as(ADMIN, "POST", &stop).send().await.ok(200);
    let end = service.ask_as(ADMIN, "DELETE", &revoked.path());
    end.send().await.ok(200);
    links.push(link_of(&service, ADMIN).await);
    service.set_admin_token("another-admin-token-for-tests-0123456789");
    service.reload_admin_token();
    for link in links {
        let refused = service.use_link(&link).await;
        let text = refused.is(401);
        assert!(refused.header("set-cookie").is_none());
        assert!(text.contains("This link does not work any more"), "{text}");
    }
    // A browser that comes with a dead session is told so, wherever it begins.
    let home = service.ask_in(&cookie, "GET", "/canvas").send().await;
    assert_eq!(
        (home.status, home.header("location")),
        (303, Some("/canvas/sign-in?reason=session_ended"))
    );
    let stranger = service.ask("GET", "/canvas");
    let stranger = stranger
        .header("sec-fetch-site", "same-origin")
        .send()
        .await;
    assert_eq!(stranger.header("location"), Some("/canvas/sign-in"));
}

async fn its_session_signs_out_whatever_holds_the_key(backend: Backend) {
    let service = Service::guarded(backend).await;
    let busy = json!({"name": "busy", "rate_limit": {"per_minute": 4}});
    let busy = service.mint(ADMIN, busy).await;
    let far = service.mint(ADMIN, json!({"name": "far"})).await;
    let sessions = [
        service.sign_in(&busy.secret).await,
        service.sign_in(&busy.secret).await,
        service.sign_in(&far.secret).await,
        service.sign_in(&far.secret).await,
    ];
    for _ in 0..2 {
        get(&service, &sessions[0], "/org/whoami").await.ok(200);
    }
    let narrow = service.ask_as(ADMIN, "PATCH", &far.path());
    let narrow = narrow.json(&json!({"ip_allow": ["10.0.0.0/8"]}));
    narrow.send().await.ok(200);
    let sign_out = |cookie: String| Browser::holding(&service, cookie);
    for (one, other, code) in [
        (&sessions[0], &sessions[1], (429, "rate_limited")),
        (&sessions[2], &sessions[3], (403, "outside_addresses")),
    ] {
        let refused = get(&service, one, "/org/whoami").await;
        refused.problem(code.0, code.1);
        let out = sign_out(one.clone()).goes("/canvas/sign-out", &[]).await;
        assert_eq!(out, "/canvas/sign-in?reason=signed_out");
        let ended = service
            .ask_in(other, "DELETE", "/org/sessions")
            .send()
            .await;
        assert_eq!(ended.ok(200)["ended"].as_array().map(Vec::len), Some(1));
        let after = get(&service, other, "/org/whoami").await;
        after.problem(401, "session_ended");
    }
    // Whoever holds the key itself is held to its limits there too.
    let own = service.ask_as(&busy.secret, "DELETE", "/org/sessions");
    own.send().await.problem(429, "rate_limited");
}

async fn links_of_one_maker_stop_nobody(backend: Backend) {
    let service = Service::guarded(backend).await;
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    let other = link_of(&service, ADMIN).await;
    let mut own = Vec::new();
    for _ in 0..=claviger_store::LINKS_PER_MAKER_MAX {
        own.push(link_of(&service, &key.secret).await);
    }
    assert_eq!(service.use_link(&own[0]).await.status, 401, "it gave way");
    let last = own.last().expect("the last one");
    for link in [&own[1], last, &other] {
        assert_eq!(service.use_link(link).await.status, 303);
    }
}

async fn its_account_says_what_it_may(backend: Backend) {
    let service = Service::guarded(backend).await;
    let key = json!({"name": "night agent", "permissions": ["org:admin", "audit:read"], "expires_in": "1h"});
    let key = service.mint(ADMIN, key).await;
    let session = service.sign_in(&key.secret).await;
    let page = get(&service, &session, "/canvas/account").await.page();
    for part in [
        format!("the key night agent ({})", key.prefix),
        "org:admin".to_owned(),
        "audit:read".to_owned(),
    ] {
        assert!(page.contains(&part), "{part}: {page}");
    }
    assert!(!page.contains("Everything:"), "{page}");
    let end = service.get(ADMIN, &key.path()).await["expires_at"].clone();
    let all = get(&service, &session, "/org/sessions").await.ok(200);
    assert_eq!(all["sessions"][0]["expires_at"], end);
    let me = get(&service, &session, "/org/whoami").await.ok(200);
    assert_eq!(me["person"]["expires_at"], end);
    let admin = service.sign_in(ADMIN).await;
    let page = get(&service, &admin, "/canvas/account").await.page();
    assert!(page.contains("Everything:"), "{page}");
}
