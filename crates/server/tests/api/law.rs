//! The law: what a key passes on is bounded by all above it, now; and what ends with it, or without it.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    ask::Answer,
    service::{ADMIN, Backend, Minted, Service, text},
};

on_each_database!(
    depth_bounds_every_generation_below,
    lifetime_below_is_cut_or_refused,
    number_of_living_keys_below_is_bounded,
    of_racing_mints_no_more_win_than_the_bound,
    delegation_is_only_narrowed,
    lineage_shows_the_line_up_to_the_root,
    revocation_can_keep_what_the_key_minted,
    only_those_above_or_beside_may_keep_descendants,
    child_wider_than_what_is_passed_on_cannot_be_kept,
    what_bounded_the_children_together_does_not_go_with_the_key,
    what_does_not_work_now_is_not_woken_by_the_end_of_its_minter,
    each_death_of_a_cascade_has_a_record_of_its_own,
    key_in_the_middle_of_being_revoked_begets_no_survivor,
);

async fn mint_as(service: &Service, by: &str, body: Value) -> Answer {
    service
        .ask_as(by, "POST", "/org/tokens")
        .json(&body)
        .send()
        .await
}

pub(crate) async fn whoami(service: &Service, secret: &str) -> Answer {
    service.ask_as(secret, "GET", "/org/whoami").send().await
}

async fn revoke(service: &Service, by: &str, key: &Minted, query: &str) -> Answer {
    let path = format!("{}{query}", key.path());
    service.ask_as(by, "DELETE", &path).send().await
}

async fn depth_bounds_every_generation_below(backend: Backend) {
    let service = Service::guarded(backend).await;
    let top = json!({"name": "top", "delegation": {"depth": 2}});
    let top = service.mint(ADMIN, top).await;
    let middle = service.mint(&top.secret, json!({"name": "middle"})).await;
    let leaf = service.mint(&middle.secret, json!({"name": "leaf"})).await;
    let refused = mint_as(&service, &leaf.secret, json!({"name": "too deep"})).await;
    refused.problem(403, "beyond_delegation");
    let barren = json!({"name": "barren", "delegation": {"depth": 0}});
    let barren = service.mint(&top.secret, barren).await;
    mint_as(&service, &barren.secret, json!({"name": "none"}))
        .await
        .problem(403, "beyond_delegation");
}

async fn lifetime_below_is_cut_or_refused(backend: Backend) {
    let service = Service::guarded(backend).await;
    let top = json!({"name": "top", "delegation": {"lifetime": "1h"}});
    let top = service.mint(ADMIN, top).await;
    let made = mint_as(&service, &top.secret, json!({"name": "inherits"}))
        .await
        .ok(201);
    let ends: claviger_core::time::Timestamp = text(&made["expires_at"]).parse().expect("a time");
    let began = text(&made["created_at"]).parse().expect("a time");
    assert_eq!(ends.since(began).as_secs(), 3600);
    let child = Minted::of(&made);
    for by in [&top.secret, &child.secret] {
        let long = json!({"name": "long", "expires_in": "2h"});
        let refused = mint_as(&service, by, long).await;
        assert_eq!(refused.status, 403, "{}", refused.text());
    }
    let short = json!({"name": "short", "expires_in": "10m"});
    mint_as(&service, &child.secret, short).await.ok(201);
}

async fn number_of_living_keys_below_is_bounded(backend: Backend) {
    let service = Service::guarded(backend).await;
    let top = json!({"name": "top", "delegation": {"keys": 2}});
    let top = service.mint(ADMIN, top).await;
    let one = service.mint(&top.secret, json!({"name": "1"})).await;
    let two = service.mint(&one.secret, json!({"name": "2"})).await;
    for by in [&top.secret, &one.secret, &two.secret] {
        let refused = mint_as(&service, by, json!({"name": "3"})).await;
        refused.problem(409, "limit_reached");
    }
    revoke(&service, ADMIN, &two, "").await.ok(200);
    service.mint(&one.secret, json!({"name": "3"})).await;
}

async fn of_racing_mints_no_more_win_than_the_bound(backend: Backend) {
    let service = Service::guarded(backend).await;
    let top = json!({"name": "top", "delegation": {"keys": 5}});
    let top = service.mint(ADMIN, top).await;
    let tasks: Vec<_> = (0..20)
        .map(|at| {
            let body = json!({"name": format!("k{at}")});
            tokio::spawn(
                service
                    .ask_as(&top.secret, "POST", "/org/tokens")
                    .json(&body)
                    .send(),
            )
        })
        .collect();
    let mut statuses = Vec::new();
    for task in tasks {
        statuses.push(task.await.expect("no panic").status);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [[201; 5].as_slice(), &[409; 15]].concat());
}

async fn delegation_is_only_narrowed(backend: Backend) {
    let service = Service::guarded(backend).await;
    let key = json!({"name": "k", "delegation": {"depth": 2, "lifetime": "1d"}});
    let key = service.mint(ADMIN, key).await;
    let change = |delegation: Value| {
        let body = json!({"delegation": delegation});
        service
            .ask_as(ADMIN, "PATCH", &key.path())
            .json(&body)
            .send()
    };
    let narrowed = change(json!({"depth": 1})).await.ok(200);
    assert_eq!(
        narrowed["grant"]["delegation"],
        json!({"depth": 1, "lifetime": "1d"})
    );
    let wider = change(json!({"depth": 3})).await;
    assert_eq!(wider.field(422, "out_of_range"), "delegation");
    for bad in [
        json!({"keys": 0}),
        json!({"lifetime": "1y"}),
        json!({"lifetime": "0s"}),
    ] {
        let refused = change(bad).await;
        assert_eq!(refused.field(422, "out_of_range"), "delegation");
    }
    change(json!({"more": 1})).await.problem(400, "bad_field");
    // Whoever may pass on less cannot mint one that may pass on more.
    let asked = json!({"name": "child", "delegation": {"depth": 5}});
    let refused = mint_as(&service, &key.secret, asked).await;
    assert_eq!(refused.field(403, "beyond_minter"), "delegation");
}

async fn lineage_shows_the_line_up_to_the_root(backend: Backend) {
    let service = Service::guarded(backend).await;
    let root = service.mint(ADMIN, json!({"name": "root"})).await;
    let middle = service.mint(&root.secret, json!({"name": "middle"})).await;
    let mut below = Vec::new();
    for at in 0..3 {
        let body = json!({"name": format!("leaf {at}")});
        below.push(service.mint(&middle.secret, body).await.id);
    }
    let path = format!("{}/lineage", middle.path());
    let line = service.get(ADMIN, &path).await;
    assert_eq!(line["root"], "admin-token");
    assert_eq!(line["ancestors"][0]["id"], root.id.as_str());
    assert_eq!(
        (&line["key"]["id"], &line["key"]["depth"]),
        (&json!(middle.id), &json!(1))
    );
    let ids = |line: &Value| {
        let list = line["descendants"].as_array().expect("a list").clone();
        list.iter().map(|key| text(&key["id"])).collect::<Vec<_>>()
    };
    assert_eq!(ids(&line), below);
    assert_eq!(line["descendants"][0]["parent_id"], middle.id.as_str());
    assert_eq!(line["next_cursor"], json!(null));
    let part = service.get(ADMIN, &format!("{path}?limit=2")).await;
    assert_eq!(ids(&part), below[..2]);
    let cursor = text(&part["next_cursor"]);
    let rest = service
        .get(ADMIN, &format!("{path}?limit=2&cursor={cursor}"))
        .await;
    assert_eq!(ids(&rest), below[2..]);
}

async fn revocation_can_keep_what_the_key_minted(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    let root = service.mint(ADMIN, json!({"name": "root"})).await;
    let middle = service.mint(&root.secret, json!({"name": "middle"})).await;
    let kept = service.mint(&middle.secret, json!({"name": "kept"})).await;
    let leaf = service.mint(&kept.secret, json!({"name": "leaf"})).await;
    let workspace = service.workspace(ADMIN).await;
    let token = service.workspace_token(&kept.secret, &workspace).await;
    let own = service.workspace_token(&middle.secret, &workspace).await;
    let answer = revoke(&service, &root.secret, &middle, "?cascade=false")
        .await
        .ok(200);
    assert_eq!(answer["descendants"], json!([]));
    let mut listed: Vec<_> = answer["kept"]
        .as_array()
        .expect("a list")
        .iter()
        .map(text)
        .collect();
    listed.sort();
    assert_eq!(listed, [kept.id.clone(), leaf.id.clone()]);
    for restarted in [false, true] {
        if restarted {
            service.restart().await;
        }
        whoami(&service, &middle.secret)
            .await
            .problem(401, "token_revoked");
        for key in [&kept, &leaf] {
            whoami(&service, &key.secret).await.ok(200);
        }
        let secrets = format!("/workspaces/{workspace}/secrets");
        service.ask_as(&token, "GET", &secrets).send().await.ok(200);
        let gone = service.ask_as(&own, "GET", &secrets).send().await;
        gone.problem(401, "minter_inactive");
    }
    let shown = service.get(ADMIN, &kept.path()).await;
    assert_eq!(shown["parent_id"], root.id.as_str());
    assert_eq!(
        shown["created_by"],
        middle.actor().as_str(),
        "provenance stays"
    );
    // It goes on as a child of the key above.
    let made = service.mint(&kept.secret, json!({"name": "new"})).await;
    let answer = revoke(&service, ADMIN, &root, "").await.ok(200);
    assert_eq!(answer["descendants"].as_array().map(Vec::len), Some(3));
    for key in [&kept, &leaf, &made] {
        whoami(&service, &key.secret)
            .await
            .problem(401, "token_revoked");
    }
    // Of a key of the org itself the children become the org's.
    let root = service.mint(ADMIN, json!({"name": "root"})).await;
    let child = service.mint(&root.secret, json!({"name": "child"})).await;
    revoke(&service, ADMIN, &root, "?cascade=false")
        .await
        .ok(200);
    whoami(&service, &child.secret).await.ok(200);
    let shown = service.get(ADMIN, &child.path()).await;
    assert_eq!(shown["parent_id"], json!(null));
}

async fn only_those_above_or_beside_may_keep_descendants(backend: Backend) {
    let service = Service::guarded(backend).await;
    let root = service.mint(ADMIN, json!({"name": "root"})).await;
    let middle = service.mint(&root.secret, json!({"name": "middle"})).await;
    let leaf = service.mint(&middle.secret, json!({"name": "leaf"})).await;
    let no_admin = json!({"name": "n", "permissions": ["org.tokens:*", "secrets:read"]});
    let beside = service.mint(ADMIN, no_admin).await;
    let narrow = json!({"name": "narrow", "permissions": ["secrets:read"]});
    let narrow = service.mint(ADMIN, narrow).await;
    for by in [&middle, &leaf] {
        let refused = revoke(&service, &by.secret, &middle, "?cascade=false").await;
        refused.problem(403, "not_above");
    }
    let refused = revoke(&service, &beside.secret, &narrow, "?cascade=false").await;
    refused.problem(403, "not_above");
    let bad = revoke(&service, ADMIN, &middle, "?cascade=perhaps").await;
    bad.problem(400, "bad_query");
    whoami(&service, &leaf.secret).await.ok(200);
    let admin = service.mint(ADMIN, json!({"name": "admin"})).await;
    revoke(&service, &admin.secret, &middle, "?cascade=false")
        .await
        .ok(200);
    whoami(&service, &leaf.secret).await.ok(200);
}

async fn child_wider_than_what_is_passed_on_cannot_be_kept(backend: Backend) {
    let service = Service::guarded(backend).await;
    let root = service.mint(ADMIN, json!({"name": "root"})).await;
    let leaf = service.mint(&root.secret, json!({"name": "leaf"})).await;
    let narrow = json!({"preset": "reader"});
    let narrowed = service
        .ask_as(ADMIN, "PATCH", &root.path())
        .json(&narrow)
        .send()
        .await;
    narrowed.ok(200);
    let refused = revoke(&service, ADMIN, &root, "?cascade=false").await;
    let problem = refused.problem(409, "no_heir");
    let detail = text(&problem["detail"]);
    assert!(
        detail.contains(&leaf.id) && detail.contains("permissions"),
        "{detail}"
    );
    whoami(&service, &root.secret).await.ok(200);
    service
        .ask_as(ADMIN, "PATCH", &leaf.path())
        .json(&narrow)
        .send()
        .await
        .ok(200);
    revoke(&service, ADMIN, &root, "?cascade=false")
        .await
        .ok(200);
}

async fn what_bounded_the_children_together_does_not_go_with_the_key(backend: Backend) {
    let service = Service::guarded(backend).await;
    for (bounded, field) in [
        (
            json!({"name": "b", "delegation": {"keys": 3}}),
            "delegation",
        ),
        (
            json!({"name": "b", "delegation": {"depth": 2}}),
            "delegation",
        ),
        (
            json!({"name": "b", "rate_limit": {"per_minute": 100}}),
            "rate_limit",
        ),
    ] {
        let bounded = service.mint(ADMIN, bounded).await;
        let child = service
            .mint(&bounded.secret, json!({"name": "child"}))
            .await;
        let refused = revoke(&service, ADMIN, &bounded, "?cascade=false").await;
        let detail = text(&refused.problem(409, "no_heir")["detail"]);
        assert!(
            detail.contains(&child.id) && detail.contains(field),
            "{detail}"
        );
    }
    // A child that may pass on less than that keeps its place.
    let bounded = json!({"name": "b", "delegation": {"depth": 2}});
    let bounded = service.mint(ADMIN, bounded).await;
    let child = json!({"name": "child", "delegation": {"depth": 1}});
    let child = service.mint(&bounded.secret, child).await;
    revoke(&service, ADMIN, &bounded, "?cascade=false")
        .await
        .ok(200);
    whoami(&service, &child.secret).await.ok(200);
}

async fn what_does_not_work_now_is_not_woken_by_the_end_of_its_minter(backend: Backend) {
    let service = Service::guarded(backend).await;
    let root = service.mint(ADMIN, json!({"name": "root"})).await;
    let middle = service.mint(&root.secret, json!({"name": "middle"})).await;
    let leaf = service.mint(&middle.secret, json!({"name": "leaf"})).await;
    let path = format!("{}/suspend", middle.path());
    service.ask_as(ADMIN, "POST", &path).send().await.ok(200);
    let refused = revoke(&service, &root.secret, &middle, "?cascade=false").await;
    refused.problem(409, "refused");
    whoami(&service, &leaf.secret)
        .await
        .problem(401, "minter_inactive");
    revoke(&service, &root.secret, &middle, "").await.ok(200);
    whoami(&service, &leaf.secret)
        .await
        .problem(401, "token_revoked");
}

async fn each_death_of_a_cascade_has_a_record_of_its_own(backend: Backend) {
    let service = Service::guarded(backend).await;
    let root = service.mint(ADMIN, json!({"name": "root"})).await;
    let mut all = vec![root.id.clone()];
    let mut by = root.secret.clone();
    for at in 0..3 {
        let made = service.mint(&by, json!({"name": format!("k{at}")})).await;
        all.push(made.id);
        by = made.secret;
    }
    revoke(&service, ADMIN, &root, "?reason=leak").await.ok(200);
    let records = service.audit(ADMIN, "").await;
    let deaths = records
        .iter()
        .filter(|record| record["change"]["revoked"].is_object());
    let mut told: Vec<_> = deaths
        .map(|record| {
            assert_eq!(record["actor"], "admin-token");
            text(&record["change"]["revoked"]["id"])
        })
        .collect();
    told.sort();
    assert_eq!(told, all);
    let kinds = records.iter().filter(|record| record["kind"] == "cascade");
    assert_eq!(kinds.count(), 3);
}

/// How often a key is revoked while it mints; in so many lines at once.
const ROUNDS: usize = 1000;
const LINES: usize = 8;

async fn key_in_the_middle_of_being_revoked_begets_no_survivor(backend: Backend) {
    let service = Arc::new(
        Service::guarded_with(backend, |flags| {
            flags.mints_per_minute = Some("1000000".to_owned());
        })
        .await,
    );
    let lines = (0..LINES).map(|_| {
        let service = Arc::clone(&service);
        tokio::spawn(async move {
            for _ in 0..ROUNDS / LINES {
                revoke_while_it_mints(&service).await;
            }
        })
    });
    for line in lines.collect::<Vec<_>>() {
        line.await.expect("no survivor");
    }
}

async fn revoke_while_it_mints(service: &Arc<Service>) {
    let parent = service.mint(ADMIN, json!({"name": "parent"})).await;
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let minting = {
        let (service, secret) = (Arc::clone(service), parent.secret.clone());
        tokio::spawn(async move {
            let (mut begun, mut made) = (Some(begun), Vec::new());
            loop {
                let answer = mint_as(&service, &secret, json!({"name": "child"})).await;
                begun.take().map(|begun| begun.send(()));
                match answer.status {
                    201 => made.push(Minted::of(&answer.json())),
                    401 => return made,
                    other => panic!("{other}: {}", answer.text()),
                }
            }
        })
    };
    has_begun.await.expect("it mints");
    let answer = revoke(service, ADMIN, &parent, "").await.ok(200);
    let dead = answer["descendants"].as_array().expect("a list").len();
    let made = minting.await.expect("it ends");
    assert_eq!(made.len(), dead, "each child that was shown died");
    for child in made {
        whoami(service, &child.secret)
            .await
            .problem(401, "token_revoked");
    }
}
