//! Lines of keys: what a key passes on, what lives on without it, and many keys stopped at once.

use std::sync::Arc;

use claviger_core::{
    grant::Grant,
    id::KeyId,
    key::{OrgKey, Suspension},
    permission::PermissionSet,
    tier::Actor,
};
use claviger_store::{
    KeyChange, MintLimits, Page, Revocations, Revoked, Selection, StoreError, Turn, Verdict,
};

use crate::{
    bed::{Bed, Db},
    keys::find,
    races::at_once,
    support::{
        NOBODY, acting, beget, child, default_org, digest, end, first, id, insert_workspace, key,
        later, mint, other_org, token,
    },
    witness::{
        added, assert_error, done, many, many_unseen, recorder, refused, revoke_now, size,
        snapshot, unseen,
    },
};

fn ids(keys: &[OrgKey]) -> Vec<KeyId> {
    keys.iter().map(|key| key.id).collect()
}

fn page(after: Option<KeyId>, limit: u32) -> Page<KeyId> {
    Page { after, limit }
}

pub(crate) async fn line_shows_what_is_above_and_below(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let root = mint(&db, key(org, "root")).await;
    let middle = beget(&db, &root).await;
    let mut below = Vec::new();
    for _ in 0..3 {
        below.push(beget(&db, &middle).await);
    }
    let leaf = beget(&db, &below[0]).await;
    beget(&db, &root).await;
    revoke_now(&db, org, below[1].id, end(later(1))).await;
    let line = db.find_line(org, middle.id, page(None, 3)).await;
    let line = line.expect("an answer").expect("a line");
    assert_eq!(line.key.id, middle.id);
    assert_eq!(ids(&line.above), [root.id]);
    assert_eq!(ids(&line.below), ids(&below), "revoked ones too");
    let rest = db
        .find_line(org, middle.id, page(Some(below[2].id), 3))
        .await;
    assert_eq!(
        ids(&rest.expect("an answer").expect("a line").below),
        [leaf.id]
    );
    let line = db
        .find_line(org, leaf.id, first(9))
        .await
        .expect("an answer");
    let line = line.expect("a line");
    assert_eq!(ids(&line.above), [below[0].id, middle.id, root.id]);
    assert_eq!(ids(&line.below), []);
    let other = other_org(&db).await;
    for (org, id) in [(other, middle.id), (org, id())] {
        let none = db.find_line(org, id, first(9)).await.expect("an answer");
        assert!(none.is_none());
    }
}

pub(crate) async fn each_death_of_a_cascade_is_recorded(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let root = mint(&db, key(org, "root")).await;
    let middle = beget(&db, &root).await;
    beget(&db, &middle).await;
    let before = size(&db, org).await;
    let record = Box::new(move |revoked: &Revoked| {
        let all = std::iter::once(&revoked.key).chain(&revoked.descendants);
        all.map(|_| unseen::<u8>(org)(&1)).collect()
    });
    let outcome = db
        .revoke_key(org, root.id, end(later(1)), NOBODY, record)
        .await;
    assert!(matches!(outcome, Ok(Revocations::Now(_))), "{outcome:?}");
    let seqs: Vec<_> = added(&db, org, before).await;
    let seqs: Vec<_> = seqs.into_iter().map(|(seq, _)| seq).collect();
    assert_eq!(seqs, [before + 1, before + 2, before + 3]);
}

async fn revoke_alone(db: &Db, key: &OrgKey) -> Revoked {
    let before = size(db, key.org).await;
    let (record, _) = recorder(key.org);
    let outcome = db
        .revoke_key_alone(key.org, key.id, end(later(1)), NOBODY, many(record))
        .await;
    assert_eq!(size(db, key.org).await, before + 1);
    match outcome {
        Ok(Revocations::Now(written)) => written.value,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn children_live_on_under_the_key_above(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let root = mint(&db, key(org, "root")).await;
    let middle = beget(&db, &root).await;
    let kept = beget(&db, &middle).await;
    let leaf = beget(&db, &kept).await;
    let dead = beget(&db, &middle).await;
    revoke_now(&db, org, dead.id, end(later(1))).await;
    let workspace = insert_workspace(&db, org).await;
    let mut made = token(&workspace);
    made.minter.chain = vec![kept.id, middle.id, root.id];
    done(&db, org, |record| {
        db.insert_workspace_token(made, digest(), NOBODY, record)
    })
    .await;

    let revoked = revoke_alone(&db, &middle).await;
    assert_eq!(revoked.key.id, middle.id);
    assert!(revoked.descendants.is_empty());
    let mut heirs: Vec<_> = revoked
        .heirs
        .iter()
        .map(|heir| (heir.id, heir.chain.clone()))
        .collect();
    heirs.sort();
    let expected = [(kept.id, vec![root.id]), (leaf.id, vec![kept.id, root.id])];
    assert_eq!(heirs, expected);
    let db = bed.reopen(db).await;
    for (id, chain) in expected {
        let line = db.find_line(org, id, first(9)).await.expect("an answer");
        let found = line.expect("a line").key;
        assert_eq!(found.minter.chain, chain);
        assert!(found.revocation.is_none());
    }
    let tokens = db.load_workspace_tokens().await.expect("the tokens");
    assert_eq!(tokens[0].token.minter.chain, [kept.id, root.id]);
    // They mint and die as children of the key above.
    let kept = find(&db, &kept).await;
    beget(&db, &kept).await;
    let all = revoke_now(&db, org, root.id, end(later(2))).await;
    assert_eq!(all.descendants.len(), 3);
    // The one that went keeps its own end.
    let again = db
        .revoke_key_alone(org, middle.id, end(later(9)), NOBODY, many_unseen(org))
        .await;
    assert!(matches!(again, Ok(Revocations::Before(_))), "{again:?}");
}

pub(crate) async fn children_of_a_key_of_the_org_become_the_orgs(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let root = mint(&db, key(org, "root")).await;
    let kept = beget(&db, &root).await;
    let revoked = revoke_alone(&db, &root).await;
    assert_eq!(revoked.heirs[0].chain, []);
    let found = find(&db, &kept).await;
    assert_eq!(
        (found.parent(), found.minter.created_by),
        (None, kept.minter.created_by)
    );
}

pub(crate) async fn child_that_would_get_wider_stays_where_it_is(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let root = mint(&db, key(org, "root")).await;
    let middle = beget(&db, &root).await;
    let leaf = beget(&db, &middle).await;
    let reader = Grant {
        permissions: PermissionSet::preset("reader").expect("a preset"),
        ..Grant::admin()
    };
    let narrow = |to: Grant| KeyChange {
        grant: Some((Grant::admin(), to)),
        ..KeyChange::default()
    };
    for narrowed in [&middle, &root] {
        let change = narrow(reader.clone());
        done(&db, org, |record| {
            db.change_key(org, narrowed.id, change, NOBODY, record)
        })
        .await;
        let error = refused(&db, org, |record| {
            db.revoke_key_alone(org, middle.id, end(later(1)), NOBODY, many(record))
        })
        .await;
        assert_error!(error, StoreError::NoHeir { child, field: "permissions" } if *child == leaf.id);
    }
    let sooner = KeyChange {
        expires_at: Some(later(500)),
        grant: Some((Grant::admin(), reader)),
        ..KeyChange::default()
    };
    done(&db, org, |record| {
        db.change_key(org, leaf.id, sooner, NOBODY, record)
    })
    .await;
    revoke_alone(&db, &middle).await;
}

pub(crate) async fn mint_below_a_key_that_moved_is_refused(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let root = mint(&db, key(org, "root")).await;
    let middle = beget(&db, &root).await;
    let kept = beget(&db, &middle).await;
    // What a mint was told of the keys above, before they changed.
    let late = child(&kept);
    revoke_alone(&db, &middle).await;
    let error = refused(&db, org, |record| db.mint_key(late, acting(&kept), record)).await;
    assert_error!(error, StoreError::Stale(_));
}

pub(crate) async fn mint_beyond_a_limit_is_refused(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let root = mint(&db, key(org, "root")).await;
    let middle = beget(&db, &root).await;
    let limits = |keys_max: Option<u32>, below: Option<u32>| MintLimits {
        keys_max,
        below: below.map(|max| (root.id, max)).into_iter().collect(),
    };
    for limits in [limits(Some(2), None), limits(None, Some(1))] {
        let mut new = child(&middle);
        new.limits = limits;
        let error = refused(&db, org, |record| db.mint_key(new, NOBODY, record)).await;
        assert_error!(error, StoreError::LimitReached { .. });
    }
    let mut new = child(&middle);
    new.limits = limits(Some(3), Some(2));
    let leaf = mint(&db, new).await;
    // What is revoked or has expired counts no more.
    revoke_now(&db, org, leaf.id, end(later(1))).await;
    let mut short = child(&middle);
    short.key.expires_at = Some(later(5));
    mint(&db, short).await;
    let mut new = child(&middle);
    new.limits = limits(Some(3), Some(2));
    let late = claviger_store::Acting {
        session: None,
        now: later(5),
        ..NOBODY
    };
    done(&db, org, |record| db.mint_key(new, late, record)).await;
}

pub(crate) async fn of_racing_mints_no_more_win_than_the_limit(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let root = mint(&db, key(org, "root")).await;
    for is_below in [true, false] {
        let outcomes = at_once(12, |_| {
            let mut new = child(&root);
            new.limits = if is_below {
                MintLimits {
                    keys_max: None,
                    below: vec![(root.id, 3)],
                }
            } else {
                MintLimits {
                    keys_max: Some(7),
                    below: Vec::new(),
                }
            };
            let (db, actor) = (Arc::clone(&db), acting(&root));
            async move { db.mint_key(new, actor, unseen(org)).await }
        })
        .await;
        let won = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert_eq!(won, 3, "{outcomes:?}");
    }
}

fn stop() -> Turn {
    Turn::Suspend(Suspension {
        at: later(3),
        by: Actor::AdminToken,
        reason: Some("leak".to_owned()),
    })
}

pub(crate) async fn selection_finds_what_fits_all_of_it(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let root = mint(&db, key(org, "root")).await;
    let child_of_root = beget(&db, &root).await;
    let mut tagged = key(org, "tagged");
    tagged.key.metadata = [
        ("team".to_owned(), "a'b\"".to_owned()),
        ("x".to_owned(), "1".to_owned()),
    ]
    .into();
    tagged.key.created_at = later(50);
    let tagged = mint(&db, tagged).await;
    let dead = mint(&db, key(org, "dead")).await;
    revoke_now(&db, org, dead.id, end(later(1))).await;
    mint(&db, key(other_org(&db).await, "elsewhere")).await;
    let pair = |value: &str| [("team".to_owned(), value.to_owned())].into();
    let both = Selection {
        under: vec![root.id],
        minted_since: Some(later(50)),
        ..Selection::default()
    };
    let all = vec![root.id, child_of_root.id, tagged.id];
    let table = [
        (
            Selection {
                under: vec![root.id],
                ..Selection::default()
            },
            vec![root.id, child_of_root.id],
        ),
        (
            Selection {
                created_by: Some(child_of_root.minter.created_by.to_string()),
                ..Selection::default()
            },
            vec![child_of_root.id],
        ),
        (
            Selection {
                metadata: pair("a'b\""),
                ..Selection::default()
            },
            vec![tagged.id],
        ),
        (
            Selection {
                metadata: pair("a"),
                ..Selection::default()
            },
            vec![],
        ),
        (
            Selection {
                minted_since: Some(later(50)),
                ..Selection::default()
            },
            vec![tagged.id],
        ),
        (both, vec![]),
        (Selection::default(), all),
    ];
    for (selection, expected) in table {
        let found = db
            .select_keys(org, selection.clone())
            .await
            .expect("an answer");
        assert_eq!(ids(&found), expected, "{selection:?}");
    }
}

pub(crate) async fn many_keys_stop_and_go_on_at_once(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let root = mint(&db, key(org, "root")).await;
    let (one, two) = (beget(&db, &root).await, beget(&db, &root).await);
    let spared = two.id;
    let judge = move || -> claviger_store::Judge {
        Box::new(move |key| {
            if key.id == spared {
                Verdict::Spare
            } else {
                Verdict::Take
            }
        })
    };
    let under = Selection {
        under: vec![root.id],
        ..Selection::default()
    };
    let turn = async |turn: Turn, selection: (Selection, claviger_store::Judge)| {
        let (record, _) = recorder(org);
        let written = db
            .turn_keys(org, selection, turn, NOBODY, many(record))
            .await;
        ids(&written.expect("a change").value)
    };
    assert_eq!(
        turn(stop(), (under.clone(), judge())).await,
        [root.id, one.id]
    );
    assert_eq!(
        turn(stop(), (under.clone(), judge())).await,
        [],
        "they are off already"
    );
    let found = find(&db, &one).await;
    assert_eq!(
        found.suspension.and_then(|stop| stop.reason).as_deref(),
        Some("leak")
    );
    assert!(find(&db, &two).await.suspension.is_none());
    // Of what the caller may not act on, nothing is changed.
    let before = snapshot(&db, org).await;
    let refuse: claviger_store::Judge = Box::new(move |key| {
        if key.id == spared {
            Verdict::Refuse
        } else {
            Verdict::Take
        }
    });
    let error = db
        .turn_keys(
            org,
            (under.clone(), refuse),
            stop(),
            NOBODY,
            many_unseen(org),
        )
        .await;
    assert!(
        matches!(error, Err(StoreError::Refused(key)) if key == spared),
        "{error:?}"
    );
    assert_eq!(snapshot(&db, org).await, before);
    assert_eq!(
        turn(Turn::Resume(later(9)), (under, judge())).await,
        [root.id, one.id]
    );
    let found = find(&db, &one).await;
    assert_eq!((found.suspension, found.resumed_at), (None, Some(later(9))));
}
