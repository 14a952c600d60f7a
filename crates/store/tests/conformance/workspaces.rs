//! Workspaces: what they are, and what goes with them.

use claviger_core::{
    grant::Labels,
    id::{OrgId, WorkspaceId},
};
use claviger_store::{StoreError, Workspace, WorkspaceChange};

use crate::{
    bed::{Bed, Db},
    support::{
        NOBODY, default_org, digest, first, id, insert_channel, insert_token, insert_workspace,
        later, other_org, put_secret, walk, workspace,
    },
    witness::{assert_error, done, refused, snapshot},
};

pub(crate) async fn inserted_workspace_is_found_and_listed(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let mut new = workspace(org, "données \u{1F511} 'x'");
    new.updated_at = later(3);
    let made = done(&db, org, |record| {
        db.insert_workspace(new.clone(), NOBODY, record)
    })
    .await;
    assert_eq!(made, new);
    let mut bare = workspace(org, "données \u{1F511} 'x'");
    bare.labels = Labels::new();
    done(&db, org, |record| {
        db.insert_workspace(bare.clone(), NOBODY, record)
    })
    .await;
    let db = bed.reopen(db).await;
    assert_eq!(
        db.find_workspace(org, new.id).await.expect("an answer"),
        Some(new.clone())
    );
    assert_eq!(
        db.list_workspaces(org, first(10)).await.expect("the list"),
        [bare, new]
    );
}

pub(crate) async fn workspaces_are_listed_newest_first_in_pages(bed: &Bed) {
    let db = bed.open().await;
    let (org, other) = (default_org(&db).await, other_org(&db).await);
    let mut made = Vec::new();
    for _ in 0..11 {
        made.push(insert_workspace(&db, org).await);
        insert_workspace(&db, other).await;
    }
    made.reverse();
    let all = walk(
        4,
        |workspace: &Workspace| workspace.id,
        |page| db.list_workspaces(org, page),
    )
    .await;
    assert_eq!(all, made);
}

pub(crate) async fn workspace_of_another_org_is_not_found(bed: &Bed) {
    let db = bed.open().await;
    let (org, other) = (default_org(&db).await, other_org(&db).await);
    let place = insert_workspace(&db, org).await;
    let before = snapshot(&db, org).await;
    assert_eq!(
        db.find_workspace(other, place.id).await.expect("an answer"),
        None
    );
    assert_eq!(db.find_workspace(org, id()).await.expect("an answer"), None);
    assert_eq!(
        db.list_workspaces(other, first(10))
            .await
            .expect("the list"),
        []
    );
    for (org, place) in [(other, place.id), (org, id())] {
        let change = WorkspaceChange {
            name: Some("x".to_owned()),
            labels: None,
            at: later(1),
        };
        let error = refused(&db, org, |record| {
            db.change_workspace(org, place, change, NOBODY, record)
        })
        .await;
        assert_error!(error, StoreError::NotFound(_));
        let error = refused(&db, org, |record| {
            db.delete_workspace(org, place, NOBODY, record)
        })
        .await;
        assert_error!(error, StoreError::NotFound(_));
    }
    let stray = workspace(id(), "stray");
    let error = refused(&db, org, |record| {
        db.insert_workspace(stray, NOBODY, record)
    })
    .await;
    assert_error!(error, StoreError::NotFound(_));
    assert_eq!(snapshot(&db, org).await, before);
}

pub(crate) async fn workspace_change_sets_what_it_names(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let mut expected = insert_workspace(&db, org).await;
    let bystander = insert_workspace(&db, org).await;
    let labels: Labels = [("x/y".to_owned(), "ñ".to_owned())].into();
    for (at, name, labels) in [
        (1, Some("née"), None),
        (2, None, Some(labels)),
        (3, Some("both"), Some(Labels::new())),
        (4, None, None),
    ] {
        let change = WorkspaceChange {
            name: name.map(str::to_owned),
            labels: labels.clone(),
            at: later(at),
        };
        expected.name = name.map_or(expected.name, str::to_owned);
        expected.labels = labels.unwrap_or(expected.labels);
        expected.updated_at = later(at);
        let place = expected.id;
        let made = done(&db, org, |record| {
            db.change_workspace(org, place, change, NOBODY, record)
        })
        .await;
        assert_eq!(made, expected);
        assert_eq!(
            db.find_workspace(org, place)
                .await
                .expect("an answer")
                .as_ref(),
            Some(&expected)
        );
    }
    let found = db
        .find_workspace(org, bystander.id)
        .await
        .expect("an answer");
    assert_eq!(found, Some(bystander));
}

pub(crate) async fn deleted_workspace_takes_its_content_with_it(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let (place, neighbour) = (
        insert_workspace(&db, org).await,
        insert_workspace(&db, org).await,
    );
    let digests = [digest(), digest(), digest()];
    let mut tokens = Vec::new();
    for digest in digests {
        tokens.push(insert_token(&db, &place, digest).await);
    }
    let dead = tokens[0].id;
    done(&db, org, |record| {
        db.revoke_workspace_token(org, place.id, dead, NOBODY, record)
    })
    .await;
    let neighbours_digest = digest();
    insert_token(&db, &neighbour, neighbours_digest).await;
    for place in [&place, &neighbour] {
        insert_channel(&db, place).await;
        insert_channel(&db, place).await;
        for name in ["A", "B", "C"] {
            put_secret(&db, place, name).await;
        }
    }

    let deleted = done(&db, org, |record| {
        db.delete_workspace(org, place.id, NOBODY, record)
    })
    .await;
    assert_eq!((deleted.channels, deleted.secrets), (2, 3));
    let mut given = deleted.tokens;
    given.sort_unstable();
    assert_eq!(given, digests[1..], "the tokens that lived");
    assert_eq!(
        db.find_workspace(org, place.id).await.expect("an answer"),
        None
    );
    expect_gone(&db, org, place.id).await;
    let loaded = db.load_workspace_tokens().await.expect("the tokens");
    let loaded: Vec<_> = loaded.iter().map(|token| token.digest).collect();
    assert_eq!(loaded, [neighbours_digest]);
    let list = db
        .list_secrets(org, neighbour.id, first(10))
        .await
        .expect("the neighbour's");
    assert_eq!(list.len(), 3);
    let list = db
        .list_channels(org, neighbour.id, first(10))
        .await
        .expect("the neighbour's");
    assert_eq!(list.len(), 2);

    let error = refused(&db, org, |record| {
        db.delete_workspace(org, place.id, NOBODY, record)
    })
    .await;
    assert_error!(error, StoreError::NotFound(_));
}

/// Asserts that what a workspace had cannot be asked for.
async fn expect_gone(db: &Db, org: OrgId, place: WorkspaceId) {
    let tokens = db.list_workspace_tokens(org, place, first(10)).await;
    assert_error!(tokens.err(), Some(StoreError::NotFound(_)));
    let channels = db.list_channels(org, place, first(10)).await;
    assert_error!(channels.err(), Some(StoreError::NotFound(_)));
    let secrets = db.list_secrets(org, place, first(10)).await;
    assert_error!(secrets.err(), Some(StoreError::NotFound(_)));
    let revealed = db.reveal_secrets(org, place, NOBODY).await;
    assert_error!(revealed.err(), Some(StoreError::NotFound(_)));
}
