//! Old records: their bodies go, all at once with what was derived of them, and their hashes stay.

use std::sync::Arc;

use claviger_core::{
    id::{EventId, Key as KeyKind, KeyId, OrgId},
    key::OrgKey,
    ledger::{
        entry::{Draft, Entry, Kind},
        filter::Matcher,
        index::{BLOCK_RECORDS, CHAPTER_BLOCKS, before_block},
        search::Search,
        tree::Hash,
    },
};
use claviger_store::{
    AddressUse, AuditFilter, AuditRow, Checkpoint, Dropped, Dropping, Page, Recorder, SecretUse,
    StoreError, UsageBatch, Written,
};

use crate::{
    audit_index::index,
    bed::{Bed, Db},
    support::{
        NOW, batch, default_org, draft, entry, first, id, key, later, mint, other_org, walk_trail,
    },
    tree::{derive_all, leaves_of, number},
    witness::{assert_error, size, unseen},
};

/// Appends in commits of fifty, so that times of runs are bounded closely, and tiles end within runs.
async fn append(db: &Db, entries: &[Entry]) {
    for some in entries.chunks(50) {
        db.append(batch(some.to_vec())).await.expect("written");
    }
}

/// Makes the tiles of a trail, and a checkpoint over all of it.
async fn sign(db: &Db, org: OrgId) -> (u64, Hash) {
    derive_all(db).await;
    let tree = db.frontier(org).await.expect("a frontier");
    let checkpoint = Checkpoint {
        size: tree.size(),
        root: tree.root(),
        note: "signed".to_owned(),
        at: NOW,
    };
    db.keep_checkpoint(org, checkpoint).await.expect("kept");
    (tree.size(), tree.root())
}

/// The record of a drop.
fn decided(org: OrgId, id: EventId) -> Recorder<Dropping> {
    Box::new(move |dropping: &Dropping| {
        let said = format!(r#"{{"dropped":{}}}"#, dropping.last);
        let draft = Draft {
            id,
            kind: Kind::Retention,
            at: later(1_000_000),
            change: Some(&said),
            ..draft(org)
        };
        draft.write()
    })
}

/// Drops what is older than so many milliseconds after the beginning.
async fn drop_older(db: &Db, org: OrgId, millis: u64) -> Option<(EventId, Dropping)> {
    let decision = id();
    let record = decided(org, decision);
    let dropped = db.drop_bodies(org, later(millis), decision, record).await;
    let written: Option<Written<Dropping>> = dropped.expect("an answer");
    written.map(|written| (decision, written.value))
}

/// Records of one millisecond each.
fn entries(org: OrgId, count: u64) -> Vec<Entry> {
    let draft = |at| Draft {
        at: later(at),
        path: if at % 2 == 0 { "/even" } else { "/odd" },
        ..draft(org)
    };
    (0..count).map(|at| draft(at).write()).collect()
}

/// The rows of these records behind a number that fit, oldest first.
fn rows(entries: &[Entry], dropped: u64, filter: &AuditFilter) -> Vec<AuditRow> {
    let matcher = Matcher::from(filter.clone());
    let row = |(entry, seq): (&Entry, u64)| AuditRow {
        seq,
        bytes: entry.bytes().to_vec(),
    };
    let numbered = entries.iter().zip(1..);
    let found = numbered.filter(|(entry, seq)| *seq > dropped && matcher.fits(entry.bytes()));
    found.map(row).collect()
}

async fn left(db: &Db, org: OrgId) -> Vec<AuditRow> {
    let fetch = |page| db.export_audit(org, AuditFilter::default(), page);
    walk_trail(700, fetch).await
}

pub(crate) async fn old_bodies_go_and_their_hashes_stay(bed: &Bed) {
    let db = bed.open().await;
    let (org, other) = (default_org(&db).await, other_org(&db).await);
    let entries = entries(org, 3000);
    append(&db, &entries).await;
    append(&db, &[entry(other)]).await;
    let (signed, root) = sign(&db, org).await;
    let leaves = leaves_of(&db, org).await;
    assert_eq!(db.dropped(org).await.expect("an answer"), None);
    let old = db.count_older(org, later(1500)).await.expect("counted");
    assert_eq!(old, 1280, "whole tiles of runs that are old as a whole");
    let (decision, dropping) = drop_older(&db, org, 1500).await.expect("dropped");
    let expected = Dropping {
        first: 1,
        last: 1280,
        size: signed,
        root,
    };
    assert_eq!(dropping, expected);
    let mut rest = rows(&entries, 1280, &AuditFilter::default());
    let said = Dropped {
        last: 1280,
        decision,
        decided_after: 3000,
    };
    let db = bed.reopen(db).await;
    assert_eq!(db.dropped(org).await.expect("an answer"), Some(said));
    let mut found = left(&db, org).await;
    let record = found.pop().expect("the decision");
    assert_eq!((found, record.seq), (rest.clone(), 3001));
    let text = String::from_utf8(record.bytes.clone()).expect("a text");
    assert!(text.contains(r#""kind":"retention""#), "{text}");
    rest.push(record);
    let fetch = |page| db.query_audit(org, AuditFilter::default(), page);
    let newest = walk_trail(700, fetch).await;
    assert!(newest.into_iter().rev().eq(rest), "newest first");
    let kept = db.leaves(org, 0..3000).await.expect("the leaves");
    assert_eq!(kept, leaves, "of the dropped ones as well");
    assert_eq!(
        db.frontier_at(org, signed).await.expect("a tree").root(),
        root
    );
    assert_eq!(drop_older(&db, org, 1500).await, None);
    assert_eq!(
        db.count_older(org, later(1500)).await.expect("counted"),
        0,
        "nothing twice"
    );
    assert_eq!(db.dropped(other).await.expect("an answer"), None);
    assert_eq!(left(&db, other).await.len(), 2);
    // The next one goes on where this one ended.
    sign(&db, org).await;
    let (later_decision, dropping) = drop_older(&db, org, 2000).await.expect("dropped");
    assert_eq!((dropping.first, dropping.last), (1281, 1792));
    let said = db.dropped(org).await.expect("an answer").expect("dropped");
    assert_eq!((said.last, said.decision), (1792, later_decision));
    assert_eq!(left(&db, org).await.first().map(|row| row.seq), Some(1793));
}

pub(crate) async fn what_is_not_signed_or_in_no_tile_stays(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let many = entries(org, 1100);
    append(&db, &many[..600]).await;
    assert_eq!(drop_older(&db, org, 10_000).await, None, "not signed");
    let (signed, _) = sign(&db, org).await;
    assert_eq!(signed, 600);
    append(&db, &many[600..]).await;
    derive_all(&db).await;
    assert_eq!(drop_older(&db, org, 200).await, None, "not a whole tile");
    let (_, dropping) = drop_older(&db, org, 10_000).await.expect("dropped");
    assert_eq!((dropping.last, dropping.size), (512, 600));
    assert_eq!(drop_older(&db, org, 10_000).await, None, "not signed");
    let tree = db.frontier(org).await.expect("a frontier");
    let more = Draft {
        at: later(1100),
        ..draft(org)
    };
    append(&db, &vec![more.write(); 700]).await;
    let checkpoint = Checkpoint {
        size: tree.size() + 700,
        root: db.frontier(org).await.expect("a frontier").root(),
        note: "signed".to_owned(),
        at: NOW,
    };
    db.keep_checkpoint(org, checkpoint).await.expect("kept");
    let (_, dropping) = drop_older(&db, org, 2_000_000).await.expect("dropped");
    assert_eq!(dropping.last, 1024, "the others are in no tile yet");
}

pub(crate) async fn queries_find_what_is_left_however_much_was_indexed(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let keys: Vec<KeyId> = (0..2).map(|_| id::<KeyKind>()).collect();
    let drafts = (0..2 * BLOCK_RECORDS + 900).map(|at| Draft {
        at: later(at),
        key: [Some(keys[0]), None, Some(keys[1])]
            [usize::from(at % 700 != 5) + usize::from(at % 3 != 0)],
        path: if at % 900 == 0 { "/rare/one" } else { "/usual" },
        status: if at % 90 == 0 { 403 } else { 200 },
        ..draft(org)
    });
    let entries: Vec<_> = drafts.map(|draft| draft.write()).collect();
    append(&db, &entries).await;
    let one = |set: &dyn Fn(&mut AuditFilter)| {
        let mut filter = AuditFilter::default();
        set(&mut filter);
        filter
    };
    let text = |text: &str| Search::parse(text).expect("a text");
    let filters = [
        one(&|f| f.search = Some(text("rare").into())),
        one(&|f| f.key = Some(keys[0])),
        one(&|f| f.key = Some(keys[1])),
        one(&|f| f.key = Some(id())),
        one(&|f| f.status = Some((403, 403))),
        one(&|f| f.actor = Some("admin-token".to_owned())),
    ];
    // Before there is an index; with a part of a block; with all of it; and with more than is indexed.
    for (blocks, millis, dropped) in [
        (0, 2000, 1792),
        (1, 3000, 2816),
        (1, 4200, 4096),
        (0, 6000, 5888),
        (0, 8300, 8192),
        (0, 8500, 8448),
    ] {
        index(&db, blocks).await;
        sign(&db, org).await;
        let (_, dropping) = drop_older(&db, org, millis).await.expect("dropped");
        assert_eq!(dropping.last, dropped);
        for filter in &filters {
            let mut expected = rows(&entries, dropped, filter);
            let fetch = |page| db.export_audit(org, filter.clone(), page);
            let mut found = walk_trail(1000, fetch).await;
            let is_decision = |row: &AuditRow| row.seq > number(entries.len());
            found.retain(|row| !is_decision(row));
            assert_eq!(found, expected, "{filter:?}");
            let fetch = |page| db.query_audit(org, filter.clone(), page);
            let mut found = walk_trail(1000, fetch).await;
            found.retain(|row| !is_decision(row));
            expected.reverse();
            assert_eq!(found, expected, "{filter:?}");
        }
        // Whoever comes back with a place that is gone meanwhile finds the first one that is left.
        let page = || Page {
            after: Some(300),
            limit: 1,
        };
        for filter in [AuditFilter::default(), filters[5].clone()] {
            let part = db.export_audit(org, filter.clone(), page()).await;
            let seqs: Vec<_> = part.expect("a part").rows.iter().map(|r| r.seq).collect();
            assert_eq!(seqs, [dropped + 1]);
            let part = db.query_audit(org, filter, page()).await.expect("a part");
            assert_eq!((part.rows, part.next), (vec![], None));
        }
    }
}

/// Everything that the index has of a trail.
async fn indexed(db: &Db, org: OrgId) -> Vec<u8> {
    let mut all = Vec::new();
    let mut from = 0;
    while let Some(block) = db.next_block(org, from).await.expect("asked") {
        let rows = db.block_rows(org, block).await.expect("asked");
        all.extend(rows.into_iter().flat_map(|row| row.places));
        from = block + 1;
    }
    from = 0;
    while let Some(chapter) = db.next_chapter(org, from).await.expect("asked") {
        let rows = db.rows_of_chapter(org, chapter).await.expect("asked");
        all.extend(rows.into_iter().flat_map(|row| row.places));
        from = chapter + 1;
    }
    all
}

pub(crate) async fn nothing_derived_of_dropped_bodies_is_left(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let blocks = usize::try_from(CHAPTER_BLOCKS).expect("few") + 1;
    let block = usize::try_from(BLOCK_RECORDS).expect("few");
    let of = |path, at| {
        let draft = Draft {
            at: later(at),
            path,
            ..draft(org)
        };
        draft.write()
    };
    for at in 0..blocks {
        let other = of("/other", if at < 2 { 2 } else { 10 });
        let mut some = vec![other; block];
        match at {
            0 => some[..300].fill(of("/margarete", 1)),
            5 => some[7] = of("/faust", 10),
            _ => {}
        }
        append(&db, &some).await;
    }
    append(&db, &vec![of("/other", 100); 50]).await;
    index(&db, blocks).await;
    sign(&db, org).await;
    let has = |all: &[u8], word: &[u8]| all.windows(word.len()).any(|part| part == word);
    let before = indexed(&db, org).await;
    assert!(has(&before, b"margarete") && has(&before, b"faust"));
    // 256 of the 300, and then the others.
    let (_, dropping) = drop_older(&db, org, 2).await.expect("dropped");
    assert_eq!(dropping.last, 256);
    let some = indexed(&db, org).await;
    assert!(has(&some, b"margarete") && has(&some, b"faust"));
    let text = |text| AuditFilter {
        search: Search::parse(text).ok().map(Into::into),
        ..AuditFilter::default()
    };
    let seqs = |rows: Vec<AuditRow>| rows.iter().map(|row| row.seq).collect::<Vec<_>>();
    let part = db.query_audit(org, text("margarete"), first(100)).await;
    let part = part.expect("a part");
    assert_eq!(
        (seqs(part.rows), part.next),
        ((257..=300).rev().collect(), None)
    );
    let (_, dropping) = drop_older(&db, org, 3).await.expect("dropped");
    assert_eq!(dropping.last, before_block(2));
    let some = indexed(&db, org).await;
    assert!(!has(&some, b"margarete"), "its block is gone");
    let faust = before_block(5) + 8;
    for found in [
        db.query_audit(org, text("FAUST"), first(9)).await,
        db.export_audit(org, text("FAUST"), first(9)).await,
    ] {
        let found = found.expect("a part");
        assert_eq!((seqs(found.rows), found.next), (vec![faust], None));
    }
    while drop_older(&db, org, 11).await.is_some() {}
    let rest = indexed(&db, org).await;
    assert!(!has(&rest, b"faust"), "and so is its chapter");
    let row = db.ledger_row(org).await.expect("a row");
    assert_eq!(row.blocks, number(blocks), "what was indexed stays so");
}

pub(crate) async fn failed_drop_changes_nothing(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let entries = entries(org, 5000);
    append(&db, &entries).await;
    index(&db, 1).await;
    sign(&db, org).await;
    let (rows, derived) = (left(&db, org).await, indexed(&db, org).await);
    let db = bed.break_audit(db).await;
    let failed = db
        .drop_bodies(org, later(4500), id(), unseen(org))
        .await
        .err();
    assert_error!(failed, Some(StoreError::Unavailable { .. }));
    let db = bed.mend_audit(db).await;
    assert_eq!(db.dropped(org).await.expect("an answer"), None);
    assert_eq!(left(&db, org).await, rows);
    assert_eq!(indexed(&db, org).await, derived);
    // A run that does not hold what it says is not cut.
    let patch = format!(
        "update audit_runs set last_seq = last_seq + 10 where org = '{org}' and first_seq = 501"
    );
    let db = bed.patch(db, &patch).await;
    let failed = db.drop_bodies(org, later(4500), id(), unseen(org)).await;
    assert_error!(failed.err(), Some(StoreError::Corrupt { .. }));
    assert_eq!(db.dropped(org).await.expect("an answer"), None);
    assert_eq!(size(&db, org).await, 5000);
}

pub(crate) async fn long_trail_is_dropped_in_lots(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let long = "x".repeat(1000);
    let entries: Vec<_> = (0..40_000)
        .map(|at| Draft {
            at: later(at),
            path: &long,
            ..draft(org)
        })
        .map(|draft| draft.write())
        .collect();
    append(&db, &entries).await;
    sign(&db, org).await;
    let (mut lots, mut last) = (0, 0);
    while let Some((_, dropping)) = drop_older(&db, org, 39_000).await {
        assert_eq!(dropping.first, last + 1);
        (lots, last) = (lots + 1, dropping.last);
    }
    assert_eq!(last, 38_912);
    assert!((2..20).contains(&lots), "{lots}");
    let found = left(&db, org).await;
    assert_eq!(found.len(), 40_000 - 38_912 + lots);
    assert_eq!(found[0].seq, last + 1);
}

pub(crate) async fn old_addresses_of_an_org_are_forgotten(bed: &Bed) {
    let db = bed.open().await;
    let (org, other) = (default_org(&db).await, other_org(&db).await);
    let own = mint(&db, key(org, "own")).await.id;
    let foreign = mint(&db, key(other, "foreign")).await.id;
    let seen = |address: &str, at| AddressUse {
        address: address.parse().expect("an address"),
        first_at: NOW,
        last_at: at,
        calls: 1,
    };
    let addresses = vec![
        (own, seen("192.0.2.1", later(5))),
        (own, seen("192.0.2.2", later(6))),
        (own, seen("192.0.2.3", later(10))),
        (foreign, seen("192.0.2.1", later(5))),
    ];
    let batch = UsageBatch {
        cells: vec![],
        addresses,
    };
    db.add_usage(Arc::new(batch)).await.expect("added");
    let (old, young) = (
        mint(&db, key(org, "old")).await,
        mint(&db, key(org, "young")).await,
    );
    let from = Some("192.0.2.9".parse().expect("an address"));
    let used = |key: &OrgKey, at| SecretUse {
        key: key.id,
        prefix: Some(key.prefix),
        at,
        from,
    };
    let uses = vec![used(&old, later(5)), used(&young, later(10))];
    db.touch_keys(uses).await.expect("kept");
    let forget = |limit| db.forget_addresses(org, later(10), limit);
    assert_eq!(forget(1).await.expect("forgotten"), 1);
    assert_eq!(forget(9).await.expect("forgotten"), 1);
    assert_eq!(forget(9).await.expect("forgotten"), 0);
    for (org, key, count) in [(org, own, 1), (other, foreign, 1)] {
        let kept = db.addresses_of_keys(org, &[key], NOW, 9).await;
        assert_eq!(kept.expect("an answer").len(), count);
    }
    for (key, at, from) in [(old, 5, None), (young, 10, from)] {
        let found = db.find_key(org, key.id).await.expect("an answer");
        let found = found.expect("a key");
        for last in [found.last_use, found.secret.last_use] {
            let last = last.expect("a use");
            assert_eq!((last.at, last.from), (later(at), from));
        }
    }
}
