//! Ten thousand records, and everything that can be done to them.

use std::sync::OnceLock;

use proptest::{
    prelude::{ProptestConfig, any, proptest},
    sample::Index,
};

use super::{Claims, Finding, Kind, NoClaims, Report, Source, Standing, Trusted, Verifier};
use crate::{
    ledger::tree::{Frontier, Hash, leaf_hash},
    time::Timestamp,
};

mod checkpoints;
mod decided;
mod edits;

const COUNT: usize = 10_000;
/// As many records the checkpoints of the export cover.
const SIGNED: [u64; 5] = [700, 2_500, 2_560, 7_777, 10_000];

struct Trail {
    records: Vec<Vec<u8>>,
    leaves: Vec<Hash>,
    /// The root of the first so many records.
    roots: Vec<Hash>,
}

fn trail() -> &'static Trail {
    static TRAIL: OnceLock<Trail> = OnceLock::new();
    TRAIL.get_or_init(|| {
        let record = |n: usize| format!(r#"{{"v":1,"nonce":"{n:08x}"}}"#).into_bytes();
        let records: Vec<_> = (1..=COUNT).map(record).collect();
        let leaves: Vec<_> = records.iter().map(|record| leaf_hash(record)).collect();
        let mut tree = Frontier::default();
        let mut roots = vec![tree.root()];
        for (at, leaf) in leaves.iter().enumerate() {
            tree.append(*leaf);
            let is_wanted = SIGNED.contains(&tree.size()) || at < 300;
            roots.push(if is_wanted { tree.root() } else { *leaf });
        }
        Trail {
            records,
            leaves,
            roots,
        }
    })
}

fn at(size: u64) -> usize {
    usize::try_from(size).expect("small")
}

fn number(place: usize) -> u64 {
    u64::try_from(place + 1).expect("small")
}

fn trusted(size: u64, source: Source) -> Trusted {
    let at = i64::try_from(size).ok().map(Timestamp::from_millis);
    let root = trail().roots[usize::try_from(size).expect("small")];
    Trusted {
        size,
        root,
        at,
        source,
    }
}

fn signed() -> Vec<Trusted> {
    SIGNED.map(|size| trusted(size, Source::Export)).to_vec()
}

fn verify<'a>(
    lines: impl IntoIterator<Item = &'a [u8]>,
    claims: impl Claims,
    trusted: Vec<Trusted>,
) -> Report {
    let mut verifier = Verifier::new(claims, trusted);
    lines.into_iter().for_each(|line| verifier.record(line));
    verifier.finish()
}

/// Verifies with the hashes of the export and all its checkpoints.
fn verify_lines(lines: &[Vec<u8>]) -> Report {
    let claims = trail().leaves.as_slice();
    verify(lines.iter().map(Vec::as_slice), claims, signed())
}

fn finding(kind: Kind, first: usize, last: usize) -> Finding {
    let (first, last) = (number(first), number(last));
    Finding { kind, first, last }
}

/// Whatever happens to the records, the hashes fit every checkpoint.
fn expect(report: &Report, findings: &[Finding]) {
    assert_eq!(report.findings, findings);
    assert_eq!(report.more, 0);
    assert!(
        report
            .checkpoints
            .iter()
            .all(|j| j.standing == Standing::Fits)
    );
    let proved = trusted(10_000, Source::Export);
    assert_eq!(report.proved, Some(proved));
    let first = findings.iter().map(Finding::place).min();
    assert_eq!(report.intact, first.map_or(10_000, |n| (n - 1).min(10_000)));
}

#[test]
fn untouched_trail_is_proved_up_to_the_last_checkpoint() {
    expect(&verify_lines(&trail().records), &[]);
    let lines = trail().records.iter().map(Vec::as_slice);
    expect(&verify(lines, NoClaims, signed()), &[]);
    // The hashes of full tiles alone.
    let lines = trail().records.iter().map(Vec::as_slice);
    expect(&verify(lines, &trail().leaves[..9984], signed()), &[]);
}

#[test]
fn empty_trail_is_proved_by_its_checkpoint() {
    let nothing = || std::iter::empty::<&[u8]>();
    let report = verify(nothing(), NoClaims, vec![trusted(0, Source::Export)]);
    assert_eq!((report.findings, report.intact), (vec![], 0));
    assert_eq!(report.proved, Some(trusted(0, Source::Export)));
    let report = verify(nothing(), NoClaims, vec![]);
    assert_eq!((report.findings, report.proved), (vec![], None));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn flipped_bit_is_found(place: Index, byte: Index, bit in 0_u8..8) {
        let mut records = trail().records.clone();
        let place = place.index(COUNT);
        let record = &mut records[place];
        let byte = byte.index(record.len());
        record[byte] ^= 1 << bit;
        // A flipped bit can make a line break of a byte: then one record is two lines.
        let file = records.join(&b'\n');
        let lines: Vec<Vec<u8>> = file.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        let mut expected = vec![finding(Kind::Changed, place, place)];
        if lines.len() > COUNT && place + 1 < COUNT {
            expected.push(finding(Kind::Inserted { count: 1 }, place + 1, place + 1));
        } else if lines.len() > COUNT {
            expected.push(finding(Kind::Unsigned, COUNT, COUNT));
        }
        expect(&verify_lines(&lines), &expected);
    }

    #[test]
    fn removed_records_are_found(place: Index, count in 1_usize..1500) {
        let place = place.index(COUNT);
        let end = (place + count).min(COUNT);
        let records = &trail().records;
        let lines = [&records[..place], &records[end..]].concat();
        let kind = if end == COUNT { Kind::CutOff } else { Kind::Removed };
        expect(&verify_lines(&lines), &[finding(kind, place, end - 1)]);
    }

    #[test]
    fn inserted_records_are_found(place: Index, count in 1_usize..6000, copied: Option<Index>) {
        let records = &trail().records;
        let place = place.index(COUNT);
        let copy = copied.map(|from| records[from.index(COUNT)].clone());
        let line = |n| copy.clone().unwrap_or_else(|| format!("made up {n}").into_bytes());
        let count = if copied.is_some() { count % 7 + 1 } else { count };
        let more: Vec<_> = (0..count).map(line).collect();
        let lines = [&records[..place], &more, &records[place..]].concat();
        let count = u64::try_from(count).expect("small");
        let is_own_copy = copied.is_some_and(|from| from.index(COUNT) == place);
        // Copies of a record before itself: which is the original nobody can say.
        let before = if is_own_copy { place + 1 } else { place };
        let expected = if before < COUNT {
            finding(Kind::Inserted { count }, before, before)
        } else {
            finding(Kind::Unsigned, COUNT, COUNT + at(count) - 1)
        };
        expect(&verify_lines(&lines), &[expected]);
    }

    #[test]
    fn swapped_records_are_found(one: Index, distance in 3_usize..10_000) {
        let one = one.index(COUNT - 3);
        let other = one + 3 + distance % (COUNT - one - 3);
        let mut lines = trail().records.clone();
        lines.swap(one, other);
        let stands_at = number(other);
        expect(&verify_lines(&lines), &[finding(Kind::Reordered { stands_at }, one, one)]);
    }

    #[test]
    fn neighbours_that_were_swapped_are_found(one in 0_usize..COUNT - 2, distance in 1_usize..3) {
        // Which of them was moved, nobody can say.
        let mut lines = trail().records.clone();
        lines.swap(one, one + distance);
        let report = verify_lines(&lines);
        let [found] = report.findings.as_slice() else { panic!("{:?}", report.findings) };
        assert!(matches!(found.kind, Kind::Reordered { .. }), "{found:?}");
        assert_eq!(found.place(), number(one));
        assert!(found.last <= number(one + distance));
    }

    #[test]
    fn moved_record_is_found(from: Index, to: Index) {
        let (from, to) = (from.index(COUNT), to.index(COUNT));
        let mut lines = trail().records.clone();
        let line = lines.remove(from);
        lines.insert(to, line);
        let report = verify_lines(&lines);
        assert_eq!(report.findings.len(), usize::from(from != to), "{:?}", report.findings);
        for found in report.findings {
            assert!(matches!(found.kind, Kind::Reordered { .. }), "{found:?}");
            assert_eq!(found.place(), number(from.min(to)));
        }
    }

    #[test]
    fn truncated_trail_is_found(kept in 0_usize..COUNT) {
        let lines = &trail().records[..kept];
        expect(&verify_lines(lines), &[finding(Kind::CutOff, kept, COUNT - 1)]);
    }

    #[test]
    fn without_hashes_a_change_lies_between_two_checkpoints(place: Index, bit in 0_u8..8) {
        let place = place.index(COUNT);
        let mut records = trail().records.clone();
        records[place][3] ^= 1 << bit;
        let report = verify(records.iter().map(Vec::as_slice), NoClaims, signed());
        let last = SIGNED.into_iter().find(|size| *size >= number(place)).expect("covered");
        let fits = SIGNED.into_iter().rfind(|size| *size < number(place)).unwrap_or(0);
        let first = fits + 1;
        let kind = Kind::RootMismatch;
        assert_eq!(report.findings, [Finding { kind, first, last }]);
        assert_eq!(report.intact, fits);
        assert_eq!(report.proved.map_or(0, |proved| proved.size), fits);
    }

    #[test]
    fn several_things_at_once_are_told_apart(seed in any::<u64>()) {
        let shift = at(seed % 100);
        let mut lines = trail().records.clone();
        lines.truncate(9_990);
        lines.swap(8_000 + shift, 9_500);
        lines.remove(5_000 + shift);
        lines.insert(3_000 + shift, b"made up".to_vec());
        lines[1_000 + shift] = b"changed".to_vec();
        lines[1_002 + shift] = b"changed as well".to_vec();
        let moved = Kind::Reordered { stands_at: 9_501 };
        expect(&verify_lines(&lines), &[
            finding(Kind::Changed, 1_000 + shift, 1_000 + shift),
            finding(Kind::Changed, 1_002 + shift, 1_002 + shift),
            finding(Kind::Inserted { count: 1 }, 3_000 + shift, 3_000 + shift),
            finding(Kind::Removed, 4_999 + shift + 1, 4_999 + shift + 1),
            finding(moved, 8_000 + shift, 8_000 + shift),
            finding(Kind::CutOff, 9_990, 9_999),
        ]);
    }
}
