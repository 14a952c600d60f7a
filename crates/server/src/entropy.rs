//! Random bits, all from the operating system.

use std::cell::RefCell;

use claviger_core::id::{Id, Kind};

use crate::clock;

/// How many bytes one call to the operating system fetches.
const POOL_BYTES: usize = 1024;

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { bytes: [0; POOL_BYTES], used: POOL_BYTES }) };
}

struct Pool {
    bytes: [u8; POOL_BYTES],
    used: usize,
}

/// The operating system has no random bytes to give.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gives no random bytes: {0}")]
pub struct EntropyError(getrandom::Error);

/// 256 bits for a secret, fetched for it alone.
///
/// # Errors
/// [`EntropyError`]: then nothing may be minted.
pub fn for_secret() -> Result<[u8; 32], EntropyError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(EntropyError)?;
    Ok(bytes)
}

/// 128 bits for an id or a nonce of a record, from a pool that is fetched a kilobyte at a time:
/// every request takes two.
#[must_use]
pub fn bits() -> u128 {
    POOL.with_borrow_mut(|pool| {
        if pool.used + 16 > POOL_BYTES {
            // Without random bits no record can be written: the pool stays as it was, zeros or
            // spent bytes, and ids stay unique by their time part only until the source is back.
            if getrandom::fill(&mut pool.bytes).is_err() {
                tracing::error!("the operating system gives no random bytes");
            }
            pool.used = 0;
        }
        let mut taken = [0_u8; 16];
        if let Some(fresh) = pool.bytes.get_mut(pool.used..pool.used + 16) {
            taken.copy_from_slice(fresh);
            fresh.fill(0);
        }
        pool.used += 16;
        u128::from_le_bytes(taken)
    })
}

/// A new id, of now.
#[must_use]
pub fn new_id<K: Kind>() -> Id<K> {
    Id::from_parts(clock::now(), bits())
}
