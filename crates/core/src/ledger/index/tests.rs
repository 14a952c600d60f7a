//! What the index says holds for whatever a record says.

use proptest::{
    collection::vec,
    option,
    prelude::{any, proptest},
};

use super::{BLOCK_RECORDS, Block, Member, Term, before_block, block_of, places};
use crate::{
    id::{EventId, KeyId, OrgId, WorkspaceId},
    ledger::{
        entry::{Draft, Kind},
        filter::{AuditFilter, Matcher},
    },
    tier::Actor,
    time::Timestamp,
};

fn draft(actor: &Actor) -> Draft<'_> {
    let (id, org) = (EventId::from_u128(1), OrgId::from_u128(1));
    Draft::of_operation(id, 0, Timestamp::from_millis(1), org, actor)
}

/// The numbers that a block of these lines has of a term.
fn found(block: u64, first_seq: u64, lines: &[u8], term: Term) -> Vec<u64> {
    let mut built = Block::new(block);
    built.add_run(first_seq, lines);
    let rows = built.into_rows();
    let row = rows.iter().find(|(bucket, _)| *bucket == term.bucket());
    let places = row.map(|(_, row)| places(row, term)).unwrap_or_default();
    let number = |place| before_block(block) + 1 + u64::from(place);
    places.into_iter().map(number).collect()
}

proptest! {
    #[test]
    fn every_condition_that_holds_is_found(
        texts in vec(any::<String>(), 5),
        ids in (option::of(any::<u128>()), vec(any::<u128>(), 0..4), option::of(any::<u128>())),
        status in 100_u16..600,
    ) {
        let [person, path, route, method, agent] = texts.as_slice() else { return Ok(()) };
        let actor = Actor::Session(person.as_str().into());
        let chain: Vec<_> = ids.1.iter().copied().map(KeyId::from_u128).collect();
        let record = Draft {
            kind: if status % 2 == 0 { Kind::Request } else { Kind::BreakGlass },
            key: ids.0.map(KeyId::from_u128),
            chain: &chain,
            impersonator: texts.first().map(String::as_str).filter(|_| status % 3 == 0),
            workspace: ids.2.map(WorkspaceId::from_u128),
            path,
            route,
            method,
            user_agent: Some(agent),
            change: Some(r#"{"key":"x","route":{"token_id":"tok_00000000000000000000000009"},"status":1}"#),
            status,
            ..draft(&actor)
        };
        let whole = AuditFilter {
            kind: Some(record.kind),
            actor: Some(actor.to_string()),
            key: record.key,
            about: Some(KeyId::from_u128(9)),
            under: chain.last().copied().or(record.key),
            workspace: record.workspace,
            route: Some(route.clone()),
            method: Some(method.clone()).filter(|method| method.len() <= 32),
            status: Some((status, status)),
            ..AuditFilter::default()
        };
        let class = AuditFilter {
            status: Some((status / 100 * 100, status / 100 * 100 + 99)),
            ..AuditFilter::default()
        };
        let lines = [record.write().bytes(), b"\n"].concat();
        for filter in [whole, class] {
            let matcher = Matcher::from(filter);
            assert!(matcher.fits(record.write().bytes()));
            for term in matcher.terms() {
                assert_eq!(found(0, 1, &lines, *term), [1], "{term:?} of {matcher:?}");
            }
        }
    }
}

#[test]
fn what_is_kept_means_the_same_for_ever() {
    // Changing any of these makes every index that was written before say nothing.
    let term = Term::new(Member::Key, b"tok_01J");
    assert_eq!((term.bucket(), term.tag), KEPT);
    let mut block = Block::new(0);
    let actor = Actor::AdminToken;
    block.add_run(3, draft(&actor).write().bytes());
    let rows = block.into_rows();
    let term = Term::new(Member::Actor, b"admin-token");
    let row = rows.iter().find(|(bucket, _)| *bucket == term.bucket());
    let expected = [&term.tag.to_be_bytes()[..], &[0, 1, 0, 2]].concat();
    assert_eq!(row.map(|(_, row)| row), Some(&expected));
}

const KEPT: (u8, u32) = (97, 4_111_431_342);

#[test]
fn records_of_other_blocks_are_left_out() {
    let (one, other) = (Actor::AdminToken, Actor::Bootstrap);
    let line = |actor| [draft(actor).write().bytes(), b"\n"].concat();
    let lines = [line(&one), line(&other), line(&one), line(&one)].concat();
    let term = Term::new(Member::Actor, b"admin-token");
    let last = BLOCK_RECORDS;
    assert_eq!(found(0, last - 2, &lines, term), [last - 2, last]);
    assert_eq!(found(1, last - 2, &lines, term), [last + 1]);
    assert!(found(2, last - 2, &lines, term).is_empty());
    for (seq, block) in [(1, 0), (last, 0), (last + 1, 1), (2 * last, 1)] {
        assert_eq!(block_of(seq), block);
    }
}

#[test]
fn spots_say_where_records_stand_in_their_runs() {
    let mut block = Block::new(1);
    block.add_run(BLOCK_RECORDS - 1, b"a\nbb\nccc\ndd\n");
    block.add_run(BLOCK_RECORDS + 3, b"e\n");
    let expected = [[0, 0, 5, 0, 0, 3], [0, 0, 9, 0, 0, 2], [0, 0, 0, 0, 0, 1]];
    assert_eq!(block.spots(), expected.concat());
    assert_eq!(super::spot(1 << 24, 1), [0; 6]);
}

#[test]
fn what_is_no_index_holds_nothing() {
    let term = Term::new(Member::Key, b"x");
    let tag = term.tag.to_be_bytes();
    for row in [&[][..], &tag, &[&tag[..], &[0, 2, 0, 1]].concat()] {
        assert!(places(row, term).is_empty(), "{row:?}");
    }
    let mut block = Block::new(0);
    block.add_run(1, b"{}\n\n{\"v\":1,\"actor\":\"x\n");
    assert!(block.into_rows().is_empty());
}
