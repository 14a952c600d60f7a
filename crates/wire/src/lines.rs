//! Lines of keys: lineage, and suspensions of many keys at once.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::map::TextMap;

/// `GET /org/tokens/{id}/lineage`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Lineage {
    /// Where the chain of minters began: a person, `admin-token` or `bootstrap`.
    pub root: String,
    /// The keys above the key, nearest first.
    pub ancestors: Vec<Relative>,
    /// The key.
    pub key: Relative,
    /// The keys below it, oldest first; also revoked ones.
    pub descendants: Vec<Relative>,
    /// Pass it as `cursor` for more descendants; null at the end.
    pub next_cursor: Option<String>,
}

/// A key in a line.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Relative {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The public name of its secret.
    pub prefix: String,
    /// `active`, `not_yet_valid`, `expired`, `suspended` or `revoked`.
    pub status: String,
    /// The key above it.
    pub parent_id: Option<String>,
    /// How many keys stand above it.
    pub depth: u32,
    /// Who minted it.
    pub created_by: String,
    /// When.
    pub created_at: String,
    /// When it was last accepted.
    pub last_used_at: Option<String>,
}

/// `POST /org/tokens/suspend` and `/resume`: the living keys for which all of this holds. At least one
/// condition must be given.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SelectionRequest {
    /// The key with this id, and all below it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub under: Option<String>,
    /// Minted by this actor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "org-token:mole_a1b2c3d4")]
    pub created_by: Option<String>,
    /// With all of these pairs in its metadata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<TextMap>,
    /// Minted at this instant or later (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minted_since: Option<String>,
    /// Suspended at this instant or later (RFC 3339): to resume what was stopped at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended_since: Option<String>,
    /// Suspended by this actor; `policy` for the org's policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended_by: Option<String>,
    /// Why; stays with the keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Only say what would stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
}

/// What was suspended or resumed, or would be.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Selected {
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// How many keys are changed themselves.
    pub count: usize,
    /// The first 1000 of them.
    pub keys: Vec<Stopped>,
    /// How many more stop because a key above them does; told by a dry run.
    pub below_count: usize,
    /// The first 1000 of those.
    pub below: Vec<Stopped>,
    /// Keys that fit and are left as they are: the caller's own, and those above it; told by a dry run.
    pub spared: Vec<String>,
}

/// A key that stops.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Stopped {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The public name of its secret.
    pub prefix: String,
    /// Who minted it.
    pub created_by: String,
    /// When it was last accepted.
    pub last_used_at: Option<String>,
    /// How many requests it made in this hour of the clock and in the one before; told by a dry run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls_last_hour: Option<u64>,
}
