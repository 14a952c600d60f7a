//! Identifiers: a type prefix and a ULID, `tok_01J…`. Two kinds of id are two types.

use std::{fmt, hash::Hash, marker::PhantomData, str::FromStr};

use ulid::Ulid;

/// What an [`Id`] names: gives the prefix that is written before the ULID.
pub trait Kind: Copy + Eq + Ord + Hash + fmt::Debug + Send + Sync + 'static {
    /// The prefix without the underscore, for example `tok`.
    const PREFIX: &'static str;
}

/// An identifier of one kind, 128 bits, written as `<prefix>_<26 characters of Crockford base32>`.
///
/// The first 48 bits are the time of making in milliseconds, so ids sort by age
/// (<https://github.com/ulid/spec>).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id<K> {
    // Two words and not one `u128`: an alignment of 16 would cost every key in memory 8 bytes.
    high: u64,
    low: u64,
    kind: PhantomData<K>,
}

/// The text is not an id of the expected kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id that begins with `{expected}_`")]
pub struct IdError {
    /// The prefix that was expected.
    pub expected: &'static str,
}

impl<K: Kind> Id<K> {
    /// Makes an id of a time and 80 random bits.
    #[must_use]
    pub fn from_parts(at: crate::time::Timestamp, random: u128) -> Self {
        let millis = u64::try_from(at.millis()).unwrap_or(0);
        Self::from_u128(Ulid::from_parts(millis, random).0)
    }

    /// The id whose 128 bits these are.
    #[must_use]
    pub fn from_u128(ulid: u128) -> Self {
        let word = |bits: u128| u64::try_from(bits & u128::from(u64::MAX)).unwrap_or(0);
        Self {
            high: word(ulid >> 64),
            low: word(ulid),
            kind: PhantomData,
        }
    }

    /// The 128 bits.
    #[must_use]
    pub fn to_u128(self) -> u128 {
        (u128::from(self.high) << 64) | u128::from(self.low)
    }

    /// The random low bits: uniform, so a hash table needs no further hashing.
    #[must_use]
    pub const fn low(self) -> u64 {
        self.low
    }

    /// The time that the id carries.
    #[must_use]
    pub fn created_at(self) -> crate::time::Timestamp {
        let millis = i64::try_from(Ulid(self.to_u128()).timestamp_ms()).unwrap_or(i64::MAX);
        crate::time::Timestamp::from_millis(millis)
    }
}

impl<K: Kind> fmt::Display for Id<K> {
    /// Three plain writes: several ids stand in every audit record.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(K::PREFIX)?;
        f.write_str("_")?;
        f.write_str(std::str::from_utf8(&self.letters()).unwrap_or_default())
    }
}

impl<K: Kind> Id<K> {
    /// Adds what [`fmt::Display`] writes, without the machinery of formatting.
    pub fn push_to(self, out: &mut Vec<u8>) {
        out.extend_from_slice(K::PREFIX.as_bytes());
        out.push(b'_');
        out.extend_from_slice(&self.letters());
    }

    /// The 26 letters of Crockford's base32, as the `ulid` crate writes them.
    fn letters(self) -> [u8; ulid::ULID_LEN] {
        const ALPHABET: [u8; 32] = *b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
        let mut letters = [b'0'; ulid::ULID_LEN];
        let mut rest = self.to_u128();
        for letter in letters.iter_mut().rev() {
            let digit = usize::try_from(rest & 31).unwrap_or(0);
            *letter = ALPHABET.get(digit).copied().unwrap_or(b'0');
            rest >>= 5;
        }
        letters
    }
}

impl<K: Kind> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<K: Kind> FromStr for Id<K> {
    type Err = IdError;

    /// Accepts the one spelling that [`fmt::Display`] writes: upper case, no alias letters.
    fn from_str(text: &str) -> Result<Self, IdError> {
        let error = IdError {
            expected: K::PREFIX,
        };
        let body = text
            .strip_prefix(K::PREFIX)
            .and_then(|rest| rest.strip_prefix('_'))
            .filter(|body| body.len() == ulid::ULID_LEN)
            .ok_or(error)?;
        let Ok(ulid) = Ulid::from_string(body) else {
            return Err(error);
        };
        let mut buffer = [0_u8; ulid::ULID_LEN];
        if &*ulid.array_to_str(&mut buffer) == body {
            Ok(Self::from_u128(ulid.0))
        } else {
            Err(error)
        }
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident, $id:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $kind;
        impl Kind for $kind {
            const PREFIX: &'static str = $prefix;
        }
        #[doc = concat!("An id that begins with `", $prefix, "_`.")]
        pub type $id = Id<$kind>;
    )*};
}

kinds! {
    /// An organization, the tenant.
    Org, OrgId = "org";
    /// An org API key.
    Key, KeyId = "tok";
    /// A workspace.
    Workspace, WorkspaceId = "ws";
    /// A channel of a workspace.
    Channel, ChannelId = "ch";
    /// A deprecated workspace token.
    WorkspaceToken, WorkspaceTokenId = "wst";
    /// One record of the audit trail; also the request id.
    Event, EventId = "evt";
    /// A request for a key.
    Request, RequestId = "req";
    /// A person's session in a browser.
    Session, SessionId = "ses";
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::{KeyId, WorkspaceId};

    proptest! {
        #[test]
        fn parse_inverts_print(bits in any::<u128>()) {
            let id = KeyId::from_u128(bits);
            assert_eq!(id.to_string().parse(), Ok(id));
        }

        #[test]
        fn any_text_parses_or_fails_and_never_panics(text in ".{0,40}") {
            if let Ok(id) = text.parse::<KeyId>() {
                assert_eq!(id.to_string(), text);
            }
        }
    }

    #[test]
    fn an_id_of_another_kind_is_refused() {
        let text = WorkspaceId::from_u128(7).to_string();
        assert!(text.parse::<KeyId>().is_err());
    }

    #[test]
    fn lower_case_and_alias_letters_are_refused() {
        let text = KeyId::from_u128(u128::MAX / 3).to_string();
        assert!(text.to_lowercase().parse::<KeyId>().is_err());
        assert!("tok_O0000000000000000000000000".parse::<KeyId>().is_err());
        assert!("tok_80000000000000000000000000".parse::<KeyId>().is_err());
    }
}
