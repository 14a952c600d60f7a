//! The deprecated workspace tokens.

use claviger_core::{
    key::WorkspaceTokenRow,
    tier::{Actor, Minter},
};
use claviger_store::StoreError;

use crate::{
    bed::{Bed, Db},
    support::{
        NOBODY, acting, default_org, digest, first, id, insert_token, insert_workspace, key, later,
        mint, other_org, token, walk,
    },
    witness::{assert_error, assert_same, done, refused, size, snapshot},
};

async fn list(db: &Db, like: &WorkspaceTokenRow) -> Vec<WorkspaceTokenRow> {
    let tokens = db
        .list_workspace_tokens(like.org, like.workspace, first(100))
        .await;
    tokens.expect("the tokens")
}

pub(crate) async fn inserted_token_is_listed_and_loaded(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    assert!(
        db.load_workspace_tokens()
            .await
            .expect("the tokens")
            .is_empty()
    );
    let place = insert_workspace(&db, org).await;
    let mut new = token(&place);
    new.name = "Schlüssel 'x'".to_owned();
    new.minter = Minter {
        created_by: Actor::OrgKey("mole_a1b2c3d4".parse().expect("a prefix")),
        root: Actor::Session("user_ü".into()),
        chain: vec![id(), id()],
    };
    new.created_at = later(2);
    let (expected, its_digest) = (new.clone(), digest());
    let made = done(&db, org, |record| {
        db.insert_workspace_token(new, its_digest, NOBODY, record)
    })
    .await;
    assert_same!(made, expected);
    let db = bed.reopen(db).await;
    assert_same!(list(&db, &expected).await, [&expected]);
    let loaded = db.load_workspace_tokens().await.expect("the tokens");
    assert_eq!(loaded.len(), 1);
    assert_same!(loaded[0].token, expected);
    assert_eq!(loaded[0].digest, its_digest);
}

pub(crate) async fn tokens_are_listed_newest_first_in_pages(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let (place, neighbour) = (
        insert_workspace(&db, org).await,
        insert_workspace(&db, org).await,
    );
    let mut made = Vec::new();
    for _ in 0..9 {
        made.push(insert_token(&db, &place, digest()).await.id);
        insert_token(&db, &neighbour, digest()).await;
    }
    made.reverse();
    let fetch = |page| db.list_workspace_tokens(org, place.id, page);
    let all = walk(4, |token: &WorkspaceTokenRow| token.id, fetch).await;
    assert_eq!(all.iter().map(|token| token.id).collect::<Vec<_>>(), made);
    assert_eq!(
        db.load_workspace_tokens().await.expect("the tokens").len(),
        18
    );
}

pub(crate) async fn token_needs_a_workspace_of_its_org(bed: &Bed) {
    let db = bed.open().await;
    let (org, other) = (default_org(&db).await, other_org(&db).await);
    let place = insert_workspace(&db, org).await;
    let mut nowhere = token(&place);
    nowhere.workspace = id();
    let mut elsewhere = token(&place);
    elsewhere.org = other;
    for new in [nowhere, elsewhere] {
        let bytes = digest();
        let error = refused(&db, org, |record| {
            db.insert_workspace_token(new, bytes, NOBODY, record)
        })
        .await;
        assert_error!(error, StoreError::NotFound(_));
    }
    for (org, place) in [(other, place.id), (org, id())] {
        let error = db.list_workspace_tokens(org, place, first(10)).await.err();
        assert_error!(error, Some(StoreError::NotFound(_)));
    }
    assert!(
        db.load_workspace_tokens()
            .await
            .expect("the tokens")
            .is_empty()
    );
}

pub(crate) async fn token_prefix_is_unique(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let place = insert_workspace(&db, org).await;
    let made = insert_token(&db, &place, digest()).await;
    let gone = made.id;
    done(&db, org, |record| {
        db.revoke_workspace_token(org, place.id, gone, NOBODY, record)
    })
    .await;
    let (mut twin, bytes) = (token(&place), digest());
    twin.prefix = made.prefix;
    let error = refused(&db, org, |record| {
        db.insert_workspace_token(twin, bytes, NOBODY, record)
    })
    .await;
    assert_error!(error, StoreError::PrefixTaken);
}

pub(crate) async fn revoked_token_is_given_with_its_digest_and_gone(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let place = insert_workspace(&db, org).await;
    let (its_digest, kept) = (digest(), insert_token(&db, &place, digest()).await);
    let made = insert_token(&db, &place, its_digest).await;
    let actor = mint(&db, key(org, "actor")).await;
    let on_behalf = acting(&actor);
    let revoked = done(&db, org, |record| {
        db.revoke_workspace_token(org, place.id, made.id, on_behalf, record)
    })
    .await;
    assert_eq!(
        (revoked.id, revoked.prefix, revoked.digest),
        (made.id, made.prefix, its_digest)
    );
    assert_same!(list(&db, &kept).await, [&kept]);
    let loaded = db.load_workspace_tokens().await.expect("the tokens");
    assert_eq!(
        loaded
            .iter()
            .map(|token| token.token.id)
            .collect::<Vec<_>>(),
        [kept.id]
    );
    let error = refused(&db, org, |record| {
        db.revoke_workspace_token(org, place.id, made.id, NOBODY, record)
    })
    .await;
    assert_error!(error, StoreError::NotFound(_));
}

pub(crate) async fn token_of_another_place_is_not_revoked(bed: &Bed) {
    let db = bed.open().await;
    let (org, other) = (default_org(&db).await, other_org(&db).await);
    let (place, neighbour) = (
        insert_workspace(&db, org).await,
        insert_workspace(&db, org).await,
    );
    let made = insert_token(&db, &place, digest()).await;
    let before = snapshot(&db, org).await;
    for (org, place, token) in [
        (other, place.id, made.id),
        (org, neighbour.id, made.id),
        (org, id(), made.id),
        (org, place.id, id()),
    ] {
        let error = refused(&db, org, |record| {
            db.revoke_workspace_token(org, place, token, NOBODY, record)
        })
        .await;
        assert_error!(error, StoreError::NotFound(_));
    }
    assert_eq!(snapshot(&db, org).await, before);
}

pub(crate) async fn last_use_of_a_token_never_moves_back(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let place = insert_workspace(&db, org).await;
    let (mut used, other) = (
        insert_token(&db, &place, digest()).await,
        insert_token(&db, &place, digest()).await,
    );
    let records = size(&db, org).await;
    for (touches, expected) in [
        (vec![(used.id, later(5))], later(5)),
        (vec![(used.id, later(4)), (id(), later(9))], later(5)),
        (vec![], later(5)),
        (vec![(used.id, later(9)), (used.id, later(7))], later(9)),
        (vec![(used.id, later(10)), (used.id, later(12))], later(12)),
    ] {
        db.touch_workspace_tokens(touches)
            .await
            .expect("they are kept");
        used.last_used_at = Some(expected);
        assert_same!(list(&db, &used).await, [&other, &used]);
    }
    assert_eq!(size(&db, org).await, records, "use is no change");
}
