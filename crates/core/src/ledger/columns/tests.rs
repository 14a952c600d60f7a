//! Each column is tampered with, and named with the record.

use super::{Difference, Rows, RunColumns, of_block, of_chapter, of_run};
use crate::{
    id::{EventId, OrgId},
    ledger::{
        entry::Draft,
        index::{BUCKETS, Block, CHAPTER_BLOCKS, Chapter, WORDS, before_block},
    },
    tier::Actor,
    time::Timestamp,
};

const NOBODY: Actor = Actor::AdminToken;

fn org() -> OrgId {
    OrgId::from_u128(1)
}

/// Records that began at these milliseconds, each with a path of its own.
fn lines(org: OrgId, times: &[i64]) -> Vec<u8> {
    let mut lines = Vec::new();
    for (at, time) in (1_u128..).zip(times) {
        let draft = Draft {
            path: &format!("/all/path-{at}"),
            route: &format!("/route/{at}"),
            ..Draft::of_operation(
                EventId::from_u128(at),
                at,
                Timestamp::from_millis(*time),
                org,
                &NOBODY,
            )
        };
        lines.extend_from_slice(draft.write().bytes());
        lines.push(b'\n');
    }
    lines
}

fn named(found: &[Difference]) -> Vec<(&'static str, u64)> {
    found.iter().map(|one| (one.column, one.seq)).collect()
}

#[test]
fn each_column_of_a_run_is_held_against_its_lines() {
    let text = lines(org(), &[30, 10, 20]);
    let right = RunColumns {
        first_seq: 5,
        last_seq: 7,
        at_min: 10,
        at_max: 30,
    };
    assert_eq!(of_run(org(), 5, right, &text), []);
    let other = |run| named(&of_run(org(), 5, run, &text));
    assert_eq!(
        other(RunColumns {
            at_min: 11,
            ..right
        }),
        [("audit_runs.at_min", 5)]
    );
    assert_eq!(
        other(RunColumns {
            at_max: 29,
            ..right
        }),
        [("audit_runs.at_max", 5)]
    );
    let (longer, shorter) = (
        RunColumns {
            last_seq: 8,
            ..right
        },
        RunColumns {
            last_seq: 6,
            ..right
        },
    );
    assert_eq!(other(longer), [("audit_runs.last_seq", 8)]);
    assert_eq!(other(shorter), [("audit_runs.last_seq", 7)]);
    let late = RunColumns {
        first_seq: 7,
        last_seq: 9,
        ..right
    };
    assert_eq!(other(late), [("audit_runs.first_seq", 5)]);
    let early = RunColumns {
        first_seq: 4,
        last_seq: 6,
        ..right
    };
    assert_eq!(other(early), [("audit_runs.first_seq", 4)]);
    let open = text.strip_suffix(b"\n").expect("a line");
    assert_eq!(
        named(&of_run(org(), 5, right, open)),
        [("audit_runs.lines", 7)]
    );
    let moved = of_run(OrgId::from_u128(2), 5, right, &text);
    assert_eq!(named(&moved), [5, 6, 7].map(|seq| ("audit_runs.org", seq)));
    let timeless = of_run(org(), 5, right, b"{}\n{}\n{}\n");
    assert_eq!(
        named(&timeless),
        [5, 6, 7].map(|seq| ("audit_runs.lines", seq))
    );
}

fn rows(block: u64, text: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut built = Block::new(block);
    built.add_run(before_block(block) + 1, text);
    let spots = (BUCKETS, built.spots().to_vec());
    built.into_rows().into_iter().chain([spots]).collect()
}

type Kept = Vec<(u64, Vec<u8>)>;

fn kept(rows: &[(u8, Vec<u8>)]) -> Kept {
    let rows = rows.iter();
    rows.map(|(bucket, row)| (u64::from(*bucket), row.clone()))
        .collect()
}

fn without(rows: &Kept, bucket: u8) -> Kept {
    let others = rows.iter().filter(|row| row.0 != u64::from(bucket));
    others.cloned().collect()
}

/// Every way to flip the lowest bit of a byte, with the row it is in.
fn each_flip(rows: &Kept) -> impl Iterator<Item = (usize, Kept)> {
    let bytes = (0..rows.len()).flat_map(|at| (0..rows[at].1.len()).map(move |byte| (at, byte)));
    bytes.map(|(at, byte)| {
        let mut other = rows.clone();
        other[at].1[byte] ^= 1;
        (at, other)
    })
}

#[test]
fn each_row_of_a_block_is_held_against_its_records() {
    let text = lines(org(), &[1; 50]);
    let own = rows(1, &text);
    let rows_kept = kept(&own);
    let spots = Some(BUCKETS);
    let found = |kept: &Kept| {
        let found = of_block(1, Rows { own: &own, kept }, spots);
        found.map(|one| (one.column, one.seq))
    };
    assert_eq!(found(&rows_kept), None);
    let spotless: Vec<_> = own.iter().filter(|row| row.0 != BUCKETS).cloned().collect();
    let bare = Rows {
        own: &spotless,
        kept: &without(&rows_kept, BUCKETS),
    };
    assert_eq!(of_block(1, bare, None), None);
    assert_eq!(
        found(&without(&rows_kept, BUCKETS)),
        Some(("audit_index.bucket", 4097))
    );
    for at in 0..rows_kept.len() {
        assert!(found(&without(&rows_kept, own[at].0)).is_some());
        let mut other = rows_kept.clone();
        other[at].0 = 1000;
        let (column, _) = found(&other).expect("it is named");
        assert_eq!(column, "audit_index.bucket");
    }
    for (_, other) in each_flip(&rows_kept) {
        let (column, seq) = found(&other).expect("it is named");
        assert_eq!(column, "audit_index.places");
        assert!((4097..4097 + 50).contains(&seq), "{seq}");
    }
    // The route, and then the path, of the ninth record alone.
    for part in [&b"/route/9"[..], b"/all/path-9"] {
        let mut other = text.clone();
        let at = text.windows(part.len()).position(|found| found == part);
        other[at.expect("it is there") + part.len() - 1] = b'x';
        let ninth = found(&kept(&rows(1, &other))).map(|(_, seq)| seq);
        assert_eq!(ninth, Some(4097 + 8));
    }
}

#[test]
fn what_stands_anywhere_is_not_the_same_as_some_places() {
    // All have one part of a path: where does not need to be said.
    let own = rows(0, &lines(org(), &[1; 1100]));
    let mut other = kept(&own);
    let words = other.iter_mut().find(|row| row.0 == u64::from(WORDS));
    let (_, words) = words.expect("a row");
    assert_eq!(words[..6], *b"\x03all\xff\xff");
    // Only the first two of them.
    words.splice(4..6, [0, 2, 0, 0, 0, 1]);
    let found = of_block(
        0,
        Rows {
            own: &own,
            kept: &other,
        },
        Some(BUCKETS),
    );
    let named = found.map(|one| (one.column, one.seq));
    assert_eq!(named, Some(("audit_index.places", 3)));
}

#[test]
fn each_row_of_a_chapter_is_held_against_its_blocks() {
    let text = lines(org(), &[1; 5]);
    let mut chapter = Chapter::default();
    let (first, last) = (CHAPTER_BLOCKS + 7, 2 * CHAPTER_BLOCKS - 1);
    for block in [first, last] {
        for (bucket, row) in rows(block, &text) {
            chapter.add_row(block, bucket, &row);
        }
    }
    let own = chapter.into_rows();
    let rows_kept = kept(&own);
    let found = |kept: &Kept| {
        let found = of_chapter(1, Rows { own: &own, kept });
        found.iter().map(|one| (one.column, one.seq)).collect()
    };
    let none: Vec<(&str, u64)> = found(&rows_kept);
    assert_eq!(none, []);
    let (first, last) = (before_block(first) + 1, before_block(last) + 1);
    for at in 0..rows_kept.len() {
        let of_bucket = [("audit_chapters.bucket", first)];
        assert_eq!(found(&without(&rows_kept, own[at].0)), of_bucket);
        let mut other = rows_kept.clone();
        other[at].0 = 1000;
        // What stands in a row of parts of paths is read as values there.
        let named = found(&other);
        assert!(
            named[0].0 == of_bucket[0].0 && named[0].1 <= first,
            "{named:?}"
        );
    }
    for (_, other) in each_flip(&rows_kept) {
        let [("audit_chapters.blocks", seq)] = found(&other)[..] else {
            panic!("{:?}", found(&other));
        };
        assert!(seq >= before_block(CHAPTER_BLOCKS) && seq <= last);
    }
    // The bit of the last block of a value.
    let mut other = rows_kept.clone();
    other[0].1[4] ^= 0x80;
    assert_eq!(found(&other), [("audit_chapters.blocks", last)]);
    // One row less, and one of another value.
    let mut other = without(&rows_kept, WORDS);
    other[0].1[0] ^= 1;
    assert_eq!(
        found(&other),
        ["audit_chapters.blocks", "audit_chapters.bucket"].map(|column| (column, first))
    );
}
