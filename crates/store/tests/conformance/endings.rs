//! How keys end: revocation with all that descends from them, and what an ended key can do.

use claviger_core::{
    id::KeyId,
    key::{OrgKey, Revocation},
    tier::Actor,
};
use claviger_store::{Acting, Revocations, Revoked, StoreError};

use crate::{
    bed::{Bed, Db},
    support::{
        DAY, NOBODY, NOW, acting, batch, beget, child, default_org, end, entry, first, id, key,
        later, mint, org,
    },
    target::Target,
    witness::{
        assert_error, assert_same, done, many, refused, revoke, revoke_now, snapshot, unseen,
    },
};

async fn find(db: &Db, key: &OrgKey) -> OrgKey {
    db.find_key(key.org, key.id)
        .await
        .expect("an answer")
        .expect("the key")
}

fn ids(revoked: &Revoked) -> Vec<KeyId> {
    let mut ids: Vec<_> = revoked.descendants.iter().map(|key| key.id).collect();
    ids.sort();
    ids
}

/// Three generations below a root, two keys in each, and a key that is no relation.
async fn family(db: &Db) -> (OrgKey, Vec<OrgKey>, OrgKey) {
    let org = default_org(db).await;
    let root = mint(db, key(org, "root")).await;
    let (mut below, mut parents) = (Vec::new(), vec![root.clone()]);
    for _ in 0..3 {
        let elder = parents[0].clone();
        parents = vec![beget(db, &elder).await, beget(db, &elder).await];
        below.extend(parents.clone());
    }
    (root, below, mint(db, key(org, "no relation")).await)
}

pub(crate) async fn revocation_takes_every_generation_and_no_sibling(bed: &Bed) {
    let db = bed.open().await;
    let (root, below, stranger) = family(&db).await;
    let org = root.org;
    // The first child: its sibling and its parent stay, four keys below it go.
    let ended = end(later(5));
    let answer = revoke_now(&db, org, below[0].id, ended.clone()).await;
    assert_eq!(
        (answer.key.id, answer.key.prefix),
        (below[0].id, below[0].prefix)
    );
    assert_eq!(answer.at, later(5));
    let expected: Vec<_> = below[2..].iter().map(|key| key.id).collect();
    assert_eq!(ids(&answer), expected);
    for key in &below[2..] {
        let revocation = find(&db, key).await.revocation.expect("it is revoked");
        assert_eq!((revocation.at, revocation.by), (later(5), ended.by.clone()));
    }
    let mut ended_key = below[0].clone();
    ended_key.revocation = Some(ended);
    assert_same!(find(&db, &below[0]).await, ended_key);
    for living in [&root, &below[1], &stranger] {
        assert_same!(find(&db, living).await, *living);
    }
}

pub(crate) async fn revocation_gives_the_digests_of_all_that_died(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let root = key(org, "root");
    let root_digest = root.digest;
    let root = mint(&db, root).await;
    let mut digests = Vec::new();
    for _ in 0..3 {
        let new = child(&root);
        digests.push((new.key.id, new.key.prefix, new.digest));
        done(&db, org, |record| db.mint_key(new, acting(&root), record)).await;
    }
    for _ in 0..2 {
        let outcome = revoke(&db, org, root.id, end(later(1)), NOBODY).await;
        let (Revocations::Now(claviger_store::Written { value: revoked, .. })
        | Revocations::Before(revoked)) = outcome;
        assert_eq!(revoked.key.digest, root_digest);
        let mut found: Vec<_> = revoked
            .descendants
            .iter()
            .map(|key| (key.id, key.prefix, key.digest))
            .collect();
        found.sort();
        assert_eq!(found, digests);
    }
}

pub(crate) async fn repeated_revocation_answers_with_the_first(bed: &Bed) {
    let db = bed.open().await;
    let (root, below, _) = family(&db).await;
    let org = root.org;
    // A descendant that died before keeps its own end, and so do those that died with it.
    let early = Revocation {
        at: later(3),
        by: Actor::AdminToken,
        reason: None,
    };
    revoke_now(&db, org, below[2].id, early.clone()).await;
    let first = revoke_now(&db, org, root.id, end(later(8))).await;
    let expected = [below[0].id, below[1].id, below[3].id];
    assert_eq!(ids(&first), expected);
    assert_same!(find(&db, &below[2]).await.revocation, Some(early));
    assert_eq!(
        find(&db, &below[4]).await.revocation.map(|end| end.at),
        Some(later(3))
    );

    let db = bed.reopen(db).await;
    match revoke(&db, org, root.id, end(later(99)), NOBODY).await {
        Revocations::Before(again) => {
            assert_eq!(
                (again.key.id, again.key.digest),
                (root.id, first.key.digest)
            );
            assert_eq!(again.at, later(8));
            assert_eq!(ids(&again), expected);
        }
        Revocations::Now(again) => panic!("it was revoked twice: {again:?}"),
    }
    assert_eq!(find(&db, &root).await.revocation, Some(end(later(8))));
    // A descendant is told the instant at which it died.
    match revoke(&db, org, below[4].id, end(later(99)), NOBODY).await {
        Revocations::Before(again) => assert_eq!(again.at, later(3)),
        Revocations::Now(again) => panic!("it was revoked twice: {again:?}"),
    }
}

pub(crate) async fn key_may_revoke_itself(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let root = mint(&db, key(org, "root")).await;
    let below = beget(&db, &root).await;
    let mut ended = end(later(1));
    ended.reason = None;
    match revoke(&db, org, root.id, ended.clone(), acting(&root)).await {
        Revocations::Now(written) => assert_eq!(ids(&written.value), [below.id]),
        Revocations::Before(before) => panic!("{before:?}"),
    }
    assert_eq!(find(&db, &root).await.revocation, Some(ended));
}

pub(crate) async fn revoking_an_unknown_key_is_not_found(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let error = refused(&db, org, |record| {
        db.revoke_key(org, id(), end(NOW), NOBODY, many(record))
    })
    .await;
    assert_error!(error, StoreError::NotFound(_));
}

async fn expect_actor_gone(db: &Db, target: &Target, acting: Acting, why: &str) {
    let before = snapshot(db, target.org).await;
    for (change, error) in target.every_change(db, acting).await {
        assert!(
            matches!(error, Some(StoreError::ActorGone)),
            "{change}, {why}: {error:?}"
        );
    }
    assert_eq!(snapshot(db, target.org).await, before, "{why}");
}

pub(crate) async fn ended_key_changes_and_reveals_nothing(bed: &Bed) {
    let db = bed.open().await;
    let target = Target::make(&db, default_org(&db).await).await;
    let org = target.org;
    let parent = mint(&db, key(org, "parent")).await;
    let orphan = beget(&db, &parent).await;
    let mut expiring = key(org, "expiring");
    expiring.key.expires_at = Some(later(1000));
    let expiring = mint(&db, expiring).await;
    let suspended = mint(&db, key(org, "suspended")).await;
    revoke_now(&db, org, parent.id, end(NOW)).await;
    let statement = format!(
        "update keys set suspended_at = 5, suspended_by = 'admin-token' where id = '{}'",
        suspended.id
    );
    let db = bed.patch(db, &statement).await;

    let as_of = |key: &OrgKey, now| Acting {
        session: None,
        key: Some(key.id),
        prefix: None,
        now,
    };
    expect_actor_gone(&db, &target, acting(&parent), "revoked").await;
    expect_actor_gone(&db, &target, acting(&orphan), "revoked with its parent").await;
    expect_actor_gone(&db, &target, acting(&suspended), "suspended").await;
    expect_actor_gone(
        &db,
        &target,
        as_of(&expiring, later(1000)),
        "expired this millisecond",
    )
    .await;
    expect_actor_gone(&db, &target, as_of(&expiring, NOW.plus(DAY)), "expired").await;
    expect_actor_gone(
        &db,
        &target,
        Acting {
            session: None,
            key: Some(id()),
            prefix: None,
            now: NOW,
        },
        "unknown",
    )
    .await;

    // The same changes come to pass in the last millisecond of a key.
    for (change, error) in target.every_change(&db, as_of(&expiring, later(999))).await {
        assert!(error.is_none(), "{change}: {error:?}");
    }
}

pub(crate) async fn ended_parent_has_no_child_whoever_acts(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let parent = mint(&db, key(org, "parent")).await;
    let (actor, orphan) = (mint(&db, key(org, "actor")).await, child(&parent));
    revoke_now(&db, org, parent.id, end(later(1))).await;
    for acting in [NOBODY, acting(&actor)] {
        let orphan = orphan.clone();
        let error = refused(&db, org, |record| db.mint_key(orphan, acting, record)).await;
        assert_error!(error, StoreError::ActorGone);
    }
}

pub(crate) async fn change_that_cannot_be_recorded_does_not_happen(bed: &Bed) {
    let db = bed.open().await;
    let target = Target::make(&db, default_org(&db).await).await;
    let org = target.org;
    let below = beget(&db, &target.key).await;
    let db = bed.break_audit(db).await;
    let before = snapshot(&db, org).await;
    for (change, error) in target.every_change(&db, NOBODY).await {
        // A reveal changes nothing, and takes no record.
        assert_eq!(error.is_some(), change != "reveal", "{change}: {error:?}");
    }
    let another = self::org("another");
    assert!(db.insert_org(another, unseen(org)).await.is_err());
    assert!(db.delete_org(org, end(NOW), unseen(org)).await.is_err());
    let record = unseen(org);
    let rekeyed = db.rekey([9; 32], Box::new(|_| Ok(vec![9])), record).await;
    assert!(rekeyed.is_err(), "{rekeyed:?}");
    assert!(db.append(batch([entry(org)])).await.is_err());
    assert_eq!(snapshot(&db, org).await, before);
    assert_eq!(db.list_orgs(first(10)).await.expect("the orgs").len(), 1);
    assert_eq!(
        db.deployment()
            .await
            .expect("the deployment")
            .master_key_check,
        None
    );
    assert!(find(&db, &below).await.revocation.is_none());

    let db = bed.mend_audit(db).await;
    assert_eq!(snapshot(&db, org).await, before);
    for (change, error) in target.every_change(&db, NOBODY).await {
        assert!(error.is_none(), "{change}: {error:?}");
    }
    assert!(find(&db, &below).await.revocation.is_some());
}
