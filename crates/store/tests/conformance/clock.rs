//! Policies, and what is done to keys by the clock.

use claviger_core::{
    id::KeyId,
    key::{OrgKey, Overlap, OwnSecret, Suspension},
    policy::Policy,
    tier::Actor,
    time::Timestamp,
};
use claviger_store::{
    KeyChange, NewSecretOfKey, Notice, NoticeKind, RotationEnd, SecretUse, StoreError, Turn,
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
        key: key.id,
        kind,
        of,
        at: NOW,
    };
    let say = async |notice: Notice| {
        let before = size(&db, org).await;
        let kept = db.keep_notice(org, notice, unseen(org)).await;
        let is_kept = kept.expect("an answer").is_some();
        assert_eq!(size(&db, org).await, before + u64::from(is_kept));
        is_kept
    };
    let soon = notice(NoticeKind::Expiry(3), later(9));
    assert!(say(soon).await);
    assert!(!say(soon).await, "it was said");
    assert!(say(notice(NoticeKind::Expiry(1), later(9))).await);
    assert!(say(notice(NoticeKind::Rotation(3), later(9))).await);
    assert!(
        say(notice(NoticeKind::Expiry(3), later(10))).await,
        "of another instant"
    );
    revoke_now(&db, org, key.id, end(later(1))).await;
    assert!(
        !say(notice(NoticeKind::Expiry(14), later(9))).await,
        "of a dead key"
    );
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
    let due = async |from, until| {
        let found = db.list_due((from, until), first(9)).await;
        ids(&found.expect("an answer"))
    };
    assert_eq!(
        due(later(10), later(50)).await,
        [soon.id, past.id, rotating.id]
    );
    assert_eq!(due(later(10), later(49)).await, [past.id]);
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
    assert_eq!(due(later(10), later(50)).await, [soon.id, past.id]);
    assert_eq!(due(later(60), later(30).plus(DAY)).await, [rotating.id]);
    let never = KeyChange {
        rotate_every: Some(None),
        ..KeyChange::default()
    };
    done(&db, org, |record| {
        db.change_key(org, rotating.id, never, NOBODY, record)
    })
    .await;
    assert_eq!(due(later(60), later(30).plus(DAY)).await, []);
}

pub(crate) async fn idle_key_stops_unless_it_was_used_meanwhile(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let idle = mint(&db, key(org, "idle")).await;
    let busy = mint(&db, key(org, "busy")).await;
    db.touch_keys(vec![used(&busy, 50)]).await.expect("kept");
    let listed = db.list_idle(org, later(50), first(9)).await;
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
    let listed = db.list_idle(org, later(99), first(9)).await;
    assert_eq!(ids(&listed.expect("an answer")), [busy.id]);
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
        prefix,
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
    for ends_at in [later(100), later(90)] {
        db.start_overlap(before.prefix, ends_at)
            .await
            .expect("kept");
        assert_eq!(kept(NOW).await, Some((later(100), Overlap::Fixed)));
    }
}
