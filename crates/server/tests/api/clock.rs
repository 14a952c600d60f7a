//! What is done to keys by the clock: notices, and what the policy suspends.

use std::time::Duration;

use claviger_core::time::Timestamp;
use serde_json::{Value, json};

use crate::{
    law::whoami,
    service::{ADMIN, Backend, Minted, Service, text},
};

on_each_database!(
    end_is_told_fourteen_three_and_one_days_ahead_and_when_it_has_come,
    keys_that_end_soon_are_listed,
    due_rotation_is_told_and_a_rotation_settles_it,
    overdue_key_is_suspended_if_the_policy_says_so,
    idle_key_is_suspended_and_a_busy_one_is_not,
    key_whose_descendants_work_is_not_idle,
    nothing_is_said_of_keys_that_live_shorter_than_the_notice,
    bad_spans_of_rotation_are_refused,
);

const DAY: Duration = Duration::from_hours(24);

fn after(days: u32) -> Timestamp {
    claviger_server::clock::now().plus(DAY * days)
}

/// What was told of keys, oldest first.
async fn told(service: &Service) -> Vec<(String, Value)> {
    let mut records = service.audit(ADMIN, "").await;
    records.reverse();
    let notices = records.iter().filter(|record| record["kind"] == "notice");
    notices
        .map(|record| {
            assert_eq!(record["actor"], "policy");
            let change = record["change"].as_object().expect("an object");
            let (word, said) = change.iter().next().expect("a notice");
            (word.clone(), said.clone())
        })
        .collect()
}

async fn end_is_told_fourteen_three_and_one_days_ahead_and_when_it_has_come(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    let key = service
        .mint(ADMIN, json!({"name": "k", "expires_in": "20d"}))
        .await;
    service.mint(ADMIN, json!({"name": "endless"})).await;
    let mut words = Vec::new();
    for (day, expected) in [
        (0, None),
        (5, None),
        (7, Some(("expires_soon", json!(14)))),
        (8, None),
        (16, None),
        (18, Some(("expires_soon", json!(3)))),
        (19, Some(("expires_soon", json!(1)))),
        (20, Some(("expired", json!(null)))),
        (21, None),
        (40, None),
    ] {
        service.sweep(after(day)).await;
        // Once, also by a server that was started again.
        service.sweep(after(day)).await;
        service.restart().await;
        service.sweep(after(day)).await;
        words.extend(expected);
        let said = told(&service).await;
        let found: Vec<_> = said
            .iter()
            .map(|(word, said)| (word.as_str(), said["within_days"].clone()))
            .collect();
        assert_eq!(found, words, "on day {day}");
        assert!(said.iter().all(|(_, said)| said["id"] == key.id.as_str()));
    }
}

async fn keys_that_end_soon_are_listed(backend: Backend) {
    let service = Service::guarded(backend).await;
    let soon = service
        .mint(ADMIN, json!({"name": "soon", "expires_in": "5d"}))
        .await;
    service
        .mint(ADMIN, json!({"name": "late", "expires_in": "50d"}))
        .await;
    service.mint(ADMIN, json!({"name": "endless"})).await;
    let list = service.get(ADMIN, "/org/tokens?expiring=14d").await;
    let ids: Vec<_> = list["tokens"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|key| text(&key["id"]))
        .collect();
    assert_eq!(ids, [soon.id]);
    let refused = service
        .ask_as(ADMIN, "GET", "/org/tokens?expiring=soon")
        .send()
        .await;
    assert_eq!(refused.field(400, "bad_query"), "expiring");
}

async fn due_rotation_is_told_and_a_rotation_settles_it(backend: Backend) {
    let service = Service::guarded(backend).await;
    let key = service
        .mint(ADMIN, json!({"name": "k", "rotate_every": "90d"}))
        .await;
    let shown = service.get(ADMIN, &key.path()).await;
    assert_eq!(shown["rotate_every"], "90d");
    let due: Timestamp = text(&shown["rotation_due_at"]).parse().expect("a time");
    service.sweep(after(80)).await;
    service.sweep(after(91)).await;
    let words: Vec<_> = told(&service)
        .await
        .into_iter()
        .map(|(word, _)| word)
        .collect();
    assert_eq!(words, ["rotation_due_soon", "rotation_due"]);
    whoami(&service, &key.secret).await.ok(200);
    let path = format!("{}/rotate", key.path());
    service.ask_as(ADMIN, "POST", &path).send().await.ok(200);
    let shown = service.get(ADMIN, &key.path()).await;
    let next: Timestamp = text(&shown["rotation_due_at"]).parse().expect("a time");
    assert!(next > due);
    let change = json!({"rotate_every": "0"});
    let changed = service
        .ask_as(ADMIN, "PATCH", &key.path())
        .json(&change)
        .send()
        .await
        .ok(200);
    assert!(changed.get("rotation_due_at").is_none());
}

async fn overdue_key_is_suspended_if_the_policy_says_so(backend: Backend) {
    let service = Service::guarded(backend).await;
    let key = service
        .mint(ADMIN, json!({"name": "k", "rotate_every": "30d"}))
        .await;
    service.sweep(after(31)).await;
    whoami(&service, &key.secret).await.ok(200);
    let policy = json!({"suspend_overdue": true});
    service
        .ask_as(ADMIN, "PUT", "/org/policy")
        .json(&policy)
        .send()
        .await
        .ok(200);
    service.sweep(after(29)).await;
    whoami(&service, &key.secret).await.ok(200);
    service.sweep(after(31)).await;
    whoami(&service, &key.secret)
        .await
        .problem(401, "token_suspended");
    let shown = service.get(ADMIN, &key.path()).await;
    assert_eq!(shown["suspended_by"], "policy");
    assert_eq!(
        shown["suspended_reason"],
        "its rotation is overdue: rotate it, then resume it"
    );
    // Whoever resumes it has a day to rotate it.
    let path = format!("{}/resume", key.path());
    service.ask_as(ADMIN, "POST", &path).send().await.ok(200);
    service.sweep(after(0)).await;
    whoami(&service, &key.secret).await.ok(200);
}

async fn idle_key_is_suspended_and_a_busy_one_is_not(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    let idle = service.mint(ADMIN, json!({"name": "idle"})).await;
    // What has not begun or has ended cannot be idle.
    let start = after(60).to_string();
    let future = service
        .mint(ADMIN, json!({"name": "future", "not_before": start}))
        .await;
    let ended = service
        .mint(ADMIN, json!({"name": "ended", "expires_in": "5d"}))
        .await;
    let policy = json!({"suspend_idle_after": "30d"});
    service
        .ask_as(ADMIN, "PUT", "/org/policy")
        .json(&policy)
        .send()
        .await
        .ok(200);
    service.sweep(after(29)).await;
    whoami(&service, &idle.secret).await.ok(200);
    service.sweep(after(31)).await;
    whoami(&service, &idle.secret)
        .await
        .problem(401, "token_suspended");
    let status = async |key: &Minted| text(&service.get(ADMIN, &key.path()).await["status"]);
    assert_eq!(status(&future).await, "not_yet_valid");
    assert_eq!(
        status(&ended).await,
        "active",
        "it has ended by the time of the sweep"
    );
    let shown = service.get(ADMIN, &idle.path()).await;
    assert_eq!(shown["suspended_reason"], "not used for 30d");
    service.restart().await;
    whoami(&service, &idle.secret)
        .await
        .problem(401, "token_suspended");
    let path = format!("{}/resume", idle.path());
    service.ask_as(ADMIN, "POST", &path).send().await.ok(200);
    // A resumed key has the whole time again.
    service.sweep(after(29)).await;
    whoami(&service, &idle.secret).await.ok(200);
    let records = service.audit(ADMIN, "").await;
    let mut told = records.iter().filter(|record| record["actor"] == "policy");
    assert!(told.any(|record| record["change"]["suspended"]["id"] == idle.id.as_str()));
}

async fn key_whose_descendants_work_is_not_idle(backend: Backend) {
    let service = Service::guarded(backend).await;
    let lead = service.mint(ADMIN, json!({"name": "lead"})).await;
    let child = service.mint(&lead.secret, json!({"name": "child"})).await;
    let quiet = service.mint(ADMIN, json!({"name": "quiet"})).await;
    // Uses are noted once a second.
    let policy = json!({"suspend_idle_after": "3s"});
    let put = |query: &str| {
        let path = format!("/org/policy{query}");
        service.ask_as(ADMIN, "PUT", &path).json(&policy).send()
    };
    put("").await.ok(200);
    // The lead is quiet from here on; the child works until just now.
    let was_used = text(&service.get(ADMIN, &lead.path()).await["last_used_at"]);
    let was_used: Timestamp = was_used.parse().expect("a time");
    let ask = |service: &Service| service.ask_as(&child.secret, "GET", "/org/whoami");
    let long_after = was_used.plus(Duration::from_millis(4500));
    service
        .until(ask, |_| claviger_server::clock::now() > long_after)
        .await;
    let would = put("?dry_run=true").await.ok(200);
    assert_eq!(would["suspended"][0]["id"], quiet.id.as_str(), "{would}");
    assert_eq!(would["suspended_count"], 1);
    service.sweep(claviger_server::clock::now()).await;
    whoami(&service, &child.secret).await.ok(200);
    whoami(&service, &quiet.secret)
        .await
        .problem(401, "token_suspended");
}

async fn nothing_is_said_of_keys_that_live_shorter_than_the_notice(backend: Backend) {
    let service = Service::guarded(backend).await;
    for life in ["1h", "1d", "2d"] {
        service
            .mint(ADMIN, json!({"name": life, "expires_in": life}))
            .await;
    }
    service.sweep(after(0)).await;
    assert_eq!(told(&service).await, []);
    service.sweep(after(2)).await;
    let said = told(&service).await;
    let names: Vec<_> = said
        .iter()
        .map(|(word, said)| (word.as_str(), text(&said["name"])))
        .collect();
    assert_eq!(names, [("expired", "2d".to_owned())]);
}

async fn bad_spans_of_rotation_are_refused(backend: Backend) {
    let service = Service::guarded(backend).await;
    for bad in ["1h", "400d", "often"] {
        let body = json!({"name": "k", "rotate_every": bad});
        let refused = service
            .ask_as(ADMIN, "POST", "/org/tokens")
            .json(&body)
            .send()
            .await;
        assert_eq!(refused.field(422, "out_of_range"), "rotate_every");
    }
}
