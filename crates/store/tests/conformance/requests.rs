//! Requests for keys: asked, decided, collected once.

use claviger_core::{
    grant::Grant,
    key::{OrgKey, Suspension},
    permission::{Permission, PermissionSet},
    request::{
        Approved, Asker, Collection, Decision, KeyRequest, Lifetime, PENDING_FOR, Status, Step,
        Void, Wanted,
    },
    tier::{Actor, Tier},
    time::Timestamp,
};
use claviger_store::{Acting, Collected, KeyChange, NewKey, RequestFilter, StoreError, Turn};

use crate::{
    bed::{Bed, Db},
    support::{
        DAY, NOBODY, NOW, acting, acting_at, beget, child, default_org, end, first, id, key, later,
        mint, other_org, walk,
    },
    witness::{assert_error, assert_same, done, refused, revoke_now, snapshot, unseen},
};

/// What a key asks for: everything it can be, with letters that need care.
pub(crate) fn request(asker: &OrgKey) -> KeyRequest {
    KeyRequest {
        id: id(),
        org: asker.org,
        asker: Asker::Key(asker.id),
        asked_by: Actor::OrgKey(asker.prefix),
        asked_at: NOW,
        justification: "pour le rapport d'été 'quoted'".to_owned(),
        wanted: Wanted {
            name: "report \u{1F511}".to_owned(),
            grant: Grant {
                permissions: PermissionSet::of(&[Permission::ChannelsSend]),
                ..Grant::admin()
            },
            lifetime: Lifetime::For(DAY),
            metadata: [("team".to_owned(), "données".to_owned())].into(),
        },
        for_key: Some(asker.id),
        expires_at: NOW.plus(PENDING_FOR),
        stage: Status::Pending,
        decision: None,
        approved: None,
        collection: None,
    }
}

pub(crate) async fn ask(db: &Db, new: KeyRequest) -> KeyRequest {
    let acting = acting_at(new.asked_at);
    done(db, new.org, |record| db.insert_request(new, acting, record)).await
}

fn decision(by: Option<&OrgKey>, at: Timestamp) -> Decision {
    Decision {
        by: by.map_or(Actor::AdminToken, |key| Actor::OrgKey(key.prefix)),
        key: by.map(|key| key.id),
        tier: by.map_or(Tier::AdminToken, |_| Tier::OrgKey),
        at,
        note: Some("für einen Tag".to_owned()),
    }
}

/// Approves what was asked, for a key or for the org.
pub(crate) fn approval(of: &KeyRequest, by: Option<&OrgKey>) -> Step {
    let approved = Approved {
        grant: of.wanted.grant.clone(),
        lifetime: Lifetime::Until(later(9000)),
    };
    Step::Approve(decision(by, later(5)), approved)
}

pub(crate) async fn step(db: &Db, request: &KeyRequest, step: Step) -> KeyRequest {
    let (org, acting) = (request.org, acting_at(later(5)));
    done(db, org, |record| {
        db.step_request(org, request.id, step, acting, record)
    })
    .await
}

pub(crate) async fn approved(db: &Db, asker: &OrgKey, by: Option<&OrgKey>) -> KeyRequest {
    let request = ask(db, request(asker)).await;
    let approval = approval(&request, by);
    step(db, &request, approval).await
}

/// The key of a request.
pub(crate) fn key_of(request: &KeyRequest, approver: Option<&OrgKey>) -> NewKey {
    let mut new = approver.map_or_else(|| key(request.org, "collected"), child);
    new.key.grant = request.wanted.grant.clone();
    new
}

pub(crate) async fn found(db: &Db, request: &KeyRequest) -> KeyRequest {
    let found = db.find_request(request.org, request.id).await;
    found.expect("an answer").expect("the request")
}

fn filter(statuses: &[Status], now: Timestamp) -> RequestFilter {
    RequestFilter {
        statuses: statuses.to_vec(),
        now,
        asker: None,
    }
}

/// How the collection of a request is refused.
async fn refusal(db: &Db, request: &KeyRequest, by: Option<&OrgKey>, acting: Acting) -> StoreError {
    let new = key_of(request, by);
    refused::<Collected, _, _>(db, request.org, |record| {
        db.collect_request(request.id, new, acting, record)
    })
    .await
}

pub(crate) async fn request_is_found_and_listed_as_it_was_made(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let asker = mint(&db, key(org, "asker")).await;
    let made = ask(&db, request(&asker)).await;
    let plain = KeyRequest {
        asker: Asker::Other(Actor::Session("user_1".into())),
        for_key: None,
        ..request(&asker)
    };
    let plain = ask(&db, plain).await;
    let db = bed.reopen(db).await;
    for request in [&made, &plain] {
        assert_eq!(found(&db, request).await, *request);
    }
    let all = filter(Status::ALL, NOW);
    let listed = db.list_requests(org, all, first(10)).await;
    assert_eq!(listed.expect("an answer"), [plain, made]);
}

pub(crate) async fn requests_are_listed_newest_first_in_pages(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let asker = mint(&db, key(org, "asker")).await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(ask(&db, request(&asker)).await.id);
    }
    made.reverse();
    let fetch = |page| db.list_requests(org, filter(Status::ALL, NOW), page);
    let all = walk(2, |request: &KeyRequest| request.id, fetch).await;
    let ids: Vec<_> = all.iter().map(|request| request.id).collect();
    assert_eq!(ids, made);
}

pub(crate) async fn request_filters_judge_at_their_instant_and_know_the_asker(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let [one, other] = [
        mint(&db, key(org, "one")).await,
        mint(&db, key(org, "other")).await,
    ];
    let pending = ask(&db, request(&one)).await.id;
    let collectable = approved(&db, &other, None).await.id;
    let ids = async |statuses: &[Status], now, asker: Option<&OrgKey>| {
        let filter = RequestFilter {
            asker: asker.map(|key| key.id.to_string()),
            ..filter(statuses, now)
        };
        let list = db.list_requests(org, filter, first(10)).await;
        let list = list.expect("an answer");
        list.iter().map(|request| request.id).collect::<Vec<_>>()
    };
    let open = [Status::Pending, Status::Approved];
    assert_eq!(ids(&open, NOW, None).await, [collectable, pending]);
    assert_eq!(ids(&[Status::Pending], NOW, None).await, [pending]);
    assert_eq!(ids(&open, NOW, Some(&one)).await, [pending]);
    let next_day = later(5).plus(DAY);
    assert_eq!(ids(&[Status::Expired], next_day, None).await, [collectable]);
    let end = NOW.plus(PENDING_FOR);
    assert_eq!(ids(&open, end, None).await, []);
    assert_eq!(ids(&[Status::Expired], end, Some(&one)).await, [pending]);
}

pub(crate) async fn request_of_another_org_is_not_found(bed: &Bed) {
    let db = bed.open().await;
    let (org, other) = (default_org(&db).await, other_org(&db).await);
    let asker = mint(&db, key(org, "asker")).await;
    let made = approved(&db, &asker, None).await;
    assert_eq!(db.find_request(other, made.id).await.expect("asked"), None);
    let listed = db
        .list_requests(other, filter(Status::ALL, NOW), first(10))
        .await;
    assert_eq!(listed.expect("an answer"), []);
    let error = refused::<KeyRequest, _, _>(&db, org, |record| {
        db.step_request(other, made.id, Step::Withdraw, NOBODY, record)
    })
    .await;
    assert_error!(error, StoreError::NotFound(_));
    let foreign = KeyRequest {
        org: other,
        ..made.clone()
    };
    let error = refusal(&db, &foreign, None, NOBODY).await;
    assert_error!(error, StoreError::NotFound(_));
}

pub(crate) async fn approved_request_is_collected_once(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let approver = mint(&db, key(org, "approver")).await;
    let asker = beget(&db, &approver).await;
    let made = approved(&db, &asker, Some(&approver)).await;
    assert_eq!(made.status(NOW), Status::Approved);
    assert_eq!(found(&db, &made).await, made);
    let new = key_of(&made, Some(&approver));
    let minted = new.key.clone();
    let collected = done(&db, org, |record| {
        db.collect_request(made.id, new, acting(&asker), record)
    })
    .await;
    assert_same!(collected.key, minted);
    let db = bed.reopen(db).await;
    let closed = found(&db, &made).await;
    assert_eq!(closed, collected.request);
    let collection = Collection {
        at: NOW,
        key: minted.id,
    };
    assert_eq!(closed.collection, Some(collection));
    let kept = db.find_key(org, minted.id).await.expect("an answer");
    assert_same!(kept.expect("the key"), minted);
    let error = refusal(&db, &made, Some(&approver), acting(&asker)).await;
    assert_error!(error, StoreError::WrongStatus(Status::Collected));
}

pub(crate) async fn closed_and_expired_requests_take_no_step(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let asker = mint(&db, key(org, "asker")).await;
    let denied = ask(&db, request(&asker)).await;
    let denied = step(&db, &denied, Step::Deny(decision(None, later(5)))).await;
    let withdrawn = approved(&db, &asker, None).await;
    let withdrawn = step(&db, &withdrawn, Step::Withdraw).await;
    let expired = ask(&db, request(&asker)).await;
    for (request, now, status) in [
        (&denied, NOW, Status::Denied),
        (&withdrawn, NOW, Status::Withdrawn),
        (&expired, NOW.plus(PENDING_FOR), Status::Expired),
    ] {
        let deny = Step::Deny(decision(None, now));
        for step in [approval(request, None), deny, Step::Withdraw] {
            let error = refused::<KeyRequest, _, _>(&db, org, |record| {
                db.step_request(org, request.id, step, acting_at(now), record)
            })
            .await;
            assert_error!(error, StoreError::WrongStatus(found) if *found == status);
        }
        let error = refusal(&db, request, None, acting_at(now)).await;
        assert_error!(error, StoreError::WrongStatus(found) if *found == status);
    }
    let pending = ask(&db, request(&asker)).await;
    let error = refusal(&db, &pending, None, NOBODY).await;
    assert_error!(error, StoreError::WrongStatus(Status::Pending));
    let late = approved(&db, &asker, None).await;
    let error = refusal(&db, &late, None, acting_at(late.expires_at)).await;
    assert_error!(error, StoreError::WrongStatus(Status::Expired));
}

/// Narrows, suspends or resumes a key.
async fn change(db: &Db, key: &OrgKey, change: KeyChange) {
    done(db, key.org, |record| {
        db.change_key(key.org, key.id, change, NOBODY, record)
    })
    .await;
}

pub(crate) async fn approval_is_void_while_its_approver_does_not_hold_it(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let above = mint(&db, key(org, "above the approver")).await;
    let approver = beget(&db, &above).await;
    let asker = mint(&db, key(org, "asker")).await;
    let made = approved(&db, &asker, Some(&approver)).await;
    let collect = async || refusal(&db, &made, Some(&approver), acting(&asker)).await;
    for ended in [&above, &approver] {
        let stop = Suspension {
            at: NOW,
            by: Actor::AdminToken,
            reason: None,
        };
        for (turn, is_off) in [(Turn::Suspend(stop), true), (Turn::Resume(NOW), false)] {
            let turn = KeyChange {
                turn: Some(turn),
                ..KeyChange::default()
            };
            change(&db, ended, turn).await;
            if is_off {
                let error = collect().await;
                assert_error!(error, StoreError::ApprovalVoid(Void::ApproverEnded));
            }
        }
    }
    let reader = Grant {
        permissions: PermissionSet::preset("reader").expect("a preset"),
        ..Grant::admin()
    };
    let narrowing = KeyChange {
        grant: Some((above.grant.clone(), reader)),
        ..KeyChange::default()
    };
    change(&db, &above, narrowing).await;
    let error = collect().await;
    assert_error!(
        error,
        StoreError::ApprovalVoid(Void::ApproverNarrowed("permissions"))
    );
    revoke_now(&db, org, approver.id, end(NOW)).await;
    let error = collect().await;
    assert_error!(error, StoreError::ApprovalVoid(Void::ApproverEnded));
}

pub(crate) async fn ended_key_neither_asks_nor_decides_nor_collects(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let asker = mint(&db, key(org, "asker")).await;
    let pending = ask(&db, request(&asker)).await;
    let made = approved(&db, &asker, None).await;
    revoke_now(&db, org, asker.id, end(NOW)).await;
    let new = request(&asker);
    let error = refused::<KeyRequest, _, _>(&db, org, |record| {
        db.insert_request(new, acting(&asker), record)
    })
    .await;
    assert_error!(error, StoreError::ActorGone);
    for step in [approval(&pending, Some(&asker)), Step::Withdraw] {
        let error = refused::<KeyRequest, _, _>(&db, org, |record| {
            db.step_request(org, pending.id, step, acting(&asker), record)
        })
        .await;
        assert_error!(error, StoreError::ActorGone);
    }
    let error = refusal(&db, &made, None, acting(&asker)).await;
    assert_error!(error, StoreError::ActorGone);
}

pub(crate) async fn taken_prefix_leaves_the_request_to_be_collected(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let asker = mint(&db, key(org, "asker")).await;
    let made = approved(&db, &asker, None).await;
    let mut new = key_of(&made, None);
    new.key.prefix = asker.prefix;
    let error = refused::<Collected, _, _>(&db, org, |record| {
        db.collect_request(made.id, new, NOBODY, record)
    })
    .await;
    assert_error!(error, StoreError::PrefixTaken);
    let new = key_of(&made, None);
    done(&db, org, |record| {
        db.collect_request(made.id, new, NOBODY, record)
    })
    .await;
}

pub(crate) async fn first_mint_by_collection_closes_the_bootstrap(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let asker = key(org, "never minted").key;
    let new = KeyRequest {
        asker: Asker::Other(Actor::AdminToken),
        for_key: None,
        ..request(&asker)
    };
    let made = ask(&db, new).await;
    let approval = approval(&made, None);
    let made = step(&db, &made, approval).await;
    let is_open = async || db.deployment().await.expect("there").is_bootstrap_open;
    assert!(is_open().await);
    let new = key_of(&made, None);
    done(&db, org, |record| {
        db.collect_request(made.id, new, NOBODY, record)
    })
    .await;
    assert!(!is_open().await);
}

pub(crate) async fn deleted_org_has_no_requests(bed: &Bed) {
    let db = bed.open().await;
    let org = other_org(&db).await;
    let asker = mint(&db, key(org, "asker")).await;
    let made = approved(&db, &asker, None).await;
    let home = default_org(&db).await;
    let gone = db.delete_org(org, end(NOW), unseen(home)).await;
    gone.expect("it is deleted");
    assert_eq!(db.find_request(org, made.id).await.expect("asked"), None);
}

pub(crate) async fn step_that_cannot_be_recorded_does_not_happen(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let asker = mint(&db, key(org, "asker")).await;
    let pending = ask(&db, request(&asker)).await;
    let made = approved(&db, &asker, None).await;
    let before = snapshot(&db, org).await;
    let db = bed.break_audit(db).await;
    let (new, collected) = (request(&asker), key_of(&made, None));
    let outcomes = [
        db.insert_request(new, NOBODY, unseen(org)).await.err(),
        db.step_request(org, pending.id, Step::Withdraw, NOBODY, unseen(org))
            .await
            .err(),
        db.collect_request(made.id, collected, NOBODY, unseen(org))
            .await
            .err(),
    ];
    for error in outcomes {
        assert_error!(error, Some(StoreError::Unavailable { .. }));
    }
    let db = bed.mend_audit(db).await;
    assert_eq!(snapshot(&db, org).await, before);
}
