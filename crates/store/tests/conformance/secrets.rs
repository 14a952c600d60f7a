//! Workspace secrets: versions, seals, names, the limit.

use std::sync::{Arc, Mutex};

use claviger_core::{id::OrgId, tier::Actor};
use claviger_store::{
    Acting, NewSecret, SECRETS_PER_WORKSPACE_MAX, Sealer, SecretName, SecretRow, StoreError,
    Workspace,
};

use crate::{
    bed::{Bed, Db},
    support::{
        NOBODY, acting, default_org, end, first, id, insert_workspace, key, later, mint, other_org,
        put_secret, sealed, walk,
    },
    witness::{assert_error, done, refused, revoke_now, snapshot, unseen},
};

/// A sealer that remembers for which versions it was called.
fn sealer(name: &str) -> (Sealer, Arc<Mutex<Vec<u64>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (kept, name) = (Arc::clone(&asked), name.to_owned());
    let seal = Box::new(move |version| {
        kept.lock().expect("no panic").push(version);
        sealed(&name, version)
    });
    (seal, asked)
}

async fn reveal(db: &Db, place: &Workspace) -> Vec<SecretRow> {
    db.reveal_secrets(place.org, place.id, NOBODY)
        .await
        .expect("the secrets")
}

pub(crate) async fn each_put_makes_the_next_version_and_seals_for_it(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let place = insert_workspace(&db, org).await;
    let actors = [
        mint(&db, key(org, "one")).await,
        mint(&db, key(org, "two")).await,
    ];
    for (at, version) in (10..).zip(1..=3) {
        let (seal, asked) = sealer("A");
        let actor = &actors[usize::from(version > 1)];
        let acting = Acting {
            session: None,
            key: Some(actor.id),
            prefix: None,
            now: later(at),
        };
        let made = done(&db, org, |record| {
            db.put_secret(
                org,
                place.id,
                NewSecret {
                    name: "A".to_owned(),
                    created_by: Actor::OrgKey(actor.prefix),
                    seal,
                },
                acting,
                record,
            )
        })
        .await;
        let expected = SecretName {
            name: "A".to_owned(),
            version,
            created_by: Actor::OrgKey(actors[0].prefix),
            created_at: later(10),
            updated_at: later(at),
        };
        assert_eq!(made, expected);
        assert_eq!(
            *asked.lock().expect("no panic"),
            [version],
            "sealed once, for its version"
        );
        let row = SecretRow {
            name: "A".to_owned(),
            version,
            sealed: sealed("A", version),
        };
        assert_eq!(reveal(&db, &place).await, [row]);
        let names = db
            .list_secrets(org, place.id, first(10))
            .await
            .expect("the names");
        assert_eq!(names, [expected]);
    }
}

pub(crate) async fn secrets_outlive_a_restart(bed: &Bed) {
    let db = bed.open().await;
    let place = insert_workspace(&db, default_org(&db).await).await;
    for name in ["A", "B", "A"] {
        put_secret(&db, &place, name).await;
    }
    let before = reveal(&db, &place).await;
    let db = bed.reopen(db).await;
    assert_eq!(reveal(&db, &place).await, before);
    assert_eq!(put_secret(&db, &place, "A").await.version, 3);
}

pub(crate) async fn names_are_in_the_order_of_their_bytes(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let (place, neighbour) = (
        insert_workspace(&db, org).await,
        insert_workspace(&db, org).await,
    );
    let mut names = vec![
        "b", "B", "a", "_z", "A.b", "A-b", "A_b", "AB", "Ab", "A", "a1", "a10", "a2", "_", "Z",
    ];
    for name in &names {
        put_secret(&db, &place, name).await;
    }
    put_secret(&db, &neighbour, "elsewhere").await;
    names.sort_unstable();
    for limit in [1, 4, 15, 100] {
        let fetch = |page| db.list_secrets(org, place.id, page);
        let all = walk(limit, |secret: &SecretName| secret.name.clone(), fetch).await;
        assert_eq!(
            all.iter()
                .map(|secret| secret.name.as_str())
                .collect::<Vec<_>>(),
            names
        );
    }
    let revealed = reveal(&db, &place).await;
    assert_eq!(
        revealed
            .iter()
            .map(|row| row.name.as_str())
            .collect::<Vec<_>>(),
        names
    );
}

pub(crate) async fn secrets_of_another_place_are_not_found(bed: &Bed) {
    let db = bed.open().await;
    let (org, other) = (default_org(&db).await, other_org(&db).await);
    let place = insert_workspace(&db, org).await;
    put_secret(&db, &place, "A").await;
    let before = snapshot(&db, org).await;
    for (org, place) in [(other, place.id), (org, id())] {
        let (seal, _) = sealer("A");
        let error = refused(&db, org, |record| {
            db.put_secret(
                org,
                place,
                super::support::new_secret("A".to_owned(), seal),
                NOBODY,
                record,
            )
        })
        .await;
        assert_error!(error, StoreError::NotFound(_));
        let error = db.list_secrets(org, place, first(10)).await.err();
        assert_error!(error, Some(StoreError::NotFound(_)));
        let error = db.reveal_secrets(org, place, NOBODY).await.err();
        assert_error!(error, Some(StoreError::NotFound(_)));
        let error = refused(&db, org, |record| {
            db.delete_secret(org, place, "A", NOBODY, record)
        })
        .await;
        assert_error!(error, StoreError::NotFound(_));
    }
    assert_eq!(snapshot(&db, org).await, before);
}

pub(crate) async fn deleted_secret_is_gone_and_may_come_again(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let place = insert_workspace(&db, org).await;
    for name in ["A", "A", "B"] {
        put_secret(&db, &place, name).await;
    }
    done(&db, org, |record| {
        db.delete_secret(org, place.id, "A", NOBODY, record)
    })
    .await;
    let left = SecretRow {
        name: "B".to_owned(),
        version: 1,
        sealed: sealed("B", 1),
    };
    assert_eq!(reveal(&db, &place).await, std::slice::from_ref(&left));
    for name in ["A", "b", "%", "_", ""] {
        let error = refused(&db, org, |record| {
            db.delete_secret(org, place.id, name, NOBODY, record)
        })
        .await;
        assert_error!(error, StoreError::NotFound(_));
    }
    // Whether it begins anew or goes on counting: the seal is bound to the version that is kept.
    let version = put_secret(&db, &place, "A").await.version;
    assert!([1, 3].contains(&version), "{version}");
    let again = SecretRow {
        name: "A".to_owned(),
        version,
        sealed: sealed("A", version),
    };
    assert_eq!(reveal(&db, &place).await, [again, left]);
}

pub(crate) async fn empty_and_large_seals_come_back_as_they_were(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let place = insert_workspace(&db, org).await;
    let large: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    for (name, bytes) in [("empty", Vec::new()), ("large", large.clone())] {
        let seal = Box::new(move |_| bytes);
        done(&db, org, |record| {
            db.put_secret(
                org,
                place.id,
                super::support::new_secret(name.to_owned(), seal),
                NOBODY,
                record,
            )
        })
        .await;
    }
    let revealed = reveal(&db, &place).await;
    let revealed: Vec<_> = revealed.iter().map(|row| row.sealed.as_slice()).collect();
    assert_eq!(revealed, [&[], large.as_slice()]);
}

pub(crate) async fn reveal_needs_a_living_actor(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let place = insert_workspace(&db, org).await;
    put_secret(&db, &place, "A").await;
    let actor = mint(&db, key(org, "actor")).await;
    let revealed = db
        .reveal_secrets(org, place.id, acting(&actor))
        .await
        .expect("the secrets");
    assert_eq!(revealed, reveal(&db, &place).await);
    revoke_now(&db, org, actor.id, end(later(1))).await;
    let error = db.reveal_secrets(org, place.id, acting(&actor)).await.err();
    assert_error!(error, Some(StoreError::ActorGone));
}

async fn put_unseen(db: &Db, org: OrgId, place: &Workspace, name: &str) {
    let (seal, _) = sealer(name);
    let record = unseen(org);
    let outcome = db
        .put_secret(
            org,
            place.id,
            super::support::new_secret(name.to_owned(), seal),
            NOBODY,
            record,
        )
        .await;
    assert!(outcome.is_ok(), "{outcome:?}");
}

pub(crate) async fn workspace_holds_so_many_secrets_and_no_more(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let (place, neighbour) = (
        insert_workspace(&db, org).await,
        insert_workspace(&db, org).await,
    );
    for at in 0..SECRETS_PER_WORKSPACE_MAX {
        put_unseen(&db, org, &place, &format!("S{at}")).await;
    }
    let (seal, asked) = sealer("more");
    let error = refused(&db, org, |record| {
        db.put_secret(
            org,
            place.id,
            super::support::new_secret("more".to_owned(), seal),
            NOBODY,
            record,
        )
    })
    .await;
    assert_error!(
        error,
        StoreError::LimitReached {
            max: SECRETS_PER_WORKSPACE_MAX,
            ..
        }
    );
    assert!(
        asked.lock().expect("no panic").is_empty(),
        "there is nothing to seal"
    );

    // What is there can still be set, another workspace is not concerned, and a deletion makes room.
    assert_eq!(put_secret(&db, &place, "S7").await.version, 2);
    put_secret(&db, &neighbour, "more").await;
    done(&db, org, |record| {
        db.delete_secret(org, place.id, "S9", NOBODY, record)
    })
    .await;
    put_secret(&db, &place, "more").await;
    assert_eq!(
        u64::try_from(reveal(&db, &place).await.len()).ok(),
        Some(SECRETS_PER_WORKSPACE_MAX)
    );
}
