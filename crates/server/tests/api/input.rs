//! Bad bodies: always a problem document with a stable code and the field, never a 5xx, and nothing
//! written but the record of the refusal.

use serde_json::{Value, json};

use crate::{
    ask::Answer,
    service::{ADMIN, Backend, Service, text},
};

on_each_database!(
    malformed_json_is_told_from_a_bad_field,
    unknown_and_doubled_fields_are_named,
    doubled_key_is_named_also_where_the_map_ends_like_it,
    wrong_types_are_named,
    body_must_be_declared_and_be_utf_8,
    no_text_with_a_nul_breaks_the_store,
    bad_requests_write_nothing,
);

async fn post(service: &Service, path: &str, body: impl Into<reqwest::Body>) -> Answer {
    service.ask_as(ADMIN, "POST", path).body(body).send().await
}

async fn malformed_json_is_told_from_a_bad_field(backend: Backend) {
    let service = Service::guarded(backend).await;
    let deep = format!("{{\"name\":{}1{}}}", "[".repeat(500), "]".repeat(500));
    for body in [
        "",
        "{",
        "{\"name\":",
        "nonsense",
        "{'name':'x'}",
        "{\"name\":\"x\"} trailing",
        "{\"name\":\"x\"}{}",
        "{\"name\":\"x\",}",
        "\u{feff}{\"name\":\"x\"}",
        "{\"name\":\"\\ud800\"}",
        "{\"name\":\"a\nb\"}",
        "{\"name\":NaN}",
    ] {
        post(&service, "/workspaces", body)
            .await
            .problem(400, "bad_json");
    }
    let answer = post(&service, "/workspaces", deep).await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    for body in ["null", "[]", "1", "\"name\"", "{}"] {
        let answer = post(&service, "/workspaces", body).await;
        answer.problem(400, "bad_field");
    }
    assert_eq!(
        post(&service, "/workspaces", "{}")
            .await
            .field(400, "bad_field"),
        "name"
    );
    // JSON that is unusual, but JSON.
    post(&service, "/workspaces", " \n{\"name\" : \"\\u0041\"}\t")
        .await
        .ok(201);
}

async fn unknown_and_doubled_fields_are_named(backend: Backend) {
    let service = Service::guarded(backend).await;
    let workspace = service.workspace(ADMIN).await;
    let base = format!("/workspaces/{workspace}");
    let (channels, secrets) = (format!("{base}/channels"), format!("{base}/secrets"));
    let tokens = format!("{base}/tokens");
    for (path, body, field) in [
        ("/org/tokens", r#"{"name":"n","nmae":"x"}"#, "nmae"),
        ("/org/tokens", r#"{"name":"n","org":"x"}"#, "org"),
        ("/org/tokens", r#"{"name":"a","name":"b"}"#, "name"),
        (
            "/org/tokens",
            r#"{"name":"n","metadata":{"team":"1","team":"2"}}"#,
            "metadata.team",
        ),
        (
            "/org/tokens",
            r#"{"name":"n","workspaces":{"labels":{"a":"1","a":"2"}}}"#,
            "workspaces",
        ),
        (
            "/org/tokens",
            r#"{"name":"n","workspaces":{"label":{}}}"#,
            "workspaces",
        ),
        ("/workspaces", r#"{"name":"n","id":"x"}"#, "id"),
        (
            "/workspaces",
            r#"{"name":"n","labels":{"a":"1","a":"1"}}"#,
            "labels.a",
        ),
        (
            &channels,
            r#"{"type":"slack","config":{},"kind":1}"#,
            "kind",
        ),
        (
            &channels,
            r#"{"type":"webhook","config":{"url":"a","url":"b"}}"#,
            "config.url",
        ),
        (&secrets, r#"{"key":"A","value":"1","value":"2"}"#, "value"),
        (
            &secrets,
            r#"{"key":"A","value":"1","version":2}"#,
            "version",
        ),
        (&tokens, r#"{"title":"x"}"#, "title"),
        ("/admin/orgs", r#"{"name":"x","id":"y"}"#, "id"),
    ] {
        let answer = post(&service, path, body).await;
        assert_eq!(answer.field(400, "bad_field"), field, "{body}");
    }
    let slack = r#"{"type":"webhook","config":{"url":"https://a.example/","extra":"x"}}"#;
    assert_eq!(
        post(&service, &channels, slack)
            .await
            .field(422, "out_of_range"),
        "config.extra"
    );
}

async fn doubled_key_is_named_also_where_the_map_ends_like_it(backend: Backend) {
    let service = Service::guarded(backend).await;
    let body = r#"{"name":"n","metadata":{"a":"1","a":"2"}}"#;
    let answer = post(&service, "/org/tokens", body).await;
    assert_eq!(answer.field(400, "bad_field"), "metadata.a");
}

async fn wrong_types_are_named(backend: Backend) {
    let service = Service::guarded(backend).await;
    for (field, value) in [
        ("name", json!(1)),
        ("name", json!(null)),
        ("name", json!({})),
        ("preset", json!(["reader"])),
        ("permissions", json!("*")),
        ("permissions", json!([1])),
        ("workspaces", json!(7)),
        ("endpoints", json!({})),
        ("expires_in", json!(60)),
        ("expires_at", json!(1_700_000_000)),
        ("not_before", json!(true)),
        ("ip_allow", json!("127.0.0.1")),
        ("metadata", json!({"a": 1})),
        ("metadata", json!([])),
    ] {
        let mut body = json!({"name": "n"});
        body[field] = value;
        let answer = post(&service, "/org/tokens", body.to_string()).await;
        let named = answer.field(400, "bad_field");
        assert!(named.starts_with(field), "{body}: {named}");
    }
}

async fn body_must_be_declared_and_be_utf_8(backend: Backend) {
    let service = Service::guarded(backend).await;
    let send = async |declared: Option<&str>, body: &'static [u8]| {
        let mut ask = service.ask_as(ADMIN, "POST", "/workspaces").raw(body);
        if let Some(declared) = declared {
            ask = ask.header("content-type", declared);
        }
        ask.send().await
    };
    let good = br#"{"name":"n"}"#;
    for other in [
        None,
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
        Some(""),
        Some("application/jsonx"),
        Some("application/json5"),
    ] {
        send(other, good).await.problem(415, "not_json");
    }
    for json in ["application/json", "Application/JSON; charset=utf-8"] {
        send(Some(json), good).await.ok(201);
    }
    for bytes in [
        &b"{\"name\":\"\xff\"}"[..],
        b"\xff\xfe{\0",
        b"{\"name\":\"\xed\xa0\x80\"}",
    ] {
        send(Some("application/json"), bytes)
            .await
            .problem(400, "bad_json");
    }
    let workspace = service.workspace(ADMIN).await;
    let tokens = format!("/workspaces/{workspace}/tokens");
    let ask = service.ask_as(ADMIN, "POST", &tokens).raw("{}");
    ask.send().await.problem(415, "not_json");
}

async fn no_text_with_a_nul_breaks_the_store(backend: Backend) {
    let service = Service::guarded(backend).await;
    let workspace = service.workspace(ADMIN).await;
    let base = format!("/workspaces/{workspace}");
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    let path = key.path();
    let (channels, secrets) = (format!("{base}/channels"), format!("{base}/secrets"));
    let tokens = format!("{base}/tokens");
    let url = "https://hooks.example.com/";
    let nul = "a\0b";
    for (method, path, body) in [
        ("POST", "/org/tokens", json!({"name": nul})),
        ("POST", "/org/tokens", json!({"name": "n", "preset": nul})),
        (
            "POST",
            "/org/tokens",
            json!({"name": "n", "permissions": [nul]}),
        ),
        (
            "POST",
            "/org/tokens",
            json!({"name": "n", "workspaces": nul}),
        ),
        (
            "POST",
            "/org/tokens",
            json!({"name": "n", "workspaces": [nul]}),
        ),
        (
            "POST",
            "/org/tokens",
            json!({"name": "n", "workspaces": {"labels": {nul: "v"}}}),
        ),
        (
            "POST",
            "/org/tokens",
            json!({"name": "n", "workspaces": {"labels": {"k": nul}}}),
        ),
        (
            "POST",
            "/org/tokens",
            json!({"name": "n", "endpoints": [format!("GET /{nul}")]}),
        ),
        (
            "POST",
            "/org/tokens",
            json!({"name": "n", "expires_in": nul}),
        ),
        (
            "POST",
            "/org/tokens",
            json!({"name": "n", "expires_at": nul}),
        ),
        (
            "POST",
            "/org/tokens",
            json!({"name": "n", "not_before": nul}),
        ),
        (
            "POST",
            "/org/tokens",
            json!({"name": "n", "ip_allow": [nul]}),
        ),
        (
            "POST",
            "/org/tokens",
            json!({"name": "n", "metadata": {nul: "v"}}),
        ),
        (
            "POST",
            "/org/tokens",
            json!({"name": "n", "metadata": {"k": nul}}),
        ),
        ("POST", "/org/tokens", json!({"name": "n", nul: "v"})),
        ("PATCH", &path, json!({"name": nul})),
        ("PATCH", &path, json!({"metadata": {"k": nul}})),
        ("POST", "/workspaces", json!({"name": nul})),
        (
            "POST",
            "/workspaces",
            json!({"name": "n", "labels": {nul: "v"}}),
        ),
        (
            "POST",
            "/workspaces",
            json!({"name": "n", "labels": {"k": nul}}),
        ),
        ("PATCH", &base, json!({"name": nul})),
        ("PATCH", &base, json!({"labels": {"k": nul}})),
        (
            "POST",
            &channels,
            json!({"type": nul, "config": {"url": url}}),
        ),
        (
            "POST",
            &channels,
            json!({"type": "webhook", "name": nul, "config": {"url": url}}),
        ),
        (
            "POST",
            &channels,
            json!({"type": "webhook", "config": {"url": format!("{url}{nul}")}}),
        ),
        (
            "POST",
            &channels,
            json!({"type": "webhook", "config": {"url": url, "signing_secret": nul}}),
        ),
        (
            "POST",
            &channels,
            json!({"type": "webhook", "config": {"url": url, nul: "x"}}),
        ),
        (
            "POST",
            &channels,
            json!({"type": "slack", "config": {"bot_token": "xoxb-1", "channel": nul}}),
        ),
        (
            "POST",
            &channels,
            json!({"type": "telegram", "config": {"bot_token": "1:a", "chat_id": nul}}),
        ),
        ("POST", &secrets, json!({"key": nul, "value": "v"})),
        ("POST", &tokens, json!({"name": nul})),
        ("POST", "/admin/orgs", json!({"name": nul})),
    ] {
        let answer = service.ask_as(ADMIN, method, path).json(&body).send().await;
        assert!(
            matches!(answer.status, 400 | 422),
            "{method} {path} {body}: {}",
            answer.text()
        );
        assert!(
            answer.json()["field"].is_string(),
            "{body}: {}",
            answer.text()
        );
    }
    // A value is sealed bytes: it comes back as it was given.
    service
        .make(ADMIN, &secrets, json!({"key": "A", "value": nul}))
        .await;
    let values = service.get(ADMIN, &format!("{secrets}/values")).await;
    assert_eq!(values["values"]["A"], nul);
}

/// Everything that a bad request could have changed.
async fn state(service: &Service) -> Value {
    let mut state = Vec::new();
    for path in ["/org/tokens?status=all", "/workspaces", "/admin/orgs"] {
        let mut list = service.get(ADMIN, path).await;
        if path == "/workspaces" {
            for workspace in list["workspaces"].as_array().expect("workspaces").clone() {
                for part in ["channels", "secrets", "tokens", "secrets/values"] {
                    let path = format!("/workspaces/{}/{part}", text(&workspace["id"]));
                    state.push(service.get(ADMIN, &path).await);
                }
            }
        }
        list["next_cursor"].take();
        state.push(list);
    }
    Value::Array(state)
}

async fn bad_requests_write_nothing(backend: Backend) {
    let service = Service::guarded(backend).await;
    let workspace = service.workspace(ADMIN).await;
    let base = format!("/workspaces/{workspace}");
    let secrets = format!("{base}/secrets");
    service
        .make(ADMIN, &secrets, json!({"key": "A", "value": "1"}))
        .await;
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    let before = state(&service).await;
    let changes = async || {
        let records = service.audit(ADMIN, "").await;
        records
            .iter()
            .filter(|record| record.get("change").is_some())
            .count()
    };
    let recorded = changes().await;
    for (method, path, body) in [
        (
            "PATCH",
            key.path(),
            json!({"name": "new", "metadata": {"a b": "c"}}),
        ),
        (
            "PATCH",
            base.clone(),
            json!({"name": "new", "labels": {"a b": "c"}}),
        ),
        (
            "POST",
            secrets.clone(),
            json!({"key": "A", "value": "x".repeat(64 * 1024 + 1)}),
        ),
        ("PUT", secrets, json!({"key": "values", "value": "2"})),
        (
            "POST",
            format!("{base}/channels"),
            json!({"type": "slack", "config": {}}),
        ),
        (
            "POST",
            "/org/tokens".to_owned(),
            json!({"name": "n", "expires_in": "0s"}),
        ),
        ("DELETE", format!("{}?reasn=x", key.path()), json!(null)),
    ] {
        let answer = service
            .ask_as(ADMIN, method, &path)
            .json(&body)
            .send()
            .await;
        assert!(
            matches!(answer.status, 400 | 422),
            "{method} {path}: {}",
            answer.text()
        );
        assert!(answer.json()["field"].is_string());
    }
    assert_eq!(changes().await, recorded);
    let keep_uses = |mut state: Value| {
        for key in state[5]["tokens"].as_array_mut().into_iter().flatten() {
            key["last_used_at"].take();
        }
        state
    };
    assert_eq!(keep_uses(state(&service).await), keep_uses(before));
}
