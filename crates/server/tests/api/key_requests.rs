//! Requests for keys: from the question to the key, and every way in which that ends early.

use serde_json::{Value, json};

use crate::{
    ask::Answer,
    service::{ADMIN, Backend, Minted, Service, text},
};

on_each_database!(
    asked_key_is_approved_and_collected_once,
    what_is_left_out_is_inherited,
    request_names_a_key_of_its_asker,
    bad_questions_name_the_field_and_ask_nothing,
    each_sees_its_own_and_an_admin_all,
    denied_and_withdrawn_requests_are_closed,
    decisions_are_made_once,
    of_racing_collections_one_gets_the_key,
    asker_has_so_many_pending_requests,
    collection_counts_as_a_mint,
    requests_outlive_a_restart,
    each_step_is_in_the_audit_trail,
);

/// Asks for a key with what an editor may do, for a day.
pub(crate) async fn ask(service: &Service, by: &str, more: Value) -> String {
    let answer = try_to_ask(service, by, more).await.ok(201);
    assert_eq!(answer["status"], "pending");
    text(&answer["id"])
}

pub(crate) async fn try_to_ask(service: &Service, by: &str, more: Value) -> Answer {
    let mut body = json!({
        "name": "writer",
        "justification": "the report is to be sent",
        "preset": "editor",
        "expires_in": "1d",
    });
    for (name, value) in more.as_object().expect("an object") {
        body[name] = value.clone();
    }
    let ask = service.ask_as(by, "POST", "/org/requests");
    ask.json(&body).send().await
}

/// `approve`, `deny`, `withdraw` or `collect`.
pub(crate) async fn step(service: &Service, by: &str, id: &str, what: &str, body: Value) -> Answer {
    let path = format!("/org/requests/{id}/{what}");
    service.ask_as(by, "POST", &path).json(&body).send().await
}

pub(crate) async fn show(service: &Service, by: &str, id: &str) -> Value {
    service.get(by, &format!("/org/requests/{id}")).await
}

pub(crate) async fn reader(service: &Service) -> Minted {
    let body = json!({"name": "reader", "preset": "reader"});
    service.mint(ADMIN, body).await
}

/// A request of a reader that ADMIN_TOKEN has approved.
pub(crate) async fn approved(service: &Service, asker: &Minted) -> String {
    let id = ask(service, &asker.secret, json!({})).await;
    step(service, ADMIN, &id, "approve", json!({}))
        .await
        .ok(200);
    id
}

async fn count_keys(service: &Service) -> usize {
    let list = service.get(ADMIN, "/org/tokens?status=all&limit=200").await;
    list["tokens"].as_array().expect("keys").len()
}

async fn asked_key_is_approved_and_collected_once(backend: Backend) {
    let service = Service::guarded(backend).await;
    let admin = service.mint(ADMIN, json!({"name": "admin"})).await;
    let asker = reader(&service).await;
    let answer = try_to_ask(&service, &asker.secret, json!({"metadata": {"team": "a"}})).await;
    let asked = answer.ok(201);
    let id = text(&asked["id"]);
    let location = format!("/org/requests/{id}");
    assert_eq!(answer.header("location"), Some(location.as_str()));
    assert!(id.starts_with("req_"), "{id}");
    assert_eq!(asked["asked_by"], asker.actor());
    assert_eq!(asked["justification"], "the report is to be sent");
    assert_eq!(asked["wanted"]["name"], "writer");
    assert_eq!(asked["wanted"]["expires_in"], "1d");
    assert_eq!(asked, show(&service, &admin.secret, &id).await);

    let narrower =
        json!({"permissions": ["channels:send"], "expires_in": "1h", "note": "one hour"});
    let approved = step(&service, &admin.secret, &id, "approve", narrower)
        .await
        .ok(200);
    assert_eq!(approved["status"], "approved");
    assert_eq!(approved["decided_by"], admin.actor());
    assert_eq!(approved["decision_note"], "one hour");
    assert_eq!(approved["approved"]["expires_in"], "1h");
    assert_eq!(
        approved["approved"]["grant"]["permissions"],
        json!(["channels:send"])
    );
    assert_eq!(
        approved["wanted"], asked["wanted"],
        "what was asked stays as it was"
    );

    let answer = step(&service, &asker.secret, &id, "collect", json!({})).await;
    let made = answer.ok(201);
    let key = Minted::of(&made);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("location"), Some(key.path().as_str()));
    assert_eq!(made["name"], "writer");
    assert_eq!(made["created_by"], admin.actor());
    assert_eq!(
        made["warning"],
        "copy this token now; it will not be shown again"
    );
    assert_eq!(made["grant"], approved["approved"]["grant"]);
    let time = |value: &Value| {
        let at: claviger_core::time::Timestamp = text(value).parse().expect("a time");
        at.millis()
    };
    assert_eq!(
        time(&made["expires_at"]) - time(&made["created_at"]),
        3_600_000
    );
    let kept = service.get(ADMIN, &key.path()).await;
    assert_eq!(kept["parent_id"], admin.id.as_str());
    assert_eq!(kept["metadata"], json!({"team": "a", "request": id}));
    service.get(&key.secret, "/org/whoami").await;

    let again = step(&service, &asker.secret, &id, "collect", json!({})).await;
    again.problem(409, "wrong_status");
    let closed = show(&service, &asker.secret, &id).await;
    assert_eq!(closed["status"], "collected");
    assert_eq!(closed["token_id"], key.id.as_str());
    assert_eq!(closed["collected_at"], made["created_at"]);
    assert!(!closed.to_string().contains(&key.secret));
    let end = service.ask_as(ADMIN, "DELETE", &admin.path());
    end.send().await.ok(200);
    let whoami = service.ask_as(&key.secret, "GET", "/org/whoami");
    whoami.send().await.problem(401, "token_revoked");
}

async fn what_is_left_out_is_inherited(backend: Backend) {
    let service = Service::guarded(backend).await;
    let end = "2100-01-01T00:00:00.000Z";
    let body = json!({"name": "asker", "permissions": ["org.tokens:mint", "secrets:read"],
        "ip_allow": ["127.0.0.0/8"], "expires_at": end});
    let asker = service.mint(ADMIN, body).await;
    let child = json!({"name": "child", "permissions": ["secrets:read"]});
    let child = service.mint(&asker.secret, child).await;
    let plain = json!({"name": "n", "justification": "why"});
    for (more, permissions) in [
        (json!({}), json!(["secrets:read", "org.tokens:mint"])),
        (
            json!({"for": asker.id}),
            json!(["secrets:read", "org.tokens:mint"]),
        ),
        (json!({"for": child.id}), json!(["secrets:read"])),
    ] {
        let mut body = plain.clone();
        if let Some(id) = more.get("for") {
            body["for"] = id.clone();
        }
        let asked = service.make(&asker.secret, "/org/requests", body).await;
        assert_eq!(asked["wanted"]["grant"]["permissions"], permissions);
        assert_eq!(asked["wanted"]["grant"]["ip_allow"], json!(["127.0.0.0/8"]));
        assert_eq!(asked["wanted"]["expires_at"], end);
        assert_eq!(asked.get("for"), more.get("for"));
    }
    let endless = service.make(ADMIN, "/org/requests", plain).await;
    let wanted = &endless["wanted"];
    assert_eq!(
        (wanted.get("expires_at"), wanted.get("expires_in")),
        (None, None)
    );
    assert_eq!(wanted["grant"]["permissions"], json!(["*"]));
}

async fn request_names_a_key_of_its_asker(backend: Backend) {
    let service = Service::guarded(backend).await;
    let [asker, other] = [reader(&service).await, reader(&service).await];
    let about = |id: &str| json!({"for": id});
    let answer = try_to_ask(&service, &asker.secret, about(&other.id)).await;
    assert_eq!(answer.field(403, "not_your_key"), "for");
    for id in [
        "tok_01J00000000000000000000000",
        "x",
        "ws_01J00000000000000000000000",
    ] {
        let answer = try_to_ask(&service, &asker.secret, about(id)).await;
        answer.problem(404, "not_found");
    }
    // ADMIN_TOKEN minted both.
    ask(&service, ADMIN, about(&other.id)).await;
    let at = claviger_server::clock::now().plus(std::time::Duration::from_millis(300));
    let body = json!({"name": "short", "expires_at": at.to_string()});
    let short = service.mint(ADMIN, body).await;
    let whoami = |service: &Service| service.ask_as(&short.secret, "GET", "/org/whoami");
    service.until(whoami, |answer| answer.status != 200).await;
    let body = json!({"name": "n", "justification": "why", "for": short.id});
    let answer = service.ask_as(ADMIN, "POST", "/org/requests").json(&body);
    let answer = answer.send().await;
    assert_eq!(answer.field(422, "out_of_range"), "expires_in");
}

async fn bad_questions_name_the_field_and_ask_nothing(backend: Backend) {
    let service = Service::guarded(backend).await;
    let asker = reader(&service).await;
    for (more, status, code, field) in [
        (json!({"name": ""}), 422, "out_of_range", "name"),
        (
            json!({"justification": " "}),
            422,
            "out_of_range",
            "justification",
        ),
        (
            json!({"justification": "x".repeat(1001)}),
            422,
            "out_of_range",
            "justification",
        ),
        (
            json!({"justification": null}),
            400,
            "bad_field",
            "justification",
        ),
        (json!({"permissions": ["*"]}), 422, "out_of_range", "preset"),
        (json!({"preset": "king"}), 422, "out_of_range", "preset"),
        (
            json!({"expires_at": "2100-01-01T00:00:00Z"}),
            422,
            "out_of_range",
            "expires_in",
        ),
        (
            json!({"expires_in": "1y"}),
            422,
            "out_of_range",
            "expires_in",
        ),
        (
            json!({"workspaces": "all"}),
            422,
            "out_of_range",
            "workspaces",
        ),
        (json!({"ip_allow": ["x"]}), 422, "out_of_range", "ip_allow"),
        (
            json!({"metadata": {"": "x"}}),
            422,
            "out_of_range",
            "metadata",
        ),
        (json!({"more": 1}), 400, "bad_field", "more"),
        (json!({"for": 1}), 400, "bad_field", "for"),
    ] {
        let answer = try_to_ask(&service, &asker.secret, more.clone()).await;
        assert_eq!(answer.field(status, code), field, "{more}");
    }
    let list = service.get(&asker.secret, "/org/requests").await;
    assert_eq!(list, json!({"requests": [], "next_cursor": null}));
    let longest = json!({"justification": "x".repeat(1000)});
    ask(&service, &asker.secret, longest).await;
}

async fn each_sees_its_own_and_an_admin_all(backend: Backend) {
    let service = Service::guarded(backend).await;
    let [one, other] = [reader(&service).await, reader(&service).await];
    let pending = ask(&service, &one.secret, json!({})).await;
    let denied = ask(&service, &other.secret, json!({})).await;
    step(&service, ADMIN, &denied, "deny", json!({}))
        .await
        .ok(200);
    let body = json!({"name": "admin elsewhere", "endpoints": ["GET /workspaces"]});
    let elsewhere = service.mint(ADMIN, body).await;
    let ids = async |by: &str, query: &str| {
        let list = service.get(by, &format!("/org/requests{query}")).await;
        let list = list["requests"].as_array().expect("requests").clone();
        list.iter().map(|one| text(&one["id"])).collect::<Vec<_>>()
    };
    let both = [denied.clone(), pending.clone()];
    assert_eq!(ids(ADMIN, "").await, both);
    assert_eq!(ids(ADMIN, "?status=all").await, both);
    assert_eq!(
        ids(ADMIN, "?status=pending,approved").await,
        [pending.as_str()]
    );
    assert_eq!(
        ids(ADMIN, &format!("?limit=1&cursor={denied}")).await,
        [pending.as_str()]
    );
    assert_eq!(ids(&one.secret, "").await, [pending.as_str()]);
    assert_eq!(ids(&other.secret, "").await, [denied.as_str()]);
    assert!(ids(&elsewhere.secret, "").await.is_empty());
    for (by, id) in [(&one, &denied), (&other, &pending), (&elsewhere, &pending)] {
        let path = format!("/org/requests/{id}");
        let answer = service.ask_as(&by.secret, "GET", &path).send().await;
        answer.problem(404, "not_found");
    }
    let bad = service.ask_as(ADMIN, "GET", "/org/requests?status=open");
    assert_eq!(bad.send().await.field(400, "bad_query"), "status");
}

async fn denied_and_withdrawn_requests_are_closed(backend: Backend) {
    let service = Service::guarded(backend).await;
    let [asker, other] = [reader(&service).await, reader(&service).await];
    let denied = ask(&service, &asker.secret, json!({})).await;
    let note = json!({"note": "use the gateway"});
    let answer = step(&service, ADMIN, &denied, "deny", note).await.ok(200);
    assert_eq!(
        (&answer["status"], &answer["decision_note"]),
        (&json!("denied"), &json!("use the gateway"))
    );
    let withdrawn = approved(&service, &asker).await;
    for stranger in [other.secret.as_str(), ADMIN] {
        for what in ["withdraw", "collect"] {
            let answer = step(&service, stranger, &withdrawn, what, json!({})).await;
            answer.problem(404, "not_found");
        }
    }
    let answer = step(&service, &asker.secret, &withdrawn, "withdraw", json!({}))
        .await
        .ok(200);
    assert_eq!(answer["status"], "withdrawn");
    let before = count_keys(&service).await;
    for (id, word) in [(&denied, "denied"), (&withdrawn, "withdrawn")] {
        for what in ["withdraw", "collect"] {
            let answer = step(&service, &asker.secret, id, what, json!({})).await;
            let problem = answer.problem(409, "wrong_status");
            assert!(text(&problem["detail"]).contains(word), "{problem}");
        }
    }
    assert_eq!(count_keys(&service).await, before);
    let bad = step(&service, &asker.secret, &denied, "collect", json!({"x": 1})).await;
    assert_eq!(bad.field(400, "bad_field"), "x");
}

async fn decisions_are_made_once(backend: Backend) {
    let service = Service::guarded(backend).await;
    let asker = reader(&service).await;
    for first in ["approve", "deny"] {
        let id = ask(&service, &asker.secret, json!({})).await;
        let early = step(&service, &asker.secret, &id, "collect", json!({})).await;
        early.problem(409, "wrong_status");
        let decided = step(&service, ADMIN, &id, first, json!({})).await.ok(200);
        let refused = step(&service, ADMIN, &id, "approve", json!({})).await;
        let problem = refused.problem(409, "wrong_status");
        let status = text(&decided["status"]);
        assert!(text(&problem["detail"]).contains(&status), "{problem}");
        assert_eq!(show(&service, ADMIN, &id).await, decided);
        // An approval can be taken back until the key is collected.
        let taken_back = step(&service, ADMIN, &id, "deny", json!({})).await;
        if first == "approve" {
            taken_back.ok(200);
            let late = step(&service, &asker.secret, &id, "collect", json!({})).await;
            late.problem(409, "wrong_status");
        } else {
            taken_back.problem(409, "wrong_status");
        }
    }
    for id in [
        "req_01J00000000000000000000000",
        "tok_01J00000000000000000000000",
        "x",
    ] {
        for what in ["approve", "deny", "withdraw", "collect"] {
            let answer = step(&service, ADMIN, id, what, json!({})).await;
            answer.problem(404, "not_found");
        }
    }
}

async fn of_racing_collections_one_gets_the_key(backend: Backend) {
    let service = Service::guarded(backend).await;
    let asker = reader(&service).await;
    for _ in 0..5 {
        let id = approved(&service, &asker).await;
        let before = count_keys(&service).await;
        let collect = || step(&service, &asker.secret, &id, "collect", json!({}));
        let answers: [Answer; 4] = tokio::join!(collect(), collect(), collect(), collect()).into();
        let won = answers.iter().filter(|answer| answer.status == 201).count();
        assert_eq!(won, 1);
        for lost in answers.iter().filter(|answer| answer.status != 201) {
            lost.problem(409, "wrong_status");
        }
        assert_eq!(count_keys(&service).await, before + 1);
    }
}

async fn asker_has_so_many_pending_requests(backend: Backend) {
    let service = Service::guarded(backend).await;
    let [asker, other] = [reader(&service).await, reader(&service).await];
    let mut last = String::new();
    for _ in 0..20 {
        last = ask(&service, &asker.secret, json!({})).await;
    }
    let answer = try_to_ask(&service, &asker.secret, json!({})).await;
    answer.problem(409, "limit_reached");
    ask(&service, &other.secret, json!({})).await;
    step(&service, &asker.secret, &last, "withdraw", json!({}))
        .await
        .ok(200);
    ask(&service, &asker.secret, json!({})).await;
}

async fn collection_counts_as_a_mint(backend: Backend) {
    let set = |flags: &mut claviger_server::config::Flags| {
        flags.mints_per_minute = Some("1".to_owned());
    };
    let service = Service::guarded_with(backend, set).await;
    let asker = reader(&service).await;
    let [one, other] = [
        approved(&service, &asker).await,
        approved(&service, &asker).await,
    ];
    step(&service, &asker.secret, &one, "collect", json!({}))
        .await
        .ok(201);
    let answer = step(&service, &asker.secret, &other, "collect", json!({})).await;
    answer.problem(429, "too_many_mints");
    assert_eq!(show(&service, ADMIN, &other).await["status"], "approved");
}

async fn requests_outlive_a_restart(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    let asker = reader(&service).await;
    let id = approved(&service, &asker).await;
    let before = show(&service, ADMIN, &id).await;
    service.restart().await;
    assert_eq!(show(&service, ADMIN, &id).await, before);
    let made = step(&service, &asker.secret, &id, "collect", json!({}))
        .await
        .ok(201);
    let key = Minted::of(&made);
    service.restart().await;
    service.get(&key.secret, "/org/whoami").await;
    let closed = show(&service, ADMIN, &id).await;
    assert_eq!(closed["token_id"], key.id.as_str());
}

async fn each_step_is_in_the_audit_trail(backend: Backend) {
    let service = Service::guarded(backend).await;
    let asker = reader(&service).await;
    let id = approved(&service, &asker).await;
    let made = step(&service, &asker.secret, &id, "collect", json!({}))
        .await
        .ok(201);
    for what in ["withdraw", "deny"] {
        let id = ask(&service, &asker.secret, json!({})).await;
        let by = if what == "deny" { ADMIN } else { &asker.secret };
        step(&service, by, &id, what, json!({})).await.ok(200);
    }
    let records = service.audit(ADMIN, "&method=POST").await;
    let change = |name: &str| {
        let found = records
            .iter()
            .filter(|record| record["change"][name].is_object());
        found
            .map(|record| record["change"][name].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(change("asked").len(), 3);
    for name in ["approved", "collected", "withdrawn", "denied"] {
        assert_eq!(change(name).len(), 1, "{name}");
    }
    let asked = change("asked").pop().expect("the first");
    assert_eq!(
        (&asked["id"], &asked["justification"]),
        (&json!(id), &json!("the report is to be sent"))
    );
    let collected = &change("collected")[0];
    assert_eq!(
        (&collected["id"], &collected["token_id"]),
        (&json!(id), &made["id"])
    );
    assert_eq!(collected["approved_by"], "admin-token");
    let said = format!("{records:?}");
    assert!(!said.contains(&text(&made["auth_token"])));
    let pasted = json!({"justification": format!("{} is too narrow", asker.secret)});
    ask(&service, &asker.secret, pasted).await;
    let records = service.audit(ADMIN, "&method=POST").await;
    assert!(!format!("{records:?}").contains(&asker.secret));
}
