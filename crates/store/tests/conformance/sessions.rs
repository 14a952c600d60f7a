//! Sessions in browsers, and sign-ins that are under way.

use std::sync::Arc;

use claviger_core::{
    id::{KeyId, SessionId},
    person::{Person, Session, SignInMethod},
    tier::{Actor, Minter},
    time::Timestamp,
};
use claviger_store::{
    Acting, LINKS_BELOW_KEY_MAX, LINKS_PER_MAKER_MAX, LinkMaker, NewSession, RefreshTurn,
    SESSIONS_PER_PERSON_MAX, SignIn, StoreError, WhichSessions,
};

use crate::{
    bed::{Bed, Db},
    people::{know, person},
    races::at_once,
    support::{DAY, NOBODY, NOW, acting_at, default_org, digest, id, later, other_org, workspace},
    witness::{assert_error, assert_same, done, refused, unseen},
};

pub(crate) fn session(person: &Person) -> Session {
    Session {
        id: id(),
        org: person.org,
        person: person.id.clone(),
        method: SignInMethod::Oidc,
        created_at: NOW,
        seen_at: NOW,
        ends_at: NOW.plus(DAY),
        client: Some("2001:db8::1".parse().expect("an address")),
        user_agent: Some("Brüwser/1 'x'".to_owned()),
        minter: None,
        admin_token: None,
        provider_session: Some("sid_1".to_owned()),
        impersonator: Some("admin@example.com".to_owned()),
        fresh_until: Some(later(300)),
    }
}

/// Begins a session.
pub(crate) async fn begin(db: &Db, session: Session, digest: [u8; 32]) -> Session {
    let org = session.org;
    let person = person(org, session.person.as_str());
    let new = NewSession {
        session,
        digest,
        sealed: Some(b"sealed".to_vec()),
    };
    let begun = done(db, org, |record| db.sign_in(person, Some(new), record)).await;
    begun.session.expect("a session")
}

async fn living(db: &Db, now: Timestamp) -> Vec<SessionId> {
    let loaded = db.load_sessions(now).await.expect("sessions");
    let mut ids: Vec<_> = loaded.iter().map(|loaded| loaded.session.id).collect();
    ids.sort();
    ids
}

pub(crate) async fn session_is_loaded_as_it_began(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let known = know(&db, person(org, "user_1")).await;
    let plain = session(&known);
    let full = Session {
        method: SignInMethod::Link,
        minter: Some(Minter {
            created_by: Actor::OrgKey("mole_a1b2c3d4".parse().expect("a prefix")),
            root: Actor::AdminToken,
            chain: vec![id(), id()],
        }),
        admin_token: Some(digest()),
        client: None,
        user_agent: None,
        provider_session: None,
        impersonator: None,
        fresh_until: None,
        ..session(&known)
    };
    let (one, other) = (digest(), digest());
    begin(&db, plain.clone(), one).await;
    begin(&db, full.clone(), other).await;
    let db = bed.reopen(db).await;
    let mut loaded = db.load_sessions(NOW).await.expect("sessions");
    loaded.sort_by_key(|loaded| loaded.session.id);
    assert_same!(loaded[0].session, plain);
    assert_same!(loaded[1].session, full);
    assert_eq!((loaded[0].digest, loaded[1].digest), (one, other));
    assert_eq!(
        db.find_sealed(plain.id).await.expect("found").as_deref(),
        Some(&b"sealed"[..])
    );
    assert!(living(&db, NOW.plus(DAY)).await.is_empty(), "over");
}

pub(crate) async fn sessions_end_one_by_one_or_all(bed: &Bed) {
    let db = bed.open().await;
    let (org, other) = (default_org(&db).await, other_org(&db).await);
    let one = know(&db, person(org, "user_1")).await;
    let two = know(&db, person(org, "user_2")).await;
    let foreign = know(&db, person(other, "user_1")).await;
    let of_foreign = begin(&db, session(&foreign), digest()).await.id;
    let mut own = Vec::new();
    for _ in 0..4 {
        own.push(begin(&db, session(&one), digest()).await.id);
    }
    let of_two = Session {
        provider_session: Some("sid_2".to_owned()),
        ..session(&two)
    };
    let of_two = begin(&db, of_two, digest()).await.id;
    let end = |which: WhichSessions| {
        let db = Arc::clone(&db);
        async move {
            let mut ended = done(&db, org, |record| db.end_sessions(org, which, record)).await;
            ended.sort();
            ended
        }
    };
    let id = || one.id.clone();
    assert!(
        end(WhichSessions::One(two.id.clone(), own[0]))
            .await
            .is_empty(),
        "not its own"
    );
    assert_eq!(end(WhichSessions::One(id(), own[0])).await, [own[0]]);
    assert!(
        end(WhichSessions::One(id(), own[0])).await.is_empty(),
        "once"
    );
    let mut expected = vec![own[1], own[3]];
    expected.sort();
    assert_eq!(end(WhichSessions::OthersOf(id(), own[2])).await, expected);
    assert_eq!(
        end(WhichSessions::OfProvider("sid_2".to_owned())).await,
        [of_two]
    );
    assert_eq!(end(WhichSessions::OfPerson(id())).await, [own[2]]);
    assert_eq!(living(&db, NOW).await, [of_foreign]);
    let gone = db.find_sealed(own[2]).await.expect_err("gone");
    assert_error!(gone, StoreError::NotFound("session"));
}

pub(crate) async fn ended_session_changes_nothing(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let known = know(&db, person(org, "user_1")).await;
    let live = begin(&db, session(&known), digest()).await;
    let acting = |now| Acting {
        session: Some(live.id),
        ..acting_at(now)
    };
    let new = workspace(org, "w");
    done(&db, org, |record| {
        db.insert_workspace(new, acting(NOW), record)
    })
    .await;
    let new = workspace(org, "w");
    let late = acting(NOW.plus(DAY));
    let error = refused(&db, org, |record| db.insert_workspace(new, late, record)).await;
    assert_error!(error, StoreError::ActorGone);
    let which = WhichSessions::OfPerson(known.id.clone());
    done(&db, org, |record| db.end_sessions(org, which, record)).await;
    let new = workspace(org, "w");
    let error = refused(&db, org, |record| {
        db.insert_workspace(new, acting(NOW), record)
    })
    .await;
    assert_error!(error, StoreError::ActorGone);
}

pub(crate) async fn uses_are_kept_and_old_sessions_purged(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let known = know(&db, person(org, "user_1")).await;
    let idle = begin(&db, session(&known), digest()).await.id;
    let used = begin(&db, session(&known), digest()).await.id;
    let over = Session {
        ends_at: later(10),
        ..session(&known)
    };
    begin(&db, over, digest()).await;
    let times = vec![(used, later(900)), (used, later(800)), (id(), later(1))];
    db.touch_sessions(times).await.expect("kept");
    let loaded = db.load_sessions(NOW).await.expect("sessions");
    let seen = loaded.iter().find(|loaded| loaded.session.id == used);
    assert_eq!(seen.expect("it").session.seen_at, later(900));
    let (stale, fresh) = (digest(), digest());
    for (secret, expires_at) in [(stale, later(10)), (fresh, later(11))] {
        let begun = SignIn {
            expires_at,
            ..sign_in(secret, None)
        };
        db.put_sign_in(begun, NOBODY, None).await.expect("kept");
    }
    let purged = db.purge_sessions(later(10), NOW).await.expect("purged");
    assert_eq!(purged, 2);
    for (secret, is_there) in [(stale, false), (fresh, true)] {
        let taken = db.take_sign_in(secret, NOW).await.expect("an answer");
        assert_eq!(taken.is_some(), is_there);
    }
    assert_eq!(living(&db, NOW).await, [used]);
    assert!(idle != used);
}

pub(crate) async fn person_has_so_many_sessions_and_no_more(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let known = know(&db, person(org, "user_1")).await;
    let max = usize::try_from(SESSIONS_PER_PERSON_MAX).expect("small");
    let mut all = Vec::new();
    for at in 0..max {
        let one = Session {
            seen_at: later(u64::try_from(at).expect("small")),
            ..session(&known)
        };
        all.push(begin(&db, one, digest()).await.id);
    }
    let last = Session {
        seen_at: later(9999),
        ..session(&known)
    };
    let new = NewSession {
        session: last,
        digest: digest(),
        sealed: None,
    };
    let begun = done(&db, org, |record| db.sign_in(known, Some(new), record)).await;
    assert_eq!(begun.ended, [all[0]], "the one that was unused for longest");
    assert_eq!(living(&db, NOW).await.len(), max);
}

pub(crate) async fn sessions_of_a_key_are_counted_and_ended_by_themselves(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let known = know(&db, person(org, "user_1")).await;
    let (key, child) = (id(), id());
    let of = |chain: Vec<KeyId>| Session {
        minter: Some(Minter {
            created_by: Actor::AdminToken,
            root: Actor::AdminToken,
            chain,
        }),
        ..session(&known)
    };
    let plain = begin(&db, session(&known), digest()).await.id;
    let mut own = Vec::new();
    for _ in 0..SESSIONS_PER_PERSON_MAX {
        own.push(begin(&db, of(vec![key]), digest()).await.id);
    }
    let below = begin(&db, of(vec![child, key]), digest()).await.id;
    let more = begin(&db, of(vec![key]), digest()).await.id;
    let alive = living(&db, NOW).await;
    assert!(alive.contains(&plain) && alive.contains(&below) && alive.contains(&more));
    assert_eq!(alive.len(), own.len() + 2, "one of the key's own has ended");
    let which = WhichSessions::OfKey(child);
    let ended = done(&db, org, |record| db.end_sessions(org, which, record)).await;
    assert_eq!(ended, [below]);
    let which = WhichSessions::OthersOfKey(key, more);
    done(&db, org, |record| db.end_sessions(org, which, record)).await;
    let mut expected = vec![plain, more];
    expected.sort();
    assert_eq!(living(&db, NOW).await, expected);
    let which = WhichSessions::OfKey(key);
    done(&db, org, |record| db.end_sessions(org, which, record)).await;
    assert_eq!(living(&db, NOW).await, [plain]);
}

pub(crate) async fn what_a_provider_gave_is_spent_once(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let known = know(&db, person(org, "user_1")).await;
    let live = begin(&db, session(&known), digest()).await;
    let renewed = Session {
        fresh_until: Some(later(600)),
        impersonator: None,
        ..live.clone()
    };
    let outcomes = at_once(8, |at| {
        let (db, renewed) = (Arc::clone(&db), renewed.clone());
        async move {
            let next = Some(format!("next {at}").into_bytes());
            let before = Some(b"sealed".to_vec());
            (at, db.renew_session(&renewed, before, next).await)
        }
    })
    .await;
    let won = outcomes.iter().filter(|(_, outcome)| outcome.is_ok());
    let won: Vec<_> = won.map(|(at, _)| at).collect();
    let [won] = won[..] else {
        panic!("{outcomes:?}");
    };
    let kept = db.find_sealed(live.id).await.expect("found");
    assert_eq!(kept, Some(format!("next {won}").into_bytes()));
    let lost = outcomes
        .into_iter()
        .filter_map(|(_, outcome)| outcome.err());
    for error in lost {
        assert_error!(error, StoreError::Stale("session"));
    }
    let loaded = db.load_sessions(NOW).await.expect("sessions");
    assert_same!(loaded[0].session, renewed);
    let gone = Session {
        id: id(),
        ..renewed
    };
    let error = db.renew_session(&gone, None, None).await.expect_err("gone");
    assert_error!(error, StoreError::NotFound("session"));
}

pub(crate) async fn provider_is_asked_by_one_at_a_time(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let known = know(&db, person(org, "user_1")).await;
    let live = begin(&db, session(&known), digest()).await;
    let id = live.id;
    let take = async |now, until| {
        let turn = db.take_refresh_turn(id, later(now), later(until)).await;
        turn.expect("a live session")
    };
    let turns = at_once(8, |_| {
        let db = Arc::clone(&db);
        async move { db.take_refresh_turn(id, NOW, later(20)).await }
    })
    .await;
    let ours = turns.into_iter().filter_map(|turn| match turn {
        Ok(RefreshTurn::Ours { session, sealed }) => Some((*session, sealed)),
        Ok(RefreshTurn::Others) => None,
        Err(error) => panic!("{error}"),
    });
    let ours: Vec<_> = ours.collect();
    let [(session, sealed)] = &ours[..] else {
        panic!("{} have the turn", ours.len());
    };
    assert_same!(*session, live);
    assert_eq!(sealed.as_deref(), Some(&b"sealed"[..]));

    // It ends by itself at its instant, by being given back, and by what was asked for.
    assert!(matches!(take(19, 39).await, RefreshTurn::Others));
    assert!(matches!(take(20, 40).await, RefreshTurn::Ours { .. }));
    db.end_refresh_turn(id).await.expect("ended");
    assert!(matches!(take(21, 41).await, RefreshTurn::Ours { .. }));
    let renewed = Session {
        fresh_until: Some(later(600)),
        ..live
    };
    let before = Some(b"sealed".to_vec());
    let next = Some(b"next".to_vec());
    let kept = db.renew_session(&renewed, before, next).await;
    kept.expect("renewed");
    let RefreshTurn::Ours { session, sealed } = take(22, 42).await else {
        panic!("what was asked for is there");
    };
    assert_same!(*session, renewed);
    assert_eq!(sealed.as_deref(), Some(&b"next"[..]));

    let which = WhichSessions::OfPerson(known.id);
    done(&db, org, |record| db.end_sessions(org, which, record)).await;
    let error = db.take_refresh_turn(id, NOW, later(20)).await;
    assert_error!(error.expect_err("gone"), StoreError::NotFound("session"));
    db.end_refresh_turn(id).await.expect("nothing is done");
}

fn sign_in(secret: [u8; 32], org: Option<claviger_core::id::OrgId>) -> SignIn {
    SignIn {
        digest: secret,
        org,
        payload: r#"{"kind":"ünder way"}"#.to_owned(),
        expires_at: later(600),
        maker: None,
    }
}

pub(crate) async fn links_of_one_maker_stop_nobody(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let link = |maker: &str, line: &str, at: u32| SignIn {
        expires_at: later(600 + u64::from(at)),
        maker: Some(LinkMaker {
            maker: maker.to_owned(),
            line: line.to_owned(),
        }),
        ..sign_in(digest(), Some(org))
    };
    let put = async |new: SignIn| {
        let secret = new.digest;
        let kept = db.put_sign_in(new, NOBODY, Some(unseen(org))).await;
        kept.map(|_receipt| secret)
    };
    let take = async |secret| {
        let taken = db.take_sign_in(secret, NOW).await.expect("an answer");
        taken.is_some()
    };
    let other = put(link("session:ada", "session:ada", 0))
        .await
        .expect("kept");
    let mut own = Vec::new();
    for at in 0..=LINKS_PER_MAKER_MAX {
        own.push(put(link("tok_top", "tok_top", at)).await.expect("kept"));
    }
    assert!(!take(own[0]).await, "the oldest gave way");
    assert!(take(own[1]).await && take(other).await);
    // Keys below one share a limit, which is not that of the key above.
    for maker in 0..LINKS_BELOW_KEY_MAX / LINKS_PER_MAKER_MAX {
        for at in 0..LINKS_PER_MAKER_MAX {
            let new = link(&format!("tok_{maker}"), "tok_top", at);
            put(new).await.expect("kept");
        }
    }
    let beyond = put(link("tok_more", "tok_top", 0)).await;
    assert_error!(
        beyond.err(),
        Some(StoreError::LimitReached { max, .. }) if *max == u64::from(LINKS_BELOW_KEY_MAX)
    );
    put(link("tok_0", "tok_top", 99))
        .await
        .expect("in the place of its oldest");
    put(link("tok_top", "tok_top", 99)).await.expect("kept");
    put(link("tok_else", "tok_else", 0)).await.expect("kept");
    db.put_sign_in(sign_in(digest(), None), NOBODY, None)
        .await
        .expect("strangers are counted apart");
}

pub(crate) async fn sign_in_is_taken_once(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let secret = digest();
    let receipt = db
        .put_sign_in(sign_in(secret, Some(org)), NOBODY, Some(unseen(org)))
        .await;
    assert!(receipt.expect("kept").is_some());
    let db = bed.reopen(db).await;
    let outcomes = at_once(8, |_| {
        let db = Arc::clone(&db);
        async move { db.take_sign_in(secret, NOW).await.expect("an answer") }
    })
    .await;
    let taken: Vec<_> = outcomes.into_iter().flatten().collect();
    let [taken] = &taken[..] else {
        panic!("{taken:?}");
    };
    assert_eq!(taken.org, Some(org));
    assert_eq!(taken.payload, r#"{"kind":"ünder way"}"#);
    // Of two with the same secret the first counts.
    let twice = digest();
    for expected in [Ok(()), Err(StoreError::Exists("sign-in"))] {
        let kept = db.put_sign_in(sign_in(twice, None), NOBODY, None).await;
        match expected {
            Ok(()) => assert!(kept.is_ok(), "{kept:?}"),
            Err(_) => assert_error!(kept.err(), Some(StoreError::Exists("sign-in"))),
        }
    }
    // One whose time is over is gone, and cleared away by the next.
    let late = digest();
    let receipt = db.put_sign_in(sign_in(late, None), NOBODY, None).await;
    assert!(receipt.expect("kept").is_none());
    let none = db.take_sign_in(late, later(600)).await.expect("an answer");
    assert!(none.is_none());
    let stale = digest();
    db.put_sign_in(sign_in(stale, None), NOBODY, None)
        .await
        .expect("kept");
    let next = acting_at(later(601));
    db.put_sign_in(sign_in(digest(), None), next, None)
        .await
        .expect("kept");
    assert!(
        db.take_sign_in(stale, NOW)
            .await
            .expect("an answer")
            .is_none()
    );
}
