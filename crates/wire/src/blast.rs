//! The blast radius of a leaked key.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    keys::Grant,
    ledger::Event,
    lines::Relative,
    usage::{AddressUse, EndpointUse},
};

/// `GET /org/tokens/{id}/blast-radius`: what a key could have reached, and what it did. What it minted
/// is counted with it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BlastRadius {
    /// From when on it is told what the key did: what was asked for, or when it was minted.
    pub since: String,
    /// Until when.
    pub until: String,
    /// The key.
    pub key: Relative,
    /// Whether it is accepted now.
    pub accepted: bool,
    /// Why not: its status, `minter_inactive` or `policy_blocked`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_because: Option<String>,
    /// Its own grant now.
    pub grant: Grant,
    /// The grant with which it was minted, if its record was found: the widest that it ever had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub minted_grant: Option<serde_json::Value>,
    /// What it reaches by its own grant, those above it and the policy, as they are now.
    pub reach: Reach,
    /// The keys above it, nearest first.
    pub ancestors: Vec<Relative>,
    /// The keys below it, oldest first, also revoked ones; at most 500.
    pub descendants: Vec<Relative>,
    /// Whether there are more: the sums below are without those.
    pub descendants_truncated: bool,
    /// Requests that were let in.
    pub calls: u64,
    /// Requests that were refused: 401, 403 and 429.
    pub refusals: u64,
    /// By method, route and workspace, most calls first; at most 100.
    pub endpoints: Vec<EndpointUse>,
    /// From where, last seen first; at most 256.
    pub addresses: Vec<AddressUse>,
    /// With which user agents, last seen first; at most 100.
    pub user_agents: Vec<UserAgentUse>,
    /// From when on the user agents are told; left out where they are all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agents_since: Option<String>,
    /// The workspaces whose secrets it was shown, last seen first; at most 100.
    pub reveals: Vec<Reveal>,
    /// From when on those are told; left out where they are all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reveals_since: Option<String>,
    /// From when on the trail has records, where the policy had some dropped that were of the span: user agents,
    /// revealed secrets, refused requests and changes of before are not told. Left out otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records_since: Option<String>,
    /// Its refused requests, newest first; at most 50.
    pub refused: Vec<Event>,
    /// Whether there are more, or may be.
    pub refused_truncated: bool,
    /// What was done to the key itself, newest first; at most 50.
    pub changes: Vec<Event>,
    /// Whether there are more.
    pub changes_truncated: bool,
}

/// What a key reaches.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Reach {
    /// What it may do there.
    pub permissions: Vec<String>,
    /// Whether it reads the values of secrets.
    pub reveals_secrets: bool,
    /// Whether it mints keys.
    pub mints_keys: bool,
    /// How many workspaces there are within its reach.
    pub workspaces: usize,
    /// How many channels they have.
    pub channels: u64,
    /// How many secrets they have.
    pub secrets: u64,
    /// The newest of the workspaces; at most 50.
    pub newest: Vec<ReachedWorkspace>,
    /// Whether there is more than is named here.
    pub truncated: bool,
}

/// A workspace within reach.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ReachedWorkspace {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The names of its channels.
    pub channels: Vec<String>,
    /// The names of its secrets.
    pub secrets: Vec<String>,
}

/// A user agent.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct UserAgentUse {
    /// As the caller sent it; null for none.
    pub user_agent: Option<String>,
    /// When it was first seen.
    pub first_at: String,
    /// When it was last seen.
    pub last_at: String,
    /// In how many requests.
    pub calls: u64,
}

/// Secrets that were shown.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Reveal {
    /// The workspace.
    pub workspace: String,
    /// The ids of the keys that were shown them.
    pub keys: Vec<String>,
    /// When first.
    pub first_at: String,
    /// When last.
    pub last_at: String,
    /// How often.
    pub calls: u64,
    /// The names of secrets that have not been changed since: change them.
    pub unchanged: Vec<String>,
}
