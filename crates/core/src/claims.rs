//! What a signed token says of a person, and whether that may be believed here and now.
//!
//! The signature is checked elsewhere. Here are the rules of `OpenID` Connect Core 1.0 (3.1.3.7),
//! Back-Channel Logout 1.0 (2.6), RFC 9068 for access tokens, and what `WorkOS` documents.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::{text, time::Timestamp};

/// How far the clocks of the provider and of this server may be apart.
pub const SKEW: Duration = Duration::from_secs(60);
/// How old a logout token may be: for so long its id must be remembered.
pub const LOGOUT_AGE_MAX: Duration = Duration::from_mins(10);
/// The longest subject, session id and token id, in bytes.
pub const ID_BYTES_MAX: usize = 255;
/// The longest e-mail address, in characters (RFC 5321, 4.5.3.1.3).
pub const EMAIL_CHARS_MAX: usize = 254;
/// The longest name of a person that is kept, in characters.
pub const PERSON_NAME_CHARS_MAX: usize = 100;
/// The longest name of an org or a role as the provider writes it, in characters.
pub const FOREIGN_NAME_CHARS_MAX: usize = 255;

const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// Why the claims of a token are not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// Not a JSON object, or a claim of the wrong type.
    #[error("the token is malformed: `{0}`")]
    Malformed(&'static str),
    /// A claim that must be there is not.
    #[error("the token has no `{0}`")]
    Missing(&'static str),
    /// `iss` is another one.
    #[error("the token was issued by somebody else")]
    Issuer,
    /// `aud`, `azp` or `client_id` name others.
    #[error("the token was issued for another application")]
    Audience,
    /// `exp` is past.
    #[error("the token has expired")]
    Expired,
    /// `nbf` or `iat` is in the future.
    #[error("the token is not valid yet: are the clocks right?")]
    NotYet,
    /// `nonce` is not the one of this sign-in.
    #[error("the token belongs to another sign-in")]
    Nonce,
    /// A token of one kind in the place of another.
    #[error("this is not {0}")]
    Kind(&'static str),
    /// `at_hash` or `c_hash` disagree with what came along.
    #[error("the token does not belong to what came with it")]
    Hash,
    /// `sub` is that of a program.
    #[error("the token is that of a program, not of a person")]
    NotAPerson,
    /// The org claim is missing, or names several.
    #[error("the identity provider names no organization: choose one when you sign in")]
    Org,
}

/// The claims of a token, or what `userinfo` adds to them.
///
/// It has no `Debug`: claims are about people.
#[derive(Clone, Default)]
#[expect(missing_debug_implementations, reason = "claims are about people")]
pub struct Claims(Map<String, Value>);

impl Claims {
    /// Reads a JSON object.
    ///
    /// # Errors
    /// [`ClaimError::Malformed`] if it is none.
    pub fn parse(bytes: &[u8]) -> Result<Self, ClaimError> {
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(map)) => Ok(Self(map)),
            _ => Err(ClaimError::Malformed("claims")),
        }
    }

    /// These claims, and those of `other` that are not among them.
    #[must_use]
    pub fn or(mut self, other: Self) -> Self {
        for (name, value) in other.0 {
            self.0.entry(name).or_insert(value);
        }
        self
    }

    /// A claim by its name, or by a path with dots (`realm_access.roles`) where no claim has that
    /// very name. `null` counts as absent.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<&Value> {
        let found = self.0.get(path).or_else(|| {
            let mut steps = path.split('.');
            let first = self.0.get(steps.next()?)?;
            steps.try_fold(first, |value, step| value.get(step))
        });
        found.filter(|value| !value.is_null())
    }

    /// A claim that is a text.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<&str> {
        self.find(path).and_then(Value::as_str)
    }

    /// The texts of a claim that is one text or a list of them.
    #[must_use]
    pub fn texts(&self, path: &str) -> Vec<&str> {
        match self.find(path) {
            Some(Value::String(text)) => vec![text],
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }

    /// The subject: 1 to 255 printable ASCII characters without spaces, for it becomes a label in
    /// the audit trail.
    ///
    /// # Errors
    /// [`ClaimError`] if it is missing or of another shape.
    pub fn subject(&self) -> Result<&str, ClaimError> {
        self.id("sub")?.ok_or(ClaimError::Missing("sub"))
    }

    /// An id such as `sid` or `jti`, of the same shape as a subject.
    ///
    /// # Errors
    /// [`ClaimError::Malformed`] if it is of another shape.
    pub fn id(&self, name: &'static str) -> Result<Option<&str>, ClaimError> {
        match self.find(name) {
            None => Ok(None),
            Some(Value::String(id)) if is_id(id) => Ok(Some(id)),
            Some(_) => Err(ClaimError::Malformed(name)),
        }
    }

    /// The e-mail address, as far as it can be shown. One that the provider knows to be unproven
    /// is left out: anybody could write anybody's.
    #[must_use]
    pub fn email(&self) -> Option<String> {
        let is_unproven = matches!(self.find("email_verified"), Some(Value::Bool(false)))
            || self.text("email_verified") == Some("false");
        let email = self.text("email").filter(|_| !is_unproven)?;
        clean_email(email)
    }

    /// The name to show.
    #[must_use]
    pub fn name(&self) -> Option<String> {
        let whole = self.text("name").map(str::to_owned);
        let parts = [self.text("given_name"), self.text("family_name")];
        let joined = || parts.into_iter().flatten().collect::<Vec<_>>().join(" ");
        let name = whole.unwrap_or_else(joined);
        clean_name(&name).or_else(|| clean_name(self.text("preferred_username")?))
    }

    /// The one org that a claim names.
    ///
    /// # Errors
    /// [`ClaimError::Org`] if it names none, several, or one that could not be shown.
    pub fn org(&self, path: &str) -> Result<String, ClaimError> {
        match self.texts(path).as_slice() {
            [org] if text::clean(org, FOREIGN_NAME_CHARS_MAX).as_deref() == Some(*org) => {
                Ok((*org).to_owned())
            }
            _ => Err(ClaimError::Org),
        }
    }

    /// A time in seconds since the epoch (RFC 7519, 2), whole or not.
    fn time(&self, name: &'static str) -> Result<Option<Timestamp>, ClaimError> {
        let Some(value) = self.find(name) else {
            return Ok(None);
        };
        let seconds = value.as_f64().ok_or(ClaimError::Malformed(name))?;
        let span = Duration::try_from_secs_f64(seconds);
        match span.map(|span| i64::try_from(span.as_millis())) {
            Ok(Ok(millis)) => Ok(Some(Timestamp::from_millis(millis))),
            _ => Err(ClaimError::Malformed(name)),
        }
    }

    /// When it was issued, `iat`, if it says so.
    #[must_use]
    pub fn issued_at(&self) -> Option<Timestamp> {
        self.time("iat").ok().flatten()
    }

    fn issued_by(&self, is_issuer: impl FnOnce(&str) -> bool) -> Result<(), ClaimError> {
        let issuer = self.text("iss").ok_or(ClaimError::Missing("iss"))?;
        is_issuer(issuer).then_some(()).ok_or(ClaimError::Issuer)
    }

    /// `exp`, `nbf` and `iat` against the clock. Returns `exp`.
    fn in_time(&self, now: Timestamp) -> Result<Timestamp, ClaimError> {
        let end = self.time("exp")?.ok_or(ClaimError::Missing("exp"))?;
        self.has_begun(now)?;
        if now >= end.plus(SKEW) {
            return Err(ClaimError::Expired);
        }
        Ok(end)
    }

    fn has_begun(&self, now: Timestamp) -> Result<(), ClaimError> {
        for name in ["nbf", "iat"] {
            if self.time(name)?.is_some_and(|from| from > now.plus(SKEW)) {
                return Err(ClaimError::NotYet);
            }
        }
        Ok(())
    }
}

fn is_id(text: &str) -> bool {
    (1..=ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// An e-mail address as far as it can be shown: no spaces, nothing invisible, an `@` within.
#[must_use]
pub fn clean_email(raw: &str) -> Option<String> {
    let email = text::clean(raw, EMAIL_CHARS_MAX)?;
    let is_address = email.contains('@') && !email.contains(char::is_whitespace);
    is_address.then_some(email)
}

/// The name of a person as far as it can be shown.
#[must_use]
pub fn clean_name(raw: &str) -> Option<String> {
    text::clean(raw, PERSON_NAME_CHARS_MAX)
}

/// What an ID token must agree with.
#[derive(Debug, Clone, Copy)]
pub struct IdToken<'a> {
    /// The issuer, to the letter.
    pub issuer: &'a str,
    /// Our client id.
    pub client_id: &'a str,
    /// The nonce of this sign-in; `None` for a refresh, whose token need not carry one.
    pub nonce: Option<&'a str>,
    /// The present.
    pub now: Timestamp,
}

impl IdToken<'_> {
    /// Checks the claims; returns when the token ends.
    ///
    /// # Errors
    /// [`ClaimError`] for the first claim that does not agree.
    pub fn check(&self, claims: &Claims) -> Result<Timestamp, ClaimError> {
        claims.issued_by(|issuer| issuer == self.issuer)?;
        let audiences = claims.texts("aud");
        let azp = claims.text("azp");
        let is_for_us = audiences.contains(&self.client_id)
            && azp.is_none_or(|azp| azp == self.client_id)
            && (audiences.len() == 1 || azp.is_some());
        if !is_for_us {
            return Err(ClaimError::Audience);
        }
        let end = claims.in_time(self.now)?;
        claims.time("iat")?.ok_or(ClaimError::Missing("iat"))?;
        claims.subject()?;
        if claims.find("events").is_some() {
            return Err(ClaimError::Kind("an ID token"));
        }
        if self.nonce.is_some() && claims.text("nonce") != self.nonce {
            return Err(ClaimError::Nonce);
        }
        Ok(end)
    }
}

/// What an access token of an OIDC provider must agree with.
#[derive(Debug, Clone, Copy)]
pub struct AccessToken<'a> {
    /// The issuer, to the letter.
    pub issuer: &'a str,
    /// One of its audiences.
    pub audience: &'a str,
    /// The one client that may have asked for it. `None`: the audience is an API of its own, which
    /// any client of the provider may have a token for.
    pub client_id: Option<&'a str>,
    /// The present.
    pub now: Timestamp,
}

impl AccessToken<'_> {
    /// Checks the claims; returns when the token ends. An ID token is refused: it says who somebody
    /// is to the application that asked, and lies about in more places than an access token.
    ///
    /// # Errors
    /// [`ClaimError`] for the first claim that does not agree.
    pub fn check(&self, claims: &Claims) -> Result<Timestamp, ClaimError> {
        claims.issued_by(|issuer| issuer == self.issuer)?;
        if !claims.texts("aud").contains(&self.audience) {
            return Err(ClaimError::Audience);
        }
        let clients = [claims.text("azp"), claims.text("client_id")];
        let is_other = |client: &str| self.client_id.is_some_and(|own| own != client);
        if clients.into_iter().flatten().any(is_other) {
            return Err(ClaimError::Audience);
        }
        let marks = ["nonce", "at_hash", "c_hash", "events"];
        if marks.iter().any(|mark| claims.find(mark).is_some()) {
            return Err(ClaimError::Kind("an access token"));
        }
        let end = claims.in_time(self.now)?;
        // RFC 9068, 5: without a person the client itself is the subject.
        if clients.contains(&Some(claims.subject()?)) {
            return Err(ClaimError::NotAPerson);
        }
        Ok(end)
    }
}

/// What an access token of `WorkOS` must agree with.
#[derive(Debug, Clone, Copy)]
pub struct WorkosToken<'a> {
    /// The issuers, without a slash at their end.
    pub issuers: &'a [String],
    /// Our client id.
    pub client_id: &'a str,
    /// The present.
    pub now: Timestamp,
}

impl WorkosToken<'_> {
    /// Checks the claims; returns when the token ends. The audience is checked where there is one:
    /// `WorkOS` writes none unless a template of the customer does.
    ///
    /// # Errors
    /// [`ClaimError`] for the first claim that does not agree.
    pub fn check(&self, claims: &Claims) -> Result<Timestamp, ClaimError> {
        claims.issued_by(|issuer| {
            let bare = issuer.strip_suffix('/').unwrap_or(issuer);
            self.issuers.iter().any(|own| own == bare)
        })?;
        for name in ["aud", "azp", "client_id"] {
            if claims.find(name).is_some() && !claims.texts(name).contains(&self.client_id) {
                return Err(ClaimError::Audience);
            }
        }
        let end = claims.in_time(self.now)?;
        if !claims.subject()?.starts_with("user_") {
            return Err(ClaimError::NotAPerson);
        }
        Ok(end)
    }
}

/// What a logout token must agree with.
#[derive(Debug, Clone, Copy)]
pub struct LogoutToken<'a> {
    /// The issuer, to the letter.
    pub issuer: &'a str,
    /// Our client id.
    pub client_id: &'a str,
    /// The present.
    pub now: Timestamp,
}

/// Whom the provider has signed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logout {
    /// The person; `None`: see the session.
    pub subject: Option<String>,
    /// The session at the provider; `None`: every session of the person.
    pub provider_session: Option<String>,
    /// When it signed them out: sessions that began later are not meant.
    pub issued_at: Timestamp,
    /// The id of the token, which counts once.
    pub token_id: String,
    /// Until when the id must be remembered: later the token is too old.
    pub remember_until: Timestamp,
}

impl LogoutToken<'_> {
    /// Checks the claims.
    ///
    /// # Errors
    /// [`ClaimError`] for the first claim that does not agree.
    pub fn check(&self, claims: &Claims) -> Result<Logout, ClaimError> {
        claims.issued_by(|issuer| issuer == self.issuer)?;
        if !claims.texts("aud").contains(&self.client_id) {
            return Err(ClaimError::Audience);
        }
        let issued = claims.time("iat")?.ok_or(ClaimError::Missing("iat"))?;
        claims.has_begun(self.now)?;
        let end = issued.plus(LOGOUT_AGE_MAX);
        let end = claims.time("exp")?.map_or(end, |said| said.min(end));
        let remember_until = end.plus(SKEW);
        if self.now >= remember_until {
            return Err(ClaimError::Expired);
        }
        let event = claims.find("events").and_then(|all| all.get(LOGOUT_EVENT));
        // A nonce is forbidden, so that no ID token can serve as one.
        if !event.is_some_and(Value::is_object) || claims.find("nonce").is_some() {
            return Err(ClaimError::Kind("a logout token"));
        }
        let owned = |id: Option<&str>| id.map(str::to_owned);
        let logout = Logout {
            subject: owned(claims.id("sub")?),
            provider_session: owned(claims.id("sid")?),
            issued_at: issued,
            token_id: owned(claims.id("jti")?).ok_or(ClaimError::Missing("jti"))?,
            remember_until,
        };
        if logout.subject.is_none() && logout.provider_session.is_none() {
            return Err(ClaimError::Missing("sub"));
        }
        Ok(logout)
    }
}

#[cfg(test)]
mod tests;
