//! Channels: configuration, credentials that stay sealed, and their end.

use claviger_core::{channel::ChannelKind, tier::Actor};
use claviger_store::{Channel, ChannelChange, StoreError};

use crate::{
    bed::Bed,
    support::{
        NOBODY, channel, default_org, first, id, insert_channel, insert_workspace, later,
        other_org, walk,
    },
    witness::{assert_error, done, refused, snapshot},
};

pub(crate) async fn inserted_channel_of_every_kind_is_found_and_listed(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let place = insert_workspace(&db, org).await;
    let mut made = Vec::new();
    for (at, kind) in (1..).zip(ChannelKind::ALL) {
        let mut new = channel(place.id);
        new.kind = *kind;
        new.is_enabled = at % 2 == 0;
        new.created_by = Actor::OrgKey("mole_a1b2c3d4".parse().expect("a prefix"));
        new.updated_at = later(at);
        if at == 1 {
            new.plain.clear();
            new.credential_names.clear();
            new.sealed.clear();
        }
        let expected = new.clone();
        let answer = done(&db, org, |record| {
            db.insert_channel(org, new, NOBODY, record)
        })
        .await;
        assert_eq!(answer, expected);
        made.push(expected);
    }
    let db = bed.reopen(db).await;
    for channel in &made {
        let found = db
            .find_channel(org, place.id, channel.id)
            .await
            .expect("an answer");
        assert_eq!(found.as_ref(), Some(channel));
    }
    made.reverse();
    assert_eq!(
        db.list_channels(org, place.id, first(10))
            .await
            .expect("the list"),
        made
    );
}

pub(crate) async fn channels_are_listed_newest_first_in_pages(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let (place, neighbour) = (
        insert_workspace(&db, org).await,
        insert_workspace(&db, org).await,
    );
    let mut made = Vec::new();
    for _ in 0..9 {
        made.push(insert_channel(&db, &place).await);
        insert_channel(&db, &neighbour).await;
    }
    made.reverse();
    let fetch = |page| db.list_channels(org, place.id, page);
    assert_eq!(walk(4, |channel: &Channel| channel.id, fetch).await, made);
}

pub(crate) async fn channel_change_sets_what_it_names(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let place = insert_workspace(&db, org).await;
    let mut expected = insert_channel(&db, &place).await;
    let bystander = insert_channel(&db, &place).await;
    let config = (
        [("chat_id".to_owned(), "-1\u{00e9}".to_owned())].into(),
        vec!["bot_token".to_owned()],
        vec![9, 0, 9],
    );
    let empty = (std::collections::BTreeMap::new(), Vec::new(), Vec::new());
    for (at, name, config, is_enabled) in [
        (1, Some("née"), None, None),
        (2, None, Some(config), None),
        (3, None, None, Some(false)),
        (4, Some("all"), Some(empty), Some(true)),
        (5, None, None, None),
    ] {
        let at = later(at);
        let change = ChannelChange {
            name: name.map(str::to_owned),
            config: config.clone(),
            is_enabled,
            at,
        };
        expected.name = name.map_or(expected.name, str::to_owned);
        if let Some((plain, credential_names, sealed)) = config {
            (expected.plain, expected.credential_names) = (plain, credential_names);
            expected.sealed = sealed;
        }
        expected.is_enabled = is_enabled.unwrap_or(expected.is_enabled);
        expected.updated_at = at;
        let (place, channel) = (place.id, expected.id);
        let made = done(&db, org, |record| {
            db.change_channel(org, place, channel, change, NOBODY, record)
        })
        .await;
        assert_eq!(made, expected);
        let found = db
            .find_channel(org, place, channel)
            .await
            .expect("an answer");
        assert_eq!(found.as_ref(), Some(&expected));
    }
    let found = db
        .find_channel(org, place.id, bystander.id)
        .await
        .expect("an answer");
    assert_eq!(found, Some(bystander));
}

pub(crate) async fn channel_of_another_place_is_not_found(bed: &Bed) {
    let db = bed.open().await;
    let (org, other) = (default_org(&db).await, other_org(&db).await);
    let (place, neighbour) = (
        insert_workspace(&db, org).await,
        insert_workspace(&db, org).await,
    );
    let theirs = insert_workspace(&db, other).await;
    let made = insert_channel(&db, &place).await;
    let before = snapshot(&db, org).await;
    for (org, place, channel) in [
        (other, place.id, made.id),
        (other, theirs.id, made.id),
        (org, neighbour.id, made.id),
        (org, id(), made.id),
        (org, place.id, id()),
    ] {
        assert_eq!(
            db.find_channel(org, place, channel)
                .await
                .expect("an answer"),
            None
        );
        let change = ChannelChange {
            name: None,
            config: None,
            is_enabled: None,
            at: later(1),
        };
        let error = refused(&db, org, |record| {
            db.change_channel(org, place, channel, change, NOBODY, record)
        })
        .await;
        assert_error!(error, StoreError::NotFound(_));
        let error = refused(&db, org, |record| {
            db.delete_channel(org, place, channel, NOBODY, record)
        })
        .await;
        assert_error!(error, StoreError::NotFound(_));
    }
    for (org, place) in [(other, place.id), (org, id())] {
        let new = channel(place);
        let error = refused(&db, org, |record| {
            db.insert_channel(org, new, NOBODY, record)
        })
        .await;
        assert_error!(error, StoreError::NotFound(_));
        let listed = db.list_channels(org, place, first(10)).await.err();
        assert_error!(listed, Some(StoreError::NotFound(_)));
    }
    assert_eq!(snapshot(&db, org).await, before);
}

pub(crate) async fn deleted_channel_is_gone(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let place = insert_workspace(&db, org).await;
    let (made, kept) = (
        insert_channel(&db, &place).await,
        insert_channel(&db, &place).await,
    );
    let (place, gone) = (place.id, made.id);
    done(&db, org, |record| {
        db.delete_channel(org, place, gone, NOBODY, record)
    })
    .await;
    assert_eq!(
        db.find_channel(org, place, gone).await.expect("an answer"),
        None
    );
    assert_eq!(
        db.list_channels(org, place, first(10))
            .await
            .expect("the list"),
        [kept]
    );
    let error = refused(&db, org, |record| {
        db.delete_channel(org, place, gone, NOBODY, record)
    })
    .await;
    assert_error!(error, StoreError::NotFound(_));
}
