//! The audit trail: every record, in order, byte for byte.

use claviger_core::{
    id::{Key as KeyKind, Workspace as WorkspaceKind},
    ledger::entry::Entry,
};
use claviger_store::{AuditFilter, AuditRow, Page, StoreError};

use crate::{
    bed::{Bed, Db},
    support::{default_org, entry, first, id, later, other_org, walk},
    witness::{assert_error, size, trail},
};

/// Appends so many records to the default org's trail and gives them.
async fn append(db: &Db, count: usize, vary: impl Fn(usize, &mut Entry)) -> Vec<Entry> {
    let org = default_org(db).await;
    let mut entries: Vec<_> = (0..count).map(|_| entry(org)).collect();
    for (at, entry) in entries.iter_mut().enumerate() {
        vary(at, entry);
    }
    db.append(entries.clone()).await.expect("they are written");
    entries
}

fn rows(entries: &[Entry]) -> Vec<AuditRow> {
    let rows = entries.iter().zip(1..);
    rows.map(|(entry, seq)| AuditRow {
        seq,
        bytes: entry.bytes.clone(),
    })
    .collect()
}

pub(crate) async fn records_are_kept_in_order_byte_for_byte(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    assert_eq!(size(&db, org).await, 0);
    let entries = append(&db, 1500, |at, entry| match at % 4 {
        0 => entry.bytes = format!(r#"{{"né":"{at} 🔑 \u0000 ''\"\""}}"#).into_bytes(),
        1 => entry.bytes = format!(r#"{{"{at}":"{}"}}"#, "x".repeat(4096)).into_bytes(),
        // What is no text at all comes back as well.
        2 => entry.bytes = vec![0, 255, 10, 13, u8::try_from(at % 251).expect("small")],
        _ => {}
    })
    .await;
    let expected = rows(&entries);
    let fetch = |page| db.export_audit(org, AuditFilter::default(), page);
    assert_eq!(walk(400, |row: &AuditRow| row.seq, fetch).await, expected);
    let db = bed.reopen(db).await;
    let fetch = |page| db.query_audit(org, AuditFilter::default(), page);
    let newest_first: Vec<_> = expected.into_iter().rev().collect();
    assert_eq!(
        walk(400, |row: &AuditRow| row.seq, fetch).await,
        newest_first
    );
    assert_eq!(size(&db, org).await, 1500);
}

pub(crate) async fn trails_of_orgs_are_apart(bed: &Bed) {
    let db = bed.open().await;
    let (one, other) = (default_org(&db).await, other_org(&db).await);
    let already = trail(&db, other).await;
    let mixed: Vec<_> = [one, other, other, one, other].map(entry).to_vec();
    db.append(mixed.clone()).await.expect("they are written");
    let of = |org| -> Vec<_> {
        let own = mixed.iter().filter(|entry| entry.org == org);
        own.map(|entry| entry.bytes.clone()).collect()
    };
    assert_eq!(trail(&db, one).await, of(one));
    assert_eq!(trail(&db, other).await, [already, of(other)].concat());
}

pub(crate) async fn appending_nothing_writes_nothing(bed: &Bed) {
    let db = bed.open().await;
    db.append(Vec::new()).await.expect("nothing to do");
    assert_eq!(size(&db, default_org(&db).await).await, 0);
}

pub(crate) async fn batch_is_all_or_nothing(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let kept = append(&db, 1, |_, _| {}).await;
    for strangers_place in 0..3 {
        let mut batch = vec![entry(org), entry(org)];
        batch.insert(strangers_place, entry(id()));
        let error = db.append(batch).await.err();
        assert_error!(
            error,
            Some(StoreError::Unavailable { .. } | StoreError::NotFound(_))
        );
        assert_eq!(trail(&db, org).await, [kept[0].bytes.clone()]);
    }
    let next = append(&db, 1, |_, _| {}).await;
    let expected = [kept[0].bytes.clone(), next[0].bytes.clone()];
    assert_eq!(
        trail(&db, org).await,
        expected,
        "and the numbers have no gap"
    );
}

pub(crate) async fn unknown_org_has_no_records(bed: &Bed) {
    let db = bed.open().await;
    append(&db, 1, |_, _| {}).await;
    let filter = AuditFilter::default;
    assert_eq!(
        db.query_audit(id(), filter(), first(10))
            .await
            .expect("an answer"),
        []
    );
    assert_eq!(
        db.export_audit(id(), filter(), first(10))
            .await
            .expect("an answer"),
        []
    );
}

/// Asserts that a filter finds these of the records, both ways, whole and in parts.
async fn expect_found(
    db: &Db,
    entries: &[Entry],
    filter: AuditFilter,
    is_wanted: impl Fn(&Entry) -> bool,
) {
    let org = default_org(db).await;
    let found = rows(entries)
        .into_iter()
        .zip(entries)
        .filter(|(_, entry)| is_wanted(entry));
    let oldest_first: Vec<_> = found.map(|(row, _)| row).collect();
    assert!(
        !oldest_first.is_empty() && oldest_first.len() < entries.len(),
        "{filter:?}"
    );
    let newest_first: Vec<_> = oldest_first.iter().rev().cloned().collect();
    for limit in [1000, 2] {
        let cursor = |row: &AuditRow| row.seq;
        let fetch = |page| db.query_audit(org, filter.clone(), page);
        assert_eq!(walk(limit, cursor, fetch).await, newest_first, "{filter:?}");
        let fetch = |page| db.export_audit(org, filter.clone(), page);
        assert_eq!(walk(limit, cursor, fetch).await, oldest_first, "{filter:?}");
    }
}

pub(crate) async fn each_filter_finds_what_it_says(bed: &Bed) {
    let db = bed.open().await;
    let (key, workspace) = (id::<KeyKind>(), id::<WorkspaceKind>());
    let entries = append(&db, 40, |at, entry| {
        entry.at = later(u64::try_from(at / 2).expect("small"));
        entry.status = [200, 299, 300, 404, 503][at % 5];
        entry.method = ["GET", "POST", "DELETE"][at % 3].to_owned();
        entry.key = [None, Some(key), Some(id())][at % 3];
        entry.workspace = [None, Some(workspace), Some(id())][(at / 3) % 3];
        entry.actor =
            ["admin-token", "session:ü_1", "session:ü%1", "session:Ü_1"][at % 4].to_owned();
    })
    .await;
    let everything = AuditFilter {
        actor: Some("session:ü_1".to_owned()),
        key: Some(key),
        workspace: Some(workspace),
        method: Some("POST".to_owned()),
        status: Some((299, 404)),
        since: Some(later(5)),
        until: Some(later(15)),
    };
    let all = everything.clone();
    let fits: [fn(&Entry, &AuditFilter) -> bool; 7] = [
        |entry, all| Some(&entry.actor) == all.actor.as_ref(),
        |entry, all| entry.key == all.key,
        |entry, all| entry.workspace == all.workspace,
        |entry, all| Some(&entry.method) == all.method.as_ref(),
        |entry, _| (299..=404).contains(&entry.status),
        |entry, _| entry.at >= later(5),
        |entry, _| entry.at < later(15),
    ];
    let none = AuditFilter::default;
    let alone = [
        AuditFilter {
            actor: all.actor,
            ..none()
        },
        AuditFilter {
            key: all.key,
            ..none()
        },
        AuditFilter {
            workspace: all.workspace,
            ..none()
        },
        AuditFilter {
            method: all.method,
            ..none()
        },
        AuditFilter {
            status: all.status,
            ..none()
        },
        AuditFilter {
            since: all.since,
            ..none()
        },
        AuditFilter {
            until: all.until,
            ..none()
        },
    ];
    for (filter, fits) in alone.into_iter().zip(fits) {
        expect_found(&db, &entries, filter, |entry| fits(entry, &everything)).await;
    }
    let is_wanted = |entry: &Entry| fits.iter().all(|fits| fits(entry, &everything));
    expect_found(&db, &entries, everything.clone(), is_wanted).await;
}

pub(crate) async fn filter_that_fits_nothing_finds_nothing(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    append(&db, 5, |_, _| {}).await;
    let none = AuditFilter::default;
    for filter in [
        AuditFilter {
            actor: Some("admin".to_owned()),
            ..none()
        },
        AuditFilter {
            actor: Some("ADMIN-TOKEN".to_owned()),
            ..none()
        },
        AuditFilter {
            key: Some(id()),
            ..none()
        },
        AuditFilter {
            workspace: Some(id()),
            ..none()
        },
        AuditFilter {
            method: Some("get".to_owned()),
            ..none()
        },
        AuditFilter {
            status: Some((201, 599)),
            ..none()
        },
        AuditFilter {
            since: Some(later(1)),
            ..none()
        },
        AuditFilter {
            until: Some(later(0)),
            ..none()
        },
    ] {
        let found = db
            .query_audit(org, filter.clone(), first(10))
            .await
            .expect("an answer");
        assert_eq!(found, [], "{filter:?}");
        let found = db
            .export_audit(org, filter.clone(), first(10))
            .await
            .expect("an answer");
        assert_eq!(found, [], "{filter:?}");
    }
}

pub(crate) async fn cursor_is_stable_while_records_arrive(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let entries = append(&db, 10, |_, _| {}).await;
    let part = |after| {
        let page = Page { after, limit: 4 };
        db.query_audit(org, AuditFilter::default(), page)
    };
    let (mut seen, mut after) = (Vec::new(), None);
    for expected in [4, 4, 2] {
        let rows = part(after).await.expect("a part");
        assert_eq!(rows.len(), expected);
        after = rows.last().map(|row| row.seq);
        seen.extend(rows);
        append(&db, 3, |_, _| {}).await;
    }
    assert_eq!(part(after).await.expect("a part"), []);
    seen.reverse();
    assert_eq!(
        seen,
        rows(&entries),
        "each of the first ten once, and none of the later ones"
    );
}

pub(crate) async fn export_resumes_where_it_ended(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let mut entries = append(&db, 5, |_, _| {}).await;
    let after = |seq, limit| {
        let page = Page {
            after: Some(seq),
            limit,
        };
        db.export_audit(org, AuditFilter::default(), page)
    };
    assert_eq!(after(0, 3).await.expect("a part"), rows(&entries)[..3]);
    assert_eq!(after(3, 3).await.expect("a part"), rows(&entries)[3..]);
    assert_eq!(after(5, 3).await.expect("a part"), []);
    let db = bed.reopen(db).await;
    entries.extend(append(&db, 2, |_, _| {}).await);
    let page = Page {
        after: Some(5),
        limit: 3,
    };
    let rest = db
        .export_audit(org, AuditFilter::default(), page)
        .await
        .expect("a part");
    assert_eq!(rest, rows(&entries)[5..]);
    let page = Page {
        after: Some(1000),
        limit: 3,
    };
    let none = db
        .export_audit(org, AuditFilter::default(), page)
        .await
        .expect("a part");
    assert_eq!(none, []);
}
