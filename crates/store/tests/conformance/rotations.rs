//! Rotations: another secret for a key, and what becomes of the one that it had.

use claviger_core::{
    key::{OldSecret, OrgKey, Overlap, OwnSecret},
    time::Timestamp,
};
use claviger_store::{Acting, KeyFilter, NewSecretOfKey, Rotated, RotationEnd, StoreError};

use crate::{
    bed::{Bed, Db},
    keys::find,
    support::{
        NOBODY, NOW, acting_at, default_org, digest, end, first, id, key, later, mint, other_org,
        prefix,
    },
    witness::{assert_error, assert_same, done, every_key, refused, revoke_now},
};

fn secret(at: Timestamp, ends_at: Timestamp) -> NewSecretOfKey {
    NewSecretOfKey {
        prefix: prefix("mole"),
        digest: digest(),
        at,
        ends_at,
        overlap: Overlap::Fixed,
    }
}

async fn rotate(db: &Db, key: &OrgKey, new: NewSecretOfKey) -> Rotated {
    let acting = acting_at(new.at);
    done(db, key.org, |record| {
        db.rotate_key(key.org, key.id, new, acting, record)
    })
    .await
}

async fn old_secrets(db: &Db, after: Timestamp) -> Vec<(OldSecret, [u8; 32])> {
    let mut found = db.load_old_secrets(after).await.expect("an answer");
    found.sort_by_key(|(old, _)| old.replaced_at);
    found
}

pub(crate) async fn rotated_key_keeps_everything_but_its_secret(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let before = mint(&db, key(org, "agent")).await;
    let bystander = mint(&db, key(org, "bystander")).await;
    let new = secret(later(5), later(50));
    let made = rotate(&db, &before, new.clone()).await;
    let expected = OrgKey {
        prefix: new.prefix,
        secret: OwnSecret {
            since: later(5),
            last_use: None,
        },
        ..before.clone()
    };
    let old = OldSecret {
        key: before.id,
        prefix: before.prefix,
        since: NOW,
        replaced_at: later(5),
        ends_at: later(50),
        overlap: Overlap::Fixed,
        last_use: None,
    };
    assert_same!(made.key, expected);
    assert_eq!((made.digest, made.old), (new.digest, old));
    let db = bed.reopen(db).await;
    assert_same!(find(&db, &before).await, expected);
    assert_same!(find(&db, &bystander).await, bystander);
    assert_eq!(old_secrets(&db, later(49)).await, [(old, made.old_digest)]);
    assert_eq!(old_secrets(&db, later(50)).await, []);
}

pub(crate) async fn secrets_are_told_by_the_names_of_their_keys(bed: &Bed) {
    let db = bed.open().await;
    let (org, strangers) = (default_org(&db).await, other_org(&db).await);
    let mine = mint(&db, key(org, "mine")).await;
    let foreign = mint(&db, key(strangers, "foreign")).await;
    let asked = [mine.prefix, foreign.prefix, prefix("mole")];
    let found = db.names_of_secrets(org, &asked).await.expect("names");
    assert_eq!(found, [(mine.prefix, "mine".to_owned())]);
    // What it was called before a rotation leads to it too.
    let made = rotate(&db, &mine, secret(later(5), later(50))).await;
    let asked = [mine.prefix, made.key.prefix];
    let mut found = db.names_of_secrets(org, &asked).await.expect("names");
    let mut expected = asked.map(|prefix| (prefix, "mine".to_owned()));
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
    let none = db.names_of_secrets(org, &[]).await;
    assert!(none.expect("names").is_empty());
}

pub(crate) async fn one_rotation_at_a_time(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let key = mint(&db, key(org, "agent")).await;
    let first = rotate(&db, &key, secret(later(5), later(50))).await;
    let early = secret(later(49), later(90));
    let acting = acting_at(later(49));
    let error = refused(&db, org, |record| {
        db.rotate_key(org, key.id, early, acting, record)
    })
    .await;
    assert_error!(error, StoreError::Exists(_));
    let second = rotate(&db, &key, secret(later(50), later(90))).await;
    assert_eq!(second.old.prefix, first.key.prefix);
    let all = old_secrets(&db, NOW).await;
    let prefixes: Vec<_> = all.iter().map(|(old, _)| old.prefix).collect();
    assert_eq!(prefixes, [key.prefix, first.key.prefix]);
}

pub(crate) async fn finished_rotation_ends_the_old_secret_and_cancelled_one_the_new(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let key = mint(&db, key(org, "agent")).await;
    for (how, at) in [(RotationEnd::Finish, 100), (RotationEnd::Cancel, 200)] {
        let before = find(&db, &key).await;
        let made = rotate(&db, &key, secret(later(at), later(at + 50))).await;
        let acting = acting_at(later(at + 10));
        let ended = done(&db, org, |record| {
            db.end_rotation(org, key.id, how, acting, record)
        })
        .await;
        let (own, other) = match how {
            RotationEnd::Finish => (
                (made.key.prefix, made.digest),
                (before.prefix, made.old_digest),
            ),
            RotationEnd::Cancel => (
                (before.prefix, made.old_digest),
                (made.key.prefix, made.digest),
            ),
        };
        assert_eq!((ended.key.prefix, ended.digest), own);
        assert_eq!((ended.old.prefix, ended.old_digest), other);
        assert_eq!(
            (ended.old.replaced_at, ended.old.ends_at),
            (later(at), later(at + 10))
        );
        assert_eq!(find(&db, &key).await.prefix, own.0);
        assert_eq!(old_secrets(&db, later(at + 10)).await, []);
        let error = refused(&db, org, |record| {
            db.end_rotation(org, key.id, how, acting, record)
        })
        .await;
        assert_error!(error, StoreError::NotFound(_));
    }
}

pub(crate) async fn secret_of_another_key_is_taken_also_when_it_was_replaced(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let one = mint(&db, key(org, "one")).await;
    let other = mint(&db, key(org, "other")).await;
    let rotated = rotate(&db, &one, secret(later(1), later(50))).await;
    for taken in [one.prefix, rotated.key.prefix] {
        let new = NewSecretOfKey {
            prefix: taken,
            ..secret(later(2), later(50))
        };
        let acting = acting_at(later(2));
        let error = refused(&db, org, |record| {
            db.rotate_key(org, other.id, new, acting, record)
        })
        .await;
        assert_error!(error, StoreError::PrefixTaken);
    }
    assert_same!(find(&db, &other).await, other);
    let mut new = key(org, "new");
    new.key.prefix = one.prefix;
    let error = refused(&db, org, |record| db.mint_key(new, NOBODY, record)).await;
    assert_error!(error, StoreError::PrefixTaken);
}

pub(crate) async fn replaced_secret_neither_rotates_its_key_nor_cancels(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let before = mint(&db, key(org, "agent")).await;
    let with = |prefix| Acting {
        session: None,
        key: Some(before.id),
        prefix: Some(prefix),
        now: later(10),
    };
    let made = rotate(&db, &before, secret(later(1), later(50))).await;
    let stale = with(before.prefix);
    let cancel = RotationEnd::Cancel;
    let error = refused(&db, org, |record| {
        db.end_rotation(org, before.id, cancel, stale, record)
    })
    .await;
    assert_error!(error, StoreError::SecretReplaced);
    let own = with(made.key.prefix);
    let finish = RotationEnd::Finish;
    done(&db, org, |record| {
        db.end_rotation(org, before.id, finish, own, record)
    })
    .await;
    let (again, stale) = (secret(later(10), later(10)), with(before.prefix));
    let error = refused(&db, org, |record| {
        db.rotate_key(org, before.id, again, stale, record)
    })
    .await;
    assert_error!(error, StoreError::SecretReplaced);
    let again = secret(later(10), later(10));
    done(&db, org, |record| {
        db.rotate_key(org, before.id, again, own, record)
    })
    .await;
}

pub(crate) async fn key_is_found_by_the_prefix_of_a_replaced_secret(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let before = mint(&db, key(org, "agent")).await;
    rotate(&db, &before, secret(later(1), later(1))).await;
    let by = |text: &str| KeyFilter {
        text: Some(text.to_owned()),
        ..every_key()
    };
    let found = db
        .list_keys(org, by(before.prefix.as_str()), first(10))
        .await;
    let found: Vec<_> = found.expect("an answer").iter().map(|key| key.id).collect();
    assert_eq!(found, [before.id]);
}

pub(crate) async fn revoked_foreign_and_unknown_keys_are_not_rotated(bed: &Bed) {
    let db = bed.open().await;
    let (org, other) = (default_org(&db).await, other_org(&db).await);
    let key = mint(&db, key(org, "agent")).await;
    let acting = acting_at(later(9));
    for (org, id) in [(other, key.id), (org, id())] {
        let new = secret(later(9), later(50));
        let error = refused(&db, org, |record| {
            db.rotate_key(org, id, new, acting, record)
        })
        .await;
        assert_error!(error, StoreError::NotFound(_));
    }
    rotate(&db, &key, secret(later(1), later(50))).await;
    revoke_now(&db, org, key.id, end(later(5))).await;
    let new = secret(later(9), later(50));
    let error = refused(&db, org, |record| {
        db.rotate_key(org, key.id, new, acting, record)
    })
    .await;
    assert_error!(error, StoreError::Gone(_));
    let finish = RotationEnd::Finish;
    let error = refused(&db, org, |record| {
        db.end_rotation(org, key.id, finish, acting, record)
    })
    .await;
    assert_error!(error, StoreError::Gone(_));
    assert_eq!(
        old_secrets(&db, NOW).await.len(),
        1,
        "its holder can be told"
    );
}
