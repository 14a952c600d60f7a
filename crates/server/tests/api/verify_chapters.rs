//! The server verifies the chapters of its index: whatever somebody does to one is named.

use std::sync::Arc;

use claviger_core::{
    id::OrgId,
    ledger::{
        batch::Batch,
        index::{BLOCK_RECORDS, CHAPTER_BLOCKS, WORDS, before_block},
    },
};
use serde_json::json;

use crate::{
    service::{ADMIN, Backend, Service, text},
    verify::{blob, derive, record, store, verified},
};

on_each_database!(chapters_are_held_against_the_records);

/// The block with the one record that has another path.
const SELDOM: u64 = 40;

async fn chapters_are_held_against_the_records(backend: Backend) {
    let mut service = Service::guarded(backend).await;
    let made = service.make(ADMIN, "/admin/orgs", json!({"name": "long"}));
    let org: OrgId = text(&made.await["id"]).parse().expect("an id");
    service.stop().await;
    let opened = store(&service).await;
    let usual = record(org, 1);
    let size = usize::try_from(BLOCK_RECORDS).expect("small");
    for block in 0..CHAPTER_BLOCKS {
        let mut records = vec![usual.clone(); size];
        if block == SELDOM {
            records[5] = record(org, 77_777);
        }
        let batch: Batch = records.into_iter().collect();
        opened.append(Arc::new(batch)).await.expect("it is written");
    }
    derive(&*opened).await;
    let rows = opened.rows_of_chapter(org, 0).await.expect("rows");
    assert_eq!(opened.next_chapter(org, 1).await.expect("asked"), None);
    opened.close().await;
    drop(opened);
    // One row forgets in which block that part of a path is; another one goes to a chapter that is not.
    let words = rows.iter().find(|row| row.bucket == u64::from(WORDS));
    let mut words = words.expect("a row").places.clone();
    let at = words.windows(5).position(|part| part == b"77777");
    let blocks = at.expect("it is there") + 5;
    assert_eq!(words[blocks..blocks + 8], (1_u64 << SELDOM).to_be_bytes());
    words[blocks..blocks + 8].fill(0);
    let (words, moved) = (blob(backend, &words), rows[0].bucket);
    let of = |bucket: u64| format!("where org = '{org}' and bucket = {bucket}");
    service.sql(&format!(
        "update audit_chapters set blocks = {words} {};
         update audit_chapters set chapter = 7 {};",
        of(WORDS.into()),
        of(moved),
    ));
    service.start().await.expect("it starts");
    let (findings, verdict) = verified(&service, org).await;
    let named: Vec<_> = findings
        .iter()
        .map(|found| {
            let seq = found["seq"].as_u64().expect("a number");
            (text(&found["kind"]), text(&found["column"]), seq)
        })
        .collect();
    let begin = |block| before_block(block) + 1;
    // The row that went may be one of what all blocks have, or of what only that one has.
    let moved_from = named.get(1).map_or(0, |(_, _, seq)| *seq);
    assert!([begin(0), begin(SELDOM)].contains(&moved_from));
    let expected = [
        ("audit_chapters.blocks", begin(SELDOM)),
        ("audit_chapters.bucket", moved_from),
        ("audit_chapters.chapter", begin(7 * CHAPTER_BLOCKS)),
    ];
    let expected = expected.map(|(column, seq)| ("column".to_owned(), column.to_owned(), seq));
    assert_eq!(named, expected, "{findings:#?}");
    assert_eq!(verdict["is_sound"], false, "{verdict}");
    assert_eq!(verdict["intact"], verdict["proved"], "{verdict}");
}
