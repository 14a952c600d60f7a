//! The deployment as a whole: its start, its locks, its master key.

use std::sync::{Arc, Mutex};

use claviger_store::{Resealer, SealedRow, StoreError};
use futures_util::future::join_all;

use crate::{
    bed::{Bed, Db},
    people::{know, person},
    sessions::{begin, session},
    support::{
        NOBODY, NOW, batch, default_org, digest, end, entry, first, first_key, insert_channel,
        insert_workspace, key, later, mint, other_org, put_secret,
    },
    witness::{
        assert_error, assert_same, done, recorder, refused, revoke_now, snapshot, trail, unseen,
    },
};

pub(crate) async fn fresh_store_has_the_default_org_and_an_open_bootstrap(bed: &Bed) {
    let db = bed.open().await;
    let deployment = db.deployment().await.expect("the deployment");
    assert!(deployment.is_bootstrap_open);
    assert_eq!(deployment.master_key_check, None);

    let found = db
        .find_org("default")
        .await
        .expect("an answer")
        .expect("the default org");
    assert_eq!(
        (found.id, found.name.as_str()),
        (deployment.default_org, "default")
    );
    assert_eq!(found.created_at, NOW);
    let orgs = db.list_orgs(first(10)).await.expect("the orgs");
    assert_eq!(orgs, [found]);
    assert_eq!(
        trail(&db, deployment.default_org).await,
        Vec::<Vec<u8>>::new()
    );
    db.probe().await.expect("it answers");
}

pub(crate) async fn reopened_store_is_as_it_was(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    mint(&db, key(org, "kept")).await;
    let workspace = insert_workspace(&db, org).await;
    put_secret(&db, &workspace, "A").await;
    insert_channel(&db, &workspace).await;
    let (deployment, all) = (db.deployment().await, snapshot(&db, org).await);
    let records = trail(&db, org).await;

    let db = bed.reopen(db).await;
    assert_same!(db.deployment().await, deployment);
    assert_eq!(snapshot(&db, org).await, all);
    assert_eq!(trail(&db, org).await, records);
    let org_found = db
        .find_org("default")
        .await
        .expect("an answer")
        .expect("the default org");
    assert_eq!(org_found.id, org);
}

pub(crate) async fn second_open_is_refused_until_the_first_is_closed(bed: &Bed) {
    let db = bed.open().await;
    for _ in 0..2 {
        assert_error!(bed.try_open().await.err(), Some(StoreError::InUse(_)));
    }
    // The attempts took nothing away from the one that serves.
    mint(&db, key(default_org(&db).await, "still served")).await;

    db.close().await;
    bed.open()
        .await
        .probe()
        .await
        .expect("it opens after the close");
}

pub(crate) async fn of_racing_first_opens_one_wins(bed: &Bed) {
    let opened = join_all((0..6).map(|_| bed.try_open())).await;
    let (won, lost): (Vec<_>, Vec<_>) = opened.into_iter().partition(Result::is_ok);
    for error in lost.iter().filter_map(|outcome| outcome.as_ref().err()) {
        assert_error!(error, StoreError::InUse(_));
    }
    let [Ok(db)] = won.as_slice() else {
        panic!("{} of them won", won.len());
    };
    mint(db, key(default_org(db).await, "made by the winner")).await;
    let orgs = db.list_orgs(first(10)).await.expect("the orgs");
    assert_eq!(orgs.len(), 1, "{orgs:?}");
}

pub(crate) async fn closed_store_answers_unavailable(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    db.close().await;
    db.close().await;
    assert_error!(db.probe().await.err(), Some(StoreError::Unavailable { .. }));
    let new = key(org, "too late");
    let id = new.key.id;
    let error = db.mint_key(new, NOBODY, unseen(org)).await.err();
    assert_error!(error, Some(StoreError::Unavailable { .. }));
    let error = db.append(batch([entry(org)])).await.err();
    assert_error!(error, Some(StoreError::Unavailable { .. }));

    let db = bed.open().await;
    assert!(db.find_key(org, id).await.expect("an answer").is_none());
    assert_eq!(trail(&db, org).await.len(), 0);
}

/// Asserts that no first key can be made, whatever the store says about itself.
async fn expect_closed_bootstrap(bed: &Bed, when: &str) {
    let db = match bed.try_open().await {
        Ok(db) => db,
        // A store that refuses to serve lets nobody in either.
        Err(StoreError::Corrupt { .. }) => return,
        Err(error) => panic!("{when}: {error:?}"),
    };
    let org = match db.deployment().await {
        Ok(deployment) => {
            assert!(!deployment.is_bootstrap_open, "{when}");
            deployment.default_org
        }
        Err(StoreError::Corrupt { .. }) => {
            let org = db.find_org("default").await.expect("an answer");
            org.expect("the default org").id
        }
        Err(error) => panic!("{when}: {error:?}"),
    };
    let error = refused(&db, org, |record| {
        db.mint_key(first_key(org), NOBODY, record)
    })
    .await;
    assert_error!(
        error,
        StoreError::BootstrapClosed | StoreError::Corrupt { .. }
    );
    db.close().await;
}

pub(crate) async fn lost_deployment_row_leaves_the_bootstrap_closed(bed: &Bed) {
    let db = bed.open().await;
    mint(&db, first_key(default_org(&db).await)).await;
    db.close().await;
    bed.sql("delete from deployment").await;
    expect_closed_bootstrap(bed, "after the loss").await;
    expect_closed_bootstrap(bed, "after another restart").await;
}

pub(crate) async fn lost_deployment_row_of_an_unused_store_closes_the_bootstrap(bed: &Bed) {
    bed.open().await.close().await;
    bed.sql("delete from deployment").await;
    expect_closed_bootstrap(bed, "after the loss").await;
    expect_closed_bootstrap(bed, "after another restart").await;
}

pub(crate) async fn master_key_check_is_kept_once(bed: &Bed) {
    let db = bed.open().await;
    let (one, other) = ([0_u8; 32], [255_u8; 32]);
    assert_eq!(db.keep_master_key_check(one).await.expect("kept"), one);
    assert_eq!(
        db.keep_master_key_check(other).await.expect("kept before"),
        one
    );
    let db = bed.reopen(db).await;
    assert_eq!(
        db.keep_master_key_check(other).await.expect("kept before"),
        one
    );
    let deployment = db.deployment().await.expect("the deployment");
    assert_eq!(deployment.master_key_check, Some(one));
    assert!(deployment.is_bootstrap_open);
}

pub(crate) async fn of_racing_master_key_checks_one_is_kept(bed: &Bed) {
    let db = bed.open().await;
    let kept = join_all((1..=8).map(|byte| db.keep_master_key_check([byte; 32]))).await;
    let kept: Vec<_> = kept.into_iter().map(|check| check.expect("kept")).collect();
    assert!(kept.iter().all(|check| *check == kept[0]), "{kept:?}");
    let deployment = db.deployment().await.expect("the deployment");
    assert_eq!(deployment.master_key_check, Some(kept[0]));
}

/// Two orgs with two secrets and a channel each; gives the rows as a rekey should see them.
async fn seal_some(db: &Db) -> Vec<SealedRow> {
    let mut rows = Vec::new();
    for org in [default_org(db).await, other_org(db).await] {
        let workspace = insert_workspace(db, org).await;
        for name in ["A", "B", "A"] {
            put_secret(db, &workspace, name).await;
        }
        for row in db
            .reveal_secrets(org, workspace.id, NOBODY)
            .await
            .expect("the secrets")
        {
            rows.push(SealedRow::Secret {
                org,
                workspace: workspace.id,
                name: row.name,
                version: row.version,
                sealed: row.sealed,
            });
        }
        let channel = insert_channel(db, &workspace).await;
        let (workspace, sealed) = (workspace.id, channel.sealed);
        rows.push(SealedRow::Channel {
            org,
            workspace,
            id: channel.id,
            sealed,
        });
    }
    rows.sort_by_key(|row| format!("{row:?}"));
    rows
}

fn resealed(old: &[u8]) -> Vec<u8> {
    [&[7, 0], old].concat()
}

/// Reseals so many rows and refuses the next one; gives the rows that it was asked for.
fn resealer(limit: usize) -> (Resealer, Arc<Mutex<Vec<SealedRow>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let rows = Arc::clone(&seen);
    let reseal = Box::new(move |row: SealedRow| {
        let mut rows = rows.lock().expect("no panic");
        if rows.len() == limit {
            return Err("the old key does not open it".to_owned());
        }
        rows.push(row.clone());
        match row {
            SealedRow::Secret { sealed, .. } | SealedRow::Channel { sealed, .. } => {
                Ok(resealed(&sealed))
            }
        }
    });
    (reseal, seen)
}

/// The rows with their seals renewed.
async fn expect_resealed(db: &Db, rows: &[SealedRow]) {
    for row in rows {
        match row {
            SealedRow::Secret {
                org,
                workspace,
                name,
                version,
                sealed,
            } => {
                let all = db
                    .reveal_secrets(*org, *workspace, NOBODY)
                    .await
                    .expect("the secrets");
                let secret = all
                    .iter()
                    .find(|secret| secret.name == *name)
                    .expect("the secret");
                assert_eq!(
                    (secret.version, &secret.sealed),
                    (*version, &resealed(sealed))
                );
            }
            SealedRow::Channel {
                org,
                workspace,
                id,
                sealed,
            } => {
                let found = db
                    .find_channel(*org, *workspace, *id)
                    .await
                    .expect("an answer");
                let channel = found.expect("the channel");
                assert_eq!(channel.sealed, resealed(sealed));
                assert_eq!(channel.updated_at, channel.created_at);
            }
        }
    }
}

pub(crate) async fn rekey_reseals_every_row(bed: &Bed) {
    let db = bed.open().await;
    let rows = seal_some(&db).await;
    let org = default_org(&db).await;
    db.keep_master_key_check([1; 32]).await.expect("kept");

    let (reseal, seen) = resealer(usize::MAX);
    let count = done(&db, org, |record| db.rekey([2; 32], reseal, record)).await;
    assert_eq!(count, 6);
    let mut seen = seen.lock().expect("no panic").clone();
    seen.sort_by_key(|row| format!("{row:?}"));
    assert_eq!(seen, rows, "each row was given once, as it was");
    let deployment = db.deployment().await.expect("the deployment");
    assert_eq!(deployment.master_key_check, Some([2; 32]));
    expect_resealed(&db, &rows).await;

    let db = bed.reopen(db).await;
    expect_resealed(&db, &rows).await;
}

pub(crate) async fn rekey_takes_away_what_providers_gave(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let known = know(&db, person(org, "user_1")).await;
    let live = begin(&db, session(&known), digest()).await;
    assert!(db.find_sealed(live.id).await.expect("found").is_some());
    let (reseal, _) = resealer(0);
    done(&db, org, |record| db.rekey([2; 32], reseal, record)).await;
    // The new master key does not open it, and the session is still there.
    assert_eq!(db.find_sealed(live.id).await.expect("found"), None);
    let loaded = db.load_sessions(NOW).await.expect("sessions");
    assert_same!(loaded[0].session, live);
}

pub(crate) async fn rekey_of_nothing_keeps_the_new_check(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let (reseal, _) = resealer(0);
    assert_eq!(
        done(&db, org, |record| db.rekey([3; 32], reseal, record)).await,
        0
    );
    let deployment = db.deployment().await.expect("the deployment");
    assert_eq!(deployment.master_key_check, Some([3; 32]));
}

pub(crate) async fn refusing_resealer_changes_nothing(bed: &Bed) {
    let db = bed.open().await;
    let rows = seal_some(&db).await;
    let org = default_org(&db).await;
    db.keep_master_key_check([1; 32]).await.expect("kept");
    let orgs: Vec<_> = rows
        .iter()
        .map(|row| match row {
            SealedRow::Secret { org, .. } | SealedRow::Channel { org, .. } => *org,
        })
        .collect();
    for limit in 0..rows.len() {
        let mut before = Vec::new();
        for org in &orgs {
            before.push(snapshot(&db, *org).await);
        }
        let (reseal, seen) = resealer(limit);
        let (record, made) = recorder(org);
        let error = db.rekey([2; 32], reseal, record).await.err();
        assert_error!(error, Some(StoreError::Corrupt { .. }));
        assert_eq!(seen.lock().expect("no panic").len(), limit);
        assert!(
            made.lock().expect("no panic").is_empty(),
            "there is nothing to record"
        );
        for (org, before) in orgs.iter().zip(before) {
            assert_eq!(snapshot(&db, *org).await, before);
        }
        let deployment = db.deployment().await.expect("the deployment");
        assert_eq!(deployment.master_key_check, Some([1; 32]));
    }
}

pub(crate) async fn bootstrap_stays_closed(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let only = mint(&db, first_key(org)).await;
    let expect_closed = async |db: &Db, when: &str| {
        assert!(
            !db.deployment()
                .await
                .expect("the deployment")
                .is_bootstrap_open,
            "{when}"
        );
        let error = refused(db, org, |record| {
            db.mint_key(first_key(org), NOBODY, record)
        })
        .await;
        assert_error!(error, StoreError::BootstrapClosed);
    };
    expect_closed(&db, "after the first mint").await;
    revoke_now(&db, org, only.id, end(later(1))).await;
    expect_closed(&db, "after the last key was revoked").await;
    let db = bed.reopen(db).await;
    expect_closed(&db, "after a restart").await;
}

pub(crate) async fn any_mint_closes_the_bootstrap(bed: &Bed) {
    let db = bed.open().await;
    let other = other_org(&db).await;
    assert!(
        db.deployment()
            .await
            .expect("the deployment")
            .is_bootstrap_open
    );
    mint(&db, key(other, "of another org")).await;
    assert!(
        !db.deployment()
            .await
            .expect("the deployment")
            .is_bootstrap_open
    );
    let org = default_org(&db).await;
    let error = refused(&db, org, |record| {
        db.mint_key(first_key(org), NOBODY, record)
    })
    .await;
    assert_error!(error, StoreError::BootstrapClosed);
}

pub(crate) async fn failed_first_mint_leaves_the_bootstrap_open(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let db = bed.break_audit(db).await;
    let broken = db.mint_key(first_key(org), NOBODY, unseen(org)).await;
    assert!(broken.is_err(), "{broken:?}");
    assert!(
        db.deployment()
            .await
            .expect("the deployment")
            .is_bootstrap_open
    );
    let db = bed.mend_audit(db).await;
    mint(&db, first_key(org)).await;
    assert!(
        !db.deployment()
            .await
            .expect("the deployment")
            .is_bootstrap_open
    );
}
