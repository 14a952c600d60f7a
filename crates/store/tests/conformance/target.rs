//! `Target`: one thing of every kind in an org, and every kind of change aimed at it.

use claviger_core::{
    id::{ChannelId, OrgId, WorkspaceTokenId},
    key::OrgKey,
    key::Overlap,
};
use claviger_store::{
    Acting, ChannelChange, KeyChange, NewSecretOfKey, RotationEnd, StoreError, Workspace,
    WorkspaceChange,
};

use crate::{
    bed::Db,
    support::{
        NOW, channel, digest, end, insert_channel, insert_token, insert_workspace, key, later,
        mint, prefix, put_secret, token, workspace,
    },
    witness::{many_unseen, unseen},
};

/// What kinds of change were tried, and the error of each that failed.
pub(crate) type Attempts = Vec<(&'static str, Option<StoreError>)>;

/// What the changes are aimed at.
pub(crate) struct Target {
    pub(crate) org: OrgId,
    pub(crate) key: OrgKey,
    place: Workspace,
    token: WorkspaceTokenId,
    channel: ChannelId,
}

impl Target {
    pub(crate) async fn make(db: &Db, org: OrgId) -> Self {
        let place = insert_workspace(db, org).await;
        put_secret(db, &place, "A").await;
        Self {
            org,
            key: mint(db, key(org, "target")).await,
            token: insert_token(db, &place, digest()).await.id,
            channel: insert_channel(db, &place).await.id,
            place,
        }
    }

    /// Every kind of change that takes an actor, and the reveal, on behalf of this one.
    pub(crate) async fn every_change(&self, db: &Db, acting: Acting) -> Attempts {
        let mut attempts = self.key_changes(db, acting).await;
        attempts.extend(self.token_and_channel_changes(db, acting).await);
        attempts.extend(self.secret_changes(db, acting).await);
        attempts.extend(self.workspace_changes(db, acting).await);
        attempts
    }

    async fn key_changes(&self, db: &Db, acting: Acting) -> Attempts {
        let (org, key) = (self.org, self.key.id);
        let new = self::key(org, "new");
        let minted = db.mint_key(new, acting, unseen(org)).await;
        let named = KeyChange {
            name: Some("new".to_owned()),
            ..KeyChange::default()
        };
        let changed = db.change_key(org, key, named, acting, unseen(org)).await;
        let secret = NewSecretOfKey {
            prefix: prefix("mole"),
            digest: digest(),
            at: NOW,
            ends_at: later(1000),
            overlap: Overlap::Fixed,
        };
        let rotated = db.rotate_key(org, key, secret, acting, unseen(org)).await;
        let finish = RotationEnd::Finish;
        let finished = db.end_rotation(org, key, finish, acting, unseen(org)).await;
        let revoked = db
            .revoke_key(org, key, end(NOW), acting, many_unseen(org))
            .await;
        vec![
            ("mint a key", minted.err()),
            ("change a key", changed.err()),
            ("rotate a key", rotated.err()),
            ("end a rotation", finished.err()),
            ("revoke a key", revoked.err()),
        ]
    }

    async fn token_and_channel_changes(&self, db: &Db, acting: Acting) -> Attempts {
        let (org, place) = (self.org, self.place.id);
        let (new, bytes) = (token(&self.place), digest());
        let entered = db
            .insert_workspace_token(new, bytes, acting, unseen(org))
            .await;
        let revoked = db
            .revoke_workspace_token(org, place, self.token, acting, unseen(org))
            .await;
        let inserted = db
            .insert_channel(org, channel(place), acting, unseen(org))
            .await;
        let off = ChannelChange {
            name: None,
            config: None,
            is_enabled: Some(false),
            at: later(1),
        };
        let changed = db
            .change_channel(org, place, self.channel, off, acting, unseen(org))
            .await;
        let deleted = db
            .delete_channel(org, place, self.channel, acting, unseen(org))
            .await;
        vec![
            ("insert a token", entered.err()),
            ("revoke a token", revoked.err()),
            ("insert a channel", inserted.err()),
            ("change a channel", changed.err()),
            ("delete a channel", deleted.err()),
        ]
    }

    async fn secret_changes(&self, db: &Db, acting: Acting) -> Attempts {
        let (org, place) = (self.org, self.place.id);
        let mut attempts = Vec::new();
        for (kind, name) in [("set a secret anew", "A"), ("set a new secret", "B")] {
            let (name, seal) = (name.to_owned(), Box::new(|_| vec![1]));
            let put = db
                .put_secret(
                    org,
                    place,
                    crate::support::new_secret(name, seal),
                    acting,
                    unseen(org),
                )
                .await;
            attempts.push((kind, put.err()));
        }
        attempts.push(("reveal", db.reveal_secrets(org, place, acting).await.err()));
        let deleted = db.delete_secret(org, place, "A", acting, unseen(org)).await;
        attempts.push(("delete a secret", deleted.err()));
        attempts
    }

    async fn workspace_changes(&self, db: &Db, acting: Acting) -> Attempts {
        let (org, place) = (self.org, self.place.id);
        let inserted = db
            .insert_workspace(workspace(org, "new"), acting, unseen(org))
            .await;
        let change = WorkspaceChange {
            name: None,
            labels: Some([].into()),
            at: later(1),
        };
        let changed = db
            .change_workspace(org, place, change, acting, unseen(org))
            .await;
        let deleted = db.delete_workspace(org, place, acting, unseen(org)).await;
        vec![
            ("insert a workspace", inserted.err()),
            ("change a workspace", changed.err()),
            ("delete a workspace", deleted.err()),
        ]
    }
}
