//! Signed notes: a text, and lines below it with the signatures of those who vouch for it
//! (C2SP signed-note; cosignatures as in C2SP tlog-cosignature).
//!
//! What a note says counts for nothing until [`Note::open`] has said who signed it. The arithmetic of
//! Ed25519 is not here: whoever signs or verifies brings it as a function.

use std::{borrow::Cow, fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256};

/// The longest note, in bytes.
pub const NOTE_BYTES_MAX: usize = 1_000_000;
/// The largest number of signatures of a note. The specification asks for 16 at least.
pub const SIGNATURES_MAX: usize = 100;
/// The longest name of a key that is known, in bytes. The specification has no limit, so a signature
/// line under a longer name is read, and is of nobody known.
pub const NAME_BYTES_MAX: usize = 255;
/// How many bytes an Ed25519 signature has (RFC 8032, 5.1.6).
pub const SIGNATURE_BYTES: usize = 64;
/// How many bytes an Ed25519 public key has (RFC 8032, 5.1.5).
pub const PUBLIC_KEY_BYTES: usize = 32;

/// What every signature line begins with.
const LINE_START: &str = "— ";

/// Why a text is no signed note, or no part of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Longer than [`NOTE_BYTES_MAX`].
    #[error("a note has at most {NOTE_BYTES_MAX} bytes")]
    TooLong,
    /// Not UTF-8, a control character, or no line break at the end.
    #[error("a note is UTF-8 without control characters, in lines that end")]
    Text,
    /// No signature lines after the last empty line.
    #[error("there are no signatures")]
    Unsigned,
    /// More than [`SIGNATURES_MAX`].
    #[error("a note has at most {SIGNATURES_MAX} signatures")]
    TooMany,
    /// A signature line that is not written as one.
    #[error("signature line {line} is malformed")]
    Line {
        /// Its number: 1 for the first below the empty line.
        line: usize,
    },
    /// Not a name of a key.
    #[error("the name of a key is 1 to {NAME_BYTES_MAX} bytes without spaces and `+`")]
    Name,
    /// Not a public key as it is written.
    #[error("a public key is written `name+id+key`")]
    Key,
    /// A public key with the id of another.
    #[error("the id of the public key does not fit")]
    KeyId,
    /// A public key for signatures of another type than Ed25519 and cosignatures.
    #[error("signatures of type {kind:#04x} are not known")]
    Kind {
        /// The type in a byte, as the specification assigns them.
        kind: u8,
    },
}

/// Why nobody is known to have signed a note.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// None of the signatures is of a known key.
    #[error("no known key has signed this")]
    Unknown,
    /// A signature of a known key does not verify: the text or the signature was changed.
    #[error("the signature of `{name}` does not verify")]
    Invalid {
        /// The name of the key.
        name: String,
    },
    /// Two known keys have one name and one id.
    #[error("two known keys are called `{name}` and have one id")]
    Ambiguous {
        /// Their name.
        name: String,
    },
}

/// What a signature says, by the byte that the specification assigns to its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// 0x01: Ed25519 over the text.
    Ed25519,
    /// 0x04: Ed25519 over the text and a time, by one who saw that the tree only grew.
    Cosignature,
}

impl Kind {
    const fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => 1,
            Self::Cosignature => 4,
        }
    }

    const fn of(byte: u8) -> Result<Self, NoteError> {
        match byte {
            1 => Ok(Self::Ed25519),
            4 => Ok(Self::Cosignature),
            kind => Err(NoteError::Kind { kind }),
        }
    }

    /// What is signed: the text, for a cosignature with a header before it that has the time.
    fn message(self, text: &str, seconds: u64) -> Cow<'_, [u8]> {
        match self {
            Self::Ed25519 => Cow::Borrowed(text.as_bytes()),
            Self::Cosignature => {
                Cow::Owned(format!("cosignature/v1\ntime {seconds}\n{text}").into_bytes())
            }
        }
    }
}

/// A public key, as it is handed to those who verify: name, id and key in one word (C2SP signed-note,
/// "verifier keys").
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VerifierKey {
    name: String,
    kind: Kind,
    bytes: [u8; PUBLIC_KEY_BYTES],
}

impl VerifierKey {
    /// The key with this name. The bytes are an Ed25519 public key (RFC 8032, 5.1.5).
    ///
    /// # Errors
    /// [`NoteError::Name`].
    pub fn new(name: &str, kind: Kind, bytes: [u8; PUBLIC_KEY_BYTES]) -> Result<Self, NoteError> {
        if name.len() > NAME_BYTES_MAX || !is_name(name) {
            return Err(NoteError::Name);
        }
        let name = name.to_owned();
        Ok(Self { name, kind, bytes })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its signatures say.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The Ed25519 public key.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; PUBLIC_KEY_BYTES] {
        &self.bytes
    }

    /// Its id: the first four bytes of SHA-256 over name, line break, type and key. It tells keys of
    /// one name apart, and proves nothing.
    #[must_use]
    pub fn id(&self) -> [u8; 4] {
        let hasher = Sha256::new().chain_update(&self.name);
        let hasher = hasher.chain_update([b'\n', self.kind.byte()]);
        let digest: [u8; 32] = hasher.chain_update(self.bytes).finalize().into();
        let [a, b, c, d, ..] = digest;
        [a, b, c, d]
    }

    /// Signs a text. `sign` signs bytes with the private key of this one; `seconds` since 1970 are
    /// what a cosignature says, and are not used otherwise.
    ///
    /// # Errors
    /// What `sign` gives.
    pub fn sign<E>(
        &self,
        text: &str,
        seconds: u64,
        sign: impl FnOnce(&[u8]) -> Result<[u8; SIGNATURE_BYTES], E>,
    ) -> Result<Signature, E> {
        let signed = sign(&self.kind.message(text, seconds))?;
        let time = seconds.to_be_bytes();
        let bytes = match self.kind {
            Kind::Ed25519 => signed.to_vec(),
            Kind::Cosignature => [&time[..], &signed].concat(),
        };
        let (name, id) = (self.name.clone(), self.id());
        Ok(Signature { name, id, bytes })
    }

    /// When a signature of this key was made, if it says so; `None` if it does not verify.
    fn verify(&self, text: &str, bytes: &[u8], verify: &impl Verify) -> Option<Option<u64>> {
        let (seconds, signature) = match self.kind {
            Kind::Ed25519 => (None, bytes),
            Kind::Cosignature => {
                let (time, signature) = bytes.split_first_chunk()?;
                let seconds = u64::from_be_bytes(*time);
                // The specification bounds it, for tools that know no larger number.
                i64::try_from(seconds).ok()?;
                (Some(seconds), signature)
            }
        };
        let message = self.kind.message(text, seconds.unwrap_or_default());
        let holds = verify.verify(&self.bytes, &message, signature.try_into().ok()?);
        holds.then_some(seconds)
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = u32::from_be_bytes(self.id());
        let bytes = [&[self.kind.byte()][..], &self.bytes].concat();
        write!(f, "{}+{id:08x}+{}", self.name, STANDARD.encode(bytes))
    }
}

impl FromStr for VerifierKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Key);
        };
        let Ok(bytes) = STANDARD.decode(key) else {
            return Err(NoteError::Key);
        };
        let Some((kind, bytes)) = bytes.split_first() else {
            return Err(NoteError::Key);
        };
        let kind = Kind::of(*kind)?;
        let Ok(bytes) = bytes.try_into() else {
            return Err(NoteError::Key);
        };
        let key = Self::new(name, kind, bytes)?;
        if id != format!("{:08x}", u32::from_be_bytes(key.id())) {
            return Err(NoteError::KeyId);
        }
        Ok(key)
    }
}

/// One who can verify Ed25519 signatures (RFC 8032): any function of that form.
pub trait Verify {
    /// Whether this is the signature of the key over the message.
    fn verify(
        &self,
        key: &[u8; PUBLIC_KEY_BYTES],
        message: &[u8],
        signature: &[u8; SIGNATURE_BYTES],
    ) -> bool;
}

impl<F: Fn(&[u8; PUBLIC_KEY_BYTES], &[u8], &[u8; SIGNATURE_BYTES]) -> bool> Verify for F {
    fn verify(
        &self,
        key: &[u8; PUBLIC_KEY_BYTES],
        message: &[u8],
        signature: &[u8; SIGNATURE_BYTES],
    ) -> bool {
        self(key, message, signature)
    }
}

/// A signature line: whose it is, and the signature. It proves nothing before it is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    name: String,
    id: [u8; 4],
    bytes: Vec<u8>,
}

impl Signature {
    /// The name of the key.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id of the key.
    #[must_use]
    pub const fn id(&self) -> [u8; 4] {
        self.id
    }

    /// Whether it says that it is of this key. It may still not be.
    #[must_use]
    pub fn is_of(&self, key: &VerifierKey) -> bool {
        self.name == key.name && self.id == key.id()
    }

    /// Reads a line, without its line break.
    fn parse(line: &str) -> Option<Self> {
        let (name, signature) = line.strip_prefix(LINE_START)?.split_once(' ')?;
        let decoded = STANDARD.decode(signature).ok()?;
        let (id, bytes) = decoded.split_first_chunk()?;
        (is_name(name) && !bytes.is_empty()).then(|| Self {
            name: name.to_owned(),
            id: *id,
            bytes: bytes.to_vec(),
        })
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&self.id[..], &self.bytes].concat();
        write!(f, "{LINE_START}{} {}", self.name, STANDARD.encode(bytes))
    }
}

/// A known key that signed a note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signer<'k> {
    /// The key.
    pub key: &'k VerifierKey,
    /// When it signed, in seconds since 1970: of cosignatures alone.
    pub seconds: Option<u64>,
}

/// A text and signatures, of which none was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

impl Note {
    /// A text that nobody has signed.
    ///
    /// # Errors
    /// Unless it consists of lines that end, without control characters.
    pub fn new(text: &str) -> Result<Self, NoteError> {
        if text.len() > NOTE_BYTES_MAX {
            return Err(NoteError::TooLong);
        }
        if !text.ends_with('\n') || !is_printable(text) {
            return Err(NoteError::Text);
        }
        let (text, signatures) = (text.to_owned(), Vec::new());
        Ok(Self { text, signatures })
    }

    /// Reads a note with its signatures.
    ///
    /// # Errors
    /// Unless it is written as the specification says.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(NoteError::TooLong);
        }
        let Ok(whole) = std::str::from_utf8(bytes) else {
            return Err(NoteError::Text);
        };
        let Some((text, below)) = whole.rsplit_once("\n\n") else {
            return Err(NoteError::Unsigned);
        };
        let mut note = Self::new(&[text, "\n"].concat())?;
        let Some(lines) = below.strip_suffix('\n') else {
            return Err(NoteError::Unsigned);
        };
        for (line, signature) in (1..).zip(lines.split('\n')) {
            if line > SIGNATURES_MAX {
                return Err(NoteError::TooMany);
            }
            let Some(signature) = Signature::parse(signature).filter(|_| is_printable(signature))
            else {
                return Err(NoteError::Line { line });
            };
            note.signatures.push(signature);
        }
        Ok(note)
    }

    /// The text, with its last line break. Nobody is known to stand for it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signatures, in the order of their lines.
    #[must_use]
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Adds a signature. One that the same key made before gives way to it.
    ///
    /// # Errors
    /// [`NoteError::TooMany`].
    pub fn add(&mut self, signature: Signature) -> Result<(), NoteError> {
        self.signatures
            .retain(|other| (&other.name, other.id) != (&signature.name, signature.id));
        if self.signatures.len() >= SIGNATURES_MAX {
            return Err(NoteError::TooMany);
        }
        self.signatures.push(signature);
        Ok(())
    }

    /// Who of the known keys signed this, in the order of the lines; at least one. Signatures of
    /// other keys are ignored. A key that signed twice is there once.
    ///
    /// # Errors
    /// If no known key signed, or a signature of one does not verify.
    pub fn open<'k>(
        &self,
        known: &'k [VerifierKey],
        verify: &impl Verify,
    ) -> Result<Vec<Signer<'k>>, OpenError> {
        let mut signers: Vec<Signer<'k>> = Vec::new();
        for signature in &self.signatures {
            let name = || signature.name.clone();
            let mut keys = known.iter().filter(|key| signature.is_of(key));
            let Some(key) = keys.next() else {
                continue;
            };
            if keys.next().is_some() {
                return Err(OpenError::Ambiguous { name: name() });
            }
            let Some(seconds) = key.verify(&self.text, &signature.bytes, verify) else {
                return Err(OpenError::Invalid { name: name() });
            };
            if signers.iter().all(|signer| signer.key != key) {
                signers.push(Signer { key, seconds });
            }
        }
        if signers.is_empty() {
            return Err(OpenError::Unknown);
        }
        Ok(signers)
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        let mut lines = self.signatures.iter();
        lines.try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

/// Whether a key may be called so: it has to be one word of a line, and of a public key.
fn is_name(name: &str) -> bool {
    let is_plain = |c: char| !c.is_whitespace() && !c.is_control() && c != '+';
    !name.is_empty() && name.chars().all(is_plain)
}

/// Whether there is no control character but line breaks: none below U+0020.
fn is_printable(text: &str) -> bool {
    text.bytes().all(|byte| byte >= b' ' || byte == b'\n')
}

#[cfg(test)]
mod tests;
