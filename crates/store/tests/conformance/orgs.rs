//! Orgs: their names, their end, and that one cannot see another.

use claviger_core::id::{Org as OrgKind, OrgId, WorkspaceId};
use claviger_store::{AuditFilter, Org, StoreError};

use crate::{
    bed::{Bed, Db},
    support::{
        NOBODY, NOW, acting, batch, beget, child, default_org, digest, end, entry, first, id,
        insert_channel, insert_token, insert_workspace, key, later, mint, org, other_org,
        put_secret, walk,
    },
    target::Target,
    witness::{assert_error, done, every_key, refused, revoke_now, size, snapshot, trail},
};

pub(crate) async fn inserted_org_is_found_by_name_and_by_id(bed: &Bed) {
    let db = bed.open().await;
    let home = default_org(&db).await;
    let new = Org {
        created_at: later(7),
        ..org("Größe 100%")
    };
    let made = done(&db, home, |record| db.insert_org(new.clone(), record)).await;
    assert_eq!(made, new);
    for wanted in ["Größe 100%", &new.id.to_string()] {
        let found = db.find_org(wanted).await.expect("an answer");
        assert_eq!(found.as_ref(), Some(&new), "{wanted}");
    }
    for wanted in ["größe 100%", "Größe", "", &id::<OrgKind>().to_string()] {
        assert_eq!(
            db.find_org(wanted).await.expect("an answer"),
            None,
            "{wanted}"
        );
    }
    assert_eq!(size(&db, new.id).await, 0);
}

pub(crate) async fn org_can_begin_its_own_trail(bed: &Bed) {
    let db = bed.open().await;
    let new = org("own");
    done(&db, new.id, |record| db.insert_org(new.clone(), record)).await;
    assert_eq!(trail(&db, new.id).await.len(), 1);
    assert_eq!(size(&db, default_org(&db).await).await, 0);
}

pub(crate) async fn orgs_are_listed_oldest_first(bed: &Bed) {
    let db = bed.open().await;
    let mut made = vec![default_org(&db).await];
    for _ in 0..7 {
        made.push(other_org(&db).await);
    }
    made.sort();
    let all = walk(3, |org: &Org| org.id, |page| db.list_orgs(page)).await;
    assert_eq!(all.iter().map(|org| org.id).collect::<Vec<_>>(), made);
}

pub(crate) async fn org_name_is_unique_among_the_living(bed: &Bed) {
    let db = bed.open().await;
    let home = default_org(&db).await;
    let one = org("one");
    done(&db, home, |record| db.insert_org(one.clone(), record)).await;
    for name in ["one", "default"] {
        let error = refused(&db, home, |record| db.insert_org(org(name), record)).await;
        assert_error!(error, StoreError::Exists(_));
    }
    assert_eq!(db.list_orgs(first(10)).await.expect("the orgs").len(), 2);

    done(&db, home, |record| {
        db.delete_org(one.id, end(later(1)), record)
    })
    .await;
    let again = org("one");
    done(&db, home, |record| db.insert_org(again.clone(), record)).await;
    assert_eq!(db.find_org("one").await.expect("an answer"), Some(again));
    assert_eq!(
        db.find_org(&one.id.to_string()).await.expect("an answer"),
        None
    );
}

pub(crate) async fn deleted_org_takes_all_but_its_trail_with_it(bed: &Bed) {
    let db = bed.open().await;
    let home = default_org(&db).await;
    let untouched = snapshot_with_content(&db, home).await;
    let gone = other_org(&db).await;
    let (parent_new, dead_new) = (key(gone, "parent"), key(gone, "dead before"));
    let (parent_digest, dead_id) = (parent_new.digest, dead_new.key.id);
    let parent = mint(&db, parent_new).await;
    mint(&db, dead_new).await;
    revoke_now(&db, gone, dead_id, end(later(1))).await;
    let begotten = child(&parent);
    let child_digest = begotten.digest;
    let acting = acting(&parent);
    done(&db, gone, |record| db.mint_key(begotten, acting, record)).await;
    let place = insert_workspace(&db, gone).await;
    let token_digest = digest();
    insert_token(&db, &place, token_digest).await;
    put_secret(&db, &place, "A").await;
    insert_channel(&db, &place).await;

    let records = trail(&db, gone).await;
    let deleted = done(&db, gone, |record| {
        db.delete_org(gone, end(later(2)), record)
    })
    .await;
    assert_eq!(deleted.org.id, gone);
    let mut digests = deleted.keys;
    digests.sort_unstable();
    let mut expected = [parent_digest, child_digest];
    expected.sort_unstable();
    assert_eq!(digests, expected, "the keys that lived, and no other");
    assert_eq!(deleted.workspace_tokens, [token_digest]);

    expect_empty(&db, gone, place.id).await;

    // Its trail is all there, with the record of its end as the last.
    let after = trail(&db, gone).await;
    assert_eq!(after.len(), records.len() + 1);
    assert_eq!(after[..records.len()], records);
    let newest = db
        .query_audit(gone, AuditFilter::default(), first(1))
        .await
        .expect("the trail")
        .rows;
    assert_eq!(newest[0].bytes, after[records.len()]);
    assert_eq!(snapshot(&db, home).await, untouched, "the other org");
}

/// Asserts that an org is not there any more, nor anything that it had.
async fn expect_empty(db: &Db, gone: OrgId, place: WorkspaceId) {
    let found = db.find_org(&gone.to_string()).await;
    assert_eq!(found.expect("an answer"), None);
    let orgs = db.list_orgs(first(10)).await.expect("the orgs");
    assert!(orgs.iter().all(|org| org.id != gone), "{orgs:?}");
    let workspaces = db.list_workspaces(gone, first(10)).await;
    assert_eq!(workspaces.expect("the workspaces"), []);
    let found = db.find_workspace(gone, place).await;
    assert_eq!(found.expect("an answer"), None);
    let tokens = db.load_workspace_tokens().await.expect("the tokens");
    assert!(tokens.is_empty(), "{tokens:?}");
    let keys = db
        .list_keys(gone, every_key(), first(10))
        .await
        .expect("the keys");
    assert!(keys.iter().all(|key| key.revocation.is_some()), "{keys:?}");
}

async fn snapshot_with_content(db: &Db, org: OrgId) -> String {
    let parent = mint(db, key(org, "parent")).await;
    beget(db, &parent).await;
    let place = insert_workspace(db, org).await;
    put_secret(db, &place, "A").await;
    insert_channel(db, &place).await;
    snapshot(db, org).await
}

pub(crate) async fn deleted_org_keeps_taking_records(bed: &Bed) {
    let db = bed.open().await;
    let home = default_org(&db).await;
    let gone = other_org(&db).await;
    done(&db, home, |record| db.delete_org(gone, end(NOW), record)).await;
    let before = size(&db, gone).await;
    // A request that was under way when the org ended is recorded beside those of other orgs.
    let late = [entry(gone), entry(home)];
    db.append(batch(late.clone()))
        .await
        .expect("they are recorded");
    assert_eq!(size(&db, gone).await, before + 1);
    assert_eq!(
        trail(&db, gone).await.last(),
        Some(&late[0].bytes().to_vec())
    );
    assert_eq!(
        trail(&db, home).await.last(),
        Some(&late[1].bytes().to_vec())
    );
}

pub(crate) async fn deleting_an_unknown_org_is_not_found(bed: &Bed) {
    let db = bed.open().await;
    let home = default_org(&db).await;
    let error = refused(&db, home, |record| db.delete_org(id(), end(NOW), record)).await;
    assert_error!(error, StoreError::NotFound(_));
    let gone = other_org(&db).await;
    done(&db, home, |record| db.delete_org(gone, end(NOW), record)).await;
    let error = refused(&db, home, |record| db.delete_org(gone, end(NOW), record)).await;
    assert_error!(error, StoreError::NotFound(_));
}

pub(crate) async fn nothing_can_be_changed_in_a_deleted_org(bed: &Bed) {
    let db = bed.open().await;
    let (home, gone) = (default_org(&db).await, other_org(&db).await);
    let target = Target::make(&db, gone).await;
    done(&db, home, |record| {
        db.delete_org(gone, end(later(1)), record)
    })
    .await;
    let before = snapshot(&db, gone).await;
    for (change, error) in target.every_change(&db, NOBODY).await {
        assert!(
            matches!(error, Some(StoreError::NotFound(_))),
            "{change}: {error:?}"
        );
    }
    assert_eq!(snapshot(&db, gone).await, before);
}
