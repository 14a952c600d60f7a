//! The keys of the ledger: what signs the checkpoints of the trails, and the file that holds them.
//!
//! A line of the file is `claviger-ledger-key-v1:` and the 32 bytes of an Ed25519 private key (RFC
//! 8032, 5.1.5) in base64. The first line is the current key; those below sign as well, so that
//! whoever knows only an older one goes on verifying until it is told of the newer.

use std::path::Path;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use claviger_core::{
    id::OrgId,
    ledger::{
        checkpoint::Checkpoint,
        note::{Kind, Note, PUBLIC_KEY_BYTES, SIGNATURE_BYTES, Signature, VerifierKey},
        tree::Hash,
    },
};
use zeroize::Zeroizing;

use crate::{
    entropy,
    private_file::{self, Unreadable},
};

/// The most keys of a file: each adds a line to every checkpoint.
pub const LOG_KEYS_MAX: usize = 8;
/// What every line begins with.
const LINE_START: &str = "claviger-ledger-key-v1:";

/// Why the keys cannot be used, in words for the operator.
#[derive(Debug, thiserror::Error)]
pub enum LogKeyError {
    /// The file cannot be read or written.
    #[error("cannot {doing} the ledger key file {path}: {source}")]
    File {
        /// What was attempted.
        doing: &'static str,
        /// Which file.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// Others can read the file.
    #[error("the ledger key file {0} can be read by others; run: chmod 600 {0}")]
    Exposed(String),
    /// The file does not hold keys.
    #[error(
        "the ledger key file {0} does not hold lines of the form `{LINE_START}` and 32 bytes in base64, each another; make one with: echo \"{LINE_START}$(openssl rand -base64 32)\""
    )]
    NotKeys(String),
    /// The file holds more than are used.
    #[error(
        "the ledger key file {path} holds more than {LOG_KEYS_MAX} keys; take away old ones with: claviger audit rotate-key --finish"
    )]
    TooMany {
        /// Which file.
        path: String,
    },
    /// The file that the operator named is not there.
    #[error(
        "the ledger key file {0} is not there, and one that is named is never made; make it with: (umask 077; echo \"{LINE_START}$(openssl rand -base64 32)\" > {0})"
    )]
    NotMade(String),
    /// The file is not there, and its keys have signed.
    #[error(
        "the ledger key file {0} is not there, and what was in it has signed the audit trail: restore it from a backup; if it is lost, start once with --accept-ledger-key, which makes a new key and is recorded"
    )]
    Lost(String),
    /// The keys are others than those that signed last.
    #[error(
        "none of the keys in {path} has signed the last checkpoint of the audit trail of `{org}`: use the right file with --ledger-key-file, or restore it from a backup; if it is lost, start once with --accept-ledger-key, which is recorded"
    )]
    Other {
        /// Which file.
        path: String,
        /// Whose trail.
        org: OrgId,
    },
    /// The current key has yet to sign.
    #[error(
        "the first key in {path} has not signed the last checkpoint of the audit trail of `{org}` yet: start the server once with all keys, then finish"
    )]
    Unsigned {
        /// Which file.
        path: String,
        /// Whose trail.
        org: OrgId,
    },
    /// The operating system or the library failed.
    #[error("cannot sign: {0}")]
    Failed(String),
}

/// The keys in force, the current one first.
pub struct LogKeys {
    keys: Vec<LogKey>,
}

struct LogKey {
    pair: Ed25519KeyPair,
    public: [u8; PUBLIC_KEY_BYTES],
}

impl std::fmt::Debug for LogKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogKeys").finish_non_exhaustive()
    }
}

/// By whom a note was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Signed {
    /// By the current key first.
    Current,
    /// By a key of ours, and first by the one with this id.
    Before(String),
    /// By none of ours; the first signature under the name of the log has this id.
    Unknown(String),
}

/// The name of an org's log: the origin of its checkpoints, and the name of its keys. It stays what it
/// is, wherever the service is reached.
#[must_use]
pub fn origin(org: OrgId) -> String {
    format!("claviger/{org}")
}

/// The id of a key as a word: eight hexadecimal digits.
#[must_use]
pub fn id_text(id: [u8; 4]) -> String {
    format!("{:08x}", u32::from_be_bytes(id))
}

/// Whether this is the Ed25519 signature of the key over the message (RFC 8032, 5.1.7).
#[must_use]
pub fn verifies(
    key: &[u8; PUBLIC_KEY_BYTES],
    message: &[u8],
    signature: &[u8; SIGNATURE_BYTES],
) -> bool {
    let key = UnparsedPublicKey::new(&ED25519, key);
    key.verify(message, signature).is_ok()
}

impl LogKeys {
    fn new(seeds: &[Zeroizing<[u8; 32]>]) -> Result<Self, LogKeyError> {
        let keys = seeds.iter().map(|seed| {
            let pair = Ed25519KeyPair::from_seed_unchecked(&**seed);
            let pair = pair.map_err(|error| LogKeyError::Failed(error.to_string()))?;
            let public = pair.public_key().as_ref().try_into();
            let public = public.map_err(|_length| failed("a public key has another length"))?;
            Ok(LogKey { pair, public })
        });
        let keys = keys.collect::<Result<Vec<_>, LogKeyError>>()?;
        Ok(Self { keys })
    }

    /// The public keys under the name of an org's log, the current one first. The id depends on the
    /// name, so the keys of each org have ids of their own.
    #[must_use]
    pub fn verifier_keys(&self, org: OrgId) -> Vec<VerifierKey> {
        let name = origin(org);
        let keys = self.keys.iter().filter_map(|key| {
            // The name has no space and no `+`, so it is one.
            VerifierKey::new(&name, Kind::Ed25519, key.public).ok()
        });
        keys.collect()
    }

    /// The signed note over the tree of an org: by the current key, then by the others. `others` are
    /// signatures of those who are not us, and are kept.
    ///
    /// # Errors
    /// [`LogKeyError::Failed`].
    pub(crate) fn sign(
        &self,
        org: OrgId,
        (size, root): (u64, Hash),
        others: &[Signature],
    ) -> Result<String, LogKeyError> {
        let name = origin(org);
        let checkpoint = Checkpoint::new(&name, size, root).map_err(|error| failed(&error))?;
        let mut note = Note::new(&checkpoint.to_string()).map_err(|error| failed(&error))?;
        for (key, public) in self.keys.iter().zip(self.verifier_keys(org)) {
            let signature = public.sign(note.text(), 0, |message| {
                let signature = key.pair.try_sign(message);
                let signature = signature.map_err(|error| failed(&error))?;
                let bytes = signature.as_ref().try_into();
                bytes.map_err(|_length| failed("a signature has another length"))
            });
            note.add(signature?).map_err(|error| failed(&error))?;
        }
        for other in others.iter().filter(|other| other.name() != name) {
            note.add(other.clone()).map_err(|error| failed(&error))?;
        }
        Ok(note.to_string())
    }

    /// By whom a note over the tree of an org was signed.
    pub(crate) fn signed(&self, org: OrgId, note: &str) -> Signed {
        let (name, known) = (origin(org), self.verifier_keys(org));
        let Ok(note) = Note::parse(note.as_bytes()) else {
            return Signed::Unknown(String::new());
        };
        let mut lines = note.signatures().iter();
        let first = lines.find(|line| line.name() == name);
        let first = first.map(Signature::id);
        let from = first.map(id_text).unwrap_or_default();
        if note.open(&known, &verifies).is_err() {
            return Signed::Unknown(from);
        }
        if first == known.first().map(VerifierKey::id) {
            Signed::Current
        } else {
            Signed::Before(from)
        }
    }

    /// Whether every key has signed a note over the tree of an org, the current one first.
    pub(crate) fn all_signed(&self, org: OrgId, note: &str) -> bool {
        let known = self.verifier_keys(org);
        let Ok(note) = Note::parse(note.as_bytes()) else {
            return false;
        };
        let Ok(signers) = note.open(&known, &verifies) else {
            return false;
        };
        signers.iter().map(|signer| signer.key).eq(known.iter())
    }

    /// How many there are.
    pub(crate) const fn len(&self) -> usize {
        self.keys.len()
    }

    /// The id of the current key under the name of an org's log.
    pub(crate) fn current_id(&self, org: OrgId) -> String {
        let keys = self.verifier_keys(org);
        keys.first()
            .map(|key| id_text(key.id()))
            .unwrap_or_default()
    }
}

fn failed(error: &(impl std::fmt::Display + ?Sized)) -> LogKeyError {
    LogKeyError::Failed(error.to_string())
}

/// Reads the keys; makes a file with one if there is none and `may_make`.
///
/// # Errors
/// [`LogKeyError`] saying what to do.
pub(crate) fn load(path: &Path, may_make: bool) -> Result<LogKeys, LogKeyError> {
    match private_file::read(path) {
        Ok(text) => LogKeys::new(&parse(path, &text)?),
        Err(Unreadable::Io(error)) if error.kind() == std::io::ErrorKind::NotFound && may_make => {
            match private_file::create(path, &new_line()?) {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(file_error("make", path, error));
                }
                Ok(()) | Err(_) => {}
            }
            // What is in the file signs, whoever made it.
            let text = private_file::read(path).map_err(|error| unreadable(path, error))?;
            LogKeys::new(&parse(path, &text)?)
        }
        Err(error) => Err(unreadable(path, error)),
    }
}

/// Puts a new key before the others. The keys that then hold.
///
/// # Errors
/// [`LogKeyError`]; then the file is as it was.
pub(crate) fn rotate(path: &Path) -> Result<LogKeys, LogKeyError> {
    let old = private_file::read(path).map_err(|error| unreadable(path, error))?;
    parse(path, &old)?;
    let new = Zeroizing::new([new_line()?.as_str(), old.trim(), "\n"].concat());
    write(path, &new)
}

/// Takes all keys away but the current one.
///
/// # Errors
/// [`LogKeyError`]; then the file is as it was.
pub(crate) fn finish(path: &Path) -> Result<LogKeys, LogKeyError> {
    let old = private_file::read(path).map_err(|error| unreadable(path, error))?;
    parse(path, &old)?;
    let first = old.lines().find(|line| !line.trim().is_empty());
    let new = Zeroizing::new([first.unwrap_or_default(), "\n"].concat());
    write(path, &new)
}

fn write(path: &Path, text: &str) -> Result<LogKeys, LogKeyError> {
    let keys = LogKeys::new(&parse(path, text)?)?;
    private_file::replace(path, text).map_err(|source| file_error("write", path, source))?;
    Ok(keys)
}

fn new_line() -> Result<Zeroizing<String>, LogKeyError> {
    let seed = Zeroizing::new(entropy::for_secret().map_err(|error| failed(&error))?);
    let encoded = Zeroizing::new(BASE64.encode(*seed));
    Ok(Zeroizing::new(
        [LINE_START, encoded.as_str(), "\n"].concat(),
    ))
}

fn parse(path: &Path, text: &str) -> Result<Vec<Zeroizing<[u8; 32]>>, LogKeyError> {
    let malformed = || LogKeyError::NotKeys(path.display().to_string());
    let mut seeds: Vec<Zeroizing<[u8; 32]>> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let encoded = line.strip_prefix(LINE_START).ok_or_else(malformed)?;
        let bytes = Zeroizing::new(BASE64.decode(encoded).unwrap_or_default());
        let Ok(seed) = <[u8; 32]>::try_from(bytes.as_slice()) else {
            return Err(malformed());
        };
        let seed = Zeroizing::new(seed);
        if seeds.contains(&seed) {
            return Err(malformed());
        }
        seeds.push(seed);
    }
    if seeds.is_empty() {
        return Err(malformed());
    }
    if seeds.len() > LOG_KEYS_MAX {
        let path = path.display().to_string();
        return Err(LogKeyError::TooMany { path });
    }
    Ok(seeds)
}

fn unreadable(path: &Path, error: Unreadable) -> LogKeyError {
    match error {
        Unreadable::Exposed => LogKeyError::Exposed(path.display().to_string()),
        Unreadable::Io(source) => file_error("read", path, source),
    }
}

fn file_error(doing: &'static str, path: &Path, source: std::io::Error) -> LogKeyError {
    LogKeyError::File {
        doing,
        path: path.display().to_string(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use claviger_core::{
        id::OrgId,
        ledger::{
            checkpoint::Checkpoint,
            note::Note,
            tree::{Hash, leaf_hash},
        },
    };

    use super::{LOG_KEYS_MAX, LogKeyError, Signed, finish, load, origin, rotate, verifies};

    fn org() -> OrgId {
        OrgId::from_u128(1)
    }

    fn tree() -> (u64, Hash) {
        (7, leaf_hash(b"root"))
    }

    #[test]
    fn file_is_made_once_is_private_and_keeps_its_key() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("ledger.key");
        assert!(load(&path, false).is_err());
        let made = load(&path, true).expect("made").verifier_keys(org());
        let read = load(&path, false).expect("read").verifier_keys(org());
        assert_eq!((made.len(), &read), (1, &made));
        let mode = |mode| std::fs::Permissions::from_mode(mode);
        let metadata = std::fs::metadata(&path).expect("metadata");
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, mode(0o604)).expect("chmod");
        assert!(matches!(load(&path, true), Err(LogKeyError::Exposed(_))));
        std::fs::set_permissions(&path, mode(0o600)).expect("chmod");
        let line = std::fs::read_to_string(&path).expect("a line");
        for bad in [
            "",
            "\n",
            "claviger-ledger-key-v1:AAAA\n",
            "claviger-ledger-key-v2:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
            &line.repeat(2),
        ] {
            std::fs::write(&path, bad).expect("written");
            assert!(
                matches!(load(&path, true), Err(LogKeyError::NotKeys(_))),
                "{bad}"
            );
        }
    }

    #[test]
    fn of_many_first_starts_all_have_the_key_that_is_in_the_file() {
        let dir = tempfile::tempdir().expect("a directory");
        for round in 0..50 {
            let path = dir.path().join(format!("ledger-{round}.key"));
            let made: Vec<_> = std::thread::scope(|scope| {
                let starts = [(); 4].map(|()| scope.spawn(|| load(&path, true)));
                starts.map(|start| start.join().expect("ended")).into()
            });
            let kept = load(&path, false).expect("read").verifier_keys(org());
            for keys in made {
                assert_eq!(keys.expect("made or read").verifier_keys(org()), kept);
            }
        }
        let files = std::fs::read_dir(dir.path()).expect("a directory").count();
        assert_eq!(files, 50, "nothing else is left");
    }

    #[test]
    fn note_is_signed_by_every_key_and_by_the_current_one_first() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("ledger.key");
        let old = load(&path, true).expect("made");
        let first = old.sign(org(), tree(), &[]).expect("signed");
        assert_eq!(old.signed(org(), &first), Signed::Current);
        let both = rotate(&path).expect("rotated");
        let (old_key, keys) = (old.verifier_keys(org()), both.verifier_keys(org()));
        assert_eq!((keys.len(), &keys[1]), (2, &old_key[0]));
        assert_eq!(
            both.signed(org(), &first),
            Signed::Before(old.current_id(org()))
        );
        assert!(old.all_signed(org(), &first) && !both.all_signed(org(), &first));
        let second = both.sign(org(), tree(), &[]).expect("signed");
        assert!(both.all_signed(org(), &second));
        let note = Note::parse(second.as_bytes()).expect("a note");
        for known in [&keys, &old_key] {
            let signers = note.open(known, &verifies).expect("signed");
            assert_eq!(signers.len(), known.len());
        }
        let checkpoint = Checkpoint::parse(note.text()).expect("a checkpoint");
        assert_eq!(checkpoint.origin(), origin(org()));
        assert_eq!((checkpoint.size(), checkpoint.root()), tree());
        let new = finish(&path).expect("finished");
        assert_eq!(new.verifier_keys(org()), keys[..1]);
        assert_eq!(new.signed(org(), &second), Signed::Current);
        assert_eq!(
            new.signed(org(), &first),
            Signed::Unknown(old.current_id(org()))
        );
        assert_eq!(
            new.verifier_keys(org())[0].to_string(),
            load(&path, false).expect("read").verifier_keys(org())[0].to_string()
        );
    }

    #[test]
    fn signatures_of_others_stay_and_the_keys_of_each_org_differ() {
        let dir = tempfile::tempdir().expect("a directory");
        let keys = load(&dir.path().join("a"), true).expect("made");
        let other = OrgId::from_u128(2);
        let (own, theirs) = (keys.verifier_keys(org()), keys.verifier_keys(other));
        assert_ne!(own[0].id(), theirs[0].id());
        assert_eq!(own[0].bytes(), theirs[0].bytes());
        let note = keys.sign(other, tree(), &[]).expect("signed");
        let note = Note::parse(note.as_bytes()).expect("a note");
        let with = keys.sign(org(), tree(), note.signatures()).expect("signed");
        let again = Note::parse(with.as_bytes()).expect("a note");
        let names: Vec<_> = again.signatures().iter().map(|line| line.name()).collect();
        assert_eq!(names, [origin(org()), origin(other)]);
        // One that was changed counts for nothing.
        let forged = with.replace("\n7\n", "\n8\n");
        assert!(matches!(keys.signed(org(), &forged), Signed::Unknown(_)));
        assert!(matches!(keys.signed(org(), "nonsense"), Signed::Unknown(_)));
    }

    #[test]
    fn there_are_only_so_many_keys() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("ledger.key");
        load(&path, true).expect("made");
        for _ in 1..LOG_KEYS_MAX {
            rotate(&path).expect("rotated");
        }
        let full = std::fs::read(&path).expect("read");
        assert!(matches!(rotate(&path), Err(LogKeyError::TooMany { .. })));
        assert_eq!(std::fs::read(&path).expect("read"), full);
    }
}
