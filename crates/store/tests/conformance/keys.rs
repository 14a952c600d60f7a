//! Keys: minting, idempotency, changing, use, and loading them all.

use std::sync::{Arc, Mutex};

use claviger_core::{
    grant::{Delegation, Grant, RateLimit, Workspaces},
    id::{KeyId, OrgId},
    key::{OrgKey, Suspension, Use},
    permission::{Permission, PermissionSet},
    tier::Actor,
    time::Timestamp,
};
use claviger_store::{Acting, Idempotency, KeySink, LoadedKey, NewKey, SecretUse, StoreError};

use crate::{
    bed::{Bed, Db},
    key_changes::named,
    people,
    support::{
        DAY, NOBODY, NOW, beget, child, default_org, end, first, id, key, later, mint, other_org,
        unused,
    },
    witness::{
        assert_error, assert_same, done, every_key, many, refused, revoke_now, size, snapshot,
        unseen,
    },
};

/// A grant with something in every field.
fn narrow_grant() -> Grant {
    Grant {
        permissions: PermissionSet::of(&[Permission::SecretsRead, Permission::ChannelsSend]),
        workspaces: Workspaces::Ids(vec![id(), id()]),
        endpoints: vec!["GET /workspaces/*/metrics".parse().expect("an endpoint")],
        not_before: Some(later(3)),
        ip_allow: vec![
            "10.0.0.0/8".parse().expect("a range"),
            "::1/128".parse().expect("a range"),
        ],
        rate_limit: RateLimit {
            per_minute: Some(3),
            per_day: None,
        },
        delegation: Delegation {
            depth: Some(2),
            keys: None,
            lifetime: Some(DAY),
        },
    }
}

/// A key with something in every field that a new key may have.
pub(crate) fn full_key(parent: &OrgKey) -> NewKey {
    let mut new = child(parent);
    new.key.name = "Schlüssel \u{1F511} 'x' \\ 100%".to_owned();
    new.key.created_at = later(1);
    new.key.expires_at = Some(Timestamp::MAX);
    new.key.grant = narrow_grant();
    new.key.metadata = [
        ("b".to_owned(), "ü\"".to_owned()),
        ("a".to_owned(), String::new()),
    ]
    .into();
    new
}

pub(crate) async fn find(db: &Db, key: &OrgKey) -> OrgKey {
    db.find_key(key.org, key.id)
        .await
        .expect("an answer")
        .expect("the key")
}

pub(crate) async fn minted_key_is_found_and_listed_as_it_was_made(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let mut root = key(org, "root");
    root.key.minter.created_by = Actor::Session("user_ü".into());
    root.key.minter.root = Actor::Session("user_1".into());
    people::know(&db, people::person(org, "user_1")).await;
    root.key.grant.workspaces =
        Workspaces::Labels([("agent".to_owned(), "données".to_owned())].into());
    let expected_root = root.key.clone();
    let root = mint(&db, root).await;
    assert_same!(root, expected_root);
    let middle = beget(&db, &root).await;
    let new = full_key(&middle);
    let expected = new.key.clone();
    assert_eq!(expected.minter.chain, [middle.id, root.id]);
    let made = mint(&db, new).await;
    assert_same!(made, expected);

    let db = bed.reopen(db).await;
    assert_same!(find(&db, &expected).await, expected);
    let listed = db
        .list_keys(org, every_key(), first(10))
        .await
        .expect("the keys");
    assert_same!(listed, [expected, middle, expected_root]);
}

pub(crate) async fn key_of_another_org_is_not_found(bed: &Bed) {
    let db = bed.open().await;
    let (org, other) = (default_org(&db).await, other_org(&db).await);
    let key = mint(&db, key(org, "mine")).await;
    assert!(
        db.find_key(other, key.id)
            .await
            .expect("an answer")
            .is_none()
    );
    assert!(db.find_key(org, id()).await.expect("an answer").is_none());
    assert!(
        db.list_keys(other, every_key(), first(10))
            .await
            .expect("an answer")
            .is_empty()
    );

    let all = snapshot(&db, org).await;
    let change = named("taken");
    let error = refused(&db, other, |record| {
        db.change_key(other, key.id, change, NOBODY, record)
    })
    .await;
    assert_error!(error, StoreError::NotFound(_));
    let error = refused(&db, other, |record| {
        db.revoke_key(other, key.id, end(NOW), NOBODY, many(record))
    })
    .await;
    assert_error!(error, StoreError::NotFound(_));
    assert_eq!(snapshot(&db, org).await, all);
}

pub(crate) async fn minting_for_an_unknown_org_is_not_found(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let stray = key(id(), "stray");
    let error = refused(&db, org, |record| db.mint_key(stray, NOBODY, record)).await;
    assert_error!(error, StoreError::NotFound(_));
    assert!(
        db.deployment()
            .await
            .expect("the deployment")
            .is_bootstrap_open
    );
}

pub(crate) async fn prefix_is_unique_in_the_deployment(bed: &Bed) {
    let db = bed.open().await;
    let (org, other) = (default_org(&db).await, other_org(&db).await);
    let made = mint(&db, key(org, "one")).await;
    revoke_now(&db, org, made.id, end(NOW)).await;
    for org in [org, other] {
        let mut twin = key(org, "twin");
        twin.key.prefix = made.prefix;
        let error = refused(&db, org, |record| db.mint_key(twin, NOBODY, record)).await;
        assert_error!(error, StoreError::PrefixTaken);
    }
    mint(&db, key(other, "not a twin")).await;
}

/// A key with an idempotency key, minted at this time.
fn repeatable(parent: &NewKey, key: &str, request: u8, at: Timestamp) -> (NewKey, Acting) {
    let mut new = self::key(parent.key.org, "repeatable");
    new.key.minter = parent.key.minter.clone();
    new.key.created_at = at;
    new.idempotency = Some(Idempotency {
        key: key.to_owned(),
        request: [request; 32],
    });
    (
        new,
        Acting {
            session: None,
            key: None,
            prefix: None,
            now: at,
        },
    )
}

/// Mints it, and asserts that it was not a repetition.
async fn mint_once(db: &Db, (new, acting): (NewKey, Acting)) -> KeyId {
    let org = new.key.org;
    done(db, org, |record| db.mint_key(new, acting, record))
        .await
        .id
}

async fn expect_replayed(db: &Db, (new, acting): (NewKey, Acting), key_then: KeyId, is_same: bool) {
    let org = new.key.org;
    match refused(db, org, |record| db.mint_key(new, acting, record)).await {
        StoreError::Replayed {
            key,
            is_same_request,
        } => {
            assert_eq!((key, is_same_request), (key_then, is_same));
        }
        error => panic!("{error:?}"),
    }
}

pub(crate) async fn repeated_mint_is_recognised_for_a_day(bed: &Bed) {
    let db = bed.open().await;
    let by = key(default_org(&db).await, "by");
    let made = mint_once(&db, repeatable(&by, "Ü-1", 1, NOW)).await;
    expect_replayed(&db, repeatable(&by, "Ü-1", 1, NOW), made, true).await;
    expect_replayed(&db, repeatable(&by, "Ü-1", 2, NOW), made, false).await;
    let db = bed.reopen(db).await;
    let almost = NOW.plus(DAY).minus(std::time::Duration::from_mins(1));
    expect_replayed(&db, repeatable(&by, "Ü-1", 1, almost), made, true).await;

    let after = NOW.plus(DAY).plus(std::time::Duration::from_mins(1));
    let again = mint_once(&db, repeatable(&by, "Ü-1", 2, after)).await;
    assert_ne!(again, made);
    expect_replayed(&db, repeatable(&by, "Ü-1", 2, after), again, true).await;
    expect_replayed(
        &db,
        repeatable(&by, "Ü-1", 1, after.plus(DAY / 2)),
        again,
        false,
    )
    .await;
}

pub(crate) async fn repeated_mint_is_recognised_though_its_key_is_revoked(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let by = key(org, "by");
    let made = mint_once(&db, repeatable(&by, "1", 1, NOW)).await;
    revoke_now(&db, org, made, end(later(1))).await;
    expect_replayed(&db, repeatable(&by, "1", 1, later(2)), made, true).await;
}

pub(crate) async fn idempotency_keys_of_actors_and_orgs_are_apart(bed: &Bed) {
    let db = bed.open().await;
    let (org, other) = (default_org(&db).await, other_org(&db).await);
    let by = key(org, "by");
    let mut by_another = key(org, "by another");
    by_another.key.minter.created_by = Actor::Session("user_1".into());
    let elsewhere = key(other, "elsewhere");
    let mut made = Vec::new();
    for (by, name) in [
        (&by, "1"),
        (&by_another, "1"),
        (&elsewhere, "1"),
        (&by, "2"),
    ] {
        let id = mint_once(&db, repeatable(by, name, 1, NOW)).await;
        made.push((by, name, id));
    }
    for (by, name, id) in made {
        expect_replayed(&db, repeatable(by, name, 1, NOW), id, true).await;
    }
}

pub(crate) async fn failed_mint_does_not_use_up_its_idempotency_key(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let by = key(org, "by");
    let taken = mint(&db, key(org, "taken")).await;
    let (mut twin, acting) = repeatable(&by, "1", 1, NOW);
    twin.key.prefix = taken.prefix;
    let error = refused(&db, org, |record| db.mint_key(twin, acting, record)).await;
    assert_error!(error, StoreError::PrefixTaken);
    mint_once(&db, repeatable(&by, "1", 1, NOW)).await;
}

pub(crate) async fn last_use_never_moves_back(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let (mut key, other) = (
        mint(&db, key(org, "used")).await,
        mint(&db, key(org, "other")).await,
    );
    let stranger = key_of(org, "never minted");
    let steps = [
        (vec![used(&key, 5)], 5),
        (vec![used(&key, 4)], 5),
        (vec![], 5),
        (vec![used(&stranger, 9)], 5),
        // Two times of one key at once, in either order.
        (vec![used(&key, 8), used(&key, 6)], 8),
        (
            vec![used(&key, 12), used(&key, 10), used(&stranger, 20)],
            12,
        ),
    ];
    let records = size(&db, org).await;
    for (used, expected) in steps {
        let said = format!("{used:?}");
        db.touch_keys(used).await.expect("they are kept");
        key.last_use = Some(last_use(expected));
        key.secret.last_use = key.last_use;
        assert_same!((said.clone(), find(&db, &key).await), (said, &key));
    }
    // In a session that it began: a use of the key, and of no secret.
    let session = SecretUse {
        prefix: None,
        ..used(&key, 30)
    };
    db.touch_keys(vec![session, used(&key, 11)])
        .await
        .expect("they are kept");
    key.last_use = Some(last_use(30));
    assert_same!(find(&db, &key).await, key);
    assert_same!(find(&db, &other).await, other);
    assert_eq!(size(&db, org).await, records, "use is no change");
}

/// A use of a key's own secret, so many milliseconds after the beginning.
pub(crate) fn used(key: &OrgKey, millis: u64) -> SecretUse {
    let last = last_use(millis);
    SecretUse {
        key: key.id,
        prefix: Some(key.prefix),
        at: last.at,
        from: last.from,
    }
}

/// A use at this time, from an address of its own.
pub(crate) fn last_use(millis: u64) -> Use {
    let end = u8::try_from(millis % 200).expect("small");
    Use {
        at: later(millis),
        from: Some([192, 0, 2, end].into()),
    }
}

fn key_of(org: OrgId, name: &str) -> OrgKey {
    key(org, name).key
}

/// What the index should be given for a key, as it prints.
fn as_loaded(key: &OrgKey, digest: [u8; 32]) -> String {
    let chain: Vec<_> = key.minter.chain.iter().map(ToString::to_string).collect();
    print_loaded(&LoadedKey {
        id: key.id,
        org: key.org,
        digest,
        prefix: key.prefix,
        name: &key.name,
        created_by: &key.minter.created_by.to_string(),
        root: &key.minter.root.to_string(),
        chain: &chain.join(" "),
        grant: &key.grant.to_json(),
        expires_at: key.expires_at,
        state: key.state(),
        last_used_at: key.secret.last_use.map(|last| last.at),
        otherwise_used_at: key
            .last_use
            .filter(|_| key.last_use != key.secret.last_use)
            .map(|last| last.at),
    })
}

fn print_loaded(key: &LoadedKey<'_>) -> String {
    let LoadedKey {
        id,
        org,
        digest,
        prefix,
        name,
        created_by,
        root,
        chain,
        ..
    } = key;
    let LoadedKey {
        grant,
        expires_at,
        state,
        last_used_at,
        otherwise_used_at,
        ..
    } = key;
    format!(
        "{id:?} {org:?} {digest:?} {prefix:?} name={name:?} by={created_by:?} root={root:?} \
         chain={chain:?} grant={grant} expires={expires_at:?} {state:?} used={last_used_at:?} {otherwise_used_at:?}"
    )
}

/// What is loaded, sorted.
async fn load(db: &Db, dead_since: Timestamp) -> Vec<String> {
    let loaded = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&loaded);
    let sink: KeySink = Arc::new(move |key: LoadedKey<'_>| {
        kept.lock().expect("no panic").push(print_loaded(&key));
    });
    let count = db
        .load_keys(dead_since, sink)
        .await
        .expect("they are loaded");
    let mut loaded = loaded.lock().expect("no panic").clone();
    assert_eq!(u64::try_from(loaded.len()).ok(), Some(count));
    loaded.sort();
    loaded
}

pub(crate) async fn every_key_is_loaded_but_those_long_dead(bed: &Bed) {
    let db = bed.open().await;
    assert_eq!(load(&db, NOW).await, Vec::<String>::new());
    let (org, other) = (default_org(&db).await, other_org(&db).await);
    let root = key(org, "root");
    let mut made = vec![(root.key.clone(), root.digest)];
    let root = mint(&db, root).await;
    let mut expired = key(other, "expired");
    expired.key.expires_at = Some(NOW.minus(DAY));
    for new in [
        full_key(&root),
        child(&root),
        expired,
        key(org, "dead long"),
        key(org, "dead"),
    ] {
        made.push((new.key.clone(), new.digest));
        mint(&db, new).await;
    }
    revoke_now(&db, org, made[4].0.id, end(later(10))).await;
    revoke_now(&db, org, made[5].0.id, end(later(1000))).await;
    db.touch_keys(vec![used(&made[1].0, 7)])
        .await
        .expect("it is kept");
    let statement = format!(
        "update keys set suspended_at = 5, suspended_by = 'admin-token' where id = '{}'",
        made[2].0.id
    );
    let db = bed.patch(db, &statement).await;
    made[1].0.last_use = Some(last_use(7));
    made[1].0.secret.last_use = made[1].0.last_use;
    made[2].0.suspension = Some(Suspension {
        at: Timestamp::from_millis(5),
        by: Actor::AdminToken,
        reason: None,
    });
    made[4].0.revocation = Some(end(later(10)));
    made[5].0.revocation = Some(end(later(1000)));

    let without = |absent: &[usize]| -> Vec<String> {
        let kept = made
            .iter()
            .enumerate()
            .filter(|(at, _)| !absent.contains(at));
        let mut all: Vec<_> = kept
            .map(|(_, (key, digest))| as_loaded(key, *digest))
            .collect();
        all.sort();
        all
    };
    assert_eq!(load(&db, later(0)).await, without(&[]));
    assert_eq!(load(&db, later(500)).await, without(&[4]));
    assert_eq!(load(&db, later(2000)).await, without(&[4, 5]));
}

pub(crate) async fn thousands_of_keys_are_loaded_once_each(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let mut expected = Vec::new();
    for _ in 0..1200 {
        let new = key(org, &format!("key {}", unused()));
        expected.push(as_loaded(&new.key, new.digest));
        let minted = db.mint_key(new, NOBODY, unseen(org)).await;
        assert!(minted.is_ok(), "{minted:?}");
    }
    expected.sort();
    assert_eq!(load(&db, NOW).await, expected);
}
