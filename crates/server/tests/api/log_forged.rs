//! Whoever can write to the database has nothing signed that is not what was there.

use claviger_core::ledger::tree::{Frontier, leaf_hash};
use claviger_server::rotate_log_key;
use serde_json::json;

use crate::{
    log::{Outsider, note},
    log_key::open_store,
    service::{ADMIN, Backend, Service},
};

on_each_database!(
    edge_of_the_tree_that_was_changed_is_not_signed,
    row_of_a_checkpoint_that_was_changed_stops_the_next_one,
    history_that_was_rewritten_beside_the_server_is_not_signed,
    trail_that_was_changed_stops_no_other_at_a_rotation,
);

/// How bytes are written in a statement.
fn blob(backend: Backend, bytes: &[u8]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    match backend {
        Backend::Sqlite => format!("x'{hex}'"),
        Backend::Postgres => format!("'\\x{hex}'::bytea"),
    }
}

async fn expect_unsigned(service: &Service) {
    let ask = service.ask_as(ADMIN, "GET", "/org/audit/checkpoint");
    let problem = ask.send().await.problem(500, "ledger_inconsistent");
    let detail = problem["detail"].as_str().expect("words");
    assert!(detail.contains("claviger audit verify --live"), "{detail}");
    // The service goes on, and records what is asked of it.
    service.get(ADMIN, "/org/whoami").await;
}

async fn edge_of_the_tree_that_was_changed_is_not_signed(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    for _ in 0..3 {
        service.get(ADMIN, "/org/whoami").await;
    }
    service.stop().await;
    let store = open_store(&service).await;
    let org = store.deployment().await.expect("there").default_org;
    let mut peaks = store.ledger_row(org).await.expect("a row").peaks;
    store.close().await;
    *peaks.last_mut().expect("some") ^= 1;
    let peaks = blob(backend, &peaks);
    service.sql(&format!("update ledgers set peaks = {peaks}"));
    service.start().await.expect("it starts");
    expect_unsigned(&service).await;
}

async fn row_of_a_checkpoint_that_was_changed_stops_the_next_one(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    note(&service, ADMIN).await;
    service.stop().await;
    // As if less had been signed.
    let root = blob(backend, &[7; 32]);
    service.sql(&format!("update audit_checkpoints set root = {root}"));
    service.start().await.expect("it starts");
    expect_unsigned(&service).await;
}

async fn history_that_was_rewritten_beside_the_server_is_not_signed(backend: Backend) {
    let service = Service::guarded(backend).await;
    let outsider = Outsider::of(&service, ADMIN).await;
    outsider.open(&note(&service, ADMIN).await);
    let export = service.ask_as(ADMIN, "GET", "/org/audit/export?format=jsonl");
    let export = export.send().await.text();
    // One byte of the first record: everything else fits, and no checkpoint is left that could tell.
    let forged = export.replacen("\"id\"", "\"iD\"", 1);
    assert_ne!(forged, export);
    let mut tree = Frontier::default();
    for line in forged.lines() {
        tree.append(leaf_hash(line.as_bytes()));
    }
    let (size, peaks) = (tree.size(), blob(backend, &tree.to_bytes()));
    let lines = blob(backend, forged.as_bytes());
    let statements = format!(
        "delete from audit_checkpoints; delete from audit_runs where first_seq > 1; \
         update audit_runs set last_seq = {size}, lines = {lines}; \
         update ledgers set size = {size}, peaks = {peaks};"
    );
    claviger_testkit::execute(&service.config().database_url, &statements);
    expect_unsigned(&service).await;
}

async fn trail_that_was_changed_stops_no_other_at_a_rotation(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    let other = service
        .make(ADMIN, "/admin/orgs", json!({"name": "other"}))
        .await;
    let other = other["id"].as_str().expect("an id").to_owned();
    let in_other = |service: &Service, path: &str| {
        service
            .ask_as(ADMIN, "GET", path)
            .header("x-org-id", &other)
    };
    note(&service, ADMIN).await;
    let answer = in_other(&service, "/org/audit/checkpoint").send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    service.stop().await;
    let peaks = blob(backend, leaf_hash(b"never recorded").as_bytes());
    service.sql(&format!(
        "update ledgers set size = 1, peaks = {peaks} where org = '{other}'"
    ));
    rotate_log_key(service.config(), false)
        .await
        .expect("rotated");
    for _ in 0..2 {
        service.start().await.expect("the other trails are served");
        note(&service, ADMIN).await;
        let refused = in_other(&service, "/org/audit/checkpoint").send().await;
        refused.problem(500, "ledger_inconsistent");
        service.stop().await;
    }
}
