//! Who may approve what, and what an approval is worth later.

use serde_json::{Value, json};

use crate::{
    key_requests::{approved, ask, reader, show, step, try_to_ask},
    service::{ADMIN, Backend, Minted, Service, text},
};

on_each_database!(
    nobody_approves_what_it_asked_for_itself,
    approver_holds_org_admin_and_the_right_to_mint,
    approver_holds_what_it_approves,
    approval_never_widens,
    approval_by_the_org_makes_a_key_of_the_org,
    approval_is_void_while_the_approver_does_not_hold_it,
    approved_end_counts_from_the_collection_and_never_outlives_the_approver,
    end_that_has_passed_is_not_approved,
    key_without_any_right_can_ask,
    workspace_token_cannot_ask,
    key_collected_while_its_approver_is_revoked_is_refused,
    rotated_key_is_still_the_asker_and_its_old_secret_collects_nothing,
    revoked_asker_collects_nothing,
);

async fn admin(service: &Service, by: &str) -> Minted {
    service.mint(by, json!({"name": "admin"})).await
}

async fn approve(service: &Service, by: &Minted, id: &str) -> crate::ask::Answer {
    step(service, &by.secret, id, "approve", json!({})).await
}

async fn patch(service: &Service, key: &Minted, body: Value) {
    let ask = service.ask_as(ADMIN, "PATCH", &key.path());
    ask.json(&body).send().await.ok(200);
}

async fn nobody_approves_what_it_asked_for_itself(backend: Backend) {
    let service = Service::guarded(backend).await;
    let above = admin(&service, ADMIN).await;
    let asker = admin(&service, &above.secret).await;
    let below = admin(&service, &asker.secret).await;
    let beside = admin(&service, &above.secret).await;
    let id = ask(&service, &asker.secret, json!({})).await;
    for stopped in [&asker, &below] {
        approve(&service, stopped, &id)
            .await
            .problem(403, "own_request");
    }
    assert_eq!(show(&service, ADMIN, &id).await["status"], "pending");
    approve(&service, &beside, &id).await.ok(200);
    let id = ask(&service, &asker.secret, json!({})).await;
    approve(&service, &above, &id).await.ok(200);
    let id = ask(&service, ADMIN, json!({})).await;
    let own = step(&service, ADMIN, &id, "approve", json!({})).await;
    own.problem(403, "own_request");
    approve(&service, &above, &id).await.ok(200);
}

async fn approver_holds_org_admin_and_the_right_to_mint(backend: Backend) {
    let service = Service::guarded(backend).await;
    let asker = reader(&service).await;
    let id = ask(
        &service,
        &asker.secret,
        json!({"permissions": [], "preset": null}),
    )
    .await;
    for few in [
        ["org:admin", "org.tokens:read"],
        ["org.tokens:mint", "org.tokens:read"],
    ] {
        let body = json!({"name": "few", "permissions": few});
        let few = service.mint(ADMIN, body).await;
        let answer = approve(&service, &few, &id).await;
        answer.problem(403, "missing_permission");
    }
    let both = json!({"name": "both", "permissions": ["org:admin", "org.tokens:mint"]});
    let both = service.mint(ADMIN, both).await;
    approve(&service, &both, &id).await.ok(200);
}

async fn approver_holds_what_it_approves(backend: Backend) {
    let service = Service::guarded(backend).await;
    let asker = reader(&service).await;
    let workspace = service.workspace(ADMIN).await;
    let rights = json!(["org:admin", "org.tokens:mint", "channels:*"]);
    let wide = json!({"permissions": rights, "preset": null});
    for (field, own, more) in [
        (
            "permissions",
            json!(["org:admin", "org.tokens:mint"]),
            json!(null),
        ),
        ("workspaces", json!([workspace]), json!(null)),
        ("ip_allow", json!(["127.0.0.0/8"]), json!(null)),
        ("rate_limit", json!({"per_day": 100_000}), json!(null)),
        ("expires_in", json!("1h"), json!("2h")),
        (
            "expires_at",
            json!("2100-01-01T00:00:00Z"),
            json!("2100-01-02T00:00:00Z"),
        ),
    ] {
        let mut body = json!({"name": field, "permissions": rights});
        body[field] = own.clone();
        let narrow = service.mint(ADMIN, body).await;
        let mut question = wide.clone();
        if !more.is_null() {
            question["expires_in"] = json!(null);
            question[field] = more;
        }
        let id = ask(&service, &asker.secret, question).await;
        let answer = approve(&service, &narrow, &id).await;
        assert_eq!(answer.field(403, "beyond_minter"), field);
        // What it does hold it can approve of the same request.
        let mut narrower = json!({});
        narrower[field] = if field == "expires_in" {
            json!("30m")
        } else {
            own
        };
        if field == "ip_allow" || field == "workspaces" {
            let answer = step(&service, &narrow.secret, &id, "approve", narrower).await;
            let grant = answer.ok(200)["approved"]["grant"].clone();
            assert!(grant[field].is_array(), "{grant}");
        } else {
            if field == "permissions" {
                narrower[field] = json!(["org:admin"]);
            }
            let answer = step(&service, &narrow.secret, &id, "approve", narrower).await;
            answer.ok(200);
        }
    }
}

async fn approval_never_widens(backend: Backend) {
    let service = Service::guarded(backend).await;
    let asker = reader(&service).await;
    let workspace = service.workspace(ADMIN).await;
    let narrow = json!({"workspaces": [workspace], "endpoints": ["GET /workspaces/*/secrets"],
        "ip_allow": ["127.0.0.0/8"], "rate_limit": {"per_minute": 10}});
    let id = ask(&service, &asker.secret, narrow).await;
    for (body, field) in [
        (json!({"permissions": ["*"]}), "permissions"),
        (json!({"preset": "admin"}), "permissions"),
        (json!({"workspaces": "*"}), "workspaces"),
        (json!({"endpoints": ["GET /workspaces"]}), "endpoints"),
        (json!({"ip_allow": ["0.0.0.0/0"]}), "ip_allow"),
        (json!({"rate_limit": {"per_minute": 11}}), "rate_limit"),
        (json!({"expires_in": "25h"}), "expires_in"),
        (json!({"expires_at": "2100-01-01T00:00:00Z"}), "expires_at"),
        (json!({"expires_in": "0s"}), "expires_in"),
        (json!({"preset": "reader", "permissions": []}), "preset"),
        (json!({"note": "x".repeat(1001)}), "note"),
    ] {
        let answer = step(&service, ADMIN, &id, "approve", body.clone()).await;
        assert_eq!(answer.field(422, "out_of_range"), field, "{body}");
    }
    let unknown = step(&service, ADMIN, &id, "approve", json!({"name": "x"})).await;
    assert_eq!(unknown.field(400, "bad_field"), "name");
    assert_eq!(show(&service, ADMIN, &id).await["status"], "pending");
    let body = json!({"expires_in": "24h", "rate_limit": {"per_minute": 10}});
    step(&service, ADMIN, &id, "approve", body).await.ok(200);
}

async fn approval_by_the_org_makes_a_key_of_the_org(backend: Backend) {
    let service = Service::guarded(backend).await;
    let asker = reader(&service).await;
    let id = ask(&service, &asker.secret, json!({})).await;
    step(&service, ADMIN, &id, "approve", json!({}))
        .await
        .ok(200);
    let made = step(&service, &asker.secret, &id, "collect", json!({})).await;
    let key = Minted::of(&made.ok(201));
    let kept = service.get(ADMIN, &key.path()).await;
    assert_eq!(
        (&kept["created_by"], &kept["parent_id"]),
        (&json!("admin-token"), &json!(null))
    );
    // The asker is not above it.
    let end = service.ask_as(ADMIN, "DELETE", &asker.path());
    end.send().await.ok(200);
    service.get(&key.secret, "/org/whoami").await;
}

async fn approval_is_void_while_the_approver_does_not_hold_it(backend: Backend) {
    let service = Service::guarded(backend).await;
    let above = admin(&service, ADMIN).await;
    let approver = admin(&service, &above.secret).await;
    let asker = reader(&service).await;
    let id = ask(&service, &asker.secret, json!({})).await;
    approve(&service, &approver, &id).await.ok(200);
    let keys = async || {
        let list = service.get(ADMIN, "/org/tokens?status=all").await;
        list["tokens"].as_array().expect("keys").len()
    };
    let before = keys().await;
    let collect = || step(&service, &asker.secret, &id, "collect", json!({}));
    for ended in [&approver, &above] {
        let turn = async |what: &str| {
            let path = format!("{}/{what}", ended.path());
            service.ask_as(ADMIN, "POST", &path).send().await.ok(200);
        };
        turn("suspend").await;
        let problem = collect().await.problem(409, "approval_void");
        assert!(text(&problem["detail"]).contains("ask again"), "{problem}");
        turn("resume").await;
    }
    patch(
        &service,
        &above,
        json!({"permissions": ["org:admin", "org.tokens:mint"]}),
    )
    .await;
    let problem = collect().await.problem(409, "approval_void");
    assert!(
        text(&problem["detail"]).contains("`permissions`"),
        "{problem}"
    );
    let end = service.ask_as(ADMIN, "DELETE", &above.path());
    end.send().await.ok(200);
    collect().await.problem(409, "approval_void");
    assert_eq!(keys().await, before);
    assert_eq!(show(&service, ADMIN, &id).await["status"], "approved");
}

async fn approved_end_counts_from_the_collection_and_never_outlives_the_approver(backend: Backend) {
    let service = Service::guarded(backend).await;
    let approver = admin(&service, ADMIN).await;
    let asker = reader(&service).await;
    let collected = async |question: Value, end: Value| {
        let id = ask(&service, &asker.secret, question).await;
        approve(&service, &approver, &id).await.ok(200);
        if !end.is_null() {
            patch(&service, &approver, json!({"expires_at": end})).await;
        }
        let made = step(&service, &asker.secret, &id, "collect", json!({})).await;
        made.ok(201)
    };
    let made = collected(json!({"expires_in": "90s"}), json!(null)).await;
    let time = |value: &Value| {
        let at: claviger_core::time::Timestamp = text(value).parse().expect("a time");
        at.millis()
    };
    assert_eq!(
        time(&made["expires_at"]) - time(&made["created_at"]),
        90_000
    );
    let endless = json!({"expires_in": null});
    let made = collected(endless.clone(), json!(null)).await;
    assert_eq!(made["expires_at"], json!(null));
    let end = "2100-01-01T00:00:00.000Z";
    let long = json!({"expires_in": null, "expires_at": "2200-01-01T00:00:00Z"});
    let made = collected(long, json!(end)).await;
    assert_eq!(made["expires_at"], end);
    let made = collected(endless, json!(null)).await;
    assert_eq!(
        made["expires_at"], end,
        "what says nothing ends with the approver"
    );
}

async fn end_that_has_passed_is_not_approved(backend: Backend) {
    let service = Service::guarded(backend).await;
    let asker = reader(&service).await;
    let soon = claviger_server::clock::now().plus(std::time::Duration::from_millis(600));
    let question = json!({"expires_in": null, "expires_at": soon.to_string()});
    let [late, later] = [
        ask(&service, &asker.secret, question.clone()).await,
        ask(&service, &asker.secret, question.clone()).await,
    ];
    step(&service, ADMIN, &late, "approve", json!({}))
        .await
        .ok(200);
    let whoami = |service: &Service| service.ask_as(ADMIN, "GET", "/org/whoami");
    let has_passed = |_: &crate::ask::Answer| claviger_server::clock::now() > soon;
    service.until(whoami, has_passed).await;
    let refused = step(&service, ADMIN, &later, "approve", json!({})).await;
    refused.problem(409, "approval_void");
    let refused = step(&service, &asker.secret, &late, "collect", json!({})).await;
    refused.problem(409, "approval_void");
    let past = try_to_ask(&service, &asker.secret, question).await;
    assert_eq!(past.field(422, "out_of_range"), "expires_at");
}

async fn key_without_any_right_can_ask(backend: Backend) {
    let service = Service::guarded(backend).await;
    let body = json!({"name": "narrow", "permissions": [], "endpoints": ["GET /nowhere"]});
    let narrow = service.mint(ADMIN, body).await;
    let id = ask(&service, &narrow.secret, json!({"endpoints": []})).await;
    step(&service, ADMIN, &id, "approve", json!({}))
        .await
        .ok(200);
    let made = step(&service, &narrow.secret, &id, "collect", json!({})).await;
    assert_eq!(made.ok(201)["grant"].get("endpoints"), None);
}

async fn workspace_token_cannot_ask(backend: Backend) {
    let service = Service::guarded(backend).await;
    let workspace = service.workspace(ADMIN).await;
    let token = service.workspace_token(ADMIN, &workspace).await;
    let answer = try_to_ask(&service, &token, json!({})).await;
    answer.problem(403, "outside_workspace_token");
}

async fn revoked_asker_collects_nothing(backend: Backend) {
    let service = Service::guarded(backend).await;
    let asker = reader(&service).await;
    let id = approved(&service, &asker).await;
    let end = service.ask_as(ADMIN, "DELETE", &asker.path());
    end.send().await.ok(200);
    let answer = step(&service, &asker.secret, &id, "collect", json!({})).await;
    answer.problem(401, "token_revoked");
    assert_eq!(show(&service, ADMIN, &id).await["status"], "approved");
}

async fn rotated_key_is_still_the_asker_and_its_old_secret_collects_nothing(backend: Backend) {
    let service = Service::guarded(backend).await;
    let asker = reader(&service).await;
    let id = approved(&service, &asker).await;
    let rotate = format!("{}/rotate", asker.path());
    let rotated = service
        .ask_as(&asker.secret, "POST", &rotate)
        .send()
        .await
        .ok(200);
    let answer = step(&service, &asker.secret, &id, "collect", json!({})).await;
    answer.problem(403, "replaced_secret");
    let new = text(&rotated["auth_token"]);
    step(&service, &new, &id, "collect", json!({}))
        .await
        .ok(201);
}

async fn key_collected_while_its_approver_is_revoked_is_refused(backend: Backend) {
    let service = Service::guarded(backend).await;
    let asker = reader(&service).await;
    for _ in 0..20 {
        let approver = admin(&service, ADMIN).await;
        let id = ask(&service, &asker.secret, json!({})).await;
        approve(&service, &approver, &id).await.ok(200);
        let revoke = service.ask_as(ADMIN, "DELETE", &approver.path());
        let (collected, revoked) = tokio::join!(
            step(&service, &asker.secret, &id, "collect", json!({})),
            revoke.send(),
        );
        revoked.ok(200);
        if collected.status == 201 {
            let key = Minted::of(&collected.json());
            let whoami = service.ask_as(&key.secret, "GET", "/org/whoami");
            whoami.send().await.problem(401, "token_revoked");
        } else {
            collected.problem(409, "approval_void");
        }
    }
}
