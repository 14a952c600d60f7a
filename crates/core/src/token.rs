//! The secret of a key: how it is made, checked without a look-up, and named by its prefix.
//!
//! `mole_` + 43 base62 characters of 256 random bits + 6 base62 characters of CRC-32 over all that
//! precedes. With a brand of four letters that is 54 bytes, one block of SHA-256.
//! The format and its test vectors: `docs/spec/token.md`.

use std::{fmt, str::FromStr};

use zeroize::Zeroizing;

use crate::digest::Digest;

/// Characters that carry the 256 random bits.
const BODY_LEN: usize = 43;
/// Characters that carry the CRC-32.
const CHECKSUM_LEN: usize = 6;
/// Characters of the body that the public prefix shows.
const PREFIX_BODY_LEN: usize = 8;
/// The longest prefix: a brand of four letters, `_` and eight more.
const PREFIX_LEN_MAX: usize = 13;
/// The longest secret: a brand of four letters, `_`, the body and the checksum.
pub const SECRET_LEN_MAX: usize = 4 + 1 + BODY_LEN + CHECKSUM_LEN;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The letters that a secret begins with, 2 to 4 of `[a-z]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Brand {
    letters: [u8; 4],
    len: u8,
}

/// The text is not a brand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a brand is 2 to 4 letters from `a` to `z`")]
pub struct BrandError;

impl Brand {
    /// The brand of org API keys unless a setting changes it.
    pub const ORG_KEY: Self = Self {
        letters: *b"mole",
        len: 4,
    };
    /// The brand of the deprecated workspace tokens.
    pub const WORKSPACE_TOKEN: Self = Self {
        letters: *b"molw",
        len: 4,
    };

    /// The letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let letters = self
            .letters
            .get(..usize::from(self.len))
            .unwrap_or_default();
        std::str::from_utf8(letters).unwrap_or_default()
    }

    /// Whether the text begins with this brand and an underscore.
    #[must_use]
    pub fn begins(&self, text: &str) -> bool {
        text.strip_prefix(self.as_str())
            .is_some_and(|rest| rest.starts_with('_'))
    }

    /// How many bytes a secret of this brand has.
    #[must_use]
    pub fn secret_len(&self) -> usize {
        self.as_str().len() + 1 + BODY_LEN + CHECKSUM_LEN
    }

    /// How many of them are its public prefix.
    #[must_use]
    pub fn prefix_len(&self) -> usize {
        self.as_str().len() + 1 + PREFIX_BODY_LEN
    }
}

impl FromStr for Brand {
    type Err = BrandError;

    fn from_str(text: &str) -> Result<Self, BrandError> {
        let bytes = text.as_bytes();
        if !(2..=4).contains(&bytes.len()) || !bytes.iter().all(u8::is_ascii_lowercase) {
            return Err(BrandError);
        }
        let mut letters = [0_u8; 4];
        letters
            .iter_mut()
            .zip(bytes)
            .for_each(|(slot, byte)| *slot = *byte);
        Ok(Self {
            letters,
            len: u8::try_from(bytes.len()).unwrap_or(0),
        })
    }
}

/// The public name of a secret: its first characters, `mole_` and 8 more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    bytes: [u8; PREFIX_LEN_MAX],
    len: u8,
}

/// The text is not a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the prefix of a key")]
pub struct PrefixError;

impl Prefix {
    /// The characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..usize::from(self.len)).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let (brand, body) = text.split_once('_').ok_or(PrefixError)?;
        let well_formed = brand.parse::<Brand>().is_ok()
            && body.len() == PREFIX_BODY_LEN
            && body.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !well_formed {
            return Err(PrefixError);
        }
        let mut bytes = [0_u8; PREFIX_LEN_MAX];
        bytes
            .iter_mut()
            .zip(text.bytes())
            .for_each(|(slot, byte)| *slot = byte);
        Ok(Self {
            bytes,
            len: u8::try_from(text.len()).unwrap_or(0),
        })
    }
}

/// A whole secret, wiped from memory when dropped.
///
/// It cannot be printed, compared or serialized; [`Secret::expose`] is the one way out.
///
/// ```compile_fail
/// fn print(secret: claviger_core::token::Secret) { println!("{secret:?}"); }
/// ```
/// ```compile_fail
/// fn print(secret: claviger_core::token::Secret) { println!("{secret}"); }
/// ```
#[expect(missing_debug_implementations, reason = "a secret is never printed")]
pub struct Secret {
    text: Zeroizing<String>,
    prefix: Prefix,
}

/// Why a text with the right brand is not a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Wrong length or a character outside base62.
    #[error("the token is not shaped like a key: was it cut?")]
    Shape,
    /// The last six characters are not the CRC-32 of the rest.
    #[error("the token does not match its checksum: it was mistyped or cut")]
    Checksum,
}

impl Secret {
    /// Writes 256 random bits as a secret.
    #[must_use]
    pub fn from_entropy(brand: &Brand, entropy: &[u8; 32]) -> Self {
        let mut text = Zeroizing::new(String::with_capacity(54));
        text.push_str(brand.as_str());
        text.push('_');
        push_base62(&mut text, entropy);
        let checksum = crc32fast::hash(text.as_bytes());
        push_checksum(&mut text, checksum);
        let end = brand.as_str().len() + 1 + PREFIX_BODY_LEN;
        let mut prefix = Prefix {
            bytes: [0; PREFIX_LEN_MAX],
            len: 0,
        };
        for (slot, byte) in prefix.bytes.iter_mut().zip(text.bytes().take(end)) {
            *slot = byte;
            prefix.len = prefix.len.saturating_add(1);
        }
        Self { text, prefix }
    }

    /// The secret itself: for the one response that shows it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// The public name.
    #[must_use]
    pub const fn prefix(&self) -> Prefix {
        self.prefix
    }

    /// What is stored.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.text.as_bytes())
    }
}

/// Checks the shape and the checksum of a presented secret and gives its digest.
///
/// Allocates nothing: this runs for every request.
///
/// # Errors
/// [`SecretError`] when it cannot be a secret of this brand; no look-up is needed to know that.
pub fn digest_of_presented(brand: &Brand, text: &str) -> Result<Digest, SecretError> {
    let bytes = text.as_bytes();
    let expected = brand.as_str().len() + 1 + BODY_LEN + CHECKSUM_LEN;
    let body = bytes.get(brand.as_str().len() + 1..).unwrap_or_default();
    if bytes.len() != expected || !brand.begins(text) || !body.iter().all(u8::is_ascii_alphanumeric)
    {
        return Err(SecretError::Shape);
    }
    let (payload, checksum) = bytes.split_at(expected - CHECKSUM_LEN);
    if checksum_chars(crc32fast::hash(payload)) != *checksum {
        return Err(SecretError::Checksum);
    }
    Ok(Digest::of(bytes))
}

fn base62_digit(value: u32) -> u8 {
    usize::try_from(value)
        .ok()
        .and_then(|at| BASE62.get(at))
        .copied()
        .unwrap_or(b'0')
}

/// The 256-bit big-endian number in 43 base62 digits, most significant first.
fn push_base62(text: &mut String, entropy: &[u8; 32]) {
    let mut words = [0_u32; 8];
    for (word, chunk) in words.iter_mut().zip(entropy.chunks_exact(4)) {
        *word = chunk
            .iter()
            .fold(0, |all, byte| (all << 8) | u32::from(*byte));
    }
    let mut digits = Zeroizing::new([0_u8; BODY_LEN]);
    for slot in digits.iter_mut().rev() {
        let mut remainder = 0_u64;
        for word in &mut words {
            let value = (remainder << 32) | u64::from(*word);
            *word = u32::try_from(value / 62).unwrap_or(u32::MAX);
            remainder = value % 62;
        }
        *slot = base62_digit(u32::try_from(remainder).unwrap_or(0));
    }
    text.push_str(std::str::from_utf8(&*digits).unwrap_or_default());
}

fn checksum_chars(mut checksum: u32) -> [u8; CHECKSUM_LEN] {
    let mut digits = [b'0'; CHECKSUM_LEN];
    for slot in digits.iter_mut().rev() {
        *slot = base62_digit(checksum % 62);
        checksum /= 62;
    }
    digits
}

fn push_checksum(text: &mut String, checksum: u32) {
    text.push_str(std::str::from_utf8(&checksum_chars(checksum)).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::{Brand, Prefix, Secret, SecretError, digest_of_presented};

    proptest! {
        #[test]
        fn every_secret_is_recognised(entropy in any::<[u8; 32]>()) {
            let secret = Secret::from_entropy(&Brand::ORG_KEY, &entropy);
            assert_eq!(secret.expose().len(), 54);
            assert!(digest_of_presented(&Brand::ORG_KEY, secret.expose()) == Ok(secret.digest()));
            assert_eq!(secret.expose().get(..13), Some(secret.prefix().as_str()));
            assert_eq!(secret.prefix().as_str().parse::<Prefix>(), Ok(secret.prefix()));
        }

        #[test]
        fn one_changed_character_is_noticed(entropy in any::<[u8; 32]>(), at in 5_usize..54, to in "[0-9A-Za-z]") {
            let secret = Secret::from_entropy(&Brand::ORG_KEY, &entropy);
            let mut text = secret.expose().to_owned();
            text.replace_range(at..=at, &to);
            if text != secret.expose() {
                assert!(digest_of_presented(&Brand::ORG_KEY, &text) == Err(SecretError::Checksum));
            }
        }

        #[test]
        fn any_text_is_refused_without_a_panic(text in ".{0,60}") {
            assert!(digest_of_presented(&Brand::ORG_KEY, &text).is_err());
        }
    }

    #[test]
    fn different_entropy_gives_different_bodies() {
        let zeros = Secret::from_entropy(&Brand::ORG_KEY, &[0; 32]);
        let ones = Secret::from_entropy(&Brand::ORG_KEY, &[0xff; 32]);
        assert_eq!(
            zeros.expose().get(..48),
            Some(format!("mole_{}", "0".repeat(43)).as_str())
        );
        assert_ne!(zeros.expose(), ones.expose());
    }

    #[test]
    fn a_secret_of_another_brand_is_refused() {
        let secret = Secret::from_entropy(&Brand::WORKSPACE_TOKEN, &[7; 32]);
        assert!(digest_of_presented(&Brand::ORG_KEY, secret.expose()) == Err(SecretError::Shape));
    }

    #[test]
    fn brands_are_two_to_four_letters() {
        assert!("ab".parse::<Brand>().is_ok());
        for text in ["", "a", "abcde", "Ab", "a1", "é"] {
            assert!(text.parse::<Brand>().is_err(), "{text}");
        }
    }
}
