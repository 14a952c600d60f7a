//! Bad requests around the body: sizes, ids, paths, queries, and what is no HTTP at all.

use serde_json::json;

use crate::{
    ask::{exchange, exchange_head},
    service::{ADMIN, Backend, Service},
};

on_each_database!(
    large_bodies_and_heads_are_refused,
    ids_of_another_type_are_not_found,
    ambiguous_paths_are_refused_before_routing,
    unknown_routes_and_methods_are_problems,
    bad_queries_name_the_parameter,
    malformed_http_is_not_answered_with_a_failure,
);

async fn large_bodies_and_heads_are_refused(backend: Backend) {
    let service = Service::guarded(backend).await;
    let whole = format!("{{\"name\":\"{}\"}}", "x".repeat(1024 * 1024));
    service
        .ask_as(ADMIN, "POST", "/workspaces")
        .body(whole)
        .send()
        .await
        .problem(413, "body_too_large");
    let within = format!("{{\"name\":\"{}\"}}", "x".repeat(1024 * 1024 - 11));
    assert_eq!(
        service
            .ask_as(ADMIN, "POST", "/workspaces")
            .body(within)
            .send()
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
        .ask_as(ADMIN, "GET", "/org/audit/export?format=xml")
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
