//! The frontiers of the trails, and the records of the running transaction, on the thread that writes.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap, hash_map::Entry},
    sync::Arc,
};

use claviger_core::{
    id::OrgId,
    ledger::{
        batch::{Batch, Run},
        tree::Frontier,
    },
};
use rusqlite::{Connection, params};

use super::{
    Outcome,
    row::{self, IdText, blob, count},
};
use crate::StoreError;

/// A run that is longer than this is written as it is: to copy it costs more than a row.
const JOINED_BYTES_MAX: usize = 16 * 1024;

/// The frontiers of the trails that were written to, so that appending costs no query; and the
/// records of a transaction, which are written at its end: whatever shared it shares a row.
///
/// A frontier changes at the end of a transaction alone: what a job came to before does not matter.
#[derive(Default)]
pub(super) struct Ledgers {
    frontiers: HashMap<OrgId, Frontier>,
    /// Of the jobs that are kept.
    kept: Vec<Arc<Batch>>,
    /// Of the running job, to be dropped if it fails.
    running: Vec<Arc<Batch>>,
}

impl Ledgers {
    /// Takes records.
    pub(super) fn add(&mut self, sql: &Connection, batch: Arc<Batch>) -> Outcome<()> {
        for run in batch.runs() {
            self.expect_org(sql, run.org)?;
        }
        self.running.push(batch);
        Ok(())
    }

    /// Every org has a trail.
    fn expect_org(&mut self, sql: &Connection, org: OrgId) -> Outcome<()> {
        if let Entry::Vacant(unknown) = self.frontiers.entry(org) {
            unknown.insert(read_frontier(sql, org)?);
        }
        Ok(())
    }

    /// The tree of a trail is this one from now on.
    pub(super) fn replace(&mut self, org: OrgId, tree: Frontier) {
        self.frontiers.insert(org, tree);
    }

    /// The running job is kept.
    pub(super) fn keep(&mut self) {
        self.kept.append(&mut self.running);
    }

    /// The running job is undone. What it found of an org may be undone too, if it made the org.
    pub(super) fn undo(&mut self) {
        self.running.clear();
        let kept = &self.kept;
        let is_kept = |org: &OrgId| orgs(kept).any(|other| other == *org);
        self.frontiers.retain(|org, _| is_kept(org));
    }

    /// The whole transaction is undone.
    pub(super) fn forget(&mut self) {
        self.frontiers.clear();
        self.kept.clear();
        self.running.clear();
    }

    /// Writes the records, and the frontier of each trail once.
    pub(super) fn flush(&mut self, sql: &Connection) -> Outcome<()> {
        let mut insert = sql.prepare_cached(
            "insert into audit_runs (org, first_seq, last_seq, at_min, at_max, lines)
             values (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        let kept = std::mem::take(&mut self.kept);
        let runs = joined(&kept);
        for run in &runs {
            let frontier = self.frontiers.get_mut(&run.org);
            let frontier = frontier.ok_or_else(|| corrupt_ledger(run.org, "it is not known"))?;
            let before = frontier.size();
            run.leaves.iter().for_each(|leaf| frontier.append(*leaf));
            insert.execute(params![
                IdText::of(run.org),
                before.saturating_add(1).cast_signed(),
                frontier.size().cast_signed(),
                run.at_min.millis(),
                run.at_max.millis(),
                run.lines,
            ])?;
        }
        let mut update =
            sql.prepare_cached("update ledgers set size = ?2, peaks = ?3 where org = ?1")?;
        let orgs: BTreeSet<_> = orgs(&kept).collect();
        for org in orgs {
            let frontier = self.frontiers.get(&org);
            let frontier = frontier.ok_or_else(|| corrupt_ledger(org, "it is not known"))?;
            let (size, peaks) = (frontier.size().cast_signed(), frontier.to_bytes());
            if update.execute(params![IdText::of(org), size, peaks])? != 1 {
                return Err(corrupt_ledger(org, "it has no size").into());
            }
        }
        Ok(())
    }
}

fn orgs(batches: &[Arc<Batch>]) -> impl Iterator<Item = OrgId> {
    let runs = batches.iter().flat_map(|batch| batch.runs());
    runs.map(|run| run.org)
}

/// Short neighbours of one org in one run.
fn joined(batches: &[Arc<Batch>]) -> Vec<Cow<'_, Run>> {
    let mut joined: Vec<Cow<'_, Run>> = Vec::new();
    for run in batches.iter().flat_map(|batch| batch.runs()) {
        let last = joined.iter_mut().rev().find(|last| last.org == run.org);
        match last {
            Some(last) if last.lines.len() + run.lines.len() <= JOINED_BYTES_MAX => {
                last.to_mut().join(run);
            }
            Some(_) | None => joined.push(Cow::Borrowed(run)),
        }
    }
    joined
}

/// The tree of a trail, as it is now.
pub(super) fn read_frontier(sql: &Connection, org: OrgId) -> Outcome<Frontier> {
    let query = "select size, peaks from ledgers where org = ?1 and peaks is not null";
    let found = row::first(sql, query, params![IdText::of(org)], |row| {
        Ok((count(row, 0)?, blob(row, 1)?))
    })?;
    let (size, peaks) = found.ok_or(StoreError::NotFound("org"))?;
    let frontier = Frontier::from_bytes(size, &peaks);
    Ok(frontier.map_err(|error| corrupt_ledger(org, &error.to_string()))?)
}

fn corrupt_ledger(org: OrgId, reason: &str) -> StoreError {
    StoreError::Corrupt {
        what: format!("the ledger of `{org}`"),
        reason: reason.to_owned(),
    }
}
