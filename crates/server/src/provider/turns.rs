//! Turns of refreshes: a refresh token counts once, so of several requests of one session one asks
//! the provider, and the others take what it brought.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use claviger_core::{digest::Digest, time::Timestamp};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::{Private, Provider, ProviderError, Refresh, Verified};

/// How many sessions may be refreshed at once; two sessions share a place now and then.
const PLACES: usize = 64;
const PLACES_U64: u64 = 64;

/// For how long a provider that did not answer is left alone, by all sessions.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Places in which refreshes wait for their turn.
#[derive(Debug)]
pub struct RefreshTurns {
    places: Box<[Arc<Mutex<()>>]>,
    /// For a place that is not there, which does not happen.
    other: Arc<Mutex<()>>,
    /// Until when the provider is asked nothing, for it has just not answered.
    silent_until: AtomicI64,
}

/// The turn of a session; it ends when this is dropped.
#[derive(Debug)]
pub struct Turn {
    _guard: OwnedMutexGuard<()>,
}

impl Default for RefreshTurns {
    fn default() -> Self {
        Self {
            places: (0..PLACES).map(|_| Arc::default()).collect(),
            other: Arc::default(),
            silent_until: AtomicI64::new(0),
        }
    }
}

impl RefreshTurns {
    fn place(&self, session: &Digest) -> Arc<Mutex<()>> {
        let at = usize::try_from(session.head() % PLACES_U64).unwrap_or(0);
        Arc::clone(self.places.get(at).unwrap_or(&self.other))
    }

    /// Waits for the turn of a session.
    pub async fn take(&self, session: &Digest) -> Turn {
        let _guard = self.place(session).lock_owned().await;
        Turn { _guard }
    }

    /// The turn of a session, unless another request has it.
    #[must_use]
    pub fn try_take(&self, session: &Digest) -> Option<Turn> {
        let _guard = self.place(session).try_lock_owned().ok()?;
        Some(Turn { _guard })
    }

    /// Whether the provider has just not answered, whomever it was asked about.
    #[must_use]
    pub fn is_silent(&self, now: Timestamp) -> bool {
        now.millis() < self.silent_until.load(Ordering::Relaxed)
    }

    /// The provider did not answer: for a while nobody waits for it.
    pub fn note_silence(&self, now: Timestamp) {
        let until = now.plus(ASK_AGAIN_AFTER).millis();
        self.silent_until.store(until, Ordering::Relaxed);
    }
}

/// What there is to refresh, as it stands when it is this session's turn.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "a secret is never printed")]
pub struct Due {
    /// The newest refresh token.
    pub token: Private,
    /// The person.
    pub subject: String,
    /// The present.
    pub now: Timestamp,
}

impl Provider {
    /// Refreshes a session in its turn. `load` says what is due: `None` if another request was first,
    /// or the session has ended. `keep` is run before the turn ends, and stores the new token.
    ///
    /// The turn is one of this process. Between nodes, `load` takes the turn that the store gives, and
    /// `keep` ends it. Run it in a task of its own: a caller that hangs up between the two
    /// would lose the new token.
    ///
    /// # Errors
    /// [`ProviderError`]; nothing is stored then.
    pub async fn refresh_in_turn<T>(
        &self,
        turn: Turn,
        load: impl Future<Output = Option<Due>>,
        keep: impl AsyncFnOnce(Verified) -> T,
    ) -> Result<Option<T>, ProviderError> {
        let Some(due) = load.await else {
            return Ok(None);
        };
        let refresh = Refresh {
            token: &due.token,
            subject: &due.subject,
            now: due.now,
        };
        let verified = self.refresh(&refresh).await?;
        let kept = keep(verified).await;
        drop(turn);
        Ok(Some(kept))
    }
}
