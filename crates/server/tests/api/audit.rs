//! The audit trail: one record for each request, whatever became of it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    ask::Answer,
    service::{ADMIN, Backend, Service, text},
};

on_each_database!(
    each_request_leaves_one_record_that_says_what_it_was,
    record_of_a_change_says_what_it_changed,
    filters_select,
    cursor_is_stable_under_writes,
    export_is_the_kept_bytes,
    numbers_have_no_gap_and_orgs_share_none,
    every_mode_records,
);

/// The records of this answer's request.
pub(crate) async fn records_of(service: &Service, answer: &Answer) -> Vec<Value> {
    let id = answer.header("x-request-id").expect("an id");
    let mut records = service.audit(ADMIN, "").await;
    records.retain(|record| record["id"] == id);
    records
}

async fn each_request_leaves_one_record_that_says_what_it_was(backend: Backend) {
    let service = Service::guarded(backend).await;
    let workspace = service.workspace(ADMIN).await;
    let root = service.mint(ADMIN, json!({"name": "root"})).await;
    let key = service
        .mint(&root.secret, json!({"name": "k", "preset": "reader"}))
        .await;
    let base = format!("/workspaces/{workspace}");
    for (method, path, route, status, code) in [
        ("GET", "/org/whoami".to_owned(), "/org/whoami", 200, None),
        ("GET", base.clone(), "/workspaces/{id}", 200, None),
        (
            "DELETE",
            base.clone(),
            "/workspaces/{id}",
            403,
            Some("missing_permission"),
        ),
        (
            "GET",
            "/workspaces/nonsense".to_owned(),
            "/workspaces/{id}",
            404,
            Some("not_found"),
        ),
        ("GET", "/nowhere".to_owned(), "", 404, Some("no_route")),
        ("PUT", "/org/whoami".to_owned(), "", 405, Some("no_method")),
        (
            "GET",
            "/org/tokens?limit=0".to_owned(),
            "/org/tokens",
            422,
            Some("out_of_range"),
        ),
        (
            "GET",
            "/org/tokens?x=1".to_owned(),
            "/org/tokens",
            400,
            Some("bad_query"),
        ),
        (
            "GET",
            "/org/whoami%00".to_owned(),
            "",
            400,
            Some("ambiguous_path"),
        ),
    ] {
        let ask = service
            .ask_as(&key.secret, method, &path)
            .header("user-agent", "tester/1");
        let answer = ask.send().await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        let records = records_of(&service, &answer).await;
        assert_eq!(records.len(), 1, "{method} {path}: {records:?}");
        let record = &records[0];
        let plain = path.split('?').next().expect("a path");
        for (member, expected) in [
            ("kind", json!("request")),
            ("tier", json!("2a")),
            ("actor", json!(key.actor())),
            ("key", json!(key.id)),
            ("chain", json!([root.id])),
            ("root", json!("admin-token")),
            ("method", json!(method)),
            ("path", json!(plain)),
            ("route", json!(route)),
            ("status", json!(status)),
            ("code", json!(code)),
            ("client", json!("127.0.0.1")),
            ("user_agent", json!("tester/1")),
            ("change", json!(null)),
            ("count", json!(null)),
        ] {
            assert_eq!(record[member], expected, "{member} of {method} {path}");
        }
        assert_eq!(record["nonce"].as_str().map(str::len), Some(32));
        assert!(record["duration_us"].is_u64() && record["time"].is_string());
        let named = plain.starts_with(&base).then_some(workspace.as_str());
        assert_eq!(record["workspace"].as_str(), named, "{method} {path}");
    }
    let admin = service.ask_as(ADMIN, "GET", "/org/whoami").send().await;
    let record = &records_of(&service, &admin).await[0];
    assert_eq!(
        (&record["kind"], &record["tier"]),
        (&json!("break_glass"), &json!("2b"))
    );
    service
        .ask_as(ADMIN, "DELETE", &key.path())
        .send()
        .await
        .ok(200);
    let dead = service
        .ask_as(&key.secret, "GET", "/org/whoami")
        .send()
        .await;
    let record = &records_of(&service, &dead).await[0];
    assert_eq!(
        (&record["actor"], &record["code"]),
        (&json!(key.actor()), &json!("token_revoked"))
    );
}

async fn record_of_a_change_says_what_it_changed(backend: Backend) {
    let service = Service::guarded(backend).await;
    let send = async |method: &str, path: &str, body: Value| {
        let ask = service.ask_as(ADMIN, method, path);
        let ask = if body.is_null() { ask } else { ask.json(&body) };
        let answer = ask.send().await;
        assert!(answer.status < 300, "{method} {path}: {}", answer.text());
        let mut records = records_of(&service, &answer).await;
        assert_eq!(records.len(), 1, "{method} {path}");
        let record = records.remove(0);
        assert_eq!(record["status"], answer.status, "{method} {path}");
        assert!(
            record["change"].is_object(),
            "{method} {path} says nothing: {record}"
        );
        (answer.json(), record["change"].clone())
    };
    let (key, change) = send(
        "POST",
        "/org/tokens",
        json!({"name": "ключ 🔑", "preset": "reader"}),
    )
    .await;
    assert_eq!(change["minted"]["id"], key["id"]);
    assert_eq!(change["minted"]["name"], "ключ 🔑");
    assert_eq!(
        change["minted"]["grant"]["permissions"],
        key["grant"]["permissions"]
    );
    let path = format!("/org/tokens/{}", text(&key["id"]));
    let (_, change) = send("PATCH", &path, json!({"name": "new"})).await;
    assert_eq!(change["changed"]["to"]["name"], "new");
    let (_, change) = send("DELETE", &format!("{path}?reason=leaked"), json!(null)).await;
    assert_eq!(change["revoked"]["reason"], "leaked");
    let (workspace, _) = send("POST", "/workspaces", json!({"name": "w"})).await;
    let base = format!("/workspaces/{}", text(&workspace["id"]));
    send("PATCH", &base, json!({"labels": {"a": "b"}})).await;
    let channels = format!("{base}/channels");
    let webhook = json!({"type": "webhook", "config": {"url": "https://a.example/"}});
    let (channel, _) = send("POST", &channels, webhook).await;
    let channel = format!("{channels}/{}", text(&channel["id"]));
    send("PATCH", &channel, json!({"enabled": false})).await;
    send("DELETE", &channel, json!(null)).await;
    let secrets = format!("{base}/secrets");
    send("PUT", &secrets, json!({"key": "A", "value": "v"})).await;
    send("DELETE", &format!("{secrets}/A"), json!(null)).await;
    let tokens = format!("{base}/tokens");
    let (token, _) = send("POST", &tokens, json!(null)).await;
    send(
        "DELETE",
        &format!("{tokens}/{}", text(&token["id"])),
        json!(null),
    )
    .await;
    send("DELETE", &base, json!(null)).await;
    let (org, _) = send("POST", "/admin/orgs", json!({"name": "acme"})).await;
    send(
        "DELETE",
        &format!("/admin/orgs/{}", text(&org["id"])),
        json!(null),
    )
    .await;
}

async fn filters_select(backend: Backend) {
    let service = Service::guarded(backend).await;
    let workspace = service.workspace(ADMIN).await;
    let key = service
        .mint(ADMIN, json!({"name": "k", "preset": "reader"}))
        .await;
    let path = format!("/workspaces/{workspace}/channels");
    service.get(&key.secret, &path).await;
    let webhook = json!({"type": "webhook", "config": {"url": "https://a.example/"}});
    service
        .ask_as(&key.secret, "POST", &path)
        .json(&webhook)
        .send()
        .await;
    service.get(&key.secret, "/org/whoami").await;
    let all = service.audit(ADMIN, "").await;
    let middle = text(&all[2]["time"]);
    let member =
        |name: &'static str, value: String| move |record: &Value| record[name] == value.as_str();
    type Selects = Box<dyn Fn(&Value) -> bool>;
    let cases: Vec<(String, Selects)> = vec![
        (
            format!("actor={}", key.actor()),
            Box::new(member("actor", key.actor())),
        ),
        (
            format!("token={}", key.id),
            Box::new(member("key", key.id.clone())),
        ),
        (
            format!("workspace={workspace}"),
            Box::new(member("workspace", workspace.clone())),
        ),
        (
            "method=post".to_owned(),
            Box::new(member("method", "POST".to_owned())),
        ),
        (
            "status=403".to_owned(),
            Box::new(|record| record["status"] == 403),
        ),
        (
            "status=2xx".to_owned(),
            Box::new(|record| record["status"].as_u64().is_some_and(|s| s / 100 == 2)),
        ),
        (format!("since={middle}"), {
            let m = middle.clone();
            Box::new(move |r| text(&r["time"]) >= m)
        }),
        (format!("until={middle}"), {
            let m = middle.clone();
            Box::new(move |r| text(&r["time"]) < m)
        }),
        (format!("token={}&method=GET&status=200", key.id), {
            let id = key.id.clone();
            Box::new(move |r| r["key"] == id.as_str() && r["method"] == "GET" && r["status"] == 200)
        }),
        ("actor=nobody-of-that-name".to_owned(), Box::new(|_| false)),
    ];
    let last = all[0]["seq"].as_u64().expect("a number");
    for (query, selects) in cases {
        let mut found = service.audit(ADMIN, &format!("&{query}")).await;
        found.retain(|record| record["seq"].as_u64() <= Some(last));
        let expected: Vec<_> = all
            .iter()
            .filter(|record| selects(record))
            .cloned()
            .collect();
        assert_eq!(found, expected, "{query}");
    }
}

async fn cursor_is_stable_under_writes(backend: Backend) {
    let service = Service::guarded(backend).await;
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    for _ in 0..10 {
        service.get(&key.secret, "/org/whoami").await;
    }
    let before = service.audit(ADMIN, "").await;
    let top = before[0]["seq"].as_u64().expect("a number");
    let (mut found, mut cursor) = (Vec::new(), format!("&cursor={}", top + 1));
    loop {
        let page = service
            .get(ADMIN, &format!("/org/audit?limit=3{cursor}"))
            .await;
        found.extend(page["events"].as_array().expect("events").clone());
        service.get(&key.secret, "/org/whoami").await;
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(found, before);
    let page = service.get(ADMIN, "/org/audit?after=2&limit=2").await;
    let numbers: Vec<_> = page["events"]
        .as_array()
        .expect("events")
        .iter()
        .map(|e| e["seq"].as_u64())
        .collect();
    assert_eq!(numbers, [Some(3), Some(4)]);
}

async fn export_is_the_kept_bytes(backend: Backend) {
    let service = Service::guarded(backend).await;
    service
        .make(
            ADMIN,
            "/workspaces",
            json!({"name": "имя \"quoted\" \\ 🤖"}),
        )
        .await;
    for at in 0..30 {
        service.mint(ADMIN, json!({"name": format!("k{at}")})).await;
    }
    let listed = service
        .ask_as(ADMIN, "GET", "/org/audit?limit=200")
        .send()
        .await
        .text();
    let answer = service
        .ask_as(ADMIN, "GET", "/org/audit/export?format=jsonl")
        .send()
        .await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, Some("application/jsonl"))
    );
    let export = answer.text();
    assert!(export.ends_with('\n') && export.is_ascii() && !export.contains('\r'));
    let lines: Vec<_> = export.lines().collect();
    // The list was recorded after it was read, and is the last line.
    let (last, before) = lines.split_last().expect("records");
    assert!(last.contains("\"/org/audit\""));
    for (at, line) in before.iter().enumerate() {
        let numbered = format!("{{\"seq\":{},{}", at + 1, line.trim_start_matches('{'));
        assert!(listed.contains(&numbered), "{line}");
    }
    let part = service
        .ask_as(ADMIN, "GET", "/org/audit/export?after=5&method=POST")
        .send()
        .await;
    let part = part.text();
    let expected: Vec<_> = before[5..]
        .iter()
        .filter(|line| line.contains("\"method\":\"POST\""))
        .collect();
    assert_eq!(part.lines().collect::<Vec<_>>().len(), expected.len());
    assert!(expected.iter().all(|line| part.contains(**line)));
}

async fn numbers_have_no_gap_and_orgs_share_none(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    service
        .make(ADMIN, "/admin/orgs", json!({"name": "acme"}))
        .await;
    let mint = service
        .ask_as(ADMIN, "POST", "/org/tokens")
        .header("x-org-id", "acme");
    let other = crate::service::Minted::of(&mint.json(&json!({"name": "k"})).send().await.ok(201));
    let asks = (0..40).map(|at| {
        let ask = service.ask_as(
            if at % 2 == 0 { ADMIN } else { &other.secret },
            "GET",
            "/org/whoami",
        );
        ask.send()
    });
    for answer in futures_util::future::join_all(asks).await {
        answer.ok(200);
    }
    service.restart().await;
    for key in [ADMIN, &other.secret] {
        let records = service.audit(key, "").await;
        let numbers: Vec<_> = records
            .iter()
            .rev()
            .map(|record| record["seq"].as_u64())
            .collect();
        let expected: Vec<_> = (1..=u64::try_from(records.len()).expect("few"))
            .map(Some)
            .collect();
        assert_eq!(numbers, expected);
        let orgs: BTreeSet<_> = records.iter().map(|record| text(&record["org"])).collect();
        assert_eq!(orgs.len(), 1);
    }
    assert_eq!(service.audit(&other.secret, "").await.len(), 22);
}

async fn every_mode_records(backend: Backend) {
    for mode in ["relaxed", "durable", "synced"] {
        let set = |flags: &mut claviger_server::config::Flags| flags.audit = Some(mode.to_owned());
        let mut service = Service::guarded_with(backend, set).await;
        let key = service.mint(ADMIN, json!({"name": mode})).await;
        for _ in 0..5 {
            service.get(&key.secret, "/org/whoami").await;
        }
        service.restart().await;
        let records = service.audit(ADMIN, &format!("&token={}", key.id)).await;
        assert_eq!(records.len(), 5, "{mode}");
    }
}
