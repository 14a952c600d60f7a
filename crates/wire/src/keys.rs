//! Org API keys.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::map::TextMap;

/// `POST /org/tokens`. A field that is left out is inherited from whoever mints.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MintRequest {
    /// What people will call the key: 1 to 100 characters.
    #[schema(example = "ci-pipeline")]
    pub name: String,
    /// A ready-made set of permissions: `reader`, `editor` or `admin`. Not together with `permissions`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// Permissions, such as `channels:*` or `secrets:read`; `*` for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions: Option<Vec<String>>,
    /// Which workspaces the key reaches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspaces: Option<Workspaces>,
    /// Which routes the key reaches, such as `GET /workspaces/*/channels`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<Vec<String>>,
    /// How long the key lives: `90s`, `15m`, `24h`, `30d`. Not together with `expires_at`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "90d")]
    pub expires_in: Option<String>,
    /// When the key ends (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// When the key begins (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
    /// Address ranges (CIDR) from which the key is accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_allow: Option<Vec<String>>,
    /// How many requests the key may make.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// How far the key may pass its authority on: generations, living keys, and their longest life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegation: Option<Delegation>,
    /// How often the key is to get another secret, such as `90d`: notices come before it is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotate_every: Option<String>,
    /// Free pairs that stay with the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<TextMap>,
}

/// A workspace binding: `"*"`, ids, or a label selector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Workspaces {
    /// `"*"`: every workspace of the org.
    Word(String),
    /// These workspaces.
    Ids(Vec<String>),
    /// The workspaces that carry these labels now.
    Selector(LabelSelector),
}

/// Selects workspaces by their labels; all of them must match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelSelector {
    /// The labels that a workspace must carry.
    pub labels: TextMap,
}

/// What a key may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Grant {
    /// Patterns of permissions.
    pub permissions: Vec<String>,
    /// The workspaces that it reaches.
    pub workspaces: Workspaces,
    /// The routes that it reaches; left out for all that the permissions reach.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<String>,
    /// When it begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
    /// From which addresses; left out for any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ip_allow: Vec<String>,
    /// How many requests; left out for no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// How far it may be passed on; left out for no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegation: Option<Delegation>,
}

/// How far a key may pass its authority on: to keys that it mints, and those that they mint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Delegation {
    /// How many generations there may be below the key; 0 forbids it to mint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<u32>,
    /// How many living keys there may be below it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<u32>,
    /// How long each of them may live at most: `90s`, `15m`, `24h`, `30d`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "24h")]
    pub lifetime: Option<String>,
}

/// How many requests a key may make, with all that it minted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// In a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_minute: Option<u32>,
    /// In a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_day: Option<u32>,
}

/// The one answer that shows a secret.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct MintedKey {
    /// The key's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The public name of its secret.
    pub prefix: String,
    /// The secret. It is shown here and nowhere else.
    pub auth_token: String,
    /// `copy this token now; it will not be shown again`
    pub warning: String,
    /// Who minted it.
    pub created_by: String,
    /// When.
    pub created_at: String,
    /// When it ends by itself.
    pub expires_at: Option<String>,
    /// What it may do.
    pub grant: Grant,
}

impl std::fmt::Debug for MintedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MintedKey")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// A key as it is listed; never its secret.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Key {
    /// The key's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The public name of its secret.
    pub prefix: String,
    /// `active`, `not_yet_valid`, `expired`, `suspended` or `revoked`.
    pub status: String,
    /// Who minted it.
    pub created_by: String,
    /// The key that minted it.
    pub parent_id: Option<String>,
    /// When it was minted.
    pub created_at: String,
    /// When any of its secrets was last accepted.
    pub last_used_at: Option<String>,
    /// From which address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_from: Option<String>,
    /// When it ends by itself.
    pub expires_at: Option<String>,
    /// What it may do.
    pub grant: Grant,
    /// Free pairs.
    pub metadata: TextMap,
    /// Why the org's policy blocks it; left out if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked: Option<String>,
    /// How often it is to get another secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotate_every: Option<String>,
    /// When its secret is to be replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation_due_at: Option<String>,
    /// The secret that is its own now, while the one before is still accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<CurrentSecret>,
    /// The secret that was replaced and is still accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<PreviousSecret>,
    /// Since when it is suspended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended_at: Option<String>,
    /// Who suspended it; `policy` for the org's policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended_by: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended_reason: Option<String>,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<String>,
    /// Who revoked it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_by: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_reason: Option<String>,
}

/// `GET /org/tokens`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct KeyList {
    /// The keys, newest first.
    pub tokens: Vec<Key>,
    /// Pass it as `cursor` for the next part; null at the end.
    pub next_cursor: Option<String>,
}

/// `PATCH /org/tokens/{id}`. A field that is left out stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyChange {
    /// The new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The new metadata, all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<TextMap>,
    /// Fewer permissions, as a preset. Not together with `permissions`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// Fewer permissions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions: Option<Vec<String>>,
    /// Fewer workspaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspaces: Option<Workspaces>,
    /// Fewer routes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<Vec<String>>,
    /// A later beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
    /// Fewer addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_allow: Option<Vec<String>>,
    /// Fewer requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// Passed on less far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegation: Option<Delegation>,
    /// How often the key is to get another secret; `0` for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotate_every: Option<String>,
    /// An earlier end, from now on: `90s`, `15m`, `24h`, `30d`. Not together with `expires_at`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<String>,
    /// An earlier end (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

/// A secret of a key that a newer one has replaced.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PreviousSecret {
    /// Its public name.
    pub prefix: String,
    /// When it was replaced.
    pub replaced_at: String,
    /// From when on it is refused, as far as is known now.
    pub overlap_until: String,
    /// What ends the overlap: `fixed` for the instant above alone, `on_first_use` while the first use of
    /// the new secret is waited for, `when_quiet` for when this one is not seen any more.
    pub ends: String,
    /// How long after that use, or how long unseen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// When it was last accepted.
    pub last_used_at: Option<String>,
    /// From which address.
    pub last_used_from: Option<String>,
}

/// The secret that is a key's own, during a rotation.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CurrentSecret {
    /// Its public name.
    pub prefix: String,
    /// Since when the key has it.
    pub since: String,
    /// When it was last accepted; null: nobody uses it yet.
    pub last_used_at: Option<String>,
    /// From which address.
    pub last_used_from: Option<String>,
}

/// `POST /org/tokens/{id}/rotate`; the body may be left out.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotationRequest {
    /// For how long the old secret goes on working: `0`, or `1s` to `30d`; `24h` if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "24h")]
    pub overlap: Option<String>,
    /// Let the overlap begin when the new secret is accepted for the first time. Until then both work, for
    /// 30 days at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_first_use: Option<bool>,
    /// End the overlap when the old secret was not seen for so long, `1s` to `30d`; with `overlap` for
    /// its longest, or else 30 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "6h")]
    pub when_quiet: Option<String>,
}

/// `POST /org/tokens/{id}/rotate/finish` and `/cancel`; the body may be left out.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotationEndRequest {}

/// The one answer that shows the new secret of a key.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct RotatedKey {
    /// The key's id, as before.
    pub id: String,
    /// The public name of the new secret.
    pub prefix: String,
    /// The new secret. It is shown here and nowhere else.
    pub auth_token: String,
    /// `copy this token now; it will not be shown again`
    pub warning: String,
    /// The public name of the old secret.
    pub previous_prefix: String,
    /// From when on the old secret is refused, as far as is known now.
    pub overlap_until: String,
    /// When the old secret was last accepted.
    pub previous_last_used_at: Option<String>,
    /// From which address.
    pub previous_last_used_from: Option<String>,
}

impl std::fmt::Debug for RotatedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RotatedKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// `POST /org/tokens/{id}/suspend` and `/resume`; the body may be left out.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SuspensionRequest {
    /// Why; stands in the audit record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Only say what would stop, and its traffic: the answer is then that of `POST /org/tokens/suspend`.
    /// For suspensions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
}

/// `DELETE /org/tokens/{id}`: no request with the key is accepted any more.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Revocation {
    /// The id of the revoked key.
    pub revoked: String,
    /// When the revocation was committed.
    pub revoked_at: String,
    /// From when on every request is refused.
    pub effective_at: String,
    /// The public names of all secrets that died: the key's own first, then its descendants'.
    pub prefixes: Vec<String>,
    /// The ids of the descendants that died with it.
    pub descendants: Vec<String>,
    /// With `cascade=false`: the ids of the descendants that live on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<String>,
}
