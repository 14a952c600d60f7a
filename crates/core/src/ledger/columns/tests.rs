//! Each column is tampered with, and named with the record.

use super::{Difference, RunColumns, of_block, of_run};
use crate::{
    id::{EventId, OrgId},
    ledger::{
        entry::Draft,
        index::{BUCKETS, Block},
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

fn block(text: &[u8]) -> Block {
    let mut block = Block::new(1);
    block.add_run(4097, text);
    block
}

fn kept(text: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let block = block(text);
    let spots = (u64::from(BUCKETS), block.spots().to_vec());
    let rows = block.into_rows().into_iter();
    rows.map(|(bucket, row)| (u64::from(bucket), row))
        .chain([spots])
        .collect()
}

#[test]
fn each_row_of_a_block_is_held_against_its_records() {
    let text = lines(org(), &[1; 50]);
    let rows = kept(&text);
    let spots = Some(BUCKETS);
    let found = |rows: &[(u64, Vec<u8>)]| {
        let found = of_block(4097, block(&text), rows, spots);
        found.map(|one| (one.column, one.seq))
    };
    assert_eq!(found(&rows), None);
    let without = |bucket: u64| -> Vec<_> {
        let others = rows.iter().filter(|row| row.0 != bucket);
        others.cloned().collect()
    };
    assert_eq!(
        found(&without(u64::from(BUCKETS))),
        Some(("audit_index.bucket", 4097))
    );
    assert_eq!(of_block(4097, block(&text), &without(128), None), None);
    for at in 0..rows.len() {
        assert!(found(&without(rows[at].0)).is_some());
        // Any byte of any row.
        for byte in 0..rows[at].1.len() {
            let mut other = rows.clone();
            other[at].1[byte] ^= 1;
            let (column, seq) = found(&other).expect("it is named");
            assert_eq!(column, "audit_index.places");
            assert!((4097..4097 + 50).contains(&seq), "{seq}");
        }
        let mut other = rows.clone();
        other[at].0 = 1000;
        let (column, _) = found(&other).expect("it is named");
        assert_eq!(column, "audit_index.bucket");
    }
    // The route of the ninth record alone.
    let mut other = text.clone();
    let at = text
        .windows(8)
        .position(|part| part == b"/route/9")
        .expect("it is there");
    other[at + 7] = b'x';
    let ninth = found(&kept(&other)).map(|(_, seq)| seq);
    assert_eq!(ninth, Some(4097 + 8));
}
