//! Bodies that are missing because the trail itself says so, and those of which it does not.

use std::time::Duration;

use super::super::{Decided, Finding, Kind, Report, Source, Trusted, Verifier};
use crate::{
    id::{EventId, OrgId},
    ledger::{
        entry::{Draft, Kind as About},
        retention::Decision,
        tree::{Frontier, Hash, leaf_hash},
    },
    tier::Actor,
    time::Timestamp,
};

/// 2,000 records. Record 1,500 drops those up to 512, record 1,800 those up to 1,024.
struct Trail {
    records: Vec<Vec<u8>>,
    leaves: Vec<Hash>,
}

fn decision(first: u64, last: u64, size: u64) -> Decision {
    Decision {
        first,
        last,
        keep: Duration::from_hours(24 * 90),
        setting: None,
        size,
        root: leaf_hash(b"then"),
    }
}

fn record(seq: u64) -> Vec<u8> {
    let (id, org) = (EventId::from_u128(seq.into()), OrgId::from_u128(1));
    let at = Timestamp::from_millis(1);
    let draft = Draft::of_operation(id, seq.into(), at, org, &Actor::Policy);
    let decision = match seq {
        1_500 => Some(decision(1, 512, 1_499)),
        1_800 => Some(decision(513, 1_024, 1_790)),
        _ => None,
    };
    let change = decision.map(|decision| decision.change().to_string());
    let draft = Draft {
        kind: if change.is_some() {
            About::Retention
        } else {
            About::Operation
        },
        change: change.as_deref(),
        ..draft
    };
    draft.write().bytes().to_vec()
}

fn trail() -> Trail {
    let records: Vec<_> = (1..=2_000).map(record).collect();
    let leaves = records.iter().map(|record| leaf_hash(record)).collect();
    Trail { records, leaves }
}

fn signed(leaves: &[Hash], size: usize) -> Trusted {
    let mut tree = Frontier::default();
    leaves[..size].iter().for_each(|leaf| tree.append(*leaf));
    Trusted {
        size: tree.size(),
        root: tree.root(),
        at: None,
        source: Source::Export,
    }
}

impl Trail {
    /// Verifies without the first bodies, and with a checkpoint over so many records.
    fn verify(&self, dropped: usize, size: usize) -> Report {
        let trusted = vec![signed(&self.leaves, size)];
        let mut verifier = Verifier::new(self.leaves.as_slice(), trusted);
        verifier.dropped(1, u64::try_from(dropped).expect("small"));
        let rest = self.records.iter().skip(dropped);
        rest.for_each(|record| verifier.record(record));
        verifier.finish()
    }
}

fn decided() -> [Decided; 2] {
    let one = |seq, decision| Decided { seq, decision };
    [
        one(1_500, decision(1, 512, 1_499)),
        one(1_800, decision(513, 1_024, 1_790)),
    ]
}

const fn removed(first: u64, last: u64) -> Finding {
    let kind = Kind::Removed;
    Finding { kind, first, last }
}

#[test]
fn bodies_may_be_missing_as_far_as_a_record_says() {
    let trail = trail();
    for dropped in [512, 1_024] {
        let report = trail.verify(dropped, 2_000);
        assert_eq!(report.findings, []);
        assert_eq!(report.dropped, u64::try_from(dropped).expect("small"));
        assert_eq!(report.intact, 2_000);
        assert_eq!(report.decided, decided());
    }
    // No server drops so far and no farther: somebody has taken these out.
    for dropped in [1, 256, 511] {
        let report = trail.verify(dropped, 2_000);
        let last = u64::try_from(dropped).expect("small");
        assert_eq!(report.findings, [removed(1, last)]);
    }
    let report = trail.verify(1_025, 2_000);
    assert_eq!(report.findings, [removed(1_025, 1_025)]);
    assert_eq!(report.intact, 1_024);
    // A trail of which nothing is missing has its decisions all the same.
    let report = trail.verify(0, 2_000);
    assert_eq!((report.findings.len(), report.dropped), (0, 0));
    assert_eq!(report.decided, decided());
}

#[test]
fn bodies_that_nobody_mentions_are_excused_by_a_decision_as_well() {
    let trail = trail();
    let verify = |skip: usize| {
        let trusted = vec![signed(&trail.leaves, 2_000)];
        let mut verifier = Verifier::new(trail.leaves.as_slice(), trusted);
        let rest = trail.records.iter().skip(skip);
        rest.for_each(|record| verifier.record(record));
        verifier.finish()
    };
    let report = verify(1_024);
    assert_eq!(
        (report.findings.as_slice(), report.dropped),
        (&[][..], 1_024)
    );
    let report = verify(1_030);
    assert_eq!(report.findings, [removed(1_025, 1_030)]);
    assert_eq!(report.dropped, 1_024);
}

#[test]
fn decision_that_is_not_proved_excuses_nothing() {
    let trail = trail();
    // Signed is only what stands before it.
    let report = trail.verify(1_024, 1_799);
    assert!(report.findings.contains(&removed(513, 1_024)), "{report:?}");
    assert_eq!(report.decided, decided()[..1]);
    let report = trail.verify(512, 1_400);
    assert!(report.findings.contains(&removed(1, 512)), "{report:?}");
    // Taken out of the trail.
    let mut records = trail.records.clone();
    records.remove(1_799);
    let without = Trail {
        records,
        leaves: trail.leaves.clone(),
    };
    let report = without.verify(1_024, 2_000);
    assert_eq!(
        report.findings,
        [removed(513, 1_024), removed(1_800, 1_800)]
    );
    // Changed, so that it says more.
    let mut records = trail.records.clone();
    let text = String::from_utf8(records[1_799].clone()).expect("a text");
    records[1_799] = text.replace("1024", "1280").into_bytes();
    let forged = Trail {
        records,
        leaves: trail.leaves.clone(),
    };
    let report = forged.verify(1_280, 2_000);
    let changed = Finding {
        kind: Kind::Changed,
        first: 1_800,
        last: 1_800,
    };
    assert_eq!(report.findings, [removed(513, 1_280), changed]);
    // Put into another place, where nobody signed it.
    let mut records = trail.records.clone();
    records.insert(1_600, records[1_799].clone());
    let doubled = Trail {
        records,
        leaves: trail.leaves.clone(),
    };
    let report = doubled.verify(1_024, 1_700);
    assert!(report.findings.contains(&removed(513, 1_024)), "{report:?}");
}

#[test]
fn decision_is_found_beside_other_changes() {
    let mut trail = trail();
    trail.records[1_798] = b"made up".to_vec();
    let report = trail.verify(1_024, 2_000);
    let changed = Finding {
        kind: Kind::Changed,
        first: 1_799,
        last: 1_799,
    };
    assert_eq!(report.findings, [changed]);
    assert_eq!(report.decided, decided());
}
