//! The index of the trails.

use async_trait::async_trait;
use claviger_core::{
    id::OrgId,
    ledger::index::{BLOCK_RECORDS, Block, Term, before_block},
};
use rusqlite::{Connection, params};

use super::{
    Outcome, Sqlite,
    row::{self, IdText, blob, count, parsed},
    runs,
    writer::{Order, Tx},
};
use crate::{AuditIndexStore, Result};

#[async_trait]
impl AuditIndexStore for Sqlite {
    async fn index_audit(&self) -> Result<bool> {
        // Read beside the thread that writes: it only gets what is to be kept.
        let next = self.read("read what is to be indexed", build_next).await?;
        let Some((org, block, rows)) = next else {
            return Ok(false);
        };
        let work = move |tx: &mut Tx<'_>| keep(tx.sql, org, block, &rows);
        self.writer
            .change(Order::quick("index the audit trail"), work)
            .await?;
        Ok(true)
    }
}

/// A block that is ready to be kept: its org, its number, its rows.
type Built = (OrgId, i64, Vec<(u8, Vec<u8>)>);

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
    Ok(Some((org, block.cast_signed(), built.into_rows())))
}

fn keep(sql: &Connection, org: OrgId, block: i64, rows: &[(u8, Vec<u8>)]) -> Outcome<()> {
    let head = "insert into audit_index_heads (org, blocks) values (?1, ?2 + 1)
         on conflict (org) do update set blocks = ?2 + 1 where blocks = ?2";
    if row::run(sql, head, params![IdText::of(org), block])? == 0 {
        return Ok(());
    }
    let insert = "insert into audit_index (org, block, bucket, places) values (?1, ?2, ?3, ?4)";
    for (bucket, places) in rows {
        row::run(sql, insert, params![IdText::of(org), block, bucket, places])?;
    }
    Ok(())
}

/// How many blocks of a trail are indexed.
pub(super) fn indexed_blocks(sql: &Connection, org: OrgId) -> Outcome<u64> {
    let query = "select blocks from audit_index_heads where org = ?1";
    let found = row::first(sql, query, params![IdText::of(org)], |row| count(row, 0))?;
    Ok(found.unwrap_or(0))
}

/// The row of each of these terms in a block.
pub(super) fn index_rows(
    sql: &Connection,
    org: OrgId,
    block: u64,
    terms: &[Term],
) -> Outcome<Vec<Option<Vec<u8>>>> {
    let query = "select places from audit_index where org = ?1 and block = ?2 and bucket = ?3";
    let row_of = |term: &Term| {
        let bound = params![IdText::of(org), block.cast_signed(), term.bucket()];
        row::first(sql, query, bound, |row| blob(row, 0))
    };
    terms.iter().map(row_of).collect()
}
