//! What would be enough for a key, and which keys should be looked at.

use serde_json::{Value, json};

use crate::{
    ask::Answer,
    service::{ADMIN, Backend, Minted, Service, text},
};

on_each_database!(
    suggestion_can_be_applied_as_it_stands_and_serves_what_was_done,
    suggested_endpoints_and_addresses_limit_and_serve,
    what_keys_below_used_counts_as_used,
    who_lists_workspaces_keeps_its_binding,
    binding_by_labels_is_never_widened,
    key_that_was_never_used_gets_the_advice_to_revoke_it,
    key_that_uses_all_it_holds_is_left_alone,
    revoked_key_is_not_narrowed,
    key_with_workspace_tokens_keeps_what_these_may_do,
    young_key_says_since_when_it_can_be_judged,
    what_was_done_before_the_window_is_foretold,
    org_advice_finds_what_should_be_looked_at,
    org_advice_walks_all_keys_in_parts,
);

async fn advice(service: &Service, key: &Minted, query: &str) -> Value {
    let path = format!("{}/advice{query}", key.path());
    service.get(ADMIN, &path).await
}

async fn ask(service: &Service, key: &Minted, path: &str) -> Answer {
    service.ask_as(&key.secret, "GET", path).send().await
}

/// Sends the request that the advice names.
async fn apply(service: &Service, advice: &Value) -> Value {
    let apply = &advice["apply"];
    let (method, path) = (text(&apply["method"]), text(&apply["path"]));
    let ask = service.ask_as(ADMIN, &method, &path).json(&apply["body"]);
    ask.send().await.ok(200)
}

fn holds(list: &Value, part: &str) -> bool {
    let mut texts = list.as_array().expect("a list").iter();
    texts.any(|text| text.as_str().is_some_and(|text| text.contains(part)))
}

async fn suggestion_can_be_applied_as_it_stands_and_serves_what_was_done(backend: Backend) {
    let service = Service::guarded(backend).await;
    let [one, other] = [
        service.workspace(ADMIN).await,
        service.workspace(ADMIN).await,
    ];
    let key = service.mint(ADMIN, json!({"name": "agent"})).await;
    let names = format!("/workspaces/{one}/secrets");
    let channels = format!("/workspaces/{one}/channels");
    for path in [&*names, &channels, &channels, "/org/whoami"] {
        ask(&service, &key, path).await.ok(200);
    }
    let said = advice(&service, &key, "?window=7d").await;
    assert_eq!(said["calls"], 4);
    let grant = json!({"permissions": ["channels:read", "secrets:read"], "workspaces": [one]});
    assert_eq!(said["suggestion"], grant);
    assert_eq!(said["apply"]["body"], grant, "nothing but what changes");
    assert_eq!(said["used"]["permissions"], grant["permissions"]);
    assert_eq!(said["used"]["workspaces"], json!([one]));
    assert_eq!(said["used"]["addresses"], json!(["127.0.0.1"]));
    assert!(holds(&said["unused_permissions"], "secrets:reveal"));
    assert!(!holds(&said["unused_permissions"], "secrets:read"));
    assert!(holds(&said["risk_removed"], "read the values of secrets"));
    assert!(holds(&said["risk_removed"], "any workspace but one"));
    assert_eq!(said["warnings"], json!(["over-broad", "has no expiry"]));
    assert_eq!(
        said["would_have_refused"],
        json!({"calls": 0, "examples": []})
    );
    let narrowed = apply(&service, &said).await;
    assert_eq!(narrowed["grant"], grant);
    for path in [&*names, &channels, "/org/whoami"] {
        ask(&service, &key, path).await.ok(200);
    }
    let values = format!("{names}/values");
    ask(&service, &key, &values)
        .await
        .problem(403, "missing_permission");
    let elsewhere = format!("/workspaces/{other}/secrets");
    ask(&service, &key, &elsewhere)
        .await
        .problem(403, "outside_workspaces");
    let again = advice(&service, &key, "").await;
    assert_eq!(
        (&again["suggestion"], &again["apply"]),
        (&Value::Null, &Value::Null)
    );
    assert!(holds(&again["notes"], "no wider than what was used"));
    assert_eq!(again["warnings"], json!(["has no expiry"]));
}

async fn suggested_endpoints_and_addresses_limit_and_serve(backend: Backend) {
    let service = Service::guarded(backend).await;
    let workspace = service.workspace(ADMIN).await;
    let key = service.mint(ADMIN, json!({"name": "agent"})).await;
    let names = format!("/workspaces/{workspace}/secrets");
    ask(&service, &key, &names).await.ok(200);
    let head = service.ask_as(&key.secret, "HEAD", &names).send().await;
    assert_eq!(head.status, 200);
    let said = advice(&service, &key, "?endpoints=true&addresses=true").await;
    let endpoints = json!(["GET /workspaces/*/secrets", "HEAD /workspaces/*/secrets"]);
    assert_eq!(said["suggestion"]["endpoints"], endpoints);
    assert_eq!(said["suggestion"]["ip_allow"], json!(["127.0.0.1/32"]));
    apply(&service, &said).await;
    ask(&service, &key, &names).await.ok(200);
    ask(&service, &key, "/org/whoami").await.ok(200);
    let whole = format!("/workspaces/{workspace}");
    ask(&service, &key, &whole)
        .await
        .problem(403, "missing_permission");
    let write = service.ask_as(&key.secret, "PUT", &names);
    let write = write.json(&json!({"key": "A", "value": "b"})).send().await;
    write.problem(403, "missing_permission");
}

async fn what_keys_below_used_counts_as_used(backend: Backend) {
    let service = Service::guarded(backend).await;
    let workspace = service.workspace(ADMIN).await;
    let supervisor = service.mint(ADMIN, json!({"name": "supervisor"})).await;
    let child = service
        .mint(&supervisor.secret, json!({"name": "child"}))
        .await;
    let grandchild = service
        .mint(&child.secret, json!({"name": "grandchild"}))
        .await;
    let names = format!("/workspaces/{workspace}/secrets");
    ask(&service, &grandchild, &names).await.ok(200);
    let said = advice(&service, &supervisor, "").await;
    let permissions = json!(["secrets:read", "org.tokens:mint"]);
    assert_eq!(said["suggestion"]["permissions"], permissions);
    assert!(holds(&said["notes"], "2 living keys are below it"));
    assert!(holds(&said["notes"], "beyond_minter"));
    assert!(holds(
        &said["notes"],
        "`workspaces` may be needed by keys that it mints"
    ));
    apply(&service, &said).await;
    ask(&service, &grandchild, &names).await.ok(200);
    let values = format!("{names}/values");
    ask(&service, &grandchild, &values)
        .await
        .problem(403, "missing_permission");
    // What is dead needs nothing any more.
    let end = service.ask_as(ADMIN, "DELETE", &child.path());
    end.send().await.ok(200);
    let said = advice(&service, &supervisor, "").await;
    assert_eq!(
        said["suggestion"]["permissions"],
        json!(["org.tokens:mint"])
    );
}

async fn who_lists_workspaces_keeps_its_binding(backend: Backend) {
    let service = Service::guarded(backend).await;
    let workspace = service.workspace(ADMIN).await;
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    ask(&service, &key, "/workspaces").await.ok(200);
    let path = format!("/workspaces/{workspace}");
    ask(&service, &key, &path).await.ok(200);
    let said = advice(&service, &key, "").await;
    let grant = json!({"permissions": ["workspaces:read"], "workspaces": "*"});
    assert_eq!(said["suggestion"], grant);
    assert!(said["apply"]["body"].get("workspaces").is_none());
    assert!(holds(&said["notes"], "`workspaces` was needed to list"));
}

async fn binding_by_labels_is_never_widened(backend: Backend) {
    let service = Service::guarded(backend).await;
    let labels = json!({"labels": {"agent": "etl"}});
    let body = json!({"name": "w", "labels": {"agent": "etl"}});
    let made = service.make(ADMIN, "/workspaces", body).await;
    let grant = json!({"name": "k", "preset": "reader", "workspaces": labels});
    let key = service.mint(ADMIN, grant).await;
    let path = format!("/workspaces/{}/secrets", text(&made["id"]));
    ask(&service, &key, &path).await.ok(200);
    let said = advice(&service, &key, "").await;
    assert_eq!(said["suggestion"]["workspaces"], labels);
    assert_eq!(apply(&service, &said).await["grant"]["workspaces"], labels);
    ask(&service, &key, &path).await.ok(200);
}

async fn key_that_was_never_used_gets_the_advice_to_revoke_it(backend: Backend) {
    let service = Service::guarded(backend).await;
    let key = service
        .mint(ADMIN, json!({"name": "k", "expires_in": "1d"}))
        .await;
    let said = advice(&service, &key, "").await;
    assert_eq!(
        (&said["calls"], &said["suggestion"]),
        (&json!(0), &Value::Null)
    );
    assert_eq!(
        (&said["apply"], &said["warnings"]),
        (&Value::Null, &json!(["never used"]))
    );
    assert!(holds(&said["notes"], &format!("DELETE {}", key.path())));
    // A refusal is no use.
    let other = service
        .mint(ADMIN, json!({"name": "o", "ip_allow": ["192.0.2.0/24"]}))
        .await;
    ask(&service, &other, "/org/tokens")
        .await
        .problem(403, "outside_addresses");
    assert_eq!(
        advice(&service, &other, "").await["suggestion"],
        Value::Null
    );
}

async fn key_that_uses_all_it_holds_is_left_alone(backend: Backend) {
    let service = Service::guarded(backend).await;
    let grant = json!({"name": "k", "permissions": ["org.tokens:read"], "workspaces": [],
        "expires_in": "30d"});
    let key = service.mint(ADMIN, grant).await;
    ask(&service, &key, "/org/tokens").await.ok(200);
    let said = advice(&service, &key, "").await;
    assert_eq!(
        (&said["suggestion"], &said["warnings"]),
        (&Value::Null, &json!([]))
    );
    assert!(holds(&said["notes"], "no wider"));
}

async fn revoked_key_is_not_narrowed(backend: Backend) {
    let service = Service::guarded(backend).await;
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    ask(&service, &key, "/org/tokens").await.ok(200);
    let end = service.ask_as(ADMIN, "DELETE", &key.path());
    end.send().await.ok(200);
    let said = advice(&service, &key, "").await;
    assert_eq!((&said["calls"], &said["apply"]), (&json!(1), &Value::Null));
    assert!(holds(&said["notes"], "the key is revoked"));
}

async fn key_with_workspace_tokens_keeps_what_these_may_do(backend: Backend) {
    let service = Service::guarded(backend).await;
    let workspace = service.workspace(ADMIN).await;
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    let token = service.workspace_token(&key.secret, &workspace).await;
    let said = advice(&service, &key, "?endpoints=true&addresses=true").await;
    let permissions = json!(["channels:*", "secrets:*", "org:admin"]);
    assert_eq!(said["suggestion"]["permissions"], permissions);
    assert_eq!(said["suggestion"]["workspaces"], json!([workspace]));
    assert!(said["suggestion"].get("endpoints").is_none());
    assert!(said["suggestion"].get("ip_allow").is_none());
    assert!(holds(&said["notes"], "workspace tokens"));
    apply(&service, &said).await;
    let values = format!("/workspaces/{workspace}/secrets/values");
    service.get(&token, &values).await;
}

async fn young_key_says_since_when_it_can_be_judged(backend: Backend) {
    let service = Service::guarded(backend).await;
    let old = service.mint(ADMIN, json!({"name": "old"})).await;
    ask(&service, &old, "/org/whoami").await.ok(200);
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    ask(&service, &key, "/org/whoami").await.ok(200);
    let made = service.get(ADMIN, &key.path()).await["created_at"].clone();
    let said = advice(&service, &key, "?window=30d").await;
    assert_eq!(said["window"]["judged_since"], made);
    assert!(holds(&said["notes"], &text(&made)));
    assert_ne!(said["window"]["since"], made);
}

/// Puts calls of so many days ago into the counts, behind the back of the server.
async fn add_history(
    service: &mut Service,
    key: &Minted,
    calls: &[(&'static str, u64)],
    days: u64,
) {
    service.stop().await;
    let now = claviger_server::clock::now();
    let options = claviger_store::OpenOptions {
        url: service.config().database_url,
        sync_audit: false,
        default_org: claviger_core::id::OrgId::from_u128(1),
        now,
    };
    let store = claviger_store::open(options).await.expect("it opens");
    let at = now.minus(std::time::Duration::from_secs(days * 86_400));
    let cell = |(route, calls): &(&'static str, u64)| claviger_store::UsageCell {
        key: key.id.parse().expect("an id"),
        hour: claviger_store::hour_of(at),
        method: "GET",
        route,
        workspace: None,
        calls: *calls,
        refusals: 0,
    };
    let batch = claviger_store::UsageBatch {
        cells: calls.iter().map(cell).collect(),
        addresses: Vec::new(),
    };
    store.add_usage(batch.into()).await.expect("added");
    store.close().await;
    drop(store);
    service.start().await.expect("it starts again");
}

async fn what_was_done_before_the_window_is_foretold(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    ask(&service, &key, "/org/tokens").await.ok(200);
    let history = [("/org/audit", 3), ("/workspaces", 7), ("/org/whoami", 9)];
    add_history(&mut service, &key, &history, 40).await;
    let said = advice(&service, &key, "?window=30d").await;
    assert_eq!(
        said["suggestion"]["permissions"],
        json!(["org.tokens:read"])
    );
    let refused = &said["would_have_refused"];
    assert_eq!(refused["calls"], 10);
    assert_eq!(refused["examples"][0]["route"], "/workspaces");
    assert_eq!(refused["examples"][1]["route"], "/org/audit");
    assert_eq!(refused["examples"][2], Value::Null);
    let long = advice(&service, &key, "?window=60d").await;
    let permissions = json!(["workspaces:read", "org.tokens:read", "audit:read"]);
    assert_eq!(long["suggestion"]["permissions"], permissions);
    assert_eq!(long["would_have_refused"]["calls"], 0);
}

/// The findings by the names of their keys, each with its codes.
fn findings(answer: &Value) -> Vec<(String, Vec<String>)> {
    let found = answer["findings"].as_array().expect("a list").iter();
    found
        .map(|one| {
            let reasons = one["reasons"].as_array().expect("a list").iter();
            let codes = reasons.map(|reason| {
                assert!(reason["text"].is_string() && reason["remedy"].is_string());
                text(&reason["code"])
            });
            (text(&one["name"]), codes.collect())
        })
        .collect()
}

async fn org_advice_finds_what_should_be_looked_at(backend: Backend) {
    let service = Service::guarded(backend).await;
    let good = json!({"name": "good", "preset": "reader", "expires_in": "30d"});
    let good = service.mint(ADMIN, good).await;
    let endless = service
        .mint(ADMIN, json!({"name": "endless", "preset": "reader"}))
        .await;
    let broad = service
        .mint(ADMIN, json!({"name": "broad", "expires_in": "30d"}))
        .await;
    let parent = service
        .mint(ADMIN, json!({"name": "parent", "expires_in": "30d"}))
        .await;
    service
        .mint(
            ADMIN,
            json!({"name": "unused", "preset": "reader", "expires_in": "30d"}),
        )
        .await;
    let dead = service.mint(ADMIN, json!({"name": "dead"})).await;
    for key in [&good, &endless, &broad, &parent, &dead] {
        ask(&service, key, "/org/tokens").await.ok(200);
    }
    let child = json!({"name": "child", "preset": "reader", "expires_in": "1d"});
    service.mint(&parent.secret, child).await;
    let end = service.ask_as(ADMIN, "DELETE", &dead.path());
    end.send().await.ok(200);
    let none = service.get(ADMIN, "/org/advice").await;
    assert_eq!(
        findings(&none),
        [("endless".to_owned(), vec!["no_expiry".to_owned()])]
    );
    assert_eq!(none["next_cursor"], Value::Null);
    let found = service.get(ADMIN, "/org/advice?unused_for=0s").await;
    let expected = [
        ("child", "never_used"),
        ("unused", "never_used"),
        ("broad", "over_broad"),
        ("endless", "no_expiry"),
    ];
    let expected = expected.map(|(name, code)| (name.to_owned(), vec![code.to_owned()]));
    assert_eq!(findings(&found), expected);
    let first = &found["findings"][0];
    assert_eq!(first["created_by"], parent.actor());
    assert!(first["id"].is_string() && first["prefix"].is_string());
    let idle = service.get(ADMIN, "/org/advice?idle_for=0s").await;
    let idle = findings(&idle);
    let codes = |name: &str| {
        let mut found = idle.iter().filter(|(known, _)| known == name);
        found.next().map(|(_, codes)| codes.clone())
    };
    assert_eq!(codes("good"), Some(vec!["idle".to_owned()]));
    assert_eq!(
        codes("endless"),
        Some(vec!["idle".to_owned(), "no_expiry".to_owned()])
    );
    assert_eq!(codes("unused"), None);
}

async fn org_advice_walks_all_keys_in_parts(backend: Backend) {
    let service = Service::guarded(backend).await;
    let mut expected = Vec::new();
    for at in 0..7 {
        let name = format!("endless-{at}");
        service.mint(ADMIN, json!({"name": name})).await;
        expected.push(name);
        service
            .mint(ADMIN, json!({"name": "good", "expires_in": "1d"}))
            .await;
    }
    expected.reverse();
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/org/advice?limit=2{cursor}");
        let part = service.get(ADMIN, &path).await;
        let names = findings(&part);
        assert!(names.len() <= 2);
        found.extend(names.into_iter().map(|(name, _)| name));
        match part["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(found, expected);
}
