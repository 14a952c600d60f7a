//! `/integrations/github/secret-scanning`: what GitHub sends to its secret scanning partners, and what
//! it wants to hear back.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Names the key that the body is signed with.
pub const KEY_IDENTIFIER: &str = "github-public-key-identifier";
/// The signature of the exact body: ECDSA P-256 over SHA-256, ASN.1, in base64.
pub const KEY_SIGNATURE: &str = "github-public-key-signature";

/// `POST /integrations/github/secret-scanning`. The shape is GitHub's, and so what is unknown in it is
/// let pass.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct GithubMatches(pub Vec<GithubMatch>);

/// A text that GitHub took for a secret.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct GithubMatch {
    /// The text.
    pub token: String,
    /// The name under which the pattern was registered.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where it was found; may be empty.
    #[serde(default)]
    pub url: Option<String>,
    /// In what it was found, such as `commit`.
    #[serde(default)]
    pub source: Option<String>,
}

impl std::fmt::Debug for GithubMatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GithubMatch")
            .field("kind", &self.kind)
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// The answer, in the order of the matches.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct GithubVerdicts(pub Vec<GithubVerdict>);

/// Whether a match was a secret of this deployment. The secret itself does not go back.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct GithubVerdict {
    /// SHA-256 of the text, in base64.
    pub token_hash: String,
    /// The name under which the pattern was registered.
    pub token_type: String,
    /// `true_positive` or `false_positive`.
    pub label: String,
}

/// What the address of GitHub's public keys answers. Unknown members are let pass.
#[derive(Debug, Clone, Deserialize)]
pub struct GithubKeys {
    /// The keys, old and new.
    pub public_keys: Vec<GithubKey>,
}

/// A public key of GitHub.
#[derive(Debug, Clone, Deserialize)]
pub struct GithubKey {
    /// Its name in the header.
    pub key_identifier: String,
    /// The key as PEM: a `SubjectPublicKeyInfo`.
    pub key: String,
}
