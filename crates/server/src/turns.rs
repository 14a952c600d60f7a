//! Turns: what is done to one key is done one after the other.

use claviger_core::id::KeyId;
use tokio::sync::{Mutex, MutexGuard};

/// How many keys may be changed at once; two keys share a place now and then.
const PLACES: usize = 64;
const PLACES_U64: u64 = 64;

/// Places in which changes wait for their turn.
#[derive(Debug)]
pub(crate) struct Turns {
    places: Box<[Mutex<()>]>,
    /// For a place that is not there, which does not happen.
    other: Mutex<()>,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            places: (0..PLACES).map(|_| Mutex::default()).collect(),
            other: Mutex::default(),
        }
    }
}

impl Turns {
    /// Waits for the turn of a key; it ends when the guard is dropped.
    pub(crate) async fn take(&self, id: KeyId) -> MutexGuard<'_, ()> {
        let at = usize::try_from(id.low() % PLACES_U64).unwrap_or(0);
        self.places.get(at).unwrap_or(&self.other).lock().await
    }
}
