//! `ADMIN_TOKEN` at the Canvas: a session that it began is a use of it in all that it does.

use serde_json::{Value, json};

use crate::{
    browser::{Browser, form},
    key_requests,
    service::{ADMIN, Backend, Service},
};

on_each_database!(
    what_its_session_does_is_recorded_as_break_glass,
    its_session_mints_as_admin_token_under_a_policy,
    its_session_approves_as_admin_token_under_a_policy,
);

/// Signs in with the token itself, in the form of the sign-in page.
async fn sign_in(service: &Service) -> String {
    let ask = form(service, "/canvas/sign-in", &[("token", ADMIN)]);
    let answer = ask.header("sec-fetch-site", "same-origin").send().await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    let cookie = answer.header("set-cookie").expect("a cookie");
    cookie.split(';').next().expect("a pair").to_owned()
}

async fn what_its_session_does_is_recorded_as_break_glass(backend: Backend) {
    let service = Service::guarded(backend).await;
    let by_token = sign_in(&service).await;
    let by_link = service.sign_in(ADMIN).await;
    let mut keys = Vec::new();
    // Two refusals of one kind in a second would share a record.
    for (cookie, none) in [(&by_token, "one"), (&by_link, "two")] {
        let ask = service.ask_in(cookie, "POST", "/org/tokens");
        keys.push(ask.json(&json!({"name": "k"})).send().await.ok(201));
        let refused = service.ask_in(cookie, "GET", &format!("/org/tokens/{none}"));
        refused.send().await.problem(404, "not_found");
    }
    // A session of a key that such a session minted is that key.
    let secret = keys[0]["auth_token"].as_str().expect("a secret");
    let of_key = service.sign_in(secret).await;
    let me = service.ask_in(&of_key, "GET", "/org/whoami").send().await;
    me.ok(200);
    let records = service.audit(ADMIN, "&actor=session:local-admin").await;
    let said = |record: &Value| {
        let path = record["path"].as_str().unwrap_or_default().to_owned();
        let kind = record["kind"].as_str().unwrap_or_default().to_owned();
        assert_eq!(record["tier"], "1", "{record}");
        (path, kind)
    };
    let said: Vec<_> = records.iter().rev().map(said).collect();
    let expected = [
        ("/canvas/sign-in", "break_glass"),
        ("/canvas/link", "break_glass"),
        ("/org/tokens", "break_glass"),
        ("/org/tokens/one", "break_glass"),
        ("/org/tokens", "break_glass"),
        ("/org/tokens/two", "break_glass"),
        ("/canvas/link", "request"),
        ("/org/whoami", "request"),
    ];
    let expected = expected.map(|(path, kind)| (path.to_owned(), kind.to_owned()));
    assert_eq!(said, expected);

    let reader = Browser::with_link_of(&service, secret).await;
    let page = reader.get("/canvas/security?show=admin_token").await.page();
    assert!(!page.contains("not lately"), "{page}");
    for part in [
        "<code>/canvas/sign-in</code>",
        "in a session of Local administrator",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
}

async fn set_minters(service: &Service, minters: Value) {
    let put = service.ask_as(ADMIN, "PUT", "/org/policy");
    let put = put.json(&json!({"minters": minters}));
    put.send().await.ok(200);
}

async fn its_session_mints_as_admin_token_under_a_policy(backend: Backend) {
    let service = Service::guarded(backend).await;
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    let sessions = [sign_in(&service).await, service.sign_in(ADMIN).await];
    let of_key = service.sign_in(&key.secret).await;
    let mint = |cookie: &str| {
        let ask = service.ask_in(cookie, "POST", "/org/tokens");
        ask.json(&json!({"name": "x"})).send()
    };
    set_minters(&service, json!(["people", "keys"])).await;
    let bearer = service.ask_as(ADMIN, "POST", "/org/tokens");
    let bearer = bearer.json(&json!({"name": "x"})).send().await;
    bearer.problem(403, "beyond_policy");
    for cookie in &sessions {
        mint(cookie).await.problem(403, "beyond_policy");
    }
    mint(&of_key).await.ok(201);
    set_minters(&service, json!(["admin_token"])).await;
    for cookie in &sessions {
        mint(cookie).await.ok(201);
    }
    mint(&of_key).await.problem(403, "beyond_policy");
}

async fn its_session_approves_as_admin_token_under_a_policy(backend: Backend) {
    let service = Service::guarded(backend).await;
    let session = sign_in(&service).await;
    let asker = key_requests::reader(&service).await;
    let id = key_requests::ask(&service, &asker.secret, json!({})).await;
    let approve = || {
        let path = format!("/org/requests/{id}/approve");
        service
            .ask_in(&session, "POST", &path)
            .json(&json!({}))
            .send()
    };
    set_minters(&service, json!(["people", "keys"])).await;
    approve().await.problem(403, "beyond_policy");
    set_minters(&service, json!(["admin_token"])).await;
    approve().await.ok(200);
    // Whose approval it was holds until the key is collected.
    set_minters(&service, json!(["people", "keys"])).await;
    let collect = || key_requests::step(&service, &asker.secret, &id, "collect", json!({}));
    collect().await.problem(403, "beyond_policy");
    set_minters(&service, json!(["admin_token"])).await;
    collect().await.ok(201);
}
