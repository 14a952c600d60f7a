//! The numbers of the trails, kept on the thread that writes.

use std::collections::HashMap;

use claviger_core::{id::OrgId, ledger::entry::Entry};
use rusqlite::{Connection, params};

use super::{Outcome, row::IdText};
use crate::StoreError;

/// The sizes of the trails that were written to, so that a number costs no query.
#[derive(Default)]
pub(super) struct Ledgers {
    sizes: HashMap<OrgId, i64>,
    /// Orgs whose size in the database is behind.
    behind: Vec<OrgId>,
    /// What the running job found, to be put back if it fails.
    undo: Vec<(OrgId, Option<i64>)>,
}

impl Ledgers {
    /// Writes records at the next numbers of their orgs. The hot path: one prepared statement,
    /// everything bound by reference.
    pub(super) fn insert(&mut self, sql: &Connection, entries: &[Entry]) -> Outcome<()> {
        let mut insert = sql.prepare_cached(
            "insert into audit_events
                 (org, seq, at, actor, key_id, workspace, method, status, body)
             values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?;
        for run in entries.chunk_by(|one, next| one.org == next.org) {
            let Some(first) = run.first() else { continue };
            let org = IdText::of(first.org);
            let mut seq = self.take(sql, first.org, run.len())?;
            for entry in run {
                seq += 1;
                insert.execute(params![
                    org,
                    seq,
                    entry.at.millis(),
                    entry.actor,
                    entry.key.map(IdText::of),
                    entry.workspace.map(IdText::of),
                    entry.method,
                    entry.status,
                    entry.bytes,
                ])?;
            }
        }
        Ok(())
    }

    /// Takes numbers for so many records; gives the one before the first.
    fn take(&mut self, sql: &Connection, org: OrgId, count: usize) -> Outcome<i64> {
        let cached = self.sizes.get(&org).copied();
        let size = match cached {
            Some(size) => size,
            None => read_size(sql, org)?,
        };
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let Some(next) = size.checked_add(count) else {
            return Err(corrupt_ledger(org, "its size is out of range").into());
        };
        self.sizes.insert(org, next);
        self.behind.push(org);
        self.undo.push((org, cached));
        Ok(size)
    }

    /// The running job is kept.
    pub(super) fn keep(&mut self) {
        self.undo.clear();
    }

    /// The running job is undone.
    pub(super) fn undo(&mut self) {
        for (org, before) in self.undo.drain(..).rev() {
            match before {
                Some(size) => self.sizes.insert(org, size),
                None => self.sizes.remove(&org),
            };
        }
    }

    /// The whole transaction is undone.
    pub(super) fn forget(&mut self) {
        self.sizes.clear();
        self.behind.clear();
        self.undo.clear();
    }

    /// Writes the sizes, each once.
    pub(super) fn flush(&mut self, sql: &Connection) -> Outcome<()> {
        self.behind.sort_unstable();
        self.behind.dedup();
        let mut update = sql.prepare_cached("update ledgers set size = ?2 where org = ?1")?;
        for org in self.behind.drain(..) {
            let Some(size) = self.sizes.get(&org) else {
                continue;
            };
            if update.execute(params![IdText::of(org), size])? != 1 {
                return Err(corrupt_ledger(org, "it has no size").into());
            }
        }
        Ok(())
    }
}

pub(super) fn read_size(sql: &Connection, org: OrgId) -> Outcome<i64> {
    let mut find = sql.prepare_cached("select size from ledgers where org = ?1")?;
    match find.query_row(params![IdText::of(org)], |row| row.get(0)) {
        Ok(size) => Ok(size),
        Err(rusqlite::Error::QueryReturnedNoRows) => Err(StoreError::NotFound("org").into()),
        Err(error) => Err(error.into()),
    }
}

fn corrupt_ledger(org: OrgId, reason: &str) -> StoreError {
    StoreError::Corrupt {
        what: format!("the ledger of `{org}`"),
        reason: reason.to_owned(),
    }
}
