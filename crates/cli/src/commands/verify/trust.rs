//! Whom the caller trusts: public keys, and the log whose checkpoints they are to vouch for.

use std::{path::Path, rc::Rc};

use claviger_core::ledger::{
    checkpoint::{Checkpoint, CheckpointError},
    note::{Kind, Note, NoteError, OpenError, VerifierKey},
};
use claviger_server::log_key::verifies;
use claviger_wire::ledger::LogKeys;

use super::files;
use crate::error::Failure;

/// More than any file with public keys has.
const KEY_FILE_BYTES_MAX: u64 = 64 * 1024;

/// Keys, and the log.
pub(super) struct Trust {
    /// The origin of the log: checkpoints of other logs count for nothing.
    pub(super) origin: String,
    keys: Vec<VerifierKey>,
    /// Whether the server that is to be verified said which keys these are.
    pub(super) is_of_server: bool,
}

/// A checkpoint that a trusted key signed.
pub(super) struct Opened {
    pub(super) checkpoint: Checkpoint,
    /// The keys, as `name+id`.
    pub(super) signers: Vec<Rc<str>>,
    /// The earliest time that a cosignature gives, in seconds since 1970.
    pub(super) at: Option<u64>,
}

/// Why a note counts for nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// It is none.
    #[error("{0}")]
    Note(#[from] NoteError),
    /// What was signed is something else.
    #[error("{0}")]
    Checkpoint(#[from] CheckpointError),
    /// It is of another log.
    #[error("it is of another log, `{0}`")]
    OtherLog(String),
    /// By nobody known, or a signature does not verify.
    #[error("{0}")]
    Signature(#[from] OpenError),
}

impl Trust {
    /// The keys that were given, and the log of which they are, unless it is named.
    ///
    /// # Errors
    /// If one is none, or the log is not clear.
    pub(super) fn new(given: &[String], origin: Option<&str>) -> Result<Self, Failure> {
        let mut keys = Vec::new();
        for key in all_keys(given)? {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        let origin = match origin {
            Some(origin) => origin.to_owned(),
            None => origin_of(&keys)?,
        };
        Ok(Self {
            origin,
            keys,
            is_of_server: false,
        })
    }

    /// The keys that a server says are its own. What they prove is that it agrees with itself.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub(super) fn of_server(said: &LogKeys, origin: Option<&str>) -> Result<Self, Failure> {
        let keys: Vec<String> = said.keys.iter().map(|key| key.vkey.clone()).collect();
        let is_of_server = true;
        Self::new(&keys, origin).map(|trust| Self {
            is_of_server,
            ..trust
        })
    }

    /// Reads a checkpoint, and says who signed it. The log is compared as well as the key: a server signs
    /// for all its orgs with one private key, so a signature can be put under the name of another org.
    ///
    /// # Errors
    /// Unless a known key signed a checkpoint of the log.
    pub(super) fn open(&self, note: &[u8]) -> Result<Opened, Refused> {
        let note = Note::parse(note)?;
        let checkpoint = Checkpoint::parse(note.text())?;
        if checkpoint.origin() != self.origin {
            return Err(Refused::OtherLog(checkpoint.origin().to_owned()));
        }
        let signers = note.open(&self.keys, &verifies)?;
        let at = signers.iter().filter_map(|signer| signer.seconds).min();
        let signers = signers.iter().map(|signer| label(signer.key)).collect();
        Ok(Opened {
            checkpoint,
            signers,
            at,
        })
    }
}

/// A key in one word, without the key itself.
fn label(key: &VerifierKey) -> Rc<str> {
    format!("{}+{:08x}", key.name(), u32::from_be_bytes(key.id())).into()
}

fn all_keys(given: &[String]) -> Result<Vec<VerifierKey>, Failure> {
    let mut keys = Vec::new();
    for word in given {
        match word.parse() {
            Ok(key) => keys.push(key),
            Err(error) => keys.extend(keys_of_file(word, error)?),
        }
    }
    Ok(keys)
}

/// The keys of a file, one a line; `error`: why its name is not itself a key.
fn keys_of_file(name: &str, error: NoteError) -> Result<Vec<VerifierKey>, Failure> {
    let Some(bytes) = files::find(Path::new(name), KEY_FILE_BYTES_MAX)? else {
        return Err(Failure::Usage(format!(
            "--key `{name}` is neither a public key ({error}) nor a file"
        )));
    };
    let text = String::from_utf8_lossy(&bytes);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let keys = lines.map(str::parse).collect::<Result<Vec<_>, NoteError>>();
    let keys = keys.map_err(|error| {
        Failure::Unreadable(format!("{name} does not hold public keys: {error}"))
    })?;
    if keys.is_empty() {
        return Err(Failure::Unreadable(format!("{name} holds no public key")));
    }
    Ok(keys)
}

/// The name that all keys of logs have.
fn origin_of(keys: &[VerifierKey]) -> Result<String, Failure> {
    let of_logs = keys.iter().filter(|key| key.kind() == Kind::Ed25519);
    let mut names: Vec<&str> = of_logs.map(VerifierKey::name).collect();
    names.sort_unstable();
    names.dedup();
    match names.as_slice() {
        [name] => Ok((*name).to_owned()),
        [] => Err(Failure::Usage(
            "the keys are those of witnesses, which sign for many logs: name the log with --origin"
                .to_owned(),
        )),
        [_, _, ..] => Err(Failure::Usage(format!(
            "the keys are of several logs ({}): name the one with --origin, or leave the others out",
            names.join(", ")
        ))),
    }
}
