//! What is fetched from the provider and kept: one fetch at a time, not too often, and the old one
//! while there is no newer.

use std::{sync::Arc, time::Duration};

use claviger_core::time::Timestamp;
use futures_util::future::BoxFuture;
use parking_lot::RwLock;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::ProviderError;

/// How long something is used when no newer can be fetched.
pub(super) const KEPT_MAX: Duration = Duration::from_hours(24);

type Fetch<T> = dyn Fn(Timestamp) -> BoxFuture<'static, Result<T, ProviderError>> + Send + Sync;

/// The last attempt to fetch.
struct Attempt {
    at: Timestamp,
    outcome: Result<(), ProviderError>,
}

/// Something of the provider's.
pub(super) struct Kept<T> {
    fetch: Box<Fetch<T>>,
    value: RwLock<Option<(Arc<T>, Timestamp)>>,
    /// Held by whoever fetches.
    last: Arc<Mutex<Option<Attempt>>>,
    fresh_for: Duration,
    pause: Duration,
}

impl<T: Send + Sync + 'static> Kept<T> {
    /// Nothing is fetched yet. After `fresh_for` a newer one is looked for; between two attempts
    /// there is a `pause`, whoever asks.
    pub(super) fn new<F>(fresh_for: Duration, pause: Duration, fetch: F) -> Arc<Self>
    where
        F: Fn(Timestamp) -> BoxFuture<'static, Result<T, ProviderError>> + Send + Sync + 'static,
    {
        Arc::new(Self {
            fetch: Box::new(fetch),
            value: RwLock::new(None),
            last: Arc::default(),
            fresh_for,
            pause,
        })
    }

    /// What is kept, if it is not too old. When it is no longer fresh, a newer one is fetched
    /// meanwhile: nobody waits for it.
    pub(super) fn kept(self: &Arc<Self>, now: Timestamp) -> Option<Arc<T>> {
        let (value, age) = {
            let kept = self.value.read();
            let (value, at) = kept.as_ref()?;
            (Arc::clone(value), now.since(*at))
        };
        if age >= self.fresh_for
            && let Ok(turn) = Arc::clone(&self.last).try_lock_owned()
        {
            let this = Arc::clone(self);
            drop(tokio::spawn(async move {
                if let Err(error) = this.attempt(turn, now).await {
                    tracing::warn!(cause = error.cause(), "{error}; what is known is used");
                }
            }));
        }
        (age < KEPT_MAX).then_some(value)
    }

    /// What is kept, or else what is fetched now.
    pub(super) async fn get(self: &Arc<Self>, now: Timestamp) -> Result<Arc<T>, ProviderError> {
        match self.kept(now) {
            Some(value) => Ok(value),
            None => self.fetched(now).await,
        }
    }

    /// What a fetch brings that is no older than the pause. Whoever comes while one is under way
    /// gets what it brings.
    pub(super) async fn fetched(self: &Arc<Self>, now: Timestamp) -> Result<Arc<T>, ProviderError> {
        let turn = Arc::clone(&self.last).lock_owned().await;
        let this = Arc::clone(self);
        // In a task of its own: whoever hangs up must not make the next one fetch again.
        let task = tokio::spawn(async move { this.attempt(turn, now).await });
        match task.await {
            Ok(outcome) => outcome?,
            Err(error) => return Err(ProviderError::unreachable(error)),
        }
        let kept = self
            .value
            .read()
            .as_ref()
            .map(|(value, _)| Arc::clone(value));
        kept.ok_or_else(|| ProviderError::unreachable("nothing was fetched yet"))
    }

    async fn attempt(
        &self,
        mut last: OwnedMutexGuard<Option<Attempt>>,
        now: Timestamp,
    ) -> Result<(), ProviderError> {
        // To both sides: whoever waited may have come a moment before the attempt. And a clock that
        // was set back must not keep us from fetching until it catches up.
        let is_recent =
            |attempt: &&Attempt| now.since(attempt.at).max(attempt.at.since(now)) < self.pause;
        if let Some(attempt) = last.as_ref().filter(is_recent) {
            return attempt.outcome.clone();
        }
        let outcome = (self.fetch)(now).await.map(|value| {
            *self.value.write() = Some((Arc::new(value), now));
        });
        *last = Some(Attempt {
            at: now,
            outcome: outcome.clone(),
        });
        outcome
    }
}
