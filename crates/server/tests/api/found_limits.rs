//! `POST /org/tokens/found`: what is refused, what a flood comes to, and a store that is gone.

use claviger_testkit::Postgres;
use serde_json::{Value, json};

use crate::{
    found::{FOUND, found, key, records, statuses, unknown_secret, whoami},
    service::{ADMIN, Backend, Service, text},
};

on_each_database!(
    bad_credential_is_refused_though_none_is_needed,
    bodies_that_cannot_be_used_change_nothing_and_repeat_no_secret,
    flood_of_strangers_is_limited_and_harms_nobody_else,
    looks_of_strangers_do_not_fill_the_trail,
);

async fn bad_credential_is_refused_though_none_is_needed(backend: Backend) {
    let service = Service::guarded(backend).await;
    let victim = key(&service, ADMIN, "victim").await;
    let dead = key(&service, ADMIN, "dead").await;
    service
        .ask_as(ADMIN, "DELETE", &dead.path())
        .send()
        .await
        .ok(200);
    let body = json!({"tokens": [&victim.secret]});
    for (token, code) in [
        (&*dead.secret, "token_revoked"),
        (&unknown_secret(), "unknown_token"),
        ("mole_x", "malformed_token"),
        ("no-such-admin-token", "unknown_token"),
    ] {
        let ask = service.ask_as(token, "POST", FOUND).json(&body);
        ask.send().await.problem(401, code);
    }
    let ask = service
        .ask("POST", FOUND)
        .header("authorization", "Basic eA==");
    ask.json(&body).send().await.problem(401, "not_bearer");
    whoami(&service, &victim.secret).await.ok(200);
    // Nothing else has become open by it.
    let ask = service.ask("GET", FOUND).send().await;
    ask.problem(401, "no_credential");
    let ask = service.ask_as(ADMIN, "GET", FOUND).send().await;
    ask.problem(405, "no_method");
    assert_eq!(ask.header("allow"), Some("POST"));
    let ask = service.ask("DELETE", &victim.path()).send().await;
    ask.problem(401, "no_credential");
}

async fn bodies_that_cannot_be_used_change_nothing_and_repeat_no_secret(backend: Backend) {
    let service = Service::guarded(backend).await;
    let live = key(&service, ADMIN, "live").await;
    let secret = &live.secret;
    let too_many: Vec<_> = (0..101).map(|_| secret).collect();
    for (body, status, code, field) in [
        (json!({}), 400, "bad_field", "tokens"),
        (json!({"tokens": secret}), 400, "bad_field", "tokens"),
        (json!({"tokens": [[secret]]}), 400, "bad_field", "tokens[0]"),
        (
            json!({"tokens": [secret], "dry_run": secret}),
            400,
            "bad_field",
            "dry_run",
        ),
        (
            json!({"tokens": [secret], "more": 1}),
            400,
            "bad_field",
            "more",
        ),
        (json!({"tokens": []}), 422, "out_of_range", "tokens"),
        (json!({"tokens": too_many}), 422, "out_of_range", "tokens"),
        (
            json!({"tokens": [secret], "source": ""}),
            422,
            "out_of_range",
            "source",
        ),
        (
            json!({"tokens": [secret], "source": "a\nb"}),
            422,
            "out_of_range",
            "source",
        ),
        (
            json!({"tokens": [secret], "source": "s".repeat(501)}),
            422,
            "out_of_range",
            "source",
        ),
    ] {
        let answer = found(&service, body.clone()).await;
        assert_eq!(answer.field(status, code), field, "{body}");
        assert!(!answer.text().contains(&**secret), "{}", answer.text());
    }
    let answer = found(&service, json!({"tokens": [secret], secret: 1})).await;
    answer.problem(400, "bad_field");
    assert!(!answer.text().contains(&**secret), "{}", answer.text());
    let plain = service.ask("POST", FOUND).raw("x").send().await;
    plain.problem(415, "not_json");
    whoami(&service, secret).await.ok(200);
    let source = "s".repeat(500);
    let told = found(&service, json!({"tokens": [secret], "source": source})).await;
    assert_eq!(told.ok(200)["tokens"][0]["status"], "revoked");
}

async fn flood_of_strangers_is_limited_and_harms_nobody_else(backend: Backend) {
    let service = Service::guarded_with(backend, |flags| {
        flags.trusted_proxies = Some("127.0.0.1".to_owned());
    })
    .await;
    let victim = key(&service, ADMIN, "victim").await;
    let body = json!({"tokens": [unknown_secret()], "dry_run": true});
    let from = |address: &str, body: &Value| {
        let ask = service.ask("POST", FOUND).json(body);
        ask.header("x-forwarded-for", address).send()
    };
    let mut refused = None;
    for _ in 0..200 {
        let answer = from("2001:db8::1", &body).await;
        if answer.status != 200 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("refused at last");
    refused.problem(429, "too_many_calls");
    let wait: u64 = refused
        .header("retry-after")
        .expect("a time")
        .parse()
        .expect("seconds");
    assert!((1..=60).contains(&wait), "{wait}");
    from("2001:db8::2", &body)
        .await
        .problem(429, "too_many_calls");
    let told = from("192.0.2.7", &json!({"tokens": [&victim.secret]}))
        .await
        .ok(200);
    assert_eq!(told["tokens"][0]["status"], "revoked");
    assert_eq!(records(&service, "default").await[0]["client"], "192.0.2.7");
    // Whoever has a key is bounded by that.
    let ask = service.ask_as(ADMIN, "POST", FOUND).json(&body);
    ask.header("x-forwarded-for", "2001:db8::1")
        .send()
        .await
        .ok(200);
}

async fn looks_of_strangers_do_not_fill_the_trail(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    let live = key(&service, ADMIN, "live").await;
    for _ in 0..50 {
        assert_eq!(statuses(&service, &[&live.secret]).await, ["live"]);
    }
    service.restart().await;
    let events = service.audit(ADMIN, "&actor=anonymous").await;
    let looks: Vec<_> = events
        .iter()
        .filter(|event| event["route"] == FOUND)
        .collect();
    let total: u64 = looks
        .iter()
        .map(|event| event["count"].as_u64().unwrap_or(1))
        .sum();
    assert_eq!(total, 50, "each is counted");
    assert!(looks.len() < 50, "{}", looks.len());
    for look in looks {
        assert_eq!(
            (&look["kind"], &look["status"]),
            (&json!("request"), &json!(200))
        );
        assert_eq!(look["code"], Value::Null);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn store_that_is_gone_is_a_503_and_the_report_can_be_repeated() {
    let mut cluster = Postgres::spawn();
    let mut service = Service::on(Some(cluster.database()));
    service.set_admin_token(ADMIN);
    service.start().await.expect("the server starts");
    let one = key(&service, ADMIN, "one").await;
    let other = key(&service, ADMIN, "other").await;
    cluster.stop_immediate();
    let body = json!({"tokens": [unknown_secret(), &one.secret, &other.secret]});
    let answer = found(&service, body.clone()).await;
    let problem = answer.problem(503, &answer.code());
    assert_eq!(problem["tokens"], Value::Null, "no part of it is told");
    cluster.start();
    let repeat = |service: &Service| service.ask("POST", FOUND).json(&body);
    let answer = service.until(repeat, |answer| answer.status == 200).await;
    let told = answer.json();
    for at in [1, 2] {
        let status = text(&told["tokens"][at]["status"]);
        assert!(
            ["revoked", "already_revoked"].contains(&&*status),
            "{status}"
        );
    }
    for dead in [&one, &other] {
        whoami(&service, &dead.secret)
            .await
            .problem(401, "token_revoked");
    }
    service.stop().await;
}
