//! What every backend does with people, their sessions and their sign-ins.

use async_trait::async_trait;
use claviger_core::{
    id::{OrgId, SessionId},
    ledger::entry::Entry,
    person::{Person, PersonId, Session},
    time::Timestamp,
};

use crate::{
    Acting, Begun, Judge, LoadedSession, NewSession, Page, PersonRow, PersonTurn, Recorder,
    RefreshTurn, Removal, Removed, Result, SignIn, WhichSessions, Written,
};

/// The most ways to the provider that are begun: whoever begins one need not be known.
pub(crate) const SIGN_INS_MAX: u64 = 100_000;

/// People.
#[async_trait]
pub trait PersonStore: Send + Sync + 'static {
    /// Keeps a person as the provider describes it now, and begins a session if one is given.
    ///
    /// # Errors
    /// [`StoreError::PersonInactive`](crate::StoreError::PersonInactive) for one who is suspended or removed;
    /// [`StoreError::Exists`](crate::StoreError::Exists) when another issuer has vouched for that id.
    async fn sign_in(
        &self,
        person: Person,
        session: Option<NewSession>,
        record: Recorder<Begun>,
    ) -> Result<Written<Begun>>;

    /// A person of the org.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    async fn find_person(&self, org: OrgId, id: &PersonId) -> Result<Option<PersonRow>>;

    /// People of the org by id. The cursor is the id of the last one.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    async fn list_people(&self, org: OrgId, page: Page<PersonId>) -> Result<Vec<PersonRow>>;

    /// Everybody of every living org.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable), [`StoreError::Corrupt`](crate::StoreError::Corrupt).
    async fn load_people(&self) -> Result<Vec<Person>>;

    /// Suspends a person, which ends its sessions, or restores it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`](crate::StoreError::NotFound);
    /// [`StoreError::PersonInactive`](crate::StoreError::PersonInactive) for one who stands so already, and for
    /// one to be suspended who was removed; [`StoreError::ActorGone`](crate::StoreError::ActorGone).
    #[expect(
        clippy::too_many_arguments,
        reason = "every change takes an address, what changes, an actor and a recorder"
    )]
    async fn turn_person(
        &self,
        org: OrgId,
        id: PersonId,
        turn: PersonTurn,
        acting: Acting,
        record: Recorder<Person>,
    ) -> Result<Written<Person>>;

    /// Removes a person: its sessions end, and what goes back to it is revoked or handed over. A key
    /// is handed over only where `judge` takes it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`](crate::StoreError::NotFound), also for one who was removed before;
    /// [`StoreError::PersonInactive`](crate::StoreError::PersonInactive) for an heir who is not active;
    /// [`StoreError::Refused`](crate::StoreError::Refused); [`StoreError::TooMany`](crate::StoreError::TooMany); [`StoreError::ActorGone`](crate::StoreError::ActorGone).
    #[expect(
        clippy::too_many_arguments,
        reason = "every change takes an address, what changes, an actor and a recorder"
    )]
    async fn remove_person(
        &self,
        org: OrgId,
        id: PersonId,
        removal: (Removal, Judge),
        acting: Acting,
        record: Recorder<Removed, Vec<Entry>>,
    ) -> Result<Written<Removed>>;
}

/// Sessions in browsers, and sign-ins that are under way.
#[async_trait]
pub trait SessionStore: Send + Sync + 'static {
    /// Every session that has not ended at this instant.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable), [`StoreError::Corrupt`](crate::StoreError::Corrupt).
    async fn load_sessions(&self, now: Timestamp) -> Result<Vec<LoadedSession>>;

    /// What the provider gave for asking again about a session, sealed.
    ///
    /// # Errors
    /// [`StoreError::NotFound`](crate::StoreError::NotFound) when the session has ended.
    async fn find_sealed(&self, id: SessionId) -> Result<Option<Vec<u8>>>;

    /// Takes the turn to ask the provider about a session again, from `now` until `until`: of all nodes one
    /// asks, and a turn that a node left by dying ends by itself. The clocks of nodes may differ by less
    /// than a turn lasts. [`Self::renew_session`] ends it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`](crate::StoreError::NotFound) when the session has ended.
    async fn take_refresh_turn(
        &self,
        id: SessionId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<RefreshTurn>;

    /// Ends a turn in which the provider gave nothing new.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    async fn end_refresh_turn(&self, id: SessionId) -> Result<()>;

    /// Keeps what the provider said anew, if what it had given before is still `before`: a token that
    /// works once is not spent twice.
    ///
    /// # Errors
    /// [`StoreError::NotFound`](crate::StoreError::NotFound) when the session has ended; [`StoreError::Stale`](crate::StoreError::Stale).
    async fn renew_session(
        &self,
        session: &Session,
        before: Option<Vec<u8>>,
        sealed: Option<Vec<u8>>,
    ) -> Result<()>;

    /// Ends sessions; gives those that were there.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    async fn end_sessions(
        &self,
        org: OrgId,
        which: WhichSessions,
        record: Recorder<Vec<SessionId>>,
    ) -> Result<Written<Vec<SessionId>>>;

    /// Keeps when sessions were last used; never moves a time back.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    async fn touch_sessions(&self, used: Vec<(SessionId, Timestamp)>) -> Result<()>;

    /// Keeps a sign-in that was begun, and clears away those that were never ended. Only one that
    /// gives somebody a way in has a record. Of one maker's links the oldest give way.
    ///
    /// # Errors
    /// [`StoreError::ActorGone`](crate::StoreError::ActorGone); [`StoreError::LimitReached`](crate::StoreError::LimitReached);
    /// [`StoreError::Exists`](crate::StoreError::Exists) for a digest that is there already.
    async fn put_sign_in(
        &self,
        sign_in: SignIn,
        acting: Acting,
        record: Option<Recorder<SignIn>>,
    ) -> Result<Option<crate::Receipt>>;

    /// Takes a sign-in, so that nobody takes it again.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable): then it may have been taken.
    async fn take_sign_in(&self, digest: [u8; 32], now: Timestamp) -> Result<Option<SignIn>>;

    /// Clears away sessions that ended by themselves before this instant, or were unused since; and
    /// sign-ins that nobody ended. Gives how many sessions.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    async fn purge_sessions(&self, ended: Timestamp, unused_since: Timestamp) -> Result<u64>;
}
