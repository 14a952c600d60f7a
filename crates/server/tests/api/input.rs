//! Bad input: always a problem document with a stable code and the field, never a 5xx, and nothing
//! written but the record of the refusal.

use serde_json::{Value, json};

use crate::{
    ask::{Answer, exchange, exchange_head},
    service::{ADMIN, Backend, Service, text},
};

on_each_database!(
    malformed_json_is_told_from_a_bad_field,
    unknown_and_doubled_fields_are_named,
    wrong_types_are_named,
    body_must_be_declared_and_be_utf_8,
    large_bodies_and_heads_are_refused,
    ids_of_another_type_are_not_found,
    ambiguous_paths_are_refused_before_routing,
    unknown_routes_and_methods_are_problems,
    bad_queries_name_the_parameter,
    no_text_with_a_nul_breaks_the_store,
    bad_requests_write_nothing,
    malformed_http_is_not_answered_with_a_failure,
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
            r#"{"name":"n","metadata":{"a":"1","a":"2"}}"#,
            "metadata.a",
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

async fn large_bodies_and_heads_are_refused(backend: Backend) {
    let service = Service::guarded(backend).await;
    let whole = format!("{{\"name\":\"{}\"}}", "x".repeat(1024 * 1024));
    post(&service, "/workspaces", whole)
        .await
        .problem(413, "body_too_large");
    let within = format!("{{\"name\":\"{}\"}}", "x".repeat(1024 * 1024 - 11));
    assert_eq!(
        post(&service, "/workspaces", within)
            .await
            .field(422, "out_of_range"),
        "name"
    );
    let announced = format!(
        "POST /workspaces HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ADMIN}\r\n\
         Content-Type: application/json\r\nContent-Length: 99999999\r\nConnection: close\r\n\r\n"
    );
    let chunked = announced.replace("Content-Length: 99999999", "Transfer-Encoding: chunked");
    let mut chunked = chunked.into_bytes();
    for _ in 0..20 {
        chunked.extend_from_slice(b"10000\r\n");
        chunked.resize(chunked.len() + 0x10000, b' ');
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    exchange(&service, chunked)
        .await
        .problem(413, "body_too_large");
    let head = |bytes: usize| {
        let filler = format!("X-Filler: {}", "x".repeat(bytes));
        let token = format!("Authorization: Bearer {ADMIN}");
        ["Host: localhost".to_owned(), token, filler]
    };
    let get = async |bytes: usize| {
        let lines = head(bytes);
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        exchange_head(&service, "GET /org/whoami", &lines).await
    };
    get(32 * 1024 - 512).await.ok(200);
    get(33 * 1024).await.problem(431, "head_too_large");
    assert_eq!(get(200 * 1024).await.status, 431);
    let target = format!("GET /org/tokens?q={}", "x".repeat(33 * 1024));
    let token = format!("Authorization: Bearer {ADMIN}");
    let answer = exchange_head(&service, &target, &["Host: localhost", &token]).await;
    assert!(matches!(answer.status, 414 | 431), "{}", answer.text());
}

async fn ids_of_another_type_are_not_found(backend: Backend) {
    let service = Service::guarded(backend).await;
    let workspace = service.workspace(ADMIN).await;
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    let swapped = key.id.replace("tok_", "ws_");
    let long = "x".repeat(2000);
    for id in [
        "nonsense",
        workspace.as_str(),
        "tok_",
        "tok_01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "tok_8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
        "TOK_01ARZ3NDEKTSV4RRFFQ69G5FAV",
        &key.id.to_lowercase(),
        &long,
        "%E2%80%AE",
        "'%20or%201=1",
    ] {
        for method in ["GET", "DELETE", "PATCH"] {
            let ask = service.ask_as(ADMIN, method, &format!("/org/tokens/{id}"));
            let ask = if method == "PATCH" {
                ask.json(&json!({"name": "n"}))
            } else {
                ask
            };
            ask.send().await.problem(404, "not_found");
        }
    }
    for id in [swapped.as_str(), &key.id, "nonsense", "ws_", "*"] {
        for path in ["", "/channels", "/secrets", "/secrets/values", "/tokens"] {
            let ask = service.ask_as(ADMIN, "GET", &format!("/workspaces/{id}{path}"));
            ask.send().await.problem(404, "not_found");
        }
    }
    let base = format!("/workspaces/{workspace}");
    for (method, path) in [
        ("GET", "channels/nonsense"),
        ("DELETE", "channels/ch_01ARZ3NDEKTSV4RRFFQ69G5FAV"),
        ("DELETE", "secrets/ABSENT"),
        ("DELETE", "tokens/nonsense"),
        ("DELETE", "tokens/tok_01ARZ3NDEKTSV4RRFFQ69G5FAV"),
    ] {
        let ask = service.ask_as(ADMIN, method, &format!("{base}/{path}"));
        ask.send().await.problem(404, "not_found");
    }
    let ask = service.ask_as(ADMIN, "DELETE", "/admin/orgs/default");
    ask.send().await.problem(404, "not_found");
}

async fn ambiguous_paths_are_refused_before_routing(backend: Backend) {
    let service = Service::guarded(backend).await;
    let token = format!("Authorization: Bearer {ADMIN}");
    for path in [
        "/org/./whoami",
        "/org/../org/whoami",
        "/org//whoami",
        "//org/whoami",
        "/org/whoami/",
        "/org%2fwhoami",
        "/org%2Fwhoami",
        "/org/%2e%2e/org/whoami",
        "/org/whoam%69",
        "/org\\whoami",
        "/org/whoami;x=1",
        "/org/whoami%3bx",
        "/org/whoami%00",
        "/org/whoami%0a",
        "/org/whoami%zz",
        "/org/whoami%",
        "/org/whoami%ff",
        "/org/%25%32%65/whoami",
        "/org/whoami%5c",
    ] {
        let line = format!("GET {path}");
        let answer = exchange_head(&service, &line, &["Host: localhost", &token]).await;
        assert_eq!(answer.status, 400, "{path}: {}", answer.text());
        if !answer.body.is_empty() {
            answer.problem(400, "ambiguous_path");
        }
    }
    let records = service.audit(ADMIN, "&status=400").await;
    assert!(
        records
            .iter()
            .all(|record| record["actor"] == "admin-token")
    );
}

async fn unknown_routes_and_methods_are_problems(backend: Backend) {
    let service = Service::guarded(backend).await;
    for path in [
        "/",
        "/org",
        "/org/tokens/a/b",
        "/favicon.ico",
        "/ORG/whoami",
        "/org/whoami.json",
    ] {
        service
            .ask_as(ADMIN, "GET", path)
            .send()
            .await
            .problem(404, "no_route");
        service
            .ask("GET", path)
            .send()
            .await
            .problem(401, "no_credential");
    }
    for (method, path, allow) in [
        ("PUT", "/org/tokens", "GET, HEAD, POST"),
        ("POST", "/org/whoami", "GET, HEAD"),
        ("TRACE", "/workspaces", "GET, HEAD, POST"),
        ("FLY", "/workspaces", "GET, HEAD, POST"),
        ("OPTIONS", "/org/tokens/x", "DELETE, GET, HEAD, PATCH"),
        ("POST", "/healthz", "GET, HEAD"),
    ] {
        let answer = service.ask_as(ADMIN, method, path).send().await;
        answer.problem(405, "no_method");
        assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
    }
    let head = service.ask_as(ADMIN, "HEAD", "/org/whoami").send().await;
    assert_eq!((head.status, head.body.len()), (200, 0));
}

async fn bad_queries_name_the_parameter(backend: Backend) {
    let service = Service::guarded(backend).await;
    for (query, field) in [
        ("/org/tokens?colour=red", "colour"),
        ("/org/tokens?status=active&status=revoked", "status"),
        ("/org/tokens?status=dead", "status"),
        ("/org/tokens?limit=many", "limit"),
        ("/org/tokens?limit=-1", "limit"),
        ("/org/tokens?limit=99999999999", "limit"),
        ("/org/tokens?cursor=nonsense", "cursor"),
        ("/org/tokens?cursor=ws_01ARZ3NDEKTSV4RRFFQ69G5FAV", "cursor"),
        ("/org/tokens?workspace=nonsense", "workspace"),
        ("/org/tokens?q=%00", "q"),
        ("/org/tokens?q=%ff", "q"),
        ("/org/audit?status=9xx", "status"),
        ("/org/audit?status=ok", "status"),
        ("/org/audit?since=yesterday", "since"),
        ("/org/audit?until=2026-13-01T00:00:00Z", "until"),
        ("/org/audit?token=nonsense", "token"),
        ("/org/audit?workspace=nonsense", "workspace"),
        ("/org/audit?cursor=x", "cursor"),
        ("/org/audit?after=-1", "after"),
        ("/org/audit?actor=%00", "actor"),
        ("/org/audit/export?limit=1", "limit"),
        ("/workspaces?q=x", "q"),
    ] {
        let answer = service.ask_as(ADMIN, "GET", query).send().await;
        assert_eq!(answer.field(400, "bad_query"), field, "{query}");
    }
    for query in [
        "/org/audit?cursor=18446744073709551615",
        "/org/audit?cursor=9223372036854775808",
        "/org/audit?after=18446744073709551615",
        "/org/audit?cursor=0",
        "/org/audit/export?after=18446744073709551615",
        "/org/audit?since=0001-01-01T00:00:00Z",
        "/org/audit?until=9999-12-31T23:59:59Z",
        "/org/audit?method=%E2%80%AE",
    ] {
        let answer = service.ask_as(ADMIN, "GET", query).send().await;
        assert!(answer.status < 500, "{query}: {}", answer.text());
    }
    let format = service
        .ask_as(ADMIN, "GET", "/org/audit/export?format=csv")
        .send()
        .await;
    assert_eq!(format.field(422, "out_of_range"), "format");
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    for reason in ["", "a%00b", "a%0Ab"] {
        let path = format!("{}?reason={reason}", key.path());
        let answer = service.ask_as(ADMIN, "DELETE", &path).send().await;
        assert!(matches!(answer.status, 400 | 422), "{}", answer.text());
        assert_eq!(answer.json()["field"], "reason");
    }
    service.get(&key.secret, "/org/whoami").await;
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

async fn malformed_http_is_not_answered_with_a_failure(backend: Backend) {
    let service = Service::guarded(backend).await;
    for bytes in [
        &b"GET\r\n\r\n"[..],
        b"\0\0\0\0\r\n\r\n",
        b"GET /org/whoami HTTP/9.9\r\n\r\n",
        b"GET /org/whoami HTTP/1.1\r\nHost: localhost\r\nbad header\r\n\r\n",
        b"GET /org/whoami HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
        b"POST /workspaces HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"GET /org/who ami HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ] {
        let answer = exchange(&service, bytes).await;
        assert!((400..500).contains(&answer.status), "{}", answer.text());
    }
    let token = format!("Authorization: Bearer {ADMIN}");
    for line in [
        "OPTIONS *",
        "CONNECT localhost:80",
        "GET http://localhost/org/tokens/%2e%2e",
    ] {
        let answer = exchange_head(&service, line, &["Host: localhost", &token]).await;
        assert!(
            (400..500).contains(&answer.status),
            "{line}: {}",
            answer.text()
        );
    }
    service.get(ADMIN, "/org/whoami").await;
}
