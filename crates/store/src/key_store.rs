//! What every backend does with org API keys.

use async_trait::async_trait;
use claviger_core::{
    id::{KeyId, OrgId},
    key::{OldSecret, OrgKey},
    time::Timestamp,
    token::Prefix,
};

use crate::{
    Acting, KeyChange, KeyFilter, KeySink, NewKey, NewSecretOfKey, Page, Recorder, Result, Rotated,
    RotationEnd, SecretUse, Written,
};

/// Org API keys.
#[async_trait]
pub trait KeyStore: Send + Sync + 'static {
    /// Inserts a key. Any mint closes the bootstrap for good in the same transaction; one that
    /// comes through the bootstrap needs it to be open still, so of racing first mints one wins.
    ///
    /// # Errors
    /// [`StoreError::BootstrapClosed`](crate::StoreError::BootstrapClosed); [`StoreError::PrefixTaken`](crate::StoreError::PrefixTaken) (mint again with another
    /// secret); [`StoreError::Replayed`](crate::StoreError::Replayed) when the idempotency key was used within a day;
    /// [`StoreError::ActorGone`](crate::StoreError::ActorGone) when the minter is no longer accepted;
    /// [`StoreError::Stale`](crate::StoreError::Stale) when it stands elsewhere by now; [`StoreError::LimitReached`](crate::StoreError::LimitReached).
    async fn mint_key(
        &self,
        key: NewKey,
        acting: Acting,
        record: Recorder<OrgKey>,
    ) -> Result<Written<OrgKey>>;

    /// A key of the org, whatever its status.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    async fn find_key(&self, org: OrgId, id: KeyId) -> Result<Option<OrgKey>>;

    /// Keys of the org, newest first (by id, descending). The cursor is the id of the last one.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    async fn list_keys(
        &self,
        org: OrgId,
        filter: KeyFilter,
        page: Page<KeyId>,
    ) -> Result<Vec<OrgKey>>;

    /// Changes a key that is not revoked.
    ///
    /// # Errors
    /// [`StoreError::NotFound`](crate::StoreError::NotFound); [`StoreError::Gone`](crate::StoreError::Gone) when it is revoked; [`StoreError::Stale`](crate::StoreError::Stale) when
    /// its grant is not the one that the change was made for; [`StoreError::ActorGone`](crate::StoreError::ActorGone).
    #[expect(
        clippy::too_many_arguments,
        reason = "every change takes an address, what changes, an actor and a recorder"
    )]
    async fn change_key(
        &self,
        org: OrgId,
        id: KeyId,
        change: KeyChange,
        acting: Acting,
        record: Recorder<OrgKey>,
    ) -> Result<Written<OrgKey>>;

    /// Gives a key another secret; the one that it had is accepted until the end of the overlap.
    ///
    /// # Errors
    /// [`StoreError::NotFound`](crate::StoreError::NotFound); [`StoreError::Gone`](crate::StoreError::Gone); [`StoreError::Exists`](crate::StoreError::Exists) while the overlap of an
    /// earlier rotation lasts; [`StoreError::PrefixTaken`](crate::StoreError::PrefixTaken); [`StoreError::ActorGone`](crate::StoreError::ActorGone).
    #[expect(
        clippy::too_many_arguments,
        reason = "every change takes an address, what changes, an actor and a recorder"
    )]
    async fn rotate_key(
        &self,
        org: OrgId,
        id: KeyId,
        secret: NewSecretOfKey,
        acting: Acting,
        record: Recorder<Rotated>,
    ) -> Result<Written<Rotated>>;

    /// Ends an overlap before its time.
    ///
    /// # Errors
    /// [`StoreError::NotFound`](crate::StoreError::NotFound), also when no overlap lasts; [`StoreError::Gone`](crate::StoreError::Gone);
    /// [`StoreError::ActorGone`](crate::StoreError::ActorGone).
    #[expect(
        clippy::too_many_arguments,
        reason = "every change takes an address, what changes, an actor and a recorder"
    )]
    async fn end_rotation(
        &self,
        org: OrgId,
        id: KeyId,
        end: RotationEnd,
        acting: Acting,
        record: Recorder<Rotated>,
    ) -> Result<Written<Rotated>>;

    /// Replaced secrets that are accepted after this instant, with their digests.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable), [`StoreError::Corrupt`](crate::StoreError::Corrupt).
    async fn load_old_secrets(&self, after: Timestamp) -> Result<Vec<(OldSecret, [u8; 32])>>;

    /// Makes the old secret of a rotation end at this instant, if it would end later: its clock has
    /// started, or it was quiet for long enough. From then on the overlap is a fixed one. A secret
    /// that was replaced at another instant, by another rotation, is left alone.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    async fn start_overlap(&self, old: (Prefix, Timestamp), ends_at: Timestamp) -> Result<()>;

    /// Keeps when keys and their secrets were last used, and from where; never moves a time back.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    async fn touch_keys(&self, used: Vec<SecretUse>) -> Result<()>;

    /// Every key that is not revoked, and those revoked after `dead_since`, to the sink, in no
    /// order and as fast as the database allows. Gives their number.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable), [`StoreError::Corrupt`](crate::StoreError::Corrupt).
    async fn load_keys(&self, dead_since: Timestamp, sink: KeySink) -> Result<u64>;
}
