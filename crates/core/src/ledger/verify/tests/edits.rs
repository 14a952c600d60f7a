//! Any edits in any order: the first place that was touched is named, and nothing panics.

use proptest::{
    collection::vec,
    prelude::{Just, Strategy, any, prop_oneof, proptest},
    sample::Index,
};

use super::{Source, Trusted, trail, trusted, verify};
use crate::ledger::{
    tree::Hash,
    verify::{Claims, FINDINGS_MAX, Kind, Standing, Verifier},
};

const SIZE: usize = 280;

#[derive(Debug, Clone)]
enum Edit {
    Change(Index),
    Remove(Index, usize),
    Insert(Index, usize),
    Copy(Index, Index, usize),
    Move(Index, Index, usize),
    Swap(Index, Index),
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    vec(edit(), 0..6)
}

fn edit() -> impl Strategy<Value = Edit> {
    let place = any::<Index>;
    let count = || 1_usize..40;
    prop_oneof![
        place().prop_map(Edit::Change),
        (place(), count()).prop_map(|(a, n)| Edit::Remove(a, n)),
        (place(), count()).prop_map(|(a, n)| Edit::Insert(a, n)),
        (place(), place(), count()).prop_map(|(a, b, n)| Edit::Copy(a, b, n)),
        (place(), place(), count()).prop_map(|(a, b, n)| Edit::Move(a, b, n)),
        (place(), place()).prop_map(|(a, b)| Edit::Swap(a, b)),
    ]
}

fn apply(lines: &mut Vec<Vec<u8>>, edits: &[Edit]) {
    for (at, edit) in edits.iter().enumerate() {
        let size = lines.len();
        if size == 0 {
            return;
        }
        let until = |from: usize, count: usize| (from + count).min(size);
        let made_up = |n: usize| format!("made up {at} {n}").into_bytes();
        match edit {
            Edit::Change(place) => lines[place.index(size)] = made_up(0),
            Edit::Remove(place, count) => {
                let from = place.index(size);
                lines.drain(from..until(from, *count));
            }
            Edit::Insert(place, count) => {
                let from = place.index(size);
                lines.splice(from..from, (0..*count).map(made_up));
            }
            Edit::Copy(place, to, count) => {
                let from = place.index(size);
                let copies = lines[from..until(from, *count)].to_vec();
                let to = to.index(size);
                lines.splice(to..to, copies);
            }
            Edit::Move(place, to, count) => {
                let from = place.index(size);
                let moved: Vec<_> = lines.drain(from..until(from, *count)).collect();
                let to = to.index(lines.len() + 1);
                lines.splice(to..to, moved);
            }
            Edit::Swap(one, other) => lines.swap(one.index(size), other.index(size)),
        }
    }
}

proptest! {
    #[test]
    fn first_place_that_was_touched_is_named(edits in edits(), has_hashes: bool) {
        let trail = trail();
        let original = &trail.records[..SIZE];
        let mut lines = original.to_vec();
        apply(&mut lines, &edits);
        let same = lines.iter().zip(original).take_while(|(a, b)| a == b).count();
        let untouched = u64::try_from(same).expect("small");
        let signed = [100, 250, 280].map(|size| trusted(size, Source::Export)).to_vec();
        let claims = if has_hashes { &trail.leaves[..SIZE] } else { &[] };
        let report = verify(lines.iter().map(Vec::as_slice), claims, signed);
        let is_wrong = |kind| kind != Kind::Unsigned;
        let wrong = report.findings.iter().find(|finding| is_wrong(finding.kind));
        assert_eq!(wrong.is_some(), same < SIZE, "{report:?}");
        if has_hashes {
            assert!(report.checkpoints.iter().all(|j| j.standing == Standing::Fits));
            assert_eq!(report.intact, untouched, "{:?}", report.findings);
        } else {
            let known = [0, 100, 250, 280].into_iter().rfind(|size| *size <= untouched);
            assert_eq!(Some(report.intact), known, "{:?}", report.findings);
        }
        assert_eq!(report.records, u64::try_from(lines.len()).expect("small"));
    }
}

proptest! {
    #[test]
    fn single_edit_is_a_single_finding(edit in edit()) {
        let trail = trail();
        let original = &trail.records[..SIZE];
        let mut lines = original.to_vec();
        apply(&mut lines, std::slice::from_ref(&edit));
        let signed = vec![trusted(280, Source::Export)];
        let claims = &trail.leaves[..SIZE];
        let report = verify(lines.iter().map(Vec::as_slice), claims, signed);
        let kinds: Vec<_> = report.findings.iter().map(|finding| finding.kind).collect();
        let fits = |kind: &Kind| match edit {
            Edit::Change(_) => *kind == Kind::Changed,
            Edit::Remove(..) => matches!(kind, Kind::Removed | Kind::CutOff),
            Edit::Insert(..) => matches!(kind, Kind::Inserted { .. }),
            // Copies of many in a row are taken for the originals if they stand before them.
            Edit::Copy(..) => !matches!(kind, Kind::Changed | Kind::Removed | Kind::CutOff),
            Edit::Move(..) | Edit::Swap(..) => matches!(kind, Kind::Reordered { .. }),
        };
        assert!(kinds.iter().all(fits), "{:?}", report.findings);
        let is_untouched = lines == original;
        match edit {
            Edit::Copy(..) => assert!(!kinds.is_empty()),
            // The records of a block that was moved, or those between, in one piece or a few.
            Edit::Move(..) => assert!(kinds.is_empty() == is_untouched && kinds.len() <= 4),
            _ => assert_eq!(kinds.len(), usize::from(!is_untouched), "{:?}", report.findings),
        }
    }
}

/// Hashes with holes, and any hashes of blocks.
#[derive(Debug)]
struct Any(Vec<Option<Hash>>, Vec<Hash>);

impl Claims for Any {
    fn leaf(&mut self, index: u64) -> Option<Hash> {
        *self.0.get(usize::try_from(index).ok()?)?
    }

    fn block(&mut self, number: u64) -> Option<Hash> {
        self.1.get(usize::try_from(number).ok()?).copied()
    }
}

proptest! {
    #[test]
    fn nothing_that_is_fed_to_it_makes_it_panic(
        hashes in vec(prop_oneof![Just(None), (0_usize..40).prop_map(Some)], 0..30),
        steps in vec((0_usize..40, any::<bool>(), extreme(), extreme()), 0..60),
        sizes in vec((extreme(), any::<bool>(), 0_usize..40), 0..5),
    ) {
        let leaves = &trail().leaves;
        let hashes = hashes.into_iter().map(|place| place.map(|place| leaves[place]));
        let claims = Any(hashes.collect(), leaves[..2].to_vec());
        let trusted = sizes.into_iter().map(|(size, is_anchor, root)| Trusted {
            size,
            root: leaves[root],
            at: None,
            source: if is_anchor { Source::Anchor } else { Source::Export },
        });
        let mut verifier = Verifier::new(claims, trusted.collect());
        for (place, is_record, first, last) in steps {
            if is_record {
                verifier.record(&trail().records[place]);
            } else {
                verifier.dropped(first, last);
            }
        }
        let report = verifier.finish();
        assert!(report.findings.len() <= FINDINGS_MAX);
        assert!(report.findings.iter().all(|finding| finding.first <= finding.last));
    }
}

/// Numbers as they occur, and the ends of what can be counted.
fn extreme() -> impl Strategy<Value = u64> {
    prop_oneof![0_u64..40, Just(u64::MAX), Just(u64::MAX - 1), any::<u64>()]
}
