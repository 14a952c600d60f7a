//! What the Canvas says: who made what, what limits a key, and what to do where there is no way on.

use serde_json::json;

use crate::{
    browser::{Browser, form},
    canvas_keys::page_of,
    idp::Idp,
    service::{ADMIN, Backend, Service, text},
};

on_each_database!(
    browser_is_led_from_the_root_and_a_program_is_not,
    makers_are_named_with_what_tells_them_apart,
    names_of_keys_are_for_those_who_may_see_keys,
    every_part_of_a_grant_is_named_with_what_limits_it,
    local_administrator_who_is_suspended_is_told_the_way_back,
    time_of_a_request_is_for_people,
);

/// What browsers accept when they go to an address.
const PAGES: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

async fn browser_is_led_from_the_root_and_a_program_is_not(backend: Backend) {
    let service = Service::guarded(backend).await;
    let at = |path: &str| service.ask("GET", path);
    let led = at("/").header("accept", PAGES).send().await;
    assert_eq!((led.status, led.header("location")), (303, Some("/canvas")));
    let navigates = at("/").header("accept", PAGES);
    let led = navigates.header("sec-fetch-mode", "navigate").send().await;
    assert_eq!(led.status, 303);
    let program = |method: &str, path: &str| service.ask_as(ADMIN, method, path);
    for ask in [
        program("GET", "/"),
        program("GET", "/").header("accept", "application/json"),
        program("GET", "/").header("accept", "*/*"),
        program("GET", "/nowhere"),
        program("POST", "/").header("accept", PAGES),
    ] {
        ask.send().await.problem(404, "no_route");
    }
    let fetched = at("/").header("accept", PAGES);
    let fetched = fetched.header("sec-fetch-mode", "cors").send().await;
    fetched.problem(401, "no_credential");
    // A person reads why nothing is there, and how to go on.
    let lost = at("/nowhere").header("accept", PAGES).send().await;
    let page = lost.is(401);
    assert!(page.contains("There is no such page") && page.contains("Go to sign-in"));
    let id = lost.header("x-request-id").expect("an id");
    assert!(page.contains(id), "{page}");
    let lost = program("GET", "/nowhere").header("accept", PAGES);
    let page = lost.send().await.is(404);
    assert!(page.contains("Code <code>no_route"), "{page}");
    let admin = Browser::admin(&service).await;
    let page = admin.get("/canvas/nowhere").await.is(404);
    assert!(page.contains("Nothing is at this address"), "{page}");
}

async fn makers_are_named_with_what_tells_them_apart(backend: Backend) {
    let service = Service::guarded(backend).await;
    let admin = Browser::admin(&service).await;
    let maker = service.mint(ADMIN, json!({"name": "harness"})).await;
    let made = service.mint(&maker.secret, json!({"name": "made"})).await;
    let asked = json!({"name": "asked for", "justification": "why"});
    let asked = service.make(&maker.secret, "/org/requests", asked).await;
    let workspace = service.workspace(&maker.secret).await;
    let at = |rest: &str| format!("/canvas/workspaces/{workspace}{rest}");
    let secret = json!({"key": "A", "value": "v"});
    let secrets = format!("/workspaces/{workspace}/secrets");
    service.make(&maker.secret, &secrets, secret).await;
    let stop = format!("{}/suspend", made.path());
    let stopped = service.ask_as(&maker.secret, "POST", &stop).send().await;
    stopped.ok(200);
    let named = format!("harness ({})", maker.prefix);
    for path in [
        "/canvas/keys".to_owned(),
        page_of(&made),
        format!("{}?tab=changes", page_of(&made)),
        "/canvas/workspaces".to_owned(),
        at(""),
        at("/secrets"),
        at("/keys"),
        "/canvas/requests".to_owned(),
        format!("/canvas/requests/{}", text(&asked["id"])),
    ] {
        let page = admin.get(&path).await.page();
        assert!(page.contains(&named), "{path}: {page}");
    }
    let stopped = admin.get(&page_of(&made)).await.page();
    assert!(stopped.contains(&format!("by {named}.")), "{stopped}");
    // The trail has the label beside the name.
    let trail = admin.get("/canvas/audit").await.page();
    let beside = format!("harness<small>org-token:{}</small>", maker.prefix);
    assert!(trail.contains(&beside), "{trail}");
}

async fn names_of_keys_are_for_those_who_may_see_keys(backend: Backend) {
    let idp = Idp::start(backend).await;
    let service = &idp.service;
    let maker = service.mint(ADMIN, json!({"name": "harness"})).await;
    let workspace = service.workspace(&maker.secret).await;
    idp.visitor("user_narrow", "nothing");
    let permissions = ["workspaces:read", "channels:read"].map(str::to_owned);
    idp.workos
        .with(|state| state.visitor.permissions = permissions.to_vec());
    let cookie = idp.sign_in().await;
    let path = format!("/canvas/workspaces/{workspace}");
    let ask = service.ask("GET", &path).header("cookie", &cookie);
    let page = ask
        .header("sec-fetch-site", "same-origin")
        .send()
        .await
        .page();
    assert!(
        page.contains(&maker.prefix) && !page.contains("harness"),
        "{page}"
    );
}

async fn every_part_of_a_grant_is_named_with_what_limits_it(backend: Backend) {
    let service = Service::guarded(backend).await;
    let admin = Browser::admin(&service).await;
    let parent = json!({
        "name": "parent", "permissions": ["channels:*", "org.tokens:mint", "org.tokens:read"],
        "workspaces": {"labels": {"region": "eu"}}, "expires_in": "30d",
        "rate_limit": {"per_minute": 600}, "ip_allow": ["127.0.0.0/8"],
        "endpoints": ["GET /workspaces/*/channels", "POST /org/tokens"],
    });
    let parent = service.mint(ADMIN, parent).await;
    let child = json!({
        "name": "child", "permissions": ["channels:read"], "expires_in": "24h",
        "endpoints": ["GET /workspaces/*/channels"], "ip_allow": ["127.0.0.1/32"],
    });
    let child = service.mint(&parent.secret, child).await;
    let policy = json!({"ip_allow": ["127.0.0.0/8", "10.0.0.0/8"]});
    let put = service.ask_as(ADMIN, "PUT", "/org/policy").json(&policy);
    put.send().await.ok(200);
    let path = format!("{}?tab=access", page_of(&child));
    let page = admin.get(&path).await.page();
    let (_, limits) = page.split_once("What limits it").expect("the card");
    let (own, above) = limits
        .split_once("parent")
        .expect("the layer of the parent");
    for part in [
        "channels:read",
        "Only in workspaces labelled region=eu",
        "Only GET /workspaces/*/channels",
        "Only 127.0.0.1/32",
        "At most 600 requests a minute",
        "At once",
    ] {
        assert!(own.contains(part), "{part} is not in {own}");
    }
    assert!(!own.contains("Never by itself"), "it ends in a day");
    for limit in [
        "labelled region=eu, as the labels change; its own grant says the same.",
        "Only on GET /workspaces/*/channels, POST /org/tokens.",
        "Only from 127.0.0.0/8.",
        "At most 600 requests a minute, together with all below it.",
        "The org&#39;s policy",
        "Only from 127.0.0.0/8, 10.0.0.0/8.",
    ] {
        assert!(above.contains(limit), "{limit} is not in {above}");
    }
    // What is left in the end says through whom.
    assert!(
        page.contains("Through parent: at most 600 requests a minute"),
        "{page}"
    );
    assert!(
        page.contains("Through the org&#39;s policy: only from"),
        "{page}"
    );
}

async fn local_administrator_who_is_suspended_is_told_the_way_back(backend: Backend) {
    let service = Service::guarded(backend).await;
    let admin = Browser::admin(&service).await;
    let turn = |what: &str| {
        let path = format!("/org/members/local-admin/{what}");
        service.ask_as(ADMIN, "POST", &path).send()
    };
    turn("suspend").await.ok(200);
    let sign_in = || {
        let ask = form(&service, "/canvas/sign-in", &[("token", ADMIN)]);
        ask.header("sec-fetch-site", "same-origin").send()
    };
    let page = sign_in().await.is(401);
    assert!(
        page.contains("claviger members restore local-admin"),
        "{page}"
    );
    assert!(
        page.contains("ADMIN_TOKEN") && !page.contains("Ask somebody"),
        "{page}"
    );
    assert_eq!(
        admin.get("/canvas/keys").await.status,
        303,
        "its session has ended"
    );
    let told = "/canvas/sign-in?reason=person_suspended";
    let page = admin.get(told).await.page();
    assert!(
        page.contains("claviger members restore local-admin"),
        "{page}"
    );
    // That is the way.
    turn("restore").await.ok(200);
    assert_eq!(sign_in().await.status, 303);
}

async fn time_of_a_request_is_for_people(backend: Backend) {
    let service = Service::guarded(backend).await;
    let admin = Browser::admin(&service).await;
    let asker = service.mint(ADMIN, json!({"name": "asker"})).await;
    let body = json!({
        "name": "for long", "justification": "why", "permissions": ["channels:read"],
        "expires_at": "2090-02-21T17:01:26.902Z",
    });
    let asked = service.make(&asker.secret, "/org/requests", body).await;
    let path = format!("/canvas/requests/{}", text(&asked["id"]));
    let page = admin.get(&path).await.page();
    assert!(
        page.contains("until 21 Feb 2090<") && !page.contains("(21 Feb 2090)"),
        "{page}"
    );
    assert!(page.contains("value=\"2090-02-21T17:01:26\"") && !page.contains("RFC 3339"));
    assert!(
        page.contains("In <strong>every workspace</strong> it will be able to"),
        "{page}"
    );
    // As a field sends it: what is brought forward is taken, in UTC.
    let typed = [
        ("permissions", "channels:read"),
        ("expires_at", "2080-01-02T03:04"),
    ];
    let done = admin.goes(&format!("{path}/approve"), &typed).await;
    assert_eq!(done, "/canvas/requests?done=approved");
    let request = service
        .get(ADMIN, &format!("/org/requests/{}", text(&asked["id"])))
        .await;
    assert_eq!(
        request["approved"]["expires_at"],
        "2080-01-02T03:04:00.000Z"
    );
}
