//! What the identity provider said once, and what it says, or does not say, later.

use std::sync::Arc;

use claviger_core::{ledger::entry::Draft, person::Person, tier::Actor};
use claviger_server::{clock, entropy};
use claviger_testkit::stand_in::Hold;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    ask::Answer,
    idp::{Idp, PUBLIC_URL, come_back, go_away, oidc, seconds, session_of, sign_in},
    service::{ADMIN, Backend, Minted, Service},
};

on_each_database!(
    provider_that_hangs_holds_up_nobody_who_reads,
    sessions_end_where_people_sign_in_elsewhere,
    session_that_cannot_be_asked_about_lasts_an_hour,
    token_that_is_silent_of_roles_is_written_once_an_hour,
    old_access_token_raises_nobody,
    access_token_past_its_end_changes_nothing,
    way_to_the_provider_is_not_for_other_sites,
    callback_of_no_browser_touches_nothing,
    subject_of_any_shape_signs_in,
    refused_access_token_is_recorded_as_its_person,
    whoever_acts_in_an_access_token_stands_in_the_record,
);

const ADA: &str = "user_01HBEQKA6K4QJAS93VPE39W1JT";

async fn whoami(service: &Service, cookie: &str) -> Answer {
    service.ask_in(cookie, "GET", "/org/whoami").send().await
}

async fn make(service: &Service, cookie: &str) -> Answer {
    let ask = service.ask_in(cookie, "POST", "/workspaces");
    ask.json(&json!({"name": "w"})).send().await
}

async fn provider_that_hangs_holds_up_nobody_who_reads(backend: Backend) {
    let idp = Idp::start(backend).await;
    let service = &idp.service;
    let mut cookies = Vec::new();
    for _ in 0..8 {
        cookies.push(idp.sign_in_stale().await);
    }
    let asked = idp.asked();
    let hold = Arc::new(Hold::default());
    idp.workos
        .with(|state| state.hold = Some(Arc::clone(&hold)));
    let first = service.ask_in(&cookies[0], "GET", "/org/whoami");
    let first = tokio::spawn(first.send());
    hold.next().await;
    // While it is being asked about a session, whoever reads there goes on.
    for answer in join_all((0..10).map(|_| whoami(service, &cookies[0]))).await {
        answer.ok(200);
    }
    assert_eq!(idp.asked(), asked + 1);
    let change = service.ask_in(&cookies[0], "POST", "/workspaces");
    let change = tokio::spawn(change.json(&json!({"name": "w"})).send());

    idp.workos.with(|state| state.is_down = true);
    hold.lift();
    first.await.expect("an answer").ok(200);
    let change = change.await.expect("an answer");
    change.problem(503, "session_stale");
    // It has not answered about one, so for a while nobody waits for it.
    for answer in join_all(cookies.iter().map(|cookie| whoami(service, cookie))).await {
        answer.ok(200);
    }
    for answer in join_all(cookies.iter().map(|cookie| make(service, cookie))).await {
        answer.problem(503, "session_stale");
    }
    // Once more at most, should all this have taken longer than the while.
    assert!(idp.asked() <= asked + 2, "{} then {}", asked, idp.asked());
}

async fn sessions_end_where_people_sign_in_elsewhere(backend: Backend) {
    let before = Idp::start(backend).await;
    let (stale, fresh) = (before.sign_in_stale().await, before.sign_in().await);
    let key = before.service.ask_in(&fresh, "POST", "/org/tokens");
    let key = Minted::of(&key.json(&json!({"name": "k"})).send().await.ok(201));
    let mut service = before.service;
    service.stop().await;
    service.clear_settings();
    let mut after = Idp::stopped(service).await;
    after.service.start().await.expect("the server starts");
    let expect_over = async |service: &Service| {
        for cookie in [&stale, &fresh] {
            whoami(service, cookie).await.problem(401, "session_ended");
            let tail = service.ask_in(cookie, "GET", "/org/audit/stream");
            tail.send().await.problem(401, "session_ended");
        }
        // What they made follows the last role that was known.
        service.get(&key.secret, "/org/whoami").await;
    };
    expect_over(&after.service).await;
    assert_eq!(after.asked(), 0, "it has seen the other's refresh token");
    // And with none at all.
    let mut service = after.service;
    service.stop().await;
    service.clear_settings();
    service.add_setting("public-url", PUBLIC_URL);
    service.set_admin_token(ADMIN);
    service.start().await.expect("the server starts");
    expect_over(&service).await;
}

async fn session_that_cannot_be_asked_about_lasts_an_hour(backend: Backend) {
    let (service, provider) = oidc(backend).await;
    let end = async |cookie: &str| {
        let me = whoami(&service, cookie).await.ok(200);
        me["person"]["expires_at"]
            .as_str()
            .expect("an end")
            .to_owned()
    };
    let hour = |minutes: i64| {
        let at = (seconds() + minutes * 60) * 1000;
        claviger_core::time::Timestamp::from_millis(at).to_string()
    };
    let asked = end(&sign_in(&service).await).await;
    assert!(asked > hour(100), "{asked}");
    provider.with(|state| state.has_refresh_token = false);
    let unasked = end(&sign_in(&service).await).await;
    assert!(unasked > hour(50) && unasked < hour(61), "{unasked}");
}

/// Changes a person behind the service's back.
async fn alter(service: &mut Service, id: &str, change: impl FnOnce(Person) -> Person) {
    service.stop().await;
    let now = clock::now();
    let options = claviger_store::OpenOptions {
        url: service.config().database_url.clone(),
        sync_audit: false,
        default_org: entropy::new_id(),
        now,
    };
    let store = claviger_store::open(options).await.expect("opened");
    let people = store.load_people().await.expect("people");
    let person = people.into_iter().find(|person| person.id.as_str() == id);
    let person = change(person.expect("the person"));
    let org = person.org;
    let record = move |_: &claviger_store::Begun| {
        Draft::of_operation(entropy::new_id(), 0, now, org, &Actor::AdminToken).write()
    };
    let written = store.sign_in(person, None, Box::new(record)).await;
    assert!(written.is_ok(), "{written:?}");
    store.close().await;
    drop(store);
    service.start().await.expect("the server starts");
}

async fn token_that_is_silent_of_roles_is_written_once_an_hour(backend: Backend) {
    let mut idp = Idp::start(backend).await;
    idp.sign_in().await;
    let old = clock::now().millis() - 7_200_000;
    let old = claviger_core::time::Timestamp::from_millis(old);
    alter(&mut idp.service, ADA, |person| Person {
        last_seen_at: old,
        ..person
    })
    .await;
    let silent = json!({"role": null, "roles": null, "permissions": null});
    let token = idp.access_token_with(silent);
    let member = async || idp.service.get(ADMIN, &format!("/org/members/{ADA}")).await;
    assert_eq!(member().await["last_seen_at"], old.to_string());
    for _ in 0..3 {
        let me = idp.service.get(&token, "/org/whoami").await;
        assert_eq!(me["person"]["role"], "admin");
    }
    assert_ne!(member().await["last_seen_at"], old.to_string());
    let seen = format!("&actor=session:{ADA}");
    let seen = idp.service.audit(ADMIN, &seen).await;
    let seen = seen
        .iter()
        .filter(|r| !r["change"]["person_seen"].is_null());
    assert_eq!(seen.count(), 1);
}

/// The access token of a person with this role, issued so many seconds from now.
fn token_of(idp: &Idp, role: &str, at: i64) -> String {
    let at = seconds() + at;
    idp.access_token_with(json!({
        "role": role, "roles": [role], "permissions": [], "iat": at, "exp": at + 300,
    }))
}

async fn role_in(service: &Service, cookie: &str) -> Value {
    whoami(service, cookie).await.ok(200)["person"]["role"].clone()
}

async fn old_access_token_raises_nobody(backend: Backend) {
    let idp = Idp::start(backend).await;
    let service = &idp.service;
    let old = token_of(&idp, "admin", -100);
    service.get(&old, "/org/whoami").await;
    idp.visitor(ADA, "reader");
    let cookie = idp.sign_in().await;
    for _ in 0..2 {
        assert_eq!(role_in(service, &cookie).await, "reader");
        make(service, &cookie)
            .await
            .problem(403, "missing_permission");
        let by = service.ask_as(&old, "POST", "/workspaces");
        let by = by.json(&json!({"name": "w"})).send().await;
        by.problem(403, "missing_permission");
    }
    // A newer word counts, also for sessions.
    let new = token_of(&idp, "admin", 30);
    service.workspace(&new).await;
    assert_eq!(role_in(service, &cookie).await, "admin");
    make(service, &cookie).await.ok(201);
}

async fn access_token_past_its_end_changes_nothing(backend: Backend) {
    let idp = Idp::start(backend).await;
    let service = &idp.service;
    idp.visitor(ADA, "reader");
    let cookie = idp.sign_in().await;
    let seen = service.get(ADMIN, &format!("/org/members/{ADA}")).await;
    let claims = json!({
        "role": "admin", "roles": ["admin"], "permissions": [],
        "iat": seconds() + 30, "exp": seconds() - 30,
    });
    for id in [ADA, "user_new"] {
        idp.visitor(id, "admin");
        let token = idp.access_token_with(claims.clone());
        let me = service.ask_as(&token, "GET", "/org/whoami").send().await;
        me.problem(401, "session_ended");
    }
    let people = service.get(ADMIN, "/org/members").await;
    assert_eq!(people["members"], json!([seen]));
    assert_eq!(role_in(service, &cookie).await, "reader");
}

async fn way_to_the_provider_is_not_for_other_sites(backend: Backend) {
    let idp = Idp::start(backend).await;
    let service = &idp.service;
    // More often than an address may go there in a minute.
    for _ in 0..40 {
        let image = service.ask("GET", "/canvas/sign-in/provider");
        let image = image.header("sec-fetch-site", "cross-site");
        let image = image.header("sec-fetch-mode", "no-cors");
        let image = image.header("sec-fetch-dest", "image").send().await;
        assert!(image.is(403).contains("cross_site"));
        assert!(image.header("set-cookie").is_none());
    }
    let away = go_away(service, "").await;
    let back = come_back(service, &away.back, away.cookie()).await;
    assert_eq!(back.status, 303, "{}", back.text());
}

async fn callback_of_no_browser_touches_nothing(backend: Backend) {
    let idp = Idp::start(backend).await;
    let service = &idp.service;
    let away = go_away(service, "").await;
    let asked = idp.asked();
    // More often than an address may fail to sign in.
    for _ in 0..40 {
        let back = come_back(service, &away.back, "a=b").await;
        assert!(back.is(401).contains("sign_in_spent"));
        assert!(session_of(&back).is_none());
    }
    assert_eq!(idp.asked(), asked);
    let back = come_back(service, &away.back, away.cookie()).await;
    assert_eq!(back.status, 303, "{}", back.text());
}

async fn subject_of_any_shape_signs_in(backend: Backend) {
    let (service, provider) = oidc(backend).await;
    for (subject, segment) in [
        ("auth0|5f7c", "auth0%7C5f7c"),
        ("uid=ada;ou=x", "~7569643d6164613b6f753d78"),
        (
            "https://id.example/a%20b",
            "~68747470733a2f2f69642e6578616d706c652f6125323062",
        ),
        ("EXAMPLE\\ada", "~4558414d504c455c616461"),
    ] {
        provider.with(|state| {
            state.claims = json!({"role": "admin", "sub": subject});
            state.userinfo = json!({"sub": subject, "email": "ada@example.com"});
        });
        let cookie = sign_in(&service).await;
        let me = service.ask_in(&cookie, "GET", "/org/whoami").send().await;
        assert_eq!(me.ok(200)["actor"], format!("session:{subject}"));
        let path = format!("/org/members/{segment}");
        assert_eq!(service.get(ADMIN, &path).await["id"], subject);
        let suspend = service.ask_as(ADMIN, "POST", &format!("{path}/suspend"));
        suspend.send().await.ok(200);
        let me = service.ask_in(&cookie, "GET", "/org/whoami").send().await;
        me.problem(401, "session_ended");
    }
}

async fn refused_access_token_is_recorded_as_its_person(backend: Backend) {
    let idp = Idp::start(backend).await;
    let service = &idp.service;
    let token = idp.access_token();
    service.get(&token, "/org/whoami").await;
    let path = format!("/org/members/{ADA}");
    let suspend = service.ask_as(ADMIN, "POST", &format!("{path}/suspend"));
    suspend.send().await.ok(200);
    let refused = service.ask_as(&token, "GET", "/workspaces").send().await;
    refused.problem(401, "person_suspended");
    service.ask_as(ADMIN, "DELETE", &path).send().await.ok(200);
    let refused = service.ask_as(&token, "GET", "/org/tokens").send().await;
    refused.problem(401, "person_removed");
    let records = service.audit(ADMIN, &format!("&actor=session:{ADA}")).await;
    let said: Vec<_> = records[..2]
        .iter()
        .map(|record| {
            (
                &record["path"],
                &record["kind"],
                &record["code"],
                &record["tier"],
            )
        })
        .collect();
    let (kind, tier) = (json!("request"), json!("1"));
    let expected = [
        (
            &json!("/org/tokens"),
            &kind,
            &json!("person_removed"),
            &tier,
        ),
        (
            &json!("/workspaces"),
            &kind,
            &json!("person_suspended"),
            &tier,
        ),
    ];
    assert_eq!(said, expected, "{records:?}");
}

async fn whoever_acts_in_an_access_token_stands_in_the_record(backend: Backend) {
    let (service, provider) = oidc(backend).await;
    let token = |act: Value| {
        provider.with(|state| {
            let claims = json!({
                "iss": provider.issuer(), "aud": "claviger", "sub": "ada", "role": "admin",
                "iat": seconds(), "exp": seconds() + 300, "act": act,
            });
            state.signer.sign(&claims)
        })
    };
    let named = token(json!({"sub": "boss@example.com"}));
    let me = service.get(&named, "/org/whoami").await;
    assert_eq!(me["person"]["impersonator"], "boss@example.com");
    let records = service.audit(ADMIN, "&actor=session:ada").await;
    let record = &records[0];
    assert_eq!(
        (&record["path"], &record["impersonator"]),
        (&json!("/org/whoami"), &json!("boss@example.com"))
    );
    // Filters that the index answers find such a record as any other.
    let found = service.audit(ADMIN, "&route=/org/whoami").await;
    assert_eq!(found[0]["impersonator"], "boss@example.com");
    let unnamed = service.ask_as(&token(json!({"iss": "x"})), "GET", "/org/whoami");
    assert_eq!(unnamed.send().await.status, 401);
    // So does whoever acts in a sign-in.
    provider.with(|state| {
        state.claims = json!({"role": "admin", "act": {"sub": "boss@example.com"}});
    });
    let cookie = sign_in(&service).await;
    let me = service.ask_in(&cookie, "GET", "/org/whoami").send().await;
    assert_eq!(me.ok(200)["person"]["impersonator"], "boss@example.com");
}
