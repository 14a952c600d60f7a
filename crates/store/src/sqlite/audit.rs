//! The audit trail.

use std::{ops::ControlFlow, sync::Arc};

use async_trait::async_trait;
use claviger_core::{
    id::{Id, Kind, OrgId},
    ledger::{batch::Batch, search::Search},
};
use rusqlite::{Connection, Row, blob::Blob, params};

use super::{
    Outcome, Sqlite, audit_index,
    cut::Cutter,
    row,
    row::{IdText, bytes, count, parsed, text, time},
};
use crate::{
    AuditFilter, AuditPart, AuditStore, NAMED_MAX, Named, Page, Result,
    scan::{Bounds, Leg, Order, Scan},
};

/// The runs before a record, the last one first.
const NEWEST_RUNS: &str = "select first_seq, last_seq, at_min, at_max, lines from audit_runs
    where org = ?1 and first_seq < ?2 order by first_seq desc";
/// The runs after a record. The one that holds the next record may begin before it.
const OLDEST_RUNS: &str = "select first_seq, last_seq, at_min, at_max, lines from audit_runs
    where org = ?1 and first_seq >= coalesce(
        (select max(first_seq) from audit_runs where org = ?1 and first_seq <= ?2), 0)
    order by first_seq";
/// The run that holds a record, by its row.
const RUN_OF_RECORD: &str = "select first_seq, last_seq, at_min, at_max, rowid from audit_runs
    where org = ?1 and first_seq <= ?2 order by first_seq desc limit 1";

/// Keys with a text in their names.
const KEYS_LIKE: &str = "select id, name from keys
    where org = ?1 and instr(lower(name), ?2) > 0 limit ?3";
/// Workspaces likewise.
const WORKSPACES_LIKE: &str = "select id, name from workspaces
    where org = ?1 and instr(lower(name), ?2) > 0 limit ?3";

#[async_trait]
impl AuditStore for Sqlite {
    async fn append(&self, batch: Arc<Batch>) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        self.writer.append(batch).await
    }

    async fn query_audit(
        &self,
        org: OrgId,
        filter: AuditFilter,
        page: Page<u64>,
    ) -> Result<AuditPart> {
        let scan = Scan::new(filter, Order::NewestFirst, page);
        self.read("query the audit trail", move |sql| {
            walk(sql, NEWEST_RUNS, org, scan)
        })
        .await
    }

    async fn export_audit(
        &self,
        org: OrgId,
        filter: AuditFilter,
        page: Page<u64>,
    ) -> Result<AuditPart> {
        let scan = Scan::new(filter, Order::OldestFirst, page);
        self.read("export the audit trail", move |sql| {
            walk(sql, OLDEST_RUNS, org, scan)
        })
        .await
    }

    async fn audit_size(&self, org: OrgId) -> Result<u64> {
        let query = "select size from ledgers where org = ?1";
        let work = move |sql: &Connection| {
            row::first(sql, query, params![IdText::of(org)], |row| count(row, 0))
        };
        Ok(self
            .read("read the size of an audit trail", work)
            .await?
            .unwrap_or(0))
    }

    async fn named_like(&self, org: OrgId, search: Arc<Search>) -> Result<Option<Named>> {
        self.read("look for names", move |sql| {
            let keys = ids_like(sql, KEYS_LIKE, org, &search)?;
            let workspaces = ids_like(sql, WORKSPACES_LIKE, org, &search)?;
            let named = keys.zip(workspaces);
            Ok(named.map(|(keys, workspaces)| Named { keys, workspaces }))
        })
        .await
    }
}

/// The ids whose names have a text; `None` where too many have to be looked at. The database knows of
/// ASCII alone, and leaves out what cannot fit.
fn ids_like<K: Kind>(
    sql: &Connection,
    query: &str,
    org: OrgId,
    search: &Search,
) -> Outcome<Option<Vec<Id<K>>>> {
    let bound = params![IdText::of(org), search.ascii_part(), NAMED_MAX + 1];
    let found = row::all(sql, query, bound, |row| {
        let is_in = search.is_in(text(row, 1)?);
        Ok(is_in.then_some(parsed(row, 0)?))
    })?;
    let is_whole = u32::try_from(found.len()).is_ok_and(|count| count <= NAMED_MAX);
    Ok(is_whole.then(|| found.into_iter().flatten().collect()))
}

/// By leaps where the index helps, and run by run where it does not.
fn walk(sql: &Connection, runs: &str, org: OrgId, mut scan: Scan) -> Outcome<AuditPart> {
    // One instant for all of it: index and runs are of one trail, whatever is dropped meanwhile.
    let instant = sql.unchecked_transaction()?;
    let sql: &Connection = &instant;
    if !scan.buckets().is_empty() {
        scan.set_indexed(audit_index::extent(sql, org)?);
    }
    loop {
        let flow = match scan.next_leg() {
            Leg::End => break,
            Leg::Runs => walk_runs(sql, runs, org, &mut scan)?,
            Leg::Chapter(chapter) => {
                read_chapter(sql, org, chapter, &mut scan)?;
                continue;
            }
            Leg::Block(block) => walk_block(sql, org, block, &mut scan)?,
        };
        if flow.is_break() {
            break;
        }
    }
    Ok(scan.finish())
}

/// The runs are in the order of the primary key, and read as far as they are wanted: what a run
/// holds is fetched only when its times can fit.
fn walk_runs(
    sql: &Connection,
    runs: &str,
    org: OrgId,
    scan: &mut Scan,
) -> Outcome<ControlFlow<()>> {
    let mut statement = sql.prepare_cached(runs)?;
    let mut rows = statement.query(params![IdText::of(org), scan.cursor()])?;
    while let Some(row) = rows.next()? {
        if scan.has_reached_index() {
            break;
        }
        if look(row, scan)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    scan.end_runs();
    Ok(ControlFlow::Continue(()))
}

/// Asks a chapter which of its blocks may hold something.
fn read_chapter(sql: &Connection, org: OrgId, chapter: u64, scan: &mut Scan) -> Outcome<()> {
    let rows = audit_index::chapter_rows(sql, org, chapter, scan.buckets())?;
    let rows: Vec<Option<&[u8]>> = rows.iter().map(Option::as_deref).collect();
    scan.read_chapter(chapter, &rows);
    Ok(())
}

/// Reads the records that the index names, each run once.
fn walk_block(
    sql: &Connection,
    org: OrgId,
    block: u64,
    scan: &mut Scan,
) -> Outcome<ControlFlow<()>> {
    let rows = audit_index::index_rows(sql, org, block, scan.buckets())?;
    let rows: Vec<Option<&[u8]>> = rows.iter().map(Option::as_deref).collect();
    let mut statement = sql.prepare_cached(RUN_OF_RECORD)?;
    let mut cutter = Cutter::default();
    let mut lines: Option<Blob<'_>> = None;
    let candidates = scan.candidates(block, &rows);
    let mut left = candidates.as_slice();
    while let Some(seq) = left.first() {
        let mut runs = statement.query(params![IdText::of(org), number(*seq)])?;
        let Some(row) = runs.next()? else {
            left = left.get(1..).unwrap_or_default();
            continue;
        };
        let (run, row) = (bounds(row)?, row.get(4)?);
        let is_in_run = |seq: &u64| (run.first_seq..=run.last_seq).contains(seq);
        let end = left.iter().take_while(|seq| is_in_run(seq)).count().max(1);
        let (named, rest) = left.split_at(end);
        left = rest;
        let flow = match scan.wants_named(run, named) {
            ControlFlow::Continue(true) => {
                let lines = opened(sql, &mut lines, row)?;
                let found = cutter.cut(lines, run.first_seq, named)?;
                scan.read_named(named, &found, lines.len())
            }
            ControlFlow::Continue(false) => ControlFlow::Continue(()),
            ControlFlow::Break(()) => ControlFlow::Break(()),
        };
        if flow.is_break() {
            return Ok(flow);
        }
    }
    let bytes = rows.iter().flatten().map(|row| row.len()).sum();
    Ok(scan.pass_block(block, bytes))
}

/// The lines of a run, by its row, to be read in parts. A handle that was opened before is used again.
fn opened<'blob, 'sql>(
    sql: &'sql Connection,
    lines: &'blob mut Option<Blob<'sql>>,
    row: i64,
) -> Outcome<&'blob Blob<'sql>> {
    let blob = match lines.take() {
        Some(mut blob) => {
            blob.reopen(row)?;
            blob
        }
        None => sql.blob_open(c"main", c"audit_runs", c"lines", row, true)?,
    };
    Ok(lines.insert(blob))
}

/// Looks through a run, or passes it by.
fn look(row: &Row<'_>, scan: &mut Scan) -> Outcome<ControlFlow<()>> {
    let run = bounds(row)?;
    Ok(match scan.wants(run) {
        ControlFlow::Continue(true) => scan.read(run, bytes(row, 4)?),
        ControlFlow::Continue(false) => ControlFlow::Continue(()),
        ControlFlow::Break(()) => ControlFlow::Break(()),
    })
}

/// The columns of `audit_runs` but the last.
fn bounds(row: &Row<'_>) -> Outcome<Bounds> {
    Ok(Bounds {
        first_seq: count(row, 0)?,
        last_seq: count(row, 1)?,
        at_min: time(row, 2)?,
        at_max: time(row, 3)?,
    })
}

/// A number as the database keeps it.
fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
