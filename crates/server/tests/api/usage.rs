//! What keys were used for, as `GET /org/tokens/{id}/usage` says it.

use claviger_testkit::Postgres;
use serde_json::{Value, json};

use crate::service::{ADMIN, Backend, Minted, Service};

on_each_database!(
    bound_key_sees_no_uses_outside_its_binding,
    each_call_is_counted_by_route_and_workspace,
    refusals_are_counted_apart,
    both_secrets_of_a_key_count_as_the_key,
    what_was_counted_outlives_a_restart,
    other_credentials_are_not_counted_as_keys,
    made_up_methods_and_workspaces_are_counted_together,
    usage_of_what_is_not_there_is_not_found,
    usage_needs_the_permission_to_read_keys,
    bad_queries_are_refused_and_name_the_parameter,
);

async fn usage(service: &Service, key: &Minted, query: &str) -> Value {
    let path = format!("{}/usage{query}", key.path());
    service.get(ADMIN, &path).await
}

/// `METHOD route` with the calls and the refusals.
fn endpoints(usage: &Value) -> Vec<(String, u64, u64)> {
    let rows = usage["endpoints"].as_array().expect("a list").iter();
    let mut rows: Vec<_> = rows
        .map(|row| {
            let text = |name: &str| row[name].as_str().expect("a text");
            let count = |name: &str| row[name].as_u64().expect("a number");
            let what = format!("{} {}", text("method"), text("route"));
            (what, count("calls"), count("refusals"))
        })
        .collect();
    rows.sort();
    rows
}

async fn each_call_is_counted_by_route_and_workspace(backend: Backend) {
    let service = Service::guarded(backend).await;
    let workspaces = [
        service.workspace(ADMIN).await,
        service.workspace(ADMIN).await,
    ];
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    let never = usage(&service, &key, "").await;
    assert_eq!(
        (&never["calls"], &never["endpoints"]),
        (&json!(0), &json!([]))
    );
    assert_eq!(never["last_used_at"], Value::Null);
    for _ in 0..2 {
        for workspace in &workspaces {
            let path = format!("/workspaces/{workspace}/secrets");
            service.get(&key.secret, &path).await;
        }
    }
    let first = format!("/workspaces/{}", workspaces[0]);
    service.get(&key.secret, &first).await;
    // A 404 was let in too.
    let gone = format!(
        "/workspaces/{}/channels/ch_01J00000000000000000000000",
        workspaces[0]
    );
    let gone = service.ask_as(&key.secret, "GET", &gone).send().await;
    gone.problem(404, "not_found");
    let found = usage(&service, &key, "").await;
    assert_eq!(
        (&found["calls"], &found["refusals"]),
        (&json!(6), &json!(0))
    );
    let expected = [
        ("GET /workspaces/{id}", 1),
        ("GET /workspaces/{id}/channels/{cid}", 1),
        ("GET /workspaces/{id}/secrets", 2),
        ("GET /workspaces/{id}/secrets", 2),
    ];
    let expected = expected.map(|(what, calls)| (what.to_owned(), calls, 0));
    assert_eq!(endpoints(&found), expected);
    assert_eq!(found["workspaces"][0]["workspace"], json!(workspaces[0]));
    assert_eq!(found["workspaces"][0]["calls"], 4);
    assert_eq!(found["workspaces"][1]["calls"], 2);
    assert_eq!(found["addresses"][0]["address"], "127.0.0.1");
    assert_eq!(found["addresses"][0]["calls"], 6);
    assert!(found["last_used_at"].is_string());
    for query in ["?by=hour", "?by=day"] {
        let found = usage(&service, &key, query).await;
        let by = found["by"].as_array().expect("a list");
        let calls: u64 = by.iter().filter_map(|one| one["calls"].as_u64()).sum();
        assert_eq!(calls, 6, "{query}");
    }
    let distinct = json!({"endpoints": 3, "workspaces": 2, "addresses": 1});
    assert_eq!(found["distinct"], distinct);
    let day = &found["by"][0];
    assert_eq!(
        (&day["workspaces"], &day["endpoints"]),
        (&json!(2), &json!(3))
    );
    let before = "?since=2020-01-01T00:00:00Z&until=2020-02-01T00:00:00Z";
    let before = usage(&service, &key, before).await;
    assert_eq!((&before["calls"], &before["by"]), (&json!(0), &json!([])));
    assert_eq!(before["addresses"], json!([]));
}

async fn refusals_are_counted_apart(backend: Backend) {
    let service = Service::guarded(backend).await;
    let workspace = service.workspace(ADMIN).await;
    let grant = json!({"name": "k", "preset": "reader", "rate_limit": {"per_day": 3}});
    let key = service.mint(ADMIN, grant).await;
    let values = format!("/workspaces/{workspace}/secrets/values");
    for (path, status) in [
        ("/org/whoami", 200),
        (values.as_str(), 403),
        ("/nowhere", 404),
        ("/org/whoami", 429),
    ] {
        let answer = service.ask_as(&key.secret, "GET", path).send().await;
        assert_eq!(answer.status, status, "{path}");
    }
    let end = service.ask_as(ADMIN, "DELETE", &key.path());
    end.send().await.ok(200);
    let dead = service.ask_as(&key.secret, "GET", "/org/whoami").send();
    dead.await.problem(401, "token_revoked");
    let found = usage(&service, &key, "").await;
    let expected = [
        ("GET ", 1, 0),
        ("GET /org/whoami", 1, 2),
        ("GET /workspaces/{id}/secrets/values", 0, 1),
    ];
    let expected = expected.map(|(what, calls, refusals)| (what.to_owned(), calls, refusals));
    assert_eq!(endpoints(&found), expected);
    assert_eq!(
        (&found["calls"], &found["refusals"]),
        (&json!(2), &json!(3))
    );
    assert_eq!(found["addresses"][0]["calls"], 2, "those that were let in");
}

async fn both_secrets_of_a_key_count_as_the_key(backend: Backend) {
    let service = Service::guarded(backend).await;
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    let rotate = format!("{}/rotate", key.path());
    let rotated = service.ask_as(&key.secret, "POST", &rotate).send().await;
    let new = Minted::of(&rotated.ok(200));
    service.get(&key.secret, "/org/whoami").await;
    service.get(&new.secret, "/org/whoami").await;
    let found = usage(&service, &key, "").await;
    let expected = [
        ("GET /org/whoami".to_owned(), 2, 0),
        ("POST /org/tokens/{self}/rotate".to_owned(), 1, 0),
    ];
    assert_eq!(endpoints(&found), expected);
}

async fn what_was_counted_outlives_a_restart(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    for expected in [1, 2] {
        service.get(&key.secret, "/org/whoami").await;
        service.restart().await;
        assert_eq!(usage(&service, &key, "").await["calls"], expected);
    }
}

async fn other_credentials_are_not_counted_as_keys(backend: Backend) {
    let service = Service::guarded(backend).await;
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    let workspace = service.workspace(&key.secret).await;
    let token = service.workspace_token(&key.secret, &workspace).await;
    let before = usage(&service, &key, "").await["calls"].clone();
    let secrets = format!("/workspaces/{workspace}/secrets");
    service.get(&token, &secrets).await;
    service.get(ADMIN, &secrets).await;
    service
        .ask("GET", &secrets)
        .send()
        .await
        .problem(401, "no_credential");
    assert_eq!(usage(&service, &key, "").await["calls"], before);
}

async fn made_up_methods_and_workspaces_are_counted_together(backend: Backend) {
    let service = Service::guarded(backend).await;
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    for method in ["PURGE", "BREW", "PROPFIND"] {
        let answer = service.ask_as(&key.secret, method, "/org/whoami").send();
        answer.await.problem(405, "no_method");
    }
    for id in ["ws_1", "tok_01J00000000000000000000000"] {
        let path = format!("/workspaces/{id}/secrets");
        let answer = service.ask_as(&key.secret, "GET", &path).send().await;
        answer.problem(404, "not_found");
    }
    let found = usage(&service, &key, "").await;
    let expected = [
        ("GET /workspaces/{id}/secrets".to_owned(), 2, 0),
        ("OTHER ".to_owned(), 3, 0),
    ];
    assert_eq!(endpoints(&found), expected);
    assert_eq!(found["workspaces"], json!([]));
}

async fn usage_of_what_is_not_there_is_not_found(backend: Backend) {
    let service = Service::guarded(backend).await;
    let org = service
        .make(ADMIN, "/admin/orgs", json!({"name": "o"}))
        .await;
    let org = org["id"].as_str().expect("an id");
    let foreign = service.ask_as(ADMIN, "POST", "/org/tokens");
    let foreign = foreign.header("x-org-id", org).json(&json!({"name": "f"}));
    let foreign = Minted::of(&foreign.send().await.ok(201));
    for what in ["usage", "advice"] {
        for id in [&*foreign.id, "tok_01J00000000000000000000000", "ws_1", "x"] {
            let path = format!("/org/tokens/{id}/{what}");
            let answer = service.ask_as(ADMIN, "GET", &path).send().await;
            answer.problem(404, "not_found");
        }
    }
}

async fn usage_needs_the_permission_to_read_keys(backend: Backend) {
    let service = Service::guarded(backend).await;
    let grant = json!({"name": "k", "permissions": ["secrets:*", "org.tokens:mint"]});
    let key = service.mint(ADMIN, grant).await;
    let own = key.path();
    let paths = [
        format!("{own}/usage"),
        format!("{own}/advice"),
        "/org/advice".to_owned(),
    ];
    for path in paths {
        let answer = service.ask_as(&key.secret, "GET", &path).send().await;
        let problem = answer.problem(403, "missing_permission");
        let said = problem["detail"].as_str().expect("words");
        assert!(said.contains("org.tokens:read"), "{said}");
    }
}

async fn bad_queries_are_refused_and_name_the_parameter(backend: Backend) {
    let service = Service::guarded(backend).await;
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    let (usage, advice) = (
        format!("{}/usage", key.path()),
        format!("{}/advice", key.path()),
    );
    for (path, query, status, field) in [
        (usage.as_str(), "by=week", 400, "by"),
        (&usage, "since=yesterday", 400, "since"),
        (&usage, "limit=5", 400, "limit"),
        (
            &usage,
            "until=2020-01-01T00:00:00Z&since=2020-01-01T00:00:00Z",
            422,
            "since",
        ),
        (&usage, "by=hour&since=2020-01-01T00:00:00Z", 422, "by"),
        (&advice, "window=week", 400, "window"),
        (&advice, "window=59m", 422, "window"),
        (&advice, "window=181d", 422, "window"),
        (&advice, "endpoints=yes", 400, "endpoints"),
        (&advice, "addresses=", 400, "addresses"),
        ("/org/advice", "idle_for=90", 400, "idle_for"),
        ("/org/advice", "unused_for=x", 400, "unused_for"),
        ("/org/advice", "limit=0", 422, "limit"),
        ("/org/advice", "cursor=x", 400, "cursor"),
        ("/org/advice", "window=1d", 400, "window"),
    ] {
        let path = format!("{path}?{query}");
        let answer = service.ask_as(ADMIN, "GET", &path).send().await;
        let code = if status == 400 {
            "bad_query"
        } else {
            "out_of_range"
        };
        assert_eq!(answer.field(status, code), field, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_are_kept_while_the_database_is_gone() {
    let mut cluster = Postgres::spawn();
    let mut service = Service::on(Some(cluster.database()));
    service.set_admin_token(ADMIN);
    service.start().await.expect("the server starts");
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    for _ in 0..5 {
        service.get(&key.secret, "/org/whoami").await;
    }
    cluster.stop_immediate();
    let path = format!("{}/usage", key.path());
    for _ in 0..2 {
        let gone = service.ask_as(ADMIN, "GET", &path).send().await;
        assert_eq!(gone.status, 503, "{}", gone.text());
    }
    cluster.start();
    let ask = |service: &Service| service.ask_as(ADMIN, "GET", &path);
    let found = service.until(ask, |answer| answer.status == 200).await;
    assert_eq!(found.json()["calls"], 5);
    service.stop().await;
}

async fn bound_key_sees_no_uses_outside_its_binding(backend: Backend) {
    let service = Service::guarded(backend).await;
    let workspace = service.workspace(ADMIN).await;
    let bound = json!({"name": "bound", "preset": "reader", "workspaces": [workspace]});
    let bound = service.mint(ADMIN, bound).await;
    let other = service.mint(ADMIN, json!({"name": "other"})).await;
    for what in ["usage", "advice"] {
        let path = format!("{}/{what}", other.path());
        let refused = service.ask_as(&bound.secret, "GET", &path).send().await;
        refused.problem(403, "outside_workspaces");
        service
            .get(&bound.secret, &format!("{}/{what}", bound.path()))
            .await;
    }
}
