//! The blast radius of a leaked key.

use serde_json::{Value, json};

use crate::service::{ADMIN, Backend, Minted, Service, text};

on_each_database!(
    radius_tells_what_was_within_reach_and_what_was_done,
    radius_of_a_dead_key_tells_what_it_reached,
    radius_begins_where_it_is_asked_to,
    radius_is_for_those_who_read_the_trail,
);

async fn radius(service: &Service, key: &Minted, query: &str) -> Value {
    let path = format!("{}/blast-radius{query}", key.path());
    service.get(ADMIN, &path).await
}

/// A workspace with a channel and the secrets `A` and `B`.
async fn furnished(service: &Service) -> String {
    let workspace = service.workspace(ADMIN).await;
    let base = format!("/workspaces/{workspace}");
    let webhook =
        json!({"type": "webhook", "name": "hook", "config": {"url": "https://a.example/"}});
    service
        .make(ADMIN, &format!("{base}/channels"), webhook)
        .await;
    for name in ["A", "B"] {
        set_secret(service, &workspace, name).await;
    }
    workspace
}

async fn set_secret(service: &Service, workspace: &str, name: &str) {
    let path = format!("/workspaces/{workspace}/secrets");
    let ask = service.ask_as(ADMIN, "PUT", &path);
    let body = json!({"key": name, "value": "v"});
    ask.json(&body).send().await.ok(200);
}

async fn radius_tells_what_was_within_reach_and_what_was_done(backend: Backend) {
    let service = Service::guarded(backend).await;
    let (inside, outside) = (furnished(&service).await, furnished(&service).await);
    let leaked = json!({"name": "leaked", "workspaces": [inside],
        "permissions": ["workspaces:read", "secrets:*", "org.tokens:mint"]});
    let leaked = service.mint(ADMIN, leaked).await;
    let child = service
        .mint(
            &leaked.secret,
            json!({"name": "child", "permissions": ["secrets:reveal"]}),
        )
        .await;
    let values = format!("/workspaces/{inside}/secrets/values");
    let shown = service.ask_as(&child.secret, "GET", &values);
    let shown = shown.header("user-agent", "thief/1").send().await;
    shown.ok(200);
    let refused = format!("/workspaces/{outside}/secrets/values");
    let refused = service.ask_as(&leaked.secret, "GET", &refused).send().await;
    refused.problem(403, "outside_workspaces");
    set_secret(&service, &inside, "A").await;
    let narrower = json!({"permissions": ["workspaces:read", "secrets:reveal"]});
    let ask = service.ask_as(ADMIN, "PATCH", &leaked.path());
    ask.json(&narrower).send().await.ok(200);

    let told = radius(&service, &leaked, "").await;
    assert_eq!(
        (&told["accepted"], &told["refused_because"]),
        (&json!(true), &Value::Null)
    );
    let reach = &told["reach"];
    assert_eq!(
        reach["permissions"],
        json!(["workspaces:read", "secrets:reveal"])
    );
    assert_eq!(
        (&reach["reveals_secrets"], &reach["mints_keys"]),
        (&json!(true), &json!(false))
    );
    let counts = ["workspaces", "channels", "secrets"].map(|name| reach[name].as_u64());
    assert_eq!(counts, [1, 1, 2].map(Some));
    let newest = json!([{"id": inside, "name": "w", "channels": ["hook"], "secrets": ["A", "B"]}]);
    assert_eq!(
        (&reach["newest"], &reach["truncated"]),
        (&newest, &json!(false))
    );
    let minted = &told["minted_grant"]["permissions"];
    assert_eq!(
        minted,
        &json!(["workspaces:read", "secrets:*", "org.tokens:mint"])
    );
    assert_eq!(told["descendants"][0]["id"], child.id.as_str());
    assert_eq!(told["descendants_truncated"], false);
    assert_eq!((&told["calls"], &told["refusals"]), (&json!(2), &json!(1)));
    assert_eq!(told["addresses"][0]["address"], "127.0.0.1");
    let agents = told["user_agents"].as_array().expect("a list");
    let thief = agents.iter().find(|one| one["user_agent"] == "thief/1");
    assert_eq!(thief.map(|one| &one["calls"]), Some(&json!(1)));
    assert_eq!(told["user_agents_since"], Value::Null);
    let reveal = &told["reveals"][0];
    assert_eq!(reveal["workspace"], inside.as_str());
    assert_eq!(
        (&reveal["keys"], &reveal["calls"]),
        (&json!([child.id]), &json!(1))
    );
    assert_eq!(reveal["unchanged"], json!(["B"]), "the other was set anew");
    assert_eq!(told["reveals"].as_array().map(Vec::len), Some(1));
    assert_eq!(told["refused"][0]["code"], "outside_workspaces");
    let changes = told["changes"].as_array().expect("a list").iter();
    let words: Vec<_> = changes
        .map(|event| event["change"].as_object().expect("a change").keys().next())
        .collect();
    assert_eq!(
        words,
        [Some(&"changed".to_owned()), Some(&"minted".to_owned())]
    );
}

async fn radius_of_a_dead_key_tells_what_it_reached(backend: Backend) {
    let service = Service::guarded(backend).await;
    furnished(&service).await;
    let parent = service
        .mint(ADMIN, json!({"name": "p", "preset": "reader"}))
        .await;
    let all = json!({"name": "all", "permissions": ["org.tokens:*", "audit:read"]});
    let all = service.mint(ADMIN, all).await;
    let below = service.mint(&all.secret, json!({"name": "below"})).await;
    for path in [parent.path(), format!("{}/suspend", all.path())] {
        let method = if path.ends_with("suspend") {
            "POST"
        } else {
            "DELETE"
        };
        service.ask_as(ADMIN, method, &path).send().await.ok(200);
    }
    let because = async |key: &Minted| {
        let told = radius(&service, key, "").await;
        assert_eq!(told["accepted"], told["refused_because"].is_null());
        (text(&told["refused_because"]), told)
    };
    let (why, told) = because(&parent).await;
    assert_eq!(
        (why.as_str(), &told["reach"]["workspaces"]),
        ("revoked", &json!(1))
    );
    assert_eq!(because(&all).await.0, "suspended");
    assert_eq!(because(&below).await.0, "minter_inactive");
}

async fn radius_begins_where_it_is_asked_to(backend: Backend) {
    let service = Service::guarded(backend).await;
    let key = service
        .mint(ADMIN, json!({"name": "k", "preset": "reader"}))
        .await;
    service
        .ask_as(&key.secret, "POST", "/workspaces")
        .send()
        .await;
    let all = radius(&service, &key, "").await;
    assert_eq!(all["refused"].as_array().map(Vec::len), Some(1));
    let later = radius(&service, &key, "?since=2999-01-01T00:00:00Z").await;
    assert_eq!(
        (&later["refused"], &later["calls"]),
        (&json!([]), &json!(0))
    );
    assert_eq!(later["user_agents"], json!([]));
    let ask = |query: &str| {
        let path = format!("{}/blast-radius{query}", key.path());
        service.ask_as(ADMIN, "GET", &path).send()
    };
    assert_eq!(
        ask("?since=yesterday").await.field(400, "bad_query"),
        "since"
    );
    assert_eq!(ask("?limit=1").await.field(400, "bad_query"), "limit");
}

async fn radius_is_for_those_who_read_the_trail(backend: Backend) {
    let service = Service::guarded(backend).await;
    let workspace = service.workspace(ADMIN).await;
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    let path = format!("{}/blast-radius", key.path());
    let auditor = json!({"name": "a", "permissions": ["audit:read"]});
    let auditor = service.mint(ADMIN, auditor).await;
    service.get(&auditor.secret, &path).await;
    for (body, code) in [
        (
            json!({"name": "n", "permissions": ["org.tokens:*"]}),
            "missing_permission",
        ),
        (
            json!({"name": "b", "workspaces": [workspace]}),
            "outside_workspaces",
        ),
    ] {
        let other = service.mint(ADMIN, body).await;
        let refused = service.ask_as(&other.secret, "GET", &path).send().await;
        refused.problem(403, code);
    }
    let own = json!({"name": "own", "workspaces": [workspace]});
    let own = service.mint(ADMIN, own).await;
    let path = format!("{}/blast-radius", own.path());
    service.get(&own.secret, &path).await;
    for id in ["tok_01J00000000000000000000000", "nonsense"] {
        let path = format!("/org/tokens/{id}/blast-radius");
        let missing = service.ask_as(ADMIN, "GET", &path).send().await;
        missing.problem(404, "not_found");
    }
}
