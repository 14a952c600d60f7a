//! `ADMIN_TOKEN`: break-glass, compared in constant time, replaced on SIGHUP without a restart.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
};

use claviger_core::digest::Digest;
use parking_lot::RwLock;
use zeroize::Zeroizing;

use crate::config::Config;

/// The fewest characters of `ADMIN_TOKEN`.
pub const ADMIN_TOKEN_CHARS_MIN: usize = 32;

/// Holds the digest of `ADMIN_TOKEN`, never the token.
pub struct AdminToken {
    digest: RwLock<Option<Digest>>,
    /// Counts the tokens that there have been.
    generation: AtomicU64,
    file: Option<PathBuf>,
    brand: String,
}

impl std::fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdminToken")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

/// Why `ADMIN_TOKEN` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AdminTokenError {
    /// Too short to resist guessing.
    #[error(
        "ADMIN_TOKEN has {0} characters and needs at least 32; make a good one with: openssl rand -hex 32"
    )]
    TooShort(usize),
    /// Has a character that cannot stand in a bearer.
    #[error(
        "ADMIN_TOKEN may hold only letters, digits and `-._~+/=`; make a good one with: openssl rand -hex 32"
    )]
    Alphabet,
    /// Would be taken for another kind of credential.
    #[error("ADMIN_TOKEN begins like a key (`{0}`); make a good one with: openssl rand -hex 32")]
    LooksLikeKey(String),
    /// Given twice.
    #[error("ADMIN_TOKEN and ADMIN_TOKEN_FILE are both set; unset one")]
    Both,
    /// The file cannot be read.
    #[error("cannot read ADMIN_TOKEN_FILE {path}: {source}")]
    File {
        /// Which file.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
}

impl AdminToken {
    /// Checks and keeps what the configuration gives.
    ///
    /// # Errors
    /// [`AdminTokenError`], with the command that makes a good one.
    pub fn new(config: &Config) -> Result<Self, AdminTokenError> {
        let holder = Self {
            digest: RwLock::new(None),
            generation: AtomicU64::new(0),
            file: config.admin_token_file.clone(),
            brand: config.brand.as_str().to_owned(),
        };
        match (&config.admin_token, &holder.file) {
            (Some(_), Some(_)) => return Err(AdminTokenError::Both),
            (Some(token), None) => *holder.digest.write() = Some(holder.check(token)?),
            (None, Some(_)) => holder.reload()?,
            (None, None) => {}
        }
        Ok(holder)
    }

    /// Reads the file again. On failure the old token stays.
    ///
    /// # Errors
    /// [`AdminTokenError`].
    pub fn reload(&self) -> Result<(), AdminTokenError> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let text = std::fs::read_to_string(file)
            .map(Zeroizing::new)
            .map_err(|source| AdminTokenError::File {
                path: file.display().to_string(),
                source,
            })?;
        let digest = self.check(text.trim_end_matches(['\n', '\r']))?;
        let mut own = self.digest.write();
        if *own != Some(digest) {
            *own = Some(digest);
            self.generation.fetch_add(1, Ordering::AcqRel);
        }
        Ok(())
    }

    /// Which token is in force: the number changes with it.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// What tells one token from another and reveals neither: a hash of its hash.
    #[must_use]
    pub fn fingerprint(&self) -> Option<[u8; 32]> {
        let digest = (*self.digest.read())?;
        let mut text = b"claviger admin token session\n".to_vec();
        text.extend_from_slice(digest.as_bytes());
        Some(*Digest::of(&text).as_bytes())
    }

    /// Whether there is one.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.digest.read().is_some()
    }

    /// Whether the presented text is it. Both sides are hashed first, so the comparison tells
    /// neither content nor length.
    #[must_use]
    pub fn matches(&self, presented: &str) -> bool {
        let digest = Digest::of(presented.as_bytes());
        self.digest
            .read()
            .as_ref()
            .is_some_and(|own| own.matches(&digest))
    }

    fn check(&self, token: &str) -> Result<Digest, AdminTokenError> {
        let length = token.chars().count();
        if length < ADMIN_TOKEN_CHARS_MIN {
            return Err(AdminTokenError::TooShort(length));
        }
        if !token
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b))
        {
            return Err(AdminTokenError::Alphabet);
        }
        for brand in [self.brand.as_str(), "molw"] {
            if token
                .strip_prefix(brand)
                .is_some_and(|rest| rest.starts_with('_'))
            {
                return Err(AdminTokenError::LooksLikeKey(format!("{brand}_")));
            }
        }
        Ok(Digest::of(token.as_bytes()))
    }
}
