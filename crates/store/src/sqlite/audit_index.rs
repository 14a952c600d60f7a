//! The index of the trails.

use async_trait::async_trait;
use claviger_core::{
    id::OrgId,
    ledger::index::{
        BLOCK_RECORDS, Block, CHAPTER_BLOCKS, Chapter, before_block, block_of, chapter_of,
    },
};
use rusqlite::{Connection, Row, params};

use super::{
    Fault, Outcome, Sqlite, retention,
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
    /// Up to which record bodies were dropped when it was built.
    dropped: u64,
    /// None where all bodies were.
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
    let dropped = retention::dropped_up_to(sql, org)?;
    let is_left = dropped < before_block(block + 1);
    let rows = match is_left {
        true => build_block(sql, org, block)?,
        false => Rows::new(),
    };
    let ends_chapter = is_left && (block + 1) % CHAPTER_BLOCKS == 0;
    let chapter = ends_chapter.then(|| {
        let mut chapter = gather(sql, org, block)?;
        for (bucket, places) in &rows {
            chapter.add_row(block, *bucket, places);
        }
        Ok::<_, Fault>(chapter.into_rows())
    });
    Ok(Some(Built {
        org,
        block,
        dropped,
        rows,
        chapter: chapter.transpose()?,
    }))
}

/// The rows of a block.
fn build_block(sql: &Connection, org: OrgId, block: u64) -> Outcome<Rows> {
    let (before, last) = (before_block(block), before_block(block + 1));
    let mut built = Block::new(block);
    runs::each_run(sql, org, (before + 1, last), |first_seq, lines| {
        built.add_run(first_seq, lines);
    })?;
    Ok(built.into_rows())
}

/// A chapter of the blocks before this one, of those that are kept.
fn gather(sql: &Connection, org: OrgId, end: u64) -> Outcome<Chapter> {
    let mut chapter = Chapter::default();
    let query = "select block, bucket, places from audit_index
         where org = ?1 and block >= ?2 and block < ?3 order by block, bucket";
    let first = chapter_of(end.saturating_sub(1)) * CHAPTER_BLOCKS;
    let bound = params![IdText::of(org), first.cast_signed(), end.cast_signed()];
    let mut statement = sql.prepare_cached(query)?;
    let mut found = statement.query(bound)?;
    while let Some(row) = found.next()? {
        let bucket = u8::try_from(count(row, 1)?).unwrap_or(u8::MAX);
        chapter.add_row(count(row, 0)?, bucket, bytes(row, 2)?);
    }
    Ok(chapter)
}

fn keep(sql: &Connection, built: &Built) -> Outcome<()> {
    let (org, block) = (built.org, built.block.cast_signed());
    if retention::dropped_up_to(sql, org)? != built.dropped {
        return Ok(());
    }
    let head = "insert into audit_index_heads (org, blocks) values (?1, ?2 + 1)
         on conflict (org) do update set blocks = ?2 + 1 where blocks = ?2";
    if row::run(sql, head, params![IdText::of(org), block])? == 0 {
        return Ok(());
    }
    insert_block(sql, org, built.block, &built.rows)?;
    let chapter = chapter_of(built.block);
    insert_chapter(
        sql,
        org,
        chapter,
        built.chapter.as_deref().unwrap_or_default(),
    )
}

fn insert_block(sql: &Connection, org: OrgId, block: u64, rows: &[(u8, Vec<u8>)]) -> Outcome<()> {
    let insert = "insert into audit_index (org, block, bucket, places) values (?1, ?2, ?3, ?4)";
    for (bucket, places) in rows {
        let bound = params![IdText::of(org), block.cast_signed(), bucket, places];
        row::run(sql, insert, bound)?;
    }
    Ok(())
}

fn insert_chapter(
    sql: &Connection,
    org: OrgId,
    chapter: u64,
    rows: &[(u8, Vec<u8>)],
) -> Outcome<()> {
    let insert =
        "insert into audit_chapters (org, chapter, bucket, blocks) values (?1, ?2, ?3, ?4)";
    for (bucket, blocks) in rows {
        let bound = params![IdText::of(org), chapter.cast_signed(), bucket, blocks];
        row::run(sql, insert, bound)?;
    }
    Ok(())
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

/// Takes out of the index what the records up to this one put there, whose bodies are gone. What it
/// says of the others of their block and their chapter is made anew.
pub(super) fn drop_up_to(sql: &Connection, org: OrgId, last: u64) -> Outcome<()> {
    let (head, _) = extent(sql, org)?;
    let (id, block) = (IdText::of(org), block_of(last + 1));
    let chapter = chapter_of(block);
    let delete = "delete from audit_index where org = ?1 and block < ?2";
    row::run(sql, delete, params![id, block.cast_signed()])?;
    let delete = "delete from audit_chapters where org = ?1 and chapter < ?2";
    row::run(sql, delete, params![id, chapter.cast_signed()])?;
    if block < head && before_block(block) < last {
        let delete = "delete from audit_index where org = ?1 and block = ?2";
        row::run(sql, delete, params![id, block.cast_signed()])?;
        insert_block(sql, org, block, &build_block(sql, org, block)?)?;
    }
    let end = (chapter + 1) * CHAPTER_BLOCKS;
    if end <= head && before_block(end - CHAPTER_BLOCKS) < last {
        let delete = "delete from audit_chapters where org = ?1 and chapter = ?2";
        row::run(sql, delete, params![id, chapter.cast_signed()])?;
        insert_chapter(sql, org, chapter, &gather(sql, org, end)?.into_rows())?;
    }
    Ok(())
}

/// How many blocks of a trail are indexed, and up to which record bodies were dropped.
pub(super) fn extent(sql: &Connection, org: OrgId) -> Outcome<(u64, u64)> {
    let query = "select coalesce((select blocks from audit_index_heads where org = ?1), 0),
             coalesce((select last_seq from audit_dropped where org = ?1), 0)";
    let both = |row: &Row<'_>| Ok((count(row, 0)?, count(row, 1)?));
    let found = row::first(sql, query, params![IdText::of(org)], both)?;
    Ok(found.unwrap_or_default())
}
