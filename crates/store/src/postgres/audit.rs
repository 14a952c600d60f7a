//! The audit trail.

use std::{
    collections::{BTreeMap, HashMap},
    ops::ControlFlow,
    sync::Arc,
};

use async_trait::async_trait;
use claviger_core::{
    id::OrgId,
    ledger::batch::{Batch, Run},
};
use tokio_postgres::Row;

use super::{
    Postgres,
    fault::{Fault, Outcome},
    row::{self, Columns},
    session::Params,
};
use crate::{
    AuditFilter, AuditPart, AuditStore, Page, Result,
    scan::{Bounds, Leg, Order, Scan},
};

/// Appends runs of any number of orgs: one statement, one round trip, one commit. Either every
/// org is known and this process still serves, or nothing is written.
const APPEND: &str = "
    with head as (
        update ledgers set size = ledgers.size + asked.size
        from unnest($1::text[], $2::bigint[]) as asked (org, size)
        where ledgers.org = asked.org
            and (select generation from deployment where one = 1) = $3
            and (select count(*) from ledgers as known where known.org = any($1)) = cardinality($1)
        returning ledgers.org, ledgers.size - asked.size as base
    )
    insert into audit_runs (org, first_seq, last_seq, at_min, at_max, lines)
    select t.org, head.base + t.first, head.base + t.last, t.at_min, t.at_max, t.lines
    from unnest($4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bytea[])
        as t (org, first, last, at_min, at_max, lines)
    join head on head.org = t.org";

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
    from unnest($2::bigint[]) with ordinality as named (seq, place)
    cross join lateral (
        select first_seq, last_seq, at_min, at_max, octet_length(lines)::bigint as size
        from audit_runs where org = $1 and first_seq <= named.seq
        order by first_seq desc limit 1) as run
    group by run.first_seq, run.last_seq, run.at_min, run.at_max, run.size
    order by min(named.place)";

/// How many blocks are looked up in one round trip: few at first, for most keys are busy or young.
const BLOCKS_MIN: u64 = 8;
const BLOCKS_MAX: u64 = 256;
/// How many records are looked for in one round trip.
const RUNS_MAX: usize = 256;
/// How many runs are looked at in one round trip.
const BOUNDS_MAX: i64 = 512;
/// How many bytes of lines are fetched in one round trip, beyond the first run.
const FETCH_BYTES: u64 = 1024 * 1024;

#[async_trait]
impl AuditStore for Postgres {
    async fn append(&self, batch: Arc<Batch>) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        self.write("append audit records", async {
            let count = Columnar::of(batch.runs()).append(self).await?;
            if usize::try_from(count) == Ok(batch.runs().len()) {
                return Ok(());
            }
            Err(self.why_nothing_was_appended().await)
        })
        .await
    }

    async fn query_audit(
        &self,
        org: OrgId,
        filter: AuditFilter,
        page: Page<u64>,
    ) -> Result<AuditPart> {
        let scan = Scan::new(filter, Order::NewestFirst, page);
        self.read("query the audit trail", self.walk(NEWEST_RUNS, org, scan))
            .await
    }

    async fn export_audit(
        &self,
        org: OrgId,
        filter: AuditFilter,
        page: Page<u64>,
    ) -> Result<AuditPart> {
        let scan = Scan::new(filter, Order::OldestFirst, page);
        self.read("export the audit trail", self.walk(OLDEST_RUNS, org, scan))
            .await
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
}

impl Postgres {
    /// By leaps where the index helps, and run by run where it does not.
    async fn walk(&self, runs: &'static str, org: OrgId, mut scan: Scan) -> Outcome<AuditPart> {
        if !scan.terms().is_empty() {
            scan.set_indexed(self.indexed_blocks(org).await?);
        }
        let mut at_once = BLOCKS_MIN;
        loop {
            let flow = match scan.next_leg() {
                Leg::End => break,
                Leg::Runs => self.walk_runs(runs, org, &mut scan).await?,
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

    /// Reads the runs that hold what the index names, some at a time.
    async fn walk_blocks(
        &self,
        org: OrgId,
        blocks: &[u64],
        scan: &mut Scan,
    ) -> Outcome<ControlFlow<()>> {
        let rows = self.index_rows(org, blocks, scan.terms()).await?;
        // What the index names in blocks that hold little is fetched together.
        let (mut named, mut passed) = (Vec::new(), Vec::new());
        for (at, block) in blocks.iter().enumerate() {
            let own = scan.terms().iter().map(|term| {
                let row = rows.get(&(*block, term.bucket()));
                row.map(Vec::as_slice)
            });
            let own: Vec<Option<&[u8]>> = own.collect();
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

    /// The fence, or an org that has no ledger.
    async fn why_nothing_was_appended(&self) -> Fault {
        let fence = async {
            let change = self.sessions.begin().await?;
            change.commit().await
        };
        match fence.await {
            Err(fault) => fault,
            Ok(()) => Fault::down("an org of the records has no audit trail"),
        }
    }
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

/// Runs of one commit, as columns.
#[derive(Default)]
struct Columnar<'a> {
    /// Each org once, and how many records it gets. In order: trails are locked in order.
    sizes: BTreeMap<OrgId, i64>,
    orgs: Vec<String>,
    firsts: Vec<i64>,
    lasts: Vec<i64>,
    at_mins: Vec<i64>,
    at_maxes: Vec<i64>,
    lines: Vec<&'a [u8]>,
}

impl<'a> Columnar<'a> {
    fn of(runs: &'a [Run]) -> Self {
        let mut columns = Self::default();
        for run in runs {
            let size = columns.sizes.entry(run.org).or_default();
            columns.firsts.push(*size + 1);
            *size += bounded(run.count);
            columns.lasts.push(*size);
            columns.orgs.push(run.org.to_string());
            columns.at_mins.push(run.at_min.millis());
            columns.at_maxes.push(run.at_max.millis());
            columns.lines.push(&run.lines);
        }
        columns
    }

    async fn append(&self, store: &Postgres) -> Outcome<u64> {
        let (orgs, sizes): (Vec<String>, Vec<i64>) = self
            .sizes
            .iter()
            .map(|(org, size)| (org.to_string(), *size))
            .unzip();
        let generation = store.sessions.fence().generation();
        let params: Params<'_> = &[
            &orgs,
            &sizes,
            &generation,
            &self.orgs,
            &self.firsts,
            &self.lasts,
            &self.at_mins,
            &self.at_maxes,
            &self.lines,
        ];
        store.sessions.append(APPEND, params).await
    }
}

fn bounded(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use claviger_core::{id::OrgId, ledger::batch::Run, time::Timestamp};

    use super::Columnar;

    #[test]
    fn records_are_numbered_within_their_org() {
        let run = |org, count| Run {
            org: OrgId::from_u128(org),
            count,
            at_min: Timestamp::from_millis(1),
            at_max: Timestamp::from_millis(2),
            lines: Vec::new(),
        };
        let runs = [run(7, 10), run(3, 1), run(7, 5)];
        let columns = Columnar::of(&runs);
        assert_eq!(columns.firsts, [1, 1, 11]);
        assert_eq!(columns.lasts, [10, 1, 15]);
        assert_eq!(columns.sizes.get(&OrgId::from_u128(7)), Some(&15));
        assert_eq!(columns.sizes.get(&OrgId::from_u128(3)), Some(&1));
    }
}
