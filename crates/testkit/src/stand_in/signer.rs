//! A key pair that signs tokens, as they should be or not.

use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
        RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// What kind of key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// RSA of 2048 bits: RS256, and PS256 where the header says so.
    Rsa,
    /// ES256.
    P256,
    /// `EdDSA`.
    Ed25519,
}

enum Pair {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// Signs tokens.
pub struct Signer {
    id: String,
    pair: Pair,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Signer {
    /// A fresh RSA key with this `kid`.
    #[must_use]
    pub fn new(id: &str) -> Self {
        Self::of(id, Kind::Rsa)
    }

    /// A fresh key of this kind.
    #[must_use]
    pub fn of(id: &str, kind: Kind) -> Self {
        let pair = match kind {
            Kind::Rsa => RsaKeyPair::generate(KeySize::Rsa2048).map(Pair::Rsa),
            Kind::P256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map(Pair::P256),
            Kind::Ed25519 => Ed25519KeyPair::generate().map(Pair::Ed25519),
        };
        Self {
            id: id.to_owned(),
            pair: pair.expect("a key can be made"),
        }
    }

    /// The algorithm that it signs with if the header says nothing else.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        match self.pair {
            Pair::Rsa(_) => "RS256",
            Pair::P256(_) => "ES256",
            Pair::Ed25519(_) => "EdDSA",
        }
    }

    /// The public key, as a provider publishes it.
    #[must_use]
    pub fn jwk(&self) -> Value {
        let mut jwk = match &self.pair {
            Pair::Rsa(pair) => {
                let key = pair.public_key();
                let n = encode(key.modulus().big_endian_without_leading_zero());
                let e = encode(key.exponent().big_endian_without_leading_zero());
                json!({"kty": "RSA", "n": n, "e": e})
            }
            Pair::P256(pair) => {
                let point = pair.public_key().as_ref();
                let (x, y) = point.get(1..).unwrap_or_default().split_at(32);
                json!({"kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y)})
            }
            Pair::Ed25519(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key().as_ref())})
            }
        };
        set(&mut jwk, "kid", json!(self.id));
        set(&mut jwk, "use", json!("sig"));
        set(&mut jwk, "alg", json!(self.algorithm()));
        jwk
    }

    /// A token with these claims.
    #[must_use]
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_as(&json!({}), claims)
    }

    /// A token whose header differs from the usual one in these members; `null` takes one away.
    #[must_use]
    pub fn sign_as(&self, header: &Value, claims: &Value) -> String {
        let mut whole = json!({"alg": self.algorithm(), "kid": self.id, "typ": "JWT"});
        for (name, value) in header.as_object().into_iter().flatten() {
            set(&mut whole, name, value.clone());
        }
        let signed = signed_part(&whole, claims);
        let is_pss = whole.get("alg").is_some_and(|alg| alg == "PS256");
        let signature = encode(&self.signature(signed.as_bytes(), is_pss));
        format!("{signed}.{signature}")
    }

    fn signature(&self, message: &[u8], is_pss: bool) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let encoding: &'static dyn RsaEncoding = if is_pss {
                    &RSA_PSS_SHA256
                } else {
                    &RSA_PKCS1_SHA256
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &random, message, &mut signature)
                    .expect("RSA signs");
                signature
            }
            Pair::P256(pair) => {
                let signature = pair.sign(&random, message).expect("ECDSA signs");
                signature.as_ref().to_vec()
            }
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    /// A token without a signature, `alg: none`.
    #[must_use]
    pub fn unsigned(&self, claims: &Value) -> String {
        let header = json!({"alg": "none", "kid": self.id, "typ": "JWT"});
        format!("{}.", signed_part(&header, claims))
    }

    /// A token of `HS256` whose shared secret is this text: the public key, as everybody has it.
    #[must_use]
    pub fn sign_shared(&self, secret: &[u8], claims: &Value) -> String {
        let header = json!({"alg": "HS256", "kid": self.id, "typ": "JWT"});
        let signed = signed_part(&header, claims);
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let tag = hmac::sign(&key, signed.as_bytes());
        format!("{signed}.{}", encode(tag.as_ref()))
    }
}

fn signed_part(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| encode(value.to_string().as_bytes());
    format!("{}.{}", part(header), part(claims))
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Sets a member of an object, or takes it away with `null`.
pub(super) fn set(object: &mut Value, name: &str, value: Value) {
    let members = object.as_object_mut().expect("an object");
    if value.is_null() {
        members.remove(name);
    } else {
        members.insert(name.to_owned(), value);
    }
}
