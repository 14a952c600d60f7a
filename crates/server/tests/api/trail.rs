//! What one key did, and what its line did: found in a trail of any length.

use claviger_core::{
    id::{Id, Key, OrgId},
    ledger::{batch::Batch, entry::Draft},
    tier::Actor,
    time::Timestamp,
};
use serde_json::{Value, json};

use crate::service::{ADMIN, Backend, Service};

on_each_database!(
    activity_is_the_part_of_the_trail_that_is_of_the_key,
    activity_of_a_bound_caller_ends_at_its_binding,
    filters_by_line_and_route_select,
    trail_from_before_the_index_is_indexed_in_the_background,
);

/// The paths of these records.
fn paths(list: &Value) -> Vec<&str> {
    let events = list["events"].as_array().expect("events").iter();
    events
        .map(|event| event["path"].as_str().expect("a path"))
        .collect()
}

async fn activity_is_the_part_of_the_trail_that_is_of_the_key(backend: Backend) {
    let service = Service::guarded(backend).await;
    let key = service
        .mint(ADMIN, json!({"name": "k", "preset": "reader"}))
        .await;
    let other = service.mint(ADMIN, json!({"name": "o"})).await;
    for secret in [&key.secret, &other.secret, &key.secret] {
        service.get(secret, "/org/whoami").await;
    }
    service
        .ask_as(&key.secret, "POST", "/workspaces")
        .json(&json!({"name": "w"}))
        .send()
        .await
        .problem(403, "missing_permission");
    let activity = format!("{}/activity", key.path());
    let all = service.get(ADMIN, &activity).await;
    assert_eq!(paths(&all), ["/workspaces", "/org/whoami", "/org/whoami"]);
    assert_eq!(all["next_cursor"], Value::Null);
    let of_trail = service.audit(ADMIN, &format!("&token={}", key.id)).await;
    assert_eq!(all["events"], json!(of_trail));
    let refused = service.get(ADMIN, &format!("{activity}?status=4xx")).await;
    assert_eq!(paths(&refused), ["/workspaces"]);
    let part = service.get(ADMIN, &format!("{activity}?limit=1")).await;
    assert_eq!(paths(&part), ["/workspaces"]);
    let cursor = part["next_cursor"].as_str().expect("there is more");
    let rest = format!("{activity}?cursor={cursor}");
    assert_eq!(paths(&service.get(ADMIN, &rest).await).len(), 2);
    let after = of_trail[2]["seq"].as_u64().expect("a number");
    let after = format!("{activity}?after={after}");
    let after = service.get(ADMIN, &after).await;
    assert_eq!(
        paths(&after),
        ["/org/whoami", "/workspaces"],
        "oldest first"
    );

    let ask = |path: &str| service.ask_as(ADMIN, "GET", path).send();
    for path in [
        "/org/tokens/tok_01J00000000000000000000000/activity",
        "/org/tokens/nonsense/activity",
    ] {
        ask(path).await.problem(404, "not_found");
    }
    let named = ask(&format!("{activity}?token={}", key.id)).await;
    assert_eq!(named.field(400, "bad_query"), "token");
    let needless = service
        .mint(ADMIN, json!({"name": "n", "permissions": ["audit:read"]}))
        .await;
    let refused = service.ask_as(&needless.secret, "GET", &activity);
    refused.send().await.problem(403, "missing_permission");
}

async fn activity_of_a_bound_caller_ends_at_its_binding(backend: Backend) {
    let service = Service::guarded(backend).await;
    let workspace = service.workspace(ADMIN).await;
    let bound = json!({"name": "b", "workspaces": [workspace]});
    let bound = service.mint(ADMIN, bound).await;
    let child = service.mint(&bound.secret, json!({"name": "c"})).await;
    let stranger = service.mint(ADMIN, json!({"name": "s"})).await;
    for key in [&bound, &child] {
        let path = format!("{}/activity", key.path());
        service.get(&bound.secret, &path).await;
    }
    let path = format!("{}/activity", stranger.path());
    let refused = service.ask_as(&bound.secret, "GET", &path).send().await;
    refused.problem(403, "outside_workspaces");
}

async fn filters_by_line_and_route_select(backend: Backend) {
    let service = Service::guarded(backend).await;
    let root = service.mint(ADMIN, json!({"name": "root"})).await;
    let child = service.mint(&root.secret, json!({"name": "child"})).await;
    let grandchild = service.mint(&child.secret, json!({"name": "g"})).await;
    let other = service.mint(ADMIN, json!({"name": "other"})).await;
    for key in [&root, &child, &grandchild, &other] {
        service.get(&key.secret, "/org/whoami").await;
    }
    let actors = async |query: &str| -> Vec<String> {
        let found = service.audit(ADMIN, query).await;
        let actors = found.iter().map(|record| record["actor"].as_str());
        actors
            .map(|actor| actor.expect("a label").to_owned())
            .collect()
    };
    let of_line = actors(&format!("&under={}&route=/org/whoami", child.id)).await;
    assert_eq!(of_line, [grandchild.actor(), child.actor()]);
    let of_route = actors("&route=/org/whoami").await;
    assert_eq!(of_route.len(), 4);
    let minted = actors(&format!("&under={}&route=/org/tokens", root.id)).await;
    assert_eq!(minted, [child.actor(), root.actor()]);
    assert!(actors("&route=/org").await.is_empty());
}

async fn trail_from_before_the_index_is_indexed_in_the_background(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    service.stop().await;
    let options = claviger_store::OpenOptions {
        url: service.config().database_url,
        sync_audit: false,
        default_org: Id::from_u128(1),
        now: Timestamp::from_millis(1),
    };
    let store = claviger_store::open(options).await.expect("opened");
    let org: OrgId = store.deployment().await.expect("there").default_org;
    let key: Id<Key> = Id::from_u128(5);
    let actor = Actor::Bootstrap;
    let drafts = (0..5000).map(|at| {
        let (id, at_ms) = (Id::from_u128(at), Timestamp::from_millis(1000));
        let draft = Draft::of_operation(id, 0, at_ms, org, &actor);
        let key = (at % 1000 == 7).then_some(key);
        Draft { key, ..draft }.write()
    });
    let batch: Batch = drafts.collect();
    store.append(batch.into()).await.expect("written");
    store.close().await;
    service.start().await.expect("it starts");
    let metrics = |service: &Service| service.ask("GET", "/metrics");
    let is_indexed = |answer: &crate::ask::Answer| {
        let indexed = "claviger_audit_blocks_indexed_total 1";
        answer.text().lines().any(|line| line == indexed)
    };
    service.until(metrics, is_indexed).await;
    let found = service.audit(ADMIN, &format!("&token={key}")).await;
    let numbers: Vec<_> = found.iter().map(|record| record["seq"].as_u64()).collect();
    assert_eq!(numbers, [4008, 3008, 2008, 1008, 8].map(Some));
}
