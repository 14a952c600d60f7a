//! Old records: their bodies are dropped, their hashes stay.

use async_trait::async_trait;
use claviger_core::{
    id::{EventId, OrgId},
    ledger::{retention::cut_run, tree::Hash},
    time::Timestamp,
};
use rusqlite::{Connection, params};

use super::{
    Outcome, Sqlite, audit_index,
    row::{self, IdText, bytes, count, digest, parsed, time},
    tree,
    writer::{Order, Tx},
};
use crate::{
    Dropped, Dropping, Recorder, Result, RetentionStore, Written,
    retention_store::{RUNS_MAX, Reach, uncut, whole},
};

/// The last address of each key and secret, where that is as old.
const FORGET_LAST: [&str; 3] = [
    "update keys set last_used_from = null
         where org = ?1 and last_used_at < ?2 and last_used_from is not null",
    "update keys set secret_used_from = null
         where org = ?1 and secret_used_at < ?2 and secret_used_from is not null",
    "update old_secrets set used_from = null
         where used_at < ?2 and used_from is not null
             and key_id in (select id from keys where org = ?1)",
];

#[async_trait]
impl RetentionStore for Sqlite {
    async fn count_older(&self, org: OrgId, before: Timestamp) -> Result<u64> {
        // In the order of the primary key: it ends with the first run that is young.
        let query = "select coalesce(
                 (select first_seq - 1 from audit_runs where org = ?1 and at_max >= ?2
                  order by first_seq limit 1),
                 (select size from ledgers where org = ?1), 0)";
        let work = move |sql: &Connection| {
            let bound = params![IdText::of(org), before.millis()];
            let old = row::first(sql, query, bound, |row| count(row, 0))?;
            let dropped = dropped_up_to(sql, org)?;
            Ok(whole(old.unwrap_or(0)).saturating_sub(dropped))
        };
        self.read("count old audit records", work).await
    }

    async fn drop_bodies(
        &self,
        org: OrgId,
        before: Timestamp,
        decision: EventId,
        record: Recorder<Dropping>,
    ) -> Result<Option<Written<Dropping>>> {
        let work = move |tx: &mut Tx<'_>| {
            let Some(dropping) = plan(tx.sql, org, before)? else {
                return Ok(None);
            };
            // Pages that become free are overwritten. Pieces can be left in pages that hold other rows.
            tx.sql.execute_batch("pragma secure_delete = on")?;
            let done = drop_all(tx.sql, org, dropping, decision);
            tx.sql.execute_batch("pragma secure_delete = off")?;
            done?;
            tx.written(dropping, record).map(Some)
        };
        self.writer
            .change(Order::synced("drop old audit records"), work)
            .await
    }

    async fn dropped(&self, org: OrgId) -> Result<Option<Dropped>> {
        let query = "select last_seq, decision, decided_after from audit_dropped
             where org = ?1 and last_seq > 0";
        let work = move |sql: &Connection| {
            row::first(sql, query, params![IdText::of(org)], |row| {
                Ok(Dropped {
                    last: count(row, 0)?,
                    decision: parsed(row, 1)?,
                    decided_after: count(row, 2)?,
                })
            })
        };
        self.read("read what was dropped of a trail", work).await
    }

    async fn forget_addresses(&self, org: OrgId, before: Timestamp, limit: u32) -> Result<u64> {
        let delete = "delete from key_addresses where (key_id, address) in
             (select key_id, address from key_addresses join keys on keys.id = key_id
              where keys.org = ?1 and last_at < ?2 limit ?3)";
        let work = move |tx: &mut Tx<'_>| {
            let gone = row::run(
                tx.sql,
                delete,
                params![IdText::of(org), before.millis(), limit],
            )?;
            for update in FORGET_LAST {
                row::run(tx.sql, update, params![IdText::of(org), before.millis()])?;
            }
            Ok(u64::try_from(gone).unwrap_or(u64::MAX))
        };
        self.writer
            .change(Order::quick("forget old addresses"), work)
            .await
    }
}

/// Up to which record the bodies of a trail were dropped; 0 for none.
pub(super) fn dropped_up_to(sql: &Connection, org: OrgId) -> Outcome<u64> {
    audit_index::extent(sql, org).map(|(_, dropped)| dropped)
}

/// What is to be dropped now.
fn plan(sql: &Connection, org: OrgId, before: Timestamp) -> Outcome<Option<Dropping>> {
    let dropped = dropped_up_to(sql, org)?;
    let mut reach = Reach::new(dropped, before);
    let query = "select first_seq, last_seq, at_max, length(lines) from audit_runs
         where org = ?1 and first_seq > ?2 order by first_seq limit ?3";
    let bound = params![
        IdText::of(org),
        dropped.cast_signed(),
        RUNS_MAX.cast_signed()
    ];
    let mut statement = sql.prepare_cached(query)?;
    let mut runs = statement.query(bound)?;
    while let Some(run) = runs.next()? {
        let numbers = (count(run, 0)?, count(run, 1)?);
        if !reach.take(numbers, time(run, 2)?, count(run, 3)?) {
            break;
        }
    }
    let query = "select size, root from audit_checkpoints
         where org = ?1 order by size desc limit 1";
    let signed = row::first(sql, query, params![IdText::of(org)], |row| {
        Ok((count(row, 0)?, Hash::from_bytes(digest(row, 1)?)))
    })?;
    let tiled = tree::records_in_tiles(sql, org)?;
    Ok(signed.and_then(|signed| reach.dropping(tiled, signed)))
}

/// Drops the bodies, and all that was derived of them.
fn drop_all(sql: &Connection, org: OrgId, dropping: Dropping, decision: EventId) -> Outcome<()> {
    let (id, last) = (IdText::of(org), dropping.last);
    cut(sql, org, last)?;
    let delete = "delete from audit_runs where org = ?1 and first_seq <= ?2";
    row::run(sql, delete, params![id, last.cast_signed()])?;
    let note = "insert into audit_dropped (org, last_seq, decision, decided_after)
         select org, ?2, ?3, size from ledgers where org = ?1
         on conflict (org) do update set last_seq = excluded.last_seq,
             decision = excluded.decision, decided_after = excluded.decided_after";
    row::run(
        sql,
        note,
        params![id, last.cast_signed(), IdText::of(decision)],
    )?;
    audit_index::drop_up_to(sql, org, last)
}

/// Of a run that goes on behind this record, what comes behind it becomes a run of its own.
fn cut(sql: &Connection, org: OrgId, last: u64) -> Outcome<()> {
    let query = "select first_seq, last_seq, lines from audit_runs
         where org = ?1 and first_seq <= ?2 order by first_seq desc limit 1";
    let bound = params![IdText::of(org), last.cast_signed()];
    let found = row::first(sql, query, bound, |row| {
        let (first_seq, last_seq) = (count(row, 0)?, count(row, 1)?);
        if last_seq <= last {
            return Ok(None);
        }
        let rest = cut_run(bytes(row, 2)?, last - first_seq + 1, last_seq - last);
        Ok(Some((last_seq, rest.ok_or_else(|| uncut(org, first_seq))?)))
    })?;
    let Some((last_seq, rest)) = found.flatten() else {
        return Ok(());
    };
    let insert = "insert into audit_runs (org, first_seq, last_seq, at_min, at_max, lines)
         values (?1, ?2, ?3, ?4, ?5, ?6)";
    let (at_min, at_max) = (rest.at_min.millis(), rest.at_max.millis());
    let bound = params![
        IdText::of(org),
        (last + 1).cast_signed(),
        last_seq.cast_signed(),
        at_min,
        at_max,
        rest.lines
    ];
    row::run(sql, insert, bound)?;
    Ok(())
}
