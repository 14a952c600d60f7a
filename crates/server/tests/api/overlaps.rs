//! Overlaps that end when it is safe: after the new secret's first use, or when the old one is quiet.

use serde_json::{Value, json};

use crate::{
    ask::Answer,
    law::whoami,
    service::{ADMIN, Backend, Minted, Service, text},
};

on_each_database!(
    clock_starts_when_the_new_secret_is_first_used,
    clock_that_has_started_outlives_a_restart,
    overlap_ends_when_the_old_secret_was_quiet,
    quiet_is_not_what_a_stopped_server_did_not_see,
    secret_that_ended_by_quiet_is_not_revived_by_a_restart,
    clock_of_a_cancelled_rotation_is_not_that_of_the_next,
    both_secrets_say_when_and_from_where_they_were_seen,
    last_uses_outlive_a_restart,
    plans_that_contradict_themselves_are_refused,
    rotation_that_ended_by_quiet_does_not_hinder_the_next,
);

async fn rotate(service: &Service, key: &Minted, body: Value) -> Answer {
    let path = format!("{}/rotate", key.path());
    service
        .ask_as(ADMIN, "POST", &path)
        .json(&body)
        .send()
        .await
}

/// A key that was rotated in this way, and its new secret.
async fn rotated(service: &Service, body: Value) -> (Minted, String) {
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    let answer = rotate(service, &key, body).await;
    let new = text(&answer.ok(200)["auth_token"]);
    (key, new)
}

async fn previous(service: &Service, key: &Minted) -> Value {
    service.get(ADMIN, &key.path()).await["previous"].clone()
}

async fn ended(service: &Service, secret: &str) {
    let ask = |service: &Service| service.ask_as(secret, "GET", "/org/whoami");
    let refused = service.until(ask, |answer| answer.status != 200).await;
    refused.problem(401, "token_rotated_out");
}

async fn clock_starts_when_the_new_secret_is_first_used(backend: Backend) {
    let service = Service::guarded(backend).await;
    let (key, new) = rotated(&service, json!({"on_first_use": true, "overlap": "1s"})).await;
    let waiting = previous(&service, &key).await;
    assert_eq!(
        (&waiting["ends"], &waiting["after"]),
        (&json!("on_first_use"), &json!("1s"))
    );
    whoami(&service, &key.secret).await.ok(200);
    whoami(&service, &new).await.ok(200);
    let running = previous(&service, &key).await;
    if !running.is_null() {
        assert_eq!(running["ends"], "fixed");
        assert!(text(&running["overlap_until"]) < text(&waiting["overlap_until"]));
    }
    ended(&service, &key.secret).await;
    whoami(&service, &new).await.ok(200);
    // Without a word of it: 24 hours.
    let (key, new) = rotated(&service, json!({"on_first_use": true})).await;
    whoami(&service, &new).await.ok(200);
    let first = text(&service.get(ADMIN, &key.path()).await["current"]["last_used_at"]);
    let first: claviger_core::time::Timestamp = first.parse().expect("a time");
    let until = text(&previous(&service, &key).await["overlap_until"]);
    let day = until
        .parse::<claviger_core::time::Timestamp>()
        .expect("a time")
        .since(first);
    assert_eq!(day.as_secs(), 86_400);
}

async fn clock_that_has_started_outlives_a_restart(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    let (key, new) = rotated(&service, json!({"on_first_use": true, "overlap": "1h"})).await;
    service.restart().await;
    assert_eq!(previous(&service, &key).await["ends"], "on_first_use");
    whoami(&service, &new).await.ok(200);
    let before = previous(&service, &key).await;
    service.restart().await;
    whoami(&service, &new).await.ok(200);
    let after = previous(&service, &key).await;
    assert_eq!(
        after["overlap_until"], before["overlap_until"],
        "it did not start anew"
    );
}

async fn overlap_ends_when_the_old_secret_was_quiet(backend: Backend) {
    let service = Service::guarded(backend).await;
    let (key, new) = rotated(&service, json!({"when_quiet": "5s"})).await;
    // Each use puts the end off.
    for _ in 0..3 {
        let before = text(&previous(&service, &key).await["overlap_until"]);
        whoami(&service, &key.secret).await.ok(200);
        let shown = previous(&service, &key).await;
        assert_eq!(
            (&shown["ends"], &shown["after"]),
            (&json!("when_quiet"), &json!("5s"))
        );
        assert!(text(&shown["overlap_until"]) >= before);
    }
    let until = text(&previous(&service, &key).await["overlap_until"]);
    // The key itself is looked at, not the secret: that would be another use.
    let ask = |service: &Service| service.ask_as(ADMIN, "GET", &key.path());
    let is_over = |answer: &Answer| answer.json().get("previous").is_none();
    service.until(ask, is_over).await;
    let now = claviger_server::clock::now();
    assert!(now >= until.parse().expect("a time"));
    whoami(&service, &key.secret)
        .await
        .problem(401, "token_rotated_out");
    whoami(&service, &new).await.ok(200);
    // The longest that was given holds, however busy it is.
    let (key, _) = rotated(&service, json!({"when_quiet": "30d", "overlap": "1s"})).await;
    ended(&service, &key.secret).await;
}

async fn secret_that_ended_by_quiet_is_not_revived_by_a_restart(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    let (key, _) = rotated(&service, json!({"when_quiet": "1s"})).await;
    let ask = |service: &Service| service.ask_as(ADMIN, "GET", &key.path());
    let is_over = |answer: &Answer| answer.json().get("previous").is_none();
    service.until(ask, is_over).await;
    whoami(&service, &key.secret)
        .await
        .problem(401, "token_rotated_out");
    for _ in 0..2 {
        service.restart().await;
        whoami(&service, &key.secret)
            .await
            .problem(401, "token_rotated_out");
    }
}

async fn clock_of_a_cancelled_rotation_is_not_that_of_the_next(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    let plan = json!({"on_first_use": true, "overlap": "1s"});
    let (key, new) = rotated(&service, plan).await;
    whoami(&service, &new).await.ok(200);
    let cancel = format!("{}/rotate/cancel", key.path());
    service.ask_as(ADMIN, "POST", &cancel).send().await.ok(200);
    rotate(&service, &key, json!({"overlap": "1h"}))
        .await
        .ok(200);
    let before = text(&previous(&service, &key).await["overlap_until"]);
    service.restart().await;
    assert_eq!(
        previous(&service, &key).await["overlap_until"],
        before.as_str()
    );
    whoami(&service, &key.secret).await.ok(200);
}

async fn quiet_is_not_what_a_stopped_server_did_not_see(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    let (key, _) = rotated(&service, json!({"when_quiet": "10m"})).await;
    let before = text(&previous(&service, &key).await["overlap_until"]);
    service.restart().await;
    let after = text(&previous(&service, &key).await["overlap_until"]);
    assert!(after > before, "{after} is not after {before}");
}

async fn both_secrets_say_when_and_from_where_they_were_seen(backend: Backend) {
    let service = Service::guarded_with(backend, |flags| {
        flags.trusted_proxies = Some("127.0.0.1".to_owned());
    })
    .await;
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    let seen_from = async |secret: &str, address: &str| {
        let ask = service.ask_as(secret, "GET", "/org/whoami");
        ask.header("x-forwarded-for", address).send().await.ok(200);
    };
    seen_from(&key.secret, "192.0.2.1").await;
    let made = rotate(&service, &key, json!({})).await.ok(200);
    assert_eq!(made["previous_last_used_from"], "192.0.2.1");
    assert!(made["previous_last_used_at"].is_string());
    let shown = service.get(ADMIN, &key.path()).await;
    assert_eq!(
        shown["current"]["last_used_at"],
        json!(null),
        "nobody uses the new one yet"
    );
    assert_eq!(
        shown["last_used_from"], "192.0.2.1",
        "the key was used all the same"
    );
    seen_from(&text(&made["auth_token"]), "2001:db8::7").await;
    seen_from(&key.secret, "192.0.2.9").await;
    let shown = service.get(ADMIN, &key.path()).await;
    assert_eq!(shown["current"]["last_used_from"], "2001:db8::7");
    assert_eq!(shown["previous"]["last_used_from"], "192.0.2.9");
}

async fn last_uses_outlive_a_restart(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    let (key, new) = rotated(&service, json!({"overlap": "1h"})).await;
    whoami(&service, &key.secret).await.ok(200);
    whoami(&service, &new).await.ok(200);
    let before = service.get(ADMIN, &key.path()).await;
    service.restart().await;
    let after = service.get(ADMIN, &key.path()).await;
    for part in ["current", "previous", "last_used_at", "last_used_from"] {
        assert_eq!(after[part], before[part], "{part}");
    }
    assert_eq!(after["previous"]["last_used_from"], "127.0.0.1");
}

async fn plans_that_contradict_themselves_are_refused(backend: Backend) {
    let service = Service::guarded(backend).await;
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    for (body, field) in [
        (
            json!({"on_first_use": true, "when_quiet": "1h"}),
            "when_quiet",
        ),
        (json!({"when_quiet": "0"}), "when_quiet"),
        (json!({"when_quiet": "31d"}), "when_quiet"),
        (json!({"when_quiet": "soon"}), "when_quiet"),
        (json!({"on_first_use": true, "overlap": "31d"}), "overlap"),
    ] {
        let refused = rotate(&service, &key, body.clone()).await;
        assert_eq!(refused.field(422, "out_of_range"), field, "{body}");
    }
    whoami(&service, &key.secret).await.ok(200);
}

async fn rotation_that_ended_by_quiet_does_not_hinder_the_next(backend: Backend) {
    let service = Service::guarded(backend).await;
    let (key, _) = rotated(&service, json!({"when_quiet": "1s"})).await;
    rotate(&service, &key, json!({}))
        .await
        .problem(409, "rotation_lasts");
    let ask = |service: &Service| service.ask_as(ADMIN, "GET", &key.path());
    let is_over = |answer: &Answer| answer.json().get("previous").is_none();
    service.until(ask, is_over).await;
    rotate(&service, &key, json!({})).await.ok(200);
    whoami(&service, &key.secret)
        .await
        .problem(401, "token_rotated_out");
}
