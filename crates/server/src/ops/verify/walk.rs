//! One walk through a trail, from the first record to the last.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use claviger_core::{
    id::OrgId,
    ledger::{
        batch::records,
        columns::{Difference, Rows, RunColumns, of_block, of_chapter, of_run},
        index::{Block, CHAPTER_BLOCKS, Chapter, before_block, block_of, chapter_of},
        tree::{Frontier, HASH_BYTES, Hash, leaf_hash},
        verify::{Kind, Report, TileClaims, Verifier},
    },
};
use claviger_store::{IndexRow, LedgerRow, RunRow, StoreError};
use tokio::{runtime::Handle, sync::mpsc};

use super::{
    Found, Told, Verdict, dropped,
    signed::Signed,
    tree::{Tiles, Tree},
};
use crate::{app::App, checkpoints, failure::Failure};

/// How often it is said how far it is.
const TELL_EVERY: Duration = Duration::from_millis(200);
/// How many records a full tile of level 0 has.
const TILE: u64 = 256;
/// As many findings are told; the others are counted.
const FINDINGS_MAX: u64 = 1000;

/// Why a walk ends before its end.
#[derive(Debug)]
pub(super) enum Stop {
    /// The caller hung up.
    Gone,
    /// The service stops.
    Closing,
    /// It failed.
    Failed(Failure),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

/// Where a walk asks, and where it tells.
pub(super) struct Context<'a> {
    pub(super) app: &'a App,
    pub(super) org: OrgId,
    pub(super) handle: &'a Handle,
    out: &'a mpsc::Sender<Told>,
    findings: Cell<u64>,
    first: Cell<Option<u64>>,
    told_at: Cell<Instant>,
}

impl Context<'_> {
    /// Asks the store.
    pub(super) fn ask<T>(
        &self,
        question: impl Future<Output = claviger_store::Result<T>>,
    ) -> Result<T, Stop> {
        Ok(self.handle.block_on(question)?)
    }

    /// Tells of something that is wrong.
    pub(super) fn found(&self, found: Found) -> Result<(), Stop> {
        let first = self.first.get().unwrap_or(found.seq).min(found.seq);
        self.first.set(Some(first));
        self.findings.set(self.findings.get() + 1);
        if self.findings.get() <= FINDINGS_MAX {
            self.tell(Told::Found(found))?;
        }
        Ok(())
    }

    fn tell(&self, told: Told) -> Result<(), Stop> {
        self.out.blocking_send(told).map_err(|_gone| Stop::Gone)
    }

    /// Tells how far it is, now and then, and looks whether to go on.
    fn step(&self, records: u64, of: u64) -> Result<(), Stop> {
        if *self.app.streams.closing().borrow() {
            return Err(Stop::Closing);
        }
        if self.out.is_closed() {
            return Err(Stop::Gone);
        }
        if self.told_at.get().elapsed() >= TELL_EVERY {
            self.told_at.set(Instant::now());
            self.tell(Told::Progress { records, of })?;
        }
        Ok(())
    }
}

/// Walks.
pub(super) fn walk(
    app: &App,
    org: OrgId,
    handle: &Handle,
    out: &mpsc::Sender<Told>,
) -> Result<Verdict, Stop> {
    let context = Context {
        app,
        org,
        handle,
        out,
        findings: Cell::default(),
        first: Cell::default(),
        told_at: Cell::new(Instant::now()),
    };
    // First, because it is then among the rows: a checkpoint over all records there are.
    let fresh = fresh(&context)?;
    let signed = Signed::read(&context)?;
    let ledger = context.ask(app.store.ledger_row(org))?;
    let end = fresh
        .filter(|size| signed.has(*size))
        .unwrap_or(ledger.size);
    let tiles = Tiles::new(&context, ledger.tiles);
    let claims = TileClaims::new(|level, number| tiles.read(level, number));
    let mut stretch = Stretch {
        context: &context,
        check: Verifier::new(claims, signed.trusted()),
        tree: Tree::new(&tiles),
        tiles: &tiles,
        block: Block::new(0),
        blocks: 0,
        chapter: Chapter::default(),
        next: 1,
        end,
        ledger,
    };
    stretch.skip_dropped()?;
    stretch.runs()?;
    stretch.heads()?;
    stretch.tree.finish()?;
    let row = stretch.ledger.dropped;
    let (report, peaks) = stretch.finish();
    let proved = report.proved;
    told(&context, &report, (fresh.is_some(), peaks))?;
    let decided = dropped::decided(&context, &report, row)?;
    Ok(Verdict {
        records: report.records,
        dropped: decided.filter(|_| row > 0).map(|one| (row, one.seq)),
        intact: report.intact,
        proved: proved.map(|proved| proved.size),
        signed_by: proved.map(|p| signed.signers(&p)).unwrap_or_default(),
        findings: context.findings.get().saturating_add(report.more),
        first: context.first.get(),
    })
}

/// A checkpoint over all records, and how many these are. Where the edge of the tree is not that of the
/// records, nothing is signed: it would be signed for whoever changed it.
fn fresh(context: &Context<'_>) -> Result<Option<u64>, Stop> {
    let (store, org) = (&context.app.store, context.org);
    let ledger = context.ask(store.ledger_row(org))?;
    let kept = Frontier::from_bytes(ledger.size, &ledger.peaks).ok();
    let own = match context.handle.block_on(store.frontier_at(org, ledger.size)) {
        Ok(own) => Some(own),
        Err(StoreError::Corrupt { .. }) => None,
        Err(other) => return Err(other.into()),
    };
    if own.is_none() || own != kept {
        return Ok(None);
    }
    let signed = context
        .handle
        .block_on(checkpoints::fresh(context.app, org));
    match signed {
        Ok(checkpoint) => Ok(Some(checkpoint.size)),
        Err(Failure::Store(StoreError::Corrupt { .. } | StoreError::CheckpointRefused { .. })) => {
            Ok(None)
        }
        Err(other) => Err(Stop::Failed(other)),
    }
}

/// Tells what the verifier found, and what is wrong with the edge of the tree.
fn told(
    context: &Context<'_>,
    report: &Report,
    (is_signed, peaks_agree): (bool, bool),
) -> Result<(), Stop> {
    let is_real = |kind: Kind| is_signed || kind != Kind::Unsigned;
    let found = report.findings.iter().filter(|found| is_real(found.kind));
    for finding in found.clone() {
        context.found(finding.into())?;
    }
    let proved = report.proved.map_or(0, |proved| proved.size);
    if !peaks_agree && found.count() == 0 {
        let what = format!(
            "the edge of the tree is not that of the records: it, or one of the records behind {proved}, \
             was changed"
        );
        let difference = Difference::new("ledgers.peaks", proved + 1, what);
        return context.found(difference.into());
    }
    if !is_signed && context.findings.get() == 0 {
        let what =
            format!("the server signs no checkpoint over what stands behind record {proved}");
        return context.found(Found {
            kind: "no_checkpoint",
            seq: proved + 1,
            range: None,
            column: "audit_checkpoints.note",
            what,
        });
    }
    Ok(())
}

/// What is left of the trail while it is walked through.
struct Stretch<'a, C> {
    context: &'a Context<'a>,
    check: Verifier<C>,
    tree: Tree<'a>,
    tiles: &'a Tiles<'a>,
    /// The block that is not full, and its number.
    block: Block,
    blocks: u64,
    /// The chapter that is not full.
    chapter: Chapter,
    /// The number of the next record, as the runs say.
    next: u64,
    /// Up to here somebody vouches for the records.
    end: u64,
    ledger: LedgerRow,
}

impl<C: claviger_core::ledger::verify::Claims> Stretch<'_, C> {
    /// The records whose bodies were dropped: their hashes stand for them, and nothing else is kept of
    /// them. Whether somebody decided it is for the verifier to say.
    fn skip_dropped(&mut self) -> Result<(), Stop> {
        let (context, last) = (self.context, self.ledger.dropped.min(self.ledger.size));
        if last == 0 {
            return Ok(());
        }
        for number in 0..last.div_ceil(TILE) {
            context.step(self.tree.size(), self.ledger.size)?;
            let (first, last) = (number * TILE + 1, ((number + 1) * TILE).min(last));
            self.check.dropped(first, last.min(self.end));
            let row = self.tiles.read(0, number);
            self.tiles_found()?;
            let hashes = row.as_deref().unwrap_or_default().chunks_exact(HASH_BYTES);
            for hash in hashes.filter_map(Hash::from_slice) {
                self.tree.push(hash)?;
            }
        }
        self.next = last + 1;
        self.blocks = block_of(self.next);
        self.block = Block::new(self.blocks);
        Ok(())
    }

    /// Every run up to where the trail ended when this began.
    fn runs(&mut self) -> Result<(), Stop> {
        let (context, size) = (self.context, self.ledger.size);
        let mut after = 0;
        'trail: loop {
            context.step(self.tree.size(), size)?;
            let runs = self.read(after)?;
            let Some(last) = runs.last() else {
                break;
            };
            after = last.first_seq;
            for run in runs {
                if run.first_seq > size {
                    self.beyond(&run)?;
                    // There may be a gap before it.
                    break 'trail;
                }
                self.run(&run)?;
            }
        }
        if self.next <= size {
            let what = format!(
                "the trail says that it has {size} records, and its runs end with record {}",
                self.next - 1
            );
            let difference = Difference::new("ledgers.size", self.next, what);
            context.found(difference.into())?;
        }
        Ok(())
    }

    /// A place for each step: this must not keep short reads waiting.
    fn read(&self, after: u64) -> Result<Vec<RunRow>, Stop> {
        let context = self.context;
        context.handle.block_on(async {
            let _place = context.app.scans.acquire().await;
            Ok(context.app.store.run_rows(context.org, after).await?)
        })
    }

    /// A run that was not there when this began.
    fn beyond(&self, run: &RunRow) -> Result<(), Stop> {
        let now = self
            .context
            .ask(self.context.app.store.ledger_row(self.context.org))?;
        if run.first_seq <= now.size {
            return Ok(());
        }
        let what = format!(
            "the trail says that it has {} records, and there are more",
            now.size
        );
        let difference = Difference::new("ledgers.size", now.size + 1, what);
        self.context.found(difference.into())
    }

    fn run(&mut self, run: &RunRow) -> Result<(), Stop> {
        let columns = RunColumns {
            first_seq: run.first_seq,
            last_seq: run.last_seq,
            at_min: run.at_min,
            at_max: run.at_max,
        };
        for difference in of_run(self.context.org, self.next, columns, &run.lines) {
            self.context.found(difference.into())?;
        }
        self.next = run.last_seq.saturating_add(1);
        for record in records(&run.lines) {
            if self.tree.size() < self.end {
                self.check.record(record);
            }
            self.tree.push(leaf_hash(record))?;
        }
        self.tiles_found()?;
        self.index(run)
    }

    /// What was found of rows that the verifier asked for.
    fn tiles_found(&self) -> Result<(), Stop> {
        if let Some(failure) = self.tiles.trouble.take() {
            return Err(Stop::Failed(failure));
        }
        for difference in self.tiles.differences.take() {
            self.context.found(difference.into())?;
        }
        Ok(())
    }

    /// Adds a run to its block, and compares the block once it is full.
    fn index(&mut self, run: &RunRow) -> Result<(), Stop> {
        self.block.add_run(run.first_seq, &run.lines);
        while run.last_seq >= before_block(self.blocks + 1) {
            let full = std::mem::replace(&mut self.block, Block::new(self.blocks + 1));
            if self.blocks < self.ledger.blocks {
                self.full_block(full)?;
            }
            self.blocks += 1;
            self.block.add_run(run.first_seq, &run.lines);
        }
        Ok(())
    }

    /// Compares a block, and its chapter once that is full as well.
    fn full_block(&mut self, full: Block) -> Result<(), Stop> {
        let (context, store) = (self.context, &self.context.app.store);
        let (org, block) = (context.org, self.blocks);
        let spots = store.spots_bucket();
        let own_spots = spots.map(|bucket| (bucket, full.spots().to_vec()));
        let mut own = full.into_rows();
        own.extend(own_spots);
        let kept = by_bucket(context.ask(store.block_rows(org, block))?);
        let rows = Rows {
            own: &own,
            kept: &kept,
        };
        if let Some(difference) = of_block(block, rows, spots) {
            context.found(difference.into())?;
        }
        let chapter = chapter_of(block);
        if chapter >= chapters(self.ledger.blocks) {
            return Ok(());
        }
        for (bucket, row) in &own {
            self.chapter.add_row(block, *bucket, row);
        }
        if (block + 1) % CHAPTER_BLOCKS > 0 {
            return Ok(());
        }
        let own = std::mem::take(&mut self.chapter).into_rows();
        let kept = by_bucket(context.ask(store.rows_of_chapter(org, chapter))?);
        let rows = Rows {
            own: &own,
            kept: &kept,
        };
        let mut differences = of_chapter(chapter, rows).into_iter();
        differences.try_for_each(|difference| context.found(difference.into()))
    }

    /// Rows of the index behind those that there should be.
    fn strays(&self) -> Result<(), Stop> {
        let (context, store) = (self.context, &self.context.app.store);
        let blocks = self.ledger.blocks;
        let block = context.ask(store.next_block(context.org, blocks))?;
        let chapter = context.ask(store.next_chapter(context.org, chapters(blocks)))?;
        // More may have been made meanwhile.
        let now = context.ask(store.ledger_row(context.org))?;
        if let Some(block) = block.filter(|block| *block >= now.blocks) {
            let what = format!("it says {} blocks, and the index has more", now.blocks);
            let seq = before_block(block).saturating_add(1);
            let difference = Difference::new("audit_index_heads.blocks", seq, what);
            context.found(difference.into())?;
        }
        if let Some(chapter) = chapter.filter(|chapter| *chapter >= chapters(now.blocks)) {
            let what = format!(
                "there is a chapter over more than the {} blocks",
                now.blocks
            );
            let seq = before_block(chapter.saturating_mul(CHAPTER_BLOCKS)).saturating_add(1);
            let difference = Difference::new("audit_chapters.chapter", seq, what);
            context.found(difference.into())?;
        }
        Ok(())
    }

    /// What is said of index and tiles as a whole.
    fn heads(&self) -> Result<(), Stop> {
        self.strays()?;
        let context = self.context;
        dropped::relics(context, self.ledger.dropped)?;
        let now = context.ask(context.app.store.ledger_row(context.org))?;
        let heads = [
            (
                "audit_index_heads.blocks",
                now.blocks,
                now.blocks.saturating_mul(before_block(1)),
            ),
            (
                "audit_tile_heads.tiles",
                now.tiles,
                now.tiles.saturating_mul(256),
            ),
        ];
        for (column, count, records) in heads {
            if records > now.size {
                let what = format!("it says {count}, for more records than there are");
                let difference = Difference::new(column, now.size + 1, what);
                context.found(difference.into())?;
            }
        }
        Ok(())
    }

    /// What the verifier found, and whether the peaks are those of the records.
    fn finish(self) -> (Report, bool) {
        let peaks = self.tree.size() == self.ledger.size && self.tree.peaks() == self.ledger.peaks;
        (self.check.finish(), peaks)
    }
}

fn by_bucket(rows: Vec<IndexRow>) -> Vec<(u64, Vec<u8>)> {
    let rows = rows.into_iter();
    rows.map(|row| (row.bucket, row.places)).collect()
}

/// How many chapters so many blocks fill.
const fn chapters(blocks: u64) -> u64 {
    blocks / CHAPTER_BLOCKS
}
