//! How far the places outside the database know the trails.

use async_trait::async_trait;
use claviger_core::{id::OrgId, ledger::tree::Frontier};
use rusqlite::{Connection, Row, params};

use super::{
    Outcome, Sqlite,
    row::{self, IdText, count, parsed, text, time},
    writer::{Order, Tx},
};
use crate::{AnchorStore, Anchored, Checkpoint, Page, Result, StoreError};

#[async_trait]
impl AnchorStore for Sqlite {
    async fn anchors(&self, org: OrgId) -> Result<Vec<Anchored>> {
        let query = "select place, size, at, is_given_up from audit_anchors
             where org = ?1 order by place";
        let work = move |sql: &Connection| row::all(sql, query, params![IdText::of(org)], anchored);
        self.read("read what was anchored", work).await
    }

    async fn keep_anchors(
        &self,
        org: OrgId,
        anchored: Vec<Anchored>,
        cosigned: Option<Checkpoint>,
    ) -> Result<()> {
        let work = move |tx: &mut Tx<'_>| {
            if let Some(cosigned) = &cosigned {
                cosign(tx.sql, org, cosigned)?;
            }
            anchored.iter().try_for_each(|new| keep(tx.sql, org, new))
        };
        self.writer
            .change(Order::synced("keep what was anchored"), work)
            .await
    }

    async fn list_ledgers(&self, page: Page<OrgId>) -> Result<Vec<(OrgId, u64)>> {
        let query = "select ledgers.org, ledgers.size from ledgers
             join orgs on orgs.id = ledgers.org
             where orgs.deleted_at is null and ledgers.org > ?1 order by ledgers.org limit ?2";
        let after = page.after.map(|id| id.to_string()).unwrap_or_default();
        let work = move |sql: &Connection| {
            row::all(sql, query, params![after, page.limit], |row| {
                Ok((parsed(row, 0)?, count(row, 1)?))
            })
        };
        self.read("list the trails", work).await
    }

    async fn rebase(&self, org: OrgId, tree: Frontier, last_checkpoint: Option<u64>) -> Result<()> {
        let work = move |tx: &mut Tx<'_>| {
            let name = IdText::of(org);
            let (size, peaks) = (tree.size(), tree.to_bytes());
            let update = "update ledgers set peaks = ?3 where org = ?1 and size = ?2";
            if row::run(tx.sql, update, params![name, size.cast_signed(), peaks])? != 1 {
                let reason = "the trail has another size";
                return Err(StoreError::CheckpointRefused { size, reason }.into());
            }
            let delete = "delete from audit_checkpoints where org = ?1 and size > ?2";
            let last = last_checkpoint.map_or(-1, u64::cast_signed);
            row::run(tx.sql, delete, params![name, last])?;
            tx.ledgers.replace(org, tree);
            Ok(())
        };
        self.writer
            .change(Order::synced("make the tree of a trail anew"), work)
            .await
    }
}

fn keep(sql: &Connection, org: OrgId, new: &Anchored) -> Outcome<()> {
    let insert = "insert into audit_anchors (org, place, size, at, is_given_up)
         select org, ?2, ?3, ?4, ?5 from ledgers where org = ?1
         on conflict (org, place) do update set
             size = excluded.size, at = excluded.at, is_given_up = excluded.is_given_up";
    let (name, size) = (IdText::of(org), new.size.cast_signed());
    let bound = params![name, new.place, size, new.at.millis(), new.is_given_up];
    match row::run(sql, insert, bound)? {
        1 => Ok(()),
        _ => Err(StoreError::NotFound("org").into()),
    }
}

fn cosign(sql: &Connection, org: OrgId, cosigned: &Checkpoint) -> Outcome<()> {
    let update =
        "update audit_checkpoints set note = ?4 where org = ?1 and size = ?2 and root = ?3";
    let (size, root) = (cosigned.size.cast_signed(), cosigned.root.as_bytes());
    let bound = params![IdText::of(org), size, root, cosigned.note];
    match row::run(sql, update, bound)? {
        1 => Ok(()),
        _ => Err(StoreError::NotFound("checkpoint").into()),
    }
}

fn anchored(row: &Row<'_>) -> Outcome<Anchored> {
    Ok(Anchored {
        place: text(row, 0)?.to_owned(),
        size: count(row, 1)?,
        at: time(row, 2)?,
        is_given_up: count(row, 3)? != 0,
    })
}
