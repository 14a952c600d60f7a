//! Whether a report comes from GitHub: its public keys, and what they say of a signature.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ParsedPublicKey};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use claviger_wire::github as wire;
use parking_lot::RwLock;
use tokio::io::AsyncReadExt as _;

use crate::{
    config::{GithubKeySource, is_loopback},
    failure::Failure,
};

/// For how long fetched keys are taken for those of today.
const KEYS_FRESH: Duration = Duration::from_hours(1);
/// For how long they are used when no others can be fetched.
const KEYS_KEPT_MAX: Duration = Duration::from_hours(24);
/// How often they are fetched at most, whatever names strangers come up with.
const FETCH_PAUSE: Duration = Duration::from_mins(1);
/// How long a fetch may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// How large the list may be, in bytes.
const KEYS_BYTES_MAX: usize = 256 * 1024;
/// How many keys it may have.
const KEYS_MAX: usize = 100;
/// The longest name of a key, in bytes.
const KEY_IDENTIFIER_BYTES_MAX: usize = 256;
/// The longest signature in base64, in bytes: one of P-256 has at most 96.
const SIGNATURE_BYTES_MAX: usize = 256;

/// What a request says of its own signature.
pub(crate) struct Signature {
    key: String,
    bytes: Vec<u8>,
}

impl Signature {
    /// Reads the two headers.
    ///
    /// # Errors
    /// [`Failure::BadSignature`] if one is missing, given twice or malformed.
    pub(crate) fn of(headers: &http::HeaderMap) -> Result<Self, Failure> {
        let once = |name: &str, bytes_max: usize| {
            let mut values = headers.get_all(name).iter();
            let value = values.next().filter(|_| values.next().is_none());
            let text = value.and_then(|value| value.to_str().ok());
            text.filter(|text| (1..=bytes_max).contains(&text.len()))
                .map(str::to_owned)
        };
        let key = once(wire::KEY_IDENTIFIER, KEY_IDENTIFIER_BYTES_MAX);
        let signature = once(wire::KEY_SIGNATURE, SIGNATURE_BYTES_MAX);
        let (Some(key), Some(signature)) = (key, signature) else {
            return Err(Failure::BadSignature(
                "`Github-Public-Key-Identifier` and `Github-Public-Key-Signature` must each be given once",
            ));
        };
        match STANDARD.decode(signature) {
            Ok(bytes) => Ok(Self { key, bytes }),
            Err(_not_base64) => Err(Failure::BadSignature(
                "`Github-Public-Key-Signature` is not base64",
            )),
        }
    }
}

/// The public keys of GitHub, fetched when they are needed.
pub(crate) struct GithubKeys {
    source: GithubKeySource,
    known: RwLock<Known>,
    /// Held by whoever fetches, with the time of the last attempt.
    fetching: tokio::sync::Mutex<Option<Instant>>,
}

#[derive(Default)]
struct Known {
    keys: HashMap<String, Arc<ParsedPublicKey>>,
    fetched_at: Option<Instant>,
}

impl Known {
    /// Whether the keys were fetched within this time.
    fn is_within(&self, age_max: Duration) -> bool {
        self.fetched_at.is_some_and(|at| at.elapsed() < age_max)
    }
}

impl std::fmt::Debug for GithubKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GithubKeys")
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

impl GithubKeys {
    /// Nothing is fetched yet.
    pub(crate) fn new(source: GithubKeySource) -> Self {
        Self {
            source,
            known: RwLock::default(),
            fetching: tokio::sync::Mutex::default(),
        }
    }

    /// Whether GitHub signed these bytes.
    ///
    /// # Errors
    /// [`Failure::BadSignature`]; 503 when the keys cannot be had.
    pub(crate) async fn verify(&self, signature: &Signature, body: &[u8]) -> Result<(), Failure> {
        let key = self.find(&signature.key).await?;
        key.verify_sig(body, &signature.bytes)
            .map_err(|_unspecified| {
                Failure::BadSignature("the signature is not that of the body by the named key")
            })
    }

    async fn find(&self, id: &str) -> Result<Arc<ParsedPublicKey>, Failure> {
        if let Some(key) = self.fresh(id) {
            return Ok(key);
        }
        let mut tried_at = self.fetching.lock().await;
        if let Some(key) = self.fresh(id) {
            return Ok(key);
        }
        if tried_at.is_none_or(|at| at.elapsed() >= FETCH_PAUSE) {
            *tried_at = Some(Instant::now());
            match fetch(&self.source).await {
                Ok(keys) => {
                    *self.known.write() = Known {
                        keys,
                        fetched_at: Some(Instant::now()),
                    };
                }
                Err(reason) => tracing::warn!(reason, "the keys of GitHub cannot be fetched"),
            }
        }
        drop(tried_at);
        let known = self.known.read();
        if !known.is_within(KEYS_KEPT_MAX) {
            let reason = "the keys of GitHub cannot be fetched at the moment; send it again later";
            return Err(Failure::Unready(reason.to_owned()));
        }
        let found = known.keys.get(id).cloned();
        found.ok_or(Failure::BadSignature("GitHub has no key of this name"))
    }

    fn fresh(&self, id: &str) -> Option<Arc<ParsedPublicKey>> {
        let known = self.known.read();
        known
            .keys
            .get(id)
            .filter(|_| known.is_within(KEYS_FRESH))
            .cloned()
    }
}

async fn fetch(source: &GithubKeySource) -> Result<HashMap<String, Arc<ParsedPublicKey>>, String> {
    let bytes = match source {
        GithubKeySource::File(path) => read(path).await?,
        GithubKeySource::Address(url) => download(url).await.map_err(|error| {
            // The innermost reason: the outer ones only say that a request failed.
            let mut inner: &dyn std::error::Error = &*error;
            while let Some(source) = inner.source() {
                inner = source;
            }
            inner.to_string()
        })?,
    };
    parse(&bytes)
}

async fn read(path: &std::path::Path) -> Result<Vec<u8>, String> {
    let fail = |error: std::io::Error| format!("{}: {error}", path.display());
    let file = tokio::fs::File::open(path).await.map_err(fail)?;
    let limit = u64::try_from(KEYS_BYTES_MAX).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    let mut limited = file.take(limit.saturating_add(1));
    limited.read_to_end(&mut bytes).await.map_err(fail)?;
    if bytes.len() > KEYS_BYTES_MAX {
        return Err(too_large());
    }
    Ok(bytes)
}

async fn download(url: &url::Url) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
    let is_near = is_loopback(url);
    let builder = reqwest::Client::builder()
        // GitHub answers nobody who does not say what it is.
        .user_agent(concat!("claviger/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .timeout(FETCH_TIMEOUT)
        .https_only(!is_near);
    let builder = if is_near { builder.no_proxy() } else { builder };
    let request = builder.build()?.get(url.clone());
    let request = request.header(http::header::ACCEPT, "application/json");
    let mut response = request.send().await?;
    if response.status() != http::StatusCode::OK {
        return Err(format!("the answer is {}", response.status()).into());
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > KEYS_BYTES_MAX {
            return Err(too_large().into());
        }
    }
    Ok(bytes)
}

fn too_large() -> String {
    format!("the list is larger than {KEYS_BYTES_MAX} bytes")
}

/// The keys that can be used; one of another kind does no harm to the others.
fn parse(bytes: &[u8]) -> Result<HashMap<String, Arc<ParsedPublicKey>>, String> {
    let list: wire::GithubKeys =
        serde_json::from_slice(bytes).map_err(|error| format!("no list of keys: {error}"))?;
    if list.public_keys.len() > KEYS_MAX {
        return Err(format!("the list has more than {KEYS_MAX} keys"));
    }
    let mut keys = HashMap::new();
    for row in list.public_keys {
        match public_key(&row.key) {
            Some(key) => {
                keys.insert(row.key_identifier, Arc::new(key));
            }
            None => tracing::warn!(
                key = %row.key_identifier,
                "a key of GitHub cannot be used: it is no ECDSA P-256 key in PEM"
            ),
        }
    }
    if keys.is_empty() {
        return Err("the list has no key that can be used".to_owned());
    }
    Ok(keys)
}

/// From PEM (RFC 7468) to a key of the one kind that is known here.
fn public_key(pem: &str) -> Option<ParsedPublicKey> {
    let (_, rest) = pem.split_once("-----BEGIN PUBLIC KEY-----")?;
    let (body, _) = rest.split_once("-----END PUBLIC KEY-----")?;
    let body: String = body.split_whitespace().collect();
    let der = STANDARD.decode(body).ok()?;
    ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, der).ok()
}
