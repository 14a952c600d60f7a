//! Signals: what a key does for the first time, or should not do at all, is a record, and suspends the
//! key where the policy says so.

use std::net::IpAddr;

use serde_json::{Value, json};

use crate::{
    ask::{Answer, Ask},
    browser::Browser,
    law::whoami,
    service::{ADMIN, Backend, Minted, Service, text},
};

on_each_database!(
    first_use_from_another_network_is_told_once,
    first_call_to_another_endpoint_is_told_after_a_day,
    burst_of_refusals_is_told_once,
    use_of_a_secret_that_has_ended_is_told,
    flood_of_networks_fills_no_trail,
    signal_suspends_the_key_if_the_policy_says_so,
    use_of_a_replaced_secret_suspends_the_key,
    people_and_the_admin_token_raise_no_signals,
    signals_are_shown_in_words,
);

/// Asks this path with a key from an address.
async fn call(service: &Service, from: [u8; 4], (token, path): (&str, &str)) -> Answer {
    let client = reqwest::Client::builder().local_address(IpAddr::from(from));
    let url = format!("http://{}{path}", service.address());
    let request = client.no_proxy().build().expect("a client").get(url);
    Ask(request).bearer(token).send().await
}

async fn call_well(service: &Service, from: [u8; 4], token: &str) {
    call(service, from, (token, "/org/whoami")).await.ok(200);
}

/// The signals until now, oldest first.
async fn signals(service: &Service) -> Vec<Value> {
    service.tell_signals().await;
    let mut records = service.audit(ADMIN, "&kind=signal").await;
    records.reverse();
    records
}

/// What they say.
async fn said(service: &Service) -> Vec<Value> {
    let records = signals(service).await.into_iter();
    records
        .map(|record| record["change"]["signal"].clone())
        .collect()
}

async fn put_policy(service: &Service, policy: Value) -> Answer {
    let ask = service.ask_as(ADMIN, "PUT", "/org/policy").json(&policy);
    ask.send().await
}

async fn rotate(service: &Service, key: &Minted) -> String {
    let path = format!("{}/rotate", key.path());
    let ask = service.ask_as(ADMIN, "POST", &path);
    let answer = ask.json(&json!({"overlap": "0"})).send().await;
    text(&answer.ok(200)["auth_token"])
}

async fn shown(service: &Service, key: &Minted) -> Value {
    service.get(ADMIN, &key.path()).await
}

async fn first_use_from_another_network_is_told_once(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    let lead = service.mint(ADMIN, json!({"name": "lead"})).await;
    let key = service.mint(&lead.secret, json!({"name": "k"})).await;
    call_well(&service, [127, 0, 0, 2], &key.secret).await;
    call_well(&service, [127, 0, 0, 3], &key.secret).await;
    assert_eq!(said(&service).await, Vec::<Value>::new());
    call_well(&service, [127, 0, 1, 2], &key.secret).await;
    for _ in 0..2 {
        call_well(&service, [127, 0, 1, 3], &key.secret).await;
        call_well(&service, [127, 0, 0, 4], &key.secret).await;
        let records = signals(&service).await;
        let [record] = records.as_slice() else {
            panic!("{records:#?}");
        };
        let expected = json!({"signal": {
            "type": "new_network", "network": "127.0.1.0/24",
        }});
        assert_eq!(record["change"], expected);
        assert_eq!(record["key"], key.id.as_str());
        assert_eq!(record["chain"], json!([lead.id]));
        assert_eq!(record["client"], "127.0.1.2");
        assert_eq!(record["code"], "new_network");
        assert_eq!(record["tier"], "2a");
        let label = format!("org-token:{}", text(&shown(&service, &key).await["prefix"]));
        assert_eq!(record["actor"], label);
        // What is known is in the database.
        service.restart().await;
    }
    let other = service.audit(ADMIN, "&kind=notice").await;
    assert_eq!(other, Vec::<Value>::new());
    let bad = service.ask_as(ADMIN, "GET", "/org/audit?kind=noise");
    assert_eq!(bad.send().await.field(400, "bad_query"), "kind");
}

async fn first_call_to_another_endpoint_is_told_after_a_day(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    let ask = async |service: &Service, path| {
        let asked = call(service, [127, 0, 0, 2], (&key.secret, path));
        asked.await.ok(200);
    };
    ask(&service, "/org/whoami").await;
    ask(&service, "/org/tokens").await;
    assert_eq!(said(&service).await, Vec::<Value>::new());
    // As if its first use had been long ago.
    service.stop().await;
    let habits = match backend {
        Backend::Sqlite => "json_set(habits, '$.first', 0)",
        Backend::Postgres => "jsonb_set(habits::jsonb, '{first}', '0')::text",
    };
    service.sql(&format!("update key_habits set habits = {habits}"));
    service.start().await.expect("it starts");
    for path in ["/org/whoami", "/org/tokens", "/workspaces", "/workspaces"] {
        ask(&service, path).await;
    }
    // What no route serves is no endpoint.
    call(&service, [127, 0, 0, 2], (&key.secret, "/nowhere")).await;
    for _ in 0..2 {
        let expected = json!({
            "type": "new_endpoint", "method": "GET", "route": "/workspaces",
        });
        assert_eq!(said(&service).await, [expected]);
        ask(&service, "/workspaces").await;
        service.restart().await;
    }
}

async fn burst_of_refusals_is_told_once(backend: Backend) {
    let service = Service::guarded(backend).await;
    let narrow = json!({"name": "k", "permissions": ["channels:read"]});
    let key = service.mint(ADMIN, narrow).await;
    let refuse = async || {
        let asked = call(&service, [127, 0, 0, 2], (&key.secret, "/org/tokens")).await;
        asked.problem(403, "missing_permission");
    };
    for _ in 0..19 {
        refuse().await;
    }
    // How a key stands is nothing that its holder does.
    let suspended = service.mint(ADMIN, json!({"name": "suspended"})).await;
    let path = format!("{}/suspend", suspended.path());
    service.ask_as(ADMIN, "POST", &path).send().await.ok(200);
    for _ in 0..25 {
        let asked = call(&service, [127, 0, 0, 2], (&suspended.secret, "/org/whoami")).await;
        asked.problem(401, "token_suspended");
    }
    assert_eq!(said(&service).await, Vec::<Value>::new());
    for _ in 0..30 {
        refuse().await;
    }
    let told = said(&service).await;
    let [told] = told.as_slice() else {
        panic!("{told:#?}");
    };
    assert_eq!(told["type"], "refusal_burst");
    assert_eq!(told["refusals"], 20);
    assert_eq!(
        (&told["status"], &told["code"]),
        (&json!(403), &json!("missing_permission"))
    );
    assert!(text(&told["within"]).ends_with('s'), "{told}");
}

async fn use_of_a_secret_that_has_ended_is_told(backend: Backend) {
    let service = Service::guarded(backend).await;
    let mint = async |body| service.mint(ADMIN, body).await;
    let revoked = mint(json!({"name": "revoked"})).await;
    let rotated = mint(json!({"name": "rotated"})).await;
    let expired = mint(json!({"name": "expired", "expires_in": "1s"})).await;
    let ask = service.ask_as(ADMIN, "DELETE", &revoked.path());
    ask.send().await.ok(200);
    rotate(&service, &rotated).await;
    let mut expected = Vec::new();
    for (key, code, because) in [
        (&revoked, "token_revoked", "revoked"),
        (&rotated, "token_rotated_out", "rotated_out"),
    ] {
        for _ in 0..3 {
            whoami(&service, &key.secret).await.problem(401, code);
        }
        expected.push(json!({
            "type": "revoked_secret_used", "because": because, "uses": 1,
        }));
    }
    let ask = |service: &Service| service.ask_as(&expired.secret, "GET", "/org/whoami");
    service.until(ask, |answer| answer.status == 401).await;
    expected.push(json!({
        "type": "revoked_secret_used", "because": "expired", "uses": 1,
    }));
    assert_eq!(said(&service).await, expected);
    let records = signals(&service).await;
    let keys: Vec<_> = records.iter().map(|record| text(&record["key"])).collect();
    assert_eq!(keys, [revoked.id, rotated.id, expired.id]);
    assert!(records.iter().all(|record| record["client"] == "127.0.0.1"));
}

async fn flood_of_networks_fills_no_trail(backend: Backend) {
    let service = Service::guarded(backend).await;
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    for n in 0..20 {
        call_well(&service, [127, 0, n, 1], &key.secret).await;
    }
    assert_eq!(said(&service).await.len(), 12);
    let metrics = service.ask_as(ADMIN, "GET", "/metrics").send().await;
    let page = metrics.text();
    assert!(
        page.contains("claviger_signals_total{signal=\"new_network\"} 19"),
        "{page}"
    );
    assert!(page.contains("claviger_signals_withheld_total 7"), "{page}");
}

async fn signal_suspends_the_key_if_the_policy_says_so(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    for bad in ["noise", "ledger_anchored"] {
        let refused = put_policy(&service, json!({"suspend_on": [bad]})).await;
        assert_eq!(refused.field(422, "out_of_range"), "suspend_on");
    }
    let policy = json!({"suspend_on": ["new_network", "refusal_burst"]});
    put_policy(&service, policy.clone()).await.ok(200);
    assert_eq!(service.get(ADMIN, "/org/policy").await, policy);
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    let child = service.mint(&key.secret, json!({"name": "child"})).await;
    service.tell_signals().await;
    whoami(&service, &child.secret).await.ok(200);
    call_well(&service, [127, 0, 9, 1], &key.secret).await;
    service.tell_signals().await;
    for _ in 0..2 {
        whoami(&service, &key.secret)
            .await
            .problem(401, "token_suspended");
        whoami(&service, &child.secret)
            .await
            .problem(401, "minter_inactive");
        service.restart().await;
    }
    let now = shown(&service, &key).await;
    assert_eq!(now["suspended_by"], "policy");
    assert_eq!(
        now["suspended_reason"],
        "used from a new network: 127.0.9.0/24"
    );
    let records = service.audit(ADMIN, "&actor=policy").await;
    let [record] = records.as_slice() else {
        panic!("{records:#?}");
    };
    assert_eq!(record["kind"], "operation");
    assert_eq!(record["change"]["suspended"]["id"], key.id.as_str());
    // Resumed, it is known there.
    let path = format!("{}/resume", key.path());
    service.ask_as(ADMIN, "POST", &path).send().await.ok(200);
    call_well(&service, [127, 0, 9, 1], &key.secret).await;
    service.tell_signals().await;
    whoami(&service, &key.secret).await.ok(200);
}

async fn use_of_a_replaced_secret_suspends_the_key(backend: Backend) {
    let service = Service::guarded(backend).await;
    let policy = json!({"suspend_on": ["revoked_secret_used"]});
    put_policy(&service, policy).await.ok(200);
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    let gone = service.mint(ADMIN, json!({"name": "gone"})).await;
    let new = rotate(&service, &key).await;
    whoami(&service, &new).await.ok(200);
    let ask = service.ask_as(ADMIN, "DELETE", &gone.path());
    ask.send().await.ok(200);
    whoami(&service, &key.secret)
        .await
        .problem(401, "token_rotated_out");
    whoami(&service, &gone.secret)
        .await
        .problem(401, "token_revoked");
    service.tell_signals().await;
    whoami(&service, &new).await.problem(401, "token_suspended");
    let now = shown(&service, &key).await;
    assert_eq!(
        now["suspended_reason"],
        "a secret that was replaced was used"
    );
    // What is revoked stays so.
    assert_eq!(shown(&service, &gone).await["status"], "revoked");
}

async fn people_and_the_admin_token_raise_no_signals(backend: Backend) {
    let service = Service::guarded(backend).await;
    let all = [
        "new_network",
        "new_endpoint",
        "refusal_burst",
        "revoked_secret_used",
    ];
    put_policy(&service, json!({"suspend_on": all}))
        .await
        .ok(200);
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    call_well(&service, [127, 0, 0, 1], &key.secret).await;
    let session = service.sign_in(&key.secret).await;
    let client = reqwest::Client::builder().local_address(IpAddr::from([127, 0, 5, 1]));
    let client = client.no_proxy().build().expect("a client");
    for path in ["/org/whoami", "/org/tokens"] {
        let url = format!("http://{}{path}", service.address());
        let asked = client.get(url).header("cookie", &session);
        let asked = asked.header("sec-fetch-site", "same-origin").send().await;
        assert_eq!(asked.expect("an answer").status(), 200);
    }
    call_well(&service, [127, 0, 6, 1], ADMIN).await;
    assert_eq!(said(&service).await, Vec::<Value>::new());
    whoami(&service, &key.secret).await.ok(200);
}

async fn signals_are_shown_in_words(backend: Backend) {
    let service = Service::guarded(backend).await;
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    call_well(&service, [127, 0, 0, 2], &key.secret).await;
    call_well(&service, [127, 0, 7, 2], &key.secret).await;
    service.tell_signals().await;
    let admin = Browser::admin(&service).await;
    let activity = format!("/canvas/keys/{}?tab=activity", key.id);
    let page = admin.get(&activity).await.page();
    assert!(
        page.contains("Used from a new network: 127.0.7.0/24"),
        "{page}"
    );
    let page = admin.get("/canvas/audit?kind=signal").await.page();
    assert!(
        page.contains("used from a new network: 127.0.7.0/24"),
        "{page}"
    );
    assert!(!page.contains("/org/whoami"), "{page}");
    let seq = &signals(&service).await[0]["seq"];
    let page = admin.get(&format!("/canvas/audit/{seq}")).await.page();
    assert!(page.contains("new_network"), "{page}");
    let page = admin.get("/canvas/policy").await.page();
    assert!(page.contains("Signals that suspend the key"), "{page}");
}
