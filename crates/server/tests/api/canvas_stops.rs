//! The forms that stop, resume and narrow keys, and who is kept from them.

use serde_json::json;

use crate::{
    browser::Browser,
    canvas_keys::{hidden, is_accepted, page_of},
    service::{ADMIN, Backend, Minted, Service},
};

on_each_database!(
    revocation_wants_the_name_and_takes_what_stands_below,
    what_stands_below_may_be_left_alive,
    key_is_suspended_and_resumed,
    chosen_keys_are_suspended_and_revoked_together,
    what_became_of_each_chosen_key_is_said,
    grant_gets_narrower_and_never_wider,
    forms_from_elsewhere_change_no_key,
    reader_of_keys_sees_no_button_and_is_refused,
    session_of_a_narrow_key_leaves_wider_ones_alone,
);

async fn status_of(service: &Service, key: &Minted) -> String {
    let kept = service.get(ADMIN, &key.path()).await;
    kept["status"].as_str().expect("a status").to_owned()
}

async fn revocation_wants_the_name_and_takes_what_stands_below(backend: Backend) {
    let service = Service::guarded(backend).await;
    let admin = Browser::admin(&service).await;
    let top = service.mint(ADMIN, json!({"name": "Top & co"})).await;
    let below = service.mint(&top.secret, json!({"name": "below"})).await;
    let beside = service.mint(ADMIN, json!({"name": "beside"})).await;
    assert!(is_accepted(&service, &below.secret).await);
    let revoke = format!("{}/revoke", page_of(&top));
    let text = admin.get(&revoke).await.page();
    for words in [
        "data-dialog-page",
        "die with it",
        ">below</a>",
        "127.0.0.1",
        "calls",
    ] {
        assert!(text.contains(words), "{words}");
    }
    for name in ["", "top & co", "Top & co."] {
        let typed = [("name", name), ("reason", "it leaked")];
        let text = admin.post(&revoke, &typed).await.is(422);
        assert!(text.contains("letter by letter") && text.contains("value=\"it leaked\""));
        assert_eq!(status_of(&service, &top).await, "active");
    }
    let typed = [("name", "Top & co"), ("reason", "it leaked")];
    let place = admin.goes(&revoke, &typed).await;
    assert_eq!(place, format!("{}?done=revoked", page_of(&top)));
    for key in [&top, &below] {
        assert!(!is_accepted(&service, &key.secret).await);
        assert_eq!(status_of(&service, key).await, "revoked");
    }
    assert!(is_accepted(&service, &beside.secret).await);
    let text = admin.get(&place).await.page();
    assert!(
        text.contains("Reason: it leaked") && !text.contains("/revoke\""),
        "{text}"
    );
    let records = service.audit(ADMIN, "&actor=session:local-admin").await;
    let revoked = records
        .iter()
        .find(|one| one["change"]["revoked"]["id"] == *top.id);
    assert_eq!(
        revoked.expect("a record")["change"]["revoked"]["reason"],
        "it leaked"
    );
}

async fn what_stands_below_may_be_left_alive(backend: Backend) {
    let service = Service::guarded(backend).await;
    let admin = Browser::admin(&service).await;
    let top = service.mint(ADMIN, json!({"name": "top"})).await;
    let below = service.mint(&top.secret, json!({"name": "below"})).await;
    let revoke = format!("{}/revoke", page_of(&top));
    assert!(admin.get(&revoke).await.page().contains("Let them live"));
    admin
        .goes(&revoke, &[("name", "top"), ("below", "keep")])
        .await;
    assert!(!is_accepted(&service, &top.secret).await);
    assert!(is_accepted(&service, &below.secret).await);
}

async fn key_is_suspended_and_resumed(backend: Backend) {
    let service = Service::guarded(backend).await;
    let admin = Browser::admin(&service).await;
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    let path = page_of(&key);
    let place = admin
        .goes(&format!("{path}/suspend"), &[("reason", "odd calls")])
        .await;
    assert!(!is_accepted(&service, &key.secret).await);
    let text = admin.get(&place).await.page();
    assert!(text.contains("Reason: odd calls") && text.contains("/resume\""));
    let long = "x".repeat(2000);
    let text = admin
        .post(&format!("{path}/resume"), &[("reason", &long)])
        .await;
    assert!(matches!(text.status, 400 | 422) && text.text().contains("class=\"error\""));
    admin.goes(&format!("{path}/resume"), &[]).await;
    assert!(is_accepted(&service, &key.secret).await);
}

async fn chosen_keys_are_suspended_and_revoked_together(backend: Backend) {
    let service = Service::guarded(backend).await;
    let admin = Browser::admin(&service).await;
    let mut keys = Vec::new();
    for name in ["one", "two", "three"] {
        keys.push(service.mint(ADMIN, json!({"name": name})).await);
    }
    let ask = format!(
        "/canvas/keys/selected?id={}&id={}&do=",
        keys[0].id, keys[1].id
    );
    let text = admin.get(&format!("{ask}suspend")).await.page();
    assert!(text.contains("Suspend 2 keys?") && text.contains(">two</a>"));
    let both = [("id", &*keys[0].id), ("id", &*keys[1].id)];
    let typed = [both[0], both[1], ("do", "suspend"), ("reason", "a drill")];
    let place = admin.goes("/canvas/keys/selected", &typed).await;
    assert!(place.starts_with("/canvas/keys?done="), "{place}");
    for (key, expected) in keys.iter().zip(["suspended", "suspended", "active"]) {
        assert_eq!(status_of(&service, key).await, expected);
    }
    admin.get(&format!("{ask}revoke")).await.page();
    // Nobody revokes several without having typed how many.
    for count in ["", "3"] {
        let typed = [both[0], both[1], ("do", "revoke"), ("count", count)];
        let text = admin.post("/canvas/keys/selected", &typed).await.is(422);
        assert!(text.contains("Revoke 2 keys?") && text.contains("which is 2"));
        assert_eq!(status_of(&service, &keys[0]).await, "suspended");
    }
    let typed = [
        both[0],
        both[1],
        ("do", "revoke"),
        ("count", "2"),
        ("reason", "done"),
    ];
    admin.goes("/canvas/keys/selected", &typed).await;
    for (key, expected) in keys.iter().zip(["revoked", "revoked", "active"]) {
        assert_eq!(status_of(&service, key).await, expected);
    }
    // Each of them says who did it and why.
    for key in &keys[..2] {
        let text = admin.get(&page_of(key)).await.page();
        assert!(text.contains("Reason: done"));
    }
    for path in [
        "/canvas/keys/selected?do=revoke",
        "/canvas/keys/selected?do=suspend",
    ] {
        assert_eq!(
            admin.get(path).await.header("location"),
            Some("/canvas/keys")
        );
    }
    let wrong = format!("/canvas/keys/selected?id={}&do=paint", keys[2].id);
    assert_eq!(admin.get(&wrong).await.status, 400);
    admin
        .get("/canvas/keys/selected?id=tok_x&do=revoke")
        .await
        .is(404);
}

/// The outcomes that a page tells, in the order of its keys.
fn outcomes(text: &str) -> Vec<&str> {
    let rows = text.split("data-label=\"Outcome\">").skip(1);
    rows.map(|row| {
        let (_, rest) = row.split_once('>').expect("a badge");
        rest.split('<').next().expect("its words")
    })
    .collect()
}

async fn what_became_of_each_chosen_key_is_said(backend: Backend) {
    let service = Service::guarded(backend).await;
    let one = service.mint(ADMIN, json!({"name": "one"})).await;
    let boss = service.mint(ADMIN, json!({"name": "boss"})).await;
    let two = service.mint(ADMIN, json!({"name": "two"})).await;
    let three = service.mint(ADMIN, json!({"name": "three"})).await;
    let admin = Browser::admin(&service).await;
    let path = "/canvas/keys/selected";
    // One that does not exist keeps no other, and what is done is said.
    let unknown = "tok_00000000000000000000000001";
    let typed = [("id", unknown), ("id", &*one.id), ("do", "suspend")];
    let text = admin.post(path, &typed).await.page();
    assert_eq!(outcomes(&text), ["not done", "suspended"]);
    assert!(text.contains("1 of 2 keys suspended") && text.contains("No such key"));
    assert_eq!(status_of(&service, &one).await, "suspended");
    // Where nothing is done, the status says why.
    let typed = [("id", unknown), ("do", "suspend")];
    let text = admin.post(path, &typed).await.is(404);
    assert_eq!(outcomes(&text), ["not done"]);
    // A session that ends on the way breaks it off: with its key goes its own right to go on.
    let boss_browser = Browser::with_link_of(&service, &boss.secret).await;
    let all = [&one, &boss, &two, &three].map(|key| ("id", &*key.id));
    let mut typed = all.to_vec();
    typed.extend([("do", "revoke"), ("count", "4"), ("reason", "it leaked")]);
    let text = boss_browser.post(path, &typed).await.is(401);
    assert_eq!(
        outcomes(&text),
        ["revoked", "revoked", "not done", "not tried"]
    );
    assert!(text.contains("2 of 4 keys revoked") && text.contains("It was broken off"));
    for (key, expected) in [&one, &boss, &two, &three]
        .into_iter()
        .zip(["revoked", "revoked", "active", "active"])
    {
        assert_eq!(status_of(&service, key).await, expected);
    }
    // Each change has its record, the first of them that of the request.
    let records = service.audit(ADMIN, &format!("&about={}", one.id)).await;
    let is_of_form = |record: &serde_json::Value| record["route"] == path;
    assert!(records.iter().any(is_of_form), "{records:?}");
}

async fn grant_gets_narrower_and_never_wider(backend: Backend) {
    let service = Service::guarded(backend).await;
    let admin = Browser::admin(&service).await;
    let workspace = service.workspace(ADMIN).await;
    let key = json!({
        "name": "wide", "permissions": ["channels:*", "secrets:read"], "expires_in": "90d",
        "metadata": {"team": "a"},
    });
    let key = service.mint(ADMIN, key).await;
    let edit = format!("{}/edit", page_of(&key));
    let text = admin.get(&edit).await.page();
    assert!(text.contains("team=a") && text.contains("value=\"wide\""));
    let day = hidden(&text, "expires_on");
    let same = [
        ("name", "wide"),
        ("tags", "team=a"),
        ("expires_on", &*day),
        ("access", "restricted"),
        ("p_channels", "write"),
        ("p_secrets", "read"),
        ("also", "channels:send"),
        ("where", "all"),
    ];
    let before = service.get(ADMIN, &key.path()).await;
    let grant = &before["grant"];

    let mut wider = same;
    wider[5].1 = "write";
    let answer = admin.post(&edit, &wider).await;
    let text = answer.text();
    assert!(matches!(answer.status, 403 | 422), "{}", answer.status);
    assert!(
        text.contains("class=\"error\"") && text.contains("Can only be narrowed"),
        "{text}"
    );
    let mut later = same;
    later[2].1 = "2999-01-01";
    let answer = admin.post(&edit, &later).await;
    assert!(matches!(answer.status, 403 | 422) && answer.text().contains("class=\"error\""));
    assert_eq!(&service.get(ADMIN, &key.path()).await["grant"], grant);

    let narrower = [
        ("name", "narrow"),
        ("tags", "team=b"),
        ("expires_on", &*day),
        ("access", "restricted"),
        ("p_channels", "read"),
        ("p_secrets", "none"),
        ("where", "ids"),
        ("workspace", &*workspace),
        ("per_minute", "10"),
    ];
    let place = admin.goes(&edit, &narrower).await;
    assert_eq!(place, format!("{}?done=saved", page_of(&key)));
    let kept = service.get(ADMIN, &key.path()).await;
    assert_eq!(
        (&kept["name"], &kept["metadata"]),
        (&json!("narrow"), &json!({"team": "b"}))
    );
    let grant = &kept["grant"];
    assert_eq!(grant["permissions"], json!(["channels:read"]));
    assert_eq!(grant["workspaces"], json!([workspace]));
    assert_eq!(grant["rate_limit"]["per_minute"], 10);
    assert_eq!(kept["expires_at"], before["expires_at"]);
}

async fn forms_from_elsewhere_change_no_key(backend: Backend) {
    let service = Service::guarded(backend).await;
    let admin = Browser::admin(&service).await;
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    let path = page_of(&key);
    let typed = [
        ("id", &*key.id),
        ("do", "revoke"),
        ("count", "1"),
        ("name", "k"),
        ("step", "mint"),
        ("access", "all"),
        ("prefix", &*key.prefix),
        ("overlap", "0"),
    ];
    for path in [
        "/canvas/keys/new".to_owned(),
        "/canvas/keys/selected".to_owned(),
        format!("{path}/revoke"),
        format!("{path}/suspend"),
        format!("{path}/resume"),
        format!("{path}/rotate"),
        format!("{path}/rotate/finish"),
        format!("{path}/rotate/cancel"),
        format!("{path}/edit"),
    ] {
        for site in ["cross-site", "same-site"] {
            let answer = admin.post_from(site, &path, &typed).await;
            assert_eq!(answer.status, 403, "{path} from {site}");
        }
    }
    assert!(is_accepted(&service, &key.secret).await);
    let keys = service.get(ADMIN, "/org/tokens").await;
    assert_eq!(keys["tokens"].as_array().map(Vec::len), Some(1));
}

async fn reader_of_keys_sees_no_button_and_is_refused(backend: Backend) {
    let service = Service::guarded(backend).await;
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    let permissions = json!(["org:admin", "org.tokens:read"]);
    let reader = service
        .mint(ADMIN, json!({"name": "r", "permissions": permissions}))
        .await;
    let reader = Browser::with_link_of(&service, &reader.secret).await;
    let list = reader.get("/canvas/keys").await.page();
    assert!(list.contains(">k</a>") && !list.contains("/canvas/keys/new"));
    assert!(!list.contains("name=\"id\"") && !list.contains("value=\"revoke\""));
    let path = page_of(&key);
    let text = reader.get(&path).await.page();
    for form in ["edit", "rotate", "suspend", "revoke", "blast-radius"] {
        assert!(!text.contains(&format!("{path}/{form}\"")), "{form}");
    }
    let text = reader.get(&format!("{path}?tab=changes")).await.page();
    assert!(text.contains("audit:read"));
    let typed = [
        ("name", "k"),
        ("prefix", &*key.prefix),
        ("id", &*key.id),
        ("do", "revoke"),
    ];
    for form in ["new", "selected"] {
        let answer = reader.post(&format!("/canvas/keys/{form}"), &typed).await;
        assert_eq!(answer.status, 403, "{form}");
    }
    for form in [
        "revoke",
        "suspend",
        "rotate",
        "rotate/finish",
        "rotate/cancel",
        "edit",
    ] {
        let answer = reader.post(&format!("{path}/{form}"), &typed).await;
        assert_eq!(answer.status, 403, "{form}");
        if !form.contains('/') {
            assert_eq!(
                reader.get(&format!("{path}/{form}")).await.status,
                403,
                "{form}"
            );
        }
    }
    assert_eq!(
        reader.get(&format!("{path}/blast-radius")).await.status,
        403
    );
    assert!(is_accepted(&service, &key.secret).await);
}

async fn session_of_a_narrow_key_leaves_wider_ones_alone(backend: Backend) {
    let service = Service::guarded(backend).await;
    let wide = service.mint(ADMIN, json!({"name": "wide"})).await;
    let permissions = json!([
        "org:admin",
        "org.tokens:read",
        "org.tokens:mint",
        "org.tokens:revoke",
        "workspaces:read"
    ]);
    let narrow = json!({"name": "narrow", "permissions": permissions});
    let narrow = service.mint(ADMIN, narrow).await;
    let less = json!({"name": "less", "permissions": ["workspaces:read"]});
    let less = service.mint(ADMIN, less).await;
    let person = Browser::with_link_of(&service, &narrow.secret).await;
    let path = page_of(&wide);
    for (form, typed) in [
        ("rotate", vec![("prefix", &*wide.prefix), ("overlap", "0")]),
        ("revoke", vec![("name", "wide")]),
        ("suspend", vec![]),
        ("edit", vec![("name", "mine")]),
    ] {
        let answer = person.post(&format!("{path}/{form}"), &typed).await;
        assert_eq!(answer.status, 403, "{form}: {}", answer.text());
    }
    let typed = [
        ("id", &*wide.id),
        ("id", &*less.id),
        ("do", "revoke"),
        ("count", "2"),
    ];
    // The one that it may revoke is gone, the other is named.
    let text = person.post("/canvas/keys/selected", &typed).await.page();
    assert!(text.contains("1 of 2 keys revoked") && text.contains(">wide</a>"));
    assert_eq!(outcomes(&text), ["not done", "revoked"]);
    assert!(is_accepted(&service, &wide.secret).await);
    assert!(!is_accepted(&service, &less.secret).await);
    // What it mints is no wider than it, whatever is asked for.
    let typed = [
        ("name", "climb"),
        ("access", "restricted"),
        ("p_secrets", "write"),
        ("where", "all"),
        ("expires", "30d"),
        ("step", "mint"),
    ];
    let answer = person.post("/canvas/keys/new", &typed).await;
    let text = answer.is(403);
    assert!(
        text.contains("class=\"error\"") && text.contains("secrets:"),
        "{text}"
    );
    assert_eq!(
        service.get(ADMIN, "/org/tokens").await["tokens"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );
}
