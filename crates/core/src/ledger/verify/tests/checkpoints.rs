//! Checkpoints and hashes that do not say the same, and records without bodies.

use super::{COUNT, at, expect, finding, number, signed, trail, trusted, verify, verify_lines};
use crate::ledger::{
    tree::{Frontier, Hash, leaf_hash},
    verify::{
        Claims, FINDINGS_MAX, Finding, Kind, NoClaims, Report, Source, Standing, TileClaims,
        Trusted, Verifier,
    },
};

fn lines() -> impl Iterator<Item = &'static [u8]> {
    trail().records.iter().map(Vec::as_slice)
}

fn root_of(leaves: &[Hash]) -> Hash {
    let mut tree = Frontier::default();
    leaves.iter().for_each(|leaf| tree.append(*leaf));
    tree.root()
}

fn standings(report: &Report) -> Vec<(u64, Standing)> {
    let judged = report.checkpoints.iter();
    judged.map(|j| (j.checkpoint.size, j.standing)).collect()
}

/// Records and hashes as somebody would leave them who changed a record and covered it up: the
/// records, the hashes, and what the hashes of whole blocks are.
struct Forged {
    leaves: Vec<Hash>,
    blocks: Vec<Hash>,
}

impl Claims for &Forged {
    fn leaf(&mut self, index: u64) -> Option<Hash> {
        self.leaves.get(at(index)).copied()
    }

    fn block(&mut self, number: u64) -> Option<Hash> {
        self.blocks.get(at(number)).copied()
    }
}

#[test]
fn change_that_is_covered_up_in_the_hashes_lies_between_two_checkpoints() {
    let mut records = trail().records.clone();
    records[5_000] = b"forged".to_vec();
    let mut leaves = trail().leaves.clone();
    leaves[5_000] = leaf_hash(b"forged");
    let report = verify(
        records.iter().map(Vec::as_slice),
        leaves.as_slice(),
        signed(),
    );
    assert_eq!(report.findings, [finding(Kind::RootMismatch, 2_560, 7_776)]);
    assert_eq!(
        (report.intact, report.proved),
        (2_560, Some(trusted(2_560, Source::Export)))
    );
    let expected = [
        (700, Standing::Fits),
        (2_500, Standing::Fits),
        (2_560, Standing::Fits),
        (7_777, Standing::Differs),
        (10_000, Standing::Differs),
    ];
    assert_eq!(standings(&report), expected);
}

#[test]
fn hashes_of_blocks_say_more_closely_where_a_change_lies() {
    let blocks: Vec<_> = trail().leaves.chunks_exact(256).map(root_of).collect();
    let mut records = trail().records.clone();
    let mut leaves = trail().leaves.clone();
    for place in [5_000, 5_300, 8_000] {
        records[place] = b"forged".to_vec();
        leaves[place] = leaf_hash(b"forged");
    }
    let mut forged = Forged { leaves, blocks };
    let report = verify(records.iter().map(Vec::as_slice), &forged, signed());
    let expected = [
        finding(Kind::RootMismatch, 19 * 256, 21 * 256 - 1),
        finding(Kind::RootMismatch, 31 * 256, 32 * 256 - 1),
    ];
    assert_eq!(report.findings, expected);
    assert_eq!(report.intact, 2_560);
    // One of them was covered up as well: the hashes of blocks do not fit any more, and say nothing.
    forged.blocks[19] = root_of(&forged.leaves[19 * 256..20 * 256]);
    let report = verify(records.iter().map(Vec::as_slice), &forged, signed());
    assert_eq!(report.findings, [finding(Kind::RootMismatch, 2_560, 7_776)]);
    // Wrong hashes of blocks alone throw no suspicion on the records, and are named.
    let report = verify(
        lines(),
        &Forged {
            leaves: trail().leaves.clone(),
            ..forged
        },
        signed(),
    );
    let altered = |first: usize| finding(Kind::TilesAltered, first * 256, first * 256 + 255);
    assert_eq!(report.findings, [altered(19)]);
    assert_eq!((report.intact, report.more), (10_000, 0));
}

#[test]
fn hashes_that_were_altered_do_not_throw_suspicion_on_records() {
    let mut leaves = trail().leaves.clone();
    leaves[5_000] = leaf_hash(b"nothing");
    leaves[9_000] = leaf_hash(b"nothing");
    let report = verify(lines(), leaves.as_slice(), signed());
    assert_eq!(
        report.findings,
        [finding(Kind::HashesAltered, 5_000, 9_999)]
    );
    assert_eq!(report.proved, Some(trusted(10_000, Source::Export)));
    assert!(standings(&report).iter().all(|(_, s)| *s == Standing::Fits));
    // The records beyond the last checkpoint cannot be judged so.
    let report = verify(lines(), leaves.as_slice(), signed()[..4].to_vec());
    let expected = [
        finding(Kind::HashesAltered, 5_000, 7_776),
        finding(Kind::Unsigned, 7_777, 9_999),
        finding(Kind::Changed, 9_000, 9_000),
    ];
    assert_eq!(report.findings, expected);
}

#[test]
fn records_beyond_the_last_checkpoint_are_unsigned() {
    let report = verify(lines(), trail().leaves.as_slice(), signed()[..4].to_vec());
    assert_eq!(report.findings, [finding(Kind::Unsigned, 7_777, 9_999)]);
    assert_eq!((report.intact, report.records), (7_777, 10_000));
    let report = verify(lines(), NoClaims, vec![]);
    assert_eq!(report.findings, [finding(Kind::Unsigned, 0, 9_999)]);
    assert_eq!((report.intact, report.proved), (0, None));
}

#[test]
fn export_that_is_shorter_than_its_checkpoint_is_cut_off() {
    for claims in [&trail().leaves[..9_000], &[]] {
        let report = verify(lines().take(9_000), claims, signed());
        assert_eq!(report.findings, [finding(Kind::CutOff, 9_000, 9_999)]);
        assert_eq!(report.intact, 7_777);
        assert_eq!(standings(&report)[4], (10_000, Standing::Ahead));
    }
    // Hashes without records, and then a checkpoint beyond the hashes: one piece is missing.
    let report = verify(lines().take(8_990), &trail().leaves[..9_000], signed());
    assert_eq!(report.findings, [finding(Kind::CutOff, 8_990, 9_999)]);
}

#[test]
fn anchor_that_is_ahead_is_a_rollback() {
    let mut marks = signed()[..4].to_vec();
    marks.push(trusted(10_000, Source::Anchor));
    let report = verify(lines().take(7_777), &trail().leaves[..7_777], marks.clone());
    assert_eq!(report.findings, [finding(Kind::Rollback, 7_777, 9_999)]);
    assert_eq!(
        (report.intact, report.proved),
        (7_777, Some(trusted(7_777, Source::Export)))
    );
    // An anchor of the past that fits says nothing against it.
    marks.push(trusted(700, Source::Anchor));
    let report = verify(lines(), NoClaims, marks);
    assert_eq!(report.findings, []);
    assert_eq!(report.proved, Some(trusted(10_000, Source::Anchor)));
}

#[test]
fn trail_that_was_rewritten_and_signed_anew_contradicts_its_anchor() {
    let mut records = trail().records.clone();
    records[5_000] = b"forged".to_vec();
    let leaves: Vec<_> = records.iter().map(|record| leaf_hash(record)).collect();
    let anew = |size: u64| Trusted {
        root: root_of(&leaves[..at(size)]),
        ..trusted(700, Source::Export)
    };
    let forged = [2_500, 10_000].map(|size| Trusted { size, ..anew(size) });
    let anchors = [700, 7_777].map(|size| trusted(size, Source::Anchor));
    let marks = [&forged[..], &anchors].concat();
    let report = verify(records.iter().map(Vec::as_slice), leaves.as_slice(), marks);
    assert_eq!(report.findings, [finding(Kind::Fork, 2_500, 7_776)]);
    assert_eq!(report.intact, 2_500);
    // Two trees of one size, of which one fits.
    let other = Trusted {
        root: leaves[0],
        ..trusted(10_000, Source::Anchor)
    };
    for marks in [
        vec![trusted(10_000, Source::Export), other],
        vec![other, trusted(10_000, Source::Export)],
    ] {
        let report = verify(lines(), NoClaims, marks);
        assert_eq!(report.findings, [finding(Kind::Fork, 0, 9_999)]);
        assert_eq!(report.intact, 0);
    }
    // And of which neither is there yet.
    let far = |root| Trusted {
        size: 20_000,
        root,
        ..trusted(700, Source::Anchor)
    };
    let marks = vec![
        trusted(10_000, Source::Export),
        far(leaves[0]),
        far(leaves[1]),
    ];
    let kinds = verify(lines(), NoClaims, marks).findings;
    let kinds: Vec<_> = kinds.iter().map(|finding| finding.kind).collect();
    assert_eq!(kinds, [Kind::Fork, Kind::Rollback]);
}

#[test]
fn dropped_bodies_are_stood_for_by_their_hashes() {
    let run = |claims: &[Hash], skip: usize| {
        let mut verifier = Verifier::new(claims, signed());
        lines().take(1_000).for_each(|line| verifier.record(line));
        verifier.dropped(1_001, 6_000);
        lines()
            .skip(6_000 + skip)
            .for_each(|line| verifier.record(line));
        verifier.finish()
    };
    // Nobody decided it.
    let gone = finding(Kind::Removed, 1_000, 5_999);
    let report = run(&trail().leaves, 0);
    expect(&report, &[gone]);
    assert_eq!((report.records, report.dropped), (5_000, 5_000));
    let report = run(&trail().leaves, 3);
    expect(&report, &[gone, finding(Kind::Removed, 6_000, 6_002)]);
    // Hashes of dropped records that were changed do not fit.
    let mut leaves = trail().leaves.clone();
    leaves[4_000] = leaf_hash(b"other");
    let report = run(&leaves, 0);
    let mismatch = finding(Kind::RootMismatch, 2_560, 7_776);
    assert_eq!(report.findings, [gone, mismatch]);
    // Without their hashes nothing behind them can be proved.
    let report = run(&leaves[..3_000], 0);
    let missing = finding(Kind::HashMissing, 3_000, 5_999);
    let some = finding(Kind::Removed, 1_000, 2_999);
    assert_eq!(report.findings, [some, missing]);
    assert_eq!(
        (report.intact, report.records, report.dropped),
        (1_000, 5_000, 2_000)
    );
    assert_eq!(standings(&report)[3], (7_777, Standing::Unjudged));
    let report = verify([], NoClaims, signed());
    assert_eq!(report.findings, [finding(Kind::CutOff, 0, 9_999)]);
}

#[test]
fn what_is_wrong_before_dropped_bodies_is_settled_there() {
    let run = |before: &[&[u8]]| {
        let mut verifier = Verifier::new(trail().leaves.as_slice(), signed());
        before.iter().for_each(|line| verifier.record(line));
        verifier.dropped(1_001, 6_000);
        lines().skip(6_000).for_each(|line| verifier.record(line));
        verifier.finish()
    };
    let first: Vec<&[u8]> = lines().take(1_000).collect();
    let longer = [&first[..], &[b"made up"]].concat();
    let gone = finding(Kind::Removed, 1_000, 5_999);
    let inserted = finding(Kind::Inserted { count: 1 }, 1_000, 1_000);
    let report = run(&longer);
    assert!(report.findings.contains(&inserted) && report.findings.contains(&gone));
    assert_eq!(report.findings.len(), 2);
    let removed = finding(Kind::Removed, 998, 999);
    expect(&run(&first[..998]), &[removed, gone]);
    let changed = [&first[..998], &[b"made up", first[999]]].concat();
    expect(&run(&changed), &[finding(Kind::Changed, 998, 998), gone]);
    let last = [&first[..999], &[&b"made up"[..]]].concat();
    expect(&run(&last), &[finding(Kind::Changed, 999, 999), gone]);
    // Numbers that mean nothing are passed over.
    let mut verifier = Verifier::new(trail().leaves.as_slice(), signed());
    verifier.dropped(0, 5);
    verifier.dropped(9, 8);
    lines().for_each(|line| verifier.record(line));
    expect(&verifier.finish(), &[]);
}

#[test]
fn export_of_another_trail_is_found_at_its_first_record() {
    let others: Vec<_> = (0..COUNT)
        .map(|n| format!("other {n}").into_bytes())
        .collect();
    let report = verify_lines(&others);
    let [first, ..] = report.findings.as_slice() else {
        panic!("{report:?}")
    };
    assert_eq!(
        (first.kind, first.first, report.intact),
        (Kind::Changed, 1, 0)
    );
    assert!(report.findings.len() < 5, "{:?}", report.findings);
}

#[test]
fn findings_are_bounded_and_counted() {
    let mut records = trail().records.clone();
    let places = (0..COUNT).step_by(7);
    for place in places.clone() {
        records[place] = b"changed".to_vec();
    }
    let report = verify_lines(&records);
    assert_eq!(report.findings.len(), FINDINGS_MAX);
    assert_eq!(at(report.more), places.clone().count() - FINDINGS_MAX);
    let expected = places.take(FINDINGS_MAX);
    let expected: Vec<Finding> = expected.map(|at| finding(Kind::Changed, at, at)).collect();
    assert_eq!(report.findings, expected);
    assert_eq!(number(0), report.findings[0].first);
}

#[test]
fn forks_are_as_many_as_there_are_anchors_and_cost_no_more() {
    // Looked for one by one among the others, they would take minutes.
    let forked = |size: u64| Trusted {
        size,
        root: leaf_hash(&size.to_be_bytes()),
        ..trusted(700, Source::Anchor)
    };
    let (own, fits) = (u64::try_from(COUNT).expect("small"), trail());
    let mut leaves = fits.leaves.iter().copied().cycle();
    let all: Vec<Hash> = leaves.by_ref().take(60_000).collect();
    let last = Trusted {
        size: 60_000,
        root: root_of(&all),
        ..trusted(own, Source::Export)
    };
    let marks = (1..60_000).map(forked).chain([last]).collect();
    let records = fits.records.iter().cycle().take(60_000);
    let report = verify(records.map(Vec::as_slice), NoClaims, marks);
    let expected = |size: usize| finding(Kind::Fork, 0, size - 1);
    // All begin with the first record: the first stand for the others.
    let expected: Vec<Finding> = (1..=FINDINGS_MAX).map(expected).collect();
    assert_eq!(report.findings, expected);
    assert_eq!(at(report.more), 59_999 - FINDINGS_MAX);
    assert_eq!((report.intact, report.proved), (0, Some(last)));
}

#[test]
fn block_of_records_that_was_moved_is_one_finding() {
    let records = &trail().records;
    let lines = [
        &records[..300],
        &records[600..700],
        &records[300..600],
        &records[700..],
    ]
    .concat();
    let report = verify_lines(&lines);
    let [found] = report.findings.as_slice() else {
        panic!("{:?}", report.findings)
    };
    assert!(matches!(found.kind, Kind::Reordered { .. }), "{found:?}");
    assert_eq!((found.place(), report.intact), (301, 300));
    // Later records that were copied to an earlier place.
    let lines = [&records[..300], &records[600..604], &records[300..]].concat();
    expect(
        &verify_lines(&lines),
        &[finding(Kind::Inserted { count: 4 }, 300, 300)],
    );
}

#[test]
fn hashes_are_read_from_tiles() {
    let leaves = &trail().leaves;
    let blocks: Vec<_> = leaves.chunks_exact(256).map(root_of).collect();
    let mut reads = 0;
    let read = |level, number| {
        reads += 1;
        let hashes = if level == 0 { leaves } else { &blocks };
        let tile = hashes.chunks(256).nth(at(number))?;
        Some(tile.iter().flat_map(|hash| *hash.as_bytes()).collect())
    };
    let report = verify(lines(), TileClaims::new(read), signed());
    expect(&report, &[]);
    // Each tile once: 40 of the leaves, one of the blocks. The end of the last one is not asked for twice.
    assert_eq!(reads, 41);
    let mut records = trail().records.clone();
    records.remove(5_000);
    let read = |level: u8, number| {
        let tile = leaves.chunks(256).nth(at(number)).filter(|_| level == 0)?;
        Some(tile.iter().flat_map(|hash| *hash.as_bytes()).collect())
    };
    let report = verify(
        records.iter().map(Vec::as_slice),
        TileClaims::new(read),
        signed(),
    );
    expect(&report, &[finding(Kind::Removed, 5_000, 5_000)]);
}

#[test]
fn records_that_were_moved_at_the_end_were_moved() {
    let records = &trail().records;
    for (from, to, end) in [
        (9_993, 9_986, 10_000),
        (9_999, 100, 10_000),
        (9_900, 100, 10_000),
    ] {
        let lines = [&records[..to], &records[from..end], &records[to..from]].concat();
        let report = verify_lines(&lines);
        let [found] = report.findings.as_slice() else {
            panic!("{:?}", report.findings)
        };
        assert!(matches!(found.kind, Kind::Reordered { .. }), "{found:?}");
        assert_eq!((found.place(), report.intact), (number(to), number(to) - 1));
    }
}
