//! People: kept at each sign-in, suspended, removed with what goes back to them.

use std::sync::Arc;

use claviger_core::{
    id::OrgId,
    key::OrgKey,
    permission::PermissionSet,
    person::{Person, PersonDecision, PersonId, PersonState},
    tier::{Actor, Minter},
};
use claviger_store::{Judge, NewKey, PersonTurn, Removal, Removed, StoreError, Verdict, Written};

use crate::{
    bed::{Bed, Db},
    races::at_once,
    sessions::{begin, session},
    support::{
        NOBODY, NOW, beget, child, default_org, digest, end, insert_workspace, key, later, mint,
        other_org, token, walk,
    },
    witness::{assert_error, assert_same, done, many, many_unseen, refused, unseen},
};

pub(crate) fn person(org: OrgId, id: &str) -> Person {
    Person {
        org,
        id: id.parse().expect("an id"),
        issuer: "https://idp.example".to_owned(),
        email: Some("ü@example.com".to_owned()),
        name: Some("Ünal 'x'".to_owned()),
        role: "platform admins".to_owned(),
        permissions: PermissionSet::preset("editor").expect("a preset"),
        told_at: NOW,
        first_seen_at: NOW,
        last_seen_at: NOW,
        state: PersonState::Active,
        decision: None,
    }
}

/// Keeps a person, with no session.
pub(crate) async fn know(db: &Db, person: Person) -> Person {
    let org = person.org;
    done(db, org, |record| db.sign_in(person, None, record))
        .await
        .person
}

/// A key that a person mints.
pub(crate) fn key_of(person: &Person) -> NewKey {
    let mut new = key(person.org, "of a person");
    new.key.minter = Minter {
        created_by: person.id.actor(),
        root: person.id.actor(),
        chain: Vec::new(),
    };
    new
}

async fn find(db: &Db, like: &Person) -> claviger_store::PersonRow {
    let found = db.find_person(like.org, &like.id).await;
    found.expect("an answer").expect("the person")
}

fn turn_to(state: PersonState) -> PersonTurn {
    PersonTurn {
        state,
        decision: PersonDecision {
            at: later(5),
            by: Actor::AdminToken,
            reason: Some("løst".to_owned()),
        },
    }
}

async fn turn(db: &Db, person: &Person, state: PersonState) -> Person {
    let (org, id) = (person.org, person.id.clone());
    done(db, org, |record| {
        db.turn_person(org, id, turn_to(state), NOBODY, record)
    })
    .await
}

fn take_all() -> Judge {
    Box::new(|_: &OrgKey| Verdict::Take)
}

fn removal(heir: Option<&Person>) -> Removal {
    Removal {
        end: end(later(9)),
        heir: heir.map(|heir| heir.id.clone()),
    }
}

async fn remove(db: &Db, person: &Person, heir: Option<&Person>) -> Removed {
    let (org, id) = (person.org, person.id.clone());
    done(db, org, |record| {
        let removal = (removal(heir), take_all());
        db.remove_person(org, id, removal, NOBODY, many(record))
    })
    .await
}

pub(crate) async fn person_is_kept_as_described_last(bed: &Bed) {
    let db = bed.open().await;
    let (org, other) = (default_org(&db).await, other_org(&db).await);
    let first_time = know(&db, person(org, "user_1")).await;
    assert_same!(first_time, person(org, "user_1"));
    let again = Person {
        email: None,
        name: None,
        role: "reader".to_owned(),
        permissions: PermissionSet::of(&[]),
        first_seen_at: later(7),
        last_seen_at: later(7),
        ..first_time.clone()
    };
    let expected = Person {
        first_seen_at: NOW,
        ..again.clone()
    };
    assert_same!(know(&db, again).await, expected);
    // The same id in another org is another row.
    know(&db, person(other, "user_1")).await;
    let db = bed.reopen(db).await;
    assert_same!(find(&db, &expected).await.person, expected);
    let mut loaded = db.load_people().await.expect("people");
    loaded.sort_by_key(|person| person.org);
    assert_eq!(loaded.len(), 2);
    let missing: PersonId = "user_2".parse().expect("an id");
    assert!(
        db.find_person(org, &missing)
            .await
            .expect("an answer")
            .is_none()
    );
}

pub(crate) async fn id_of_another_issuer_is_somebody_else(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    know(&db, person(org, "user_1")).await;
    let impostor = Person {
        issuer: "https://evil.example".to_owned(),
        ..person(org, "user_1")
    };
    let error = refused(&db, org, |record| db.sign_in(impostor, None, record)).await;
    assert_error!(error, StoreError::Exists(_));
}

pub(crate) async fn people_are_listed_by_id_in_pages_with_what_they_hold(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    for at in [3, 1, 2, 5, 4] {
        know(&db, person(org, &format!("user_{at}"))).await;
    }
    let busy = person(org, "user_3");
    let made = mint(&db, key_of(&busy)).await;
    beget(&db, &made).await;
    let fetch = |page| db.list_people(org, page);
    let after = |row: &claviger_store::PersonRow| row.person.id.clone();
    let all = walk(2, after, fetch).await;
    let ids: Vec<_> = all.iter().map(|row| row.person.id.as_str()).collect();
    assert_eq!(ids, ["user_1", "user_2", "user_3", "user_4", "user_5"]);
    let keys: Vec<_> = all.iter().map(|row| row.keys).collect();
    assert_eq!(keys, [0, 0, 2, 0, 0]);
}

pub(crate) async fn suspended_person_neither_signs_in_nor_mints(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let person = know(&db, person(org, "user_1")).await;
    let made = mint(&db, key_of(&person)).await;
    begin(&db, session(&person), digest()).await;
    assert_eq!(find(&db, &person).await.sessions, 1);
    let suspended = turn(&db, &person, PersonState::Suspended).await;
    assert_eq!(suspended.state, PersonState::Suspended);
    assert_eq!(
        suspended
            .decision
            .as_ref()
            .and_then(|d| d.reason.as_deref()),
        Some("løst")
    );
    assert_eq!(
        find(&db, &person).await.sessions,
        0,
        "its sessions have ended"
    );
    let again = person.clone();
    let error = refused(&db, org, |record| db.sign_in(again, None, record)).await;
    assert_error!(error, StoreError::PersonInactive(PersonState::Suspended));
    for new in [key_of(&person), child(&made)] {
        let error = refused(&db, org, |record| db.mint_key(new, NOBODY, record)).await;
        assert_error!(error, StoreError::PersonInactive(PersonState::Suspended));
    }
    turn(&db, &person, PersonState::Active).await;
    know(&db, person.clone()).await;
    mint(&db, key_of(&person)).await;
    beget(&db, &made).await;
}

pub(crate) async fn removed_person_is_not_suspended(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let expect_refused = async |person: &Person, state, before| {
        let id = person.id.clone();
        let error = refused(&db, org, |record| {
            db.turn_person(org, id, turn_to(state), NOBODY, record)
        })
        .await;
        assert_error!(error, StoreError::PersonInactive(found) if *found == before);
    };
    let (active, suspended, removed) = (
        PersonState::Active,
        PersonState::Suspended,
        PersonState::Removed,
    );
    let one = know(&db, person(org, "user_1")).await;
    expect_refused(&one, active, active).await;
    expect_refused(&one, removed, active).await;
    turn(&db, &one, suspended).await;
    expect_refused(&one, suspended, suspended).await;
    expect_refused(&one, removed, suspended).await;
    remove(&db, &one, None).await;
    expect_refused(&one, suspended, removed).await;
    expect_refused(&one, removed, removed).await;
    assert_eq!(find(&db, &one).await.person.state, removed);
    assert_eq!(turn(&db, &one, active).await.state, active);
    // Nor where both are decided at the same moment.
    for round in 0..10 {
        let leaver = know(&db, person(org, &format!("leaver_{round}"))).await;
        at_once(2, |at| {
            let (db, id) = (Arc::clone(&db), leaver.id.clone());
            async move {
                if at == 0 {
                    let removal = (removal(None), take_all());
                    let done = db.remove_person(org, id, removal, NOBODY, many_unseen(org));
                    assert!(done.await.is_ok(), "round {round}");
                } else {
                    let turn = turn_to(PersonState::Suspended);
                    drop(db.turn_person(org, id, turn, NOBODY, unseen(org)).await);
                }
            }
        })
        .await;
        assert_eq!(find(&db, &leaver).await.person.state, removed, "{round}");
    }
}

pub(crate) async fn removed_person_takes_its_line_along(bed: &Bed) {
    let db = bed.open().await;
    let (org, other) = (default_org(&db).await, other_org(&db).await);
    let person_ = know(&db, person(org, "user_1")).await;
    let elsewhere = know(&db, person(other, "user_1")).await;
    let root = mint(&db, key_of(&person_)).await;
    let below = beget(&db, &root).await;
    let foreign = mint(&db, key_of(&elsewhere)).await;
    let unrelated = mint(&db, key(org, "unrelated")).await;
    let place = insert_workspace(&db, org).await;
    let mut own_token = token(&place);
    own_token.minter.root = person_.id.actor();
    let its_digest = digest();
    done(&db, org, |record| {
        db.insert_workspace_token(own_token, its_digest, NOBODY, record)
    })
    .await;
    begin(&db, session(&person_), digest()).await;

    let removed = remove(&db, &person_, None).await;
    let mut ids: Vec<_> = removed.keys.iter().map(|key| key.id).collect();
    ids.sort();
    let mut expected = [root.id, below.id];
    expected.sort();
    assert_eq!(ids, expected);
    let tokens: Vec<_> = removed
        .workspace_tokens
        .iter()
        .map(|token| token.digest)
        .collect();
    assert_eq!(tokens, [its_digest]);
    assert!(removed.handed_over.is_empty());
    let db = bed.reopen(db).await;
    let row = find(&db, &person_).await;
    assert_eq!(
        (row.person.state, row.keys, row.sessions),
        (PersonState::Removed, 0, 0)
    );
    for (key, is_dead) in [
        (&root, true),
        (&below, true),
        (&foreign, false),
        (&unrelated, false),
    ] {
        let found = db.find_key(key.org, key.id).await.expect("an answer");
        assert_eq!(
            found.expect("the key").revocation.is_some(),
            is_dead,
            "{}",
            key.name
        );
    }
    assert!(db.load_workspace_tokens().await.expect("tokens").is_empty());
    let again = person_.clone();
    let error = refused(&db, org, |record| db.sign_in(again, None, record)).await;
    assert_error!(error, StoreError::PersonInactive(PersonState::Removed));
    let id = person_.id.clone();
    let error = refused(&db, org, |record| {
        db.remove_person(org, id, (removal(None), take_all()), NOBODY, many(record))
    })
    .await;
    assert_error!(error, StoreError::PersonInactive(PersonState::Removed));
}

pub(crate) async fn heir_gets_what_goes_back_to_a_person(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let leaver = know(&db, person(org, "user_1")).await;
    let heir = know(&db, person(org, "user_2")).await;
    let root = mint(&db, key_of(&leaver)).await;
    let below = beget(&db, &root).await;
    let removed = remove(&db, &leaver, Some(&heir)).await;
    assert!(removed.keys.is_empty());
    assert_eq!(removed.handed_over.len(), 2);
    let db = bed.reopen(db).await;
    for key in [&root, &below] {
        let found = db
            .find_key(org, key.id)
            .await
            .expect("an answer")
            .expect("the key");
        assert_eq!(found.minter.root, heir.id.actor());
        assert_eq!(found.minter.created_by, key.minter.created_by);
        assert!(found.revocation.is_none());
    }
    assert_eq!(find(&db, &heir).await.keys, 2);
}

pub(crate) async fn nothing_is_handed_over_that_may_not_be(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let leaver = know(&db, person(org, "user_1")).await;
    let heir = know(&db, person(org, "user_2")).await;
    let made = mint(&db, key_of(&leaver)).await;
    let id = || leaver.id.clone();
    let judge: Judge = Box::new(|_: &OrgKey| Verdict::Refuse);
    let error = refused(&db, org, |record| {
        db.remove_person(
            org,
            id(),
            (removal(Some(&heir)), judge),
            NOBODY,
            many(record),
        )
    })
    .await;
    assert_error!(error, StoreError::Refused(_));
    turn(&db, &heir, PersonState::Suspended).await;
    let error = refused(&db, org, |record| {
        db.remove_person(
            org,
            id(),
            (removal(Some(&heir)), take_all()),
            NOBODY,
            many(record),
        )
    })
    .await;
    assert_error!(error, StoreError::PersonInactive(PersonState::Suspended));
    let row = find(&db, &leaver).await;
    assert_eq!((row.person.state, row.keys), (PersonState::Active, 1));
    let kept = db
        .find_key(org, made.id)
        .await
        .expect("an answer")
        .expect("the key");
    assert_eq!(kept.minter.root, leaver.id.actor());
}

pub(crate) async fn nothing_is_minted_past_a_removal(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    for round in 0..10 {
        let leaver = know(&db, person(org, &format!("user_{round}"))).await;
        let root = mint(&db, key_of(&leaver)).await;
        at_once(6, |at| {
            let (db, leaver, root) = (Arc::clone(&db), leaver.clone(), root.clone());
            async move {
                match at {
                    0 => {
                        let removal = (removal(None), take_all());
                        let id = leaver.id.clone();
                        let done: Result<Written<Removed>, _> = db
                            .remove_person(org, id, removal, NOBODY, many_unseen(org))
                            .await;
                        assert!(done.is_ok(), "{done:?}");
                    }
                    at => {
                        let new = if at % 2 == 0 {
                            key_of(&leaver)
                        } else {
                            child(&root)
                        };
                        let outcome = db.mint_key(new, NOBODY, unseen(org)).await;
                        drop(outcome);
                    }
                }
            }
        })
        .await;
        assert_eq!(find(&db, &leaver).await.keys, 0, "round {round}");
    }
}
