//! What goes into the store and what comes out of it.

mod keys;
mod people;

use std::collections::BTreeMap;

use claviger_core::{
    channel::ChannelKind,
    grant::Labels,
    id::{ChannelId, KeyId, OrgId, WorkspaceId},
    key::WorkspaceTokenRow,
    tier::Actor,
    time::Timestamp,
    token::Prefix,
};

pub use keys::{
    DueFilter, Heir, Idempotency, KEYS_SELECTED_MAX, KeyChange, KeyFilter, Line, LoadedKey,
    MintLimits, NewKey, NewSecretOfKey, Notice, NoticeKind, Revoked, RevokedKey, Rotated,
    RotationEnd, SecretUse, Selection, Turn, Verdict,
};
pub(crate) use keys::{KEYS_SELECTED_LIMIT, to_turn, within_count, within_selection};
pub use people::{
    Begun, LINKS_BELOW_KEY_MAX, LINKS_PER_MAKER_MAX, LinkMaker, LoadedSession, NewSession,
    PersonRow, PersonTurn, RefreshTurn, Removal, Removed, SESSIONS_PER_PERSON_MAX, SignIn,
    WhichSessions,
};

/// The largest number of secrets of one workspace: a reveal answers all of them at once.
pub const SECRETS_PER_WORKSPACE_MAX: u64 = 1000;

/// What holds for the deployment as a whole.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// The org that is there from the start, named `default`.
    pub default_org: OrgId,
    /// Whether no org key was ever minted. A missing mark counts as closed.
    pub is_bootstrap_open: bool,
    /// The check value of the master key, once there is one.
    pub master_key_check: Option<[u8; 32]>,
}

/// On whose behalf a change is made: checked again inside the transaction.
#[derive(Debug, Clone, Copy)]
pub struct Acting {
    /// The key that must be neither revoked, suspended nor expired.
    pub key: Option<KeyId>,
    /// The public name of the secret that was presented for it.
    pub prefix: Option<Prefix>,
    /// The person's session that must not have ended.
    pub session: Option<claviger_core::id::SessionId>,
    /// The instant of the check.
    pub now: Timestamp,
}

/// A part of a list.
#[derive(Debug, Clone)]
pub struct Page<C> {
    /// Continue after this one.
    pub after: Option<C>,
    /// At most so many.
    pub limit: u32,
}

/// An org.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Org {
    /// Its id.
    pub id: OrgId,
    /// Its name, unique among living orgs.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What went with an org.
#[derive(Debug, Clone)]
pub struct OrgDeletion {
    /// The org.
    pub org: Org,
    /// The digests of the keys that were revoked with it.
    pub keys: Vec<[u8; 32]>,
    /// The digests of the workspace tokens that were revoked with it.
    pub workspace_tokens: Vec<[u8; 32]>,
}

/// A workspace token as it is loaded into the index.
#[derive(Clone)]
pub struct LoadedWorkspaceToken {
    /// The token.
    pub token: WorkspaceTokenRow,
    /// The SHA-256 of its secret.
    pub digest: [u8; 32],
}

impl std::fmt::Debug for LoadedWorkspaceToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoadedWorkspaceToken")
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}

/// A workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace {
    /// Its id.
    pub id: WorkspaceId,
    /// The org that it belongs to.
    pub org: OrgId,
    /// What people call it.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
    /// Who made it.
    pub created_by: Actor,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// A change of a workspace; `None` leaves a field as it is.
#[derive(Debug, Clone)]
pub struct WorkspaceChange {
    /// The new name.
    pub name: Option<String>,
    /// The new labels, all of them.
    pub labels: Option<Labels>,
    /// When.
    pub at: Timestamp,
}

/// What went with a workspace.
#[derive(Debug, Clone)]
pub struct WorkspaceDeletion {
    /// The digests of its tokens.
    pub tokens: Vec<[u8; 32]>,
    /// How many channels it had.
    pub channels: u64,
    /// How many secrets it had.
    pub secrets: u64,
}

/// A sealed value: key id, nonce, ciphertext and tag in one blob of the sealer's own format.
pub type Sealed = Vec<u8>;

/// A channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// Its id.
    pub id: ChannelId,
    /// The workspace that it belongs to.
    pub workspace: WorkspaceId,
    /// What people call it.
    pub name: String,
    /// Its kind.
    pub kind: ChannelKind,
    /// The part of its configuration that may be shown.
    pub plain: BTreeMap<String, String>,
    /// The names of the credentials that are sealed.
    pub credential_names: Vec<String>,
    /// The sealed credentials.
    pub sealed: Sealed,
    /// Whether it may be used.
    pub is_enabled: bool,
    /// Who made it.
    pub created_by: Actor,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// A change of a channel; `None` leaves a field as it is.
#[derive(Debug, Clone)]
pub struct ChannelChange {
    /// The new name.
    pub name: Option<String>,
    /// The new configuration, whole: plain half, names of the credentials, sealed credentials.
    pub config: Option<(BTreeMap<String, String>, Vec<String>, Sealed)>,
    /// Whether it may be used.
    pub is_enabled: Option<bool>,
    /// When.
    pub at: Timestamp,
}

/// A secret to be set.
pub struct NewSecret {
    /// Its name.
    pub name: String,
    /// Who sets it; kept for the first version.
    pub created_by: Actor,
    /// Seals the value for the version that it gets.
    pub seal: crate::Sealer,
}

impl std::fmt::Debug for NewSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewSecret")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// A secret without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretName {
    /// Its name.
    pub name: String,
    /// How often it was set.
    pub version: u64,
    /// Who set it first.
    pub created_by: Actor,
    /// When it was first set.
    pub created_at: Timestamp,
    /// When it was last set.
    pub updated_at: Timestamp,
}

/// A secret with its sealed value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretRow {
    /// Its name.
    pub name: String,
    /// The version that the value was sealed for.
    pub version: u64,
    /// The value.
    pub sealed: Sealed,
}

/// A sealed row, with what its seal is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SealedRow {
    /// A workspace secret.
    Secret {
        /// The org.
        org: OrgId,
        /// The workspace.
        workspace: WorkspaceId,
        /// Its name.
        name: String,
        /// Its version.
        version: u64,
        /// The value as it is sealed now.
        sealed: Sealed,
    },
    /// The credentials of a channel.
    Channel {
        /// The org.
        org: OrgId,
        /// The workspace.
        workspace: WorkspaceId,
        /// The channel.
        id: ChannelId,
        /// The credentials as they are sealed now.
        sealed: Sealed,
    },
}

/// One record as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Its number in the org's trail, from 1, without gaps.
    pub seq: u64,
    /// The exact bytes.
    pub bytes: Vec<u8>,
}

/// A part of a trail.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditPart {
    /// The records that were found.
    pub rows: Vec<AuditRow>,
    /// Where the next part goes on, or `None` at the end of the trail. A part can be short, even
    /// empty, and still have a next one: a call looks at [`SCAN_BYTES_MAX`](crate::SCAN_BYTES_MAX)
    /// bytes of the trail and no more.
    pub next: Option<u64>,
}

/// The most keys, and the most workspaces, that are found by a text in their names.
pub const NAMED_MAX: u32 = 10_000;

/// Those whose names have a text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Named {
    /// Keys, revoked ones as well.
    pub keys: Vec<KeyId>,
    /// Workspaces.
    pub workspaces: Vec<WorkspaceId>,
}

/// What ends an overlap, as it is stored: a word and a span.
pub(crate) fn overlap_words(
    overlap: claviger_core::key::Overlap,
) -> (&'static str, std::time::Duration) {
    use claviger_core::key::Overlap;
    match overlap {
        Overlap::Fixed => ("fixed", std::time::Duration::ZERO),
        Overlap::OnFirstUse(span) => ("on_first_use", span),
        Overlap::WhenQuiet(span) => ("when_quiet", span),
    }
}

/// What [`overlap_words`] wrote; the column is checked to hold no other word.
pub(crate) fn overlap_of(word: &str, span: std::time::Duration) -> claviger_core::key::Overlap {
    use claviger_core::key::Overlap;
    match word {
        "on_first_use" => Overlap::OnFirstUse(span),
        "when_quiet" => Overlap::WhenQuiet(span),
        _ => Overlap::Fixed,
    }
}
