//! People and their sessions, in memory: no request asks the store who somebody is.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use claviger_core::{
    digest::Digest,
    grant::Grant,
    id::{OrgId, SessionId},
    person::{Person, PersonId, PersonState, Session},
    time::Timestamp,
};
use parking_lot::RwLock;

/// A use of a session within this many milliseconds of the last is not noted again.
const TOUCH_EVERY_MS: i64 = 10_000;

/// A person, with the grant that its role comes to.
#[derive(Debug)]
pub(crate) struct Known {
    /// As it is kept.
    pub(crate) person: Person,
    /// What its role comes to.
    pub(crate) grant: Arc<Grant>,
}

/// The people of an org, by their ids.
type ById = HashMap<Arc<str>, Arc<Known>>;

/// Everybody who has signed in.
#[derive(Debug, Default)]
pub(crate) struct People {
    by_org: RwLock<HashMap<OrgId, ById>>,
}

impl People {
    /// A person by its id.
    pub(crate) fn get(&self, org: OrgId, id: &str) -> Option<Arc<Known>> {
        self.by_org.read().get(&org)?.get(id).cloned()
    }

    /// Some of the people of an org, so many at most, by their ids.
    pub(crate) fn some_of(&self, org: OrgId, most: usize) -> Vec<Arc<Known>> {
        let by_org = self.by_org.read();
        let known = by_org.get(&org).into_iter().flat_map(HashMap::values);
        let mut some: Vec<_> = known.take(most).cloned().collect();
        some.sort_by(|one, other| one.person.id.as_str().cmp(other.person.id.as_str()));
        some
    }

    /// The active people of an org but this one, so many at most, by their ids; and whether there are
    /// more.
    pub(crate) fn active_but(
        &self,
        org: OrgId,
        but: &PersonId,
        most: usize,
    ) -> (Vec<Arc<Known>>, bool) {
        let by_org = self.by_org.read();
        let known = by_org.get(&org).into_iter().flat_map(HashMap::values);
        let is_active = |known: &&Arc<Known>| {
            known.person.state == PersonState::Active && known.person.id != *but
        };
        let mut active: Vec<_> = known.filter(is_active).cloned().collect();
        drop(by_org);
        active.sort_by(|one, other| one.person.id.as_str().cmp(other.person.id.as_str()));
        let is_cut = active.len() > most;
        active.truncate(most);
        (active, is_cut)
    }

    /// From here on the person stands as this says.
    pub(crate) fn set(&self, person: Person) {
        let grant = Arc::new(person.grant());
        let (org, id) = (person.org, Arc::from(person.id.as_str()));
        let known = Arc::new(Known { person, grant });
        self.by_org
            .write()
            .entry(org)
            .or_default()
            .insert(id, known);
    }

    /// Forgets the people of an org that is gone.
    pub(crate) fn forget_org(&self, org: OrgId) {
        self.by_org.write().remove(&org);
    }
}

/// A session that is accepted, and when it was last.
#[derive(Debug)]
pub struct LiveSession {
    /// As it began.
    pub(crate) session: Session,
    digest: [u8; 32],
    seen: AtomicI64,
    is_noted: std::sync::atomic::AtomicBool,
    /// Until when the provider is not asked about it.
    left_alone_until: AtomicI64,
}

impl LiveSession {
    /// When it was last used.
    pub(crate) fn seen_at(&self) -> Timestamp {
        Timestamp::from_millis(self.seen.load(Ordering::Relaxed))
    }

    /// Whether the provider has just not answered about it.
    pub(crate) fn is_left_alone(&self, now: Timestamp) -> bool {
        now.millis() < self.left_alone_until.load(Ordering::Relaxed)
    }

    /// The provider is not asked about it until then.
    pub(crate) fn leave_alone(&self, until: Timestamp) {
        self.left_alone_until
            .store(until.millis(), Ordering::Relaxed);
    }

    /// Notes a use.
    pub(crate) fn touch(&self, now: Timestamp) {
        let last = self.seen.load(Ordering::Relaxed);
        if now.millis() - last >= TOUCH_EVERY_MS {
            self.seen.store(now.millis(), Ordering::Relaxed);
            self.is_noted.store(false, Ordering::Relaxed);
        }
    }
}

/// The sessions that are accepted.
#[derive(Debug)]
pub(crate) struct Sessions {
    /// After so long without a use a session is over.
    pub(crate) idle: Duration,
    by_digest: RwLock<HashMap<[u8; 32], Arc<LiveSession>>>,
}

impl Sessions {
    /// None yet.
    pub(crate) fn new(idle: Duration) -> Self {
        Self {
            idle,
            by_digest: RwLock::default(),
        }
    }

    /// A session by the digest of its cookie.
    pub(crate) fn find(&self, digest: &Digest) -> Option<Arc<LiveSession>> {
        self.by_digest.read().get(digest.as_bytes()).cloned()
    }

    /// Whether a session is still accepted.
    pub(crate) fn has(&self, session: &LiveSession) -> bool {
        self.by_digest.read().contains_key(&session.digest)
    }

    /// The session as it is now, if it has not ended.
    pub(crate) fn find_same(&self, live: &LiveSession) -> Option<Arc<LiveSession>> {
        self.by_digest.read().get(&live.digest).cloned()
    }

    /// Those that fit, in no order.
    pub(crate) fn select(&self, is_meant: impl Fn(&Session) -> bool) -> Vec<Arc<LiveSession>> {
        let sessions = self.by_digest.read();
        let meant = sessions.values().filter(|live| is_meant(&live.session));
        meant.cloned().collect()
    }

    /// From here on the session is as this says, unless it has ended.
    pub(crate) fn renew(&self, live: &LiveSession, session: Session) {
        let mut sessions = self.by_digest.write();
        if let Some(slot) = sessions.get_mut(&live.digest) {
            *slot = Arc::new(LiveSession {
                session,
                digest: slot.digest,
                seen: AtomicI64::new(slot.seen.load(Ordering::Relaxed)),
                is_noted: std::sync::atomic::AtomicBool::new(slot.is_noted.load(Ordering::Relaxed)),
                left_alone_until: AtomicI64::new(0),
            });
        }
    }

    /// From here on it is accepted.
    pub(crate) fn put(&self, session: Session, digest: &Digest) {
        let digest = *digest.as_bytes();
        let live = Arc::new(LiveSession {
            seen: AtomicI64::new(session.seen_at.millis()),
            is_noted: std::sync::atomic::AtomicBool::new(true),
            left_alone_until: AtomicI64::new(0),
            session,
            digest,
        });
        self.by_digest.write().insert(digest, live);
    }

    /// From here on those that fit are refused.
    pub(crate) fn end(&self, is_meant: impl Fn(&Session) -> bool) {
        self.by_digest
            .write()
            .retain(|_, live| !is_meant(&live.session));
    }

    /// Forgets those that are over at this instant: they are refused in any case.
    pub(crate) fn forget_over(&self, now: Timestamp) {
        self.by_digest
            .write()
            .retain(|_, live| !live.session.is_over(live.seen_at(), self.idle, now));
    }

    /// Those of one person, in no order.
    pub(crate) fn of_person(&self, org: OrgId, person: &PersonId) -> Vec<Arc<LiveSession>> {
        let sessions = self.by_digest.read();
        let own = sessions
            .values()
            .filter(|live| live.session.org == org && live.session.person == *person);
        own.cloned().collect()
    }

    /// Uses that were not written yet.
    pub(crate) fn take_used(&self) -> Vec<(SessionId, Timestamp)> {
        let sessions = self.by_digest.read();
        let used = sessions
            .values()
            .filter(|live| !live.is_noted.swap(true, Ordering::Relaxed));
        used.map(|live| (live.session.id, live.seen_at())).collect()
    }
}
