//! One session that several nodes over one PostgreSQL refresh: what the provider gave works once, so one of
//! them asks. The other node is played by what it would write.

use claviger_server::clock;
use serde_json::json;

use crate::{
    idp::Idp,
    service::{Backend, Service},
};

fn alter_sessions(service: &Service, set: &str) {
    let database = service.database().expect("it is on PostgreSQL");
    let altered = database.query(&format!("update sessions set {set}"));
    assert_eq!(altered, Ok(String::new()));
}

/// What waits for a word of the provider.
fn change(service: &Service, cookie: &str) -> impl Future<Output = crate::ask::Answer> + 'static {
    let ask = service.ask_in(cookie, "POST", "/workspaces");
    ask.json(&json!({"name": "w"})).send()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn session_that_another_node_refreshes_is_not_refreshed_twice() {
    let idp = Idp::start(Backend::Postgres).await;
    let service = &idp.service;
    let cookie = idp.sign_in_stale().await;
    let asked = idp.asked();
    let now = clock::now().millis();
    alter_sessions(service, &format!("asked_until = {}", now + 15_000));
    let waiting = tokio::spawn(change(service, &cookie));
    // Whoever reads does not wait for the other node.
    let me = service.ask_in(&cookie, "GET", "/org/whoami").send().await;
    me.ok(200);
    assert!(!waiting.is_finished(), "it waits for the other node");
    let fresh = now + 300_000;
    alter_sessions(
        service,
        &format!("asked_until = null, fresh_until = {fresh}"),
    );
    waiting.await.expect("an answer").ok(201);
    assert_eq!(idp.asked(), asked, "the other node has asked");
    change(service, &cookie).await.ok(201);
    assert_eq!(idp.asked(), asked, "and its word is still fresh");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn turn_of_a_node_that_has_died_ends() {
    let idp = Idp::start(Backend::Postgres).await;
    let service = &idp.service;
    let cookie = idp.sign_in_stale().await;
    let asked = idp.asked();
    // It would have had its answer by now.
    let now = clock::now().millis();
    alter_sessions(service, &format!("asked_until = {}", now + 1_500));
    change(service, &cookie).await.ok(201);
    assert_eq!(idp.asked(), asked + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn turn_without_an_answer_is_given_back() {
    let idp = Idp::start(Backend::Postgres).await;
    let service = &idp.service;
    let cookie = idp.sign_in_stale().await;
    idp.workos.with(|state| state.is_down = true);
    change(service, &cookie).await.problem(503, "session_stale");
    let database = service.database().expect("it is on PostgreSQL");
    let taken = database.query("select count(*) from sessions where asked_until is not null");
    assert_eq!(taken, Ok("0".to_owned()));
}
