//! `/org/policy`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What an org asks of its keys. What is left out asks for nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// The permissions that keys may use, such as `channels:*`. A key that holds more is cut to them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions: Option<Vec<String>>,
    /// Presets that keys may use, beside `permissions`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presets: Option<Vec<String>>,
    /// Address ranges (CIDR) from which keys may be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_allow: Option<Vec<String>>,
    /// The longest life of a key, from its mint to its end. A key that lives longer is blocked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "90d")]
    pub lifetime_max: Option<String>,
    /// Whether every key must have an end. A key without one is blocked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require_expiry: Option<bool>,
    /// Names of metadata that every key must have. A key without them is blocked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required_metadata: Option<Vec<String>>,
    /// Who may mint: of `people`, `keys`, `admin_token`. Left out: everybody whose grant allows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minters: Option<Vec<String>>,
    /// How many keys of the org may live at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys_max: Option<u32>,
    /// How many keys may stand above a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth_max: Option<u32>,
    /// A key that was not used for so long is suspended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "90d")]
    pub suspend_idle_after: Option<String>,
    /// Whether a key whose rotation is overdue is suspended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend_overdue: Option<bool>,
    /// The types of signals that suspend the key which they are about, at once: of `new_network`,
    /// `new_endpoint`, `refusal_burst`, `revoked_secret_used`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend_on: Option<Vec<String>>,
    /// For how long the bodies of audit records are kept, at least `1d`; left out: for ever. Their hashes stay, and
    /// a record of the trail says what was dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "365d")]
    pub keep_audit_for: Option<String>,
}

/// `PUT /org/policy`: what the policy does to the keys that live.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PolicyEffect {
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// The policy.
    pub policy: Policy,
    /// How many keys live: compare `keys_max`.
    pub living_count: usize,
    /// How many keys it blocks. Of each kind the first 1000 are told.
    pub blocked_count: usize,
    /// Those keys.
    pub blocked: Vec<BlockedKey>,
    /// How many more stop because a key above them is blocked.
    pub below_count: usize,
    /// Those keys.
    pub below: Vec<BlockedKey>,
    /// How many keys hold permissions that it takes from them.
    pub cut_count: usize,
    /// Those keys.
    pub cut: Vec<BlockedKey>,
    /// How many keys were last used from an address that it does not allow.
    pub outside_count: usize,
    /// Those keys.
    pub outside: Vec<BlockedKey>,
    /// How many keys it suspends within ten minutes: idle ones, and overdue ones.
    pub suspended_count: usize,
    /// Those keys.
    pub suspended: Vec<BlockedKey>,
    /// How many records of the audit trail lose their bodies within ten minutes, for good.
    #[serde(default)]
    pub dropped_count: u64,
}

/// A key that a policy blocks or cuts.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BlockedKey {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The public name of its secret.
    pub prefix: String,
    /// Why.
    pub reason: String,
}
