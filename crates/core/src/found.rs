//! A secret that somebody found: what kind of thing the text is, and how it stands.

use crate::{
    digest::Digest,
    evidence::Brands,
    key::{Credential, KeyState, KeyStatus},
    time::Timestamp,
    token::{Brand, Prefix, digest_of_presented},
};

/// What a secret of this deployment belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoundKind {
    /// An org API key.
    OrgKey,
    /// A deprecated workspace token.
    WorkspaceToken,
}

impl FoundKind {
    /// The word in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OrgKey => "org_key",
            Self::WorkspaceToken => "workspace_token",
        }
    }
}

/// How a found secret stands, or what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoundStatus {
    /// It is accepted.
    Live,
    /// It was revoked by this report.
    Revoked,
    /// A replaced secret whose overlap this report ended; the key lives on with its new one.
    Ended,
    /// It was revoked before.
    AlreadyRevoked,
    /// Its time is over, or that of a key above it.
    Expired,
    /// It is reversibly off, or a key above it is.
    Suspended,
    /// It was replaced, and its overlap is over.
    RotatedOut,
    /// Its time has not come.
    NotYetValid,
    /// Nothing here has this secret.
    Unknown,
    /// It is no secret of ours, or a part of one.
    Malformed,
}

impl FoundStatus {
    /// Every status.
    pub const ALL: &'static [Self] = &[
        Self::Live,
        Self::Revoked,
        Self::Ended,
        Self::AlreadyRevoked,
        Self::Expired,
        Self::Suspended,
        Self::RotatedOut,
        Self::NotYetValid,
        Self::Unknown,
        Self::Malformed,
    ];

    /// The word in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Revoked => "revoked",
            Self::Ended => "ended",
            Self::AlreadyRevoked => "already_revoked",
            Self::Expired => "expired",
            Self::Suspended => "suspended",
            Self::RotatedOut => "rotated_out",
            Self::NotYetValid => "not_yet_valid",
            Self::Unknown => "unknown",
            Self::Malformed => "malformed",
        }
    }

    /// Whether this deployment made the secret.
    #[must_use]
    pub const fn is_ours(self) -> bool {
        match self {
            Self::Unknown | Self::Malformed => false,
            Self::Live
            | Self::Revoked
            | Self::Ended
            | Self::AlreadyRevoked
            | Self::Expired
            | Self::Suspended
            | Self::RotatedOut
            | Self::NotYetValid => true,
        }
    }
}

/// A text that somebody took for a secret, before anything is looked up.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "a digest is never printed")]
pub struct Reading {
    /// What it begins like.
    pub kind: Option<FoundKind>,
    /// Its public name, where it has the shape of one.
    pub prefix: Option<Prefix>,
    /// What it is looked up by; `None` if the checksum already says that nothing has it.
    pub digest: Option<Digest>,
}

/// Reads a text. Whoever does not hold a whole secret learns nothing here that the text itself
/// does not say.
#[must_use]
pub fn read(text: &str, brands: &Brands) -> Reading {
    let as_kind = |kind: FoundKind, brand: &Brand| Reading {
        kind: Some(kind),
        prefix: text
            .get(..brand.prefix_len())
            .and_then(|head| head.parse().ok()),
        digest: digest_of_presented(brand, text).ok(),
    };
    if brands.org_key.begins(text) {
        as_kind(FoundKind::OrgKey, &brands.org_key)
    } else if brands.workspace_token.begins(text) {
        as_kind(FoundKind::WorkspaceToken, &brands.workspace_token)
    } else {
        Reading {
            kind: None,
            prefix: None,
            digest: None,
        }
    }
}

/// How a secret stands at an instant. `key` is what it opens, which is another credential than the
/// presented one if that was replaced; `above` is how the keys above it stand, nearest first.
#[must_use]
pub fn standing<K>(
    presented: &Credential<K>,
    key: &Credential<K>,
    above: impl IntoIterator<Item = KeyStatus>,
    now: Timestamp,
) -> FoundStatus {
    if key.state != KeyState::Revoked && presented.is_replaced && now >= presented.expires_at {
        return FoundStatus::RotatedOut;
    }
    let own = key.status(now);
    let first_refusal = || above.into_iter().find(|above| *above != KeyStatus::Active);
    let decisive = match own {
        KeyStatus::Active => first_refusal().unwrap_or(own),
        KeyStatus::Revoked
        | KeyStatus::Suspended
        | KeyStatus::Expired
        | KeyStatus::NotYetValid
        | KeyStatus::RotatedOut => own,
    };
    match decisive {
        KeyStatus::Active => FoundStatus::Live,
        KeyStatus::NotYetValid => FoundStatus::NotYetValid,
        KeyStatus::Expired => FoundStatus::Expired,
        KeyStatus::Suspended => FoundStatus::Suspended,
        KeyStatus::Revoked => FoundStatus::AlreadyRevoked,
        KeyStatus::RotatedOut => FoundStatus::RotatedOut,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::proptest;

    use super::{FoundKind, FoundStatus, read, standing};
    use crate::{
        digest::Digest,
        evidence::Brands,
        grant::Grant,
        id::{KeyId, OrgId},
        key::{Credential, KeyCredential, KeyState, KeyStatus},
        tier::{Actor, Minter},
        time::Timestamp,
        token::{Brand, Secret},
    };

    const BRANDS: Brands = Brands {
        org_key: Brand::ORG_KEY,
        workspace_token: Brand::WORKSPACE_TOKEN,
    };

    fn credential(ends: i64, is_replaced: bool, state: KeyState) -> KeyCredential {
        Credential {
            digest: Digest::of(b"x"),
            prefix: "mole_00000001".parse().expect("a prefix"),
            state,
            is_replaced,
            id: KeyId::from_u128(1),
            org: OrgId::from_u128(1),
            grant: Arc::new(Grant::admin()),
            minter: Arc::new(Minter {
                created_by: Actor::AdminToken,
                root: Actor::AdminToken,
                chain: Vec::new(),
            }),
            name: "k".into(),
            expires_at: Timestamp::from_millis(ends),
        }
    }

    #[test]
    fn whole_secrets_are_told_from_pieces_and_from_anything_else() {
        for (brand, kind) in [
            (Brand::ORG_KEY, FoundKind::OrgKey),
            (Brand::WORKSPACE_TOKEN, FoundKind::WorkspaceToken),
        ] {
            let secret = Secret::from_entropy(&brand, &[5; 32]);
            let whole = read(secret.expose(), &BRANDS);
            assert_eq!(
                (whole.kind, whole.prefix),
                (Some(kind), Some(secret.prefix()))
            );
            assert!(whole.digest == Some(secret.digest()));
            let piece = read(secret.expose().get(..50).expect("a piece"), &BRANDS);
            assert_eq!(
                (piece.kind, piece.prefix),
                (Some(kind), Some(secret.prefix()))
            );
            assert!(piece.digest.is_none());
        }
        let other = read("ghp_0123456789", &BRANDS);
        assert!(other.kind.is_none() && other.prefix.is_none() && other.digest.is_none());
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "(mole_|molw_)?.{0,60}") {
            assert!(read(&text, &BRANDS).digest.is_none());
        }
    }

    #[test]
    fn own_state_comes_before_that_of_the_keys_above() {
        let now = Timestamp::from_millis(1000);
        let live = credential(5000, false, KeyState::Live);
        let with = |above: &[KeyStatus]| standing(&live, &live, above.to_vec(), now);
        assert_eq!(with(&[]), FoundStatus::Live);
        assert_eq!(
            with(&[KeyStatus::Active, KeyStatus::Active]),
            FoundStatus::Live
        );
        let above = [KeyStatus::Active, KeyStatus::Suspended, KeyStatus::Expired];
        assert_eq!(with(&above), FoundStatus::Suspended);
        let expired = credential(1000, false, KeyState::Live);
        let status = standing(&expired, &expired, [KeyStatus::Suspended], now);
        assert_eq!(status, FoundStatus::Expired);
    }

    #[test]
    fn replaced_secret_stands_as_its_key_until_its_overlap_ends() {
        let at = |millis, state| {
            let old = credential(1000, true, KeyState::Live);
            let key = credential(9000, false, state);
            standing(&old, &key, [], Timestamp::from_millis(millis))
        };
        assert_eq!(at(999, KeyState::Live), FoundStatus::Live);
        assert_eq!(at(999, KeyState::Suspended), FoundStatus::Suspended);
        assert_eq!(at(1000, KeyState::Live), FoundStatus::RotatedOut);
        assert_eq!(at(1000, KeyState::Suspended), FoundStatus::RotatedOut);
        assert_eq!(at(1000, KeyState::Revoked), FoundStatus::AlreadyRevoked);
    }

    #[test]
    fn words_of_statuses_differ() {
        let words: std::collections::BTreeSet<_> = FoundStatus::ALL
            .iter()
            .map(|status| status.as_str())
            .collect();
        assert_eq!(words.len(), FoundStatus::ALL.len());
    }
}
