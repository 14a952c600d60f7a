//! Databases that fail: each in its own way, so these tests are of one backend each.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use claviger_core::{id::OrgId, key::OrgKey};
use claviger_store::{KeySink, OpenOptions, Store, StoreError, open};
use claviger_testkit::Postgres;

use crate::{
    bed::{Bed, Db},
    support::{
        NOBODY, NOW, batch, default_org, end, entry, id, insert_workspace, key, mint, put_secret,
    },
    witness::{assert_error, many_unseen, size, trail, unseen},
};

/// Within this an operation must give up on a database that does not answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(12);
/// Within this a probe must.
const PROBE_LIMIT: Duration = Duration::from_secs(4);
/// Within this a store must find its way back to a database that answers again.
const RECOVERY_LIMIT: Duration = Duration::from_secs(30);

async fn expect_bad_url(url: &str) {
    let options = OpenOptions {
        url: url.to_owned(),
        sync_audit: true,
        default_org: id(),
        now: NOW,
    };
    match open(options).await {
        Err(StoreError::BadUrl(words)) => assert!(!words.contains("hunter2"), "{words}"),
        Err(error) => panic!("{url}: {error:?}"),
        Ok(_) => panic!("{url} was opened"),
    }
}

#[tokio::test]
async fn address_of_another_database_is_refused_and_not_repeated() {
    for url in [
        "mysql://me:hunter2@127.0.0.1/x",
        "",
        "claviger.db",
        "postgres:me:hunter2",
    ] {
        expect_bad_url(url).await;
    }
}

#[tokio::test]
async fn password_is_in_no_error() {
    let port = claviger_testkit::free_port();
    let url = format!("postgres://me:hunter2@127.0.0.1:{port}/x");
    let options = OpenOptions {
        url,
        sync_audit: false,
        default_org: id(),
        now: NOW,
    };
    let error = open(options).await.err();
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    assert_error!(error, Some(StoreError::Unavailable { .. }));
}

// ---- SQLite ------------------------------------------------------------------------------------

#[tokio::test]
async fn file_that_is_no_database_is_left_alone() {
    let bed = Bed::sqlite();
    let file = bed.file().expect("a file");
    let text = "not a database, but somebody's notes\n".repeat(200);
    std::fs::write(&file, &text).expect("it is written");
    let error = bed.try_open().await.err();
    assert_error!(
        error,
        Some(StoreError::Unavailable { .. } | StoreError::Corrupt { .. })
    );
    assert_eq!(std::fs::read_to_string(&file).expect("it is read"), text);
}

#[tokio::test]
async fn path_through_a_file_is_unavailable() {
    let bed = Bed::sqlite();
    let file = bed.file().expect("a file");
    std::fs::write(&file, "no directory").expect("it is written");
    let url = format!("sqlite:{}", file.join("claviger.db").display());
    let options = OpenOptions {
        url,
        sync_audit: false,
        default_org: id(),
        now: NOW,
    };
    let error = open(options).await.err();
    assert_error!(error, Some(StoreError::Unavailable { .. }));
    let text = std::fs::read_to_string(&file).expect("it is read");
    assert_eq!(text, "no directory");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lock_of_another_program_is_waited_for_and_no_longer_than_bearable() {
    let bed = Bed::sqlite();
    let db = bed.open().await;
    let org = default_org(&db).await;
    mint(&db, key(org, "kept")).await;
    let other = rusqlite::Connection::open(bed.file().expect("a file")).expect("it opens");
    if other.execute_batch("begin immediate").is_err() {
        // The store keeps others out for as long as it serves: nothing can be locked away from it.
        mint(&db, key(org, "meanwhile")).await;
        return;
    }
    expect_writes_unavailable(&db, org).await;
    other.execute_batch("rollback").expect("it lets go");
    let before = size(&db, org).await;
    mint(&db, key(org, "afterwards")).await;
    assert_eq!(size(&db, org).await, before + 1);
    trail(&db, org).await;
}

// ---- PostgreSQL --------------------------------------------------------------------------------

/// Runs an operation that must give up in time.
async fn give_up<T>(
    what: &str,
    limit: Duration,
    operation: impl Future<Output = claviger_store::Result<T>>,
) {
    let begun = Instant::now();
    let outcome = operation.await;
    let elapsed = begun.elapsed();
    assert!(elapsed < limit, "{what} took {elapsed:?}");
    match outcome {
        Err(StoreError::Unavailable { .. }) => {}
        Err(error) => panic!("{what}: {error:?}"),
        Ok(_) => panic!("{what} came to pass"),
    }
}

async fn expect_writes_unavailable(db: &Db, org: OrgId) {
    let (new, place) = (key(org, "lost"), crate::support::workspace(org, "lost"));
    tokio::join!(
        give_up("a probe", ANSWER_LIMIT, db.probe()),
        give_up(
            "a mint",
            ANSWER_LIMIT,
            db.mint_key(new, NOBODY, unseen(org))
        ),
        give_up(
            "an insert",
            ANSWER_LIMIT,
            db.insert_workspace(place, NOBODY, unseen(org))
        ),
        give_up("an append", ANSWER_LIMIT, db.append(batch([entry(org)]))),
    );
}

/// Every kind of operation, all at once, on a database that does not answer.
async fn expect_unavailable(db: &Db, kept: &OrgKey) {
    let org = kept.org;
    let place = crate::support::workspace(org, "lost");
    let sink: KeySink = Arc::new(|_| {});
    let ended = end(NOW);
    tokio::join!(
        give_up("a probe", PROBE_LIMIT, db.probe()),
        give_up("a find", ANSWER_LIMIT, db.find_key(org, kept.id)),
        give_up("a load", ANSWER_LIMIT, db.load_keys(NOW, sink)),
        give_up(
            "a touch",
            ANSWER_LIMIT,
            db.touch_keys(vec![crate::keys::used(kept, 1)])
        ),
        give_up(
            "a mint",
            ANSWER_LIMIT,
            db.mint_key(key(org, "lost"), NOBODY, unseen(org))
        ),
        give_up(
            "a revocation",
            ANSWER_LIMIT,
            db.revoke_key(org, kept.id, ended, NOBODY, many_unseen(org)),
        ),
        give_up(
            "an insert",
            ANSWER_LIMIT,
            db.insert_workspace(place, NOBODY, unseen(org))
        ),
        give_up("an append", ANSWER_LIMIT, db.append(batch([entry(org)]))),
        give_up("a size", ANSWER_LIMIT, db.audit_size(org)),
        give_up("the deployment", ANSWER_LIMIT, db.deployment()),
    );
}

/// Asks again and again until the store has found its way back.
async fn wait_for_recovery(db: &dyn Store) {
    let begun = Instant::now();
    while let Err(error) = db.probe().await {
        assert!(begun.elapsed() < RECOVERY_LIMIT, "still: {error:?}");
        tokio::task::yield_now().await;
    }
}

/// A store in a private cluster, with something in it.
async fn furnished(postgres: &Postgres) -> (Bed, Db, OrgKey) {
    let bed = Bed::postgres_in(postgres);
    let db = bed.open().await;
    let org = default_org(&db).await;
    let kept = mint(&db, key(org, "kept")).await;
    let place = insert_workspace(&db, org).await;
    put_secret(&db, &place, "A").await;
    (bed, db, kept)
}

/// Everything is there and every kind of operation works.
async fn expect_service(db: &Db, org: OrgId) {
    let before = trail(db, org).await;
    let new = mint(db, key(org, "afterwards")).await;
    db.append(batch([entry(org)])).await.expect("it is written");
    db.touch_keys(vec![crate::keys::used(&new, 1)])
        .await
        .expect("it is kept");
    let after = trail(db, org).await;
    assert_eq!(after.len(), before.len() + 2);
    assert_eq!(after[..before.len()], before);
    let sink: KeySink = Arc::new(|_| {});
    assert!(db.load_keys(NOW, sink).await.expect("they are loaded") >= 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_database_is_unavailable_and_found_again() {
    let mut postgres = Postgres::spawn();
    let (_bed, db, kept) = furnished(&postgres).await;
    let org = kept.org;
    let committed = trail(&db, org).await;
    for _ in 0..2 {
        postgres.stop_immediate();
        expect_unavailable(&db, &kept).await;
        postgres.start();
        wait_for_recovery(&*db).await;
        // Nobody was there to take the changes that were refused, and nothing answered is lost.
        let records = trail(&db, org).await;
        assert_eq!(records[..committed.len()], committed);
        let found = db
            .find_key(org, kept.id)
            .await
            .expect("an answer")
            .expect("the key");
        assert!(found.revocation.is_none());
        expect_service(&db, org).await;
    }
    db.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_database_is_unavailable_and_found_again() {
    let mut postgres = Postgres::spawn();
    let (_bed, db, kept) = furnished(&postgres).await;
    let org = kept.org;
    let committed = trail(&db, org).await;
    postgres.pause();
    expect_unavailable(&db, &kept).await;
    // The second time there is no open connection left, perhaps.
    expect_unavailable(&db, &kept).await;
    postgres.resume();
    wait_for_recovery(&*db).await;
    assert_eq!(trail(&db, org).await[..committed.len()], committed);
    expect_service(&db, org).await;
    db.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn close_returns_though_the_database_is_silent() {
    let mut postgres = Postgres::spawn();
    let (_bed, db, _) = furnished(&postgres).await;
    postgres.pause();
    let begun = Instant::now();
    db.close().await;
    assert!(
        begun.elapsed() < ANSWER_LIMIT,
        "it took {:?}",
        begun.elapsed()
    );
    postgres.resume();
}
