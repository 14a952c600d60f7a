//! Where state lives: one contract, two databases, no SQL anywhere else.
//!
//! Every change takes a [`Recorder`], and writes the audit record that it makes in the same
//! transaction: there is no effect without a record, and no record without the effect.
//! Each trait below is one resource; `sqlite/` and `postgres/` implement it in files of the same
//! name. What every backend must do is in `tests/conformance/`.

mod anchor_store;
mod audit_index;
mod audit_rows;
mod error;
mod key_store;
mod line_store;
mod open;
mod person_store;
mod policy_store;
mod postgres;
mod reach_store;
mod request_store;
mod retention_store;
mod rows;
mod scan;
mod shelf_store;
mod signal_store;
mod sink_store;
mod sqlite;
mod tiles;
mod tree_store;
mod usage_store;
mod written;

use std::sync::Arc;

use async_trait::async_trait;
pub use claviger_core::ledger::filter::AuditFilter;
use claviger_core::{
    grant::Labels,
    id::{ChannelId, OrgId, WorkspaceId, WorkspaceTokenId},
    key::{Revocation, WorkspaceTokenRow},
    ledger::{batch::Batch, search::Search},
    time::Timestamp,
};

pub use anchor_store::{AnchorStore, Anchored};
pub use audit_index::AuditIndexStore;
pub use audit_rows::{AuditRowStore, IndexRow, LedgerRow, RunRow};
pub use error::StoreError;
pub use key_store::KeyStore;
pub use line_store::{Judge, LineStore};
pub use open::{OpenOptions, open};
pub use person_store::{PersonStore, SessionStore};
pub use policy_store::{Check, PolicyStore};
pub use reach_store::{ContentCount, ContentName, Contents, ReachStore};
pub use request_store::{
    Collected, PENDING_PER_ASKER_MAX, PENDING_PER_ORG_MAX, REQUESTS_PER_ORG_MAX, RequestFilter,
    RequestStore,
};
pub use retention_store::{Dropped, Dropping, RetentionStore};
pub use rows::{
    Acting, AuditPart, AuditRow, Begun, Channel, ChannelChange, Deployment, DueFilter, Heir,
    Idempotency, KEYS_SELECTED_MAX, KeyChange, KeyFilter, LINKS_BELOW_KEY_MAX, LINKS_PER_MAKER_MAX,
    Line, LinkMaker, LoadedKey, LoadedSession, LoadedWorkspaceToken, MintLimits, NAMED_MAX, Named,
    NewKey, NewSecret, NewSecretOfKey, NewSession, Notice, NoticeKind, Org, OrgDeletion, Page,
    PersonRow, PersonTurn, RefreshTurn, Removal, Removed, Revoked, RevokedKey, Rotated,
    RotationEnd, SECRETS_PER_WORKSPACE_MAX, SESSIONS_PER_PERSON_MAX, Sealed, SealedRow, SecretName,
    SecretRow, SecretUse, Selection, SignIn, Turn, Verdict, WhichSessions, Workspace,
    WorkspaceChange, WorkspaceDeletion,
};
pub(crate) use rows::{KEYS_SELECTED_LIMIT, overlap_of, overlap_words, to_turn, within_selection};
pub use scan::SCAN_BYTES_MAX;
pub use shelf_store::{DayUse, ShelfStore};
pub use signal_store::SignalStore;
pub use sink_store::{BehindTrail, SinkStore};
pub use tree_store::{Checkpoint, CheckpointStore, LEAVES_MAX, TreeStore};
pub use usage_store::{
    ADDRESSES_PER_KEY_MAX, AddressUse, Descendant, HOUR, KeyCalls, RouteOfKey, RouteUse, Span,
    Step, StepUse, UsageBatch, UsageCell, UsageStore, hour_of,
};
pub use written::{KeySink, Receipt, Recorder, Resealer, Result, Revocations, Sealer, Written};

/// The whole contract.
pub trait Store:
    DeploymentStore
    + OrgStore
    + KeyStore
    + LineStore
    + PolicyStore
    + RequestStore
    + WorkspaceStore
    + WorkspaceTokenStore
    + ChannelStore
    + SecretStore
    + AuditStore
    + AuditIndexStore
    + AuditRowStore
    + TreeStore
    + CheckpointStore
    + AnchorStore
    + RetentionStore
    + ReachStore
    + UsageStore
    + ShelfStore
    + SignalStore
    + SinkStore
    + PersonStore
    + SessionStore
{
}

/// The deployment itself.
#[async_trait]
pub trait DeploymentStore: Send + Sync + 'static {
    /// What holds for the deployment as a whole.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database cannot be asked.
    async fn deployment(&self) -> Result<Deployment>;

    /// Keeps the check value of the master key, unless one is kept already; gives the one that is kept.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn keep_master_key_check(&self, check: [u8; 32]) -> Result<[u8; 32]>;

    /// Asks whether the database answers and takes writes, in at most a second or two.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] saying what does not work.
    async fn probe(&self) -> Result<()>;

    /// Gives every sealed row (secrets, channel credentials) a new sealed form, and keeps the new
    /// check value, in one transaction. Gives the number of rows.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when `reseal` refuses a row: then nothing is changed.
    async fn rekey(
        &self,
        check: [u8; 32],
        reseal: Resealer,
        record: Recorder<u64>,
    ) -> Result<Written<u64>>;

    /// Lets all that was handed over be finished, and closes the database.
    async fn close(&self);
}

/// Orgs.
#[async_trait]
pub trait OrgStore: Send + Sync + 'static {
    /// Inserts an org.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when a living org has that name.
    async fn insert_org(&self, org: Org, record: Recorder<Org>) -> Result<Written<Org>>;

    /// A living org by its name or its id.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn find_org(&self, name_or_id: &str) -> Result<Option<Org>>;

    /// Living orgs, oldest first. The cursor is the id of the last one.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn list_orgs(&self, page: Page<OrgId>) -> Result<Vec<Org>>;

    /// Deletes an org: its keys and workspace tokens are revoked, its workspaces, channels and
    /// secrets are gone, its audit trail stays.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such living org.
    async fn delete_org(
        &self,
        id: OrgId,
        end: Revocation,
        record: Recorder<OrgDeletion>,
    ) -> Result<Written<OrgDeletion>>;
}

/// Workspaces.
#[async_trait]
pub trait WorkspaceStore: Send + Sync + 'static {
    /// Inserts a workspace.
    ///
    /// # Errors
    /// [`StoreError::ActorGone`]; [`StoreError::NotFound`] when the org is gone.
    async fn insert_workspace(
        &self,
        workspace: Workspace,
        acting: Acting,
        record: Recorder<Workspace>,
    ) -> Result<Written<Workspace>>;

    /// A workspace of the org.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn find_workspace(&self, org: OrgId, id: WorkspaceId) -> Result<Option<Workspace>>;

    /// Workspaces of the org, newest first. The cursor is the id of the last one.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn list_workspaces(&self, org: OrgId, page: Page<WorkspaceId>) -> Result<Vec<Workspace>>;

    /// Changes name and labels.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::ActorGone`].
    #[expect(
        clippy::too_many_arguments,
        reason = "every change takes an address, what changes, an actor and a recorder"
    )]
    async fn change_workspace(
        &self,
        org: OrgId,
        id: WorkspaceId,
        change: WorkspaceChange,
        acting: Acting,
        record: Recorder<Workspace>,
    ) -> Result<Written<Workspace>>;

    /// Deletes a workspace with its channels and secrets, and revokes its tokens.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::ActorGone`].
    async fn delete_workspace(
        &self,
        org: OrgId,
        id: WorkspaceId,
        acting: Acting,
        record: Recorder<WorkspaceDeletion>,
    ) -> Result<Written<WorkspaceDeletion>>;
}

/// The deprecated workspace tokens.
#[async_trait]
pub trait WorkspaceTokenStore: Send + Sync + 'static {
    /// Inserts a token.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the workspace is gone; [`StoreError::PrefixTaken`];
    /// [`StoreError::ActorGone`].
    async fn insert_workspace_token(
        &self,
        token: WorkspaceTokenRow,
        digest: [u8; 32],
        acting: Acting,
        record: Recorder<WorkspaceTokenRow>,
    ) -> Result<Written<WorkspaceTokenRow>>;

    /// Living tokens of a workspace, newest first. The cursor is the id of the last one.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the workspace is gone.
    async fn list_workspace_tokens(
        &self,
        org: OrgId,
        workspace: WorkspaceId,
        page: Page<WorkspaceTokenId>,
    ) -> Result<Vec<WorkspaceTokenRow>>;

    /// Revokes a token; gives it and its digest.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], also when it was revoked before; [`StoreError::ActorGone`].
    #[expect(
        clippy::too_many_arguments,
        reason = "every change takes an address, what changes, an actor and a recorder"
    )]
    async fn revoke_workspace_token(
        &self,
        org: OrgId,
        workspace: WorkspaceId,
        id: WorkspaceTokenId,
        acting: Acting,
        record: Recorder<RevokedKey<WorkspaceTokenId>>,
    ) -> Result<Written<RevokedKey<WorkspaceTokenId>>>;

    /// Every token that is not revoked, with its digest.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    async fn load_workspace_tokens(&self) -> Result<Vec<LoadedWorkspaceToken>>;

    /// Keeps when tokens were last used; never moves a time back.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn touch_workspace_tokens(&self, used: Vec<(WorkspaceTokenId, Timestamp)>) -> Result<()>;
}

/// Channels.
#[async_trait]
pub trait ChannelStore: Send + Sync + 'static {
    /// Inserts a channel.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the workspace is gone; [`StoreError::ActorGone`].
    async fn insert_channel(
        &self,
        org: OrgId,
        channel: Channel,
        acting: Acting,
        record: Recorder<Channel>,
    ) -> Result<Written<Channel>>;

    /// A channel of a workspace of the org.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn find_channel(
        &self,
        org: OrgId,
        workspace: WorkspaceId,
        id: ChannelId,
    ) -> Result<Option<Channel>>;

    /// Channels of a workspace, newest first. The cursor is the id of the last one.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the workspace is gone.
    async fn list_channels(
        &self,
        org: OrgId,
        workspace: WorkspaceId,
        page: Page<ChannelId>,
    ) -> Result<Vec<Channel>>;

    /// Changes a channel.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::ActorGone`].
    #[expect(
        clippy::too_many_arguments,
        reason = "every change takes an address, what changes, an actor and a recorder"
    )]
    async fn change_channel(
        &self,
        org: OrgId,
        workspace: WorkspaceId,
        id: ChannelId,
        change: ChannelChange,
        acting: Acting,
        record: Recorder<Channel>,
    ) -> Result<Written<Channel>>;

    /// Deletes a channel.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::ActorGone`].
    #[expect(
        clippy::too_many_arguments,
        reason = "every change takes an address, what changes, an actor and a recorder"
    )]
    async fn delete_channel(
        &self,
        org: OrgId,
        workspace: WorkspaceId,
        id: ChannelId,
        acting: Acting,
        record: Recorder<()>,
    ) -> Result<Written<()>>;
}

/// Workspace secrets. Values come in and go out sealed.
#[async_trait]
pub trait SecretStore: Send + Sync + 'static {
    /// Sets a secret: makes version 1, or the version after the one that is there.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the workspace is gone; [`StoreError::LimitReached`] at
    /// `SECRETS_PER_WORKSPACE_MAX`; [`StoreError::ActorGone`].
    #[expect(
        clippy::too_many_arguments,
        reason = "every change takes an address, what changes, an actor and a recorder"
    )]
    async fn put_secret(
        &self,
        org: OrgId,
        workspace: WorkspaceId,
        secret: NewSecret,
        acting: Acting,
        record: Recorder<SecretName>,
    ) -> Result<Written<SecretName>>;

    /// Names, by name. The cursor is the last name.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the workspace is gone.
    async fn list_secrets(
        &self,
        org: OrgId,
        workspace: WorkspaceId,
        page: Page<String>,
    ) -> Result<Vec<SecretName>>;

    /// All sealed values of a workspace, by name; the actor is checked in the same transaction.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the workspace is gone; [`StoreError::ActorGone`].
    async fn reveal_secrets(
        &self,
        org: OrgId,
        workspace: WorkspaceId,
        acting: Acting,
    ) -> Result<Vec<SecretRow>>;

    /// Deletes a secret.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::ActorGone`].
    #[expect(
        clippy::too_many_arguments,
        reason = "every change takes an address, what changes, an actor and a recorder"
    )]
    async fn delete_secret(
        &self,
        org: OrgId,
        workspace: WorkspaceId,
        name: &str,
        acting: Acting,
        record: Recorder<()>,
    ) -> Result<Written<()>>;
}

/// The audit trail.
#[async_trait]
pub trait AuditStore: Send + Sync + 'static {
    /// Appends records in the given order, in one commit, each at the next number of its org.
    /// Waits for the disk if the store was opened with `sync_audit`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: then none of them was written.
    async fn append(&self, batch: Arc<Batch>) -> Result<()>;

    /// Records of the org that fit, newest first (by number, descending). The cursor is the number
    /// before which to go on.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn query_audit(
        &self,
        org: OrgId,
        filter: AuditFilter,
        page: Page<u64>,
    ) -> Result<AuditPart>;

    /// Records of the org that fit, oldest first, after a number (0 for the first).
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn export_audit(
        &self,
        org: OrgId,
        filter: AuditFilter,
        page: Page<u64>,
    ) -> Result<AuditPart>;

    /// How many records the org's trail has.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn audit_size(&self, org: OrgId) -> Result<u64>;

    /// The keys and workspaces whose names have a text, in no order; `None` where these are more than
    /// [`NAMED_MAX`] of one kind.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn named_like(&self, org: OrgId, search: Arc<Search>) -> Result<Option<Named>>;
}

/// Labels as they are stored: canonical JSON.
fn labels_to_json(labels: &Labels) -> String {
    serde_json::to_string(labels).unwrap_or_default()
}

/// A span as it is stored.
fn millis(span: std::time::Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}
