//! People: suspended, restored, removed; and what becomes of what they made.

use std::sync::Arc;

use claviger_core::{
    permission::PermissionSet,
    person::{Person, PersonState},
};
use claviger_store::{OpenOptions, Store};
use serde_json::{Value, json};

use crate::{
    browser::Browser,
    service::{ADMIN, Backend, Minted, Service, text},
};

on_each_database!(
    suspended_person_stops_with_all_that_it_made,
    removed_person_takes_along_what_it_made,
    heir_gets_what_a_person_made,
    heir_is_offered_while_active_and_may_be_typed,
    heir_gets_nothing_that_the_giver_lacks,
    nobody_suspends_or_removes_itself,
    role_that_shrinks_narrows_what_was_made,
);

/// Mints in a session.
async fn mint_in(service: &Service, cookie: &str, body: Value) -> Minted {
    let ask = service.ask_in(cookie, "POST", "/org/tokens");
    Minted::of(&ask.json(&body).send().await.ok(201))
}

/// Keeps a person who has signed in with a provider some time.
async fn know(service: &mut Service, id: &str, preset: &str) {
    service.stop().await;
    let config = service.config();
    let now = claviger_server::clock::now();
    let options = OpenOptions {
        url: config.database_url.clone(),
        sync_audit: false,
        default_org: claviger_server::entropy::new_id(),
        now,
    };
    let store: Arc<dyn Store> = claviger_store::open(options).await.expect("opened");
    let org = store.deployment().await.expect("a row").default_org;
    let person = Person {
        org,
        id: id.parse().expect("an id"),
        issuer: "https://idp.example".to_owned(),
        email: Some(format!("{id}@example.com")),
        name: None,
        role: preset.to_owned(),
        permissions: PermissionSet::preset(preset).expect("a preset"),
        told_at: now,
        first_seen_at: now,
        last_seen_at: now,
        state: PersonState::Active,
        decision: None,
    };
    let record = move |_: &claviger_store::Begun| {
        claviger_core::ledger::entry::Draft::of_operation(
            claviger_server::entropy::new_id(),
            0,
            now,
            org,
            &claviger_core::tier::Actor::AdminToken,
        )
        .write()
    };
    let written = store.sign_in(person, None, Box::new(record)).await;
    assert!(written.is_ok(), "{written:?}");
    store.close().await;
    drop(store);
    service.start().await.expect("the server starts");
}

async fn suspended_person_stops_with_all_that_it_made(backend: Backend) {
    let service = Service::guarded(backend).await;
    let cookie = service.sign_in(ADMIN).await;
    let key = mint_in(&service, &cookie, json!({"name": "k"})).await;
    let child = service.mint(&key.secret, json!({"name": "child"})).await;
    let path = "/org/members/local-admin/suspend";
    let ask = service.ask_as(ADMIN, "POST", path);
    let member = ask
        .json(&json!({"reason": "on leave"}))
        .send()
        .await
        .ok(200);
    assert_eq!(
        (&member["state"], &member["keys"], &member["sessions"]),
        (&json!("suspended"), &json!(2), &json!(0))
    );
    assert_eq!(
        (&member["reason"], &member["decided_by"]),
        (&json!("on leave"), &json!("admin-token"))
    );
    let page = service.ask_in(&cookie, "GET", "/org/whoami").send().await;
    page.problem(401, "session_ended");
    for secret in [&key.secret, &child.secret] {
        let me = service.ask_as(secret, "GET", "/org/whoami").send().await;
        me.problem(401, "minter_inactive");
    }
    let made = service.ask_as(ADMIN, "POST", "/org/login-links").send();
    let token = crate::service::link_token(&made.await.ok(201));
    let refused = service.use_link(&token).await;
    assert_eq!(refused.status, 401);
    assert!(
        refused.text().contains("person_suspended"),
        "{}",
        refused.text()
    );
    let again = service.ask_as(ADMIN, "POST", path).send().await;
    again.problem(409, "person_inactive");
    let back = service.ask_as(ADMIN, "POST", "/org/members/local-admin/restore");
    assert_eq!(back.send().await.ok(200)["state"], "active");
    for secret in [&key.secret, &child.secret] {
        service.get(secret, "/org/whoami").await;
    }
    let ended = service.ask_in(&cookie, "GET", "/org/whoami").send().await;
    ended.problem(401, "session_ended");
    service.sign_in(ADMIN).await;
}

async fn removed_person_takes_along_what_it_made(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    let cookie = service.sign_in(ADMIN).await;
    let key = mint_in(&service, &cookie, json!({"name": "k"})).await;
    let child = service.mint(&key.secret, json!({"name": "child"})).await;
    let other = service.mint(ADMIN, json!({"name": "other"})).await;
    let workspace = service.workspace(ADMIN).await;
    let path = format!("/workspaces/{workspace}/tokens");
    let token = service.ask_in(&cookie, "POST", &path).send().await.ok(201);
    let token = text(&token["auth_token"]);
    let secrets = format!("/workspaces/{workspace}/secrets");
    service.get(&token, &secrets).await;

    let path = "/org/members/local-admin?reason=left";
    let removed = service.ask_as(ADMIN, "DELETE", path).send().await.ok(200);
    assert_eq!(removed["removed"], "local-admin");
    let mut prefixes: Vec<_> = removed["revoked_prefixes"]
        .as_array()
        .expect("a list")
        .iter()
        .map(text)
        .collect();
    prefixes.sort();
    let mut expected = [key.prefix.clone(), child.prefix.clone()];
    expected.sort();
    assert_eq!(prefixes, expected);
    assert_eq!(removed["workspace_tokens_revoked"], 1);
    for _ in 0..2 {
        let me = service.ask_in(&cookie, "GET", "/org/whoami").send().await;
        me.problem(401, "session_ended");
        for secret in [&key.secret, &child.secret] {
            let me = service.ask_as(secret, "GET", "/org/whoami").send().await;
            me.problem(401, "token_revoked");
        }
        let me = service.ask_as(&token, "GET", &secrets).send().await;
        assert_eq!(me.status, 401);
        service.get(&other.secret, "/org/whoami").await;
        service.restart().await;
    }
    let records = service.audit(ADMIN, "&method=DELETE").await;
    let changes: Vec<_> = records.iter().map(|record| &record["change"]).collect();
    let whole = changes
        .iter()
        .find(|change| !change["person_removed"].is_null());
    let whole = &whole.expect("a record")["person_removed"];
    assert_eq!(
        (&whole["keys_revoked"], &whole["workspace_tokens_revoked"]),
        (&json!(2), &json!(1))
    );
    let ends = changes
        .iter()
        .filter(|change| change["revoked"]["with"] == "local-admin");
    assert_eq!(ends.count(), 3, "each death has a record of its own");
    let gone = service.ask_as(ADMIN, "DELETE", path).send().await;
    gone.problem(409, "person_inactive");
    let nobody = service
        .ask_as(ADMIN, "DELETE", "/org/members/nobody")
        .send()
        .await;
    nobody.problem(404, "not_found");
}

async fn heir_gets_what_a_person_made(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    know(&mut service, "user_heir", "editor").await;
    let cookie = service.sign_in(ADMIN).await;
    let key = mint_in(&service, &cookie, json!({"name": "k"})).await;
    let child = service.mint(&key.secret, json!({"name": "child"})).await;
    for heir in ["local-admin", "nobody"] {
        let path = format!("/org/members/local-admin?hand_over_to={heir}");
        let refused = service.ask_as(ADMIN, "DELETE", &path).send().await;
        assert!([404, 422].contains(&refused.status), "{}", refused.text());
    }
    service.get(&key.secret, "/org/whoami").await;
    let path = "/org/members/local-admin?hand_over_to=user_heir";
    let removed = service.ask_as(ADMIN, "DELETE", path).send().await.ok(200);
    assert_eq!(removed["handed_over"].as_array().map(Vec::len), Some(2));
    assert_eq!(removed["revoked_prefixes"], json!([]));
    for _ in 0..2 {
        for secret in [&key.secret, &child.secret] {
            let me = service.get(secret, "/org/whoami").await;
            assert_eq!(me["root"], "session:user_heir");
            // Never more than the heir holds.
            let refused = service.ask_as(secret, "POST", "/org/tokens");
            let refused = refused.json(&json!({"name": "x"})).send().await;
            refused.problem(403, "missing_permission");
        }
        service.restart().await;
    }
    let kept = service.get(ADMIN, &key.path()).await;
    assert_eq!(
        kept["created_by"], "session:local-admin",
        "who made it is history"
    );
    // Whoever made it saw its secret: that is said until the key gets another.
    let reasons = |advice: Value, id: String| {
        let findings = advice["findings"].as_array().cloned().unwrap_or_default();
        let found = findings.into_iter().find(|one| one["id"] == *id);
        found.map_or(Value::Null, |one| one["reasons"][0]["code"].clone())
    };
    let advice = service.get(ADMIN, "/org/advice").await;
    assert_eq!(reasons(advice.clone(), key.id.clone()), "maker_left");
    assert_ne!(reasons(advice, child.id.clone()), "maker_left");
    let rotate = format!("{}/rotate", key.path());
    let rotate = service.ask_as(ADMIN, "POST", &rotate);
    let rotated = rotate.json(&json!({"overlap": "0"})).send().await.ok(200);
    let key = Minted {
        secret: text(&rotated["auth_token"]),
        ..key
    };
    let advice = service.get(ADMIN, "/org/advice").await;
    assert_ne!(reasons(advice, key.id.clone()), "maker_left");
    let heir = service.get(ADMIN, "/org/members/user_heir").await;
    assert_eq!(heir["keys"], 2);
    let end = service.ask_as(ADMIN, "POST", "/org/members/user_heir/suspend");
    end.send().await.ok(200);
    let me = service
        .ask_as(&key.secret, "GET", "/org/whoami")
        .send()
        .await;
    me.problem(401, "minter_inactive");
}

async fn heir_is_offered_while_active_and_may_be_typed(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    for id in ["user_one", "user_two"] {
        know(&mut service, id, "editor").await;
    }
    let admin = Browser::admin(&service).await;
    let path = "/canvas/members/user_one/remove";
    let text = admin.get(path).await.page();
    assert!(text.contains("name=\"heir_id\"") && text.contains("user_two@example.com"));
    let suspend = service.ask_as(ADMIN, "POST", "/org/members/user_two/suspend");
    suspend.send().await.ok(200);
    let text = admin.get(path).await.page();
    assert!(!text.contains("user_two@example.com"));
    // What is typed counts more than what the list stands at.
    let typed = |id: &'static str| {
        [
            ("what", "hand_over"),
            ("hand_over_to", "user_two"),
            ("heir_id", id),
        ]
    };
    let text = admin.post(path, &typed("no body")).await.is(422);
    assert!(text.contains("Must name somebody") && text.contains("value=\"no body\""));
    let place = admin.goes(path, &typed("local-admin")).await;
    assert_eq!(place, "/canvas/members/user_one?done=handed_over");
    let records = service.audit(ADMIN, "&method=POST").await;
    let removal = |one: &&Value| one["change"]["person_removed"].is_object();
    let removal = records.iter().find(removal).expect("a record");
    assert_eq!(
        (
            &removal["change"]["person_removed"]["hand_over_to"],
            &removal["status"]
        ),
        (&json!("local-admin"), &json!(303))
    );
}

async fn heir_gets_nothing_that_the_giver_lacks(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    know(&mut service, "user_heir", "admin").await;
    know(&mut service, "user_reader", "reader").await;
    let cookie = service.sign_in(ADMIN).await;
    mint_in(&service, &cookie, json!({"name": "wide"})).await;
    let body = json!({"name": "narrow admin", "permissions": ["org:admin", "org.tokens:*", "workspaces:read", "channels:read", "secrets:read", "audit:read"]});
    let narrow = service.mint(ADMIN, body).await;
    let path = "/org/members/local-admin?hand_over_to=user_heir";
    let refused = service.ask_as(&narrow.secret, "DELETE", path).send().await;
    refused.problem(403, "wider_person");
    let path = "/org/members/user_reader?hand_over_to=user_heir";
    service
        .ask_as(&narrow.secret, "DELETE", path)
        .send()
        .await
        .ok(200);
    let suspend = service.ask_as(&narrow.secret, "POST", "/org/members/local-admin/suspend");
    suspend.send().await.problem(403, "wider_person");
}

async fn nobody_suspends_or_removes_itself(backend: Backend) {
    let service = Service::guarded(backend).await;
    let cookie = service.sign_in(ADMIN).await;
    for (method, path) in [
        ("POST", "/org/members/local-admin/suspend"),
        ("DELETE", "/org/members/local-admin"),
    ] {
        let own = service.ask_in(&cookie, method, path).send().await;
        own.problem(409, "refused");
    }
    service
        .ask_in(&cookie, "GET", "/org/whoami")
        .send()
        .await
        .ok(200);
}

async fn role_that_shrinks_narrows_what_was_made(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    know(&mut service, "user_1", "admin").await;
    let cookie = service.sign_in(ADMIN).await;
    let key = mint_in(&service, &cookie, json!({"name": "k"})).await;
    let path = "/org/members/local-admin?hand_over_to=user_1";
    service.ask_as(ADMIN, "DELETE", path).send().await.ok(200);
    let make = || {
        service
            .ask_as(&key.secret, "POST", "/workspaces")
            .json(&json!({"name": "w"}))
    };
    make().send().await.ok(201);
    know(&mut service, "user_1", "reader").await;
    let make = || {
        service
            .ask_as(&key.secret, "POST", "/workspaces")
            .json(&json!({"name": "w"}))
    };
    make().send().await.problem(403, "missing_permission");
    service.get(&key.secret, "/workspaces").await;
    know(&mut service, "user_1", "admin").await;
    let make = || {
        service
            .ask_as(&key.secret, "POST", "/workspaces")
            .json(&json!({"name": "w"}))
    };
    make().send().await.ok(201);
}
