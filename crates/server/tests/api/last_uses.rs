//! When and from where a key was last used: whichever of its secrets it was, or a session of its own.

use serde_json::{Value, json};

use crate::{
    browser::Browser,
    service::{ADMIN, Backend, Minted, Service, text},
};

on_each_database!(
    each_secret_keeps_the_address_of_its_own_last_use,
    use_of_an_old_secret_is_a_use_of_the_key_in_lists,
    what_a_session_of_a_key_does_is_a_use_of_the_key,
);

async fn rotate(service: &Service, key: &Minted, body: Value) -> String {
    let path = format!("{}/rotate", key.path());
    let ask = service.ask_as(ADMIN, "POST", &path).json(&body);
    text(&ask.send().await.ok(200)["auth_token"])
}

/// The addresses that a key, its own secret and its old one were last seen from.
async fn seen(service: &Service, key: &Minted) -> [Value; 3] {
    let shown = service.get(ADMIN, &key.path()).await;
    let (own, old) = (&shown["current"], &shown["previous"]);
    [&shown, own, old].map(|part| part["last_used_from"].clone())
}

async fn each_secret_keeps_the_address_of_its_own_last_use(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    for is_used_before in [true, false] {
        let key = service.mint(ADMIN, json!({"name": "k"})).await;
        if is_used_before {
            service.call_from(2, &key.secret).await;
        }
        let new = rotate(&service, &key, json!({"overlap": "24h"})).await;
        service.call_from(3, &key.secret).await;
        let old_alone = [json!("127.0.0.3"), Value::Null, json!("127.0.0.3")];
        for _ in 0..3 {
            assert_eq!(seen(&service, &key).await, old_alone);
            service.flush().await;
        }
        service.call_from(4, &new).await;
        let both = ["127.0.0.4", "127.0.0.4", "127.0.0.3"].map(|from| json!(from));
        for _ in 0..2 {
            assert_eq!(seen(&service, &key).await, both);
            service.flush().await;
        }
        // The old one goes on, and is told apart from its own last use.
        service.call_from(5, &key.secret).await;
        let later = ["127.0.0.5", "127.0.0.4", "127.0.0.5"].map(|from| json!(from));
        assert_eq!(seen(&service, &key).await, later);
        service.restart().await;
        assert_eq!(seen(&service, &key).await, later);
    }
}

async fn use_of_an_old_secret_is_a_use_of_the_key_in_lists(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    let key = service.mint(ADMIN, json!({"name": "rotated"})).await;
    let other = service.mint(ADMIN, json!({"name": "steady"})).await;
    let workspace = service.workspace(ADMIN).await;
    rotate(&service, &key, json!({"overlap": "24h"})).await;
    service.call_from(2, &other.secret).await;
    service.call_from(3, &key.secret).await;
    for _ in 0..2 {
        let admin = Browser::admin(&service).await;
        let list = admin.get("/canvas/keys?sort=-last_used").await.page();
        let place = |name: &str| list.find(&format!(">{name}<")).expect("it is listed");
        assert!(place("rotated") < place("steady"), "{list}");
        let path = format!("/canvas/workspaces/{workspace}/keys");
        let page = admin.get(&path).await.page();
        assert!(
            page.contains("rotated") && !page.contains(">never<"),
            "{page}"
        );
        service.restart().await;
    }
}

async fn what_a_session_of_a_key_does_is_a_use_of_the_key(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    let session = service.sign_in(&key.secret).await;
    rotate(
        &service,
        &key,
        json!({"overlap": "1h", "on_first_use": true}),
    )
    .await;
    let before = service.get(ADMIN, &key.path()).await;
    let url = format!("http://{}/org/whoami", service.address());
    let client = reqwest::Client::builder().local_address(std::net::IpAddr::from([127, 0, 0, 7]));
    let asked = client.no_proxy().build().expect("a client").get(url);
    let asked = asked
        .header("cookie", &session)
        .header("sec-fetch-site", "same-origin");
    assert_eq!(asked.send().await.expect("an answer").status(), 200);
    for _ in 0..2 {
        let shown = service.get(ADMIN, &key.path()).await;
        assert_eq!(shown["last_used_from"], "127.0.0.7", "{shown}");
        assert!(text(&shown["last_used_at"]) > text(&before["last_used_at"]));
        // It was no use of either secret: the clock of the rotation has not started.
        assert_eq!(shown["current"]["last_used_at"], Value::Null);
        assert_eq!(
            shown["previous"]["last_used_at"],
            before["previous"]["last_used_at"]
        );
        assert_eq!(shown["previous"]["ends"], "on_first_use");
        let usage = service.get(ADMIN, &format!("{}/usage", key.path())).await;
        let of = |route: &str| {
            let all = usage["endpoints"].as_array().expect("a list");
            let one = all.iter().find(|one| one["route"] == route);
            one.map_or(Value::Null, |one| one["calls"].clone())
        };
        assert_eq!(
            (of("/org/login-links"), of("/org/whoami")),
            (json!(1), json!(1))
        );
        assert_eq!(usage["last_used_at"], shown["last_used_at"]);
        service.restart().await;
    }
}
