//! Rate limits of keys, and the address that a request comes from.

use serde_json::json;

use crate::{
    ask::Answer,
    service::{ADMIN, Backend, Service},
};

on_each_database!(
    limit_lets_so_many_through_and_says_how_many_are_left,
    key_and_what_it_minted_share_a_budget,
    limit_is_inherited_and_only_narrowed,
    limit_can_be_narrowed_later,
    concurrent_callers_do_not_overshoot,
    limited_request_is_recorded_and_harms_no_other_key,
    limits_out_of_range_are_refused,
    address_behind_a_trusted_proxy_is_the_callers,
    stranger_cannot_choose_its_address,
);

async fn whoami(service: &Service, secret: &str) -> Answer {
    service.ask_as(secret, "GET", "/org/whoami").send().await
}

async fn limit_lets_so_many_through_and_says_how_many_are_left(backend: Backend) {
    let service = Service::guarded(backend).await;
    let body = json!({"name": "k", "rate_limit": {"per_minute": 3, "per_day": 100}});
    let key = service.mint(ADMIN, body).await;
    for left in [2, 1, 0] {
        let answer = whoami(&service, &key.secret).await;
        let own = answer.ok(200);
        assert_eq!(
            own["grant"]["rate_limit"],
            json!({"per_minute": 3, "per_day": 100})
        );
        assert_eq!(
            answer.header("ratelimit-policy"),
            Some("\"minute\";q=3;w=60")
        );
        let standing = answer.header("ratelimit").expect("a standing");
        assert!(
            standing.starts_with(&format!("\"minute\";r={left};t=")),
            "{standing}"
        );
    }
    let refused = whoami(&service, &key.secret).await;
    refused.problem(429, "rate_limited");
    let wait: u64 = refused
        .header("retry-after")
        .expect("a time")
        .parse()
        .expect("seconds");
    assert!((1..=20).contains(&wait), "{wait}");
    let free = service.mint(ADMIN, json!({"name": "free"})).await;
    assert_eq!(
        whoami(&service, &free.secret).await.header("ratelimit"),
        None
    );
}

async fn key_and_what_it_minted_share_a_budget(backend: Backend) {
    let service = Service::guarded(backend).await;
    let body = json!({"name": "parent", "rate_limit": {"per_day": 4}});
    let parent = service.mint(ADMIN, body).await;
    let one = service.mint(&parent.secret, json!({"name": "one"})).await;
    let two = service.mint(&parent.secret, json!({"name": "two"})).await;
    // The two mints were the first half of the parent's day.
    whoami(&service, &one.secret).await.ok(200);
    whoami(&service, &two.secret).await.ok(200);
    for secret in [&one.secret, &two.secret, &parent.secret] {
        whoami(&service, secret).await.problem(429, "rate_limited");
    }
}

async fn limit_is_inherited_and_only_narrowed(backend: Backend) {
    let service = Service::guarded(backend).await;
    let body = json!({"name": "parent", "rate_limit": {"per_minute": 50}});
    let parent = service.mint(ADMIN, body).await;
    let heir = service.mint(&parent.secret, json!({"name": "heir"})).await;
    let shown = service.get(ADMIN, &heir.path()).await;
    assert_eq!(shown["grant"]["rate_limit"], json!({"per_minute": 50}));
    let wider = json!({"name": "wider", "rate_limit": {"per_minute": 51}});
    let wider = service
        .ask_as(&parent.secret, "POST", "/org/tokens")
        .json(&wider)
        .send()
        .await;
    assert_eq!(wider.field(403, "beyond_minter"), "rate_limit");
    let narrower = json!({"name": "narrower", "rate_limit": {"per_day": 5}});
    let narrower = service.mint(&parent.secret, narrower).await;
    let shown = service.get(ADMIN, &narrower.path()).await;
    assert_eq!(
        shown["grant"]["rate_limit"],
        json!({"per_minute": 50, "per_day": 5})
    );
}

async fn limit_can_be_narrowed_later(backend: Backend) {
    let service = Service::guarded(backend).await;
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    let patch = |body| {
        service
            .ask_as(ADMIN, "PATCH", &key.path())
            .json(&body)
            .send()
    };
    patch(json!({"rate_limit": {"per_minute": 2}}))
        .await
        .ok(200);
    whoami(&service, &key.secret).await.ok(200);
    let wider = patch(json!({"rate_limit": {"per_minute": 3}})).await;
    assert_eq!(wider.field(422, "out_of_range"), "rate_limit");
    whoami(&service, &key.secret).await.ok(200);
    whoami(&service, &key.secret)
        .await
        .problem(429, "rate_limited");
}

async fn concurrent_callers_do_not_overshoot(backend: Backend) {
    let service = Service::guarded(backend).await;
    let body = json!({"name": "k", "rate_limit": {"per_day": 100}});
    let key = service.mint(ADMIN, body).await;
    let asked = (0..64).map(|_| async {
        let mut passed = 0;
        for _ in 0..4 {
            passed += usize::from(whoami(&service, &key.secret).await.status == 200);
        }
        passed
    });
    let passed: usize = futures_util::future::join_all(asked)
        .await
        .into_iter()
        .sum();
    assert_eq!(passed, 100);
}

async fn limited_request_is_recorded_and_harms_no_other_key(backend: Backend) {
    let service = Service::guarded(backend).await;
    let body = json!({"name": "k", "rate_limit": {"per_day": 1}});
    let key = service.mint(ADMIN, body).await;
    whoami(&service, &key.secret).await.ok(200);
    let made = service.ask_as(&key.secret, "POST", "/workspaces");
    let made = made.json(&json!({"name": "w"})).send().await;
    made.problem(429, "rate_limited");
    assert_eq!(
        service.get(ADMIN, "/workspaces").await["workspaces"],
        json!([])
    );
    let records = service
        .audit(ADMIN, &format!("&token={}&status=429", key.id))
        .await;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["code"], "rate_limited");
}

async fn limits_out_of_range_are_refused(backend: Backend) {
    let service = Service::guarded(backend).await;
    let mint = |limit| {
        let body = json!({"name": "k", "rate_limit": limit});
        service
            .ask_as(ADMIN, "POST", "/org/tokens")
            .json(&body)
            .send()
    };
    let zero = mint(json!({"per_minute": 0})).await;
    assert_eq!(zero.field(422, "out_of_range"), "rate_limit");
    for odd in [
        json!({"per_hour": 1}),
        json!({"per_minute": -1}),
        json!({"per_day": 1.5}),
        json!(5),
    ] {
        let answer = mint(odd).await;
        assert_eq!(answer.status, 400, "{}", answer.text());
    }
}

/// A key for one address, and what a request with this header is answered.
async fn from_address(service: &Service, forwarded: Option<&str>) -> Answer {
    let body = json!({"name": "k", "ip_allow": ["198.51.100.7"]});
    let key = service.mint(ADMIN, body).await;
    let ask = service.ask_as(&key.secret, "GET", "/org/whoami");
    match forwarded {
        Some(chain) => ask.header("x-forwarded-for", chain).send().await,
        None => ask.send().await,
    }
}

async fn address_behind_a_trusted_proxy_is_the_callers(backend: Backend) {
    let trusted = "127.0.0.0/8,10.0.0.0/8".to_owned();
    let service =
        Service::guarded_with(backend, |flags| flags.trusted_proxies = Some(trusted)).await;
    for chain in [
        "198.51.100.7",
        "203.0.113.9, 198.51.100.7",
        "198.51.100.7,10.1.2.3",
        "x, 198.51.100.7",
    ] {
        from_address(&service, Some(chain)).await.ok(200);
    }
    // The nearest one that is no proxy of ours counts, whatever the caller wrote before it.
    for chain in [
        "198.51.100.7, 203.0.113.9",
        "198.51.100.7, x",
        "",
        "198.51.100.7:443",
    ] {
        from_address(&service, Some(chain))
            .await
            .problem(403, "outside_addresses");
    }
    from_address(&service, None)
        .await
        .problem(403, "outside_addresses");
    let records = service.audit(ADMIN, "&status=200&method=GET").await;
    assert!(
        records
            .iter()
            .any(|record| record["client"] == "198.51.100.7")
    );
}

async fn stranger_cannot_choose_its_address(backend: Backend) {
    let service = Service::guarded(backend).await;
    let answer = from_address(&service, Some("198.51.100.7")).await;
    answer.problem(403, "outside_addresses");
    let elsewhere = Some("192.0.2.0/24".to_owned());
    let service = Service::guarded_with(backend, |flags| flags.trusted_proxies = elsewhere).await;
    let answer = from_address(&service, Some("198.51.100.7")).await;
    answer.problem(403, "outside_addresses");
}
