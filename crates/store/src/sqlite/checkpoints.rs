//! What was said of the trees, and signed.

use async_trait::async_trait;
use claviger_core::{id::OrgId, ledger::tree::Hash};
use rusqlite::{Connection, Row, params};

use super::{
    Outcome, Sqlite, ledgers,
    row::{self, IdText, count, digest, text, time},
    writer::{Order, Tx},
};
use crate::{Checkpoint, CheckpointStore, Page, Result, tree_store::may_follow};

#[async_trait]
impl CheckpointStore for Sqlite {
    async fn keep_checkpoint(&self, org: OrgId, checkpoint: Checkpoint) -> Result<()> {
        let work = move |tx: &mut Tx<'_>| keep(tx.sql, org, &checkpoint);
        self.writer
            .change(Order::synced("keep a checkpoint"), work)
            .await
    }

    async fn last_checkpoint(&self, org: OrgId) -> Result<Option<Checkpoint>> {
        let work = move |sql: &Connection| last(sql, org);
        self.read("read the last checkpoint", work).await
    }

    async fn list_checkpoints(&self, org: OrgId, page: Page<u64>) -> Result<Vec<Checkpoint>> {
        let query = "select size, root, note, at from audit_checkpoints
             where org = ?1 and size > ?2 order by size limit ?3";
        let after = page.after.map_or(-1, u64::cast_signed);
        let work = move |sql: &Connection| {
            let bound = params![IdText::of(org), after, page.limit];
            row::all(sql, query, bound, checkpoint)
        };
        self.read("list checkpoints", work).await
    }
}

fn keep(sql: &Connection, org: OrgId, new: &Checkpoint) -> Outcome<()> {
    let records = ledgers::read_frontier(sql, org)?.size();
    let last = last(sql, org)?.map(|last| (last.size, last.root));
    may_follow(new, last.as_ref(), records)?;
    let insert = "insert into audit_checkpoints (org, size, root, note, at)
         values (?1, ?2, ?3, ?4, ?5)
         on conflict (org, size) do update set note = excluded.note, at = excluded.at";
    let (size, root) = (new.size.cast_signed(), new.root.as_bytes());
    let bound = params![IdText::of(org), size, root, new.note, new.at.millis()];
    row::run(sql, insert, bound)?;
    Ok(())
}

fn last(sql: &Connection, org: OrgId) -> Outcome<Option<Checkpoint>> {
    let query = "select size, root, note, at from audit_checkpoints
         where org = ?1 order by size desc limit 1";
    row::first(sql, query, params![IdText::of(org)], checkpoint)
}

fn checkpoint(row: &Row<'_>) -> Outcome<Checkpoint> {
    Ok(Checkpoint {
        size: count(row, 0)?,
        root: Hash::from_bytes(digest(row, 1)?),
        note: text(row, 2)?.to_owned(),
        at: time(row, 3)?,
    })
}
