//! The pages of people, of one's own account, of the first key, and those that sign in.

use serde_json::json;

use crate::{
    browser::{Browser, form, link, secret_in},
    service::{ADMIN, Backend, Service},
};

on_each_database!(
    members_are_shown_and_nobody_acts_on_itself,
    sessions_are_listed_and_ended,
    first_key_is_minted_shown_once_and_its_call_is_seen,
    home_leads_where_there_is_something_to_do,
    wrong_admin_token_is_said_at_the_field,
    used_link_says_how_to_get_another,
    ended_session_keeps_nobody_from_signing_in,
);

async fn members_are_shown_and_nobody_acts_on_itself(backend: Backend) {
    let service = Service::guarded(backend).await;
    let admin = Browser::admin(&service).await;
    let list = admin.get("/canvas/members").await.page();
    assert!(list.contains("Local administrator") && list.contains("/canvas/members/local-admin"));
    assert!(list.contains("/canvas/keys?created_by=session%3Alocal-admin"));
    let page = admin.get("/canvas/members/local-admin").await.page();
    assert!(page.contains("this one") && !page.contains("/local-admin/suspend"));
    assert_eq!(admin.get("/canvas/members/nobody").await.status, 404);
    for (path, field) in [("suspend", "reason"), ("remove", "what")] {
        let path = format!("/canvas/members/local-admin/{path}");
        let answer = admin.post(&path, &[(field, "revoke")]).await;
        assert!(answer.is(409).contains("Nobody suspends or removes itself"));
    }
    let answer = admin.post("/canvas/members/local-admin/remove", &[]).await;
    assert!(answer.is(422).contains("Must be chosen."));
    admin.get("/canvas/members").await.page();
    // Whoever may not read people is told so.
    let key = json!({"name": "narrow", "permissions": ["workspaces:read", "org:admin"]});
    let key = service.mint(ADMIN, key).await;
    let narrow = Browser::with_link_of(&service, &key.secret).await;
    narrow.get("/canvas/members").await.page();
    let ended = service.ask_as(ADMIN, "DELETE", &key.path()).send().await;
    ended.ok(200);
    let answer = narrow.get("/canvas/members").await;
    assert_eq!(answer.status, 303);
    assert!(
        answer
            .header("location")
            .is_some_and(|to| to.contains("next=%2Fcanvas%2Fmembers"))
    );
}

async fn sessions_are_listed_and_ended(backend: Backend) {
    let service = Service::guarded(backend).await;
    let first = Browser::admin(&service).await;
    let second = Browser::admin(&service).await;
    let third = Browser::admin(&service).await;
    let page = first.get("/canvas/account").await.page();
    assert!(page.contains("You may") && page.contains("session:local-admin"));
    assert_eq!(page.matches("/canvas/account/sessions/ses_").count(), 3);
    assert_eq!(page.matches("this one").count(), 1);

    let list = service
        .ask("GET", "/org/sessions")
        .header("cookie", &second.cookie);
    let list = list
        .header("sec-fetch-site", "same-origin")
        .send()
        .await
        .ok(200);
    let sessions = list["sessions"].as_array().expect("sessions");
    let own = sessions.iter().find(|one| one["is_current"] == true);
    let id = own.expect("one")["id"].as_str().expect("an id").to_owned();
    let path = format!("/canvas/account/sessions/{id}/end");
    assert_eq!(
        first.goes(&path, &[]).await,
        "/canvas/account?done=session_ended"
    );
    assert_eq!(second.get("/canvas/account").await.status, 303);
    assert_eq!(first.post(&path, &[]).await.status, 404);

    first.goes("/canvas/account/sessions/others/end", &[]).await;
    assert_eq!(third.get("/canvas/account").await.status, 303);
    first.get("/canvas/account").await.page();
    let path = first.goes("/canvas/account/sessions/all/end", &[]).await;
    assert_eq!(path, "/canvas/sign-in?reason=signed_out");
    assert_eq!(first.get("/canvas/account").await.status, 303);
    assert!(
        first
            .get(&path)
            .await
            .page()
            .contains("You are signed out.")
    );
}

async fn first_key_is_minted_shown_once_and_its_call_is_seen(backend: Backend) {
    let service = Service::guarded(backend).await;
    let admin = Browser::admin(&service).await;
    let text = admin.get("/canvas/first-run").await.page();
    let once = text
        .split_once("name=\"once\" value=\"")
        .expect("a field")
        .1;
    let once = once.split('"').next().expect("a value").to_owned();
    for (name, preset, ends, words) in [
        ("", "reader", "90d", "Must not be empty."),
        ("a", "owner", "90d", "Unknown preset"),
        ("a", "reader", "tomorrow", "Is none of the choices."),
    ] {
        let typed = [
            ("once", &*once),
            ("name", name),
            ("preset", preset),
            ("ends", ends),
        ];
        let text = admin.post("/canvas/first-run", &typed).await.is(422);
        assert!(text.contains(words), "{words}");
    }
    let typed = [
        ("once", &*once),
        ("name", "agent"),
        ("preset", "reader"),
        ("ends", "90d"),
    ];
    let shown = admin.post("/canvas/first-run", &typed).await;
    let text = shown.is(201);
    assert_eq!(shown.header("cache-control"), Some("no-store"));
    let secret = secret_in(&text);
    assert!(text.contains("/org/whoami") && text.contains("CLAVIGER_TOKEN="));
    assert!(text.contains("data-secret") && text.contains("I have saved the secret"));
    let again = admin.post("/canvas/first-run", &typed).await.is(409);
    assert!(again.contains("was sent before") && !again.contains(&secret));

    let keys = service.get(ADMIN, "/org/tokens").await;
    let key = keys["tokens"][0]["id"].as_str().expect("an id");
    let look = format!("/canvas/first-run/{key}");
    let text = admin.get(&look).await.page();
    assert!(text.contains("Nothing has arrived yet") && !text.contains(&secret));
    service.get(&secret, "/org/whoami").await;
    let text = admin.get(&look).await.page();
    assert!(text.contains("It arrived") && text.contains("127.0.0.1"));
    // There is a key now: nobody is led here any more.
    assert_eq!(
        admin.get("/canvas/first-run").await.header("location"),
        Some("/canvas/keys")
    );
}

async fn home_leads_where_there_is_something_to_do(backend: Backend) {
    let service = Service::guarded(backend).await;
    let nobody = service.ask("GET", "/canvas").send().await;
    assert_eq!(nobody.header("location"), Some("/canvas/sign-in"));
    let admin = Browser::admin(&service).await;
    let to = |answer: &crate::ask::Answer| answer.header("location").map(str::to_owned);
    assert_eq!(
        to(&admin.get("/canvas").await).as_deref(),
        Some("/canvas/first-run")
    );
    let key = service.mint(ADMIN, json!({"name": "a"})).await;
    assert_eq!(
        to(&admin.get("/canvas").await).as_deref(),
        Some("/canvas/keys")
    );
    // A key that was there leads to the list, too.
    let ended = service.ask_as(ADMIN, "DELETE", &key.path()).send().await;
    ended.ok(200);
    assert_eq!(
        to(&admin.get("/canvas").await).as_deref(),
        Some("/canvas/keys")
    );
    let key = json!({"name": "narrow", "permissions": ["org:admin"]});
    let key = service.mint(ADMIN, key).await;
    let narrow = Browser::with_link_of(&service, &key.secret).await;
    assert_eq!(
        to(&narrow.get("/canvas").await).as_deref(),
        Some("/canvas/account")
    );
}

async fn wrong_admin_token_is_said_at_the_field(backend: Backend) {
    let service = Service::guarded(backend).await;
    let send = |fields: Vec<(&'static str, &'static str)>| {
        let ask = form(&service, "/canvas/sign-in", &fields);
        ask.header("sec-fetch-site", "same-origin").send()
    };
    let wrong = "not-the-token-of-anybody";
    let answer = send(vec![("token", wrong), ("next", "/canvas/audit")]).await;
    let text = answer.is(401);
    assert!(text.contains("id=\"f-token-error\"") && text.contains("This is not the ADMIN_TOKEN"));
    assert!(text.contains("name=\"next\" value=\"/canvas/audit\"") && !text.contains(wrong));
    assert_eq!(answer.header("set-cookie"), None);
    let text = send(vec![("token", ADMIN), ("org", "nowhere")])
        .await
        .is(400);
    assert!(text.contains("id=\"f-org-error\"") && text.contains("value=\"nowhere\""));
    let good = send(vec![("token", ADMIN), ("next", "/canvas/audit")]).await;
    assert_eq!(
        (good.status, good.header("location")),
        (303, Some("/canvas/audit"))
    );
}

async fn used_link_says_how_to_get_another(backend: Backend) {
    let service = Service::guarded(backend).await;
    let page = service.ask("GET", "/canvas/link").send().await.page();
    assert!(page.contains("data-link") && page.contains("link.js"));
    let token = link(&service, ADMIN).await;
    // Without scripts a person pastes what it has: also the whole link.
    let whole = format!("http://{}/canvas/link#{token}", service.address());
    for (typed, status) in [(&whole, 303), (&token, 401)] {
        let ask = form(&service, "/canvas/link", &[("token", typed)]);
        let answer = ask.header("sec-fetch-site", "same-origin").send().await;
        assert_eq!(answer.status, status);
        if status == 401 {
            let text = answer.text();
            assert!(
                text.contains("does not work any more") && text.contains("claviger login-link")
            );
            assert!(!text.contains(&*token));
        }
    }
}

async fn ended_session_keeps_nobody_from_signing_in(backend: Backend) {
    let service = Service::guarded(backend).await;
    let maker = service.mint(ADMIN, json!({"name": "maker"})).await;
    let admin = Browser::with_link_of(&service, &maker.secret).await;
    let suspended = format!("{}/suspend", maker.path());
    service
        .ask_as(ADMIN, "POST", &suspended)
        .send()
        .await
        .ok(200);
    let away = admin.get("/canvas/keys").await;
    assert_eq!(away.status, 303);
    let path = away.header("location").expect("a place").to_owned();
    let page = admin.get(&path).await.page();
    assert!(page.contains("Your session has ended."), "{page}");
    let typed = [("token", ADMIN), ("next", "/canvas/keys")];
    let signed_in = admin.post("/canvas/sign-in", &typed).await;
    assert_eq!(
        (signed_in.status, signed_in.header("location")),
        (303, Some("/canvas/keys"))
    );
}
