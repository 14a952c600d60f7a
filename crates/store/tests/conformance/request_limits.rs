//! How many requests for keys there can be, and how long they are kept.

use claviger_core::request::{KEPT_FOR, KeyRequest, PENDING_FOR, Step};
use claviger_store::{
    PENDING_PER_ASKER_MAX, PENDING_PER_ORG_MAX, REQUESTS_PER_ORG_MAX, StoreError,
};

use crate::{
    bed::{Bed, Db},
    requests::{ask, found, request, step},
    support::{NOBODY, NOW, acting_at, default_org, key, later, mint},
    witness::{assert_error, refused, unseen},
};

pub(crate) async fn asker_has_so_many_pending_requests_and_no_more(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let [asker, other] = [
        mint(&db, key(org, "asker")).await,
        mint(&db, key(org, "other")).await,
    ];
    let mut last = ask(&db, request(&asker)).await;
    for _ in 1..PENDING_PER_ASKER_MAX {
        last = ask(&db, request(&asker)).await;
    }
    let full = async |now| {
        let (new, acting) = (request(&asker), acting_at(now));
        refused::<KeyRequest, _, _>(&db, org, |record| db.insert_request(new, acting, record)).await
    };
    let error = full(NOW).await;
    assert_error!(
        error,
        StoreError::LimitReached {
            max: PENDING_PER_ASKER_MAX,
            ..
        }
    );
    ask(&db, request(&other)).await;
    step(&db, &last, Step::Withdraw).await;
    ask(&db, request(&asker)).await;
    full(NOW).await;
    let expired = KeyRequest {
        asked_at: NOW.plus(PENDING_FOR),
        ..request(&asker)
    };
    ask(&db, expired).await;
}

/// Copies the only request so many times, as rows that are counted and never read.
async fn multiply(bed: &Bed, db: Db, copies: u64, stage: &str) -> Db {
    let columns = "org, asked_by, asked_at, justification, name, grant_json, lifetime, metadata, \
                   expires_at";
    let statement = format!(
        "insert into key_requests (id, asker, stage, {columns})
         with recursive n (i) as (select 1 union all select i + 1 from n where i < {copies})
         select 'req_' || (10000000 + i), 'session:' || i, '{stage}', {columns}
         from n cross join key_requests"
    );
    bed.patch(db, &statement).await
}

pub(crate) async fn org_has_so_many_pending_requests_and_no_more(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let asker = mint(&db, key(org, "asker")).await;
    let made = ask(&db, request(&asker)).await;
    let db = multiply(bed, db, PENDING_PER_ORG_MAX - 1, "pending").await;
    let new = request(&asker);
    let refused = db.insert_request(new, NOBODY, unseen(org)).await;
    let error = refused.expect_err("the org is full");
    assert_error!(
        error,
        StoreError::LimitReached {
            max: PENDING_PER_ORG_MAX,
            ..
        }
    );
    step(&db, &made, Step::Withdraw).await;
    ask(&db, request(&asker)).await;
}

pub(crate) async fn oldest_closed_requests_make_room_in_a_full_org(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let asker = mint(&db, key(org, "asker")).await;
    let made = ask(&db, request(&asker)).await;
    let db = multiply(bed, db, REQUESTS_PER_ORG_MAX - 1, "denied").await;
    let open = ask(&db, request(&asker)).await;
    for kept in [&made, &open] {
        assert_eq!(found(&db, kept).await, *kept);
    }
    // The oldest of the copies went, and nothing else: a row with another stage cannot be kept.
    let statement = format!(
        "update key_requests set stage = 'none'
         where (select count(*) from key_requests) <> {REQUESTS_PER_ORG_MAX}
             or exists (select 1 from key_requests where id = 'req_10000001')"
    );
    bed.patch(db, &statement).await;
}

pub(crate) async fn old_requests_are_purged_by_new_ones(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let asker = mint(&db, key(org, "asker")).await;
    let old = ask(&db, request(&asker)).await;
    let younger = KeyRequest {
        asked_at: later(1),
        ..request(&asker)
    };
    let younger = ask(&db, younger).await;
    let new = KeyRequest {
        asked_at: NOW.plus(KEPT_FOR),
        ..request(&asker)
    };
    let new = ask(&db, new).await;
    assert_eq!(db.find_request(org, old.id).await.expect("asked"), None);
    for kept in [&younger, &new] {
        assert_eq!(found(&db, kept).await, *kept);
    }
}
