//! The pages of workspaces: what they show, what their forms do, and whom they refuse.

use serde_json::json;

use crate::{
    browser::{Browser, secret_in},
    service::{ADMIN, Backend, Service},
};

on_each_database!(
    workspace_is_made_labelled_and_deleted_by_its_name,
    channels_are_added_changed_and_never_shown,
    secrets_are_set_revealed_with_a_record_and_deleted,
    keys_that_reach_a_workspace_are_counted_and_listed,
    token_is_replaced_by_a_key_that_is_shown_once,
    forms_from_elsewhere_change_nothing,
    reader_sees_no_form_and_is_refused,
);

async fn workspace_is_made_labelled_and_deleted_by_its_name(backend: Backend) {
    let service = Service::guarded(backend).await;
    let admin = Browser::admin(&service).await;
    let empty = admin.get("/canvas/workspaces").await;
    assert!(empty.page().contains("No workspace yet"));

    let typed = [("name", ""), ("labels", "agent=a")];
    let refused = admin.post("/canvas/workspaces", &typed).await;
    let text = refused.is(422);
    assert!(text.contains("Must not be empty.") && text.contains("agent=a"));
    let typed = [("name", "One"), ("labels", "agent")];
    let text = admin.post("/canvas/workspaces", &typed).await.is(422);
    assert!(text.contains("`agent` has no `=`"), "{text}");

    let typed = [("name", "One & two"), ("labels", "agent=a\r\nenv = prod")];
    let path = admin.goes("/canvas/workspaces", &typed).await;
    let home = path.split('?').next().expect("a path").to_owned();
    let text = admin.get(&path).await.page();
    assert!(text.contains("One &#38; two") && text.contains("env=prod"));
    assert!(text.contains("No channel yet"));
    let list = admin.get("/canvas/workspaces?q=prod").await.page();
    assert!(list.contains("One &#38; two"));
    let list = admin.get("/canvas/workspaces?q=nowhere").await.page();
    assert!(list.contains("No workspace fits"));

    let settings = format!("{home}/settings");
    let text = admin.get(&settings).await.page();
    assert!(text.contains(">\nagent=a\nenv=prod</textarea>"), "{text}");
    let typed = [("name", "Three"), ("labels", "agent=b")];
    assert_eq!(
        admin.goes(&settings, &typed).await,
        format!("{settings}?done=saved")
    );
    let id = home.rsplit('/').next().expect("an id");
    let kept = service.get(ADMIN, &format!("/workspaces/{id}")).await;
    assert_eq!(kept["name"], "Three");
    assert_eq!(kept["labels"], json!({"agent": "b"}));

    let delete = format!("{home}/delete");
    admin.get(&delete).await.page();
    let text = admin.post(&delete, &[("name", "three")]).await.is(422);
    assert!(text.contains("exactly as it is"));
    service.get(ADMIN, &format!("/workspaces/{id}")).await;
    let path = admin.goes(&delete, &[("name", "Three")]).await;
    assert_eq!(path, "/canvas/workspaces?done=workspace_deleted");
    assert_eq!(admin.get(&home).await.status, 404);
    let records = service.audit(ADMIN, "&actor=session:local-admin").await;
    assert_eq!(records[1]["change"]["deleted"]["id"], id);
    assert_eq!(records[1]["status"], 303);
}

async fn channels_are_added_changed_and_never_shown(backend: Backend) {
    let service = Service::guarded(backend).await;
    let admin = Browser::admin(&service).await;
    let id = service.workspace(ADMIN).await;
    let (home, api) = (
        format!("/canvas/workspaces/{id}"),
        format!("/workspaces/{id}/channels"),
    );
    let new = format!("{home}/channels/new");
    for kind in [
        "slack",
        "slack-bot",
        "discord",
        "telegram",
        "lark",
        "webhook",
    ] {
        let text = admin.get(&format!("{new}?kind={kind}")).await.page();
        assert!(
            text.contains(&format!("name=\"kind\" value=\"{kind}\"")),
            "{kind}"
        );
    }
    let typed = [
        ("kind", "slack-bot"),
        ("name", "Alerts"),
        ("bot_token", "hush-hush"),
        ("channel", "C1"),
    ];
    let text = admin.post(&new, &typed).await.is(422);
    assert!(text.contains("Must begin with `xoxb-`.") && text.contains("value=\"C1\""));
    assert!(!text.contains("hush-hush"));

    let mut typed = typed;
    typed[2].1 = "xoxb-hush-hush";
    let path = admin.goes(&new, &typed).await;
    assert_eq!(path, format!("{home}?done=channel_added"));
    let text = admin.get(&path).await.page();
    assert!(text.contains("Alerts") && text.contains("Slack bot") && text.contains("C1"));
    assert!(!text.contains("hush-hush"));
    let list = service.get(ADMIN, &api).await;
    let channel = list["channels"][0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let page = format!("{home}/channels/{channel}");
    assert!(!admin.get(&page).await.page().contains("hush-hush"));

    // The name alone: the sealed half stays.
    let typed = [("name", "Alarms"), ("bot_token", ""), ("channel", "C1")];
    admin.goes(&page, &typed).await;
    let kept = service.get(ADMIN, &format!("{api}/{channel}")).await;
    assert_eq!(kept["name"], "Alarms");
    assert_eq!(kept["credentials"], json!(["bot_token"]));
    // Another conversation: the configuration is replaced whole.
    let typed = [("name", "Alarms"), ("bot_token", ""), ("channel", "C2")];
    let text = admin.post(&page, &typed).await.is(422);
    assert!(text.contains("type its sealed parts again"));
    let typed = [
        ("name", "Alarms"),
        ("bot_token", "xoxb-2"),
        ("channel", "C2"),
    ];
    admin.goes(&page, &typed).await;
    let kept = service.get(ADMIN, &format!("{api}/{channel}")).await;
    assert_eq!(kept["config"], json!({"channel": "C2"}));

    let turn = format!("{page}/enabled");
    for (word, expected) in [("false", false), ("true", true)] {
        admin.goes(&turn, &[("enabled", word)]).await;
        let kept = service.get(ADMIN, &format!("{api}/{channel}")).await;
        assert_eq!(kept["enabled"], expected);
    }
    let remove = format!("{page}/remove");
    assert!(admin.get(&remove).await.page().contains("data-dialog-page"));
    admin.goes(&remove, &[]).await;
    let list = service.get(ADMIN, &api).await;
    assert_eq!(list["channels"], json!([]));
}

async fn secrets_are_set_revealed_with_a_record_and_deleted(backend: Backend) {
    let service = Service::guarded(backend).await;
    let admin = Browser::admin(&service).await;
    let id = service.workspace(ADMIN).await;
    let page = format!("/canvas/workspaces/{id}/secrets");
    assert!(admin.get(&page).await.page().contains("No secret yet"));
    for (key, value, words) in [
        ("1x", "v-hush", "May hold only"),
        ("A", "", "Must not be empty"),
    ] {
        let text = admin
            .post(&page, &[("key", key), ("value", value)])
            .await
            .is(422);
        assert!(text.contains(words) && !text.contains("v-hush"), "{text}");
    }
    let typed = [("key", "TLS_KEY"), ("value", " first \r\nsecond\r\n")];
    assert_eq!(
        admin.goes(&page, &typed).await,
        format!("{page}?done=secret_set")
    );
    let values = service
        .get(ADMIN, &format!("/workspaces/{id}/secrets/values"))
        .await;
    assert_eq!(values["values"]["TLS_KEY"], " first \nsecond\n");
    let text = admin.get(&page).await.page();
    assert!(text.contains("TLS_KEY") && !text.contains("second"));

    let values = format!("{page}/values");
    let shown = admin.post(&values, &[]).await;
    assert!(shown.page().contains("second"));
    assert_eq!(shown.header("cache-control"), Some("no-store"));
    let again = admin.get(&values).await;
    assert_eq!(
        (again.status, again.header("location")),
        (303, Some(&*page))
    );
    let records = service.audit(ADMIN, "&actor=session:local-admin").await;
    let seen = records
        .iter()
        .find(|record| record["path"] == *values && record["method"] == "POST");
    assert_eq!(seen.expect("a record")["status"], 200);

    let delete = format!("{page}/TLS_KEY/delete");
    admin.get(&delete).await.page();
    admin.goes(&delete, &[]).await;
    assert!(admin.get(&page).await.page().contains("No secret yet"));
    assert_eq!(admin.post(&delete, &[]).await.status, 404);
}

async fn keys_that_reach_a_workspace_are_counted_and_listed(backend: Backend) {
    let service = Service::guarded(backend).await;
    let admin = Browser::admin(&service).await;
    let made = json!({"name": "w", "labels": {"agent": "a"}});
    let made = service.make(ADMIN, "/workspaces", made).await;
    let id = made["id"].as_str().expect("an id");
    let other = service.workspace(ADMIN).await;
    let page = format!("/canvas/workspaces/{id}/keys");
    assert!(admin.get(&page).await.page().contains("No key reaches it"));
    for (name, workspaces) in [
        ("everywhere", json!("*")),
        ("named", json!([id])),
        ("labelled", json!({"labels": {"agent": "a"}})),
        ("elsewhere", json!([other])),
        ("otherwise", json!({"labels": {"agent": "b"}})),
    ] {
        service
            .mint(ADMIN, json!({"name": name, "workspaces": workspaces}))
            .await;
    }
    let text = admin.get(&page).await.page();
    for (name, is_there) in [
        ("everywhere", true),
        ("named", true),
        ("labelled", true),
        ("elsewhere", false),
        ("otherwise", false),
    ] {
        assert_eq!(text.contains(&format!(">{name}</a>")), is_there, "{name}");
    }
    assert!(text.contains("3 in all"));
    for _ in 0..50 {
        service.mint(ADMIN, json!({"name": "more"})).await;
    }
    let text = admin.get(&page).await.page();
    assert!(text.contains("50 of 53") && !text.contains(">named</a>"));
    let (_, next) = text
        .split_once("rel=\"next\" href=\"")
        .expect("a next page");
    let next = next.split('"').next().expect("an address");
    assert!(admin.get(next).await.page().contains(">named</a>"));
}

async fn token_is_replaced_by_a_key_that_is_shown_once(backend: Backend) {
    let service = Service::guarded(backend).await;
    let admin = Browser::admin(&service).await;
    let id = service.workspace(ADMIN).await;
    let old = service.workspace_token(ADMIN, &id).await;
    let home = format!("/canvas/workspaces/{id}/tokens");
    let text = admin.get(&home).await.page();
    assert!(text.contains("Workspace tokens are deprecated"));
    let list = service
        .get(ADMIN, &format!("/workspaces/{id}/tokens"))
        .await;
    let token = list["tokens"][0]["id"].as_str().expect("an id").to_owned();
    let replace = format!("{home}/{token}/replace");
    let text = admin.get(&replace).await.page();
    let once = text
        .split_once("name=\"once\" value=\"")
        .expect("a field")
        .1;
    let once = once.split('"').next().expect("a value").to_owned();

    let typed = [("once", &*once), ("name", ""), ("ends", "90d")];
    assert!(
        admin
            .post(&replace, &typed)
            .await
            .is(422)
            .contains("Must not be empty.")
    );
    let typed = [("once", &*once), ("name", "cron"), ("ends", "90d")];
    let shown = admin.post(&replace, &typed).await;
    let text = shown.is(201);
    assert_eq!(shown.header("cache-control"), Some("no-store"));
    let secret = secret_in(&text);
    for mark in [
        "data-secret",
        "I have saved the secret",
        "/org/whoami",
        "CLAVIGER_TOKEN=",
    ] {
        assert!(text.contains(mark), "{mark}");
    }
    let me = service.get(&secret, "/org/whoami").await;
    assert_eq!(me["grant"]["workspaces"], json!([id]));
    service
        .get(&secret, &format!("/workspaces/{id}/secrets/values"))
        .await;
    service
        .get(&old, &format!("/workspaces/{id}/secrets"))
        .await;
    // The same form again makes no other key, and shows nothing.
    let again = admin.post(&replace, &typed).await.is(409);
    assert!(again.contains("was sent before") && !again.contains(&secret));
    let keys = service.get(ADMIN, "/org/tokens").await;
    assert_eq!(keys["tokens"].as_array().map(Vec::len), Some(1));

    let revoke = format!("{home}/{token}/revoke");
    admin.get(&revoke).await.page();
    admin.goes(&revoke, &[]).await;
    let path = format!("/workspaces/{id}/secrets");
    assert_eq!(service.ask_as(&old, "GET", &path).send().await.status, 401);
    service.get(&secret, &path).await;
    assert!(admin.get(&home).await.page().contains("No token left"));
}

async fn forms_from_elsewhere_change_nothing(backend: Backend) {
    let service = Service::guarded(backend).await;
    let admin = Browser::admin(&service).await;
    let id = service.workspace(ADMIN).await;
    let home = format!("/canvas/workspaces/{id}");
    for path in [
        "/canvas/workspaces".to_owned(),
        format!("{home}/settings"),
        format!("{home}/delete"),
        format!("{home}/secrets"),
        format!("{home}/secrets/values"),
        format!("{home}/channels/new"),
        "/canvas/first-run".to_owned(),
        "/canvas/account/sessions/all/end".to_owned(),
        "/canvas/members/local-admin/suspend".to_owned(),
        "/canvas/members/local-admin/remove".to_owned(),
    ] {
        for site in ["cross-site", "same-site"] {
            let typed = [("name", "w"), ("key", "A"), ("value", "v")];
            let answer = admin.post_from(site, &path, &typed).await;
            assert_eq!(answer.status, 403, "{path} from {site}");
        }
    }
    assert_eq!(
        service.get(ADMIN, &format!("/workspaces/{id}")).await["name"],
        "w"
    );
    admin.get(&home).await.page();
}

async fn reader_sees_no_form_and_is_refused(backend: Backend) {
    let service = Service::guarded(backend).await;
    let id = service.workspace(ADMIN).await;
    let home = format!("/canvas/workspaces/{id}");
    // The link of a key gives no more than the key: here it may administer people and read.
    let permissions = json!([
        "org:admin",
        "workspaces:read",
        "channels:read",
        "secrets:read",
        "org.tokens:read"
    ]);
    let key = json!({"name": "narrow", "permissions": permissions});
    let key = service.mint(ADMIN, key).await;
    let reader = Browser::with_link_of(&service, &key.secret).await;
    let list = reader.get("/canvas/workspaces").await.page();
    assert!(!list.contains("/canvas/workspaces/new"));
    let page = reader.get(&home).await.page();
    assert!(!page.contains("/channels/new") && !page.contains("/settings"));
    let page = reader.get(&format!("{home}/secrets")).await.page();
    assert!(!page.contains("Reveal values") && !page.contains("Set secret"));
    for path in [
        "/settings",
        "/delete",
        "/secrets",
        "/secrets/values",
        "/channels/new",
    ] {
        let answer = reader
            .post(&format!("{home}{path}"), &[("name", "x")])
            .await;
        assert_eq!(answer.status, 403, "{path}");
    }
    assert_eq!(
        reader
            .post("/canvas/workspaces", &[("name", "x")])
            .await
            .status,
        403
    );
    assert_eq!(reader.get("/canvas/first-run").await.status, 403);
}
