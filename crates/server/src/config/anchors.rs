//! Where checkpoints are kept outside the database.

use std::{path::PathBuf, time::Duration};

use claviger_core::{
    ledger::note::{Kind, VerifierKey},
    time::parse_duration,
};
use url::Url;
use zeroize::Zeroizing;

use super::{ConfigError, provider::secret, raw::Raw};

/// The most witnesses: each adds a line to what is anchored, and is asked at the same time as the others.
pub const WITNESSES_MAX: usize = 16;
/// How often at most, and at least.
const EVERY_MIN: Duration = Duration::from_secs(10);
const EVERY_MAX: Duration = Duration::from_hours(24);

/// Where checkpoints go, and how often.
#[derive(Debug, Clone)]
pub struct AnchorConfig {
    /// A file with a line for each.
    pub file: Option<PathBuf>,
    /// A program of the operator's that takes them.
    pub webhook: Option<WebhookConfig>,
    /// Those who sign that a trail only grew.
    pub witnesses: Vec<WitnessConfig>,
    /// How often it is looked for what to anchor.
    pub every: Duration,
}

/// A program that takes anchors.
#[derive(Clone)]
pub struct WebhookConfig {
    /// Where they are sent.
    pub url: Url,
    /// What proves to it that they come from us.
    pub secret: Option<Zeroizing<String>>,
}

impl std::fmt::Debug for WebhookConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebhookConfig").finish_non_exhaustive()
    }
}

/// A witness (C2SP tlog-witness).
#[derive(Debug, Clone)]
pub struct WitnessConfig {
    /// Its submission prefix, without a slash at the end.
    pub url: Url,
    /// What its signatures are verified with.
    pub key: VerifierKey,
}

pub(super) fn check(raw: &Raw) -> Result<AnchorConfig, ConfigError> {
    let secret = secret(raw, "anchor-webhook-secret", "anchor-webhook-secret-file")?;
    let url = raw.given("anchor-webhook").map(address).transpose();
    let url = url.map_err(|reason| raw.bad("anchor-webhook", reason))?;
    if secret.is_some() && url.is_none() {
        let reason = "counts only beside `anchor-webhook`, which is not set";
        return Err(raw.bad("anchor-webhook-secret", reason));
    }
    if secret.as_ref().is_some_and(|secret| !is_header(secret)) {
        let reason = "must be printable ASCII without spaces";
        return Err(raw.bad("anchor-webhook-secret", reason));
    }
    Ok(AnchorConfig {
        file: raw.given("anchor-file").map(PathBuf::from),
        webhook: url.map(|url| WebhookConfig { url, secret }),
        witnesses: witnesses(raw)?,
        every: match parse_duration(raw.get("anchor-every")) {
            Ok(every) if (EVERY_MIN..=EVERY_MAX).contains(&every) => every,
            Ok(_) | Err(_) => return Err(raw.bad("anchor-every", "must be from `10s` to `1d`")),
        },
    })
}

fn is_header(secret: &str) -> bool {
    secret.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The operator may well mean a host inside: it is the operator who says so.
fn address(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("`{text}` is no address: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("must be an address such as `https://anchors.example.com/claviger`".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user name or a password".to_owned());
    }
    Ok(url)
}

fn witnesses(raw: &Raw) -> Result<Vec<WitnessConfig>, ConfigError> {
    let bad = |reason: String| raw.bad("witness", reason);
    let given = raw.get("witness").split(',').map(str::trim);
    let given = given.filter(|part| !part.is_empty());
    let mut witnesses: Vec<WitnessConfig> = Vec::new();
    for part in given {
        let witness = witness(part).map_err(bad)?;
        let is_same = |other: &WitnessConfig| {
            (other.key.name(), other.key.id()) == (witness.key.name(), witness.key.id())
        };
        if witnesses.iter().any(is_same) {
            let name = witness.key.name();
            return Err(bad(format!("the witness `{name}` is there twice")));
        }
        witnesses.push(witness);
    }
    if witnesses.len() > WITNESSES_MAX {
        return Err(bad(format!("must be at most {WITNESSES_MAX}")));
    }
    Ok(witnesses)
}

/// `https://host/prefix=name+id+key`: neither an address without a query nor the key needs a `=`.
fn witness(text: &str) -> Result<WitnessConfig, String> {
    let Some((url, key)) = text.split_once('=') else {
        return Err(format!(
            "`{text}` must be the address of a witness, `=`, and its public key"
        ));
    };
    let key: VerifierKey = key
        .parse()
        .map_err(|error| format!("`{key}` is no public key: {error}"))?;
    if key.kind() != Kind::Cosignature {
        let name = key.name();
        return Err(format!(
            "`{name}` is no key of a witness: its type must be 0x04, cosignature/v1"
        ));
    }
    let mut url = address(url)?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err("the address of a witness has neither `?` nor `#`".to_owned());
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(WitnessConfig { url, key })
}

#[cfg(test)]
mod tests {
    use super::witness;

    const KEY: &str = "witness.example/w1+1ad5b0ab+BDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0";

    fn key(kind: u8) -> String {
        use claviger_core::ledger::note::{Kind, VerifierKey};
        let kind = if kind == 4 {
            Kind::Cosignature
        } else {
            Kind::Ed25519
        };
        let key = VerifierKey::new("witness.example/w1", kind, [7; 32]);
        key.expect("a name").to_string()
    }

    #[test]
    fn witness_is_an_address_and_a_key() {
        let text = format!("https://witness.example/log/={}", key(4));
        let witness = witness(&text).expect("a witness");
        assert_eq!(witness.url.as_str(), "https://witness.example/log");
        assert_eq!(witness.key.to_string(), key(4));
    }

    #[test]
    fn witness_that_could_not_be_asked_or_believed_is_refused() {
        let good = key(4);
        for bad in [
            "https://witness.example".to_owned(),
            format!("={good}"),
            format!("ftp://witness.example={good}"),
            format!("https://u:p@witness.example={good}"),
            format!("https://witness.example/#x={good}"),
            format!("https://witness.example={}", key(1)),
            // The id does not fit.
            format!("https://witness.example={KEY}"),
        ] {
            assert!(witness(&bad).is_err(), "{bad}");
        }
    }
}
