//! The index of the trails.

use async_trait::async_trait;
use claviger_core::{
    id::OrgId,
    ledger::index::{BLOCK_RECORDS, Block, CHAPTER_BLOCKS, Chapter, before_block, chapter_of},
};
use rusqlite::{Connection, params};

use super::{
    Outcome, Sqlite,
    row::{self, IdText, blob, bytes, count, parsed},
    runs,
    writer::{Order, Tx},
};
use crate::{AuditIndexStore, Result};

#[async_trait]
impl AuditIndexStore for Sqlite {
    async fn index_audit(&self) -> Result<bool> {
        // Read beside the thread that writes: it only gets what is to be kept.
        let next = self.read("read what is to be indexed", build_next).await?;
        let Some(built) = next else {
            return Ok(false);
        };
        let work = move |tx: &mut Tx<'_>| keep(tx.sql, &built);
        self.writer
            .change(Order::quick("index the audit trail"), work)
            .await?;
        Ok(true)
    }
}

type Rows = Vec<(u8, Vec<u8>)>;

/// A block that is ready to be kept.
struct Built {
    org: OrgId,
    block: u64,
    rows: Rows,
    /// The rows of the chapter that it ends, if it ends one.
    chapter: Option<Rows>,
}

fn build_next(sql: &Connection) -> Outcome<Option<Built>> {
    let query = "select ledgers.org, coalesce(head.blocks, 0) as done from ledgers
         left join audit_index_heads as head on head.org = ledgers.org
         where ledgers.size >= (coalesce(head.blocks, 0) + 1) * ?1
         order by ledgers.size - coalesce(head.blocks, 0) * ?1 desc limit 1";
    let next = row::first(sql, query, params![BLOCK_RECORDS.cast_signed()], |row| {
        Ok((parsed::<OrgId>(row, 0)?, count(row, 1)?))
    })?;
    let Some((org, block)) = next else {
        return Ok(None);
    };
    let (before, last) = (before_block(block), before_block(block + 1));
    let mut built = Block::new(block);
    runs::each_run(sql, org, (before + 1, last), |first_seq, lines| {
        built.add_run(first_seq, lines);
    })?;
    let rows = built.into_rows();
    let ends_chapter = (block + 1) % CHAPTER_BLOCKS == 0;
    let chapter = ends_chapter.then(|| build_chapter(sql, org, block, &rows));
    Ok(Some(Built {
        org,
        block,
        rows,
        chapter: chapter.transpose()?,
    }))
}

/// Gathers the rows of a chapter from those of its blocks, of which the last is not kept yet.
fn build_chapter(sql: &Connection, org: OrgId, last: u64, rows: &Rows) -> Outcome<Rows> {
    let mut chapter = Chapter::default();
    let query = "select block, bucket, places from audit_index
         where org = ?1 and block >= ?2 and block < ?3 order by block, bucket";
    let first = chapter_of(last) * CHAPTER_BLOCKS;
    let bound = params![IdText::of(org), first.cast_signed(), last.cast_signed()];
    let mut statement = sql.prepare_cached(query)?;
    let mut found = statement.query(bound)?;
    while let Some(row) = found.next()? {
        let bucket = u8::try_from(count(row, 1)?).unwrap_or(u8::MAX);
        chapter.add_row(count(row, 0)?, bucket, bytes(row, 2)?);
    }
    for (bucket, places) in rows {
        chapter.add_row(last, *bucket, places);
    }
    Ok(chapter.into_rows())
}

fn keep(sql: &Connection, built: &Built) -> Outcome<()> {
    let (org, block) = (built.org, built.block.cast_signed());
    let head = "insert into audit_index_heads (org, blocks) values (?1, ?2 + 1)
         on conflict (org) do update set blocks = ?2 + 1 where blocks = ?2";
    if row::run(sql, head, params![IdText::of(org), block])? == 0 {
        return Ok(());
    }
    let insert = "insert into audit_index (org, block, bucket, places) values (?1, ?2, ?3, ?4)";
    for (bucket, places) in &built.rows {
        row::run(sql, insert, params![IdText::of(org), block, bucket, places])?;
    }
    let insert =
        "insert into audit_chapters (org, chapter, bucket, blocks) values (?1, ?2, ?3, ?4)";
    let chapter = chapter_of(built.block).cast_signed();
    for (bucket, blocks) in built.chapter.iter().flatten() {
        row::run(
            sql,
            insert,
            params![IdText::of(org), chapter, bucket, blocks],
        )?;
    }
    Ok(())
}

/// How many blocks of a trail are indexed.
pub(super) fn indexed_blocks(sql: &Connection, org: OrgId) -> Outcome<u64> {
    let query = "select blocks from audit_index_heads where org = ?1";
    let found = row::first(sql, query, params![IdText::of(org)], |row| count(row, 0))?;
    Ok(found.unwrap_or(0))
}

/// These rows of a block.
pub(super) fn index_rows(
    sql: &Connection,
    org: OrgId,
    block: u64,
    buckets: &[u8],
) -> Outcome<Vec<Option<Vec<u8>>>> {
    let query = "select places from audit_index where org = ?1 and block = ?2 and bucket = ?3";
    let row_of = |bucket: &u8| {
        let bound = params![IdText::of(org), block.cast_signed(), bucket];
        row::first(sql, query, bound, |row| blob(row, 0))
    };
    buckets.iter().map(row_of).collect()
}

/// These rows of a chapter.
pub(super) fn chapter_rows(
    sql: &Connection,
    org: OrgId,
    chapter: u64,
    buckets: &[u8],
) -> Outcome<Vec<Option<Vec<u8>>>> {
    let query = "select blocks from audit_chapters where org = ?1 and chapter = ?2 and bucket = ?3";
    let row_of = |bucket: &u8| {
        let bound = params![IdText::of(org), chapter.cast_signed(), bucket];
        row::first(sql, query, bound, |row| blob(row, 0))
    };
    buckets.iter().map(row_of).collect()
}
