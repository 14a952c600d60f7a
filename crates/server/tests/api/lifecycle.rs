//! The life of a key between its mint and its end: narrowed, suspended, resumed.

use serde_json::{Value, json};

use crate::service::{ADMIN, Backend, Minted, Service};

on_each_database!(
    narrowing_takes_effect_on_the_next_request,
    narrowing_a_minter_narrows_what_it_minted,
    nothing_is_widened,
    end_is_only_brought_forward,
    suspended_key_is_refused_and_told_why_until_it_is_resumed,
    suspending_a_minter_suspends_what_it_minted,
    narrow_key_cannot_resume_or_narrow_a_wider_one,
    suspension_and_narrowing_outlive_a_restart,
    suspended_key_can_be_revoked_for_good,
    of_racing_narrowings_none_is_undone,
    each_step_is_in_the_audit_trail,
);

async fn patch(service: &Service, by: &str, key: &Minted, body: Value) -> crate::ask::Answer {
    let ask = service.ask_as(by, "PATCH", &key.path());
    ask.json(&body).send().await
}

async fn turn(service: &Service, by: &str, key: &Minted, what: &str) -> crate::ask::Answer {
    let path = format!("{}/{what}", key.path());
    service.ask_as(by, "POST", &path).send().await
}

async fn names(service: &Service, key: &Minted, workspace: &str) -> crate::ask::Answer {
    let path = format!("/workspaces/{workspace}/secrets");
    service.ask_as(&key.secret, "GET", &path).send().await
}

async fn narrowing_takes_effect_on_the_next_request(backend: Backend) {
    let service = Service::guarded(backend).await;
    let [one, other] = [
        service.workspace(ADMIN).await,
        service.workspace(ADMIN).await,
    ];
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    names(&service, &key, &other).await.ok(200);
    let narrow = json!({"preset": "editor", "workspaces": [one]});
    let changed = patch(&service, ADMIN, &key, narrow).await.ok(200);
    assert_eq!(changed["grant"]["workspaces"], json!([one]));
    names(&service, &key, &one).await.ok(200);
    names(&service, &key, &other)
        .await
        .problem(403, "outside_workspaces");
    let values = format!("/workspaces/{one}/secrets/values");
    let refused = service.ask_as(&key.secret, "GET", &values).send().await;
    refused.problem(403, "missing_permission");
    let narrow = json!({"ip_allow": ["192.0.2.0/24"]});
    patch(&service, ADMIN, &key, narrow).await.ok(200);
    names(&service, &key, &one)
        .await
        .problem(403, "outside_addresses");
}

async fn narrowing_a_minter_narrows_what_it_minted(backend: Backend) {
    let service = Service::guarded(backend).await;
    let workspace = service.workspace(ADMIN).await;
    let parent = service.mint(ADMIN, json!({"name": "parent"})).await;
    let child = service.mint(&parent.secret, json!({"name": "child"})).await;
    names(&service, &child, &workspace).await.ok(200);
    let narrow = json!({"permissions": ["channels:read", "org.tokens:mint"]});
    patch(&service, ADMIN, &parent, narrow).await.ok(200);
    names(&service, &child, &workspace)
        .await
        .problem(403, "missing_permission");
    let own = service.get(&child.secret, "/org/whoami").await;
    assert_eq!(
        own["within"][0]["permissions"],
        json!(["channels:read", "org.tokens:mint"])
    );
}

async fn nothing_is_widened(backend: Backend) {
    let service = Service::guarded(backend).await;
    let workspace = service.workspace(ADMIN).await;
    let grant = json!({
        "name": "k", "preset": "reader", "workspaces": [workspace],
        "endpoints": ["GET /workspaces/*/secrets"], "ip_allow": ["127.0.0.0/8"],
        "not_before": "2026-01-01T00:00:00Z"
    });
    let key = service.mint(ADMIN, grant).await;
    let before = service.get(ADMIN, &key.path()).await;
    for (field, wider) in [
        ("permissions", json!(["*"])),
        ("preset", json!("editor")),
        ("workspaces", json!("*")),
        ("endpoints", json!([])),
        ("endpoints", json!(["GET /workspaces/*"])),
        ("ip_allow", json!([])),
        ("ip_allow", json!(["0.0.0.0/0"])),
        ("not_before", json!("2025-01-01T00:00:00Z")),
    ] {
        let mut body = json!({});
        body[field] = wider;
        let answer = patch(&service, ADMIN, &key, body.clone()).await;
        let named = answer.field(422, "out_of_range");
        let expected = if field == "preset" {
            "permissions"
        } else {
            field
        };
        assert_eq!(named, expected, "{body}");
    }
    let unread = patch(
        &service,
        ADMIN,
        &key,
        json!({"permissions": ["everything"]}),
    )
    .await;
    assert_eq!(unread.field(422, "out_of_range"), "permissions");
    assert_eq!(service.get(ADMIN, &key.path()).await, before);
}

async fn end_is_only_brought_forward(backend: Backend) {
    let service = Service::guarded(backend).await;
    let key = service
        .mint(ADMIN, json!({"name": "k", "expires_in": "30d"}))
        .await;
    let changed = patch(&service, ADMIN, &key, json!({"expires_in": "10d"}))
        .await
        .ok(200);
    let end = changed["expires_at"].clone();
    let later = patch(&service, ADMIN, &key, json!({"expires_in": "20d"})).await;
    assert_eq!(later.field(422, "out_of_range"), "expires_at");
    let past = json!({"expires_at": "2020-01-01T00:00:00Z"});
    let past = patch(&service, ADMIN, &key, past).await;
    assert_eq!(past.field(422, "out_of_range"), "expires_at");
    let both = json!({"expires_in": "1d", "expires_at": "2100-01-01T00:00:00Z"});
    let both = patch(&service, ADMIN, &key, both).await;
    assert_eq!(both.field(422, "out_of_range"), "expires_in");
    assert_eq!(service.get(ADMIN, &key.path()).await["expires_at"], end);
    let endless = service.mint(ADMIN, json!({"name": "endless"})).await;
    patch(&service, ADMIN, &endless, json!({"expires_in": "1d"}))
        .await
        .ok(200);
}

async fn suspended_key_is_refused_and_told_why_until_it_is_resumed(backend: Backend) {
    let service = Service::guarded(backend).await;
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    let whoami = || service.ask_as(&key.secret, "GET", "/org/whoami").send();
    for _ in 0..2 {
        whoami().await.ok(200);
        let suspended = turn(&service, ADMIN, &key, "suspend").await.ok(200);
        assert_eq!(suspended["status"], "suspended");
        let again = turn(&service, ADMIN, &key, "suspend").await.ok(200);
        assert_eq!(again["suspended_at"], suspended["suspended_at"]);
        whoami().await.problem(401, "token_suspended");
        let resumed = turn(&service, ADMIN, &key, "resume").await.ok(200);
        assert_eq!(resumed["status"], "active");
        assert!(resumed.get("suspended_at").is_none());
    }
    whoami().await.ok(200);
    let nowhere = format!("/org/tokens/{}/suspend", "tok_01J00000000000000000000000");
    let nowhere = service.ask_as(ADMIN, "POST", &nowhere).send().await;
    nowhere.problem(404, "not_found");
}

async fn suspending_a_minter_suspends_what_it_minted(backend: Backend) {
    let service = Service::guarded(backend).await;
    let parent = service.mint(ADMIN, json!({"name": "parent"})).await;
    let child = service.mint(&parent.secret, json!({"name": "child"})).await;
    let whoami = || service.ask_as(&child.secret, "GET", "/org/whoami").send();
    turn(&service, ADMIN, &parent, "suspend").await.ok(200);
    whoami().await.problem(401, "minter_inactive");
    turn(&service, ADMIN, &parent, "resume").await.ok(200);
    whoami().await.ok(200);
}

async fn narrow_key_cannot_resume_or_narrow_a_wider_one(backend: Backend) {
    let service = Service::guarded(backend).await;
    let wide = service.mint(ADMIN, json!({"name": "wide"})).await;
    let clerk = json!({"name": "clerk", "permissions": ["org.tokens:*"]});
    let clerk = service.mint(ADMIN, clerk).await;
    for what in ["suspend", "resume"] {
        turn(&service, &clerk.secret, &wide, what)
            .await
            .problem(403, "wider_key");
    }
    let narrow = json!({"permissions": ["org.tokens:read"]});
    patch(&service, &clerk.secret, &wide, narrow)
        .await
        .problem(403, "wider_key");
    let reader = json!({"name": "reader", "permissions": ["org.tokens:read"]});
    let reader = service.mint(&clerk.secret, reader).await;
    let own = |what| turn(&service, &reader.secret, &reader, what);
    own("suspend").await.problem(403, "missing_permission");
    own("resume").await.problem(403, "missing_permission");
    for what in ["suspend", "resume"] {
        turn(&service, &clerk.secret, &reader, what).await.ok(200);
    }
}

async fn suspension_and_narrowing_outlive_a_restart(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    let workspace = service.workspace(ADMIN).await;
    let [off, narrow] = [
        service.mint(ADMIN, json!({"name": "off"})).await,
        service.mint(ADMIN, json!({"name": "narrow"})).await,
    ];
    turn(&service, ADMIN, &off, "suspend").await.ok(200);
    let body = json!({"permissions": ["channels:read"]});
    patch(&service, ADMIN, &narrow, body).await.ok(200);
    service.restart().await;
    let refused = service
        .ask_as(&off.secret, "GET", "/org/whoami")
        .send()
        .await;
    refused.problem(401, "token_suspended");
    names(&service, &narrow, &workspace)
        .await
        .problem(403, "missing_permission");
}

async fn suspended_key_can_be_revoked_for_good(backend: Backend) {
    let service = Service::guarded(backend).await;
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    turn(&service, ADMIN, &key, "suspend").await.ok(200);
    service
        .ask_as(ADMIN, "DELETE", &key.path())
        .send()
        .await
        .ok(200);
    turn(&service, ADMIN, &key, "resume")
        .await
        .problem(409, "revoked");
    let refused = service
        .ask_as(&key.secret, "GET", "/org/whoami")
        .send()
        .await;
    refused.problem(401, "token_revoked");
}

async fn of_racing_narrowings_none_is_undone(backend: Backend) {
    let service = Service::guarded(backend).await;
    for _ in 0..20 {
        let key = service.mint(ADMIN, json!({"name": "k"})).await;
        let bodies = [
            json!({"permissions": ["secrets:read", "channels:read"]}),
            json!({"permissions": ["secrets:read", "channels:write"]}),
            json!({"ip_allow": ["127.0.0.0/8"]}),
        ];
        let changes = bodies
            .iter()
            .map(|body| patch(&service, ADMIN, &key, body.clone()));
        let end = turn(&service, ADMIN, &key, "suspend");
        let (answers, suspended) = tokio::join!(futures_util::future::join_all(changes), end);
        suspended.ok(200);
        let now = service.get(ADMIN, &key.path()).await;
        for (body, answer) in bodies.iter().zip(&answers) {
            match answer.status {
                // What was answered as done holds: nothing that it took away is back.
                200 if body.get("permissions").is_some() => {
                    let left = now["grant"]["permissions"].as_array().expect("a list");
                    let allowed = body["permissions"].as_array().expect("a list");
                    assert!(left.iter().all(|one| allowed.contains(one)), "{now} {body}");
                }
                200 => assert_eq!(now["grant"]["ip_allow"], body["ip_allow"]),
                409 => drop(answer.problem(409, "changed_meanwhile")),
                _ => assert_eq!(answer.field(422, "out_of_range"), "permissions"),
            }
        }
        let refused = service
            .ask_as(&key.secret, "GET", "/org/whoami")
            .send()
            .await;
        refused.problem(401, "token_suspended");
    }
}

async fn each_step_is_in_the_audit_trail(backend: Backend) {
    let service = Service::guarded(backend).await;
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    patch(&service, ADMIN, &key, json!({"preset": "reader"}))
        .await
        .ok(200);
    let path = format!("{}/suspend", key.path());
    let because = json!({"reason": "leak suspected"});
    service
        .ask_as(ADMIN, "POST", &path)
        .json(&because)
        .send()
        .await
        .ok(200);
    turn(&service, ADMIN, &key, "resume").await.ok(200);
    let changes: Vec<_> = service
        .audit(ADMIN, "")
        .await
        .into_iter()
        .filter_map(|record| record.get("change").cloned())
        .collect();
    let subject = |reason: Value| json!({"id": key.id, "prefix": key.prefix, "reason": reason});
    assert_eq!(changes[0], json!({"resumed": subject(json!(null))}));
    assert_eq!(
        changes[1],
        json!({"suspended": subject(json!("leak suspected"))})
    );
    assert_eq!(
        changes[2],
        json!({"changed": {"id": key.id, "to": {"preset": "reader"}}})
    );
}
