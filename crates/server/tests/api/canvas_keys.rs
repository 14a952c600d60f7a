//! The pages of keys: what they show, what their forms do, and whom they refuse.

use std::collections::BTreeSet;

use serde_json::json;

use crate::{
    browser::Browser,
    service::{ADMIN, Backend, Minted, Service},
};

on_each_database!(
    each_page_of_a_key_opens,
    list_is_searched_filtered_and_light,
    revoked_keys_are_shown_on_demand_under_the_same_filters,
    key_is_minted_once_through_the_form,
    form_says_what_the_key_will_do_and_what_is_wrong_with_it,
    rotation_shows_a_secret_once_and_is_finished_or_cancelled,
);

pub(crate) fn page_of(key: &Minted) -> String {
    format!("/canvas/keys/{}", key.id)
}

/// The value of a hidden field.
pub(crate) fn hidden(page: &str, name: &str) -> String {
    let mark = format!("name=\"{name}\" value=\"");
    let (_, rest) = page.split_once(&mark).expect("a field");
    rest.split('"').next().expect("a value").to_owned()
}

/// The secret that a page shows.
pub(crate) fn shown_in(page: &str) -> String {
    let (_, rest) = page.split_once("CLAVIGER_TOKEN=").expect("a line");
    rest.chars()
        .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
        .collect()
}

pub(crate) async fn is_accepted(service: &Service, secret: &str) -> bool {
    let answer = service.ask_as(secret, "GET", "/org/whoami").send().await;
    answer.status == 200
}

async fn each_page_of_a_key_opens(backend: Backend) {
    let service = Service::guarded(backend).await;
    let admin = Browser::admin(&service).await;
    assert!(
        admin
            .get("/canvas/keys")
            .await
            .page()
            .contains("No key yet")
    );
    let workspace = service.workspace(ADMIN).await;
    let top = service.mint(ADMIN, json!({"name": "top"})).await;
    let narrow = json!({
        "name": "narrow", "preset": "reader", "workspaces": [workspace],
        "expires_in": "3d", "ip_allow": ["127.0.0.0/8"], "rate_limit": {"per_minute": 600},
        "metadata": {"owner": "nightly & co"},
    });
    let narrow = service.mint(&top.secret, narrow).await;
    let stopped = service.mint(ADMIN, json!({"name": "stopped"})).await;
    let path = format!("{}/suspend", stopped.path());
    service.ask_as(ADMIN, "POST", &path).send().await.ok(200);
    let over = service.mint(ADMIN, json!({"name": "over"})).await;
    service
        .ask_as(ADMIN, "DELETE", &over.path())
        .send()
        .await
        .ok(200);
    let turning = service.mint(ADMIN, json!({"name": "turning"})).await;
    let path = format!("{}/rotate", turning.path());
    let turn = service
        .ask_as(ADMIN, "POST", &path)
        .json(&json!({"overlap": "1h"}));
    turn.send().await.ok(200);
    let secrets = format!("/workspaces/{workspace}/secrets");
    service.get(&narrow.secret, &secrets).await;
    let refused = service.ask_as(&narrow.secret, "POST", "/workspaces");
    assert_eq!(refused.json(&json!({"name": "w"})).send().await.status, 403);

    let text = admin.get("/canvas/keys").await.page();
    for words in [
        "Expiring",
        "Suspended",
        "Rotating",
        "Read-only",
        "Full access",
        "by top",
    ] {
        assert!(text.contains(words), "{words}");
    }
    for key in [&top, &narrow, &stopped, &over, &turning] {
        for rest in [
            "",
            "?tab=access",
            "?tab=activity",
            "?tab=refused",
            "?tab=changes",
            "?tab=advice",
            "/blast-radius",
            "/edit",
            "/edit?advice=on",
            "/rotate",
            "/revoke",
            "/suspend",
            "/resume",
        ] {
            admin.get(&format!("{}{rest}", page_of(key))).await.page();
        }
    }
    let text = admin.get(&page_of(&narrow)).await.page();
    for words in ["nightly &#38; co", "127.0.0.1", "It ends on", ">top</a>"] {
        assert!(text.contains(words), "{words}");
    }
    let text = admin
        .get(&format!("{}?tab=activity", page_of(&narrow)))
        .await
        .page();
    assert!(text.contains(&secrets) && text.contains("data-live="));
    let text = admin
        .get(&format!("{}?tab=refused", page_of(&narrow)))
        .await
        .page();
    assert!(text.contains("403") && !text.contains(&secrets));
    let text = admin
        .get(&format!("{}?tab=changes", page_of(&narrow)))
        .await
        .page();
    assert!(text.contains("Minted"));
    for path in ["/canvas/keys/tok_x", "/canvas/keys/nothing/revoke"] {
        admin.get(path).await.is(404);
    }
    let wrong = format!("{}?tab=none", page_of(&top));
    admin.get(&wrong).await.is(404);
}

async fn list_is_searched_filtered_and_light(backend: Backend) {
    let service = Service::guarded(backend).await;
    let admin = Browser::admin(&service).await;
    let workspace = service.workspace(ADMIN).await;
    for number in 0..60 {
        let name = format!("agent-{number:02}");
        let tag = json!({"team": if number % 2 == 0 { "even" } else { "odd" }});
        let body = json!({"name": name, "metadata": tag, "preset": "reader", "expires_in": "90d"});
        service.mint(ADMIN, body).await;
    }
    let bound = json!({"name": "bound", "workspaces": [workspace]});
    let bound = service.mint(ADMIN, bound).await;
    let below = service.mint(&bound.secret, json!({"name": "below"})).await;
    // The page counts every call that has been answered: the mint, and one more.
    service.get(&bound.secret, "/org/whoami").await;
    let text = admin.get("/canvas/keys").await.page();
    assert!(text.contains("2 calls in 30 days"), "{text}");
    let rows = |text: &str| text.matches("name=\"id\"").count();
    let text = admin.get("/canvas/keys").await.page();
    assert!(rows(&text) == 50 && text.contains("50 of 62"));
    let (_, next) = text
        .split_once("rel=\"next\" href=\"")
        .expect("a next page");
    let next = next
        .split('"')
        .next()
        .expect("an address")
        .replace("&#38;", "&");
    assert_eq!(rows(&admin.get(&next).await.page()), 12);
    for (query, expected) in [
        ("q=agent-07", 1),
        ("q=AGENT+local", 0),
        ("tag=team%3Dodd&q=agent-0", 5),
        ("tag=team&q=agent-0", 10),
        ("tag=team&q=bound", 0),
        ("tag=teams", 0),
        ("tag=teams&status=all", 0),
        ("tag=team&status=all&q=agent-0", 10),
        ("status=active&q=bound", 2),
        ("status=suspended", 0),
        (&*format!("created_by=org-token:{}", bound.prefix), 1),
        (&*format!("workspace={workspace}&q=agent-11"), 1),
        ("workspace=ws_00000000000000000000000001&q=bound", 0),
        ("sort=name&q=agent-0", 10),
    ] {
        let text = admin.get(&format!("/canvas/keys?{query}")).await.page();
        assert_eq!(rows(&text), expected, "{query}");
    }
    let text = admin.get("/canvas/keys?sort=name&q=agent-0").await.page();
    let place = |name: &str| text.find(name).expect("a row");
    assert!(place(">agent-00<") < place(">agent-01<"));
    assert!(below.id.starts_with("tok_"));
    assert_eq!(admin.get("/canvas/keys?colour=red").await.status, 400);

    // All that a browser fetches for a full page of the list, nothing of it packed.
    let text = admin.get("/canvas/keys").await.page();
    let files = text
        .split('"')
        .filter(|part| part.starts_with("/canvas/assets/"));
    let files: BTreeSet<&str> = files
        .map(|one| one.split('#').next().unwrap_or(one))
        .collect();
    let mut bytes = text.len();
    for file in files {
        bytes += admin.get(file).await.body.len();
    }
    assert!(bytes < 150_000, "{bytes} bytes");
}

async fn revoked_keys_are_shown_on_demand_under_the_same_filters(backend: Backend) {
    let service = Service::guarded(backend).await;
    let admin = Browser::admin(&service).await;
    let top = service.mint(ADMIN, json!({"name": "top"})).await;
    for (name, by, team) in [
        ("one", ADMIN, "a"),
        ("two", &*top.secret, "a"),
        ("three", ADMIN, "b"),
    ] {
        let body = json!({"name": name, "metadata": {"team": team}});
        let key = service.mint(by, body).await;
        service
            .ask_as(ADMIN, "DELETE", &key.path())
            .send()
            .await
            .ok(200);
    }
    let made_by_top = format!("created_by=org-token:{}", top.prefix);
    for (query, expected) in [
        ("", vec!["top"]),
        ("status=revoked", vec!["one", "two", "three"]),
        ("status=all", vec!["top", "one", "two", "three"]),
        ("status=revoked&tag=team%3Da", vec!["one", "two"]),
        ("status=revoked&tag=team%3Da&q=tw", vec!["two"]),
        (
            &*format!("status=all&tag=team%3Da&{made_by_top}"),
            vec!["two"],
        ),
        (&*format!("status=revoked&{made_by_top}"), vec!["two"]),
    ] {
        let text = admin.get(&format!("/canvas/keys?{query}")).await.page();
        for name in ["top", "one", "two", "three"] {
            let is_there = text.contains(&format!(">{name}</a>"));
            assert_eq!(is_there, expected.contains(&name), "{query}: {name}");
        }
    }
}

async fn key_is_minted_once_through_the_form(backend: Backend) {
    let service = Service::guarded(backend).await;
    let admin = Browser::admin(&service).await;
    let workspace = service.workspace(ADMIN).await;
    let text = admin.get("/canvas/keys/new").await.page();
    let once = hidden(&text, "once");
    let typed = [
        ("once", &*once),
        ("name", "nightly-report"),
        ("owner", "data-pipeline"),
        ("access", "restricted"),
        ("p_workspaces", "read"),
        ("p_channels", "write"),
        ("p_secrets", "none"),
        ("also", "channels:send"),
        ("where", "ids"),
        ("workspace", &*workspace),
        ("expires", "30d"),
        ("per_minute", "60"),
        ("ip_allow", "127.0.0.0/8\r\n10.0.0.0/8"),
        ("tags", "team=data"),
        ("step", "mint"),
    ];
    let shown = admin.post("/canvas/keys/new", &typed).await;
    let text = shown.is(201);
    assert_eq!(shown.header("cache-control"), Some("no-store"));
    let secret = shown_in(&text);
    for words in [
        "nightly-report is minted",
        "/org/whoami",
        "I have saved the secret",
    ] {
        assert!(text.contains(words), "{words}");
    }
    let me = service.get(&secret, "/org/whoami").await;
    let grant = &me["grant"];
    assert_eq!(
        grant["permissions"],
        json!(["workspaces:read", "channels:*"])
    );
    assert_eq!(grant["workspaces"], json!([workspace]));
    assert_eq!(grant["rate_limit"]["per_minute"], 60);
    let keys = service.get(ADMIN, "/org/tokens").await;
    let key = &keys["tokens"][0];
    assert_eq!(
        key["metadata"],
        json!({"owner": "data-pipeline", "team": "data"})
    );
    assert_eq!(key["created_by"], "session:local-admin");

    // Going back and sending the form again mints no other key, and shows nothing.
    let again = admin.post("/canvas/keys/new", &typed).await.is(409);
    assert!(again.contains("sent twice") && !again.contains(&secret));
    let mut other = typed;
    other[1].1 = "another";
    assert!(
        !admin
            .post("/canvas/keys/new", &other)
            .await
            .is(409)
            .contains(&secret)
    );
    let keys = service.get(ADMIN, "/org/tokens").await;
    assert_eq!(keys["tokens"].as_array().map(Vec::len), Some(1));
    // No page shows the secret again.
    let id = key["id"].as_str().expect("an id");
    for path in ["/canvas/keys".to_owned(), format!("/canvas/keys/{id}")] {
        assert!(!admin.get(&path).await.page().contains(&secret));
    }
    let records = service.audit(ADMIN, "&actor=session:local-admin").await;
    let minted = records.iter().find(|record| record["status"] == 201);
    assert_eq!(minted.expect("a record")["change"]["minted"]["id"], id);
}

async fn form_says_what_the_key_will_do_and_what_is_wrong_with_it(backend: Backend) {
    let service = Service::guarded(backend).await;
    let admin = Browser::admin(&service).await;
    let all = [
        ("access", "all"),
        ("where", "all"),
        ("expires", "never"),
        ("step", "summary"),
    ];
    let part = admin.post("/canvas/keys/new", &all).await.page();
    assert!(part.contains("read the values of secrets") && part.contains("It has no end"));
    assert!(!part.contains("<html"));
    let review = [
        ("name", "r"),
        ("access", "reader"),
        ("where", "labels"),
        ("labels", "agent=a"),
        ("expires", "7d"),
        ("step", "review"),
    ];
    let text = admin.post("/canvas/keys/new", &review).await.page();
    assert!(text.contains("labelled agent=a") && text.contains("It cannot"));
    for (field, value, words) in [
        ("name", "", "Must not be empty."),
        ("ip_allow", "here", "value=\"x\""),
        ("per_minute", "many", "Must be a whole number."),
        ("tags", "alone", "`alone` is none"),
        ("labels", "alone", "`alone` is none"),
    ] {
        let mut typed = vec![
            ("access", "restricted"),
            ("where", "labels"),
            ("expires", "30d"),
            ("step", "mint"),
        ];
        if field != "name" {
            typed.push(("name", "x"));
        }
        if field != "labels" {
            typed.push(("labels", "agent=a"));
        }
        typed.push((field, value));
        let answer = admin.post("/canvas/keys/new", &typed).await;
        assert!(
            matches!(answer.status, 400 | 422),
            "{field}: {}",
            answer.status
        );
        let text = answer.text();
        assert!(
            text.contains(words) && text.contains("class=\"error\""),
            "{field}: {text}"
        );
    }
    let keys = service.get(ADMIN, "/org/tokens").await;
    assert_eq!(keys["tokens"], json!([]));
}

async fn rotation_shows_a_secret_once_and_is_finished_or_cancelled(backend: Backend) {
    let service = Service::guarded(backend).await;
    let admin = Browser::admin(&service).await;
    let key = service.mint(ADMIN, json!({"name": "turning"})).await;
    assert!(is_accepted(&service, &key.secret).await);
    let rotate = format!("{}/rotate", page_of(&key));
    let text = admin.get(&rotate).await.page();
    assert!(text.contains("last seen") && text.contains("127.0.0.1"));
    let prefix = hidden(&text, "prefix");
    assert_eq!(prefix, key.prefix);
    let typed = [("prefix", &*prefix), ("overlap", "24h")];
    let shown = admin.post(&rotate, &typed).await;
    let text = shown.page();
    assert_eq!(shown.header("cache-control"), Some("no-store"));
    let second = shown_in(&text);
    assert!(text.contains("It was last seen") && second != key.secret);
    assert!(is_accepted(&service, &key.secret).await && is_accepted(&service, &second).await);
    // The same form again replaces nothing.
    let again = admin.post(&rotate, &typed).await.is(409);
    assert!(!again.contains(&second) && is_accepted(&service, &second).await);

    let text = admin.get(&rotate).await.page();
    assert!(text.contains("Finish") && text.contains(&key.prefix));
    assert!(
        admin
            .get(&page_of(&key))
            .await
            .page()
            .contains("Old secret last seen")
    );
    let finish = format!("{rotate}/finish");
    assert_eq!(
        admin.goes(&finish, &[]).await,
        format!("{}?done=finished", page_of(&key))
    );
    assert!(!is_accepted(&service, &key.secret).await && is_accepted(&service, &second).await);

    let prefix = hidden(&admin.get(&rotate).await.page(), "prefix");
    let typed = [("prefix", &*prefix), ("overlap", "first")];
    let third = shown_in(&admin.post(&rotate, &typed).await.page());
    let text = admin.get(&rotate).await.page();
    assert!(
        text.contains("after the new secret is first used"),
        "{text}"
    );
    let cancel = format!("{rotate}/cancel");
    assert_eq!(
        admin.goes(&cancel, &[]).await,
        format!("{}?done=cancelled", page_of(&key))
    );
    assert!(is_accepted(&service, &second).await && !is_accepted(&service, &third).await);
    // There is nothing left to finish.
    let text = admin.post(&finish, &[]).await.is(409);
    assert!(text.contains("No rotation of this key is under way"));
    let records = service
        .audit(ADMIN, &format!("&about={}&method=POST", key.id))
        .await;
    let ended = |one: &&serde_json::Value| one["change"]["finished_rotation"].is_object();
    let finished = records.iter().find(ended).expect("a record");
    assert_eq!(finished["status"], 303, "what the page answered");
    let prefix = hidden(&admin.get(&rotate).await.page(), "prefix");
    let typed = [("prefix", &*prefix), ("overlap", "forty days")];
    assert!(matches!(
        admin.post(&rotate, &typed).await.status,
        400 | 422
    ));
    assert!(is_accepted(&service, &second).await);
}
