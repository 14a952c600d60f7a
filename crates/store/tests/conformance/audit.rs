//! The audit trail: every record, in order, byte for byte.

use claviger_core::{
    id::{Key as KeyKind, Workspace as WorkspaceKind},
    ledger::entry::{Draft, Entry},
    tier::Actor,
};
use claviger_store::{AuditFilter, AuditPart, AuditRow, Page, SCAN_BYTES_MAX, StoreError};

use crate::{
    bed::{Bed, Db},
    support::{batch, default_org, draft, entry, first, id, later, other_org, walk_trail},
    witness::{assert_error, size, trail},
};

/// Appends so many records to the default org's trail and gives them.
async fn append(db: &Db, count: usize) -> Vec<Entry> {
    let org = default_org(db).await;
    append_all(db, (0..count).map(|_| entry(org)).collect()).await
}

async fn append_all(db: &Db, entries: Vec<Entry>) -> Vec<Entry> {
    db.append(batch(entries.clone()))
        .await
        .expect("they are written");
    entries
}

fn rows(entries: &[Entry]) -> Vec<AuditRow> {
    let rows = entries.iter().zip(1..);
    rows.map(|(entry, seq)| AuditRow {
        seq,
        bytes: entry.bytes().to_vec(),
    })
    .collect()
}

pub(crate) async fn records_are_kept_in_order_byte_for_byte(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    assert_eq!(size(&db, org).await, 0);
    let long = "x".repeat(1000);
    let odd = "/né/🔑/\0/''/\"\n\\";
    let entries = (0..1500).map(|at| Draft {
        path: ["/short", &long, odd][at % 3],
        user_agent: Some(["curl", odd, &long][at / 3 % 3]),
        ..draft(org)
    });
    let entries = append_all(&db, entries.map(|draft| draft.write()).collect()).await;
    let expected = rows(&entries);
    let fetch = |page| db.export_audit(org, AuditFilter::default(), page);
    assert_eq!(walk_trail(400, fetch).await, expected);
    let db = bed.reopen(db).await;
    let fetch = |page| db.query_audit(org, AuditFilter::default(), page);
    let newest_first: Vec<_> = expected.into_iter().rev().collect();
    assert_eq!(walk_trail(400, fetch).await, newest_first);
    assert_eq!(size(&db, org).await, 1500);
}

pub(crate) async fn part_looks_at_a_bounded_stretch_and_says_where_to_go_on(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let wanted = entry(org);
    append_all(&db, vec![wanted.clone()]).await;
    let long = "x".repeat(1000);
    let fill = SCAN_BYTES_MAX / 1000 + 5000;
    let fill = (0..fill).map(|_| {
        let draft = Draft {
            path: &long,
            actor: &Actor::Bootstrap,
            ..draft(org)
        };
        draft.write()
    });
    append_all(&db, fill.collect()).await;
    let last = entry(org);
    append_all(&db, vec![last.clone()]).await;
    let filter = || AuditFilter {
        actor: Some("admin-token".to_owned()),
        ..AuditFilter::default()
    };
    let newest = db.query_audit(org, filter(), first(10)).await;
    let newest = newest.expect("a part");
    assert_eq!(newest.rows.len(), 1, "the first one lies too far back");
    assert!(newest.next.is_some());
    let oldest = db.export_audit(org, filter(), first(10)).await;
    let oldest = oldest.expect("a part");
    assert_eq!(oldest.rows.len(), 1);
    assert!(oldest.next.is_some());
    let bytes = |rows: Vec<AuditRow>| rows.into_iter().map(|row| row.bytes).collect::<Vec<_>>();
    let found = walk_trail(10, |page| db.query_audit(org, filter(), page)).await;
    assert_eq!(bytes(found), [last.bytes(), wanted.bytes()]);
    let found = walk_trail(10, |page| db.export_audit(org, filter(), page)).await;
    assert_eq!(bytes(found), [wanted.bytes(), last.bytes()]);
}

pub(crate) async fn trails_of_orgs_are_apart(bed: &Bed) {
    let db = bed.open().await;
    let (one, other) = (default_org(&db).await, other_org(&db).await);
    let already = trail(&db, other).await;
    let mixed: Vec<_> = [one, other, other, one, other].map(entry).to_vec();
    append_all(&db, mixed.clone()).await;
    let of = |org| -> Vec<_> {
        let own = mixed.iter().filter(|entry| entry.org() == org);
        own.map(|entry| entry.bytes().to_vec()).collect()
    };
    assert_eq!(trail(&db, one).await, of(one));
    assert_eq!(trail(&db, other).await, [already, of(other)].concat());
}

pub(crate) async fn appending_nothing_writes_nothing(bed: &Bed) {
    let db = bed.open().await;
    db.append(batch([])).await.expect("nothing to do");
    assert_eq!(size(&db, default_org(&db).await).await, 0);
}

pub(crate) async fn batch_is_all_or_nothing(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let kept = append(&db, 1).await;
    for strangers_place in 0..3 {
        let mut entries = vec![entry(org), entry(org)];
        entries.insert(strangers_place, entry(id()));
        let error = db.append(batch(entries)).await.err();
        assert_error!(
            error,
            Some(StoreError::Unavailable { .. } | StoreError::NotFound(_))
        );
        assert_eq!(trail(&db, org).await, [kept[0].bytes().to_vec()]);
    }
    let next = append(&db, 1).await;
    let expected = [kept[0].bytes().to_vec(), next[0].bytes().to_vec()];
    assert_eq!(
        trail(&db, org).await,
        expected,
        "and the numbers have no gap"
    );
}

pub(crate) async fn unknown_org_has_no_records(bed: &Bed) {
    let db = bed.open().await;
    append(&db, 1).await;
    let filter = AuditFilter::default;
    assert_eq!(
        db.query_audit(id(), filter(), first(10))
            .await
            .expect("an answer"),
        AuditPart::default()
    );
    assert_eq!(
        db.export_audit(id(), filter(), first(10))
            .await
            .expect("an answer"),
        AuditPart::default()
    );
}

/// Asserts that a filter finds these of the records, both ways, whole and in parts.
async fn expect_found(
    db: &Db,
    drafts: &[Draft<'_>],
    filter: AuditFilter,
    is_wanted: impl Fn(&Draft<'_>) -> bool,
) {
    let org = default_org(db).await;
    let entries: Vec<_> = drafts.iter().map(Draft::write).collect();
    let found = rows(&entries)
        .into_iter()
        .zip(drafts)
        .filter(|(_, draft)| is_wanted(draft));
    let oldest_first: Vec<_> = found.map(|(row, _)| row).collect();
    assert!(
        !oldest_first.is_empty() && oldest_first.len() < entries.len(),
        "{filter:?}"
    );
    let newest_first: Vec<_> = oldest_first.iter().rev().cloned().collect();
    for limit in [1000, 2] {
        let fetch = |page| db.query_audit(org, filter.clone(), page);
        assert_eq!(walk_trail(limit, fetch).await, newest_first, "{filter:?}");
        let fetch = |page| db.export_audit(org, filter.clone(), page);
        assert_eq!(walk_trail(limit, fetch).await, oldest_first, "{filter:?}");
    }
}

pub(crate) async fn each_filter_finds_what_it_says(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let (key, workspace) = (id::<KeyKind>(), id::<WorkspaceKind>());
    let person = |name: &str| Actor::Session(name.into());
    let actors = [
        Actor::AdminToken,
        person("ü_1"),
        person("ü%1"),
        person("Ü_1"),
    ];
    let drafts: Vec<_> = (0..40)
        .map(|at| Draft {
            at: later(u64::try_from(at / 2).expect("small")),
            status: [200, 299, 300, 404, 503][at % 5],
            method: ["GET", "POST", "DELETE"][at % 3],
            key: [None, Some(key), Some(id())][at % 3],
            workspace: [None, Some(workspace), Some(id())][(at / 3) % 3],
            actor: &actors[at % 4],
            ..draft(org)
        })
        .collect();
    // In commits of different sizes, so that runs begin and end anywhere.
    for some in drafts.chunks(7) {
        append_all(&db, some.iter().map(Draft::write).collect()).await;
    }
    let everything = AuditFilter {
        actor: Some("session:ü_1".to_owned()),
        key: Some(key),
        workspace: Some(workspace),
        method: Some("POST".to_owned()),
        status: Some((299, 404)),
        since: Some(later(5)),
        until: Some(later(15)),
        ..AuditFilter::default()
    };
    let fits: [fn(&Draft<'_>, &AuditFilter) -> bool; 7] = [
        |draft, all| Some(draft.actor.to_string()) == all.actor,
        |draft, all| draft.key == all.key,
        |draft, all| draft.workspace == all.workspace,
        |draft, all| Some(draft.method) == all.method.as_deref(),
        |draft, _| (299..=404).contains(&draft.status),
        |draft, _| draft.at >= later(5),
        |draft, _| draft.at < later(15),
    ];
    let one = |set: fn(&mut AuditFilter, AuditFilter)| {
        let mut filter = AuditFilter::default();
        set(&mut filter, everything.clone());
        filter
    };
    let alone = [
        one(|filter, all| filter.actor = all.actor),
        one(|filter, all| filter.key = all.key),
        one(|filter, all| filter.workspace = all.workspace),
        one(|filter, all| filter.method = all.method),
        one(|filter, all| filter.status = all.status),
        one(|filter, all| filter.since = all.since),
        one(|filter, all| filter.until = all.until),
    ];
    for (filter, fits) in alone.into_iter().zip(fits) {
        expect_found(&db, &drafts, filter, |draft| fits(draft, &everything)).await;
    }
    let is_wanted = |draft: &Draft<'_>| fits.iter().all(|fits| fits(draft, &everything));
    expect_found(&db, &drafts, everything.clone(), is_wanted).await;
}

pub(crate) async fn filter_that_fits_nothing_finds_nothing(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    append(&db, 5).await;
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
        assert_eq!(found, AuditPart::default(), "{filter:?}");
        let found = db
            .export_audit(org, filter.clone(), first(10))
            .await
            .expect("an answer");
        assert_eq!(found, AuditPart::default(), "{filter:?}");
    }
}

pub(crate) async fn cursor_is_stable_while_records_arrive(bed: &Bed) {
    let db = bed.open().await;
    let org = default_org(&db).await;
    let entries = append(&db, 10).await;
    let part = |after| {
        let page = Page { after, limit: 4 };
        db.query_audit(org, AuditFilter::default(), page)
    };
    let (mut seen, mut after) = (Vec::new(), None);
    for expected in [4, 4, 2] {
        let part = part(after).await.expect("a part");
        assert_eq!(part.rows.len(), expected);
        after = part.rows.last().map(|row| row.seq);
        seen.extend(part.rows);
        append(&db, 3).await;
    }
    assert_eq!(part(after).await.expect("a part"), AuditPart::default());
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
    let mut entries = append(&db, 5).await;
    let after = |seq, limit| {
        let page = Page {
            after: Some(seq),
            limit,
        };
        db.export_audit(org, AuditFilter::default(), page)
    };
    assert_eq!(after(0, 3).await.expect("a part").rows, rows(&entries)[..3]);
    assert_eq!(after(3, 3).await.expect("a part").rows, rows(&entries)[3..]);
    assert_eq!(after(5, 3).await.expect("a part").rows, []);
    let db = bed.reopen(db).await;
    entries.extend(append(&db, 2).await);
    let page = Page {
        after: Some(5),
        limit: 3,
    };
    let rest = db
        .export_audit(org, AuditFilter::default(), page)
        .await
        .expect("a part");
    assert_eq!(rest.rows, rows(&entries)[5..]);
    let page = Page {
        after: Some(1000),
        limit: 3,
    };
    let none = db
        .export_audit(org, AuditFilter::default(), page)
        .await
        .expect("a part");
    assert_eq!(none, AuditPart::default());
}
