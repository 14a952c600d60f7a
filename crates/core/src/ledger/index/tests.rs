//! What the index says holds for whatever a record says.

use proptest::{
    collection::vec,
    option,
    prelude::{any, proptest},
};

use super::{
    BLOCK_RECORDS, Block, CHAPTER_BLOCKS, Chapter, Member, Term, WORDS, Wanted, before_block,
    block_of,
};
use crate::{
    id::{EventId, KeyId, OrgId, WorkspaceId},
    ledger::{
        entry::{Draft, Kind},
        filter::{AuditFilter, Matcher},
        search::Search,
    },
    tier::Actor,
    time::Timestamp,
};

fn draft(actor: &Actor) -> Draft<'_> {
    let (id, org) = (EventId::from_u128(1), OrgId::from_u128(1));
    Draft::of_operation(id, 0, Timestamp::from_millis(1), org, actor)
}

/// A query for one value.
fn only(member: Member, value: &[u8]) -> Wanted {
    let mut wanted = Wanted::default();
    wanted.and(member, value);
    wanted
}

type Rows = Vec<(u8, Vec<u8>)>;

fn row(rows: &Rows, bucket: u8) -> Option<&[u8]> {
    let row = rows.iter().find(|(own, _)| *own == bucket);
    row.map(|(_, row)| row.as_slice())
}

fn rows(block: u64, first_seq: u64, lines: &[u8]) -> Rows {
    let mut built = Block::new(block);
    built.add_run(first_seq, lines);
    built.into_rows()
}

/// The numbers that a block of these lines has of what is wanted.
fn found(block: u64, first_seq: u64, lines: &[u8], wanted: &Wanted) -> Vec<u64> {
    let rows = rows(block, first_seq, lines);
    let places = wanted.places(|bucket| row(&rows, bucket));
    let numbers = places.iter().map(|place| before_block(block) + 1 + place);
    numbers.collect()
}

fn rows_of(lines: &[u8]) -> Rows {
    rows(0, 1, lines)
}

/// Whether a chapter of this block alone says that it has what is wanted.
fn is_in_chapter(block: u64, rows: &Rows, wanted: &Wanted) -> bool {
    let mut chapter = Chapter::default();
    for (bucket, row) in rows {
        chapter.add_row(block, *bucket, row);
    }
    let rows = chapter.into_rows();
    let blocks = wanted.blocks(|bucket| row(&rows, bucket));
    assert!((0..CHAPTER_BLOCKS).all(|other| other == block % CHAPTER_BLOCKS || !blocks.has(other)));
    blocks.has(block)
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
            search: Search::parse(&path.chars().take(100).collect::<String>()).ok().map(Into::into),
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
            if matcher.wanted().is_empty() {
                continue;
            }
            let found = found(0, 1, &lines, matcher.wanted());
            assert!(found == [1], "{matcher:?}");
            assert!(is_in_chapter(70, &rows(0, 1, &lines), matcher.wanted()), "{matcher:?}");
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
    let expected = [&term.tag.to_be_bytes()[..], &[0, 1, 0, 2]].concat();
    assert_eq!(row(&rows, term.bucket()), Some(&*expected));
    let mut chapter = Chapter::default();
    chapter.add_row(66, term.bucket(), &expected);
    let expected = [&term.tag.to_be_bytes()[..], &[0, 0, 0, 0, 0, 0, 0, 4]].concat();
    assert_eq!(row(&chapter.into_rows(), term.bucket()), Some(&*expected));
}

#[test]
fn parts_of_paths_are_kept_as_they_are() {
    let line = |path: &str| {
        let draft = Draft {
            path,
            ..draft(&Actor::AdminToken)
        };
        [draft.write().bytes(), b"\n"].concat()
    };
    let long = format!("/x/{}", "y".repeat(129));
    let lines = ["/B/a", "/b", &long].map(line).concat();
    let rows = rows(0, 1, &lines);
    let expected = b"\0\0\x01\0\x02\x01a\0\x01\0\0\x01b\0\x02\0\0\0\x01\x01x\0\x01\0\x02";
    assert_eq!(row(&rows, WORDS), Some(&expected[..]));
    let of = |text: &str| {
        let search = Search::parse(text).expect("a text");
        let wanted = Matcher::from(AuditFilter {
            search: Some(search.into()),
            ..AuditFilter::default()
        });
        assert!(is_in_chapter(3, &rows, wanted.wanted()), "the long one");
        found(0, 1, &lines, wanted.wanted())
    };
    // What is not kept may be anything.
    assert_eq!(of("b"), [1, 2, 3]);
    assert_eq!(of("b/a"), [1, 3]);
    assert_eq!(of("zz"), [3]);
    let none = rows_of(&line("/b/a"));
    let wanted = |text: &str| {
        Matcher::from(AuditFilter {
            search: Search::parse(text).ok().map(Into::into),
            ..AuditFilter::default()
        })
    };
    for (text, is_there) in [
        ("/b/", true),
        ("b/a", true),
        ("/a", true),
        ("a/c", false),
        ("ab", false),
        ("/b/a/", true),
        ("x", false),
    ] {
        let found = is_in_chapter(9, &none, wanted(text).wanted());
        assert_eq!(found, is_there, "{text}");
    }
    assert!(wanted("/").wanted().is_empty());
}

const KEPT: (u8, u32) = (97, 4_111_431_342);

#[test]
fn records_of_other_blocks_are_left_out() {
    let (one, other) = (Actor::AdminToken, Actor::Bootstrap);
    let line = |actor| [draft(actor).write().bytes(), b"\n"].concat();
    let lines = [line(&one), line(&other), line(&one), line(&one)].concat();
    let wanted = only(Member::Actor, b"admin-token");
    let last = BLOCK_RECORDS;
    assert_eq!(found(0, last - 2, &lines, &wanted), [last - 2, last]);
    assert_eq!(found(1, last - 2, &lines, &wanted), [last + 1]);
    assert!(found(2, last - 2, &lines, &wanted).is_empty());
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
    let wanted = only(Member::Key, b"x");
    let tag = Term::new(Member::Key, b"x").tag.to_be_bytes();
    for row in [&[][..], &tag, &[&tag[..], &[0, 2, 0, 1]].concat()] {
        assert_eq!(wanted.places(|_| Some(row)).iter().count(), 0, "{row:?}");
    }
    let mut block = Block::new(0);
    block.add_run(1, b"{}\n\n{\"v\":1,\"actor\":\"x\n");
    assert_eq!(block.into_rows(), [(WORDS, vec![])]);
}
