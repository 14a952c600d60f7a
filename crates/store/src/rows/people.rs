//! Rows of people, their sessions and their sign-ins.

use claviger_core::{
    id::{KeyId, OrgId, SessionId, WorkspaceTokenId},
    key::Revocation,
    person::{Person, PersonDecision, PersonId, PersonState, Session},
    time::Timestamp,
};

use super::RevokedKey;
use crate::{Result, StoreError};

/// The most sessions of one person: beyond it the one that was unused for longest ends.
pub const SESSIONS_PER_PERSON_MAX: u32 = 50;
/// The most links of one maker that nobody has used yet: of more, the oldest gives way.
pub const LINKS_PER_MAKER_MAX: u32 = 20;
/// The most such links of the keys below one together. Those of that key itself are not among them, so
/// what it minted cannot keep it from making its own.
pub const LINKS_BELOW_KEY_MAX: u32 = 200;

/// A session that begins: with what it is looked up by, and what the provider gave for asking again.
#[derive(Clone)]
pub struct NewSession {
    /// The session.
    pub session: Session,
    /// SHA-256 of the random id in the cookie.
    pub digest: [u8; 32],
    /// Sealed; absent where there is no provider.
    pub sealed: Option<Vec<u8>>,
}

impl std::fmt::Debug for NewSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewSession")
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

/// A session that began.
#[derive(Debug, Clone)]
pub struct Begun {
    /// The person as it is kept now.
    pub person: Person,
    /// The session; absent where none was asked for.
    pub session: Option<Session>,
    /// Sessions of the same person that ended because there were too many.
    pub ended: Vec<SessionId>,
}

/// Whose turn it is to ask the provider about a session again. What it gave works once.
pub enum RefreshTurn {
    /// It is the caller's, until the instant that was named.
    Ours {
        /// The session as it is kept: another node may have renewed it.
        session: Box<Session>,
        /// What the provider gave, sealed.
        sealed: Option<Vec<u8>>,
    },
    /// Another has it.
    Others,
}

impl std::fmt::Debug for RefreshTurn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ours { .. } => "Ours",
            Self::Others => "Others",
        })
    }
}

/// A session as it is loaded.
#[derive(Clone)]
pub struct LoadedSession {
    /// The session.
    pub session: Session,
    /// What it is looked up by.
    pub digest: [u8; 32],
}

impl std::fmt::Debug for LoadedSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoadedSession")
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

/// Which sessions of an org are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhichSessions {
    /// This one of this person.
    One(PersonId, SessionId),
    /// Every one of this person.
    OfPerson(PersonId),
    /// Every one of this person but this.
    OthersOf(PersonId, SessionId),
    /// Every one that this key began, or one that it minted.
    OfKey(KeyId),
    /// Every one of those but this.
    OthersOfKey(KeyId, SessionId),
    /// Those that belong to this session of the provider.
    OfProvider(String),
}

/// A person with what hangs on it.
#[derive(Debug, Clone)]
pub struct PersonRow {
    /// The person.
    pub person: Person,
    /// How many living keys go back to it: those that it made, and those that they made.
    pub keys: u64,
    /// How many sessions it has.
    pub sessions: u64,
}

/// What becomes of a person.
#[derive(Debug, Clone)]
pub struct PersonTurn {
    /// How it stands from now on: active or suspended.
    pub state: PersonState,
    /// Who decided it.
    pub decision: PersonDecision,
}

impl PersonTurn {
    /// The person after it. One who was removed comes back whole or not at all.
    pub(crate) fn apply(self, before: Person) -> Result<Person> {
        let is_allowed = match (before.state, self.state) {
            (PersonState::Active, PersonState::Suspended)
            | (PersonState::Suspended | PersonState::Removed, PersonState::Active) => true,
            (PersonState::Active, PersonState::Active)
            | (PersonState::Suspended | PersonState::Removed, PersonState::Suspended)
            | (_, PersonState::Removed) => false,
        };
        if !is_allowed {
            return Err(StoreError::PersonInactive(before.state));
        }
        Ok(Person {
            state: self.state,
            decision: Some(self.decision),
            ..before
        })
    }
}

/// The removal of a person.
#[derive(Debug, Clone)]
pub struct Removal {
    /// Who decided it, and what the ends of the keys say.
    pub end: Revocation,
    /// Who gets its keys; without one they are revoked.
    pub heir: Option<PersonId>,
}

/// What the removal of a person came to.
#[derive(Debug, Clone)]
pub struct Removed {
    /// The person as it is kept now.
    pub person: Person,
    /// When.
    pub at: Timestamp,
    /// Keys that were revoked.
    pub keys: Vec<RevokedKey<KeyId>>,
    /// Keys that go back to the heir now.
    pub handed_over: Vec<KeyId>,
    /// Workspace tokens that were revoked.
    pub workspace_tokens: Vec<RevokedKey<WorkspaceTokenId>>,
    /// Workspace tokens that go back to the heir now.
    pub tokens_handed_over: Vec<WorkspaceTokenId>,
}

/// A sign-in that is under way: whoever has the secret of this digest may end it, once.
#[derive(Clone)]
pub struct SignIn {
    /// SHA-256 of the secret.
    pub digest: [u8; 32],
    /// The org, where it is known.
    pub org: Option<OrgId>,
    /// What the service needs to end it, in JSON.
    pub payload: String,
    /// Refused from then on.
    pub expires_at: Timestamp,
    /// Of a link: who made it.
    pub maker: Option<LinkMaker>,
}

/// Who made a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkMaker {
    /// The id of a key, whose label changes with its secret; the label of anybody else.
    pub maker: String,
    /// The topmost key above it; the maker itself where there is none.
    pub line: String,
}

impl std::fmt::Debug for SignIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignIn")
            .field("org", &self.org)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}
