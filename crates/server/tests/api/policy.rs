//! The org's policy: what it cuts, what it blocks, what it lets nobody mint, and what it says beforehand.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    ask::Answer,
    law::whoami,
    service::{ADMIN, Backend, Minted, Service, text},
};

on_each_database!(
    policy_is_kept_and_shown,
    policy_says_beforehand_what_it_would_block,
    policy_says_beforehand_what_it_would_stop_otherwise,
    metadata_that_is_taken_away_while_a_policy_comes_blocks_the_key,
    key_that_does_not_conform_is_blocked_and_not_deleted,
    what_hangs_on_a_blocked_key_is_refused_too,
    ceiling_cuts_what_keys_may_do,
    mint_beyond_the_policy_is_refused,
    mint_that_leaves_it_open_is_cut_to_the_policy,
    required_metadata_cannot_be_taken_away,
    policy_that_shuts_out_its_author_is_refused,
    policy_of_one_org_says_nothing_of_another,
    mint_under_way_meets_the_policy_that_comes_into_force,
    malformed_policies_name_the_field,
);

async fn put(service: &Service, by: &str, body: Value) -> Answer {
    service
        .ask_as(by, "PUT", "/org/policy")
        .json(&body)
        .send()
        .await
}

async fn mint(service: &Service, by: &str, body: Value) -> Answer {
    service
        .ask_as(by, "POST", "/org/tokens")
        .json(&body)
        .send()
        .await
}

async fn policy_is_kept_and_shown(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    assert_eq!(service.get(ADMIN, "/org/policy").await, json!({}));
    let policy = json!({
        "presets": ["reader"], "permissions": ["org.tokens:*"], "ip_allow": ["127.0.0.0/8"],
        "lifetime_max": "90d", "require_expiry": true, "required_metadata": ["team"],
        "minters": ["people", "keys"], "keys_max": 10, "depth_max": 2,
        "suspend_idle_after": "30d", "suspend_overdue": true,
    });
    let said = put(&service, ADMIN, policy.clone()).await.ok(200);
    assert_eq!(
        (&said["policy"], &said["dry_run"]),
        (&policy, &json!(false))
    );
    service.restart().await;
    assert_eq!(service.get(ADMIN, "/org/policy").await, policy);
    let records = service.audit(ADMIN, "").await;
    let told = records
        .iter()
        .find(|record| record["change"]["policy"].is_object());
    assert_eq!(told.expect("a record")["change"]["policy"]["to"], policy);
    put(&service, ADMIN, json!({})).await.ok(200);
    assert_eq!(service.get(ADMIN, "/org/policy").await, json!({}));
}

async fn policy_says_beforehand_what_it_would_block(backend: Backend) {
    let service = Service::guarded(backend).await;
    let endless = service
        .mint(ADMIN, json!({"name": "endless", "preset": "reader"}))
        .await;
    let short = json!({"name": "short", "preset": "reader", "expires_in": "10d"});
    let short = service.mint(ADMIN, short).await;
    let wide = json!({"name": "wide", "expires_in": "10d"});
    let wide = service.mint(ADMIN, wide).await;
    let asked = json!({"lifetime_max": "30d", "presets": ["reader"]});
    let path = "/org/policy?dry_run=true";
    let said = service
        .ask_as(ADMIN, "PUT", path)
        .json(&asked)
        .send()
        .await
        .ok(200);
    assert_eq!(said["dry_run"], json!(true));
    assert_eq!(
        (&said["blocked_count"], &said["cut_count"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(said["blocked"][0]["id"], endless.id.as_str());
    assert!(text(&said["blocked"][0]["reason"]).contains("end"));
    assert_eq!(said["cut"][0]["id"], wide.id.as_str());
    assert_eq!(
        service.get(ADMIN, "/org/policy").await,
        json!({}),
        "nothing changed"
    );
    for key in [&endless, &short, &wide] {
        whoami(&service, &key.secret).await.ok(200);
    }
}

async fn policy_says_beforehand_what_it_would_stop_otherwise(backend: Backend) {
    let service = Service::guarded(backend).await;
    let root = service.mint(ADMIN, json!({"name": "root"})).await;
    let child = service
        .mint(&root.secret, json!({"name": "child", "expires_in": "1d"}))
        .await;
    let due = json!({"name": "due", "expires_in": "1d", "rotate_every": "1d"});
    service.mint(ADMIN, due).await;
    whoami(&service, &child.secret).await.ok(200);
    let look = async |policy: Value| {
        let ask = service.ask_as(ADMIN, "PUT", "/org/policy?dry_run=true");
        ask.json(&policy).send().await.ok(200)
    };
    let said = look(json!({"require_expiry": true})).await;
    assert_eq!(said["blocked"][0]["id"], root.id.as_str());
    assert_eq!(said["below"][0]["id"], child.id.as_str());
    let said = look(json!({"ip_allow": ["192.0.2.0/24"]})).await;
    assert_eq!(said["outside_count"], 2, "{said}");
    assert!(text(&said["outside"][0]["reason"]).contains("127.0.0.1"));
    let said = look(json!({"suspend_overdue": true})).await;
    assert_eq!(said["suspended_count"], 0, "nothing is overdue yet");
}

async fn metadata_that_is_taken_away_while_a_policy_comes_blocks_the_key(backend: Backend) {
    let service = Arc::new(Service::guarded(backend).await);
    for _ in 0..20 {
        let key = json!({"name": "k", "metadata": {"team": "red"}});
        let key = service.mint(ADMIN, key).await;
        let putting = {
            let service = Arc::clone(&service);
            tokio::spawn(async move {
                put(&service, ADMIN, json!({"required_metadata": ["team"]}))
                    .await
                    .ok(200)
            })
        };
        let change = json!({"metadata": {}});
        let changed = service
            .ask_as(ADMIN, "PATCH", &key.path())
            .json(&change)
            .send()
            .await;
        putting.await.expect("no panic");
        // Whichever came first: a key without what is asked does not work.
        let seen = whoami(&service, &key.secret).await;
        if changed.status == 200 {
            seen.problem(403, "policy_blocked");
        } else {
            assert_eq!(changed.field(422, "out_of_range"), "metadata");
            seen.ok(200);
        }
        put(&service, ADMIN, json!({})).await.ok(200);
    }
}

async fn key_that_does_not_conform_is_blocked_and_not_deleted(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    let good = json!({"name": "good", "expires_in": "10d", "metadata": {"team": "red"}});
    let good = service.mint(ADMIN, good).await;
    for (policy, words) in [
        (json!({"require_expiry": true}), "has an end"),
        (json!({"lifetime_max": "30d"}), "has an end"),
        (json!({"required_metadata": ["team"]}), "metadata"),
    ] {
        put(&service, ADMIN, policy.clone()).await.ok(200);
        for restarted in [false, true] {
            if restarted {
                service.restart().await;
            }
            let refused = whoami(&service, &key.secret).await;
            let problem = refused.problem(403, "policy_blocked");
            assert!(text(&problem["detail"]).contains(words), "{problem}");
            whoami(&service, &good.secret).await.ok(200);
        }
        let shown = service.get(ADMIN, &key.path()).await;
        assert!(text(&shown["blocked"]).contains(words), "{shown}");
        assert!(
            service
                .get(ADMIN, &good.path())
                .await
                .get("blocked")
                .is_none()
        );
        put(&service, ADMIN, json!({})).await.ok(200);
        whoami(&service, &key.secret).await.ok(200);
    }
    // Brought to what is asked, it works again.
    let asked = json!({"lifetime_max": "30d", "required_metadata": ["team"]});
    put(&service, ADMIN, asked).await.ok(200);
    let change = json!({"expires_in": "20d", "metadata": {"team": "blue"}});
    service
        .ask_as(ADMIN, "PATCH", &key.path())
        .json(&change)
        .send()
        .await
        .ok(200);
    whoami(&service, &key.secret).await.ok(200);
}

async fn what_hangs_on_a_blocked_key_is_refused_too(backend: Backend) {
    let service = Service::guarded(backend).await;
    let root = service.mint(ADMIN, json!({"name": "root"})).await;
    let child = json!({"name": "child", "expires_in": "1d"});
    let child = service.mint(&root.secret, child).await;
    let workspace = service.workspace(ADMIN).await;
    let token = service.workspace_token(&root.secret, &workspace).await;
    put(&service, ADMIN, json!({"require_expiry": true}))
        .await
        .ok(200);
    whoami(&service, &child.secret)
        .await
        .problem(401, "minter_inactive");
    let path = format!("/workspaces/{workspace}/secrets");
    let refused = service.ask_as(&token, "GET", &path).send().await;
    refused.problem(401, "minter_inactive");
}

async fn ceiling_cuts_what_keys_may_do(backend: Backend) {
    let service = Service::guarded(backend).await;
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    let workspace = service.workspace(ADMIN).await;
    let values = format!("/workspaces/{workspace}/secrets/values");
    service
        .ask_as(&key.secret, "GET", &values)
        .send()
        .await
        .ok(200);
    put(&service, ADMIN, json!({"presets": ["reader"]}))
        .await
        .ok(200);
    let refused = service.ask_as(&key.secret, "GET", &values).send().await;
    let problem = refused.problem(403, "policy_permission");
    assert!(
        text(&problem["detail"]).contains("secrets:reveal"),
        "{problem}"
    );
    let own = whoami(&service, &key.secret).await.ok(200);
    assert_eq!(own["grant"]["permissions"], json!(["*"]));
    assert!(
        own["policy"]["permissions"]
            .as_array()
            .is_some_and(|list| list.len() == 5),
        "{own}"
    );
    service.ask_as(ADMIN, "GET", &values).send().await.ok(200);
    put(&service, ADMIN, json!({"ip_allow": ["192.0.2.0/24"]}))
        .await
        .ok(200);
    let refused = whoami(&service, &key.secret).await;
    refused.problem(403, "policy_addresses");
}

async fn mint_beyond_the_policy_is_refused(backend: Backend) {
    let service = Service::guarded(backend).await;
    let root = service
        .mint(ADMIN, json!({"name": "root", "expires_in": "10d"}))
        .await;
    let table = [
        (
            json!({"presets": ["editor"]}),
            json!({"preset": "admin"}),
            "permissions",
        ),
        (
            json!({"lifetime_max": "1d"}),
            json!({"expires_in": "2d"}),
            "expires_in",
        ),
        (json!({"require_expiry": true}), json!({}), "expires_in"),
        (
            json!({"required_metadata": ["team"]}),
            json!({"metadata": {"x": "y"}}),
            "metadata",
        ),
        (json!({"minters": ["keys"]}), json!({}), "minters"),
    ];
    for (policy, mut body, field) in table {
        put(&service, ADMIN, policy.clone()).await.ok(200);
        body["name"] = json!("k");
        let refused = mint(&service, ADMIN, body).await;
        assert_eq!(refused.field(403, "beyond_policy"), field, "{policy}");
    }
    put(&service, ADMIN, json!({"depth_max": 0})).await.ok(200);
    let refused = mint(&service, &root.secret, json!({"name": "k"})).await;
    assert_eq!(refused.field(403, "beyond_policy"), "depth_max");
    mint(&service, ADMIN, json!({"name": "k"})).await.ok(201);
    put(&service, ADMIN, json!({"keys_max": 3})).await.ok(200);
    mint(&service, ADMIN, json!({"name": "third"}))
        .await
        .ok(201);
    let refused = mint(&service, ADMIN, json!({"name": "fourth"})).await;
    refused.problem(409, "limit_reached");
    let end = service.ask_as(ADMIN, "DELETE", &root.path()).send().await;
    end.ok(200);
    mint(&service, ADMIN, json!({"name": "fourth"}))
        .await
        .ok(201);
}

async fn mint_that_leaves_it_open_is_cut_to_the_policy(backend: Backend) {
    let service = Service::guarded(backend).await;
    let policy = json!({"permissions": ["channels:*"], "lifetime_max": "1d"});
    put(&service, ADMIN, policy).await.ok(200);
    let made = mint(&service, ADMIN, json!({"name": "k"})).await.ok(201);
    assert_eq!(made["grant"]["permissions"], json!(["channels:*"]));
    let ends: claviger_core::time::Timestamp = text(&made["expires_at"]).parse().expect("a time");
    let began = text(&made["created_at"]).parse().expect("a time");
    assert_eq!(ends.since(began).as_secs(), 86_400);
    whoami(&service, &text(&made["auth_token"])).await.ok(200);
}

async fn required_metadata_cannot_be_taken_away(backend: Backend) {
    let service = Service::guarded(backend).await;
    let key = json!({"name": "k", "metadata": {"team": "red"}});
    let key = service.mint(ADMIN, key).await;
    put(&service, ADMIN, json!({"required_metadata": ["team"]}))
        .await
        .ok(200);
    let change = |body: Value| {
        service
            .ask_as(ADMIN, "PATCH", &key.path())
            .json(&body)
            .send()
    };
    let refused = change(json!({"metadata": {}})).await;
    assert_eq!(refused.field(422, "out_of_range"), "metadata");
    change(json!({"metadata": {"team": "blue"}})).await.ok(200);
    change(json!({"name": "renamed"})).await.ok(200);
    whoami(&service, &key.secret).await.ok(200);
}

async fn policy_that_shuts_out_its_author_is_refused(backend: Backend) {
    let service = Service::guarded(backend).await;
    let root = service.mint(ADMIN, json!({"name": "root"})).await;
    let own = service
        .mint(&root.secret, json!({"name": "own", "expires_in": "1d"}))
        .await;
    for policy in [
        json!({"presets": ["reader"]}),
        json!({"require_expiry": true}),
    ] {
        put(&service, &own.secret, policy)
            .await
            .problem(409, "refused");
    }
    assert_eq!(service.get(ADMIN, "/org/policy").await, json!({}));
    put(&service, &own.secret, json!({"keys_max": 50}))
        .await
        .ok(200);
    let reader = service
        .mint(ADMIN, json!({"name": "r", "preset": "reader"}))
        .await;
    put(&service, &reader.secret, json!({}))
        .await
        .problem(403, "missing_permission");
    assert_eq!(
        service.get(&reader.secret, "/org/policy").await,
        json!({"keys_max": 50})
    );
}

async fn policy_of_one_org_says_nothing_of_another(backend: Backend) {
    let service = Service::guarded(backend).await;
    service
        .make(ADMIN, "/admin/orgs", json!({"name": "other"}))
        .await;
    let theirs = service
        .ask_as(ADMIN, "POST", "/org/tokens")
        .header("x-org-id", "other")
        .json(&json!({"name": "k"}));
    let theirs = Minted::of(&theirs.send().await.ok(201));
    put(
        &service,
        ADMIN,
        json!({"require_expiry": true, "presets": ["reader"]}),
    )
    .await
    .ok(200);
    let own = whoami(&service, &theirs.secret).await.ok(200);
    assert!(own.get("policy").is_none());
}

/// How many mints are under way while the policy changes.
const MINTS: usize = 40;

async fn mint_under_way_meets_the_policy_that_comes_into_force(backend: Backend) {
    let service = Arc::new(Service::guarded(backend).await);
    let mints: Vec<_> = (0..MINTS)
        .map(|at| {
            let service = Arc::clone(&service);
            tokio::spawn(async move {
                let mut outcomes = Vec::new();
                for turn in 0..5 {
                    let body = json!({"name": format!("k{at}.{turn}")});
                    outcomes.push(mint(&service, ADMIN, body).await);
                }
                outcomes
            })
        })
        .collect();
    put(&service, ADMIN, json!({"require_expiry": true}))
        .await
        .ok(200);
    // From here on no key without an end works, whenever it was minted.
    let late = mint(&service, ADMIN, json!({"name": "late"})).await;
    assert_eq!(late.field(403, "beyond_policy"), "expires_in");
    for task in mints {
        for outcome in task.await.expect("no panic") {
            if outcome.status == 201 {
                let secret = text(&outcome.json()["auth_token"]);
                whoami(&service, &secret)
                    .await
                    .problem(403, "policy_blocked");
            } else {
                assert_eq!(outcome.field(403, "beyond_policy"), "expires_in");
            }
        }
    }
}

async fn malformed_policies_name_the_field(backend: Backend) {
    let service = Service::guarded(backend).await;
    for (body, field) in [
        (json!({"permissions": ["x"]}), "permissions"),
        (json!({"presets": ["root"]}), "presets"),
        (json!({"lifetime_max": "1y"}), "lifetime_max"),
        (json!({"minters": ["robots"]}), "minters"),
        (json!({"keys_max": 0}), "keys_max"),
        (json!({"ip_allow": ["x"]}), "ip_allow"),
    ] {
        let refused = put(&service, ADMIN, body).await;
        assert_eq!(refused.field(422, "out_of_range"), field);
    }
    put(&service, ADMIN, json!({"max_keys": 1}))
        .await
        .problem(400, "bad_field");
    put(&service, ADMIN, json!({"keys_max": "1"}))
        .await
        .problem(400, "bad_field");
    assert_eq!(service.get(ADMIN, "/org/policy").await, json!({}));
}
