//! Signed tokens (RFC 7515, 7519): their parts, and whether a key of the provider's made the
//! signature.
//!
//! Only algorithms with a public key exist here: there is no way to name `none` or one with a
//! shared secret.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use claviger_core::{
    claims::{ClaimError, Claims},
    time::Timestamp,
};
use futures_util::future::BoxFuture;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;

use super::{ProviderError, Refusal, kept::Kept};

/// For how long keys are taken for those of today. A key that the provider has taken back is
/// accepted for so long, and until the next token after that.
const FRESH_FOR: Duration = Duration::from_mins(10);
/// How often keys are fetched at most, whatever names strangers come up with.
const PAUSE: Duration = Duration::from_secs(30);

/// The longest token, in bytes.
pub(super) const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// What a key must be for an algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Rsa,
    P256,
    P384,
    Ed25519,
}

/// The algorithms: the name, the verifier, the key that it needs, and the hash of `at_hash`.
type Row = (&'static str, Algorithm, Shape, &'static digest::Algorithm);
static ALGORITHMS: [Row; 9] = [
    ("RS256", Algorithm::RS256, Shape::Rsa, &digest::SHA256),
    ("RS384", Algorithm::RS384, Shape::Rsa, &digest::SHA384),
    ("RS512", Algorithm::RS512, Shape::Rsa, &digest::SHA512),
    ("PS256", Algorithm::PS256, Shape::Rsa, &digest::SHA256),
    ("PS384", Algorithm::PS384, Shape::Rsa, &digest::SHA384),
    ("PS512", Algorithm::PS512, Shape::Rsa, &digest::SHA512),
    ("ES256", Algorithm::ES256, Shape::P256, &digest::SHA256),
    ("ES384", Algorithm::ES384, Shape::P384, &digest::SHA384),
    ("EdDSA", Algorithm::EdDSA, Shape::Ed25519, &digest::SHA512),
];

/// What kind of token is wanted; each has a `typ` of its own that the others must not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Id,
    Access,
    Logout,
}

impl Kind {
    fn allows(self, typ: &str) -> bool {
        let typ = typ.to_ascii_lowercase();
        let own = match self {
            Self::Id => "jwt",
            Self::Access => "at+jwt",
            Self::Logout => "logout+jwt",
        };
        let bare = typ.strip_prefix("application/").unwrap_or(&typ);
        bare == "jwt" || bare == own
    }

    fn name(self) -> &'static str {
        match self {
            Self::Id => "an ID token",
            Self::Access => "an access token",
            Self::Logout => "a logout token",
        }
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<serde::de::IgnoredAny>,
}

/// A token of which nothing is believed yet.
pub(super) struct Token<'a> {
    row: &'static Row,
    kid: Option<String>,
    signed: &'a str,
    payload: &'a str,
    signature: &'a str,
}

impl<'a> Token<'a> {
    /// Takes it apart.
    pub(super) fn parse(text: &'a str, kind: Kind) -> Result<Self, Refusal> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(Refusal::Malformed);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(Refusal::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(Refusal::Malformed)?;
        let header = decode(header)?;
        let header: Header = serde_json::from_slice(&header).or(Err(Refusal::Malformed))?;
        // RFC 7515, 4.1.11: what must be understood, and is not.
        if header.crit.is_some() {
            return Err(Refusal::Malformed);
        }
        if !header.typ.is_none_or(|typ| kind.allows(&typ)) {
            return Err(ClaimError::Kind(kind.name()).into());
        }
        let row = ALGORITHMS.iter().find(|row| row.0 == header.alg);
        Ok(Self {
            row: row.ok_or(Refusal::Algorithm)?,
            kid: header.kid,
            signed,
            payload,
            signature,
        })
    }

    /// Its claims, if the key made the signature.
    pub(super) fn verify(&self, key: &Key) -> Result<Claims, Refusal> {
        let (signature, signed) = (self.signature, self.signed.as_bytes());
        let verified = jsonwebtoken::crypto::verify(signature, signed, &key.material, self.row.1);
        if !key.fits(self) || !verified.unwrap_or(false) {
            return Err(Refusal::Signature);
        }
        Ok(Claims::parse(&decode(self.payload)?)?)
    }

    /// What `at_hash` and `c_hash` must be for this text (`OpenID` Connect Core, 3.1.3.6).
    pub(super) fn half_hash(&self, text: &str) -> String {
        let hash = digest::digest(self.row.3, text.as_bytes());
        let half = hash.as_ref().len() / 2;
        URL_SAFE_NO_PAD.encode(hash.as_ref().get(..half).unwrap_or_default())
    }
}

fn decode(part: &str) -> Result<Vec<u8>, Refusal> {
    URL_SAFE_NO_PAD.decode(part).or(Err(Refusal::Malformed))
}

/// A public key of the provider's (RFC 7517).
pub(super) struct Key {
    id: Option<String>,
    /// The one algorithm that it is for, if it says so.
    algorithm: Option<String>,
    shape: Shape,
    material: DecodingKey,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    crv: Option<String>,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Key {
    /// A key that can be used here; `None` for every other one.
    fn of(value: serde_json::Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        let is_for_signatures = jwk.purpose.is_none_or(|purpose| purpose == "sig")
            && jwk
                .key_ops
                .is_none_or(|all| all.iter().any(|one| one == "verify"));
        if !is_for_signatures {
            return None;
        }
        let (x, y) = (jwk.x.as_deref(), jwk.y.as_deref());
        let (shape, material) = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", _) => {
                let material = DecodingKey::from_rsa_components(&jwk.n?, &jwk.e?);
                (Shape::Rsa, material)
            }
            ("EC", Some("P-256")) => (Shape::P256, DecodingKey::from_ec_components(x?, y?)),
            ("EC", Some("P-384")) => (Shape::P384, DecodingKey::from_ec_components(x?, y?)),
            ("OKP", Some("Ed25519")) => (Shape::Ed25519, DecodingKey::from_ed_components(x?)),
            _ => return None,
        };
        Some(Self {
            id: jwk.kid,
            algorithm: jwk.alg,
            shape,
            material: material.ok()?,
        })
    }

    fn fits(&self, token: &Token<'_>) -> bool {
        let is_allowed = |algorithm: &String| algorithm == token.row.0;
        self.shape == token.row.2 && self.algorithm.as_ref().is_none_or(is_allowed)
    }
}

/// The keys of a provider, fetched and kept.
#[derive(Clone)]
pub(super) struct Keys(Arc<Kept<KeySet>>);

impl Keys {
    /// Nothing is fetched yet.
    pub(super) fn new<F>(fetch: F) -> Self
    where
        F: Fn(Timestamp) -> BoxFuture<'static, Result<KeySet, ProviderError>>
            + Send
            + Sync
            + 'static,
    {
        Self(Kept::new(FRESH_FOR, PAUSE, fetch))
    }

    /// The claims of a token that a key of the provider's signed. A key that is known waits for
    /// nothing; one that is not may be new, so the keys are fetched, now and then.
    pub(super) async fn verify(
        &self,
        token: &Token<'_>,
        now: Timestamp,
    ) -> Result<Claims, ProviderError> {
        if let Some(set) = self.0.kept(now)
            && let Some(key) = set.find(token)
        {
            return Ok(token.verify(key)?);
        }
        let set = self.0.fetched(now).await?;
        let key = set.find(token).ok_or(Refusal::UnknownKey)?;
        Ok(token.verify(key)?)
    }

    /// Fetches the keys, if that was not done just now.
    pub(super) async fn probe(&self, now: Timestamp) -> Result<(), ProviderError> {
        self.0.fetched(now).await.map(drop)
    }
}

/// The keys of a provider, as it publishes them.
pub(super) struct KeySet(Vec<Key>);

impl KeySet {
    /// How many keys a set may have.
    pub(super) const KEYS_MAX: usize = 100;

    /// Reads a set (RFC 7517, 5). A key of another kind does no harm to the others.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<serde_json::Value>,
        }
        let set: Set = serde_json::from_slice(bytes)
            .map_err(|error| format!("the keys cannot be read: {error}"))?;
        if set.keys.len() > Self::KEYS_MAX {
            return Err(format!("there are more than {} keys", Self::KEYS_MAX));
        }
        let keys: Vec<_> = set.keys.into_iter().filter_map(Key::of).collect();
        if keys.is_empty() {
            return Err("there is no key that can be used".to_owned());
        }
        Ok(Self(keys))
    }

    /// The key that a token names. One that names none can only mean the one that fits.
    pub(super) fn find(&self, token: &Token<'_>) -> Option<&Key> {
        let mut fitting = self.0.iter().filter(|key| key.fits(token));
        if token.kid.is_some() {
            return fitting.find(|key| key.id == token.kid);
        }
        let only = fitting.next();
        only.filter(|_| fitting.next().is_none())
    }
}
