//! Verification in process: against one SHA-256 block plus one look-up that misses the cache.

use std::{hint::black_box, sync::Arc, time::Instant};

use claviger_core::{
    digest::Digest,
    grant::Grant,
    id::{Key, OrgId},
    key::{Credential, KeyState},
    tier::{Actor, Minter},
    time::Timestamp,
    token::{Brand, digest_of_presented},
};
use claviger_server::index::Index;

use crate::{say, seed};

/// Keys in the index.
const KEYS: u64 = 1_000_000;
/// How often each figure is measured; the median counts.
const ROUNDS: usize = 7;

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Nanoseconds for one call of `work`, over `count` calls.
fn nanoseconds(count: u32, mut work: impl FnMut(u32)) -> f64 {
    let started = Instant::now();
    (0..count).for_each(&mut work);
    started.elapsed().as_secs_f64() * 1e9 / f64::from(count)
}

fn credential(number: u64, shared: &(Arc<Grant>, Arc<Minter>)) -> Credential<Key> {
    let secret = seed::secret(number);
    Credential {
        digest: secret.digest(),
        prefix: secret.prefix(),
        state: KeyState::Live,
        is_replaced: false,
        id: seed::id(number),
        org: OrgId::from_u128(1),
        grant: Arc::clone(&shared.0),
        minter: Arc::clone(&shared.1),
        name: format!("key-{number:07}").into(),
        expires_at: Timestamp::MAX,
    }
}

/// Resident memory of this process in bytes.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap_or_default();
    line.split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse::<f64>().ok())
        .unwrap_or(0.0)
        * 1024.0
}

/// Measures and prints.
#[expect(
    clippy::too_many_lines,
    reason = "one figure after the other, and then their table"
)]
pub(crate) fn run() {
    let minter = Minter {
        created_by: Actor::AdminToken,
        root: Actor::AdminToken,
        chain: Vec::new(),
    };
    let shared = (Arc::new(Grant::admin()), Arc::new(minter));
    let before = resident();
    let index = Index::<Key>::default();
    (0..KEYS).for_each(|number| index.put(credential(number, &shared), None));
    let bytes_per_key = (resident() - before) / 1e6;

    // Presented secrets, one after the other in memory as the bytes of a request that was just
    // read, of keys in an order that defeats the cache.
    let count = 100_000;
    let secrets = (0..u64::from(count)).map(|n| seed::secret(n.wrapping_mul(7_919_777) % KEYS));
    let presented: String = secrets.map(|secret| secret.expose().to_owned()).collect();
    let pick = |n: usize| presented.get(n * 54..(n + 1) * 54).unwrap_or_default();
    let (mut hash, mut look_up, mut verify) = (Vec::new(), Vec::new(), Vec::new());
    let digests: Vec<Digest> = (0..100_000)
        .map(|n| Digest::of(pick(n).as_bytes()))
        .collect();
    for _ in 0..ROUNDS {
        hash.push(nanoseconds(count, |n| {
            let n = usize::try_from(n).unwrap_or(0);
            black_box(Digest::of(black_box(pick(n).as_bytes())));
        }));
        // Each begins with what the one before it found: in a row they would hide each other's
        // way to memory, which the requests of different callers cannot.
        let mut next = 0;
        look_up.push(nanoseconds(count, |_| {
            let found = digests.get(next).and_then(|digest| index.find(digest));
            next += 1 + usize::from(found.is_some_and(|slot| slot.last_used().is_some()));
        }));
        let mut next = 0;
        verify.push(nanoseconds(count, |_| {
            let digest = digest_of_presented(&Brand::ORG_KEY, black_box(pick(next)));
            let found = digest.ok().and_then(|digest| index.find(&digest));
            next += 1 + usize::from(found.is_some_and(|slot| slot.last_used().is_some()));
        }));
    }
    let (hash, look_up, verify) = (median(hash), median(look_up), median(verify));
    let minted = nanoseconds(100_000, |n| {
        index.put(credential(KEYS + u64::from(n), &shared), None)
    });
    let made = nanoseconds(100_000, |n| {
        black_box(credential(KEYS + u64::from(n), &shared));
    });
    let revoked = nanoseconds(100_000, |n| {
        if let Some(digest) = digests.get(usize::try_from(n).unwrap_or(0)) {
            index.change(digest, |old| Credential {
                state: KeyState::Revoked,
                ..old.clone()
            });
        }
    });
    say(&format!("in process, {KEYS} keys in memory"));
    say(&format!(
        "  one SHA-256 block                         {hash:8.0} ns"
    ));
    say(&format!(
        "  one look-up that misses the cache         {look_up:8.0} ns"
    ));
    say(&format!(
        "  verification (shape, CRC, hash, look-up)  {verify:8.0} ns"
    ));
    say(&format!(
        "  ratio to hash + look-up                   {:8.2}    target at most 2: {}",
        verify / (hash + look_up),
        if verify / (hash + look_up) <= 2.0 {
            "met"
        } else {
            "MISSED"
        }
    ));
    say(&format!(
        "  memory per key                            {bytes_per_key:8.0} B  target at most 250: {}",
        if bytes_per_key <= 250.0 {
            "met"
        } else {
            "MISSED"
        }
    ));
    say(&format!(
        "  one mint into the index                   {:8.0} ns",
        minted - made
    ));
    say(&format!(
        "  one revocation in the index               {revoked:8.0} ns"
    ));
    say("");
}
