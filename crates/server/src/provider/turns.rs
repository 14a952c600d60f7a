//! Turns of refreshes: a refresh token counts once, so of several requests of one session one asks
//! the provider, and the others take what it brought.

use std::future::Future;

use claviger_core::digest::Digest;
use tokio::sync::{Mutex, MutexGuard};

use super::{Private, Provider, ProviderError, Refresh, Verified};

/// How many sessions may be refreshed at once; two sessions share a place now and then.
const PLACES: usize = 64;
const PLACES_U64: u64 = 64;

/// Places in which refreshes wait for their turn.
#[derive(Debug)]
pub struct RefreshTurns {
    places: Box<[Mutex<()>]>,
    /// For a place that is not there, which does not happen.
    other: Mutex<()>,
}

impl Default for RefreshTurns {
    fn default() -> Self {
        Self {
            places: (0..PLACES).map(|_| Mutex::default()).collect(),
            other: Mutex::default(),
        }
    }
}

impl RefreshTurns {
    /// Waits for the turn of a session; it ends when the guard is dropped.
    pub async fn take(&self, session: &Digest) -> MutexGuard<'_, ()> {
        let at = usize::try_from(session.head() % PLACES_U64).unwrap_or(0);
        self.places.get(at).unwrap_or(&self.other).lock().await
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
    pub now: claviger_core::time::Timestamp,
}

impl Provider {
    /// Refreshes a session when it is its turn. `load` is run then, and says what is due: `None` if
    /// another request was first, or the session has ended. `keep` is run before the turn ends, and
    /// stores the new token.
    ///
    /// The turn is one of this process. Between nodes, `load` has to lock the row of the session,
    /// and `keep` to release it. Run it in a task of its own: a caller that hangs up between the two
    /// would lose the new token.
    ///
    /// # Errors
    /// [`ProviderError`]; nothing is stored then.
    pub async fn refresh_in_turn<T>(
        &self,
        session: &Digest,
        load: impl Future<Output = Option<Due>>,
        keep: impl AsyncFnOnce(Verified) -> T,
    ) -> Result<Option<T>, ProviderError> {
        let turn = self.turns().take(session).await;
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
