//! Sessions of people: how they begin, what may use them, how they end.

use serde_json::json;

use crate::{
    ask::Answer,
    service::{ADMIN, Backend, Minted, Service, link_token, text},
};

on_each_database!(
    link_signs_in_once,
    link_that_nobody_made_signs_nobody_in,
    session_of_the_link_of_a_key_holds_no_more_and_ends_with_it,
    admin_token_signs_in_and_its_sessions_end_with_it,
    guessing_is_limited_and_signing_in_is_not,
    session_outlives_a_restart_and_signing_out_does_too,
    signing_out_everywhere_ends_every_session,
    bearer_counts_and_not_the_cookie_beside_it,
    bad_cookie_is_not_ignored_for_tier_0,
    session_is_used_from_our_own_pages_alone,
    person_is_attributed,
    cookie_is_kept_from_scripts_and_other_sites,
    pages_are_for_people,
    session_that_ended_leads_to_the_sign_in_page_and_back,
    whoami_says_which_person_and_until_when,
    sessions_that_are_over_are_cleared_away,
);

fn location(answer: &Answer) -> &str {
    answer.header("location").unwrap_or_default()
}

async fn link_signs_in_once(backend: Backend) {
    let service = Service::guarded(backend).await;
    let made = service.ask_as(ADMIN, "POST", "/org/login-links").send();
    let token = link_token(&made.await.ok(201));
    let first = service.use_link(&token).await;
    assert_eq!((first.status, location(&first)), (303, "/canvas"));
    let second = service.use_link(&token).await;
    assert_eq!(second.status, 401);
    assert!(second.is(401).contains("This link does not work any more"));
    assert!(second.header("set-cookie").is_none());
}

async fn link_that_nobody_made_signs_nobody_in(backend: Backend) {
    let service = Service::guarded(backend).await;
    for token in ["", "x", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
        let answer = service.use_link(token).await;
        assert_eq!(answer.status, 401, "{token}");
        assert!(answer.header("set-cookie").is_none());
    }
    let reader = service
        .mint(ADMIN, json!({"name": "r", "preset": "reader"}))
        .await;
    let made = service.ask_as(&reader.secret, "POST", "/org/login-links");
    made.send().await.problem(403, "missing_permission");
}

async fn session_of_the_link_of_a_key_holds_no_more_and_ends_with_it(backend: Backend) {
    let service = Service::guarded(backend).await;
    let body =
        json!({"name": "k", "permissions": ["org:admin", "org.tokens:mint", "org.tokens:read"]});
    let key = service.mint(ADMIN, body).await;
    let cookie = service.sign_in(&key.secret).await;
    let me = service.ask_in(&cookie, "GET", "/org/whoami").send().await;
    assert_eq!(me.ok(200)["actor"], "session:local-admin");
    let refused = service.ask_in(&cookie, "POST", "/workspaces");
    let refused = refused.json(&json!({"name": "w"})).send().await;
    refused.problem(403, "missing_permission");
    let mint = service.ask_in(&cookie, "POST", "/org/tokens");
    let child = mint.json(&json!({"name": "child"})).send().await.ok(201);
    assert_eq!(child["created_by"], "session:local-admin");
    let child = Minted::of(&child);
    service.get(&child.secret, "/org/whoami").await;
    let end = service.ask_as(ADMIN, "DELETE", &key.path());
    let end = end.send().await.ok(200);
    assert_eq!(end["descendants"], json!([child.id]));
    let after = service.ask_in(&cookie, "GET", "/org/whoami").send().await;
    after.problem(401, "session_ended");
    let after = service.ask_as(&child.secret, "GET", "/org/whoami");
    after.send().await.problem(401, "token_revoked");
}

async fn admin_token_signs_in_and_its_sessions_end_with_it(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    let sign_in = |token: &str| {
        let ask = service.ask("POST", "/canvas/sign-in");
        let ask = ask.header("sec-fetch-site", "same-origin");
        ask.form(&[("token", token), ("next", "/canvas/audit")])
            .send()
    };
    let wrong = sign_in("not-the-admin-token-0123456789abcdef-9876").await;
    assert_eq!(wrong.status, 401);
    assert!(wrong.header("set-cookie").is_none());
    let right = sign_in(ADMIN).await;
    assert_eq!((right.status, location(&right)), (303, "/canvas/audit"));
    let cookie = right.header("set-cookie").expect("a cookie");
    let cookie = cookie.split(';').next().expect("a pair").to_owned();
    let by_link = service.sign_in(ADMIN).await;
    for cookie in [&cookie, &by_link] {
        let me = service.ask_in(cookie, "GET", "/org/whoami").send().await;
        me.ok(200);
    }
    service.set_admin_token("another-admin-token-for-tests-0123456789");
    service.reload_admin_token();
    for cookie in [&cookie, &by_link] {
        let me = service.ask_in(cookie, "GET", "/org/whoami").send().await;
        me.problem(401, "session_ended");
    }
}

async fn guessing_is_limited_and_signing_in_is_not(backend: Backend) {
    let service = Service::guarded(backend).await;
    for _ in 0..40 {
        service.sign_in(ADMIN).await;
    }
    let mut refused = 0;
    for _ in 0..40 {
        refused += i32::from(service.use_link("guess").await.status == 429);
    }
    assert!((5..=10).contains(&refused), "{refused} of 40");
}

async fn session_outlives_a_restart_and_signing_out_does_too(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    let kept = service.sign_in(ADMIN).await;
    let left = service.sign_in(ADMIN).await;
    let out = service
        .ask_in(&left, "POST", "/canvas/sign-out")
        .send()
        .await;
    assert_eq!(out.status, 303);
    assert!(
        out.header("set-cookie")
            .is_some_and(|c| c.contains("Max-Age=0"))
    );
    for _ in 0..2 {
        let me = service.ask_in(&kept, "GET", "/org/whoami").send().await;
        me.ok(200);
        let me = service.ask_in(&left, "GET", "/org/whoami").send().await;
        me.problem(401, "session_ended");
        service.restart().await;
    }
}

async fn signing_out_everywhere_ends_every_session(backend: Backend) {
    let service = Service::guarded(backend).await;
    let (here, there) = (service.sign_in(ADMIN).await, service.sign_in(ADMIN).await);
    let list = service.ask_in(&here, "GET", "/org/sessions").send().await;
    let list = list.ok(200);
    let sessions = list["sessions"].as_array().expect("sessions");
    assert_eq!(sessions.len(), 2);
    let current: Vec<_> = sessions
        .iter()
        .filter(|s| s["is_current"] == true)
        .collect();
    let [current] = current[..] else {
        panic!("{list}");
    };
    let other = sessions.iter().find(|s| s["is_current"] == false);
    let other = text(&other.expect("another")["id"]);
    assert_eq!(current["method"], "link");
    // One of them, then all.
    let third = service.sign_in(ADMIN).await;
    let path = format!("/org/sessions/{other}");
    let one = service.ask_in(&here, "DELETE", &path).send().await.ok(200);
    assert_eq!(one["ended"], json!([other]));
    let gone = service.ask_in(&here, "DELETE", &path).send().await;
    gone.problem(404, "not_found");
    let ended = service.ask_in(&there, "GET", "/org/whoami").send().await;
    ended.problem(401, "session_ended");
    let all = service
        .ask_in(&here, "DELETE", "/org/sessions")
        .send()
        .await;
    assert_eq!(all.ok(200)["ended"].as_array().map(Vec::len), Some(2));
    for cookie in [&here, &third] {
        let me = service.ask_in(cookie, "GET", "/org/whoami").send().await;
        me.problem(401, "session_ended");
    }
    let by_key = service.ask_as(ADMIN, "GET", "/org/sessions").send().await;
    by_key.problem(403, "person_wanted");
}

async fn bearer_counts_and_not_the_cookie_beside_it(backend: Backend) {
    let service = Service::guarded(backend).await;
    let cookie = service.sign_in(ADMIN).await;
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    let both = service.ask_in(&cookie, "GET", "/org/whoami");
    let me = both.bearer(&key.secret).send().await.ok(200);
    assert_eq!(me["actor"], key.actor());
    let bad = service.ask_in(&cookie, "GET", "/org/whoami");
    let bad = bad.bearer("mole_short").send().await;
    bad.problem(401, "malformed_token");
}

async fn bad_cookie_is_not_ignored_for_tier_0(backend: Backend) {
    let service = Service::fresh(backend).await;
    service.ask("GET", "/org/whoami").send().await.ok(200);
    for cookie in [
        "claviger_session=nobody",
        "claviger_session=",
        "claviger_session=a; claviger_session=b",
    ] {
        let me = service.ask("GET", "/org/whoami").header("cookie", cookie);
        me.send().await.problem(401, "session_ended");
    }
    let other = service.ask("GET", "/org/whoami").header("cookie", "a=b");
    other.send().await.ok(200);
}

async fn session_is_used_from_our_own_pages_alone(backend: Backend) {
    let service = Service::guarded(backend).await;
    let cookie = service.sign_in(ADMIN).await;
    let own = format!("http://{}", service.address());
    let evil = "https://evil.example";
    type Headers<'a> = &'a [(&'a str, &'a str)];
    let table: [(Headers<'_>, bool, bool); 9] = [
        (&[("sec-fetch-site", "same-origin")], true, true),
        (
            &[("sec-fetch-site", "same-origin"), ("origin", &own)],
            true,
            true,
        ),
        (&[("origin", &own)], true, true),
        (&[], true, false),
        (&[("sec-fetch-site", "none")], true, false),
        (&[("sec-fetch-site", "same-site")], false, false),
        (
            &[("sec-fetch-site", "cross-site"), ("origin", evil)],
            false,
            false,
        ),
        (
            &[
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-mode", "navigate"),
                ("sec-fetch-dest", "document"),
            ],
            false,
            false,
        ),
        (&[("origin", "null")], false, false),
    ];
    for (headers, may_read, may_change) in table {
        for (method, may) in [("GET", may_read), ("POST", may_change)] {
            let ask = service.ask(method, "/workspaces").header("cookie", &cookie);
            let ask = headers
                .iter()
                .fold(ask, |ask, (name, value)| ask.header(name, value));
            let ask = if method == "POST" {
                ask.json(&json!({"name": "w"}))
            } else {
                ask
            };
            let answer = ask.send().await;
            match may {
                true => assert!(
                    answer.status < 300,
                    "{method} {headers:?}: {}",
                    answer.text()
                ),
                false => drop(answer.problem(403, "cross_site")),
            }
        }
    }
    // A page may be followed to from elsewhere, and a form may not come from there.
    let followed = service
        .ask("GET", "/canvas/sign-in")
        .header("cookie", &cookie);
    let followed = followed
        .header("sec-fetch-site", "cross-site")
        .header("sec-fetch-mode", "navigate")
        .header("sec-fetch-dest", "document");
    assert_eq!(followed.send().await.status, 303);
    for origin in [evil, "null"] {
        let out = service
            .ask("POST", "/canvas/sign-out")
            .header("cookie", &cookie);
        let out = out.header("origin", origin).send().await;
        assert_eq!(out.status, 403);
    }
    let me = service.ask_in(&cookie, "GET", "/org/whoami").send().await;
    me.ok(200);
    // Nor may somebody else's link be used on a person from elsewhere.
    let made = service.ask_as(ADMIN, "POST", "/org/login-links").send();
    let token = link_token(&made.await.ok(201));
    let planted = service
        .ask("POST", "/canvas/link")
        .header("sec-fetch-site", "cross-site");
    let planted = planted.form(&[("token", &token)]).send().await;
    assert_eq!(planted.status, 403);
    assert!(planted.header("set-cookie").is_none());
}

async fn person_is_attributed(backend: Backend) {
    let service = Service::guarded(backend).await;
    let cookie = service.sign_in(ADMIN).await;
    let made = service.ask_in(&cookie, "POST", "/workspaces");
    let made = made.json(&json!({"name": "w"})).send().await.ok(201);
    assert_eq!(made["created_by"], "session:local-admin");
    let records = service.audit(ADMIN, "&actor=session:local-admin").await;
    let routes: Vec<_> = records
        .iter()
        .map(|record| text(&record["route"]))
        .collect();
    assert_eq!(routes, ["/workspaces", "/canvas/link"]);
    let signed_in = &records[1]["change"]["signed_in"];
    assert_eq!(signed_in["method"], "link");
    assert_eq!(signed_in["link_by"], "admin-token");
    for record in &records {
        assert_eq!(
            (&record["tier"], &record["root"]),
            (&json!("1"), &json!("session:local-admin"))
        );
    }
    let links = service.audit(ADMIN, "&actor=admin-token").await;
    assert!(
        links
            .iter()
            .any(|record| record["route"] == "/org/login-links")
    );
}

async fn cookie_is_kept_from_scripts_and_other_sites(backend: Backend) {
    let service = Service::guarded(backend).await;
    let made = service.ask_as(ADMIN, "POST", "/org/login-links").send();
    let answer = service.use_link(&link_token(&made.await.ok(201))).await;
    let cookie = answer.header("set-cookie").expect("a cookie").to_owned();
    assert!(cookie.starts_with("claviger_session="), "{cookie}");
    for part in [
        "; Path=/",
        "; HttpOnly",
        "; SameSite=Lax",
        "; Max-Age=86400",
    ] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(
        !cookie.contains("Secure") && !cookie.contains("Domain"),
        "{cookie}"
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"));

    let url = "https://keys.example".to_owned();
    let service = Service::guarded_with(backend, |flags| flags.public_url = Some(url)).await;
    let made = service.ask_as(ADMIN, "POST", "/org/login-links").send();
    let made = made.await.ok(201);
    assert!(text(&made["url"]).starts_with("https://keys.example/canvas/link#"));
    let answer = service.use_link(&link_token(&made)).await;
    let cookie = answer.header("set-cookie").expect("a cookie").to_owned();
    assert!(cookie.starts_with("__Host-claviger="), "{cookie}");
    assert!(
        cookie.contains("; Secure") && cookie.contains("; Path=/"),
        "{cookie}"
    );
}

async fn pages_are_for_people(backend: Backend) {
    let service = Service::guarded(backend).await;
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    for token in [ADMIN, &key.secret] {
        let page = service.ask_as(token, "POST", "/canvas/sign-out");
        let page = page.header("sec-fetch-site", "same-origin").send().await;
        assert_eq!(page.status, 403);
        assert!(page.text().contains("people_only"), "{}", page.text());
    }
    let fresh = Service::fresh(backend).await;
    let page = fresh.ask("POST", "/canvas/sign-out");
    let page = page.header("sec-fetch-site", "same-origin").send().await;
    assert_eq!(
        (page.status, location(&page)),
        (303, "/canvas/sign-in"),
        "tier 0 is for programs"
    );
}

async fn session_that_ended_leads_to_the_sign_in_page_and_back(backend: Backend) {
    let service = Service::guarded(backend).await;
    let cookie = service.sign_in(ADMIN).await;
    service
        .ask_in(&cookie, "POST", "/canvas/sign-out")
        .send()
        .await;
    let ask = service.ask_in(&cookie, "GET", "/canvas/nowhere?q=a%20b");
    let answer = ask.send().await;
    let expected = "/canvas/sign-in?next=%2Fcanvas%2Fnowhere%3Fq%3Da%2520b&reason=session_ended";
    assert_eq!((answer.status, location(&answer)), (303, expected));
    let page = service.ask_in(&cookie, "GET", expected).send().await;
    assert_eq!(page.status, 200);
    assert!(
        page.text().contains("Your session has ended"),
        "{}",
        page.text()
    );
    assert!(
        page.text().contains("value=\"/canvas/nowhere?q=a%20b\""),
        "{}",
        page.text()
    );
    let policy = page.header("content-security-policy").unwrap_or_default();
    assert!(
        policy.contains("default-src 'none'") && !policy.contains("unsafe"),
        "{policy}"
    );
}

async fn whoami_says_which_person_and_until_when(backend: Backend) {
    let service = Service::guarded(backend).await;
    let cookie = service.sign_in(ADMIN).await;
    let me = service.ask_in(&cookie, "GET", "/org/whoami").send().await;
    let me = me.ok(200);
    let list = service.ask_in(&cookie, "GET", "/org/sessions").send().await;
    let own = list.ok(200)["sessions"][0].clone();
    assert_eq!(
        me["person"],
        json!({
            "id": "local-admin",
            "name": "Local administrator",
            "role": "admin",
            "session": own["id"],
            "expires_at": own["expires_at"],
        })
    );
    assert_eq!((&me["key"], &me["tier"]), (&json!(null), &json!("1")));
    let key = service.mint(ADMIN, json!({"name": "k"})).await;
    for token in [ADMIN, &key.secret] {
        let me = service.get(token, "/org/whoami").await;
        assert!(me.get("person").is_none(), "{me}");
    }
}

async fn sessions_that_are_over_are_cleared_away(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    let cookie = service.sign_in(ADMIN).await;
    let now = claviger_server::clock::now();
    let is_known = async |service: &Service| {
        let me = service.ask_in(&cookie, "GET", "/org/whoami").send().await;
        match me.status {
            200 => true,
            _ => {
                me.problem(401, "session_ended");
                false
            }
        }
    };
    service.sweep(now).await;
    assert!(is_known(&service).await);
    // A day later it is over; the clock of this test has not come so far, so it was cleared away.
    service
        .sweep(now.plus(std::time::Duration::from_hours(25)))
        .await;
    assert!(!is_known(&service).await);
    service.restart().await;
    assert!(!is_known(&service).await, "from the store too");
}
