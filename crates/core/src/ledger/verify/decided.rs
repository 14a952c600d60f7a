//! Decisions of the trail itself that bodies are dropped: only what a proved one says may be missing.

use std::collections::BTreeSet;

use super::{Finding, Kind};
use crate::ledger::{retention::Decision, tree::Hash};

/// As many decisions are remembered of one trail; what only a later one covers counts as missing.
const DECISIONS_MAX: usize = 1 << 16;

/// A decision that bodies are dropped, in a record that is proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// The number of the record.
    pub seq: u64,
    /// What it says.
    pub decision: Decision,
}

/// A record that says that it is a decision.
#[derive(Debug)]
struct Candidate {
    hash: Hash,
    decision: Decision,
    /// Where it stands among the records.
    own: u64,
    /// Where its hash stands among the claimed ones, once it was met there.
    claimed: Option<u64>,
}

/// Decisions while records are read.
#[derive(Debug, Default)]
pub(super) struct Decisions {
    candidates: Vec<Candidate>,
    /// How many of the last ones may still be met.
    open: usize,
    /// Records that were said to have no bodies: first and last.
    bodiless: Vec<(u64, u64)>,
}

impl Decisions {
    /// Takes a record if it is a decision.
    pub(super) fn see(&mut self, record: &[u8], hash: Hash, own: u64) {
        if self.candidates.len() < DECISIONS_MAX
            && let Some(decision) = Decision::read(record)
        {
            self.candidates.push(Candidate {
                hash,
                decision,
                own,
                claimed: None,
            });
            self.open += 1;
        }
    }

    /// The claimed hash of the record with this number is this one.
    pub(super) fn settle(&mut self, hash: Hash, seq: u64) {
        if self.open == 0 {
            return;
        }
        let before = self.candidates.len().saturating_sub(self.open);
        let open = self.candidates.get_mut(before..).unwrap_or_default();
        if let Some(met) = open.iter_mut().find(|open| open.hash == hash) {
            met.claimed.get_or_insert(seq);
            self.open = open
                .iter()
                .rev()
                .take_while(|o| o.claimed.is_none())
                .count();
        }
    }

    /// Records without bodies.
    pub(super) fn miss(&mut self, first: u64, last: u64) {
        if first > last {
            return;
        }
        match self.bodiless.last_mut() {
            Some((_, end)) if end.checked_add(1) == Some(first) => *end = last,
            Some(_) | None => self.bodiless.push((first, last)),
        }
    }

    /// Those that are among the first records, up to this number, which are proved: by the claimed hashes, or
    /// by the records themselves.
    pub(super) fn proved(&mut self, size: u64, by_records: bool) -> Vec<Decided> {
        let candidates = std::mem::take(&mut self.candidates).into_iter();
        let decided = candidates.filter_map(|candidate| {
            let seq = match by_records {
                true => Some(candidate.own),
                false => candidate.claimed,
            };
            let decision = candidate.decision;
            // No decision is about itself, or about what was recorded later.
            let seq = seq.filter(|seq| *seq <= size && decision.size < *seq)?;
            Some(Decided { seq, decision })
        });
        decided.collect()
    }

    /// Takes what was decided out of what is missing; gives how many records that are. What nobody
    /// decided of the records without bodies is missing.
    ///
    /// What a server drops ends where a decision says. What ends before that was there when it was
    /// dropped behind it, or is there still: somebody has taken it out.
    pub(super) fn excuse(&self, decided: &[Decided], findings: &mut Vec<Finding>) -> u64 {
        let ends: BTreeSet<u64> = decided.iter().map(|one| one.decision.last).collect();
        let end_within = |first: u64, last: u64| ends.range(first..=last).next_back().copied();
        let mut excused = 0_u64;
        for finding in findings.iter_mut() {
            if finding.kind == Kind::Removed
                && let Some(end) = end_within(finding.first, finding.last)
            {
                excused = excused.saturating_add(end - finding.first + 1);
                finding.first = end.saturating_add(1);
            }
        }
        findings.retain(|finding| finding.kind != Kind::Removed || finding.first <= finding.last);
        for (first, last) in &self.bodiless {
            let end = end_within(*first, *last);
            let first = end.map_or(*first, |end| end.saturating_add(1));
            if first <= *last {
                findings.push(Finding {
                    kind: Kind::Removed,
                    first,
                    last: *last,
                });
            }
        }
        excused
    }
}
