//! What was sent and does not count as taken yet.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use claviger_core::id::OrgId;

/// Batches that were sent within this time share a place, so that there are few of them.
const TOGETHER: Duration = Duration::from_millis(100);

/// Records of a trail that no receiver gets any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) org: OrgId,
    /// The first of them.
    pub(super) from: u64,
    pub(super) count: u64,
    pub(super) why: Why,
}

/// Why records are lost to a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// The policy of the org had them dropped first.
    Dropped,
    /// What is kept of them is no record.
    Unreadable,
}

/// What a batch brings a receiver to, once it counts as taken.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Reached {
    /// Up to which record of each trail.
    pub(super) upto: BTreeMap<OrgId, u64>,
    /// What could not be sent of that. It is told once, here: a batch may be read many times.
    pub(super) lost: Vec<Lost>,
}

impl Reached {
    fn extend(&mut self, later: Self) {
        self.upto.extend(later.upto);
        self.lost.extend(later.lost);
    }
}

/// Up to which record trails were sent, by when.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    sent: BTreeMap<OrgId, u64>,
    parts: VecDeque<(Instant, Reached)>,
}

impl Ahead {
    /// Up to which record a trail was sent; 0 if all of that counts as taken.
    pub(super) fn sent(&self, org: OrgId) -> u64 {
        self.sent.get(&org).copied().unwrap_or(0)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Trails were sent up to there.
    pub(super) fn add(&mut self, reached: Reached, now: Instant) {
        let is_young = |since: Instant| now.saturating_duration_since(since) < TOGETHER;
        self.sent.extend(&reached.upto);
        match self.parts.back_mut() {
            Some((since, part)) if is_young(*since) => part.extend(reached),
            _ => self.parts.push_back((now, reached)),
        }
    }

    /// Takes out what was sent so long ago.
    pub(super) fn settled(&mut self, after: Duration, now: Instant) -> Reached {
        let mut settled = Reached::default();
        while let Some((since, _)) = self.parts.front() {
            // The last batch in a part may be younger than its first.
            let is_due =
                after.is_zero() || now.saturating_duration_since(*since) >= after + TOGETHER;
            if !is_due {
                break;
            }
            if let Some((_, part)) = self.parts.pop_front() {
                settled.extend(part);
            }
        }
        self.sent
            .retain(|org, seq| settled.upto.get(org).is_none_or(|settled| *settled < *seq));
        settled
    }

    /// Forgets everything: it has to be sent again.
    pub(super) fn clear(&mut self) {
        self.sent.clear();
        self.parts.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use claviger_core::id::OrgId;

    use super::{Ahead, Lost, Reached, Why};

    #[test]
    fn what_was_sent_counts_as_taken_after_its_time_and_not_before() {
        let (one, two) = (OrgId::from_u128(1), OrgId::from_u128(2));
        let (start, after) = (Instant::now(), Duration::from_secs(3));
        let at = |millis| start + Duration::from_millis(millis);
        let lost = |from| Lost {
            org: one,
            from,
            count: 1,
            why: Why::Dropped,
        };
        let reached = |upto: &[(OrgId, u64)], lost: &[Lost]| Reached {
            upto: upto.iter().copied().collect(),
            lost: lost.to_vec(),
        };
        let mut ahead = Ahead::default();
        ahead.add(reached(&[(one, 5), (two, 1)], &[lost(1)]), at(0));
        ahead.add(reached(&[(one, 6)], &[]), at(50));
        ahead.add(reached(&[(one, 9)], &[lost(7)]), at(200));
        assert_eq!((ahead.sent(one), ahead.sent(two)), (9, 1));
        assert_eq!(ahead.settled(after, at(3_000)), Reached::default());
        let settled = ahead.settled(after, at(3_100));
        assert_eq!(settled, reached(&[(one, 6), (two, 1)], &[lost(1)]));
        assert_eq!((ahead.sent(one), ahead.sent(two)), (9, 0));
        let settled = ahead.settled(after, at(3_300));
        assert_eq!(settled, reached(&[(one, 9)], &[lost(7)]));
        assert!(ahead.is_empty() && ahead.sent(one) == 0);
        ahead.add(reached(&[(one, 10)], &[lost(10)]), at(4_000));
        ahead.clear();
        let settled = ahead.settled(Duration::ZERO, at(9_000));
        assert!(ahead.is_empty() && settled == Reached::default());
    }
}
