//! The audit trail.

use std::{collections::HashMap, ops::ControlFlow, sync::Arc};

use async_trait::async_trait;
use claviger_core::{
    id::{Id, Kind, OrgId},
    ledger::{
        batch::Batch,
        index::{BLOCK_RECORDS, SPOT_BYTES},
        search::Search,
    },
};
use tokio_postgres::Row;

use super::{
    Postgres, audit_index,
    fault::{Fault, Outcome},
    ledgers,
    row::{self, Columns},
    session::Params,
};
use crate::{
    AuditFilter, AuditPart, AuditStore, NAMED_MAX, Named, Page, Result, StoreError,
    scan::{Bounds, Leg, Order, Scan},
};

/// The runs before a record, the last one first.
const NEWEST_RUNS: &str = "select first_seq, last_seq, at_min, at_max,
        octet_length(lines)::bigint as size from audit_runs
    where org = $1 and first_seq < $2 order by first_seq desc limit $3";
/// The runs after a record. The one that holds the next record may begin before it.
const OLDEST_RUNS: &str = "select first_seq, last_seq, at_min, at_max,
        octet_length(lines)::bigint as size from audit_runs
    where org = $1 and last_seq > $2 and first_seq >= coalesce(
        (select max(first_seq) from audit_runs where org = $1 and first_seq <= $2), 0)
    order by first_seq limit $3";
/// The runs that hold records, each once, in the order of the records.
const RUNS_OF_RECORDS: &str = "
    select run.first_seq, run.last_seq, run.at_min, run.at_max, run.size
    from unnest((select $2::bigint[])) with ordinality as named (seq, place)
    cross join lateral (
        select first_seq, last_seq, at_min, at_max, octet_length(lines)::bigint as size
        from audit_runs where org = $1 and first_seq <= named.seq
        order by first_seq desc limit 1) as run
    group by run.first_seq, run.last_seq, run.at_min, run.at_max, run.size
    order by min(named.place)";

/// Records, each cut out of its run, with the times of the run, in the order of their numbers.
const RECORDS: &str = "
    select named.seq, named.seq as first_seq, named.seq as last_seq, run.at_min, run.at_max,
        run.line
    from unnest((select $2::bigint[])) with ordinality as named (seq, place)
    cross join lateral (
        select substring(places from ((named.seq - 1) % $3 * $4 + 1)::int for $4::int) as at
        from audit_index
        where org = $1 and block = (named.seq - 1) / $3 and bucket = $5 limit 1) as spot
    cross join lateral (
        select at_min, at_max, substring(lines
            from (get_byte(at, 0) << 16) + (get_byte(at, 1) << 8) + get_byte(at, 2) + 1
            for (get_byte(at, 3) << 16) + (get_byte(at, 4) << 8) + get_byte(at, 5)) as line
        from audit_runs where org = $1 and first_seq <= named.seq
        order by first_seq desc limit 1) as run
    order by named.place";
/// Records that stand at least so far apart are cut out of their runs; of others the runs are read.
const APART_MIN: usize = 8;

/// How many blocks are looked up in one round trip: few at first, for most keys are busy or young.
const BLOCKS_MIN: u64 = 8;
const BLOCKS_MAX: u64 = 256;
/// How many chapters are asked in one round trip, once the newest did not say enough.
const CHAPTERS_MAX: u64 = 16;
/// How many records are looked for in one round trip.
const RUNS_MAX: usize = 256;
/// How many runs are looked at in one round trip.
const BOUNDS_MAX: i64 = 512;
/// How often a walk is begun again that found a run gone.
const AGAIN_MAX: u32 = 3;
/// How many bytes of lines are fetched in one round trip, beyond the first run.
const FETCH_BYTES: u64 = 1024 * 1024;

/// Keys with a text in their names.
const KEYS_LIKE: &str = "select id, name from keys
    where org = $1 and strpos(lower(name collate \"C\"), $2) > 0 limit $3";
/// Workspaces likewise.
const WORKSPACES_LIKE: &str = "select id, name from workspaces
    where org = $1 and strpos(lower(name collate \"C\"), $2) > 0 limit $3";

#[async_trait]
impl AuditStore for Postgres {
    async fn append(&self, batch: Arc<Batch>) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        let work = ledgers::append(&self.sessions, &batch);
        self.write("append audit records", work).await
    }

    async fn query_audit(
        &self,
        org: OrgId,
        filter: AuditFilter,
        page: Page<u64>,
    ) -> Result<AuditPart> {
        let scan = || Scan::new(filter.clone(), Order::NewestFirst, page.clone());
        let walk = self.walk_again(NEWEST_RUNS, org, scan);
        self.read("query the audit trail", walk).await
    }

    async fn export_audit(
        &self,
        org: OrgId,
        filter: AuditFilter,
        page: Page<u64>,
    ) -> Result<AuditPart> {
        let scan = || Scan::new(filter.clone(), Order::OldestFirst, page.clone());
        let walk = self.walk_again(OLDEST_RUNS, org, scan);
        self.read("export the audit trail", walk).await
    }

    async fn audit_size(&self, org: OrgId) -> Result<u64> {
        self.read("read the size of the audit trail", async {
            let session = self.sessions.session().await?;
            let sql = "select size from ledgers where org = $1";
            match session.row(sql, &[&org.to_string()]).await? {
                Some(row) => Ok(Columns::of("ledgers", &row).count("size")?),
                None => Ok(0),
            }
        })
        .await
    }

    async fn named_like(&self, org: OrgId, search: Arc<Search>) -> Result<Option<Named>> {
        self.read("look for names", async {
            let keys = self.ids_like(KEYS_LIKE, org, &search).await?;
            let workspaces = self.ids_like(WORKSPACES_LIKE, org, &search).await?;
            let named = keys.zip(workspaces);
            Ok(named.map(|(keys, workspaces)| Named { keys, workspaces }))
        })
        .await
    }
}

impl Postgres {
    /// The ids whose names have a text; `None` where too many have to be looked at. The database is
    /// asked about ASCII alone, and leaves out what cannot fit.
    async fn ids_like<K: Kind>(
        &self,
        sql: &'static str,
        org: OrgId,
        search: &Search,
    ) -> Outcome<Option<Vec<Id<K>>>> {
        let session = self.sessions.session().await?;
        let most = i64::from(NAMED_MAX + 1);
        let params: Params<'_> = &[&org.to_string(), &search.ascii_part(), &most];
        let rows = session.rows(sql, params).await?;
        if u32::try_from(rows.len()).map_or(true, |count| count > NAMED_MAX) {
            return Ok(None);
        }
        let mut found = Vec::new();
        for row in &rows {
            let columns = Columns::of("names", row);
            if search.is_in(columns.get("name")?) {
                found.push(columns.parse("id")?);
            }
        }
        Ok(Some(found))
    }

    /// Walks anew where records may have been dropped on the way: what was listed is gone then.
    async fn walk_again(
        &self,
        runs: &'static str,
        org: OrgId,
        scan: impl Fn() -> Scan,
    ) -> Outcome<AuditPart> {
        for _ in 0..AGAIN_MAX {
            match self.walk(runs, org, scan()).await {
                Err(Fault::Store(StoreError::Corrupt { .. })) => {}
                outcome => return outcome,
            }
            let session = self.sessions.session().await?;
            if audit_index::extent(&session, org).await?.1 == 0 {
                break;
            }
        }
        self.walk(runs, org, scan()).await
    }

    /// By leaps where the index helps, and run by run where it does not.
    async fn walk(&self, runs: &'static str, org: OrgId, mut scan: Scan) -> Outcome<AuditPart> {
        if !scan.buckets().is_empty() {
            let session = self.sessions.session().await?;
            scan.set_indexed(audit_index::extent(&session, org).await?);
        }
        let (mut at_once, mut chapters_at_once) = (BLOCKS_MIN, 1);
        loop {
            let flow = match scan.next_leg() {
                Leg::End => break,
                Leg::Runs => self.walk_runs(runs, org, &mut scan).await?,
                Leg::Chapter(chapter) => {
                    let chapters = scan.chapters_from(chapter, chapters_at_once);
                    chapters_at_once = CHAPTERS_MAX;
                    self.read_chapter(org, &chapters, &mut scan).await?;
                    continue;
                }
                Leg::Block(block) => {
                    let blocks = scan.blocks_from(block, at_once);
                    at_once = BLOCKS_MAX;
                    self.walk_blocks(org, &blocks, &mut scan).await?
                }
            };
            if flow.is_break() {
                break;
            }
        }
        Ok(scan.finish())
    }

    /// Looks at the bounds of many runs at once, and fetches the lines of those whose times can
    /// fit, some at a time.
    async fn walk_runs(
        &self,
        runs: &'static str,
        org: OrgId,
        scan: &mut Scan,
    ) -> Outcome<ControlFlow<()>> {
        loop {
            let session = self.sessions.session().await?;
            let params: Params<'_> = &[&org.to_string(), &scan.cursor(), &BOUNDS_MAX];
            let found = session.rows(runs, params).await?;
            drop(session);
            let is_last = i64::try_from(found.len()).is_ok_and(|count| count < BOUNDS_MAX);
            let mut runs = row::all(&found, sized)?.into_iter().peekable();
            while runs.peek().is_some() {
                if scan.has_reached_index() {
                    scan.end_runs();
                    return Ok(ControlFlow::Continue(()));
                }
                let (some, flow) = next_lot(&mut runs, scan);
                let is_full = self.read_lot(org, &some, scan).await?.is_break();
                if is_full || flow.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            if is_last {
                scan.end_runs();
                return Ok(ControlFlow::Continue(()));
            }
        }
    }

    /// Asks chapters which of their blocks may hold something.
    async fn read_chapter(&self, org: OrgId, chapters: &[u64], scan: &mut Scan) -> Outcome<()> {
        let buckets = scan.buckets().to_vec();
        let rows = self.chapter_rows(org, chapters, &buckets).await?;
        for chapter in chapters {
            scan.read_chapter(*chapter, &own_rows(&rows, *chapter, &buckets));
        }
        Ok(())
    }

    /// Reads the runs that hold what the index names, some at a time.
    async fn walk_blocks(
        &self,
        org: OrgId,
        blocks: &[u64],
        scan: &mut Scan,
    ) -> Outcome<ControlFlow<()>> {
        let buckets = scan.buckets().to_vec();
        let rows = self.index_rows(org, blocks, &buckets).await?;
        // What the index names in blocks that hold little is fetched together.
        let (mut named, mut passed) = (Vec::new(), Vec::new());
        for (at, block) in blocks.iter().enumerate() {
            let own = own_rows(&rows, *block, &buckets);
            named.extend(scan.candidates(*block, &own));
            passed.push((*block, own.iter().flatten().map(|row| row.len()).sum()));
            let is_last = at + 1 == blocks.len();
            if !is_last && named.len() < scan.wanted().min(RUNS_MAX) {
                continue;
            }
            if self.read_named(org, &named, scan).await?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            named.clear();
            for (block, bytes) in passed.drain(..) {
                if scan.pass_block(block, bytes).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Looks through the runs that hold these records, in order.
    async fn read_named(
        &self,
        org: OrgId,
        named: &[u64],
        scan: &mut Scan,
    ) -> Outcome<ControlFlow<()>> {
        let mut left = named;
        loop {
            // Some stand in runs that were read for others.
            let skip = left.iter().take_while(|seq| !scan.is_ahead(**seq)).count();
            let (some, rest) = left.split_at(left.len().min(skip + scan.wanted().min(RUNS_MAX)));
            let Some(some) = some.get(skip..).filter(|some| !some.is_empty()) else {
                return Ok(ControlFlow::Continue(()));
            };
            let numbers: Vec<i64> = some.iter().copied().map(bounded).collect();
            if is_sparse(some)
                && let Some(flow) = self.read_records(org, &numbers, scan).await?
            {
                if flow.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
                left = rest;
                continue;
            }
            let session = self.sessions.session().await?;
            let params: Params<'_> = &[&org.to_string(), &numbers];
            let found = session.rows(RUNS_OF_RECORDS, params).await?;
            let found = row::all(&found, sized)?;
            drop(session);
            // As many as are named, and each of them once: they come in the order of the numbers.
            let mut runs = found.into_iter().peekable();
            while runs.peek().is_some() {
                let (lot, flow) = next_lot(&mut runs, scan);
                let is_full = self.read_lot(org, &lot, scan).await?.is_break();
                if is_full || flow.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            left = rest;
        }
    }

    /// Looks at these records, without the runs that they stand in; nothing is looked at where one of
    /// them cannot be cut out.
    async fn read_records(
        &self,
        org: OrgId,
        numbers: &[i64],
        scan: &mut Scan,
    ) -> Outcome<Option<ControlFlow<()>>> {
        let params: Params<'_> = &[
            &org.to_string(),
            &numbers,
            &BLOCK_RECORDS.cast_signed(),
            &i64::try_from(SPOT_BYTES).unwrap_or(0),
            &i64::from(audit_index::SPOTS),
        ];
        let session = self.sessions.session().await?;
        let found = session.rows(RECORDS, params).await?;
        drop(session);
        let mut records = Vec::with_capacity(found.len());
        for row in &found {
            let line: &[u8] = Columns::of("audit_runs", row).get("line")?;
            if line.is_empty() {
                return Ok(None);
            }
            records.push((row::bounds(row)?, line));
        }
        if records.len() < numbers.len() {
            return Ok(None);
        }
        for (record, line) in records {
            let flow = match scan.wants(record) {
                ControlFlow::Continue(true) => scan.read(record, line),
                ControlFlow::Continue(false) => ControlFlow::Continue(()),
                ControlFlow::Break(()) => ControlFlow::Break(()),
            };
            if flow.is_break() {
                return Ok(Some(flow));
            }
        }
        Ok(Some(ControlFlow::Continue(())))
    }

    /// Fetches the lines of these runs, and looks through them.
    async fn read_lot(
        &self,
        org: OrgId,
        lot: &[Bounds],
        scan: &mut Scan,
    ) -> Outcome<ControlFlow<()>> {
        if lot.is_empty() {
            return Ok(ControlFlow::Continue(()));
        }
        let numbers: Vec<i64> = lot.iter().map(|run| bounded(run.first_seq)).collect();
        let sql = "select first_seq, lines from audit_runs where org = $1 and first_seq = any($2)";
        let session = self.sessions.session().await?;
        let rows = session.rows(sql, &[&org.to_string(), &numbers]).await?;
        let mut lines = HashMap::with_capacity(rows.len());
        for row in &rows {
            let columns = Columns::of("audit_runs", row);
            lines.insert(columns.count("first_seq")?, columns.get::<&[u8]>("lines")?);
        }
        for run in lot {
            let lines = lines.get(&run.first_seq).copied();
            let lines = lines.ok_or_else(|| row::corrupt("an audit trail", "a run is gone"))?;
            if scan.read(*run, lines).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// The rows of one block or chapter among those that were read.
fn own_rows<'a>(
    rows: &'a HashMap<(u64, u8), Vec<u8>>,
    number: u64,
    buckets: &[u8],
) -> Vec<Option<&'a [u8]>> {
    let row = |bucket: &u8| rows.get(&(number, *bucket)).map(Vec::as_slice);
    buckets.iter().map(row).collect()
}

/// Whether these records, in order, stand far apart.
fn is_sparse(named: &[u64]) -> bool {
    let (Some(first), Some(last)) = (named.first(), named.last()) else {
        return false;
    };
    usize::try_from(first.abs_diff(*last)).is_ok_and(|span| span / named.len() >= APART_MIN)
}

/// A run and how many bytes its lines have.
fn sized(row: &Row) -> Result<(Bounds, u64)> {
    let size = Columns::of("audit_runs", row).count("size")?;
    Ok((row::bounds(row)?, size))
}

/// The next runs to be fetched together. Runs whose times cannot fit are passed by; a break says
/// that enough was looked at, once these have been read.
fn next_lot(
    runs: &mut std::iter::Peekable<std::vec::IntoIter<(Bounds, u64)>>,
    scan: &mut Scan,
) -> (Vec<Bounds>, ControlFlow<()>) {
    let (mut lot, mut bytes, mut records) = (Vec::new(), 0, 0);
    let wanted = u64::try_from(scan.wanted()).unwrap_or(u64::MAX);
    while let Some((run, size)) = runs.peek().copied() {
        let is_enough = bytes >= FETCH_BYTES || scan.is_open() && records >= wanted;
        if is_enough {
            break;
        }
        if lot.is_empty() {
            match scan.wants(run) {
                ControlFlow::Break(()) => return (lot, ControlFlow::Break(())),
                ControlFlow::Continue(false) => {
                    runs.next();
                    continue;
                }
                ControlFlow::Continue(true) => {}
            }
        } else if !scan.can_fit(run) {
            // Passed by in its turn, after what stands before it was read.
            break;
        }
        lot.push(run);
        bytes += size;
        records += run.last_seq.saturating_sub(run.first_seq) + 1;
        runs.next();
    }
    (lot, ControlFlow::Continue(()))
}

fn bounded(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
