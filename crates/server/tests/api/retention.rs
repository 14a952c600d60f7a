//! Old records of the trail: what the policy asks to be dropped goes, and the trail says so.

use std::sync::Arc;

use claviger_core::{
    id::{EventId, OrgId},
    ledger::{
        batch::Batch,
        entry::{Draft, Entry},
    },
    tier::Actor,
};
use claviger_server::clock::now;
use claviger_store::Store;
use serde_json::{Value, json};

use crate::{
    ask::Answer,
    service::{ADMIN, Backend, Service, text},
    verify::{blob, derive, record, store, verified},
};

on_each_database!(
    old_records_are_dropped_as_the_policy_asks_and_the_trail_says_so,
    what_is_gone_is_said_where_it_is_missed,
    what_nobody_decided_is_found,
    records_are_kept_for_a_day_at_least,
);

/// As many old records each trail has, and as many young ones behind them.
const OLD: u64 = 5001;
const YOUNG: u64 = 600;
/// Whole tiles of the old ones.
pub(crate) const DROPPED: u64 = 4864;

/// A record of today.
fn young(org: OrgId, n: u64) -> Entry {
    let id = EventId::from_u128(u128::from(n));
    let draft = Draft::of_operation(id, n.into(), now(), org, &Actor::AdminToken);
    let path = format!("/r/{n}");
    let draft = Draft {
        path: &path,
        ..draft
    };
    draft.write()
}

/// Fills the trail of an org, in runs of 100.
pub(crate) async fn fill(store: &dyn Store, org: OrgId) {
    let numbers: Vec<u64> = (1..=OLD + YOUNG).collect();
    for some in numbers.chunks(100) {
        let entry = |n: &u64| match *n {
            n if n <= OLD => record(org, n),
            n => young(org, n),
        };
        let batch: Batch = some.iter().map(entry).collect();
        store.append(Arc::new(batch)).await.expect("it is written");
    }
}

/// A service with so many orgs, each with a trail.
async fn filled(backend: Backend, count: usize) -> (Service, Vec<OrgId>) {
    let mut service = Service::guarded(backend).await;
    let mut orgs = Vec::new();
    for at in 0..count {
        let body = json!({"name": format!("org-{at}")});
        let made = service.make(ADMIN, "/admin/orgs", body).await;
        orgs.push(text(&made["id"]).parse::<OrgId>().expect("an id"));
    }
    service.stop().await;
    let opened = store(&service).await;
    for org in &orgs {
        fill(&*opened, *org).await;
    }
    derive(&*opened).await;
    opened.close().await;
    drop(opened);
    service.start().await.expect("it starts");
    (service, orgs)
}

async fn ask(service: &Service, org: OrgId, path: &str) -> Answer {
    let ask = service.ask_as(ADMIN, "GET", path);
    ask.header("x-org-id", &org.to_string()).send().await
}

async fn get(service: &Service, org: OrgId, path: &str) -> Value {
    let answer = ask(service, org, path).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_str(&answer.text()).expect("JSON")
}

pub(crate) async fn put_policy(service: &Service, org: OrgId, query: &str, body: Value) -> Answer {
    let ask = service.ask_as(ADMIN, "PUT", &format!("/org/policy{query}"));
    let ask = ask.header("x-org-id", &org.to_string());
    ask.json(&body).send().await
}

fn json_of(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_str(&answer.text()).expect("JSON")
}

/// The number of the first record that is left.
async fn first_left(service: &Service, org: OrgId) -> u64 {
    let list = get(service, org, "/org/audit?after=0&limit=1").await;
    list["events"][0]["seq"].as_u64().expect("a number")
}

async fn old_records_are_dropped_as_the_policy_asks_and_the_trail_says_so(backend: Backend) {
    let (mut service, orgs) = filled(backend, 2).await;
    let (org, other) = (orgs[0], orgs[1]);
    let proof = format!("/org/audit/proof?seq=100&size={OLD}");
    let proof_before = get(&service, org, &proof).await;
    let tile = "/org/audit/log/tile/0/003";
    let tile_before = ask(&service, org, tile).await.text();
    let body = json!({"keep_audit_for": "90d"});
    let told = put_policy(&service, org, "?dry_run=true", body.clone()).await;
    let told = json_of(&told);
    assert_eq!(told["dropped_count"], DROPPED);
    service.sweep(now()).await;
    assert_eq!(first_left(&service, org).await, 1, "it was a dry run");
    let set = put_policy(&service, org, "", body).await;
    assert_eq!(json_of(&set)["dropped_count"], DROPPED);
    let policy = get(&service, org, "/org/policy").await;
    assert_eq!(policy["keep_audit_for"], "90d");
    service.sweep(now()).await;

    for _ in 0..2 {
        assert_eq!(first_left(&service, org).await, DROPPED + 1);
        assert_eq!(first_left(&service, other).await, 1, "it has no policy");
        let list = get(&service, org, "/org/audit?kind=retention").await;
        let [decision] = list["events"].as_array().expect("events").as_slice() else {
            panic!("one decision: {list:#}");
        };
        assert_eq!(
            (&decision["actor"], &decision["tier"]),
            (&json!("policy"), &json!("none"))
        );
        let said = &decision["change"]["dropped"];
        assert_eq!(
            (&said["first"], &said["last"]),
            (&json!(1), &json!(DROPPED))
        );
        assert_eq!(said["keep_audit_for"], "90d");
        assert_eq!(said["setting"], set.header("x-request-id").expect("an id"));
        assert!(said["size"].as_u64() >= Some(OLD + YOUNG), "{said}");
        let seq = decision["seq"].as_u64().expect("a number");

        // What is gone says so; its hashes are there, and so are proofs.
        let gone = ask(&service, org, "/org/audit/log/tile/entries/003").await;
        assert_eq!(gone.status, 410, "{}", gone.text());
        assert!(
            gone.text().contains(r#""code":"dropped""#),
            "{}",
            gone.text()
        );
        assert!(
            gone.text().contains(&format!("record {seq} says so")),
            "{}",
            gone.text()
        );
        let there = ask(&service, org, "/org/audit/log/tile/entries/020").await;
        assert_eq!(there.status, 200);
        assert_eq!(ask(&service, org, tile).await.text(), tile_before);
        let after = get(&service, org, &proof).await;
        assert_eq!(after["proof"], proof_before["proof"]);
        assert_eq!(after["leaf_hash"], proof_before["leaf_hash"]);
        let export = ask(&service, org, "/org/audit/export?format=jsonl")
            .await
            .text();
        let first = export.lines().next().expect("a line");
        assert!(
            first.contains(&format!("\"path\":\"/r/{}\"", DROPPED + 1)),
            "{first}"
        );
        let found = get(&service, org, "/org/audit?q=r/77").await;
        let found = found["events"].as_array().expect("events");
        assert_eq!(found.len(), 0, "{found:#?}");

        let (findings, verdict) = verified(&service, org).await;
        assert!(findings.is_empty(), "{findings:#?}");
        assert_eq!(verdict["is_sound"], true);
        assert_eq!(verdict["dropped"], json!({"last": DROPPED, "record": seq}));
        let words = format!("The bodies of records 1 to {DROPPED} were dropped: record {seq}");
        assert!(text(&verdict["said"]).contains(&words), "{verdict}");
        // There is nothing more to be dropped, now and after a start.
        service.sweep(now()).await;
        service.restart().await;
        service.sweep(now()).await;
    }
}

/// What a leaked key was shown is not told as a whole where a part of it was dropped, and a setting that was
/// taken back drops nothing.
async fn what_is_gone_is_said_where_it_is_missed(backend: Backend) {
    let (service, orgs) = filled(backend, 2).await;
    for org in &orgs {
        let set = put_policy(&service, *org, "", json!({"keep_audit_for": "90d"})).await;
        assert_eq!(set.status, 200, "{}", set.text());
    }
    let (org, back) = (orgs[0], orgs[1]);
    assert_eq!(put_policy(&service, back, "", json!({})).await.status, 200);
    service.sweep(now()).await;
    assert_eq!(first_left(&service, back).await, 1, "it was taken back");
    assert_eq!(first_left(&service, org).await, DROPPED + 1);

    let ask = service.ask_as(ADMIN, "POST", "/org/tokens");
    let ask = ask.header("x-org-id", &org.to_string());
    let key = ask.json(&json!({"name": "leaked"})).send().await.ok(201);
    let path = format!("/org/tokens/{}/blast-radius", text(&key["id"]));
    let radius = get(&service, org, &path).await;
    assert!(radius.get("records_since").is_none(), "it is younger");
    let radius = get(&service, org, &format!("{path}?since=2023-01-01T00:00:00Z")).await;
    let list = get(&service, org, "/org/audit?after=0&limit=1").await;
    let first = &list["events"][0]["time"];
    for member in ["records_since", "reveals_since", "user_agents_since"] {
        assert_eq!(&radius[member], first, "{member}");
    }
}

async fn what_nobody_decided_is_found(backend: Backend) {
    let (mut service, orgs) = filled(backend, 5).await;
    for org in &orgs {
        let set = put_policy(&service, *org, "", json!({"keep_audit_for": "30d"})).await;
        assert_eq!(set.status, 200, "{}", set.text());
    }
    service.sweep(now()).await;
    let mut decisions = Vec::new();
    for org in &orgs {
        let list = get(&service, *org, "/org/audit?kind=retention").await;
        decisions.push(list["events"][0]["seq"].as_u64().expect("a number"));
        let (findings, _) = verified(&service, *org).await;
        assert!(findings.is_empty(), "{findings:#?}");
    }
    service.stop().await;
    let empty = blob(backend, &[]);
    let next = DROPPED + 256;
    let [more, undecided, unknown, relic, hash] = orgs.as_slice() else {
        panic!("five");
    };
    let flipped = blob(backend, &[7; 8192]);
    service.sql(&format!(
        "delete from audit_runs where org = '{more}' and first_seq < {next};
         update audit_dropped set last_seq = {next} where org = '{more}';
         delete from audit_runs where org = '{undecided}' and first_seq = {};
         delete from audit_dropped where org = '{unknown}';
         insert into audit_index (org, block, bucket, places) values ('{relic}', 0, 5, {empty});
         update audit_tiles set hashes = {flipped} where org = '{hash}' and level = 0 and number = 2",
        decisions[1],
    ));
    service.start().await.expect("it starts");
    for (org, kind, column, seq) in [
        (more, "removed", "audit_runs.lines", DROPPED + 1),
        (undecided, "removed", "audit_runs.lines", 1),
        (unknown, "column", "audit_dropped.last_seq", 1),
        (relic, "column", "audit_index.block", 1),
        (hash, "column", "audit_tiles.hashes", 513),
    ] {
        let (findings, verdict) = verified(&service, *org).await;
        let is_it = |found: &&Value| {
            found["kind"] == kind && found["column"] == column && found["seq"] == seq
        };
        assert!(
            findings.iter().any(|found| is_it(&found)),
            "{kind} {column}: {findings:#?}"
        );
        assert_eq!(verdict["is_sound"], false);
    }
}

async fn records_are_kept_for_a_day_at_least(backend: Backend) {
    let service = Service::guarded(backend).await;
    for span in ["23h", "0s", "1y", ""] {
        let ask = service.ask_as(ADMIN, "PUT", "/org/policy");
        let answer = ask.json(&json!({"keep_audit_for": span})).send().await;
        assert_eq!(answer.field(422, "out_of_range"), "keep_audit_for");
    }
    let set = service.ask_as(ADMIN, "PUT", "/org/policy");
    let set = set.json(&json!({"keep_audit_for": "1d"})).send().await;
    assert_eq!(json_of(&set)["dropped_count"], 0);
}
