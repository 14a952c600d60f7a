//! The identity provider: an OIDC provider, `WorkOS`, or none.

use std::collections::BTreeMap;

use claviger_core::role::RoleMap;
use url::Url;
use zeroize::Zeroizing;

use super::{ConfigError, github::is_loopback, raw::Raw};

/// The settings that only count with a provider of one kind.
const OIDC_SETTINGS: [&str; 8] = [
    "oidc-issuer",
    "oidc-client-id",
    "oidc-client-secret",
    "oidc-client-secret-file",
    "oidc-org-claim",
    "oidc-role-claim",
    "oidc-audience",
    "oidc-scopes",
];
const WORKOS_SETTINGS: [&str; 5] = [
    "workos-api-key",
    "workos-api-key-file",
    "workos-client-id",
    "workos-api-url",
    "workos-issuer",
];
/// Where `WorkOS` is.
const WORKOS_API: &str = "https://api.workos.com";
/// What is asked for unless a setting says otherwise.
const SCOPES: &str = "openid profile email";

/// The settings that are never shown, and have no flag and no place in `claviger.toml`.
pub(super) const SECRETS: [&str; 3] = [
    "oidc-client-secret",
    "workos-api-key",
    "anchor-webhook-secret",
];

/// Where people sign in, and what they are here.
#[derive(Clone)]
pub struct ProviderConfig {
    /// Which provider.
    pub kind: ProviderKind,
    /// Which role each of its roles comes to.
    pub roles: RoleMap,
    /// Our name or id of an org, by the provider's.
    pub orgs: BTreeMap<String, String>,
    /// The address by which the browser comes back: scheme, host and port.
    pub public_url: Url,
}

/// A provider of one of the two kinds.
#[derive(Clone)]
pub enum ProviderKind {
    /// Any provider that speaks `OpenID` Connect.
    Oidc(OidcConfig),
    /// `WorkOS` `AuthKit`.
    Workos(WorkosConfig),
}

/// An `OpenID` Connect provider.
#[derive(Clone)]
pub struct OidcConfig {
    /// Its issuer, to the letter.
    pub issuer: Url,
    /// The issuer as it was written, which is how it must be in tokens.
    pub issuer_text: String,
    /// Our id there.
    pub client_id: String,
    /// Our secret there; `None`: a public client, whose one proof is PKCE.
    pub client_secret: Option<Zeroizing<String>>,
    /// The claim that names the org; `None`: everybody is of the org `default`.
    pub org_claim: Option<String>,
    /// The claim that names the roles.
    pub role_claim: Option<String>,
    /// The audience of access tokens, if it is not our client id.
    pub audience: Option<String>,
    /// What is asked for.
    pub scopes: String,
}

/// `WorkOS`.
#[derive(Clone)]
pub struct WorkosConfig {
    /// The secret of the environment.
    pub api_key: Zeroizing<String>,
    /// The client of the environment.
    pub client_id: String,
    /// Where its API is, without a slash at the end.
    pub api_url: Url,
    /// What `iss` may be, without a slash at the end.
    pub issuers: Vec<String>,
}

impl std::fmt::Debug for ProviderConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProviderConfig")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for ProviderKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Oidc(config) => config.fmt(f),
            Self::Workos(config) => config.fmt(f),
        }
    }
}

impl std::fmt::Debug for OidcConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OidcConfig")
            .field("issuer", &self.issuer_text)
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for WorkosConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkosConfig")
            .field("client_id", &self.client_id)
            .field("api_url", &self.api_url.as_str())
            .finish_non_exhaustive()
    }
}

/// Whether a provider is meant, also where its settings are not whole.
pub(super) fn is_meant(raw: &Raw) -> bool {
    let all = OIDC_SETTINGS.iter().chain(&WORKOS_SETTINGS);
    all.copied().any(|name| raw.given(name).is_some())
}

/// Reads the settings of the provider.
pub(super) fn check(raw: &Raw) -> Result<Option<ProviderConfig>, ConfigError> {
    let first = |names: &[&'static str]| names.iter().copied().find(|n| raw.given(n).is_some());
    let kind = match (first(&OIDC_SETTINGS), first(&WORKOS_SETTINGS)) {
        (None, None) => {
            let name = first(&["roles", "orgs"]);
            return name.map_or(Ok(None), |name| {
                let reason = "only counts with an identity provider: set `oidc-issuer`, or `workos-client-id` and WORKOS_API_KEY";
                Err(raw.bad(name, reason))
            });
        }
        (Some(_), Some(name)) => {
            let reason =
                "an OIDC provider is set too; there can be one: unset the settings of the other";
            return Err(raw.bad(name, reason));
        }
        (Some(name), None) => ProviderKind::Oidc(oidc(raw, name)?),
        (None, Some(name)) => ProviderKind::Workos(workos(raw, name)?),
    };
    let roles = raw.given("roles").map(str::parse).transpose();
    Ok(Some(ProviderConfig {
        kind,
        roles: roles
            .map_err(|error| raw.bad("roles", format!("{error}")))?
            .unwrap_or_default(),
        orgs: orgs(raw)?,
        public_url: public_url(raw)?,
    }))
}

fn oidc(raw: &Raw, given: &'static str) -> Result<OidcConfig, ConfigError> {
    let owned = |name| raw.given(name).map(str::to_owned);
    let Some(issuer_text) = owned("oidc-issuer") else {
        return Err(raw.bad(given, "counts only beside `oidc-issuer`, which is not set"));
    };
    let Some(client_id) = owned("oidc-client-id") else {
        let reason = "needs `oidc-client-id` beside it: the id of Claviger at the provider";
        return Err(raw.bad("oidc-issuer", reason));
    };
    let scopes = owned("oidc-scopes").unwrap_or_else(|| SCOPES.to_owned());
    if !scopes.split(' ').any(|scope| scope == "openid") {
        return Err(raw.bad("oidc-scopes", "must have `openid` among its words"));
    }
    Ok(OidcConfig {
        issuer: address(raw, "oidc-issuer")?,
        issuer_text,
        client_id,
        client_secret: secret(raw, "oidc-client-secret", "oidc-client-secret-file")?,
        org_claim: owned("oidc-org-claim"),
        role_claim: owned("oidc-role-claim"),
        audience: owned("oidc-audience"),
        scopes,
    })
}

fn workos(raw: &Raw, given: &'static str) -> Result<WorkosConfig, ConfigError> {
    let owned = |name| raw.given(name).map(str::to_owned);
    let Some(client_id) = owned("workos-client-id") else {
        return Err(raw.bad(
            given,
            "counts only beside WORKOS_CLIENT_ID, which is not set",
        ));
    };
    let Some(api_key) = secret(raw, "workos-api-key", "workos-api-key-file")? else {
        let reason = "needs WORKOS_API_KEY beside it, or WORKOS_API_KEY_FILE";
        return Err(raw.bad("workos-client-id", reason));
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !client_id.chars().all(is_plain) {
        let reason = "must be of the form `client_…`, as the dashboard of WorkOS shows it";
        return Err(raw.bad("workos-client-id", reason));
    }
    let api_url = match raw.given("workos-api-url") {
        Some(_) => address(raw, "workos-api-url")?,
        None => Url::parse(WORKOS_API).map_err(|_fixed| raw.bad("workos-api-url", "no address"))?,
    };
    Ok(WorkosConfig {
        issuers: workos_issuers(raw, &api_url, &client_id),
        api_key,
        client_id,
        api_url,
    })
}

/// A secret of the environment, or of a file that is named there.
pub(super) fn secret(
    raw: &Raw,
    name: &'static str,
    file: &'static str,
) -> Result<Option<Zeroizing<String>>, ConfigError> {
    let text = match (raw.given(name), raw.given(file)) {
        (Some(_), Some(_)) => {
            return Err(raw.bad(file, format!("`{name}` is set too; unset one")));
        }
        (Some(text), None) => Zeroizing::new(text.to_owned()),
        (None, Some(path)) => {
            let text = std::fs::read_to_string(path).map(Zeroizing::new);
            let text = text.map_err(|error| raw.bad(file, format!("cannot read it: {error}")))?;
            Zeroizing::new(text.trim().to_owned())
        }
        (None, None) => return Ok(None),
    };
    if text.is_empty() {
        return Err(raw.bad(file, "the file is empty"));
    }
    Ok(Some(text))
}

/// The issuers that `WorkOS` documents: the address of the API, and the same with the client. An
/// environment with a domain of its own keeps the usual one in its tokens, or has its own. Others
/// are named by the setting, which then stands for all.
fn workos_issuers(raw: &Raw, api_url: &Url, client_id: &str) -> Vec<String> {
    let bare = |text: &str| text.trim().trim_end_matches('/').to_owned();
    if let Some(text) = raw.given("workos-issuer") {
        return text.split(',').map(bare).collect();
    }
    let bases = [bare(api_url.as_str()), WORKOS_API.to_owned()];
    let shapes = |base: String| [format!("{base}/user_management/{client_id}"), base];
    bases.into_iter().flat_map(shapes).collect()
}

/// An https address, or one on this machine; without a user, a question or a fragment.
fn address(raw: &Raw, name: &'static str) -> Result<Url, ConfigError> {
    let fail = |reason: &str| Err(raw.bad(name, reason));
    let Ok(url) = Url::parse(raw.get(name)) else {
        return fail("must be an address such as `https://id.example.com`");
    };
    let is_plain_but_near = url.scheme() == "http" && is_loopback(&url);
    if url.scheme() != "https" && !is_plain_but_near {
        return fail("must be an https address: whoever stands between could sign in as anybody");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return fail("must not hold a user name or a password");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return fail("must have no `?` and no `#`");
    }
    Ok(url)
}

fn public_url(raw: &Raw) -> Result<Url, ConfigError> {
    let Some(text) = raw.given("public-url") else {
        let reason = "must be set where people sign in through a provider: it is the address that the browser comes back to";
        return Err(raw.bad("public-url", reason));
    };
    match Url::parse(text) {
        Ok(url) => Ok(url),
        Err(error) => Err(raw.bad("public-url", format!("is no address: {error}"))),
    }
}

/// Pairs such as `org_01H=acme`, with commas between: the provider's name, and ours.
fn orgs(raw: &Raw) -> Result<BTreeMap<String, String>, ConfigError> {
    let mut orgs = BTreeMap::new();
    for part in raw
        .given("orgs")
        .into_iter()
        .flat_map(|text| text.split(','))
    {
        let part = part.trim();
        let pair = part
            .rsplit_once('=')
            .map(|(their, our)| (their.trim(), our.trim()));
        let Some((their, our)) = pair.filter(|(their, our)| !their.is_empty() && !our.is_empty())
        else {
            let reason = format!("`{part}` is not of the form provider-org=org");
            return Err(raw.bad("orgs", reason));
        };
        if orgs.insert(their.to_owned(), our.to_owned()).is_some() {
            return Err(raw.bad("orgs", format!("`{their}` is there twice")));
        }
    }
    Ok(orgs)
}

#[cfg(test)]
mod tests;
