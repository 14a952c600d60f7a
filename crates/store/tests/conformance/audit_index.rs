//! The index of the trails: queries find the same with it, and read less.

use claviger_core::{
    id::{Key as KeyKind, KeyId, OrgId, Workspace as WorkspaceKind},
    ledger::{
        entry::{Draft, Entry},
        filter::Matcher,
        index::{BLOCK_RECORDS, CHAPTER_BLOCKS},
        search::Search,
    },
    tier::Actor,
};
use claviger_store::{AuditFilter, AuditRow, Named, Page, SCAN_BYTES_MAX};

use crate::{
    bed::{Bed, Db},
    support::{
        NOBODY, batch, default_org, draft, entry, first, id, key, later, mint, other_org,
        walk_trail, workspace,
    },
    witness::done,
};

const BLOCK: usize = 4096;

/// Appends in commits of different sizes, so that runs begin and end anywhere.
async fn append(db: &Db, entries: &[Entry]) {
    let mut left = entries;
    for size in (1..).map(|at| [1, 300, 7, 2000][at % 4]) {
        let (some, rest) = left.split_at(left.len().min(size));
        if some.is_empty() {
            return;
        }
        db.append(batch(some.to_vec())).await.expect("written");
        left = rest;
    }
}

/// Indexes so many blocks.
pub(crate) async fn index(db: &Db, blocks: usize) {
    for _ in 0..blocks {
        assert!(db.index_audit().await.expect("indexed"), "there is one");
    }
}

fn rows(entries: &[Entry], filter: &AuditFilter) -> Vec<AuditRow> {
    let matcher = Matcher::from(filter.clone());
    let numbered = entries.iter().zip(1..);
    let found = numbered.filter(|(entry, _)| matcher.fits(entry.bytes()));
    let row = |(entry, seq): (&Entry, u64)| AuditRow {
        seq,
        bytes: entry.bytes().to_vec(),
    };
    found.map(row).collect()
}

/// Asserts that these filters find what reading every record finds, both ways and in parts.
async fn expect_found(db: &Db, org: OrgId, entries: &[Entry], filters: &[AuditFilter]) {
    for filter in filters {
        let oldest_first = rows(entries, filter);
        let newest_first: Vec<_> = oldest_first.iter().rev().cloned().collect();
        // Not in parts that are many: each of them is a query.
        let is_quick =
            |limit: &u32| oldest_first.len() / usize::try_from(*limit).expect("few") < 10;
        for limit in [1000, 61].into_iter().filter(is_quick) {
            let fetch = |page| db.query_audit(org, filter.clone(), page);
            assert_eq!(walk_trail(limit, fetch).await, newest_first, "{filter:?}");
            let fetch = |page| db.export_audit(org, filter.clone(), page);
            assert_eq!(walk_trail(limit, fetch).await, oldest_first, "{filter:?}");
        }
    }
}

fn filters(keys: &[KeyId], workspace: claviger_core::id::WorkspaceId) -> Vec<AuditFilter> {
    let one = |set: &dyn Fn(&mut AuditFilter)| {
        let mut filter = AuditFilter::default();
        set(&mut filter);
        filter
    };
    let text = |text: &str| Search::parse(text).expect("a text");
    vec![
        one(&|f| f.search = Some(text("/RAR").into())),
        one(&|f| f.search = Some(text("b\u{dc}ro/x-1").into())),
        one(&|f| f.search = Some(text("nowhere").into())),
        one(&|f| {
            let named =
                text("nowhere").with_named(&keys[..1], &[], &["session:\u{fc} \"1\"".to_owned()]);
            f.search = Some(named.into());
        }),
        one(&|f| {
            f.search = Some(text("rare").with_named(&[], &[workspace], &[]).into());
            f.method = Some("DELETE".to_owned());
        }),
        one(&|f| f.key = Some(keys[0])),
        one(&|f| f.key = Some(keys[1])),
        one(&|f| f.key = Some(id())),
        one(&|f| f.under = Some(keys[0])),
        one(&|f| f.workspace = Some(workspace)),
        one(&|f| f.actor = Some("session:\u{fc} \"1\"".to_owned())),
        one(&|f| f.route = Some("/rare".to_owned())),
        one(&|f| f.method = Some("DELETE".to_owned())),
        one(&|f| f.status = Some((403, 403))),
        one(&|f| f.status = Some((400, 499))),
        one(&|f| (f.key, f.status) = (Some(keys[0]), Some((400, 499)))),
        one(&|f| (f.key, f.since) = (Some(keys[1]), Some(later(3000)))),
        one(&|f| (f.key, f.workspace) = (Some(keys[1]), Some(workspace))),
    ]
}

pub(crate) async fn queries_find_the_same_however_much_is_indexed(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let keys: Vec<KeyId> = (0..3).map(|_| id::<KeyKind>()).collect();
    let workspace = id::<WorkspaceKind>();
    let person = Actor::Session("\u{fc} \"1\"".into());
    let drafts = (0..2 * BLOCK + 900).map(|at| Draft {
        at: later(u64::try_from(at / 2).expect("small")),
        // One is seldom, one is often, and one is everybody else.
        key: [Some(keys[0]), Some(keys[1]), None, Some(keys[2])]
            [usize::from(at % 700 != 5) + usize::from(at % 3 != 0) + usize::from(at % 11 == 0)],
        chain: if at % 1900 == 7 { &keys[..1] } else { &[] },
        workspace: (at % 13 == 0).then_some(workspace),
        actor: if at % 800 == 3 {
            &person
        } else {
            &Actor::AdminToken
        },
        route: if at % 1000 == 0 { "/rare" } else { "/usual" },
        path: match at {
            _ if at % 1000 == 0 => "/Rare",
            _ if at % 970 == 4 => "/usual/Bu\u{308}ro/x-1",
            _ => "/usual",
        },
        method: if at % 600 == 0 { "DELETE" } else { "GET" },
        status: [200, 201, 403, 404][usize::from(at % 90 == 0) * 2 + at % 2],
        ..draft(org)
    });
    let entries: Vec<_> = drafts.map(|draft| draft.write()).collect();
    append(&db, &entries).await;
    let filters = filters(&keys, workspace);
    for _ in 0..2 {
        index(&db, 1).await;
        expect_found(&db, org, &entries, &filters).await;
    }
    assert!(
        !db.index_audit().await.expect("asked"),
        "the rest is no block"
    );
    let db = bed.reopen(db).await;
    expect_found(&db, org, &entries, &filters[..1]).await;
}

pub(crate) async fn few_records_of_a_long_trail_are_found_in_one_call(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let key = id::<KeyKind>();
    let wanted = Draft {
        key: Some(key),
        ..draft(org)
    };
    let long = "x".repeat(1000);
    let other = Draft {
        path: &long,
        ..draft(org)
    }
    .write();
    let wanted = wanted.write();
    let fill = SCAN_BYTES_MAX / 1000 + BLOCK;
    let fill = vec![other; fill / BLOCK * BLOCK + BLOCK - 1];
    let blocks = (fill.len() + 1) / BLOCK;
    db.append(batch(vec![wanted.clone()]))
        .await
        .expect("written");
    db.append(batch(fill)).await.expect("written");
    db.append(batch(vec![wanted])).await.expect("written");
    index(&db, blocks).await;
    let filter = || AuditFilter {
        key: Some(key),
        ..AuditFilter::default()
    };
    let last = u64::try_from(blocks).expect("few") * BLOCK_RECORDS + 1;
    for (found, numbers) in [
        (db.query_audit(org, filter(), first(10)).await, [last, 1]),
        (db.export_audit(org, filter(), first(10)).await, [1, last]),
    ] {
        let found = found.expect("a part");
        let seen: Vec<_> = found.rows.iter().map(|row| row.seq).collect();
        assert_eq!((seen.as_slice(), found.next), (&numbers[..], None));
    }
}

pub(crate) async fn seldom_things_are_found_past_whole_chapters(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let own = id::<KeyKind>();
    let wanted = Draft {
        key: Some(own),
        path: "/seldom",
        ..draft(org)
    };
    let wanted = wanted.write();
    let blocks = usize::try_from(CHAPTER_BLOCKS).expect("few") + 2;
    let other = vec![entry(org); BLOCK];
    for at in 0..blocks {
        // In the third block, in the last of the chapter, and in the one behind it.
        if [2, blocks - 3, blocks - 1].contains(&at) {
            db.append(batch(vec![wanted.clone()]))
                .await
                .expect("written");
        }
        db.append(batch(other.clone())).await.expect("written");
    }
    index(&db, blocks).await;
    let at = |block: usize, more: u64| u64::try_from(block * BLOCK).expect("few") + more;
    let expected = [at(2, 1), at(blocks - 3, 2), at(blocks - 1, 3)];
    let of_key = AuditFilter {
        key: Some(own),
        ..AuditFilter::default()
    };
    let text = |text| AuditFilter {
        search: Search::parse(text).ok().map(Into::into),
        ..AuditFilter::default()
    };
    let numbers = |rows: &[AuditRow]| rows.iter().map(|row| row.seq).collect::<Vec<_>>();
    for (filter, expected) in [
        (of_key, &expected[..]),
        (text("SELDOM"), &expected),
        (text("/seldom"), &expected),
        (text("selten"), &[]),
    ] {
        let oldest = db.export_audit(org, filter.clone(), first(10)).await;
        let oldest = oldest.expect("a part");
        assert_eq!((&*numbers(&oldest.rows), oldest.next), (expected, None));
        let newest = db.query_audit(org, filter.clone(), first(10)).await;
        let newest = newest.expect("a part");
        let backwards: Vec<_> = expected.iter().rev().copied().collect();
        assert_eq!((numbers(&newest.rows), newest.next), (backwards, None));
        let after = Page {
            after: Some(expected.first().copied().unwrap_or(9)),
            limit: 1,
        };
        let second = db.export_audit(org, filter, after).await.expect("a part");
        assert_eq!(
            numbers(&second.rows),
            expected.get(1..2).unwrap_or_default()
        );
    }
}

pub(crate) async fn names_are_found_by_any_part_of_them(bed: &Bed) {
    let db = bed.open().await;
    let (org, other) = (default_org(&db).await, other_org(&db).await);
    let mut keys = Vec::new();
    for (org, name) in [
        (org, "Deploy B\u{fc}ro"),
        (org, "100%_sure"),
        (other, "deploy"),
    ] {
        keys.push(mint(&db, key(org, name)).await.id);
    }
    let place = workspace(org, "\u{dc}ber deploy");
    let workspaces = [place.id];
    done(&db, org, |record| {
        db.insert_workspace(place, NOBODY, record)
    })
    .await;
    let table: [(&str, &[KeyId], &[_]); 7] = [
        ("deploy", &keys[..1], &workspaces),
        ("B\u{dc}RO", &keys[..1], &[]),
        ("\u{fc}", &keys[..1], &workspaces),
        ("\u{fc}ber D", &[], &workspaces),
        ("%_S", &keys[1..2], &[]),
        ("0_s", &[], &[]),
        ("'", &[], &[]),
    ];
    for (text, keys, workspaces) in table {
        let search = Search::parse(text).expect("a text");
        let named = db.named_like(org, search.into()).await.expect("an answer");
        let expected = Named {
            keys: keys.to_vec(),
            workspaces: workspaces.to_vec(),
        };
        assert_eq!(named, Some(expected), "{text}");
    }
}

pub(crate) async fn indexing_goes_on_where_it_was(bed: &Bed) {
    let db = bed.open().await;
    let (one, other) = (default_org(&db).await, other_org(&db).await);
    assert!(!db.index_audit().await.expect("asked"));
    let of = |org, count| -> Vec<Entry> { (0..count).map(|_| entry(org)).collect() };
    append(&db, &of(one, BLOCK - 1)).await;
    assert!(!db.index_audit().await.expect("asked"), "it is not full");
    append(&db, &of(one, 1)).await;
    // A record is there from the beginning: that of the org itself.
    append(&db, &of(other, 2 * BLOCK)).await;
    index(&db, 1).await;
    let db = bed.reopen(db).await;
    index(&db, 2).await;
    assert!(!db.index_audit().await.expect("asked"));
    append(&db, &of(one, BLOCK)).await;
    index(&db, 1).await;
    assert!(!db.index_audit().await.expect("asked"));
    let filter = AuditFilter {
        actor: Some("admin-token".to_owned()),
        ..AuditFilter::default()
    };
    for (org, count) in [(one, 2 * BLOCK), (other, 2 * BLOCK)] {
        let fetch = |page| db.query_audit(org, filter.clone(), page);
        let found = walk_trail(1000, fetch).await;
        let own = found.iter().filter(|row| row.seq > u64::from(org == other));
        assert_eq!(own.count(), count);
    }
}
