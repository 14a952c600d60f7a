//! A database that goes away: 503 and never 401, nothing hangs, and service resumes by itself.

use claviger_testkit::Postgres;
use serde_json::json;

use crate::{
    browser::Browser,
    service::{ADMIN, Service, text},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn store_that_is_gone_is_a_503_and_service_resumes() {
    let mut cluster = Postgres::spawn();
    let mut service = Service::on(Some(cluster.database()));
    service.set_admin_token(ADMIN);
    service.start().await.expect("the server starts");
    let workspace = service.workspace(ADMIN).await;
    let secrets = format!("/workspaces/{workspace}/secrets");
    service
        .make(ADMIN, &secrets, json!({"key": "A", "value": "v"}))
        .await;
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    let person = Browser::admin(&service).await;
    service.ask("GET", "/readyz").send().await.ok(200);
    cluster.stop_immediate();
    let started = std::time::Instant::now();
    for (method, path) in [
        ("GET", "/org/whoami".to_owned()),
        ("GET", "/org/tokens".to_owned()),
        ("GET", "/org/audit".to_owned()),
        ("GET", format!("{secrets}/values")),
        ("DELETE", format!("{secrets}/A")),
        ("DELETE", key.path()),
    ] {
        let answer = service.ask_as(&key.secret, method, &path).send().await;
        assert_eq!(answer.status, 503, "{method} {path}: {}", answer.text());
        answer.problem(503, &answer.code());
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    let mint = service
        .ask_as(&key.secret, "POST", "/org/tokens")
        .json(&json!({"name": "n"}));
    assert_eq!(mint.send().await.status, 503);
    service.ask("GET", "/readyz").send().await.ok(503);
    service.ask("GET", "/healthz").send().await.ok(200);
    expect_pages_that_say_so(&person, &key.id).await;
    assert!(started.elapsed().as_secs() < 10, "refusals are not fast");
    cluster.start();
    let whoami = |service: &Service| service.ask_as(&key.secret, "GET", "/org/whoami");
    service.until(whoami, |answer| answer.status == 200).await;
    service.ask("GET", "/readyz").send().await.ok(200);
    let list = service.get(&key.secret, "/org/tokens?status=all").await;
    assert_eq!(
        list["tokens"].as_array().map(Vec::len),
        Some(1),
        "a refused mint was done"
    );
    assert_eq!(text(&list["tokens"][0]["status"]), "active");
    let values = service.get(&key.secret, &format!("{secrets}/values")).await;
    assert_eq!(values["values"]["A"], "v");
    let made = service.mint(&key.secret, json!({"name": "n"})).await;
    service
        .ask_as(&key.secret, "DELETE", &made.path())
        .send()
        .await
        .ok(200);
    let numbers: Vec<_> = service
        .audit(ADMIN, "")
        .await
        .iter()
        .rev()
        .map(|r| r["seq"].as_u64())
        .collect();
    let expected: Vec<_> = (1..=u64::try_from(numbers.len()).expect("few"))
        .map(Some)
        .collect();
    assert_eq!(numbers, expected);
    service.stop().await;
}

/// A person is shown a page that says what happened and what to do, and no document for programs.
async fn expect_pages_that_say_so(person: &Browser<'_>, key: &str) {
    for path in [
        "/canvas".to_owned(),
        "/canvas/keys".to_owned(),
        format!("/canvas/keys/{key}?tab=access"),
        "/canvas/workspaces".to_owned(),
        "/canvas/audit?status=4xx".to_owned(),
        "/canvas/security".to_owned(),
        "/canvas/members".to_owned(),
    ] {
        let answer = person.get(&path).await;
        let page = answer.is(503);
        assert_eq!(answer.header("retry-after"), Some("1"), "{path}");
        assert!(
            page.contains("This cannot be done at the moment"),
            "{path}: {page}"
        );
        assert!(
            page.contains("Nothing was changed. Try again in a moment."),
            "{path}: {page}"
        );
        let again = format!("href=\"{path}\"");
        assert!(
            page.contains(&again) && page.contains("Try again"),
            "{path}: {page}"
        );
        let id = answer.header("x-request-id").expect("an id");
        assert!(
            page.contains(id),
            "whoever looks into the log finds it: {page}"
        );
    }
    let form = format!("/canvas/keys/{key}/suspend");
    let page = person.post(&form, &[("reason", "now")]).await.is(503);
    assert!(page.contains("Nothing was changed."), "{page}");
}
