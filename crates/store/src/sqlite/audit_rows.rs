//! The rows of the trails, as they stand.

use async_trait::async_trait;
use claviger_core::id::OrgId;
use rusqlite::{Connection, params};

use super::{
    Outcome, Sqlite,
    row::{self, IdText, blob, count, number},
};
use crate::{
    AuditRowStore, IndexRow, LedgerRow, Result, RunRow, StoreError,
    audit_rows::{ROWS_BYTES_MAX, RUN_ROWS_MAX},
};

#[async_trait]
impl AuditRowStore for Sqlite {
    fn spots_bucket(&self) -> Option<u8> {
        None
    }

    async fn ledger_row(&self, org: OrgId) -> Result<LedgerRow> {
        let query = "select ledgers.size, coalesce(ledgers.peaks, x''),
                 coalesce(blocks.blocks, 0), coalesce(tiles.tiles, 0),
                 coalesce(dropped.last_seq, 0)
             from ledgers left join audit_index_heads as blocks on blocks.org = ledgers.org
             left join audit_tile_heads as tiles on tiles.org = ledgers.org
             left join audit_dropped as dropped on dropped.org = ledgers.org
             where ledgers.org = ?1";
        let work = move |sql: &Connection| {
            let found = row::first(sql, query, params![IdText::of(org)], |row| {
                Ok(LedgerRow {
                    size: count(row, 0)?,
                    peaks: blob(row, 1)?,
                    blocks: count(row, 2)?,
                    tiles: count(row, 3)?,
                    dropped: count(row, 4)?,
                })
            })?;
            Ok(found.ok_or(StoreError::NotFound("org"))?)
        };
        self.read("read what is kept of a trail", work).await
    }

    async fn run_rows(&self, org: OrgId, after: u64) -> Result<Vec<RunRow>> {
        let work = move |sql: &Connection| runs(sql, org, after);
        self.read("read the runs of a trail", work).await
    }

    async fn block_rows(&self, org: OrgId, block: u64) -> Result<Vec<IndexRow>> {
        let query = "select bucket, places from audit_index where org = ?1 and block = ?2
             order by bucket";
        let work = move |sql: &Connection| {
            let bound = params![IdText::of(org), block.cast_signed()];
            row::all(sql, query, bound, |row| {
                Ok(IndexRow {
                    bucket: count(row, 0)?,
                    places: blob(row, 1)?,
                })
            })
        };
        self.read("read a block of the index", work).await
    }

    async fn next_block(&self, org: OrgId, from: u64) -> Result<Option<u64>> {
        let query = "select block from audit_index where org = ?1 and block >= ?2
             order by block limit 1";
        let work = move |sql: &Connection| {
            let bound = params![IdText::of(org), from.cast_signed()];
            row::first(sql, query, bound, |row| count(row, 0))
        };
        self.read("read which blocks are indexed", work).await
    }

    async fn rows_of_chapter(&self, org: OrgId, chapter: u64) -> Result<Vec<IndexRow>> {
        let query = "select bucket, blocks from audit_chapters where org = ?1 and chapter = ?2
             order by bucket";
        let work = move |sql: &Connection| {
            let bound = params![IdText::of(org), chapter.cast_signed()];
            row::all(sql, query, bound, |row| {
                Ok(IndexRow {
                    bucket: count(row, 0)?,
                    places: blob(row, 1)?,
                })
            })
        };
        self.read("read a chapter of the index", work).await
    }

    async fn next_chapter(&self, org: OrgId, from: u64) -> Result<Option<u64>> {
        let query = "select chapter from audit_chapters where org = ?1 and chapter >= ?2
             order by chapter limit 1";
        let work = move |sql: &Connection| {
            let bound = params![IdText::of(org), from.cast_signed()];
            row::first(sql, query, bound, |row| count(row, 0))
        };
        self.read("read which chapters are made", work).await
    }

    async fn tile_row(&self, org: OrgId, (level, tile): (u8, u64)) -> Result<Option<Vec<u8>>> {
        let query = "select hashes from audit_tiles where org = ?1 and level = ?2 and number = ?3";
        let work = move |sql: &Connection| {
            let bound = params![IdText::of(org), level, tile.cast_signed()];
            row::first(sql, query, bound, |row| blob(row, 0))
        };
        self.read("read a tile of a tree", work).await
    }

    async fn next_tile(&self, org: OrgId, (level, from): (u8, u64)) -> Result<Option<u64>> {
        let query = "select number from audit_tiles where org = ?1 and level = ?2 and number >= ?3
             order by number limit 1";
        let work = move |sql: &Connection| {
            let bound = params![IdText::of(org), level, from.cast_signed()];
            row::first(sql, query, bound, |row| count(row, 0))
        };
        self.read("read which tiles are made", work).await
    }
}

/// Row by row, as far as they are wanted.
fn runs(sql: &Connection, org: OrgId, after: u64) -> Outcome<Vec<RunRow>> {
    let query = "select first_seq, last_seq, at_min, at_max, lines from audit_runs
         where org = ?1 and first_seq > ?2 order by first_seq";
    let mut statement = sql.prepare_cached(query)?;
    let mut rows = statement.query(params![IdText::of(org), after.cast_signed()])?;
    let (mut found, mut bytes) = (Vec::new(), 0);
    while bytes < ROWS_BYTES_MAX
        && found.len() < RUN_ROWS_MAX
        && let Some(row) = rows.next()?
    {
        let lines = blob(row, 4)?;
        bytes += lines.len();
        found.push(RunRow {
            first_seq: count(row, 0)?,
            last_seq: count(row, 1)?,
            at_min: number(row, 2)?,
            at_max: number(row, 3)?,
            lines,
        });
    }
    Ok(found)
}
