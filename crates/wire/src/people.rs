//! People, their sessions, and how they sign in.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A link with which one browser signs in, once.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LoginLink {
    /// The address to open; what proves anything stands behind `#`, where no server and no log
    /// sees it.
    pub url: String,
    /// Until when it works.
    pub expires_at: String,
}
