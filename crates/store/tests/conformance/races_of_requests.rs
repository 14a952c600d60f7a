//! Requests for keys under many hands at once: one decision, one key, and none of a dead approver.

use std::sync::Arc;

use claviger_core::request::{Status, Step};
use claviger_store::{PENDING_PER_ASKER_MAX, RequestFilter, Revocations, StoreError};

use crate::{
    bed::Bed,
    races::at_once,
    requests::{approval, approved, ask, key_of, request},
    support::{NOBODY, NOW, acting, beget, default_org, end, first, key, later, mint},
    witness::{every_key, many_unseen, trail, unseen},
};

pub(crate) async fn of_racing_collections_one_gets_the_key(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let approver = mint(&db, key(org, "approver")).await;
    let asker = mint(&db, key(org, "asker")).await;
    for _ in 0..10 {
        let made = approved(&db, &asker, Some(&approver)).await;
        let outcomes = at_once(5, |_| {
            let (db, new) = (Arc::clone(&db), key_of(&made, Some(&approver)));
            let (id, acting) = (made.id, acting(&asker));
            async move { db.collect_request(id, new, acting, unseen(org)).await }
        })
        .await;
        let (won, lost): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
        assert_eq!(won.len(), 1);
        for error in lost {
            let is_late = matches!(error, Err(StoreError::WrongStatus(Status::Collected)));
            assert!(is_late, "{error:?}");
        }
    }
    let keys = db.list_keys(org, every_key(), first(100)).await;
    assert_eq!(keys.expect("the keys").len(), 12);
    trail(&db, org).await;
}

pub(crate) async fn of_racing_decisions_one_stands(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let asker = mint(&db, key(org, "asker")).await;
    for round in 0..10 {
        let made = ask(&db, request(&asker)).await;
        let Step::Approve(decision, _) = approval(&made, None) else {
            panic!("not an approval");
        };
        // Once it is denied, that stands, whether or not it was approved before.
        let steps = if round % 2 == 0 {
            [approval(&made, None), approval(&made, None)]
        } else {
            [Step::Deny(decision.clone()), Step::Deny(decision)]
        };
        let outcomes = at_once(6, |at| {
            let (db, step, id) = (Arc::clone(&db), steps[at % 2].clone(), made.id);
            async move { db.step_request(org, id, step, NOBODY, unseen(org)).await }
        })
        .await;
        let won: Vec<_> = outcomes
            .iter()
            .filter_map(|won| won.as_ref().ok())
            .collect();
        assert_eq!(won.len(), 1);
        let kept = db.find_request(org, made.id).await.expect("an answer");
        assert_eq!(kept.as_ref(), Some(&won[0].value));
    }
    trail(&db, org).await;
}

/// The asker descends from the approver: the revocation wants both keys, and so does the collection.
pub(crate) async fn collection_while_the_approver_is_revoked_leaves_no_living_key(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    for round in 0..30 {
        let approver = mint(&db, key(org, "approver")).await;
        let is_below = round % 2 == 0;
        let asker = if is_below {
            beget(&db, &approver).await
        } else {
            mint(&db, key(org, "asker")).await
        };
        let made = approved(&db, &asker, Some(&approver)).await;
        let new = key_of(&made, Some(&approver));
        let minted = new.key.id;
        let collector = {
            let (db, id, acting) = (Arc::clone(&db), made.id, acting(&asker));
            tokio::spawn(async move { db.collect_request(id, new, acting, unseen(org)).await })
        };
        let ended = end(later(1));
        let revoked = db
            .revoke_key(org, approver.id, ended, NOBODY, many_unseen(org))
            .await;
        assert!(matches!(revoked, Ok(Revocations::Now(_))), "{revoked:?}");
        match collector.await.expect("no panic") {
            Ok(_) => {
                let key = db.find_key(org, minted).await.expect("an answer");
                let key = key.expect("the key");
                assert!(key.revocation.is_some(), "it outlived its minter");
            }
            Err(StoreError::ApprovalVoid(_)) => assert!(!is_below),
            Err(StoreError::ActorGone) => assert!(is_below),
            Err(error) => panic!("{error:?}"),
        }
    }
    trail(&db, org).await;
}

pub(crate) async fn racing_asks_stay_within_the_limit(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let asker = mint(&db, key(org, "asker")).await;
    let max = usize::try_from(PENDING_PER_ASKER_MAX).expect("small");
    let outcomes = at_once(max + 10, |_| {
        let (db, new) = (Arc::clone(&db), request(&asker));
        async move { db.insert_request(new, NOBODY, unseen(org)).await }
    })
    .await;
    let filter = RequestFilter {
        statuses: vec![Status::Pending],
        now: NOW,
        asker: Some(asker.id.to_string()),
    };
    let listed = db.list_requests(org, filter, first(100)).await;
    assert_eq!(listed.expect("an answer").len(), max);
    let won = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(won, max);
}
