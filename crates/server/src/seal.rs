//! The master key, and the seal on everything that must not be read in the database.
//!
//! AES-256-GCM-SIV (RFC 8452) under keys that are derived from the master key by HKDF-SHA-256
//! (RFC 5869). The associated data says which row and column the value belongs to, so a sealed
//! value that is copied to another row does not open.

use std::path::Path;

use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, KeyType, Salt},
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use claviger_core::id::{ChannelId, OrgId, SessionId, WorkspaceId};
use zeroize::Zeroizing;

use crate::{
    entropy,
    private_file::{self, Unreadable},
};

/// The first byte of a sealed value.
const FORMAT: u8 = 1;

/// What a sealed value belongs to.
#[derive(Debug, Clone, Copy)]
pub enum Place<'a> {
    /// A workspace secret.
    Secret {
        /// The org.
        org: OrgId,
        /// The workspace.
        workspace: WorkspaceId,
        /// Its name.
        name: &'a str,
        /// Its version.
        version: u64,
    },
    /// What a provider gave for a session.
    Session {
        /// The session.
        id: SessionId,
    },
    /// The credentials of a channel.
    Channel {
        /// The org.
        org: OrgId,
        /// The workspace.
        workspace: WorkspaceId,
        /// The channel.
        id: ChannelId,
    },
}

impl Place<'_> {
    fn associated_data(&self) -> String {
        match self {
            Self::Secret {
                org,
                workspace,
                name,
                version,
            } => {
                format!("secret\n{org}\n{workspace}\n{name}\n{version}")
            }
            Self::Session { id } => format!("session\n{id}"),
            Self::Channel { org, workspace, id } => format!("channel\n{org}\n{workspace}\n{id}"),
        }
    }
}

/// Why a value cannot be sealed or opened, or the master key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The file cannot be read or made.
    #[error("cannot {doing} the master key file {path}: {source}")]
    File {
        /// What was attempted.
        doing: &'static str,
        /// Which file.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The file does not hold a key.
    #[error(
        "the master key file {0} does not hold 32 bytes in base64; make one with: openssl rand -base64 32"
    )]
    NotAKey(String),
    /// Others can read the file.
    #[error("the master key file {0} can be read by others; run: chmod 600 {0}")]
    Exposed(String),
    /// The value was sealed elsewhere, for another row, or under another key; or it was changed.
    #[error("a sealed value does not open")]
    DoesNotOpen,
    /// The operating system or the library failed.
    #[error("cannot seal: {0}")]
    Failed(String),
}

/// Seals and opens.
pub struct Sealer {
    key: LessSafeKey,
    check: [u8; 32],
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").finish_non_exhaustive()
    }
}

struct Bytes32;
impl KeyType for Bytes32 {
    fn len(&self) -> usize {
        32
    }
}

impl Sealer {
    /// Derives what is needed from the master key.
    ///
    /// # Errors
    /// [`SealError::Failed`].
    pub fn new(master: &[u8; 32]) -> Result<Self, SealError> {
        let failed = |_unspecified| SealError::Failed("key derivation".to_owned());
        let root = Salt::new(HKDF_SHA256, b"claviger").extract(master);
        let derive = |info: &[u8], out: &mut [u8]| root.expand(&[info], Bytes32)?.fill(out);
        let mut key = Zeroizing::new([0_u8; 32]);
        derive(b"seal v1", &mut *key).map_err(failed)?;
        let mut check = [0_u8; 32];
        derive(b"check v1", &mut check).map_err(failed)?;
        let key = UnboundKey::new(&AES_256_GCM_SIV, &*key).map_err(failed)?;
        Ok(Self {
            key: LessSafeKey::new(key),
            check,
        })
    }

    /// What the database keeps to recognise this master key; reveals nothing about it.
    #[must_use]
    pub const fn check(&self) -> [u8; 32] {
        self.check
    }

    /// Random bits for one seal.
    ///
    /// # Errors
    /// [`SealError::Failed`] when the operating system gives none.
    pub fn nonce() -> Result<[u8; NONCE_LEN], SealError> {
        let random = entropy::for_secret().map_err(|error| SealError::Failed(error.to_string()))?;
        let mut nonce = [0; NONCE_LEN];
        nonce
            .iter_mut()
            .zip(random)
            .for_each(|(slot, byte)| *slot = byte);
        Ok(nonce)
    }

    /// Seals a value for its place.
    ///
    /// # Errors
    /// [`SealError::Failed`].
    pub fn seal(&self, place: Place<'_>, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        self.seal_with(Self::nonce()?, place, plain)
    }

    /// Seals a value with random bits that were drawn before, and are used for nothing else.
    ///
    /// # Errors
    /// [`SealError::Failed`] for more than a seal can hold, which is many gigabytes.
    pub fn seal_with(
        &self,
        nonce: [u8; NONCE_LEN],
        place: Place<'_>,
        plain: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        let mut sealed = Vec::with_capacity(1 + NONCE_LEN + plain.len() + 16);
        sealed.push(FORMAT);
        sealed.extend_from_slice(&nonce);
        let mut body = Zeroizing::new(Vec::with_capacity(plain.len() + 16));
        body.extend_from_slice(plain);
        let aad = Aad::from(place.associated_data());
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut *body)
            .map_err(|_unspecified| SealError::Failed("encryption".to_owned()))?;
        sealed.extend_from_slice(&body);
        Ok(sealed)
    }

    /// Opens a sealed value.
    ///
    /// # Errors
    /// [`SealError::DoesNotOpen`].
    pub fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let Some((&FORMAT, rest)) = sealed.split_first() else {
            return Err(SealError::DoesNotOpen);
        };
        let (nonce, body) = rest
            .split_first_chunk::<NONCE_LEN>()
            .ok_or(SealError::DoesNotOpen)?;
        let mut body = Zeroizing::new(body.to_vec());
        let aad = Aad::from(place.associated_data());
        let length = self
            .key
            .open_in_place(Nonce::assume_unique_for_key(*nonce), aad, &mut body)
            .map_err(|_unspecified| SealError::DoesNotOpen)?
            .len();
        body.truncate(length);
        Ok(body)
    }
}

/// Reads the master key; makes it if it is missing and `may_make`.
///
/// # Errors
/// [`SealError`] saying what to do.
pub fn load_master_key(path: &Path, may_make: bool) -> Result<Zeroizing<[u8; 32]>, SealError> {
    let named = path.display().to_string();
    let text = match private_file::read(path) {
        Ok(text) => text,
        Err(Unreadable::Exposed) => return Err(SealError::Exposed(named)),
        Err(Unreadable::Io(error)) if error.kind() == std::io::ErrorKind::NotFound && may_make => {
            match make_master_key(path) {
                Err(SealError::File { source, .. })
                    if source.kind() == std::io::ErrorKind::AlreadyExists => {}
                made => drop(made?),
            }
            // What is in the file seals, whoever made it.
            return load_master_key(path, false);
        }
        Err(Unreadable::Io(source)) => {
            return Err(SealError::File {
                doing: "read",
                path: named,
                source,
            });
        }
    };
    let bytes = Zeroizing::new(BASE64.decode(text.trim()).unwrap_or_default());
    match <[u8; 32]>::try_from(bytes.as_slice()) {
        Ok(key) => Ok(Zeroizing::new(key)),
        Err(_) => Err(SealError::NotAKey(named)),
    }
}

/// Writes a new master key whole or not at all, for the owner alone.
///
/// # Errors
/// [`SealError`].
pub fn make_master_key(path: &Path) -> Result<Zeroizing<[u8; 32]>, SealError> {
    let key = entropy::for_secret().map_err(|error| SealError::Failed(error.to_string()))?;
    let text = Zeroizing::new(format!("{}\n", BASE64.encode(key)));
    private_file::create(path, &text).map_err(|source| SealError::File {
        doing: "make",
        path: path.display().to_string(),
        source,
    })?;
    Ok(Zeroizing::new(key))
}

#[cfg(test)]
mod tests {
    use claviger_core::id::{OrgId, WorkspaceId};

    use super::{Place, SealError, Sealer, load_master_key};

    fn place(name: &str, version: u64) -> Place<'_> {
        let (org, workspace) = (OrgId::from_u128(1), WorkspaceId::from_u128(2));
        Place::Secret {
            org,
            workspace,
            name,
            version,
        }
    }

    #[test]
    fn what_is_sealed_opens_in_its_place_and_nowhere_else() {
        let sealer = Sealer::new(&[7; 32]).expect("a sealer");
        let sealed = sealer.seal(place("A", 1), b"hush").expect("sealed");
        assert!(!sealed.windows(4).any(|window| window == b"hush"));
        assert_eq!(
            sealer
                .open(place("A", 1), &sealed)
                .expect("opened")
                .as_slice(),
            b"hush"
        );
        for elsewhere in [place("A", 2), place("B", 1)] {
            assert!(matches!(
                sealer.open(elsewhere, &sealed),
                Err(SealError::DoesNotOpen)
            ));
        }
        let other = Sealer::new(&[8; 32]).expect("a sealer");
        assert!(other.open(place("A", 1), &sealed).is_err());
        assert_ne!(other.check(), sealer.check());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(sealer.open(place("A", 1), &changed).is_err(), "byte {at}");
        }
        assert!(sealer.open(place("A", 1), b"").is_err());
    }

    #[test]
    fn the_master_key_is_made_once_and_is_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("master.key");
        assert!(load_master_key(&path, false).is_err());
        let made = load_master_key(&path, true).expect("made");
        assert_eq!(*load_master_key(&path, false).expect("read"), *made);
        let mode = std::fs::metadata(&path)
            .expect("metadata")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o604)).expect("chmod");
        assert!(matches!(
            load_master_key(&path, true),
            Err(SealError::Exposed(_))
        ));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("chmod");
        std::fs::write(&path, "short").expect("write");
        assert!(matches!(
            load_master_key(&path, true),
            Err(SealError::NotAKey(_))
        ));
    }
}
