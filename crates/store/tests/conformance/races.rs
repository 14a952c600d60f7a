//! Many changes at once on the real database: of rivals one wins, and no record is lost.

use std::{collections::BTreeSet, sync::Arc};

use claviger_core::id::{OrgId, WorkspaceId};
use claviger_store::{Idempotency, Revocations, StoreError};
use tokio::{sync::Barrier, task::JoinSet};

use crate::{
    bed::{Bed, Db},
    support::{
        NOBODY, acting, batch, default_org, end, entry, first, first_key, insert_workspace, key,
        later, mint, org, other_org, put_secret, sealed, workspace,
    },
    witness::{every_key, many_unseen, recorder, size, trail, unseen},
};

/// Runs so many tasks that all begin at the same moment, and gives what each came to.
pub(crate) async fn at_once<T, F>(count: usize, task: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let start = Arc::new(Barrier::new(count));
    let mut tasks = JoinSet::new();
    for at in 0..count {
        let (start, task) = (Arc::clone(&start), task(at));
        tasks.spawn(async move {
            start.wait().await;
            task.await
        });
    }
    tasks.join_all().await
}

pub(crate) async fn of_racing_first_mints_one_wins(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let outcomes = at_once(20, |_| {
        let (db, new) = (Arc::clone(&db), first_key(org));
        async move {
            db.mint_key(new, NOBODY, unseen(org))
                .await
                .map(|written| written.value.id)
        }
    })
    .await;
    let won: Vec<_> = outcomes
        .iter()
        .filter_map(|outcome| outcome.as_ref().ok())
        .collect();
    for error in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
        assert!(matches!(error, StoreError::BootstrapClosed), "{error:?}");
    }
    let keys = db
        .list_keys(org, every_key(), first(100))
        .await
        .expect("the keys");
    assert_eq!(won, keys.iter().map(|key| &key.id).collect::<Vec<_>>());
    assert_eq!((keys.len(), size(&db, org).await), (1, 1));
}

pub(crate) async fn of_racing_repetitions_of_a_mint_one_wins(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let outcomes = at_once(12, |_| {
        let (db, mut new) = (Arc::clone(&db), key(org, "once"));
        new.idempotency = Some(Idempotency {
            key: "1".to_owned(),
            request: [1; 32],
        });
        async move {
            db.mint_key(new, NOBODY, unseen(org))
                .await
                .map(|written| written.value.id)
        }
    })
    .await;
    let won: Vec<_> = outcomes
        .iter()
        .filter_map(|outcome| outcome.as_ref().ok())
        .collect();
    assert_eq!(won.len(), 1, "{outcomes:?}");
    for error in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
        match error {
            StoreError::Replayed {
                key,
                is_same_request: true,
            } => assert_eq!(key, won[0]),
            _ => panic!("{error:?}"),
        }
    }
    assert_eq!(
        db.list_keys(org, every_key(), first(100))
            .await
            .expect("the keys")
            .len(),
        1
    );
    assert_eq!(size(&db, org).await, 1);
}

pub(crate) async fn of_racing_mints_with_one_prefix_one_wins(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let prefix = key(org, "").key.prefix;
    let outcomes = at_once(8, |_| {
        let (db, mut new) = (Arc::clone(&db), key(org, "twin"));
        new.key.prefix = prefix;
        async move { db.mint_key(new, NOBODY, unseen(org)).await.err() }
    })
    .await;
    assert_eq!(
        outcomes.iter().filter(|error| error.is_none()).count(),
        1,
        "{outcomes:?}"
    );
    for error in outcomes.iter().flatten() {
        assert!(matches!(error, StoreError::PrefixTaken), "{error:?}");
    }
    assert_eq!(size(&db, org).await, 1);
}

pub(crate) async fn of_racing_orgs_of_one_name_one_wins(bed: &Bed) {
    let db = bed.open().await;
    let home = default_org(&db).await;
    let outcomes = at_once(8, |_| {
        let (db, new) = (Arc::clone(&db), org("wanted"));
        async move { db.insert_org(new, unseen(home)).await.err() }
    })
    .await;
    assert_eq!(
        outcomes.iter().filter(|error| error.is_none()).count(),
        1,
        "{outcomes:?}"
    );
    for error in outcomes.iter().flatten() {
        assert!(matches!(error, StoreError::Exists(_)), "{error:?}");
    }
    assert_eq!(db.list_orgs(first(100)).await.expect("the orgs").len(), 2);
    assert_eq!(size(&db, home).await, 1);
}

pub(crate) async fn of_racing_revocations_one_is_the_first(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let target = mint(&db, key(org, "target")).await.id;
    let before = size(&db, org).await;
    let outcomes = at_once(16, |at| {
        let (db, ended) = (
            Arc::clone(&db),
            end(later(u64::try_from(at).expect("small"))),
        );
        async move {
            db.revoke_key(org, target, ended, NOBODY, many_unseen(org))
                .await
        }
    })
    .await;
    let (mut now, mut repeated) = (Vec::new(), Vec::new());
    for outcome in outcomes {
        match outcome.expect("a revocation") {
            Revocations::Now(written) => now.push(written.value.at),
            Revocations::Before(revoked) => repeated.push(revoked.at),
        }
    }
    assert_eq!((now.len(), repeated.len()), (1, 15));
    assert!(
        repeated.iter().all(|at| *at == now[0]),
        "{now:?} {repeated:?}"
    );
    let found = db
        .find_key(org, target)
        .await
        .expect("an answer")
        .expect("the key");
    assert_eq!(found.revocation.map(|end| end.at), Some(now[0]));
    assert_eq!(size(&db, org).await, before + 1);
}

pub(crate) async fn of_two_keys_that_revoke_each_other_one_lives(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    for round in 0..20 {
        let rivals = [
            mint(&db, key(org, "one")).await,
            mint(&db, key(org, "two")).await,
        ];
        let outcomes = at_once(2, |at| {
            let (db, acting, target) = (Arc::clone(&db), acting(&rivals[at]), rivals[1 - at].id);
            async move {
                db.revoke_key(org, target, end(later(1)), acting, many_unseen(org))
                    .await
            }
        })
        .await;
        let won = outcomes
            .iter()
            .filter(|outcome| matches!(outcome, Ok(Revocations::Now(_))))
            .count();
        let lost = outcomes
            .iter()
            .filter(|outcome| matches!(outcome, Err(StoreError::ActorGone)))
            .count();
        assert_eq!((won, lost), (1, 1), "round {round}: {outcomes:?}");
        let mut living = 0;
        for rival in &rivals {
            let found = db
                .find_key(org, rival.id)
                .await
                .expect("an answer")
                .expect("the key");
            living += u8::from(found.revocation.is_none());
        }
        assert_eq!(living, 1, "round {round}");
    }
}

pub(crate) async fn racing_puts_take_one_version_each(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let place = insert_workspace(&db, org).await.id;
    let mut versions = at_once(16, |_| {
        let db = Arc::clone(&db);
        let seal = Box::new(|version| sealed("A", version));
        async move {
            let put = db
                .put_secret(
                    org,
                    place,
                    crate::support::new_secret("A".to_owned(), seal),
                    NOBODY,
                    unseen(org),
                )
                .await;
            put.expect("it is set").value.version
        }
    })
    .await;
    versions.sort_unstable();
    assert_eq!(versions, (1..=16).collect::<Vec<_>>());
    let rows = db
        .reveal_secrets(org, place, NOBODY)
        .await
        .expect("the secret");
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].version, &rows[0].sealed), (16, &sealed("A", 16)));
}

pub(crate) async fn racing_changes_and_records_leave_gapless_trails(bed: &Bed) {
    const TASKS: usize = 16;
    const ROUNDS: usize = 5;
    let db = bed.open().await;
    let orgs = [default_org(&db).await, other_org(&db).await];
    let mut expected = [trail(&db, orgs[0]).await, trail(&db, orgs[1]).await];
    let outcomes = at_once(TASKS, |task| {
        let db = Arc::clone(&db);
        async move {
            let mut batches = Vec::new();
            for round in 0..ROUNDS {
                // Every other task names the orgs in the opposite order.
                let [one, two] = if task % 2 == 0 { [0, 1] } else { [1, 0] };
                let entries = [one, two, one].map(|at| entry(orgs[at])).to_vec();
                db.append(batch(entries.clone()))
                    .await
                    .expect("they are written");
                let records = entries
                    .iter()
                    .map(|entry| (entry.org(), entry.bytes().to_vec()));
                batches.push(records.collect::<Vec<_>>());
                batches.push(vec![change_something(&db, orgs[(task + round) % 2]).await]);
            }
            batches
        }
    })
    .await;

    let batches: Vec<_> = outcomes.into_iter().flatten().collect();
    for (org, expected) in orgs.iter().zip(&mut expected) {
        let kept = trail(&db, *org).await;
        let place = |bytes: &Vec<u8>| {
            let place = kept.iter().position(|row| row == bytes);
            place.unwrap_or_else(|| panic!("lost: {}", String::from_utf8_lossy(bytes)))
        };
        for batch in &batches {
            let own = batch.iter().filter(|(of, _)| of == org);
            let places: Vec<_> = own.clone().map(|(_, bytes)| place(bytes)).collect();
            assert!(places.is_sorted(), "a batch keeps its order: {places:?}");
            expected.extend(own.map(|(_, bytes)| bytes.clone()));
        }
        let distinct: BTreeSet<_> = kept.iter().collect();
        assert_eq!(distinct.len(), kept.len(), "none is there twice");
        assert_eq!(distinct, expected.iter().collect());
        crate::tree::expect_tree(&db, *org).await;
    }
}

/// Makes a workspace in the org, and gives its record.
async fn change_something(db: &Db, org: OrgId) -> (OrgId, Vec<u8>) {
    let (record, made) = recorder(org);
    let new = workspace(org, "made in a race");
    db.insert_workspace(new, NOBODY, record)
        .await
        .expect("it is made");
    let (_, bytes) = made.lock().expect("no panic")[0].clone();
    (org, bytes)
}

pub(crate) async fn reader_of_a_trail_never_sees_a_gap_that_is_filled_later(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let mut writers = JoinSet::new();
    for _ in 0..8 {
        let db = Arc::clone(&db);
        writers.spawn(async move {
            for _ in 0..20 {
                db.append(batch([entry(org), entry(org)]))
                    .await
                    .expect("they are written");
            }
        });
    }
    // A tail that goes on from the last number would miss what came before it afterwards.
    let mut last = 0;
    while last < 8 * 20 * 2 {
        let page = claviger_store::Page {
            after: Some(last),
            limit: 1000,
        };
        let filter = claviger_store::AuditFilter::default();
        let part = db.export_audit(org, filter, page).await.expect("the trail");
        for row in part.rows {
            assert_eq!(row.seq, last + 1);
            last = row.seq;
        }
        while let Some(writer) = writers.try_join_next() {
            writer.expect("no panic");
        }
        tokio::task::yield_now().await;
    }
    writers.join_all().await;
    assert_eq!(size(&db, org).await, last);
}

pub(crate) async fn rekey_during_puts_leaves_no_old_seal(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let place = insert_workspace(&db, org).await;
    for at in 0..50 {
        put_secret(&db, &place, &format!("S{at}")).await;
    }
    let place: WorkspaceId = place.id;
    let (putter, rekeyer) = (Arc::clone(&db), Arc::clone(&db));
    let puts = async move {
        for at in 0..50 {
            let name = format!("S{at}");
            let seal = Box::new(|version| sealed("new", version));
            let put = putter
                .put_secret(
                    org,
                    place,
                    crate::support::new_secret(name, seal),
                    NOBODY,
                    unseen(org),
                )
                .await;
            put.expect("it is set");
        }
    };
    let rekey = async move {
        let reseal = Box::new(|row| match row {
            claviger_store::SealedRow::Secret { sealed, .. }
            | claviger_store::SealedRow::Channel { sealed, .. } => {
                Ok([b"rekeyed", &sealed[..]].concat())
            }
        });
        let written = rekeyer
            .rekey([1; 32], reseal, unseen(org))
            .await
            .expect("it is done");
        written.value
    };
    let ((), count) = tokio::join!(puts, rekey);
    assert_eq!(count, 50);
    // Each secret was set before it was resealed, or after: no put and no seal was lost.
    for row in db
        .reveal_secrets(org, place, NOBODY)
        .await
        .expect("the secrets")
    {
        let new = sealed("new", 2);
        let resealed_new = [b"rekeyed", &new[..]].concat();
        assert_eq!(row.version, 2, "{}", row.name);
        assert!(
            [new, resealed_new].contains(&row.sealed),
            "{}: {:?}",
            row.name,
            row.sealed
        );
    }
}
