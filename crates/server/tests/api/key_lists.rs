//! How keys are named, listed, searched and seen to be used.

use serde_json::json;

use crate::service::{ADMIN, Backend, Service, text};

on_each_database!(
    list_is_filtered_searched_and_walked_to_its_end,
    last_use_appears,
    names_are_trimmed_composed_and_bounded,
);

/// The names of a whole list, page by page.
async fn walk(service: &Service, query: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = service
            .get(ADMIN, &format!("/org/tokens?{query}{cursor}"))
            .await;
        let keys = page["tokens"].as_array().expect("keys");
        names.extend(keys.iter().map(|key| text(&key["name"])));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return names,
        }
    }
}

async fn list_is_filtered_searched_and_walked_to_its_end(backend: Backend) {
    let service = Service::guarded(backend).await;
    let mut expected = Vec::new();
    for at in 0..205 {
        let name = format!("bulk {at:03}");
        service.mint(ADMIN, json!({"name": name})).await;
        expected.insert(0, name);
    }
    assert_eq!(walk(&service, "limit=40").await, expected);
    assert_eq!(walk(&service, "").await, expected);
    let first = service.get(ADMIN, "/org/tokens").await;
    assert_eq!(first["tokens"].as_array().map(Vec::len), Some(50));
    for limit in ["0", "201"] {
        let path = format!("/org/tokens?limit={limit}");
        let answer = service.ask_as(ADMIN, "GET", &path).send().await;
        assert_eq!(answer.field(422, "out_of_range"), "limit");
    }
    let minter = service.mint(ADMIN, json!({"name": "Minter 100%"})).await;
    let child = service
        .mint(&minter.secret, json!({"name": "marked child_x"}))
        .await;
    let dead = service.mint(ADMIN, json!({"name": "marked dead"})).await;
    service
        .ask_as(ADMIN, "DELETE", &dead.path())
        .send()
        .await
        .ok(200);
    assert_eq!(walk(&service, "q=minter").await, ["Minter 100%"]);
    assert_eq!(walk(&service, "q=100%25").await, ["Minter 100%"]);
    assert_eq!(walk(&service, "q=d_x").await, ["marked child_x"]);
    assert_eq!(
        walk(&service, &format!("q={}", child.prefix)).await,
        ["marked child_x"]
    );
    assert_eq!(
        walk(&service, &format!("created_by={}", minter.actor())).await,
        ["marked child_x"]
    );
    assert_eq!(walk(&service, "status=revoked").await, ["marked dead"]);
    assert_eq!(
        walk(&service, "q=marked%20dead").await,
        Vec::<String>::new()
    );
    assert_eq!(walk(&service, "status=all&limit=200").await.len(), 208);
    assert_eq!(
        walk(&service, "status=active,revoked&q=marked&limit=1").await,
        ["marked dead", "marked child_x"]
    );
    let workspace = service.workspace(ADMIN).await;
    let bound = json!({"name": "bound", "workspaces": [workspace]});
    service.mint(ADMIN, bound).await;
    let elsewhere = service.workspace(ADMIN).await;
    let reaching = walk(&service, &format!("workspace={workspace}&limit=200")).await;
    let missing = walk(&service, &format!("workspace={elsewhere}&limit=200")).await;
    assert!(reaching.contains(&"bound".to_owned()) && !missing.contains(&"bound".to_owned()));
}

async fn last_use_appears(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    let unused = service.get(ADMIN, &key.path()).await;
    assert_eq!(unused["last_used_at"], json!(null));
    service.get(&key.secret, "/org/whoami").await;
    let used = text(&service.get(ADMIN, &key.path()).await["last_used_at"]);
    assert!(used >= text(&unused["created_at"]));
    service.restart().await;
    let kept = service.get(ADMIN, "/org/tokens").await;
    assert_eq!(kept["tokens"][0]["last_used_at"], used.as_str());
}

async fn names_are_trimmed_composed_and_bounded(backend: Backend) {
    let service = Service::guarded(backend).await;
    for (given, kept) in [
        ("  cafe\u{301} \u{3000}", "caf\u{e9}"),
        ("机器人 🤖", "机器人 🤖"),
        ("<b>\"quoted\" & 'more'; --", "<b>\"quoted\" & 'more'; --"),
        (&"é".repeat(100), &"é".repeat(100)),
    ] {
        let key = service
            .make(ADMIN, "/org/tokens", json!({"name": given}))
            .await;
        assert_eq!(key["name"], kept);
        let got = service
            .get(ADMIN, &format!("/org/tokens/{}", text(&key["id"])))
            .await;
        assert_eq!(got["name"], kept);
    }
    for bad in [
        "",
        "  ",
        "a\nb",
        "a\tb",
        "a\0b",
        "a\u{7f}b",
        "a\u{202e}b",
        "a\u{2066}b",
        "a\u{200b}b",
        "\u{feff}a",
        &"é".repeat(101),
    ] {
        let answer = service
            .ask_as(ADMIN, "POST", "/org/tokens")
            .json(&json!({"name": bad}))
            .send()
            .await;
        assert_eq!(answer.field(422, "out_of_range"), "name", "{bad:?}");
    }
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    let change = service
        .ask_as(ADMIN, "PATCH", &key.path())
        .json(&json!({"name": "a\u{202e}"}));
    assert_eq!(change.send().await.field(422, "out_of_range"), "name");
}
