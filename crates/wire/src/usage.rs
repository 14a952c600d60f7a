//! What a key was used for.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `GET /org/tokens/{id}/usage`: sums, from the beginning of an hour on.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct KeyUsage {
    /// From when on: the beginning of the hour that was asked for.
    pub since: String,
    /// Until when.
    pub until: String,
    /// Requests that were let in.
    pub calls: u64,
    /// Requests that were refused: 401, 403 and 429.
    pub refusals: u64,
    /// When the key was last accepted, ever.
    pub last_used_at: Option<String>,
    /// How many different ones there are in all; the lists below have the first of them.
    pub distinct: DistinctUse,
    /// By hour or by day (in UTC), oldest first; those without a request are left out.
    pub by: Vec<UsageBucket>,
    /// By method, route and workspace, most calls first; at most 200.
    pub endpoints: Vec<EndpointUse>,
    /// By workspace, most calls first; at most 200.
    pub workspaces: Vec<WorkspaceUse>,
    /// From where the key was let in, last seen first; at most 256.
    pub addresses: Vec<AddressUse>,
}

/// How many different things were used: of the 10,000 counts by method, route and workspace with the most
/// calls.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DistinctUse {
    /// Methods and routes.
    pub endpoints: u64,
    /// Workspaces.
    pub workspaces: u64,
    /// Addresses, of which 256 are kept.
    pub addresses: u64,
}

/// An hour or a day.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct UsageBucket {
    /// When it begins.
    pub from: String,
    /// Requests that were let in.
    pub calls: u64,
    /// Requests that were refused.
    pub refusals: u64,
    /// In how many workspaces.
    pub workspaces: u64,
    /// On how many routes, each method for itself.
    pub endpoints: u64,
}

/// Requests on one route, in one workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EndpointUse {
    /// The method.
    pub method: String,
    /// The pattern of the route; empty for a path that no route serves. `{self}` stands where the
    /// path named the key that called.
    pub route: String,
    /// The workspace that the path named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    /// Requests that were let in.
    pub calls: u64,
    /// Requests that were refused.
    pub refusals: u64,
}

/// Requests in one workspace.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WorkspaceUse {
    /// The workspace.
    pub workspace: String,
    /// Requests that were let in.
    pub calls: u64,
    /// Requests that were refused.
    pub refusals: u64,
}

/// An address from which a key was let in.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AddressUse {
    /// The address.
    pub address: String,
    /// When it was first seen.
    pub first_at: String,
    /// When it was last seen.
    pub last_at: String,
    /// Requests that were let in since it was first seen.
    pub calls: u64,
}
