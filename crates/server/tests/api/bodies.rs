//! What may be sent by whoever has shown nothing, and what a form may hold.

use serde_json::json;

use crate::{
    ask::Answer,
    browser::{Browser, form},
    service::{ADMIN, Backend, Service},
};

on_each_database!(
    sign_ins_of_strangers_are_short,
    attempts_are_counted_before_they_are_read,
    forms_have_so_many_fields_and_no_more,
);

async fn send(service: &Service, path: &str, bytes: usize) -> Answer {
    let text = "a".repeat(bytes);
    let ask = form(service, path, &[("token", &text), ("logout_token", &text)]);
    ask.header("sec-fetch-site", "same-origin").send().await
}

async fn sign_ins_of_strangers_are_short(backend: Backend) {
    let service = Service::guarded(backend).await;
    for path in ["/canvas/link", "/canvas/sign-in"] {
        assert_eq!(send(&service, path, 4_000).await.status, 401, "{path}");
        assert_eq!(send(&service, path, 20_000).await.status, 413, "{path}");
    }
    let logout = "/oidc/back-channel-logout";
    let long = send(&service, logout, 20_000).await;
    long.problem(413, "body_too_large");
    // What was found may be much, and whoever is known is trusted with more.
    let found = json!({"tokens": ["x"], "source": "a".repeat(20_000)});
    let ask = service.ask("POST", "/org/tokens/found").json(&found);
    assert_eq!(ask.send().await.field(422, "out_of_range"), "source");
    let ask = service
        .ask_as(ADMIN, "POST", "/org/tokens/found")
        .json(&found);
    assert_eq!(ask.send().await.field(422, "out_of_range"), "source");
    let admin = Browser::admin(&service).await;
    let text = "a".repeat(20_000);
    let again = admin.post("/canvas/link", &[("token", &text)]).await;
    assert_eq!(again.status, 401, "it holds a session");
}

async fn attempts_are_counted_before_they_are_read(backend: Backend) {
    let service = Service::guarded(backend).await;
    let mut statuses = Vec::new();
    for _ in 0..60 {
        let refused = send(&service, "/canvas/link", 20_000).await;
        if refused.status == 429 {
            assert!(refused.header("retry-after").is_some());
        }
        statuses.push(refused.status);
    }
    // Beyond the limit nobody is told any more that it sends too much.
    assert_eq!(&statuses[..30], [413; 30]);
    assert!(statuses.contains(&429), "{statuses:?}");
}

async fn forms_have_so_many_fields_and_no_more(backend: Backend) {
    let service = Service::guarded(backend).await;
    let admin = Browser::admin(&service).await;
    let many = vec![("a", ""); 2_001];
    for (count, status) in [(2_000, 401), (2_001, 400)] {
        let answer = admin.post("/canvas/link", &many[..count]).await;
        assert_eq!(answer.status, status, "{count}");
    }
}
