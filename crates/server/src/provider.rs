//! The identity provider: where people prove who they are.
//!
//! Two kinds, one shape: any OIDC provider (`oidc`), and `WorkOS` in its own terms (`workos`). What
//! a token must say is in `claviger_core::claims`; here it is fetched and its signature checked.

mod here;
mod kept;
mod oidc;
mod token;
mod turns;
mod web;
mod workos;

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use claviger_core::{
    claims::{self, ClaimError, Claims, Logout},
    digest::Digest,
    permission::PermissionSet,
    role::Role,
    text,
    time::Timestamp,
};
use url::Url;
use zeroize::Zeroizing;

use crate::config::{ProviderConfig, ProviderKind};

use here::Here;
pub use turns::{Due, RefreshTurns, Turn};

/// Where the provider sends the browser back to, below `--public-url`.
pub const CALLBACK_PATH: &str = "/canvas/sign-in/callback";

/// Something of the provider's that is not for a log: wiped from memory when dropped, and never
/// printed.
///
/// ```compile_fail
/// fn print(text: claviger_server::provider::Private) { println!("{text:?}"); }
/// ```
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "a secret is never printed")]
pub struct Private(Zeroizing<String>);

impl Private {
    /// Hides a text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text: to seal it, or to send it back to the provider.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl<'de> serde::Deserialize<'de> for Private {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// Who somebody is, by the word of the provider.
#[derive(Clone)]
pub struct Verified {
    /// The person's id at the provider: 1 to 255 visible ASCII characters.
    pub subject: String,
    /// Who says so: the configured issuer, or the address of the `WorkOS` API.
    pub issuer: String,
    /// The org: our name or id of it where the setting `orgs` has one, else the provider's.
    pub org: String,
    /// The e-mail address to show; never one that the provider knows to be unproven.
    pub email: Option<String>,
    /// The name to show.
    pub name: Option<String>,
    /// What the roles at the provider come to. `None` beside a `role_name`: to nothing here.
    pub role: Option<Role>,
    /// The name of the role at the provider.
    pub role_name: Option<String>,
    /// The permissions of Claviger that the token names (`WorkOS`); patterns with `*` are none.
    pub permissions: PermissionSet,
    /// The session at the provider, `sid`.
    pub provider_session: Option<String>,
    /// Who acts as this person.
    pub impersonator: Option<Impersonator>,
    /// What the next refresh is asked with.
    pub refresh_token: Option<Private>,
    /// What a sign-out at the provider is asked with (OIDC).
    pub id_token: Option<Private>,
    /// When the token that says all this was issued, if it says so.
    pub issued_at: Option<Timestamp>,
    /// When what it says ends.
    pub expires_at: Timestamp,
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified")
            .field("subject", &self.subject)
            .field("org", &self.org)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

/// Somebody who acts as another person, with the provider's leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Impersonator {
    /// Who: an e-mail address, or an id.
    pub who: String,
    /// Why.
    pub reason: Option<String>,
}

/// Who acts (RFC 8693, 4.1). Somebody who acts and cannot be named gets in as nobody else.
fn acting(claims: &Claims) -> Result<Option<Impersonator>, Refusal> {
    if claims.find("act").is_none() {
        return Ok(None);
    }
    let who = claims.text("act.sub").and_then(claims::clean_name);
    let who = who.ok_or(ClaimError::Malformed("act"))?;
    Ok(Some(Impersonator { who, reason: None }))
}

/// What a sign-in begins with. All three secrets are random, and are kept beside the browser.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "a secret is never printed")]
pub struct Begin<'a> {
    /// Comes back with the browser.
    pub state: &'a str,
    /// Comes back in the ID token.
    pub nonce: &'a str,
    /// Proves that whoever began is whoever finishes (RFC 7636): 43 to 128 characters.
    pub verifier: &'a str,
    /// The provider's id of the org that the person wants (`WorkOS`).
    pub org: Option<&'a str>,
    /// The present.
    pub now: Timestamp,
}

/// What a sign-in ends with. That `state` is that of the browser is for the caller to check.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "a secret is never printed")]
pub struct Finish<'a> {
    /// What the browser brought.
    pub code: &'a str,
    /// The `iss` that the browser brought (RFC 9207).
    pub issuer: Option<&'a str>,
    /// As it began.
    pub verifier: &'a str,
    /// As it began.
    pub nonce: &'a str,
    /// The present.
    pub now: Timestamp,
}

/// What a refresh is asked with.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "a secret is never printed")]
pub struct Refresh<'a> {
    /// The newest one; it counts once.
    pub token: &'a Private,
    /// The person, who must stay the same.
    pub subject: &'a str,
    /// The present.
    pub now: Timestamp,
}

/// The provider says no, or its word does not hold. The text is for the person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No token at all.
    #[error("the token is malformed")]
    Malformed,
    /// `none`, a shared secret, or what nobody uses.
    #[error("the token is signed in a way that is not accepted")]
    Algorithm,
    /// No key of the provider's.
    #[error("the token is signed with a key that the identity provider does not have")]
    UnknownKey,
    /// The signature is not that of the key.
    #[error("the signature of the token is not right")]
    Signature,
    /// What the token says.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// The code was used, is too old, or belongs to another browser.
    #[error("this sign-in was finished already, or took too long: begin again")]
    Code,
    /// The session at the provider has ended.
    #[error("the session at the identity provider has ended: sign in again")]
    Ended,
    /// The person said no, or may not.
    #[error("the identity provider did not let you in")]
    Denied,
    /// The provider wants something else first.
    #[error("the identity provider asks for one more step (`{0}`): begin again there")]
    Step(String),
    /// Another person came back from a refresh, or from `userinfo`.
    #[error("the identity provider speaks of two persons at once: sign in again")]
    OtherPerson,
    /// The provider of this kind does not do that.
    #[error("the identity provider does not do this")]
    Unsupported,
}

impl Refusal {
    /// The stable name, for records and for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed | Self::Claim(ClaimError::Malformed(_) | ClaimError::Missing(_)) => {
                "malformed_token"
            }
            Self::Algorithm => "wrong_algorithm",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "bad_signature",
            Self::Claim(ClaimError::Issuer) => "wrong_issuer",
            Self::Claim(ClaimError::Audience) => "wrong_audience",
            Self::Claim(ClaimError::Expired) => "expired",
            Self::Claim(ClaimError::NotYet) => "not_yet_valid",
            Self::Claim(ClaimError::Nonce | ClaimError::Hash) => "other_sign_in",
            Self::Claim(ClaimError::Kind(_)) => "wrong_kind",
            Self::Claim(ClaimError::NotAPerson) => "not_a_person",
            Self::Claim(ClaimError::Org) => "no_org",
            Self::Code => "code_spent",
            Self::Ended => "session_ended",
            Self::Denied => "denied",
            Self::Step(_) => "step_required",
            Self::OtherPerson => "other_person",
            Self::Unsupported => "unsupported",
        }
    }
}

/// Why the provider's word cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// It says no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It does not answer: nobody new gets in, and whoever is in stays.
    #[error("the identity provider cannot be reached at the moment; try again in a minute")]
    Unreachable {
        /// Why, for the log.
        cause: String,
    },
    /// It answers what cannot be used: a setting is wrong, on one of the two sides.
    #[error(
        "Claviger and the identity provider are not set up for each other; tell an administrator"
    )]
    Unfit {
        /// What does not fit, for the log.
        cause: String,
    },
}

impl ProviderError {
    fn unreachable(cause: impl fmt::Display) -> Self {
        let cause = cause.to_string();
        Self::Unreachable { cause }
    }

    fn unfit(cause: impl fmt::Display) -> Self {
        let cause = cause.to_string();
        Self::Unfit { cause }
    }

    /// The stable name.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::Unreachable { .. } => "provider_unreachable",
            Self::Unfit { .. } => "provider_unfit",
        }
    }

    /// What only the log needs to know.
    #[must_use]
    pub fn cause(&self) -> Option<&str> {
        match self {
            Self::Refused(_) => None,
            Self::Unreachable { cause } | Self::Unfit { cause } => Some(cause),
        }
    }

    /// What the `error` means that the browser brought instead of a code (RFC 6749, 4.1.2.1).
    #[must_use]
    pub fn of_callback(error: &str) -> Self {
        let word = text::clean(error, 64).unwrap_or_default();
        match word.as_str() {
            "access_denied" | "login_required" | "consent_required" | "interaction_required" => {
                Refusal::Denied.into()
            }
            "server_error" | "temporarily_unavailable" => {
                Self::unreachable(format!("it answered `{word}`"))
            }
            _ => Self::unfit(format!("it answered `{word}`")),
        }
    }
}

/// The one provider of this server.
pub struct Provider {
    which: Which,
    turns: RefreshTurns,
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The rest holds secrets.
        f.debug_struct("Provider").finish_non_exhaustive()
    }
}

enum Which {
    Oidc(oidc::Oidc),
    Workos(workos::Workos),
}

impl Provider {
    /// Nothing is fetched yet.
    ///
    /// # Errors
    /// [`ProviderError::Unfit`] if no client for HTTP can be made.
    pub fn new(config: &ProviderConfig) -> Result<Self, ProviderError> {
        let here = Here {
            roles: config.roles.clone(),
            orgs: config.orgs.clone(),
            redirect_uri: config
                .public_url
                .join(CALLBACK_PATH)
                .map_err(ProviderError::unfit)?
                .to_string(),
        };
        let which = match &config.kind {
            ProviderKind::Oidc(oidc) => Which::Oidc(oidc::Oidc::new(oidc.clone(), here)?),
            ProviderKind::Workos(workos) => {
                Which::Workos(workos::Workos::new(workos.clone(), here)?)
            }
        };
        Ok(Self {
            which,
            turns: RefreshTurns::default(),
        })
    }

    /// Where to send the browser.
    ///
    /// # Errors
    /// [`ProviderError`] if the provider does not say where.
    pub async fn begin(&self, begin: &Begin<'_>) -> Result<Url, ProviderError> {
        match &self.which {
            Which::Oidc(oidc) => oidc.begin(begin).await,
            Which::Workos(workos) => workos.begin(begin),
        }
    }

    /// Who came back.
    ///
    /// # Errors
    /// [`ProviderError`].
    pub async fn finish(&self, finish: &Finish<'_>) -> Result<Verified, ProviderError> {
        match &self.which {
            Which::Oidc(oidc) => oidc.finish(finish).await,
            Which::Workos(workos) => workos.finish(finish).await,
        }
    }

    /// What the provider says of the person now. The token is spent by it, whatever comes of it: see
    /// [`Provider::refresh_in_turn`].
    ///
    /// # Errors
    /// [`ProviderError`].
    pub async fn refresh(&self, refresh: &Refresh<'_>) -> Result<Verified, ProviderError> {
        match &self.which {
            Which::Oidc(oidc) => oidc.refresh(refresh).await,
            Which::Workos(workos) => workos.refresh(refresh).await,
        }
    }

    /// Whether it is `WorkOS`.
    #[must_use]
    pub const fn is_workos(&self) -> bool {
        matches!(self.which, Which::Workos(_))
    }

    /// The issuer of everybody for whom it vouches, as it stands in their rows.
    #[must_use]
    pub fn issuer(&self) -> &str {
        match &self.which {
            Which::Oidc(oidc) => oidc.issuer(),
            Which::Workos(workos) => workos.issuer(),
        }
    }

    /// Turns in which sessions are refreshed.
    #[must_use]
    pub const fn turns(&self) -> &RefreshTurns {
        &self.turns
    }

    /// Who presents an access token. No request to the provider, unless its keys are not known.
    ///
    /// # Errors
    /// [`ProviderError`].
    pub async fn verify_access_token(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<Verified, ProviderError> {
        match &self.which {
            Which::Oidc(oidc) => oidc.verify_access_token(token, now).await,
            Which::Workos(workos) => workos.verify_access_token(token, now).await,
        }
    }

    /// Whom the provider has signed out. That the token's id counts once is for the caller to see to.
    ///
    /// # Errors
    /// [`ProviderError`]; `WorkOS` has no such thing.
    pub async fn verify_logout_token(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<Logout, ProviderError> {
        match &self.which {
            Which::Oidc(oidc) => oidc.verify_logout_token(token, now).await,
            Which::Workos(_) => Err(Refusal::Unsupported.into()),
        }
    }

    /// Where to send the browser so that the session at the provider ends too. `None`: the provider
    /// has no such place, or the session has no name there.
    ///
    /// # Errors
    /// [`ProviderError`] if the provider does not say where.
    pub async fn logout_url(&self, logout: &LogoutUrl<'_>) -> Result<Option<Url>, ProviderError> {
        match &self.which {
            Which::Oidc(oidc) => oidc.logout_url(logout).await,
            Which::Workos(workos) => workos.logout_url(logout),
        }
    }

    /// Whether the provider answers, and with something that can be used.
    ///
    /// # Errors
    /// [`ProviderError`].
    pub async fn probe(&self, now: Timestamp) -> Result<(), ProviderError> {
        match &self.which {
            Which::Oidc(oidc) => oidc.probe(now).await,
            Which::Workos(workos) => workos.probe(now).await,
        }
    }

    /// Where it sends the browser back to: must be allowed there.
    #[must_use]
    pub fn redirect_uri(&self) -> &str {
        match &self.which {
            Which::Oidc(oidc) => oidc.redirect_uri(),
            Which::Workos(workos) => workos.redirect_uri(),
        }
    }
}

/// What a sign-out at the provider is asked with.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "a secret is never printed")]
pub struct LogoutUrl<'a> {
    /// The ID token of the sign-in (OIDC).
    pub id_token: Option<&'a Private>,
    /// The session at the provider (`WorkOS`).
    pub provider_session: Option<&'a str>,
    /// Where to go then: must be allowed at the provider.
    pub return_to: &'a str,
    /// The present.
    pub now: Timestamp,
}

/// The challenge of a verifier (RFC 7636, 4.2).
fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Digest::of(verifier.as_bytes()).as_bytes())
}

/// Whether two claims sets are about the same person.
fn same_person(claims: &Claims, subject: &str) -> Result<(), Refusal> {
    let is_same = claims.subject().is_ok_and(|own| own == subject);
    is_same.then_some(()).ok_or(Refusal::OtherPerson)
}
