//! What every backend does with lines of keys: a key, what is above it, and what is below.

use async_trait::async_trait;
use claviger_core::{
    id::{KeyId, OrgId},
    key::{OrgKey, Revocation},
    ledger::entry::Entry,
};

use crate::{
    Acting, Line, Page, Recorder, Result, Revocations, Revoked, Selection, Turn, Verdict, Written,
};

/// Says of each key that a selection found what is to be done with it.
pub type Judge = Box<dyn Fn(&OrgKey) -> Verdict + Send + Sync>;

/// Lines of keys.
#[async_trait]
pub trait LineStore: Send + Sync + 'static {
    /// A key with all above it, and a part of what is below it, oldest first. The cursor is the id
    /// of the last one.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    async fn find_line(&self, org: OrgId, id: KeyId, page: Page<KeyId>) -> Result<Option<Line>>;

    /// Revokes a key and every living descendant, in one transaction, synced to the disk. Each has
    /// a record of its own, if the recorder makes one.
    ///
    /// # Errors
    /// [`StoreError::NotFound`](crate::StoreError::NotFound); [`StoreError::ActorGone`](crate::StoreError::ActorGone).
    #[expect(
        clippy::too_many_arguments,
        reason = "every change takes an address, what changes, an actor and a recorder"
    )]
    async fn revoke_key(
        &self,
        org: OrgId,
        id: KeyId,
        end: Revocation,
        acting: Acting,
        record: Recorder<Revoked, Vec<Entry>>,
    ) -> Result<Revocations>;

    /// Revokes a key and nothing that it minted: its children get the key above it for a parent, or
    /// the org. Nothing of them gets wider by it.
    ///
    /// # Errors
    /// As [`LineStore::revoke_key`]; [`StoreError::NoHeir`](crate::StoreError::NoHeir) when a child holds more than the key passes on, or
    /// than the one above it.
    #[expect(
        clippy::too_many_arguments,
        reason = "every change takes an address, what changes, an actor and a recorder"
    )]
    async fn revoke_key_alone(
        &self,
        org: OrgId,
        id: KeyId,
        end: Revocation,
        acting: Acting,
        record: Recorder<Revoked, Vec<Entry>>,
    ) -> Result<Revocations>;

    /// The living keys that a selection finds, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    async fn select_keys(&self, org: OrgId, selection: Selection) -> Result<Vec<OrgKey>>;

    /// Suspends or resumes the living keys that a selection finds and the judge takes, in one
    /// transaction; gives those that it changed.
    ///
    /// # Errors
    /// [`StoreError::Refused`](crate::StoreError::Refused) with the key that the judge refuses; [`StoreError::ActorGone`](crate::StoreError::ActorGone).
    #[expect(
        clippy::too_many_arguments,
        reason = "every change takes an address, what changes, an actor and a recorder"
    )]
    async fn turn_keys(
        &self,
        org: OrgId,
        (selection, judge): (Selection, Judge),
        turn: Turn,
        acting: Acting,
        record: Recorder<Vec<OrgKey>, Vec<Entry>>,
    ) -> Result<Written<Vec<OrgKey>>>;
}
