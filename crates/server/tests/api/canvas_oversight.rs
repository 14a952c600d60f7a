//! The pages of the trail, of what should be looked at, of the policy, and of requests for keys.

use serde_json::json;

use crate::{
    browser::Browser,
    key_requests::{ask, reader, show},
    service::{ADMIN, Backend, Service},
};

on_each_database!(
    trail_is_filtered_paged_and_shown_whole,
    filters_that_cannot_be_read_are_said_at_the_field,
    remedies_of_the_security_page_do_what_they_say,
    admin_token_and_workspace_tokens_are_shown,
    policy_is_previewed_and_then_applied,
    policy_that_would_sign_its_reader_out_says_so,
    policy_that_was_changed_meanwhile_is_not_overwritten,
    request_is_narrowed_and_approved,
    request_is_denied_with_a_note,
    pages_refuse_other_sites_and_lesser_roles,
);

async fn trail_is_filtered_paged_and_shown_whole(backend: Backend) {
    let service = Service::guarded(backend).await;
    let admin = Browser::admin(&service).await;
    let key = service.mint(ADMIN, json!({"name": "robot<b>"})).await;
    for _ in 0..60 {
        service.get(&key.secret, "/org/whoami").await;
    }
    let all = admin.get("/canvas/audit").await.page();
    assert!(all.contains("/org/whoami") && all.contains("50 shown"));
    assert!(all.contains("/org/audit/stream?after=") && all.contains("/org/audit/export"));
    assert!(all.contains("rel=\"next\""));
    let path = format!("/canvas/audit?token={}&status=2xx", key.id);
    let own = admin.get(&path).await.page();
    assert!(own.contains(&key.actor()) && !own.contains("/org/tokens</code>"));
    let (_, next) = own.split_once("rel=\"next\" href=\"").expect("more");
    let next = next
        .split('"')
        .next()
        .expect("an address")
        .replace("&#38;", "&");
    let rest = admin.get(&next).await.page();
    assert!(rest.contains("10 shown") && !rest.contains("data-live="));
    // A key is found by its prefix and its name, too.
    let found = admin
        .get(&format!("/canvas/audit?actor=&token={}", key.prefix))
        .await;
    assert_eq!(found.status, 303);
    assert_eq!(
        found.header("location"),
        Some(&*format!("/canvas/audit?token={}", key.id))
    );
    // One record, with its exact bytes, what it changed, and a way to the key.
    let minted = service.audit(ADMIN, "&method=POST&actor=admin-token").await;
    let minted = minted
        .iter()
        .find(|one| one["change"]["minted"]["id"] == *key.id);
    let seq = minted.expect("its mint")["seq"].as_u64().expect("a number");
    let one = admin.get(&format!("/canvas/audit/{seq}")).await.page();
    assert!(one.contains("What it changed") && one.contains("break_glass"));
    assert!(one.contains("robot&#60;b&#62;") && !one.contains("robot<b>"));
    assert_eq!(admin.get("/canvas/audit/0").await.status, 404);
    assert_eq!(admin.get("/canvas/audit/999999").await.status, 404);
    // Nothing is found, and the page says so.
    let none = admin
        .get("/canvas/audit?actor=nobody&until=2020-01-01T00:00")
        .await
        .page();
    assert!(none.contains("Nothing fits"));
}

async fn filters_that_cannot_be_read_are_said_at_the_field(backend: Backend) {
    let service = Service::guarded(backend).await;
    let admin = Browser::admin(&service).await;
    for (query, words) in [
        (
            "workspace=x",
            "Query parameter `workspace` must be the id of a workspace.",
        ),
        ("status=9xx", "must be a status"),
        ("last=1y", "The time is not a duration"),
        ("token=nothing", "No single key has this id"),
        ("cursor=x", "must be the number of a record"),
    ] {
        let text = admin.get(&format!("/canvas/audit?{query}")).await.is(400);
        assert!(text.contains(words), "{query}: {text}");
    }
    assert_eq!(admin.get("/canvas/audit?colour=red").await.status, 400);
}

async fn remedies_of_the_security_page_do_what_they_say(backend: Backend) {
    let service = Service::guarded(backend).await;
    let admin = Browser::admin(&service).await;
    let key = service.mint(ADMIN, json!({"name": "forever"})).await;
    let path = |what: &str| format!("/canvas/security/{}/{what}", key.id);
    let text = until_looked_at(&admin, "/canvas/security?show=no_expiry", "forever").await;
    assert!(text.contains(&path("end")) && text.contains(&path("revoke")));
    // Each asks first.
    for what in ["narrow", "end", "suspend", "revoke"] {
        admin.get(&path(what)).await.page();
    }
    let typed = [("expires_in", "soon")];
    admin.post(&path("end"), &typed).await.is(422);
    let done = admin.goes(&path("end"), &[("expires_in", "90d")]).await;
    assert_eq!(done, "/canvas/security?done=ends");
    assert!(
        admin
            .get(&done)
            .await
            .page()
            .contains("It ends by itself now.")
    );
    let now = service.get(ADMIN, &key.path()).await;
    assert!(now["expires_at"].is_string());
    let later = admin
        .post(&path("end"), &[("expires_in", "365d")])
        .await
        .is(422);
    assert!(later.contains("brought forward"), "{later}");
    // What was done is off the list at once.
    let text = admin.get("/canvas/security?show=no_expiry").await.page();
    assert!(!text.contains("forever"));

    let change = json!({"permissions": ["channels:read"]}).to_string();
    admin.goes(&path("narrow"), &[("change", &change)]).await;
    let now = service.get(ADMIN, &key.path()).await;
    assert_eq!(now["grant"]["permissions"], json!(["channels:read"]));
    let wider = json!({"permissions": ["*"]}).to_string();
    admin
        .post(&path("narrow"), &[("change", &wider)])
        .await
        .is(422);
    assert_eq!(admin.post(&path("narrow"), &[]).await.status, 422);

    admin
        .goes(&path("suspend"), &[("reason", "who asks?")])
        .await;
    let now = service.get(ADMIN, &key.path()).await;
    assert_eq!(
        (&now["status"], &now["suspended_reason"]),
        (&json!("suspended"), &json!("who asks?"))
    );
    // For good, so it asks as the page of the key does.
    let text = admin.get(&path("revoke")).await.page();
    assert!(text.contains("Type the name of the key") && text.contains("Last used"));
    let typed = [("reason", "gone"), ("name", "for ever")];
    let text = admin.post(&path("revoke"), &typed).await.is(422);
    assert!(text.contains("letter by letter") && text.contains("value=\"gone\""));
    assert!(text.contains(&format!("action=\"{}\"", path("revoke"))));
    let typed = [("reason", "gone"), ("name", "forever")];
    assert_eq!(
        admin.goes(&path("revoke"), &typed).await,
        "/canvas/security?done=revoked"
    );
    let after = service.ask_as(&key.secret, "GET", "/org/whoami");
    assert_eq!(after.send().await.status, 401);
    let records = service
        .audit(ADMIN, "&actor=session:local-admin&method=POST")
        .await;
    let done = |what: &str| {
        records
            .iter()
            .any(|one| one["change"][what]["id"] == *key.id)
    };
    assert!(done("changed") && done("suspended") && done("revoked"));
}

/// The page once the keys were looked at and it names this one.
async fn until_looked_at(admin: &Browser<'_>, path: &str, name: &str) -> String {
    for _ in 0..2000 {
        let text = admin.get(path).await.page();
        if text.contains(name) {
            return text;
        }
        tokio::task::yield_now().await;
    }
    panic!("{name} is not on {path}");
}

async fn admin_token_and_workspace_tokens_are_shown(backend: Backend) {
    let service = Service::guarded(backend).await;
    let admin = Browser::admin(&service).await;
    let workspace = service.workspace(ADMIN).await;
    let token = service.workspace_token(ADMIN, &workspace).await;
    let text = admin
        .get("/canvas/security?show=workspace_tokens")
        .await
        .page();
    assert!(text.contains(&token[..13]) && text.contains("are refused"));
    assert!(text.contains(&format!("/canvas/workspaces/{workspace}/tokens/")));
    let text = admin.get("/canvas/security?show=admin_token").await.page();
    assert!(text.contains("/workspaces</code>") && text.contains("just now"));
    assert_eq!(admin.get("/canvas/security?show=nothing").await.status, 404);
    // There is a next page, which holds the rest.
    for _ in 0..25 {
        service.workspace_token(ADMIN, &workspace).await;
    }
    let rows = |text: &str| text.matches("Replace by an org key").count();
    let text = admin
        .get("/canvas/security?show=workspace_tokens")
        .await
        .page();
    assert_eq!(rows(&text), 25);
    let (_, next) = text.split_once("rel=\"next\" href=\"").expect("a page");
    let next = next.split('"').next().expect("an address");
    let text = admin.get(&next.replace("&#38;", "&")).await.page();
    assert_eq!(rows(&text), 1);
}

async fn policy_is_previewed_and_then_applied(backend: Backend) {
    let service = Service::guarded(backend).await;
    let admin = Browser::admin(&service).await;
    let key = service.mint(ADMIN, json!({"name": "endless"})).await;
    let text = admin.get("/canvas/policy").await.page();
    let seen = hidden(&text, "seen");
    let typed = [
        ("seen", &*seen),
        ("require_expiry", "on"),
        ("permissions", "channels:*\r\naudit:read"),
        ("required_metadata", ""),
        ("minters", "people"),
        ("minters", "admin_token"),
        ("keys_max", "100"),
    ];
    let with = |what| {
        typed
            .iter()
            .copied()
            .chain([("do", what)])
            .collect::<Vec<_>>()
    };
    let text = admin.post("/canvas/policy", &with("preview")).await.page();
    assert!(
        text.contains("1 key blocked") && text.contains("1 key cut"),
        "{text}"
    );
    assert!(text.contains("endless") && text.contains(&key.id));
    assert_eq!(service.get(ADMIN, "/org/policy").await, json!({}));
    assert_eq!(
        admin.goes("/canvas/policy", &with("apply")).await,
        "/canvas/policy?done=policy"
    );
    let policy = json!({
        "permissions": ["channels:*", "audit:read"],
        "require_expiry": true,
        "minters": ["people", "admin_token"],
        "keys_max": 100,
    });
    assert_eq!(service.get(ADMIN, "/org/policy").await, policy);
    let text = admin.get("/canvas/policy?done=policy").await.page();
    assert!(text.contains("The policy is in force.") && text.contains("channels:*"));
    for (field, value, words) in [
        ("lifetime_max", "soon", "error"),
        ("keys_max", "many", "Must be a whole number."),
        ("permissions", "channels:fly", "channels:fly"),
        ("ip_allow", "here", "error"),
    ] {
        let typed = [("seen", &*seen), (field, value), ("do", "preview")];
        let text = admin.post("/canvas/policy", &typed).await.is(422);
        assert!(
            text.contains(words) && text.contains("aria-invalid"),
            "{field}: {text}"
        );
    }
}

async fn policy_that_would_sign_its_reader_out_says_so(backend: Backend) {
    let service = Service::guarded(backend).await;
    let boss = service.mint(ADMIN, json!({"name": "boss"})).await;
    let person = Browser::with_link_of(&service, &boss.secret).await;
    let with = |expiry: &'static str| {
        let minters = [("minters", "people"), ("minters", "admin_token")];
        let asked = [("do", "preview"), ("require_expiry", expiry)];
        let asked = asked.into_iter().filter(|(_, value)| !value.is_empty());
        asked.chain(minters).collect::<Vec<_>>()
    };
    let signed_out = "You would be signed out";
    let text = person.post("/canvas/policy", &with("on")).await.page();
    assert!(text.contains(signed_out) && text.contains("a link of boss"));
    let text = person.post("/canvas/policy", &with("")).await.page();
    assert!(!text.contains(signed_out));
    let admin = Browser::admin(&service).await;
    let text = admin.post("/canvas/policy", &with("on")).await.page();
    assert!(text.contains("1 key blocked") && !text.contains(signed_out));
}

async fn policy_that_was_changed_meanwhile_is_not_overwritten(backend: Backend) {
    let service = Service::guarded(backend).await;
    let admin = Browser::admin(&service).await;
    let seen = hidden(&admin.get("/canvas/policy").await.page(), "seen");
    let body = json!({"keys_max": 7});
    service
        .ask_as(ADMIN, "PUT", "/org/policy")
        .json(&body)
        .send()
        .await
        .ok(200);
    let typed = [
        ("seen", &*seen),
        ("keys_max", "9"),
        ("do", "apply"),
        ("minters", "people"),
    ];
    let text = admin.post("/canvas/policy", &typed).await.is(409);
    assert!(text.contains("Somebody has changed the policy"));
    assert_eq!(service.get(ADMIN, "/org/policy").await, body);
}

fn hidden(page: &str, name: &str) -> String {
    let (_, rest) = page
        .split_once(&format!("name=\"{name}\" value=\""))
        .expect("a field");
    rest.split('"').next().expect("a value").to_owned()
}

async fn request_is_narrowed_and_approved(backend: Backend) {
    let service = Service::guarded(backend).await;
    let admin = Browser::admin(&service).await;
    let asker = reader(&service).await;
    let id = ask(&service, &asker.secret, json!({"metadata": {"team": "a"}})).await;
    let inbox = admin.get("/canvas/requests").await.page();
    assert!(inbox.contains("writer") && inbox.contains("waiting: </span>1"));
    let path = format!("/canvas/requests/{id}");
    let page = admin.get(&path).await.page();
    for words in [
        "the report is to be sent",
        "send messages through channels",
        "team=a",
        "Narrow it first",
    ] {
        assert!(page.contains(words), "{words}");
    }
    let approve = format!("{path}/approve");
    let none = admin.post(&approve, &[("note", "no rights")]).await.is(422);
    assert!(none.contains("Must keep at least one") && none.contains("no rights"));
    let wide = [("permissions", "channels:read"), ("expires_in", "90d")];
    let wide = admin.post(&approve, &wide).await.is(422);
    assert!(wide.contains("Is more than was asked for."), "{wide}");
    let less = [
        ("permissions", "channels:read"),
        ("permissions", "channels:send"),
        ("expires_in", "1h"),
        ("ip_allow", "127.0.0.1/32"),
        ("per_minute", "60"),
        ("note", "for an hour"),
    ];
    assert_eq!(
        admin.goes(&approve, &less).await,
        "/canvas/requests?done=approved"
    );
    let now = show(&service, &asker.secret, &id).await;
    assert_eq!(now["status"], "approved");
    assert_eq!(now["decided_by"], "session:local-admin");
    assert_eq!(now["approved"]["expires_in"], "1h");
    let grant = &now["approved"]["grant"];
    assert_eq!(
        grant["permissions"],
        json!(["channels:read", "channels:send"])
    );
    assert_eq!(grant["ip_allow"], json!(["127.0.0.1/32"]));
    assert_eq!(grant["rate_limit"], json!({"per_minute": 60}));
    let inbox = admin.get("/canvas/requests?done=approved").await.page();
    assert!(inbox.contains("Nothing waits") && !inbox.contains("waiting: </span>"));
    let open = admin.get("/canvas/requests?show=approved").await.page();
    assert!(open.contains("writer"));
    let page = admin.get(&path).await.page();
    assert!(page.contains("What was approved of it") && page.contains("for an hour"));
    assert_eq!(admin.post(&approve, &less).await.status, 409);
}

async fn request_is_denied_with_a_note(backend: Backend) {
    let service = Service::guarded(backend).await;
    let admin = Browser::admin(&service).await;
    let asker = reader(&service).await;
    let id = ask(&service, &asker.secret, json!({})).await;
    let deny = format!("/canvas/requests/{id}/deny");
    let long = "x".repeat(1001);
    let text = admin.post(&deny, &[("reason", &long)]).await.is(422);
    assert!(text.contains("deny-reason-error"), "{text}");
    admin.goes(&deny, &[("reason", "ask the team")]).await;
    let now = show(&service, &asker.secret, &id).await;
    assert_eq!(
        (&now["status"], &now["decision_note"]),
        (&json!("denied"), &json!("ask the team"))
    );
    let closed = admin.get("/canvas/requests?show=closed").await.page();
    assert!(closed.contains("writer"));
    // A count that was made at the start is right, too.
    let id = ask(&service, &asker.secret, json!({})).await;
    let mut service = service;
    service.restart().await;
    let admin = Browser::admin(&service).await;
    assert!(
        admin
            .get("/canvas/requests")
            .await
            .page()
            .contains("waiting: </span>1")
    );
    let withdraw = service.ask_as(
        &asker.secret,
        "POST",
        &format!("/org/requests/{id}/withdraw"),
    );
    withdraw.send().await.ok(200);
    let page = admin.get("/canvas/requests").await.page();
    assert!(!page.contains("waiting: </span>"));
    // Nobody takes back what another asked for.
    let path = format!("/canvas/requests/{id}/withdraw");
    assert_eq!(admin.post(&path, &[]).await.status, 404);
}

async fn pages_refuse_other_sites_and_lesser_roles(backend: Backend) {
    let service = Service::guarded(backend).await;
    let admin = Browser::admin(&service).await;
    let key = service.mint(ADMIN, json!({"name": "target"})).await;
    let asker = reader(&service).await;
    let id = ask(&service, &asker.secret, json!({})).await;
    let forms = [
        "/canvas/policy".to_owned(),
        format!("/canvas/security/{}/narrow", key.id),
        format!("/canvas/security/{}/end", key.id),
        format!("/canvas/security/{}/suspend", key.id),
        format!("/canvas/security/{}/revoke", key.id),
        format!("/canvas/requests/{id}/approve"),
        format!("/canvas/requests/{id}/deny"),
        format!("/canvas/requests/{id}/withdraw"),
        format!("/canvas/requests/{id}/collect"),
    ];
    for site in ["cross-site", "same-site", "none"] {
        for path in &forms {
            let typed = [
                ("do", "apply"),
                ("keys_max", "1"),
                ("expires_in", "7d"),
                ("permissions", "channels:read"),
            ];
            assert_eq!(
                admin.post_from(site, path, &typed).await.status,
                403,
                "{site} {path}"
            );
        }
    }
    assert_eq!(service.get(ADMIN, "/org/policy").await, json!({}));
    assert_eq!(show(&service, ADMIN, &id).await["status"], "pending");
    assert_eq!(service.get(ADMIN, &key.path()).await["status"], "active");
    // Keys are for the API: no page takes one.
    for path in [
        "/canvas/audit",
        "/canvas/security",
        "/canvas/policy",
        "/canvas/requests",
    ] {
        let answer = service.ask_as(&key.secret, "GET", path).send().await;
        assert_ne!(answer.status, 200, "{path}");
        assert_eq!(service.ask("GET", path).send().await.status, 303, "{path}");
    }
}
