//! Sessions that began with the link of a key: in all that it may do, is held to and leaves behind,
//! such a session is that key.

use serde_json::{Value, json};

use crate::{
    ask::Answer,
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
