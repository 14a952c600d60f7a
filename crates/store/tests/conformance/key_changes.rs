//! Changes of keys: name, metadata, narrowing, suspension.

use claviger_core::{
    grant::Grant,
    key::{KeyStatus, Metadata, Suspension},
    permission::PermissionSet,
    tier::Actor,
};
use claviger_store::{KeyChange, KeyFilter, StoreError, Turn};

use crate::{
    bed::Bed,
    keys::{find, full_key},
    support::{NOBODY, acting, default_org, end, first, id, key, later, mint},
    witness::{assert_error, assert_same, done, every_key, refused, revoke_now},
};

pub(crate) fn named(name: &str) -> KeyChange {
    KeyChange {
        name: Some(name.to_owned()),
        ..KeyChange::default()
    }
}

pub(crate) async fn change_sets_name_and_metadata_and_no_more(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let parent = mint(&db, key(org, "parent")).await;
    let mut expected = mint(&db, full_key(&parent)).await;
    let bystander = mint(&db, key(org, "bystander")).await;
    let metadata: Metadata = [("new".to_owned(), "ñ".to_owned())].into();
    let changes = [
        KeyChange::default(),
        named("née"),
        KeyChange {
            metadata: Some(metadata),
            ..KeyChange::default()
        },
        KeyChange {
            metadata: Some([].into()),
            ..named("both")
        },
    ];
    for change in changes {
        expected.name = change.name.clone().unwrap_or(expected.name);
        expected.metadata = change.metadata.clone().unwrap_or(expected.metadata);
        let key = expected.id;
        let made = done(&db, org, |record| {
            db.change_key(org, key, change, NOBODY, record)
        })
        .await;
        assert_same!(made, expected);
        assert_same!(find(&db, &expected).await, expected);
    }
    assert_same!(find(&db, &bystander).await, bystander);
    assert_same!(find(&db, &parent).await, parent);
}

pub(crate) async fn narrowed_key_has_the_new_grant_and_the_earlier_end(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let mut expected = mint(&db, key(org, "wide")).await;
    let narrow = Grant {
        permissions: PermissionSet::preset("reader").expect("a preset"),
        not_before: Some(later(7)),
        ..Grant::admin()
    };
    let narrowing = |from: Grant| KeyChange {
        grant: Some((from, narrow.clone())),
        ..KeyChange::default()
    };
    let change = KeyChange {
        expires_at: Some(later(1000)),
        ..narrowing(Grant::admin())
    };
    let (id, other) = (
        expected.id,
        KeyChange {
            expires_at: Some(later(2000)),
            ..KeyChange::default()
        },
    );
    expected.grant = narrow.clone();
    expected.expires_at = Some(later(1000));
    let made = done(&db, org, |record| {
        db.change_key(org, id, change, NOBODY, record)
    })
    .await;
    assert_same!(made, expected);
    // An end is never put off, and a change that was made for another grant is not carried out.
    let made = done(&db, org, |record| {
        db.change_key(org, id, other, NOBODY, record)
    })
    .await;
    assert_same!(made, expected);
    let stale = narrowing(Grant::admin());
    let error = refused(&db, org, |record| {
        db.change_key(org, id, stale, NOBODY, record)
    })
    .await;
    assert_error!(error, StoreError::Stale(_));
    assert_same!(find(&db, &expected).await, expected);
    let early = KeyFilter {
        statuses: vec![KeyStatus::NotYetValid],
        ..every_key()
    };
    let listed = db
        .list_keys(org, early, first(10))
        .await
        .expect("an answer");
    assert_eq!(listed.len(), 1, "the list judges by the new beginning");
    let db = bed.reopen(db).await;
    assert_same!(find(&db, &expected).await, expected);
}

pub(crate) async fn suspended_key_keeps_its_first_instant_until_it_is_resumed(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let mut expected = mint(&db, key(org, "agent")).await;
    let id = expected.id;
    let turn = |turn| KeyChange {
        turn: Some(turn),
        ..KeyChange::default()
    };
    let stop = |millis| Suspension {
        at: later(millis),
        by: Actor::AdminToken,
        reason: Some("löst".to_owned()),
    };
    let steps = [
        (Turn::Suspend(stop(5)), Some(5), None),
        (Turn::Suspend(stop(9)), Some(5), None),
        (Turn::Resume(later(10)), None, Some(10)),
        // What is on already was not resumed.
        (Turn::Resume(later(11)), None, Some(10)),
        (Turn::Suspend(stop(12)), Some(12), Some(10)),
    ];
    for (suspension, since, resumed) in steps {
        expected.suspension = since.map(stop);
        expected.resumed_at = resumed.map(later);
        let change = turn(suspension);
        let made = done(&db, org, |record| {
            db.change_key(org, id, change, NOBODY, record)
        })
        .await;
        assert_same!(made, expected);
    }
    // It cannot act: not even to bring itself back.
    let (change, itself) = (turn(Turn::Resume(later(13))), acting(&expected));
    let error = refused(&db, org, |record| {
        db.change_key(org, id, change, itself, record)
    })
    .await;
    assert_error!(error, StoreError::ActorGone);
    let db = bed.reopen(db).await;
    assert_same!(find(&db, &expected).await, expected);
}

pub(crate) async fn revoked_key_cannot_be_changed(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let key = mint(&db, key(org, "gone")).await;
    revoke_now(&db, org, key.id, end(later(1))).await;
    let change = named("back");
    let error = refused(&db, org, |record| {
        db.change_key(org, key.id, change, NOBODY, record)
    })
    .await;
    assert_error!(error, StoreError::Gone(_));
    let change = named("back");
    let error = refused(&db, org, |record| {
        db.change_key(org, id(), change, NOBODY, record)
    })
    .await;
    assert_error!(error, StoreError::NotFound(_));
}
