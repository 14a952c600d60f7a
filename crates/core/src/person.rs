//! A person as this deployment knows it, and the sessions in which it acts.

use std::{borrow::Cow, fmt::Write as _, net::IpAddr, sync::Arc, time::Duration};

use crate::{
    grant::Grant,
    id::{KeyId, OrgId, SessionId},
    permission::PermissionSet,
    tier::{Actor, Minter},
    time::Timestamp,
};

/// The most bytes of a person's id.
pub const PERSON_ID_BYTES_MAX: usize = 255;
/// The issuer of the person who signs in where no identity provider is set.
pub const LOCAL_ISSUER: &str = "local";
/// The id of that person.
pub const LOCAL_ADMIN: &str = "local-admin";

/// The stable id of a person: what the provider calls the subject (`sub`, at WorkOS `user_…`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PersonId(Arc<str>);

/// The text cannot be the id of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a person's id has 1 to 255 printable ASCII characters and no space")]
pub struct PersonIdError;

/// What begins the segment of an id that cannot stand in a path as it is.
const WRITTEN_OUT: char = '~';

impl PersonId {
    /// The person who signs in where no identity provider is set.
    #[must_use]
    pub fn local_admin() -> Self {
        Self(LOCAL_ADMIN.into())
    }

    /// As it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// How it stands as one segment of a path, before any percent-encoding: as it is, or, where it
    /// holds what no path may hold, as `~` and two hexadecimal digits for each of its bytes. No id has
    /// two segments, and no segment two ids.
    #[must_use]
    pub fn segment(&self) -> Cow<'_, str> {
        let is_dots = matches!(&*self.0, "." | "..");
        if !is_dots && !self.0.starts_with(WRITTEN_OUT) && !self.0.contains(['/', '\\', ';', '%']) {
            return Cow::Borrowed(&self.0);
        }
        let mut written = String::from(WRITTEN_OUT);
        for byte in self.0.bytes() {
            // A string takes everything.
            write!(written, "{byte:02x}").unwrap_or_default();
        }
        Cow::Owned(written)
    }

    /// The id that a segment of a decoded path names.
    ///
    /// # Errors
    /// [`PersonIdError`] for what [`PersonId::segment`] writes of no id.
    pub fn of_segment(segment: &str) -> Result<Self, PersonIdError> {
        let Some(digits) = segment.strip_prefix(WRITTEN_OUT) else {
            return segment.parse();
        };
        let byte = |pair: &[u8]| {
            let pair = std::str::from_utf8(pair).ok()?;
            u8::from_str_radix(pair, 16).ok()
        };
        let bytes: Option<Vec<u8>> = digits.as_bytes().chunks(2).map(byte).collect();
        let id: Self = String::from_utf8(bytes.unwrap_or_default())
            .map_err(|_not_text| PersonIdError)?
            .parse()?;
        // One spelling: a grant may name the path.
        if id.segment() == segment {
            Ok(id)
        } else {
            Err(PersonIdError)
        }
    }

    /// How it stands in the audit trail and in `created_by`.
    #[must_use]
    pub fn actor(&self) -> Actor {
        Actor::Session(Arc::clone(&self.0))
    }
}

impl std::fmt::Display for PersonId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for PersonId {
    type Err = PersonIdError;

    fn from_str(text: &str) -> Result<Self, PersonIdError> {
        let is_short = (1..=PERSON_ID_BYTES_MAX).contains(&text.len());
        if is_short && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(text.into()))
        } else {
            Err(PersonIdError)
        }
    }
}

/// The text is no word of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a word that is known")]
pub struct UnknownWord;

/// How a person stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PersonState {
    /// May sign in; the keys that it made work.
    Active,
    /// May not sign in, and the keys that it made do not work, until it is resumed.
    Suspended,
    /// May not sign in; its keys were revoked or handed over.
    Removed,
}

impl PersonState {
    /// The word in the API and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Removed => "removed",
        }
    }
}

impl std::str::FromStr for PersonState {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        [Self::Active, Self::Suspended, Self::Removed]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or(UnknownWord)
    }
}

/// A person of an org: as the provider last described it, and what was decided here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The org.
    pub org: OrgId,
    /// Its id.
    pub id: PersonId,
    /// Who vouches for it: the provider's issuer, or [`LOCAL_ISSUER`].
    pub issuer: String,
    /// Shown beside the id; never trusted for anything.
    pub email: Option<String>,
    /// As people call it.
    pub name: Option<String>,
    /// The last known role, in the words of the provider or of a preset.
    pub role: String,
    /// What that role comes to.
    pub permissions: PermissionSet,
    /// Of what instant the role is, by the provider's clock: an older word does not change it.
    pub told_at: Timestamp,
    /// When it first signed in.
    pub first_seen_at: Timestamp,
    /// When it last signed in.
    pub last_seen_at: Timestamp,
    /// How it stands.
    pub state: PersonState,
    /// Since when it stands so, and by whom; absent as long as nobody decided anything.
    pub decision: Option<PersonDecision>,
}

/// What was decided about a person here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonDecision {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: Actor,
    /// Why, if a reason was given.
    pub reason: Option<String>,
}

impl Person {
    /// The grant that the last known role comes to.
    #[must_use]
    pub fn grant(&self) -> Grant {
        Grant {
            permissions: self.permissions,
            ..Grant::admin()
        }
    }
}

/// How a session began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignInMethod {
    /// A one-time link.
    Link,
    /// `ADMIN_TOKEN`.
    AdminToken,
    /// An `OpenID` provider.
    Oidc,
    /// `WorkOS`.
    WorkOs,
}

impl SignInMethod {
    /// The word in the API and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::AdminToken => "admin_token",
            Self::Oidc => "oidc",
            Self::WorkOs => "workos",
        }
    }
}

impl std::str::FromStr for SignInMethod {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        [Self::Link, Self::AdminToken, Self::Oidc, Self::WorkOs]
            .into_iter()
            .find(|method| method.as_str() == text)
            .ok_or(UnknownWord)
    }
}

/// A session of a person in a browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its public id.
    pub id: SessionId,
    /// The org.
    pub org: OrgId,
    /// The person.
    pub person: PersonId,
    /// How it began.
    pub method: SignInMethod,
    /// When it began.
    pub created_at: Timestamp,
    /// When it was last used; written behind, so it may lag by seconds.
    pub seen_at: Timestamp,
    /// Refused from then on, whatever happens before.
    pub ends_at: Timestamp,
    /// From where it was begun.
    pub client: Option<IpAddr>,
    /// The browser that began it, in its own words.
    pub user_agent: Option<String>,
    /// Of a session that began with the link of a key: that key and those above it. It ends with
    /// any of them.
    pub minter: Option<Minter>,
    /// Of a session that began with `ADMIN_TOKEN`: which one. It ends when that is replaced.
    pub admin_token: Option<[u8; 32]>,
    /// The provider's name for its own session (`sid`).
    pub provider_session: Option<String>,
    /// Who acts as the person, where the provider says that somebody does.
    pub impersonator: Option<String>,
    /// Until when the provider's word is good; past it the provider is asked again.
    pub fresh_until: Option<Timestamp>,
}

impl Session {
    /// The keys that it ends with.
    #[must_use]
    pub fn chain(&self) -> &[KeyId] {
        self.minter.as_ref().map_or(&[], |minter| &minter.chain)
    }

    /// Whether it is over at this instant: past its end, or unused for `idle`.
    #[must_use]
    pub fn is_over(&self, seen_at: Timestamp, idle: Duration, now: Timestamp) -> bool {
        now >= self.ends_at || now.since(seen_at) >= idle
    }
}

#[cfg(test)]
mod tests {
    use super::PersonId;

    #[test]
    fn ids_are_short_and_plain() {
        for good in [
            "user_01H",
            "auth0|5f7c",
            "a@example.com",
            "1",
            "a/b\\c;d%2f",
            "~",
            "..",
        ] {
            assert!(good.parse::<PersonId>().is_ok(), "{good}");
        }
        let long = "x".repeat(256);
        for bad in ["", "a b", "a\n", "é", "\u{7f}", &long] {
            assert!(bad.parse::<PersonId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn each_id_has_one_segment_that_hides_nothing() {
        for (id, segment) in [
            ("auth0|5f7c", "auth0|5f7c"),
            ("a@example.com", "a@example.com"),
            ("a/b", "~612f62"),
            ("a\\b", "~615c62"),
            ("a;b", "~613b62"),
            ("a%2fb", "~6125326662"),
            ("~612f62", "~7e363132663632"),
            ("..", "~2e2e"),
        ] {
            let parsed: PersonId = id.parse().expect("an id");
            assert_eq!(parsed.segment(), segment);
            assert_eq!(PersonId::of_segment(segment), Ok(parsed));
        }
        // Another spelling of an id that needs none, of no id, and of what is no id.
        for bad in [
            "", "~", "~61", "~612F62", "~612f6", "~61 f", "~+1", "~ff", "~00", "~20",
        ] {
            assert!(PersonId::of_segment(bad).is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn segments_read_back(id in "[!-~]{1,40}") {
            let id: PersonId = id.parse().expect("an id");
            let segment = id.segment().into_owned();
            assert!(!segment.contains(['/', '\\', ';', '%']));
            assert_eq!(PersonId::of_segment(&segment), Ok(id));
        }
    }
}
