//! What was sent and does not count as taken yet.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use claviger_core::id::OrgId;

/// Batches that were sent within this time share a place, so that there are few of them.
const TOGETHER: Duration = Duration::from_millis(100);

/// Up to which record trails were sent, by when.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    sent: BTreeMap<OrgId, u64>,
    parts: VecDeque<(Instant, BTreeMap<OrgId, u64>)>,
}

impl Ahead {
    /// Up to which record a trail was sent; 0 if all of that counts as taken.
    pub(super) fn sent(&self, org: OrgId) -> u64 {
        self.sent.get(&org).copied().unwrap_or(0)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Trails were sent up to these records.
    pub(super) fn add(&mut self, upto: impl IntoIterator<Item = (OrgId, u64)>, now: Instant) {
        let is_young = |since: &Instant| now.saturating_duration_since(*since) < TOGETHER;
        if !self.parts.back().is_some_and(|(since, _)| is_young(since)) {
            self.parts.push_back((now, BTreeMap::new()));
        }
        for (org, seq) in upto {
            self.sent.insert(org, seq);
            if let Some((_, part)) = self.parts.back_mut() {
                part.insert(org, seq);
            }
        }
    }

    /// Takes out what was sent so long ago.
    pub(super) fn settled(&mut self, after: Duration, now: Instant) -> BTreeMap<OrgId, u64> {
        let mut settled = BTreeMap::new();
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
            .retain(|org, seq| settled.get(org).is_none_or(|settled| *settled < *seq));
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

    use super::Ahead;

    #[test]
    fn what_was_sent_counts_as_taken_after_its_time_and_not_before() {
        let (one, two) = (OrgId::from_u128(1), OrgId::from_u128(2));
        let (start, after) = (Instant::now(), Duration::from_secs(3));
        let at = |millis| start + Duration::from_millis(millis);
        let mut ahead = Ahead::default();
        ahead.add([(one, 5), (two, 1)], at(0));
        ahead.add([(one, 6)], at(50));
        ahead.add([(one, 9)], at(200));
        assert_eq!((ahead.sent(one), ahead.sent(two)), (9, 1));
        assert!(ahead.settled(after, at(3_000)).is_empty());
        let settled = ahead.settled(after, at(3_100));
        assert_eq!(
            settled.into_iter().collect::<Vec<_>>(),
            [(one, 6), (two, 1)]
        );
        assert_eq!((ahead.sent(one), ahead.sent(two)), (9, 0));
        let settled = ahead.settled(after, at(3_300));
        assert_eq!(settled.into_iter().collect::<Vec<_>>(), [(one, 9)]);
        assert!(ahead.is_empty() && ahead.sent(one) == 0);
        ahead.add([(one, 10)], at(4_000));
        ahead.clear();
        assert!(ahead.is_empty() && ahead.settled(Duration::ZERO, at(9_000)).is_empty());
    }
}
