//! The generic cell rate algorithm: a limit of so many calls per window, in one number.

use std::time::Duration;

use crate::time::Timestamp;

/// A limit of `burst` calls at once, refilled evenly over `window` (GCRA, ITU-T I.371).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Calls per window, at least 1.
    pub burst: u32,
    /// The window.
    pub window: Duration,
}

/// The answer to one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Let it through.
    Allowed {
        /// What to keep until the next call: milliseconds of the theoretical arrival time, times `burst`.
        next: i128,
        /// How many more calls would be allowed at this instant.
        remaining: u32,
    },
    /// Refuse it; nothing is to be kept.
    Refused {
        /// When the next call would be allowed.
        retry_after: Duration,
    },
}

impl Limit {
    /// Decides on a call at `now`, given what the last allowed call left (0 for none).
    #[must_use]
    pub fn check(&self, kept: i128, now: Timestamp) -> Verdict {
        let burst = i128::from(self.burst.max(1));
        let window = i128::try_from(self.window.as_millis())
            .unwrap_or(i128::MAX)
            .max(1);
        // In units of 1/burst milliseconds one call costs exactly one window: no rounding, no drift.
        let now = i128::from(now.millis()).saturating_mul(burst);
        let full = window.saturating_mul(burst);
        let arrival = kept.max(now);
        let next = arrival.saturating_add(window);
        let over = next.saturating_sub(now).saturating_sub(full);
        if over > 0 {
            let millis = (over + burst - 1) / burst;
            let retry_after = Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX));
            return Verdict::Refused { retry_after };
        }
        let remaining = u32::try_from((full - (next - now)) / window).unwrap_or(0);
        Verdict::Allowed { next, remaining }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::{collection::vec, prelude::proptest};

    use super::{Limit, Verdict};
    use crate::time::Timestamp;

    #[test]
    fn exactly_the_burst_passes_at_once_and_then_one_per_share() {
        let limit = Limit {
            burst: 3,
            window: Duration::from_secs(60),
        };
        let mut kept = 0;
        for expected in [2, 1, 0] {
            match limit.check(kept, Timestamp::from_millis(1000)) {
                Verdict::Allowed { next, remaining } => {
                    assert_eq!(remaining, expected);
                    kept = next;
                }
                Verdict::Refused { .. } => panic!("refused within the burst"),
            }
        }
        let refused = limit.check(kept, Timestamp::from_millis(1000));
        assert_eq!(
            refused,
            Verdict::Refused {
                retry_after: Duration::from_secs(20)
            }
        );
        let later = limit.check(kept, Timestamp::from_millis(21_000));
        assert!(matches!(later, Verdict::Allowed { remaining: 0, .. }));
    }

    proptest! {
        #[test]
        fn no_window_lets_more_than_twice_the_burst_through(burst in 1_u32..20, gaps in vec(0_i64..400, 1..200)) {
            let limit = Limit { burst, window: Duration::from_secs(1) };
            let (mut kept, mut now, mut passed) = (0, 1_000_000, Vec::new());
            for gap in gaps {
                now += gap;
                if let Verdict::Allowed { next, .. } = limit.check(kept, Timestamp::from_millis(now)) {
                    kept = next;
                    passed.push(now);
                }
            }
            for start in &passed {
                let within = passed.iter().filter(|at| (*start..start + 1000).contains(at)).count();
                assert!(within <= 2 * usize::try_from(burst).expect("small"));
            }
        }
    }
}
