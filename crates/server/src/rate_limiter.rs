//! The rate limits of keys: what a grant says, for the key and all that it minted together.
//!
//! Kept in memory: a restart fills every bucket again. Only keys with a limit above them come here.

use std::{collections::HashMap, time::Duration};

use claviger_core::{
    grant::Grant,
    id::KeyId,
    limit::{Limit, Verdict},
    tier::Principal,
    time::Timestamp,
};
use parking_lot::Mutex;

/// Beyond this number of buckets those that are full again are forgotten.
const BUCKETS_MAX: usize = 100_000;
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// A window of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Window {
    Minute,
    Day,
}

/// How the tightest limit above a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The name of the window: `minute` or `day`.
    pub window: &'static str,
    /// Requests in a window.
    pub quota: u32,
    /// The window, in seconds.
    pub window_seconds: u64,
    /// How many more requests would be allowed now.
    pub remaining: u32,
    /// Until the next one is allowed, or zero.
    pub retry_after: Duration,
}

/// What is kept of a window: the arrival of [`Limit::check`], and the burst that it is in units of.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    arrival: i128,
    burst: u32,
}

impl Bucket {
    /// The arrival in the units of a limit, which may have been narrowed since.
    fn in_units_of(self, limit: Limit) -> i128 {
        let (own, other) = (i128::from(self.burst.max(1)), i128::from(limit.burst));
        if own == other {
            self.arrival
        } else {
            self.arrival.saturating_mul(other).div_euclid(own) + 1
        }
    }

    /// Whether every request of the window is allowed again.
    fn is_full(self, now: Timestamp) -> bool {
        self.arrival <= i128::from(now.millis()) * i128::from(self.burst)
    }
}

/// Counts requests.
#[derive(Debug, Default)]
pub struct RateLimiter {
    buckets: Mutex<HashMap<(KeyId, Window), Bucket>>,
}

impl RateLimiter {
    /// Counts a request against every limit above it, or against none. `None` where there is no
    /// limit.
    ///
    /// # Errors
    /// The limit that refuses it.
    pub fn check(
        &self,
        principal: &Principal,
        now: Timestamp,
    ) -> Result<Option<Standing>, Standing> {
        let layers = principal.authority.layers();
        if layers.iter().all(|grant| limits(grant).next().is_none()) {
            return Ok(None);
        }
        let above = principal.minter.as_ref().map_or(&[][..], |m| &m.chain);
        let ids = std::iter::once(principal.key).chain(above.iter().copied().map(Some));
        let mut buckets = self.buckets.lock();
        if buckets.len() > BUCKETS_MAX {
            buckets.retain(|_, bucket| !bucket.is_full(now));
        }
        // Looked at first and counted afterwards: a request that one limit refuses costs no other.
        let mut taken = Vec::new();
        let mut tightest: Option<Standing> = None;
        for (id, grant) in ids.zip(layers) {
            let Some(id) = id else { continue };
            for (window, limit) in limits(grant) {
                let kept = buckets.get(&(id, window));
                let kept = kept.map_or(0, |bucket| bucket.in_units_of(limit));
                let standing = match limit.check(kept, now) {
                    Verdict::Allowed { next, remaining } => {
                        let bucket = Bucket {
                            arrival: next,
                            burst: limit.burst,
                        };
                        taken.push(((id, window), bucket));
                        standing(window, limit, remaining, Duration::ZERO)
                    }
                    Verdict::Refused { retry_after } => {
                        return Err(standing(window, limit, 0, retry_after));
                    }
                };
                if tightest.is_none_or(|known| standing.remaining < known.remaining) {
                    tightest = Some(standing);
                }
            }
        }
        buckets.extend(taken);
        Ok(tightest)
    }
}

fn standing(window: Window, limit: Limit, remaining: u32, retry_after: Duration) -> Standing {
    Standing {
        window: match window {
            Window::Minute => "minute",
            Window::Day => "day",
        },
        quota: limit.burst,
        window_seconds: limit.window.as_secs(),
        remaining,
        retry_after,
    }
}

/// The limits of a grant.
fn limits(grant: &Grant) -> impl Iterator<Item = (Window, Limit)> {
    let of = |window, burst: Option<u32>, span| {
        burst.map(|burst| {
            let limit = Limit {
                burst,
                window: span,
            };
            (window, limit)
        })
    };
    [
        of(Window::Minute, grant.rate_limit.per_minute, MINUTE),
        of(Window::Day, grant.rate_limit.per_day, DAY),
    ]
    .into_iter()
    .flatten()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use claviger_core::{
        grant::{Grant, RateLimit},
        id::{KeyId, OrgId},
        tier::{Actor, Authority, Minter, Principal, Tier},
        time::Timestamp,
    };

    use super::RateLimiter;

    /// A key and the one above it, with so many requests a minute each.
    fn child(own: Option<u32>, above: Option<u32>) -> Principal {
        let grant = |per_minute| {
            Arc::new(Grant {
                rate_limit: RateLimit {
                    per_minute,
                    per_day: None,
                },
                ..Grant::admin()
            })
        };
        let minter = Minter {
            created_by: Actor::Bootstrap,
            root: Actor::Bootstrap,
            chain: vec![KeyId::from_u128(2)],
        };
        Principal {
            tier: Tier::OrgKey,
            org: OrgId::from_u128(1),
            actor: Actor::Anonymous,
            key: Some(KeyId::from_u128(1)),
            minter: Some(Arc::new(minter)),
            own_workspace: None,
            replaced_until: None,
            impersonator: None,
            session: None,
            is_break_glass: false,
            authority: Authority::of(vec![grant(own), grant(above)]),
        }
    }

    fn passed(limiter: &RateLimiter, principal: &Principal, now: i64) -> usize {
        let asked = (0..1000).map(|_| limiter.check(principal, Timestamp::from_millis(now)));
        asked.filter(Result::is_ok).count()
    }

    #[test]
    fn budget_of_a_minter_is_shared_by_what_it_minted() {
        let limiter = RateLimiter::default();
        let mut first = child(None, Some(10));
        assert_eq!(passed(&limiter, &first, 1_000_000), 10);
        first.key = Some(KeyId::from_u128(3));
        assert_eq!(
            passed(&limiter, &first, 1_000_000),
            0,
            "a sibling has no more"
        );
        assert_eq!(
            passed(&limiter, &first, 1_006_000),
            1,
            "a tenth of the minute later"
        );
    }

    #[test]
    fn request_that_one_limit_refuses_costs_no_other() {
        let limiter = RateLimiter::default();
        let narrow = child(Some(3), Some(10));
        assert_eq!(passed(&limiter, &narrow, 1_000_000), 3);
        let mut wide = child(None, Some(10));
        wide.key = Some(KeyId::from_u128(3));
        assert_eq!(passed(&limiter, &wide, 1_000_000), 7);
    }

    #[test]
    fn narrowed_limit_goes_on_from_what_was_used() {
        let limiter = RateLimiter::default();
        let wide = child(Some(100), None);
        for _ in 0..50 {
            assert!(
                limiter
                    .check(&wide, Timestamp::from_millis(1_000_000))
                    .is_ok()
            );
        }
        let narrow = child(Some(10), None);
        let left = passed(&limiter, &narrow, 1_000_000);
        assert!(
            (4..=5).contains(&left),
            "half of the minute is used: {left}"
        );
    }

    #[test]
    fn callers_at_once_pass_no_more_than_the_budget() {
        let limiter = RateLimiter::default();
        let principal = child(Some(100), None);
        let total: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..64)
                .map(|_| scope.spawn(|| passed(&limiter, &principal, 1_000_000)))
                .collect();
            threads
                .into_iter()
                .map(|t| t.join().expect("no panic"))
                .sum()
        });
        assert_eq!(total, 100);
    }
}
