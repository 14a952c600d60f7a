//! The SHA-256 of a secret: what is stored, and what a presented secret is looked up by.

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// SHA-256 of a whole secret, 32 bytes (FIPS 180-4).
///
/// It has no `Debug` and no `Display`: a digest in a log would let a reader test guesses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_debug_implementations, reason = "a digest is never printed")]
pub struct Digest([u8; 32]);

impl Digest {
    /// Hashes a secret.
    #[must_use]
    pub fn of(secret: &[u8]) -> Self {
        Self(Sha256::digest(secret).into())
    }

    /// The digest with these bytes, as read from the store.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, as written to the store.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first eight bytes: already uniform, so a hash table needs no further hashing.
    #[must_use]
    pub const fn head(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    /// Compares in a time that does not depend on where the two differ.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}
