//! What would be enough for a key, and which keys should be looked at.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    keys::{Grant, KeyChange},
    usage::EndpointUse,
};

/// `GET /org/tokens/{id}/advice`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct KeyAdvice {
    /// What the advice rests on.
    pub window: AdviceWindow,
    /// Requests in the window that were let in, of the key and of the living keys below it.
    pub calls: u64,
    /// What these requests used.
    pub used: UsedParts,
    /// The narrowest grant that would have served them; null where there is nothing to suggest, and
    /// `notes` says why.
    pub suggestion: Option<Grant>,
    /// Permissions that the key holds and did not use.
    pub unused_permissions: Vec<String>,
    /// What the suggestion would have refused in the recorded time before the window.
    pub would_have_refused: WouldHaveRefused,
    /// What whoever steals the narrowed key can no longer do, one sentence each.
    pub risk_removed: Vec<String>,
    /// What speaks against the key as it is: `never used`, `idle for 90 days`, `has no expiry`,
    /// `over-broad`.
    pub warnings: Vec<String>,
    /// What else there is to know before it is applied.
    pub notes: Vec<String>,
    /// The request that applies the suggestion, as it stands; null where there is none.
    pub apply: Option<Apply>,
}

/// The stretch of time that advice rests on.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AdviceWindow {
    /// From when on: the beginning of an hour.
    pub since: String,
    /// Until when.
    pub until: String,
    /// Since when there is anything to judge by: later than `since` for a key that is younger than
    /// the window, and where counting began later.
    pub judged_since: String,
}

/// What a key used.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct UsedParts {
    /// Permissions, as patterns.
    pub permissions: Vec<String>,
    /// Workspaces that were named; at most 1,000.
    pub workspaces: Vec<String>,
    /// Routes, as patterns of a grant; at most 200.
    pub endpoints: Vec<String>,
    /// Addresses, last seen first; at most 256.
    pub addresses: Vec<String>,
}

/// What a suggestion would have refused.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WouldHaveRefused {
    /// How many requests.
    pub calls: u64,
    /// Some of them, most calls first; at most 5.
    pub examples: Vec<EndpointUse>,
}

/// A request that can be sent as it stands.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Apply {
    /// The method: `PATCH`.
    pub method: String,
    /// The path.
    pub path: String,
    /// The body.
    pub body: KeyChange,
}

/// `GET /org/advice`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct OrgAdvice {
    /// Keys that should be looked at, newest first.
    pub findings: Vec<KeyFinding>,
    /// Pass it as `cursor` for the next part; null at the end. A part may be empty and not the last.
    pub next_cursor: Option<String>,
}

/// A key that should be looked at.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct KeyFinding {
    /// The key's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The public name of its secret.
    pub prefix: String,
    /// Who minted it.
    pub created_by: String,
    /// When it was minted.
    pub created_at: String,
    /// When it was last accepted.
    pub last_used_at: Option<String>,
    /// Why, the gravest first.
    pub reasons: Vec<Reason>,
}

/// Why a key should be looked at.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Reason {
    /// `maker_left`, `never_used`, `idle`, `over_broad` or `no_expiry`.
    pub code: String,
    /// In a sentence.
    pub text: String,
    /// What to do about it.
    pub remedy: String,
}
