//! Policies, and what is done to keys by the clock.

use std::time::Duration;

use claviger_core::{
    id::KeyId,
    key::{OrgKey, Overlap, OwnSecret, Suspension},
    ledger::entry::Entry,
    policy::Policy,
    tier::Actor,
    time::Timestamp,
};
use claviger_store::{
    DueFilter, KeyChange, NewSecretOfKey, Notice, NoticeKind, Recorder, RotationEnd, SecretUse,
    StoreError, Turn,
};

use crate::{
    bed::{Bed, Db},
    keys::{find, last_use, used},
    support::{
        DAY, NOBODY, NOW, acting, acting_at, default_org, digest, end, first, key, later, mint,
        other_org, prefix,
    },
    witness::{assert_error, assert_same, done, refused, revoke_now, size, unseen},
};

pub(crate) async fn policy_is_kept_for_each_org(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let other = other_org(&db).await;
    let policy = |depth| Policy {
        depth_max: Some(depth),
        ..Policy::default()
    };
    for (org, depth) in [(org, 1), (other, 5), (org, 2)] {
        let put = |record| db.put_policy(org, policy(depth), NOBODY, record);
        assert_eq!(done(&db, org, put).await, policy(depth));
    }
    let db = bed.reopen(db).await;
    let mut found = db.load_policies().await.expect("the policies");
    found.sort_by_key(|(id, _)| *id != org);
    assert_eq!(found, [(org, policy(2)), (other, policy(5))]);
    let gone = mint(&db, key(org, "gone")).await;
    revoke_now(&db, org, gone.id, end(later(1))).await;
    let put = |record| db.put_policy(org, policy(9), acting(&gone), record);
    assert_error!(refused(&db, org, put).await, StoreError::ActorGone);
}

pub(crate) async fn notice_is_kept_once_for_each_instant(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let key = mint(&db, key(org, "agent")).await;
    let notice = |kind, of| Notice {
        org,
        key: key.id,
        kind,
        of,
        at: NOW,
    };
    let say = async |notices: &[Notice]| {
        let before = size(&db, org).await;
        let record: Recorder<Vec<Notice>, Vec<Entry>> =
            Box::new(move |kept| kept.iter().map(|one| unseen(org)(one)).collect());
        let kept = db.keep_notices(notices.to_vec(), record).await;
        let kept = kept.expect("an answer");
        let records = size(&db, org).await - before;
        assert_eq!(
            u64::try_from(kept.len()).ok(),
            Some(records),
            "one record each"
        );
        kept
    };
    let soon = notice(NoticeKind::Expiry(3), later(9));
    assert_eq!(say(&[soon]).await, [soon]);
    assert_eq!(say(&[soon]).await, [], "it was said");
    let others = [
        notice(NoticeKind::Expiry(1), later(9)),
        notice(NoticeKind::Rotation(3), later(9)),
        // Of another instant.
        notice(NoticeKind::Expiry(3), later(10)),
    ];
    let all = [&[soon], &others[..]].concat();
    assert_eq!(say(&all).await, others);
    assert_eq!(say(&[]).await, []);
    revoke_now(&db, org, key.id, end(later(1))).await;
    let late = notice(NoticeKind::Expiry(14), later(9));
    assert_eq!(say(&[late]).await, [], "of a dead key");
    // What is about long ago is forgotten.
    assert_eq!(db.purge_notices(later(10)).await.expect("an answer"), 3);
    assert_eq!(db.purge_notices(later(10)).await.expect("an answer"), 0);
}

fn ids(keys: &[OrgKey]) -> Vec<KeyId> {
    keys.iter().map(|key| key.id).collect()
}

pub(crate) async fn what_is_due_is_listed(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    mint(&db, key(org, "endless")).await;
    let ending = async |at: Timestamp| {
        let mut new = key(org, "ending");
        new.key.expires_at = Some(at);
        mint(&db, new).await
    };
    let (soon, past) = (ending(later(50)).await, ending(later(10)).await);
    ending(later(9)).await;
    ending(later(51)).await;
    let mut rotating = key(org, "rotating");
    rotating.key.rotate_every = Some(DAY);
    rotating.key.secret.since = later(50).minus(DAY);
    let rotating = mint(&db, rotating).await;
    let dead = ending(later(20)).await;
    revoke_now(&db, org, dead.id, end(later(1))).await;
    let listed = async |kind, longer_than, after, until| {
        let due = DueFilter {
            kind,
            after,
            until,
            longer_than,
            now: later(40),
        };
        let found = db.list_due(due, first(9)).await;
        ids(&found.expect("an answer"))
    };
    let expiry = NoticeKind::Expiry(3);
    let moment = Duration::ZERO;
    assert_eq!(
        listed(expiry, moment, later(9), later(50)).await,
        [soon.id, past.id]
    );
    assert_eq!(listed(expiry, moment, later(9), later(49)).await, [past.id]);
    // Of a key that does not live for so long nothing is said.
    let longer = Duration::from_millis(20);
    assert_eq!(listed(expiry, longer, later(9), later(50)).await, [soon.id]);
    let rotation = NoticeKind::Rotation(3);
    assert_eq!(
        listed(rotation, moment, later(9), later(50)).await,
        [rotating.id]
    );
    assert_eq!(listed(rotation, DAY, later(9), later(50)).await, []);
    // What was said is not listed again.
    let said = Notice {
        org,
        key: soon.id,
        kind: expiry,
        of: later(50),
        at: NOW,
    };
    let record: Recorder<Vec<Notice>, Vec<Entry>> = Box::new(|_| Vec::new());
    db.keep_notices(vec![said], record).await.expect("kept");
    assert_eq!(listed(expiry, moment, later(9), later(50)).await, [past.id]);
    assert_eq!(
        listed(NoticeKind::Expiry(1), moment, later(9), later(50)).await,
        [soon.id, past.id]
    );
}

pub(crate) async fn rotated_key_is_due_a_span_later(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let mut rotating = key(org, "rotating");
    rotating.key.rotate_every = Some(DAY);
    rotating.key.secret.since = later(50).minus(DAY);
    let rotating = mint(&db, rotating).await;
    let overdue = async |at| {
        let found = db.list_overdue(org, at, first(9)).await;
        ids(&found.expect("an answer"))
    };
    assert_eq!(overdue(later(50)).await, [rotating.id]);
    assert_eq!(overdue(later(49)).await, []);
    // Another secret, and it is due a whole span later.
    let secret = NewSecretOfKey {
        prefix: prefix("mole"),
        digest: digest(),
        at: later(30),
        ends_at: later(40),
        overlap: Overlap::Fixed,
    };
    done(&db, org, |record| {
        db.rotate_key(org, rotating.id, secret, acting_at(later(30)), record)
    })
    .await;
    let found = find(&db, &rotating).await;
    assert_eq!(found.rotation_due_at(), Some(later(30).plus(DAY)));
    assert_eq!(overdue(later(50)).await, []);
    assert_eq!(overdue(later(30).plus(DAY)).await, [rotating.id]);
    let never = KeyChange {
        rotate_every: Some(None),
        ..KeyChange::default()
    };
    done(&db, org, |record| {
        db.change_key(org, rotating.id, never, NOBODY, record)
    })
    .await;
    assert_eq!(overdue(later(30).plus(DAY)).await, []);
}

pub(crate) async fn idle_key_stops_unless_it_was_used_meanwhile(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let idle = mint(&db, key(org, "idle")).await;
    let busy = mint(&db, key(org, "busy")).await;
    db.touch_keys(vec![used(&busy, 50)]).await.expect("kept");
    // Neither what has ended nor what has not begun is idle.
    let mut ended = key(org, "ended");
    ended.key.expires_at = Some(later(60));
    mint(&db, ended).await;
    let mut future = key(org, "future");
    future.key.grant.not_before = Some(later(70));
    mint(&db, future).await;
    let listed = db.list_idle(org, (later(50), later(60)), first(9)).await;
    assert_eq!(ids(&listed.expect("an answer")), [idle.id]);
    let stop = |key: &OrgKey| {
        let change = KeyChange {
            turn: Some(Turn::Suspend(Suspension {
                at: later(60),
                by: Actor::Policy,
                reason: Some("idle".to_owned()),
            })),
            ..KeyChange::default()
        };
        let check = Box::new(|key: &OrgKey| key.idle_since() < later(50));
        db.change_key_if((org, key.id), check, change, unseen(org))
    };
    let before = size(&db, org).await;
    assert!(stop(&busy).await.expect("an answer").is_none());
    assert_eq!(size(&db, org).await, before);
    let stopped = stop(&idle).await.expect("an answer").expect("a change");
    assert_same!(find(&db, &idle).await, stopped.value);
    assert_eq!(size(&db, org).await, before + 1);
    let listed = db.list_idle(org, (later(99), later(99)), first(9)).await;
    let ids = ids(&listed.expect("an answer"));
    assert_eq!(
        (ids[0], ids.len()),
        (busy.id, 2),
        "and the one that has begun"
    );
    revoke_now(&db, org, busy.id, end(later(1))).await;
    assert!(stop(&busy).await.expect("an answer").is_none());
}

async fn rotated(db: &Db, key: &OrgKey, overlap: Overlap) -> (OrgKey, NewSecretOfKey) {
    let secret = NewSecretOfKey {
        prefix: prefix("mole"),
        digest: digest(),
        at: later(20),
        ends_at: later(500),
        overlap,
    };
    let new = secret.clone();
    let made = done(db, key.org, |record| {
        db.rotate_key(key.org, key.id, new, acting_at(later(20)), record)
    })
    .await;
    (made.key, secret)
}

pub(crate) async fn use_is_kept_with_the_secret_that_it_was_of(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let before = mint(&db, key(org, "agent")).await;
    db.touch_keys(vec![used(&before, 5)]).await.expect("kept");
    let (mut own, _) = rotated(&db, &before, Overlap::WhenQuiet(DAY)).await;
    assert_eq!(
        own.secret,
        OwnSecret {
            since: later(20),
            last_use: None
        }
    );
    assert_eq!(own.last_use, Some(last_use(5)), "of the key");
    let of = |prefix, millis| SecretUse {
        prefix: Some(prefix),
        ..used(&before, millis)
    };
    db.touch_keys(vec![of(own.prefix, 30), of(before.prefix, 40)])
        .await
        .expect("kept");
    own.last_use = Some(last_use(40));
    own.secret.last_use = Some(last_use(30));
    assert_same!(find(&db, &own).await, own);
    let old = db.load_old_secrets(NOW).await.expect("an answer");
    let (old, _) = old[0];
    assert_eq!(
        (old.last_use, old.overlap),
        (Some(last_use(40)), Overlap::WhenQuiet(DAY))
    );
    // Undone, each secret takes its uses with it.
    let acting = acting_at(later(50));
    let undone = done(&db, org, |record| {
        db.end_rotation(org, before.id, RotationEnd::Cancel, acting, record)
    })
    .await;
    let expected = OwnSecret {
        since: NOW,
        last_use: Some(last_use(40)),
    };
    assert_eq!(undone.key.secret, expected);
    assert_eq!(undone.old.last_use, Some(last_use(30)));
    assert_eq!(
        (undone.old.since, undone.old.overlap),
        (later(20), Overlap::Fixed)
    );
    assert_same!(find(&db, &own).await.secret, expected);
}

pub(crate) async fn clock_of_an_overlap_starts_once(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let before = mint(&db, key(org, "agent")).await;
    rotated(&db, &before, Overlap::OnFirstUse(DAY)).await;
    let kept = async |after: Timestamp| {
        let found = db.load_old_secrets(after).await.expect("an answer");
        found.first().map(|(old, _)| (old.ends_at, old.overlap))
    };
    assert_eq!(
        kept(later(499)).await,
        Some((later(500), Overlap::OnFirstUse(DAY)))
    );
    // Of another rotation of the same secret.
    db.start_overlap((before.prefix, later(19)), later(30))
        .await
        .expect("an answer");
    assert_eq!(
        kept(later(499)).await,
        Some((later(500), Overlap::OnFirstUse(DAY)))
    );
    for ends_at in [later(100), later(90)] {
        db.start_overlap((before.prefix, later(20)), ends_at)
            .await
            .expect("kept");
        assert_eq!(kept(NOW).await, Some((later(100), Overlap::Fixed)));
    }
}
