//! Org API keys: minted, shown once, listed, changed, revoked.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    ask::Answer,
    service::{ADMIN, Backend, Minted, Service, logged, text},
};

on_each_database!(
    secret_has_its_shape_and_is_shown_once,
    answers_of_the_api_are_not_stored,
    repeated_mint_is_recognised_and_shows_nothing,
    mint_limit_is_told_with_its_end,
    change_touches_name_and_metadata_alone,
    revoked_key_is_refused_by_the_very_next_request,
    repeated_revocation_answers_the_first_times,
    repeated_revocation_answers_the_first_times_after_a_restart,
    descendants_die_with_their_ancestor,
    provenance_comes_from_the_principal,
    restart_keeps_every_key_and_revocation,
);

const WARNING: &str = "copy this token now; it will not be shown again";

async fn mint_answer(service: &Service, by: &str, body: &Value) -> Answer {
    service
        .ask_as(by, "POST", "/org/tokens")
        .json(body)
        .send()
        .await
}

async fn secret_has_its_shape_and_is_shown_once(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    let body = json!({"name": "shown", "metadata": {"team": "a"}});
    let answer = mint_answer(&service, ADMIN, &body).await;
    let minted = answer.ok(201);
    let key = Minted::of(&minted);
    let names: BTreeSet<_> = minted
        .as_object()
        .expect("an object")
        .keys()
        .cloned()
        .collect();
    let expected = [
        "id",
        "name",
        "prefix",
        "auth_token",
        "warning",
        "created_by",
        "created_at",
        "expires_at",
        "grant",
    ];
    assert_eq!(names, expected.map(str::to_owned).into());
    assert_eq!(minted["warning"], WARNING);
    assert_eq!(answer.header("location"), Some(key.path().as_str()));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(key.secret.len(), 54);
    assert!(key.id.starts_with("tok_") && key.secret.starts_with("mole_"));
    assert_eq!(key.prefix, key.secret[..13]);
    let brand = claviger_core::token::Brand::ORG_KEY;
    claviger_core::token::digest_of_presented(&brand, &key.secret).expect("the checksum");

    service.get(&key.secret, "/org/whoami").await;
    let mut seen = String::new();
    for path in [
        "/org/tokens?status=all",
        &key.path(),
        "/org/whoami",
        "/org/audit?limit=200",
        "/org/audit/export",
        "/openapi.json",
    ] {
        seen += &service.ask_as(&key.secret, "GET", path).send().await.text();
    }
    seen += &service
        .ask_as(&key.secret, "DELETE", &key.path())
        .send()
        .await
        .text();
    seen += &service
        .ask_as(&key.secret, "GET", "/org/whoami")
        .send()
        .await
        .text();
    seen += &service.ask("GET", "/metrics").send().await.text();
    assert!(seen.contains(&key.prefix) && !seen.contains(&key.secret[13..]));
    assert_eq!(logged(&key.secret[13..]), Vec::<String>::new());
    service.stop().await;
    if backend == Backend::Sqlite {
        for entry in std::fs::read_dir(service.data_dir()).expect("the data directory") {
            let bytes = std::fs::read(entry.expect("an entry").path()).expect("a file");
            let secret = &key.secret.as_bytes()[13..];
            assert!(!bytes.windows(secret.len()).any(|part| part == secret));
        }
    }
}

async fn answers_of_the_api_are_not_stored(backend: Backend) {
    let service = Service::guarded(backend).await;
    for path in [
        "/org/whoami",
        "/org/tokens",
        "/org/audit",
        "/workspaces",
        "/nowhere",
    ] {
        let answer = service.ask_as(ADMIN, "GET", path).send().await;
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        assert!(
            answer
                .header("x-request-id")
                .is_some_and(|id| id.starts_with("evt_"))
        );
    }
}

async fn repeated_mint_is_recognised_and_shows_nothing(backend: Backend) {
    let service = Service::guarded(backend).await;
    let by = service.mint(ADMIN, json!({"name": "minter"})).await;
    let mint = async |by: &str, name: &str| {
        let ask = service
            .ask_as(by, "POST", "/org/tokens")
            .header("idempotency-key", "once");
        ask.json(&json!({"name": name})).send().await
    };
    let first = Minted::of(&mint(&by.secret, "a").await.ok(201));
    let replay = mint(&by.secret, "a").await;
    let problem = replay.problem(409, "minted_before");
    assert_eq!(problem["token_id"], first.id.as_str());
    assert!(!replay.text().contains(&first.secret));
    mint(&by.secret, "b")
        .await
        .problem(409, "idempotency_key_reused");
    // Another caller's word is another word.
    mint(ADMIN, "a").await.ok(201);
    let found = service.get(&by.secret, "/org/tokens?q=a&status=all").await;
    let names: Vec<_> = found["tokens"].as_array().expect("keys").iter().collect();
    assert_eq!(names.iter().filter(|key| key["name"] == "a").count(), 2);
    for bad in ["", &"x".repeat(256)] {
        let ask = service
            .ask_as(ADMIN, "POST", "/org/tokens")
            .header("idempotency-key", bad);
        let answer = ask.json(&json!({"name": "c"})).send().await;
        assert_eq!(answer.field(400, "bad_header"), "Idempotency-Key");
    }
    // Of the same word at the same time one mints.
    let race = (0..8).map(|_| {
        let ask = service.ask_as(&by.secret, "POST", "/org/tokens");
        ask.header("idempotency-key", "race")
            .json(&json!({"name": "r"}))
            .send()
    });
    let answers = futures_util::future::join_all(race).await;
    assert_eq!(
        answers.iter().filter(|answer| answer.status == 201).count(),
        1
    );
    for lost in answers.iter().filter(|answer| answer.status != 201) {
        lost.problem(409, "minted_before");
    }
}

async fn mint_limit_is_told_with_its_end(backend: Backend) {
    let limit = |flags: &mut claviger_server::config::Flags| {
        flags.mints_per_minute = Some("3".to_owned());
    };
    let service = Service::guarded_with(backend, limit).await;
    let by = service.mint(ADMIN, json!({"name": "minter"})).await;
    let other = service.mint(ADMIN, json!({"name": "other"})).await;
    for at in 0..3 {
        service
            .mint(&by.secret, json!({"name": format!("k{at}")}))
            .await;
    }
    let answer = mint_answer(&service, &by.secret, &json!({"name": "k"})).await;
    answer.problem(429, "too_many_mints");
    let number = |name: &str| {
        answer
            .header(name)
            .and_then(|text| text.parse::<u32>().ok())
    };
    let wait = number("retry-after").expect("seconds");
    assert!((1..=60).contains(&wait));
    assert_eq!(
        answer.header("ratelimit"),
        Some(format!("\"mints\";r=0;t={wait}").as_str())
    );
    assert_eq!(
        answer.header("ratelimit-policy"),
        Some("\"mints\";q=3;w=60")
    );
    let listed = service.get(ADMIN, "/org/tokens?status=all").await;
    assert_eq!(listed["tokens"].as_array().map(Vec::len), Some(5));
    service.mint(&other.secret, json!({"name": "k"})).await;
    for at in 0..8 {
        service
            .mint(ADMIN, json!({"name": format!("exempt {at}")}))
            .await;
    }
    service.get(&by.secret, "/org/whoami").await;
}

async fn change_touches_name_and_metadata_alone(backend: Backend) {
    let service = Service::guarded(backend).await;
    let key = service
        .mint(ADMIN, json!({"name": "k", "metadata": {"a": "1"}}))
        .await;
    let before = service.get(ADMIN, &key.path()).await;
    let change = async |body: Value| {
        service
            .ask_as(ADMIN, "PATCH", &key.path())
            .json(&body)
            .send()
            .await
    };
    let mut expected = before.clone();
    expected["name"] = json!("new");
    assert_eq!(change(json!({"name": " new "})).await.ok(200), expected);
    expected["metadata"] = json!({"b": "2"});
    assert_eq!(
        change(json!({"metadata": {"b": "2"}})).await.ok(200),
        expected
    );
    for fixed in ["id", "prefix", "created_by", "org", "parent_id", "status"] {
        let answer = change(json!({fixed: "x"})).await;
        assert_eq!(answer.field(400, "bad_field"), fixed);
    }
    assert_eq!(service.get(ADMIN, &key.path()).await, expected);
    let whoami = service.get(&key.secret, "/org/whoami").await;
    assert_eq!(whoami["key"]["name"], "new");
    service
        .ask_as(ADMIN, "DELETE", &key.path())
        .send()
        .await
        .ok(200);
    change(json!({"name": "late"}))
        .await
        .problem(409, "revoked");
}

async fn revoked_key_is_refused_by_the_very_next_request(backend: Backend) {
    let service = Service::guarded(backend).await;
    for _ in 0..20 {
        let key = service.mint(ADMIN, json!({"name": "k"})).await;
        service.get(&key.secret, "/org/whoami").await;
        let path = format!("{}?reason=leaked", key.path());
        let ended = service.ask_as(ADMIN, "DELETE", &path).send().await.ok(200);
        let refused = service
            .ask_as(&key.secret, "GET", "/org/whoami")
            .send()
            .await;
        refused.problem(401, "token_revoked");
        assert_eq!(ended["revoked"], key.id.as_str());
        assert_eq!(ended["prefixes"], json!([key.prefix]));
        assert_eq!(ended["descendants"], json!([]));
        let kept = service.get(ADMIN, &key.path()).await;
        assert_eq!(kept["status"], "revoked");
        assert_eq!(kept["revoked_at"], ended["revoked_at"]);
        assert_eq!(kept["revoked_by"], "admin-token");
        assert_eq!(kept["revoked_reason"], "leaked");
    }
}

async fn repeated_revocation_answers_the_first_times(backend: Backend) {
    let service = Service::guarded(backend).await;
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    let end = async |service: &Service| {
        let ask = service.ask_as(ADMIN, "DELETE", &format!("{}?reason=again", key.path()));
        ask.send().await.ok(200)
    };
    let first = end(&service).await;
    assert_eq!(end(&service).await, first);
    let unknown = "/org/tokens/tok_01ARZ3NDEKTSV4RRFFQ69G5FAV";
    service
        .ask_as(ADMIN, "DELETE", unknown)
        .send()
        .await
        .problem(404, "not_found");
}

async fn repeated_revocation_answers_the_first_times_after_a_restart(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    let end = async |service: &Service| {
        let ask = service.ask_as(ADMIN, "DELETE", &key.path());
        ask.send().await.ok(200)
    };
    let first = end(&service).await;
    service.restart().await;
    let again = end(&service).await;
    for field in ["revoked", "revoked_at", "prefixes", "descendants"] {
        assert_eq!(again[field], first[field], "{field}");
    }
    // When the index was changed is not kept: after a restart the commit's time stands for it.
    assert_eq!(again["effective_at"], first["revoked_at"]);
}

async fn descendants_die_with_their_ancestor(backend: Backend) {
    let service = Service::guarded(backend).await;
    let root = service.mint(ADMIN, json!({"name": "root"})).await;
    let child = service.mint(&root.secret, json!({"name": "child"})).await;
    let grandchild = service
        .mint(&child.secret, json!({"name": "grandchild"}))
        .await;
    let sibling = service.mint(ADMIN, json!({"name": "sibling"})).await;
    let ended = service
        .ask_as(ADMIN, "DELETE", &root.path())
        .send()
        .await
        .ok(200);
    let died: BTreeSet<_> = ended["descendants"]
        .as_array()
        .expect("ids")
        .iter()
        .map(text)
        .collect();
    assert_eq!(died, [child.id.clone(), grandchild.id.clone()].into());
    assert_eq!(ended["prefixes"][0], root.prefix.as_str());
    assert_eq!(ended["prefixes"].as_array().map(Vec::len), Some(3));
    for key in [&root, &child, &grandchild] {
        let answer = service
            .ask_as(&key.secret, "GET", "/org/whoami")
            .send()
            .await;
        answer.problem(401, "token_revoked");
    }
    service.get(&sibling.secret, "/org/whoami").await;
}

async fn provenance_comes_from_the_principal(backend: Backend) {
    let service = Service::guarded(backend).await;
    let root = service.mint(ADMIN, json!({"name": "root"})).await;
    let made = service
        .make(&root.secret, "/org/tokens", json!({"name": "child"}))
        .await;
    assert_eq!(made["created_by"], root.actor());
    let child = Minted::of(&made);
    let kept = service.get(ADMIN, &child.path()).await;
    assert_eq!(kept["parent_id"], root.id.as_str());
    assert_eq!(kept["created_by"], root.actor());
    assert_eq!(
        service.get(&child.secret, "/org/whoami").await["root"],
        "admin-token"
    );
    for name in ["created_by", "org", "parent_id", "id", "prefix"] {
        let answer = mint_answer(&service, &root.secret, &json!({"name": "n", name: "x"})).await;
        assert_eq!(answer.field(400, "bad_field"), name);
    }
}

async fn restart_keeps_every_key_and_revocation(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    let narrow =
        json!({"name": "k", "preset": "reader", "expires_in": "1h", "ip_allow": ["127.0.0.0/8"]});
    let key = service.mint(ADMIN, narrow).await;
    let child = service.mint(ADMIN, json!({"name": "dead"})).await;
    service
        .ask_as(ADMIN, "DELETE", &child.path())
        .send()
        .await
        .ok(200);
    let before = service.get(&key.secret, "/org/whoami").await;
    service.restart().await;
    assert_eq!(service.get(&key.secret, "/org/whoami").await, before);
    let dead = service
        .ask_as(&child.secret, "GET", "/org/whoami")
        .send()
        .await;
    dead.problem(401, "token_revoked");
}
