//! The key of the ledger over time: kept, rotated, lost, replaced by another.

use std::path::PathBuf;

use aws_lc_rs::signature::Ed25519KeyPair;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use claviger_core::ledger::{checkpoint::Checkpoint, note::Note, tree::leaf_hash};
use claviger_server::{ServeError, log_key::LogKeyError, rotate_log_key};
use claviger_store::Store;
use serde_json::{Value, json};

use crate::{
    log::{Outsider, note},
    service::{ADMIN, Backend, Service, text},
};

on_each_database!(
    rotation_is_seen_by_those_who_know_the_old_key,
    other_or_lost_key_is_refused_at_start_unless_it_is_accepted,
    key_is_made_once_and_never_where_the_operator_named_it,
    tree_that_contradicts_what_was_signed_is_not_signed,
);

fn key_file(service: &Service) -> PathBuf {
    service.data_dir().join("ledger.key")
}

/// The changes of the key that the trail tells of, oldest first.
async fn told(service: &Service) -> Vec<Value> {
    let records = service.audit(ADMIN, "").await;
    let operations = records
        .iter()
        .rev()
        .filter(|record| record["kind"] == "operation");
    let changes = operations.filter(|record| record["change"]["ledger_key"].is_object());
    changes
        .map(|record| {
            assert_eq!(record["actor"], "admin-token");
            json!([record["path"], record["change"]["ledger_key"]])
        })
        .collect()
}

fn id(outsider: &Outsider, at: usize) -> String {
    format!("{:08x}", u32::from_be_bytes(outsider.keys[at].id()))
}

async fn rotation_is_seen_by_those_who_know_the_old_key(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    let old = Outsider::of(&service, ADMIN).await;
    let first = old.open(&note(&service, ADMIN).await);
    let rotate = |service: &Service, finish| rotate_log_key(service.config(), finish);
    assert!(matches!(
        rotate(&service, false).await,
        Err(ServeError::Store(_))
    ));
    service.restart().await;
    assert_eq!(Outsider::of(&service, ADMIN).await.keys, old.keys);
    service.stop().await;
    assert_eq!(rotate(&service, false).await.expect("rotated"), 2);
    let refused = rotate(&service, true).await;
    assert!(matches!(
        refused,
        Err(ServeError::LogKey(LogKeyError::Unsigned { .. }))
    ));
    service.start().await.expect("both keys are known");
    let both = Outsider::of(&service, ADMIN).await;
    assert_eq!((both.keys.len(), &both.keys[1]), (2, &old.keys[0]));
    let change = json!(["claviger audit rotate-key", {"from": id(&old, 0), "to": id(&both, 0)}]);
    assert_eq!(told(&service).await, std::slice::from_ref(&change));
    let new = Outsider {
        keys: both.keys[..1].to_vec(),
    };
    let signed = note(&service, ADMIN).await;
    assert_eq!(old.open(&signed), new.open(&signed));
    assert!(new.open(&signed).size() > first.size());
    let proof = format!("/org/audit/proof?from={}", first.size());
    let proof = service.get(ADMIN, &proof).await;
    assert!(new.open(&text(&proof["checkpoint"])).size() > first.size());
    service.restart().await;
    service.stop().await;
    assert_eq!(rotate(&service, true).await.expect("finished"), 1);
    service.start().await.expect("the key is known");
    assert_eq!(Outsider::of(&service, ADMIN).await.keys, new.keys);
    let signed = note(&service, ADMIN).await;
    assert!(old.try_open(&signed).is_none());
    new.open(&signed);
    assert_eq!(told(&service).await, [change], "it is told once");
}

async fn other_or_lost_key_is_refused_at_start_unless_it_is_accepted(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    let stranger = Service::guarded(Backend::Sqlite).await;
    let old = Outsider::of(&service, ADMIN).await;
    old.open(&note(&service, ADMIN).await);
    service.stop().await;
    let (file, away) = (key_file(&service), service.data_dir().join("away"));
    std::fs::rename(&file, &away).expect("moved");
    let refusal = async |service: &mut Service| {
        let error = service.start().await.expect_err("it must not start");
        let said = error.to_string();
        assert!(said.contains("--accept-ledger-key"), "{said}");
        assert!(said.contains(file.to_str().expect("UTF-8")), "{said}");
        error
    };
    let error = refusal(&mut service).await;
    assert!(matches!(error, ServeError::LogKey(LogKeyError::Lost(_))));
    assert!(
        !file.exists(),
        "no key is made for a trail that another has signed"
    );
    std::fs::copy(key_file(&stranger), &file).expect("another key");
    let error = refusal(&mut service).await;
    assert!(matches!(
        error,
        ServeError::LogKey(LogKeyError::Other { .. })
    ));
    assert!(matches!(
        rotate_log_key(service.config(), false).await,
        Err(ServeError::LogKey(LogKeyError::Other { .. }))
    ));
    std::fs::rename(&away, &file).expect("restored");
    service.start().await.expect("with the right key");
    assert!(told(&service).await.is_empty());
    old.open(&note(&service, ADMIN).await);
    service.stop().await;
    std::fs::remove_file(&file).expect("lost");
    service.flags().accepts_ledger_key = true;
    service.start().await.expect("accepted");
    let new = Outsider::of(&service, ADMIN).await;
    let change = json!([
        "claviger serve --accept-ledger-key",
        {"from": id(&old, 0), "to": id(&new, 0)}
    ]);
    assert_eq!(told(&service).await, std::slice::from_ref(&change));
    let signed = note(&service, ADMIN).await;
    assert!(old.try_open(&signed).is_none());
    new.open(&signed);
    service.flags().accepts_ledger_key = false;
    service.restart().await;
    assert_eq!(told(&service).await, [change], "it is told once");
}

async fn key_is_made_once_and_never_where_the_operator_named_it(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    let first = Outsider::of(&service, ADMIN).await;
    service.stop().await;
    // Nothing was signed yet, so nothing hangs on it.
    std::fs::remove_file(key_file(&service)).expect("removed");
    service.start().await.expect("another is made");
    assert_ne!(Outsider::of(&service, ADMIN).await.keys, first.keys);
    service.stop().await;
    let named = service.data_dir().join("named.key");
    service.flags().ledger_key_file = Some(named.to_str().expect("UTF-8").to_owned());
    let error = service.start().await.expect_err("it is not there");
    assert!(matches!(error, ServeError::LogKey(LogKeyError::NotMade(_))));
    assert!(!named.exists());
    service.flags().accepts_ledger_key = true;
    service.start().await.expect_err("it is still not there");
    std::fs::copy(key_file(&service), &named).expect("copied");
    service.start().await.expect("it is there");
}

pub(crate) async fn open_store(service: &Service) -> std::sync::Arc<dyn Store> {
    let options = claviger_store::OpenOptions {
        url: service.config().database_url,
        sync_audit: false,
        default_org: claviger_core::id::Id::from_u128(1),
        now: claviger_server::clock::now(),
    };
    claviger_store::open(options).await.expect("opened")
}

/// Whoever owns the database, and even the key, writes another history.
async fn tree_that_contradicts_what_was_signed_is_not_signed(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    let outsider = Outsider::of(&service, ADMIN).await;
    let signed = outsider.open(&note(&service, ADMIN).await);
    service.stop().await;
    let store = open_store(&service).await;
    let org = store.deployment().await.expect("there").default_org;
    let size = store.frontier(org).await.expect("there").size();
    let line = std::fs::read_to_string(key_file(&service)).expect("the key");
    let seed = line.trim().split_once(':').expect("a line").1;
    let seed = STANDARD.decode(seed).expect("base64");
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).expect("a key");
    let forged = leaf_hash(b"another history");
    let forgery = Checkpoint::new(signed.origin(), size, forged).expect("a checkpoint");
    let mut forged_note = Note::new(&forgery.to_string()).expect("a note");
    let signature = outsider.keys[0].sign(forged_note.text(), 0, |message| {
        <[u8; 64]>::try_from(pair.sign(message).as_ref())
    });
    let signature = signature.expect("signed");
    forged_note.add(signature).expect("added");
    let forgery = claviger_store::Checkpoint {
        size,
        root: forged,
        note: forged_note.to_string(),
        at: claviger_server::clock::now(),
    };
    store.keep_checkpoint(org, forgery).await.expect("kept");
    store.close().await;
    service.start().await.expect("the key is right");
    let ask = |path: &str| service.ask_as(ADMIN, "GET", path).send();
    for path in ["/org/audit/checkpoint", "/org/audit/proof?seq=1"] {
        ask(path).await.problem(500, "ledger_inconsistent");
    }
    let tile = ask("/org/audit/log/tile/0/000.p/1").await;
    assert_eq!(tile.status, 200, "what is there can be looked at");
    service.get(ADMIN, "/org/whoami").await;
}
