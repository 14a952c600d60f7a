//! Something is made while that on which it depends is ended: nothing outlives its end.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use claviger_core::{
    id::{KeyId, OrgId},
    key::{KeyState, OrgKey},
};
use claviger_store::{KeySink, LoadedKey, Revocations, StoreError};
use tokio::{sync::mpsc, task::JoinSet};

use crate::{
    bed::{Bed, Db},
    support::{
        NOBODY, NOW, acting, beget, channel, child, default_org, digest, end, insert_workspace,
        key, later, mint, org, sealed, token, workspace,
    },
    witness::{done, many_unseen, trail, unseen},
};

/// More than any machine mints before the revocation comes through.
const MINTS_MAX: usize = 20_000;

/// Mints children of a key until it is refused; says each time that one was made.
async fn mint_until_refused(db: Db, parent: OrgKey, made: mpsc::UnboundedSender<()>) -> Vec<KeyId> {
    let mut children = Vec::new();
    for _ in 0..MINTS_MAX {
        let new = child(&parent);
        match db.mint_key(new, acting(&parent), unseen(parent.org)).await {
            Ok(written) => children.push(written.value.id),
            Err(StoreError::ActorGone) => return children,
            Err(error) => panic!("{error:?}"),
        }
        made.send(()).ok();
    }
    panic!("the parent was never revoked");
}

/// The living keys of every org.
async fn living(db: &Db) -> BTreeSet<KeyId> {
    let living = Arc::new(Mutex::new(BTreeSet::new()));
    let kept = Arc::clone(&living);
    let sink: KeySink = Arc::new(move |key: LoadedKey<'_>| {
        if key.state != KeyState::Revoked {
            kept.lock().expect("no panic").insert(key.id);
        }
    });
    db.load_keys(NOW, sink).await.expect("they are loaded");
    living.lock().expect("no panic").clone()
}

/// Revokes a key once so many keys were minted by the ones below it, and asserts that all of them
/// died with it.
async fn revoke_a_minting_family(db: &Db, root: &OrgKey, minters: Vec<OrgKey>, mints: usize) {
    let (sender, mut made) = mpsc::unbounded_channel();
    let mut tasks = JoinSet::new();
    let elders: Vec<_> = minters
        .iter()
        .map(|key| key.id)
        .filter(|id| *id != root.id)
        .collect();
    for parent in minters {
        tasks.spawn(mint_until_refused(Arc::clone(db), parent, sender.clone()));
    }
    for _ in 0..mints {
        made.recv().await.expect("a mint");
    }
    let revoked = db
        .revoke_key(
            root.org,
            root.id,
            end(later(1)),
            NOBODY,
            many_unseen(root.org),
        )
        .await;
    let Ok(Revocations::Now(written)) = revoked else {
        panic!("{revoked:?}");
    };
    let mut minted: BTreeSet<_> = tasks.join_all().await.into_iter().flatten().collect();
    minted.extend(elders);
    let died: BTreeSet<_> = written.value.descendants.iter().map(|key| key.id).collect();
    let survivors: Vec<_> = living(db).await.intersection(&minted).copied().collect();
    assert_eq!(
        survivors,
        [],
        "nobody outlives the key that it descends from"
    );
    assert_eq!(died, minted, "the answer names all that died, and no other");
}

pub(crate) async fn minting_key_that_is_revoked_leaves_no_survivor(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    for round in 0..30 {
        let parent = mint(&db, key(org, "parent")).await;
        let minters = vec![parent.clone(), parent.clone()];
        revoke_a_minting_family(&db, &parent, minters, round % 10).await;
    }
    assert_eq!(living(&db).await, BTreeSet::new());
    trail(&db, org).await;
}

pub(crate) async fn minting_descendants_of_a_revoked_key_leave_no_survivor(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    for round in 0..30 {
        let root = mint(&db, key(org, "root")).await;
        let middle = beget(&db, &root).await;
        let low = beget(&db, &middle).await;
        let minters = vec![root.clone(), middle, low];
        revoke_a_minting_family(&db, &root, minters, round % 10).await;
    }
    assert_eq!(living(&db).await, BTreeSet::new());
    trail(&db, org).await;
}

pub(crate) async fn revocations_of_two_generations_at_once_agree(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    for round in 0..20 {
        let root = mint(&db, key(org, "root")).await;
        let middle = beget(&db, &root).await;
        let low = beget(&db, &middle).await;
        let family = [root.id, middle.id, low.id];
        let outcomes = crate::races::at_once(3, |at| {
            let (db, id) = (Arc::clone(&db), family[at]);
            let ended = end(later(u64::try_from(at).expect("small") + 1));
            async move {
                db.revoke_key(org, id, ended, NOBODY, many_unseen(org))
                    .await
            }
        })
        .await;
        // Each key died once, in one revocation, at the instant that its row keeps.
        let mut died = Vec::new();
        for outcome in outcomes {
            if let Revocations::Now(written) = outcome.expect("a revocation") {
                let revoked = written.value;
                died.push((revoked.key.id, revoked.at));
                died.extend(revoked.descendants.iter().map(|key| (key.id, revoked.at)));
            }
        }
        died.sort();
        let mut kept = Vec::new();
        for id in family {
            let found = db
                .find_key(org, id)
                .await
                .expect("an answer")
                .expect("the key");
            kept.push((id, found.revocation.expect("it is revoked").at));
        }
        assert_eq!(died, kept, "round {round}");
    }
}

pub(crate) async fn actor_that_is_revoked_changes_nothing_afterwards(bed: &Bed) {
    let db = bed.open().await;
    let home = default_org(&db).await;
    for _ in 0..10 {
        let actor = mint(&db, key(home, "actor")).await;
        let is_revoked = Arc::new(AtomicUsize::new(0));
        let (sender, mut made) = mpsc::unbounded_channel();
        let (writer, flag, on_behalf) = (Arc::clone(&db), Arc::clone(&is_revoked), acting(&actor));
        let changes = tokio::spawn(async move {
            for _ in 0..MINTS_MAX {
                let began_after = flag.load(Ordering::SeqCst) == 1;
                let new = workspace(home, "made by an actor");
                match writer.insert_workspace(new, on_behalf, unseen(home)).await {
                    Ok(_) => assert!(!began_after, "it was made after the revocation"),
                    Err(StoreError::ActorGone) => return,
                    Err(error) => panic!("{error:?}"),
                }
                sender.send(()).ok();
            }
            panic!("the actor was never revoked");
        });
        for _ in 0..3 {
            made.recv().await.expect("a change");
        }
        let revoked = db
            .revoke_key(home, actor.id, end(later(1)), NOBODY, many_unseen(home))
            .await;
        is_revoked.store(1, Ordering::SeqCst);
        assert!(matches!(revoked, Ok(Revocations::Now(_))), "{revoked:?}");
        changes.await.expect("no panic");
    }
}

/// Mints keys into an org until it is gone; says each time that one was made.
async fn fill_until_gone(db: Db, org: OrgId, made: mpsc::UnboundedSender<()>) -> usize {
    for count in 0..MINTS_MAX {
        match db
            .mint_key(key(org, "in a race"), NOBODY, unseen(org))
            .await
        {
            Ok(_) => made.send(()).unwrap_or(()),
            Err(StoreError::NotFound(_)) => return count,
            Err(error) => panic!("{error:?}"),
        }
    }
    panic!("the org was never deleted");
}

pub(crate) async fn org_that_is_deleted_leaves_no_living_key(bed: &Bed) {
    let db = bed.open().await;
    let home = default_org(&db).await;
    let kept = mint(&db, key(home, "of another org")).await;
    for round in 0..10 {
        let org = org("short-lived");
        let id = org.id;
        done(&db, home, |record| db.insert_org(org, record)).await;
        let (sender, mut made) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        for _ in 0..2 {
            tasks.spawn(fill_until_gone(Arc::clone(&db), id, sender.clone()));
        }
        for _ in 0..=round {
            made.recv().await.expect("a mint");
        }
        let deleted = db
            .delete_org(id, end(later(1)), unseen(home))
            .await
            .expect("it is deleted");
        let minted: usize = tasks.join_all().await.into_iter().sum();
        assert_eq!(
            deleted.value.keys.len(),
            minted,
            "the digests of all of them are given"
        );
        assert_eq!(living(&db).await, [kept.id].into());
    }
}

/// Puts a token, a channel and a secret into a workspace until it is gone; gives how many of each.
async fn furnish_until_gone(
    db: Db,
    place: claviger_store::Workspace,
    made: mpsc::UnboundedSender<()>,
) -> [u64; 3] {
    let (org, id) = (place.org, place.id);
    let mut counts = [0; 3];
    for at in 0..MINTS_MAX {
        let name = format!("S{}", at % 100);
        let seal = Box::new(|version| sealed("S", version));
        let outcomes = [
            db.insert_workspace_token(token(&place), digest(), NOBODY, unseen(org))
                .await
                .err(),
            db.insert_channel(org, channel(id), NOBODY, unseen(org))
                .await
                .err(),
            db.put_secret(
                org,
                id,
                super::support::new_secret(name, seal),
                NOBODY,
                unseen(org),
            )
            .await
            .err(),
        ];
        for (count, outcome) in counts.iter_mut().zip(outcomes) {
            match outcome {
                None => *count += 1,
                Some(StoreError::NotFound(_)) => return counts,
                Some(error) => panic!("{error:?}"),
            }
        }
        made.send(()).ok();
    }
    panic!("the workspace was never deleted");
}

pub(crate) async fn workspace_that_is_deleted_leaves_nothing_behind(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    for round in 0..10 {
        let place = insert_workspace(&db, org).await;
        let id = place.id;
        let (sender, mut made) = mpsc::unbounded_channel();
        let task = tokio::spawn(furnish_until_gone(Arc::clone(&db), place, sender));
        for _ in 0..=round {
            made.recv().await.expect("a round");
        }
        let deleted = db.delete_workspace(org, id, NOBODY, unseen(org)).await;
        let deleted = deleted.expect("it is deleted").value;
        let [tokens, channels, secrets] = task.await.expect("no panic");
        assert_eq!(u64::try_from(deleted.tokens.len()).ok(), Some(tokens));
        assert_eq!(
            (deleted.channels, deleted.secrets),
            (channels, secrets.min(100))
        );
        assert!(
            db.load_workspace_tokens()
                .await
                .expect("the tokens")
                .is_empty()
        );
    }
}
