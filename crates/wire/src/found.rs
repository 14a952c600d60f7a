//! `/org/tokens/found`: secrets that were found where they should not be.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `POST /org/tokens/found`. It needs no credential: who holds a whole secret may have it ended.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FoundReport {
    /// Whole secrets of org API keys or workspace tokens, 1 to 100.
    #[schema(min_items = 1, max_items = 100)]
    pub tokens: Vec<String>,
    /// Where they were found: an address or a path, at most 500 characters. It stands in the audit
    /// trail of the key's org.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "https://git.example.com/acme/site/blob/main/.env")]
    pub source: Option<String>,
    /// Whether to say only how they stand, and change nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
}

impl std::fmt::Debug for FoundReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FoundReport")
            .field("tokens", &self.tokens.len())
            .field("source", &self.source)
            .field("dry_run", &self.dry_run)
            .finish()
    }
}

/// What became of the secrets, in the order in which they were given.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct FoundTokens {
    /// One for each secret.
    pub tokens: Vec<FoundToken>,
    /// Whether nothing was to be changed.
    pub dry_run: bool,
}

/// What became of one secret.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct FoundToken {
    /// Its public name; null if the text has none.
    pub prefix: Option<String>,
    /// `org_key` or `workspace_token`; null if it begins like neither.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// `live`, `revoked` (by this call), `ended` (by this call: a replaced secret, whose key lives on
    /// with its new one), `already_revoked`, `expired`, `suspended`, `rotated_out`, `not_yet_valid`,
    /// `unknown` (nothing here has it), `malformed`.
    #[schema(example = "revoked")]
    pub status: String,
    /// The id of the key or token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_id: Option<String>,
    /// When it was revoked, where that is known; of `ended`, from when on it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<String>,
    /// How many keys died with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub descendants: Option<u64>,
}
