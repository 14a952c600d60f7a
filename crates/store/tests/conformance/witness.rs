//! What a change must leave behind: exactly one record when it happened, and nothing when it did not.

use std::{
    fmt::{Debug, Write as _},
    sync::{Arc, Mutex},
};

use claviger_core::{
    id::{KeyId, OrgId},
    key::{KeyStatus, Revocation},
    ledger::entry::{Draft, Entry},
    request::Status,
};
use claviger_store::{
    Acting, AuditFilter, KeyFilter, Page, Recorder, RequestFilter, Result, Revocations, Revoked,
    StoreError, Written,
};

use crate::{
    bed::Db,
    support::{NOBODY, NOW, draft, first, walk_trail},
};

/// Asserts that two values print alike: for types that cannot be compared otherwise.
macro_rules! assert_same {
    ($left:expr, $right:expr $(,)?) => {
        assert_eq!(format!("{:#?}", $left), format!("{:#?}", $right))
    };
}

/// Asserts which variant an error is.
macro_rules! assert_error {
    ($error:expr, $pattern:pat $(if $guard:expr)? $(,)?) => {{
        let error = $error;
        assert!(matches!(&error, $pattern $(if $guard)?), "{error:?}");
    }};
}

pub(crate) use {assert_error, assert_same};

/// What a recorder was given, as it prints, and the bytes that it made of it.
type Made = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// A recorder for the org's trail, and what it will have made.
pub(crate) fn recorder<T: Debug>(org: OrgId) -> (Recorder<T>, Made) {
    let made = Made::default();
    let kept = Arc::clone(&made);
    let record = Box::new(move |value: &T| {
        let said = format!("{value:?}");
        let change = serde_json::json!({ "came_to": said }).to_string();
        let entry = Draft {
            change: Some(&change),
            ..draft(org)
        }
        .write();
        kept.lock()
            .expect("no panic")
            .push((said, entry.bytes().to_vec()));
        entry
    });
    (record, made)
}

/// A recorder whose record nobody looks at.
pub(crate) fn unseen<T: Debug>(org: OrgId) -> Recorder<T> {
    recorder(org).0
}

/// A recorder of several records, for a change that needs one.
pub(crate) fn many<T: 'static>(record: Recorder<T>) -> Recorder<T, Vec<Entry>> {
    Box::new(move |value| vec![record(value)])
}

/// The same, whose record nobody looks at.
pub(crate) fn many_unseen<T: Debug + 'static>(org: OrgId) -> Recorder<T, Vec<Entry>> {
    many(unseen(org))
}

pub(crate) async fn size(db: &Db, org: OrgId) -> u64 {
    db.audit_size(org).await.expect("the size of the trail")
}

/// The whole trail of an org, whose numbers are checked.
pub(crate) async fn trail(db: &Db, org: OrgId) -> Vec<Vec<u8>> {
    let fetch = |page| db.export_audit(org, AuditFilter::default(), page);
    let rows = walk_trail(500, fetch).await;
    for (row, seq) in rows.iter().zip(1..) {
        assert_eq!(row.seq, seq, "the numbers have a gap");
    }
    assert_eq!(u64::try_from(rows.len()).ok(), Some(size(db, org).await));
    rows.into_iter().map(|row| row.bytes).collect()
}

/// What came after so many records of the trail.
pub(crate) async fn added(db: &Db, org: OrgId, before: u64) -> Vec<(u64, Vec<u8>)> {
    let page = Page {
        after: Some(before),
        limit: 10,
    };
    let rows = db
        .export_audit(org, AuditFilter::default(), page)
        .await
        .expect("the trail")
        .rows;
    rows.into_iter().map(|row| (row.seq, row.bytes)).collect()
}

/// The change must happen, and leave one record: the one that its recorder made of what it came to.
pub(crate) async fn done<T, F>(db: &Db, org: OrgId, change: impl FnOnce(Recorder<T>) -> F) -> T
where
    T: Debug,
    F: Future<Output = Result<Written<T>>>,
{
    // A new org has no trail before it is made.
    let before = db.audit_size(org).await.unwrap_or(0);
    let (record, made) = recorder(org);
    let written = change(record).await.expect("the change happens");
    expect_record(db, org, before, &made, &written.value).await;
    written.value
}

async fn expect_record<T: Debug>(db: &Db, org: OrgId, before: u64, made: &Made, value: &T) {
    let (said, bytes) = {
        let made = made.lock().expect("no panic");
        assert_eq!(made.len(), 1, "the recorder is called once");
        made[0].clone()
    };
    assert_eq!(
        said,
        format!("{value:?}"),
        "what was recorded is what was answered"
    );
    assert_eq!(added(db, org, before).await, [(before + 1, bytes)]);
    assert_eq!(size(db, org).await, before + 1);
}

/// The change must fail, and leave everything in the org as it was.
pub(crate) async fn refused<T, R, F>(
    db: &Db,
    org: OrgId,
    change: impl FnOnce(Recorder<T>) -> F,
) -> StoreError
where
    T: Debug,
    R: Debug,
    F: Future<Output = Result<R>>,
{
    let before = snapshot(db, org).await;
    let error = change(unseen(org))
        .await
        .expect_err("the change is refused");
    assert_eq!(snapshot(db, org).await, before, "after `{error:?}`");
    error
}

/// Revokes a key, and checks that a first time is recorded and a repetition is not.
pub(crate) async fn revoke(
    db: &Db,
    org: OrgId,
    id: KeyId,
    end: Revocation,
    acting: Acting,
) -> Revocations {
    let (record, made) = recorder::<Revoked>(org);
    let (before, all) = (size(db, org).await, snapshot(db, org).await);
    let outcome = db
        .revoke_key(org, id, end, acting, many(record))
        .await
        .expect("a revocation");
    match &outcome {
        Revocations::Now(written) => expect_record(db, org, before, &made, &written.value).await,
        Revocations::Before(_) => {
            assert!(
                made.lock().expect("no panic").is_empty(),
                "nothing is to be recorded"
            );
            assert_eq!(snapshot(db, org).await, all);
        }
    }
    outcome
}

/// Revokes a living key.
pub(crate) async fn revoke_now(db: &Db, org: OrgId, id: KeyId, end: Revocation) -> Revoked {
    match revoke(db, org, id, end, NOBODY).await {
        Revocations::Now(written) => written.value,
        Revocations::Before(revoked) => panic!("it was revoked before: {revoked:?}"),
    }
}

/// Every key of the org.
pub(crate) fn every_key() -> KeyFilter {
    KeyFilter {
        statuses: KeyStatus::ALL.to_vec(),
        now: NOW,
        text: None,
        created_by: None,
        workspace: None,
        expires_before: None,
    }
}

/// Everything that an org has, as it prints.
pub(crate) async fn snapshot(db: &Db, org: OrgId) -> String {
    let mut all = String::new();
    let mut push = |thing: &dyn Debug| writeln!(all, "{thing:#?}").expect("memory");
    push(&db.audit_size(org).await);
    push(&db.list_keys(org, every_key(), first(1000)).await);
    let every_request = RequestFilter {
        statuses: Status::ALL.to_vec(),
        now: NOW,
        asker: None,
    };
    push(&db.list_requests(org, every_request, first(1000)).await);
    let workspaces = db
        .list_workspaces(org, first(1000))
        .await
        .expect("the workspaces");
    for workspace in workspaces {
        let id = workspace.id;
        push(&workspace);
        push(&db.list_workspace_tokens(org, id, first(1000)).await);
        push(&db.list_channels(org, id, first(1000)).await);
        push(&db.list_secrets(org, id, first(2000)).await);
        push(&db.reveal_secrets(org, id, NOBODY).await);
    }
    all
}
