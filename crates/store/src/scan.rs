//! Looking through a trail, in one of two directions: the same for every database.
//!
//! The first blocks of a trail are indexed, the rest of it is not. Where the index can tell which
//! records may fit, only the runs that hold those are read; elsewhere it is run by run. Of a chapter of
//! blocks only those are looked at that may hold something.

use std::{collections::BTreeMap, ops::ControlFlow};

use claviger_core::{
    ledger::{
        batch::records,
        filter::Matcher,
        index::{BLOCK_RECORDS, Blocks, CHAPTER_BLOCKS, before_block, block_of, chapter_of},
    },
    time::Timestamp,
};

use crate::{AuditFilter, AuditPart, AuditRow, Page};

/// How much of a trail one call looks through, in bytes: a few hundredths of a second. Whoever
/// wants more asks again where this call ended.
pub const SCAN_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What it costs to pass a run or a block by without reading it, in the same bytes.
const SKIP_BYTES: usize = 256;

/// To find a few records among the lines of a run costs this part of looking through them all.
const NAMED_SHARE: usize = 8;

/// Which end of a trail comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    NewestFirst,
    OldestFirst,
}

/// A run of a trail, without its lines.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) first_seq: u64,
    pub(crate) last_seq: u64,
    pub(crate) at_min: Timestamp,
    pub(crate) at_max: Timestamp,
}

/// What is to be looked at next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leg {
    /// The runs from the cursor on, up to where the index begins, if it lies ahead.
    Runs,
    /// What this chapter says of its blocks.
    Chapter(u64),
    /// This block, by the index.
    Block(u64),
    /// Nothing more.
    End,
}

/// A walk through the runs of a trail.
pub(crate) struct Scan {
    matcher: Matcher,
    order: Order,
    cursor: u64,
    limit: usize,
    bytes_left: usize,
    /// The number of the last record that the index knows of; 0 where it is of no use.
    indexed: u64,
    /// The number of the last record whose body was dropped, as far as that is known; 0 for none.
    dropped: u64,
    /// What was asked of the index.
    buckets: Vec<u8>,
    /// What chapters said.
    chapters: BTreeMap<u64, Blocks>,
    is_at_end: bool,
    part: AuditPart,
}

/// A row of the index, if there is one, by its bucket.
fn row<'a>(buckets: &[u8], rows: &[Option<&'a [u8]>], bucket: u8) -> Option<&'a [u8]> {
    let at = buckets.binary_search(&bucket).ok()?;
    rows.get(at).copied().flatten()
}

impl Scan {
    pub(crate) fn new(filter: AuditFilter, order: Order, page: Page<u64>) -> Self {
        let start = match order {
            Order::NewestFirst => u64::MAX,
            Order::OldestFirst => 0,
        };
        let matcher = Matcher::from(filter);
        Self {
            buckets: matcher.wanted().buckets(),
            matcher,
            order,
            cursor: page.after.unwrap_or(start),
            limit: usize::try_from(page.limit).unwrap_or(usize::MAX),
            bytes_left: SCAN_BYTES_MAX,
            indexed: 0,
            dropped: 0,
            chapters: BTreeMap::new(),
            is_at_end: false,
            part: AuditPart::default(),
        }
    }

    /// The rows of the index that say something; none where it is not worth asking.
    pub(crate) fn buckets(&self) -> &[u8] {
        &self.buckets
    }

    /// Says how many blocks are indexed, and up to which record there are no bodies any more.
    pub(crate) fn set_indexed(&mut self, (blocks, dropped): (u64, u64)) {
        self.dropped = dropped;
        if !self.buckets.is_empty() {
            self.indexed = before_block(blocks);
        }
        if self.order == Order::OldestFirst {
            self.cursor = self.cursor.max(dropped);
        }
    }

    /// Where to go on. Blocks that hold nothing are passed by.
    pub(crate) fn next_leg(&mut self) -> Leg {
        loop {
            let block = match self.order {
                _ if self.is_at_end => return Leg::End,
                Order::NewestFirst if self.cursor <= self.dropped + 1 => return Leg::End,
                Order::NewestFirst if self.has_reached_index() => block_of(self.cursor - 1),
                Order::OldestFirst if self.cursor < self.indexed => block_of(self.cursor + 1),
                Order::NewestFirst | Order::OldestFirst => return Leg::Runs,
            };
            if self.is_unread(chapter_of(block)) {
                if self.bytes_left == 0 && !self.chapters.is_empty() {
                    self.set_next();
                    return Leg::End;
                }
                return Leg::Chapter(chapter_of(block));
            }
            if self.may_hold(block) {
                return Leg::Block(block);
            }
            self.leave_block(block);
        }
    }

    /// Whether a chapter is whole, and was not asked yet.
    fn is_unread(&self, chapter: u64) -> bool {
        let end = (chapter + 1).saturating_mul(CHAPTER_BLOCKS);
        end <= self.indexed / BLOCK_RECORDS && !self.chapters.contains_key(&chapter)
    }

    fn may_hold(&self, block: u64) -> bool {
        let blocks = self.chapters.get(&chapter_of(block));
        blocks.is_none_or(|blocks| blocks.has(block))
    }

    /// The chapters from this one on that were not asked yet, at most so many.
    pub(crate) fn chapters_from(&self, chapter: u64, most: u64) -> Vec<u64> {
        let mut chapters: Vec<u64> = match self.order {
            Order::NewestFirst => (chapter.saturating_sub(most - 1)..=chapter).rev().collect(),
            Order::OldestFirst => (chapter..chapter.saturating_add(most)).collect(),
        };
        chapters.retain(|one| self.is_unread(*one));
        chapters
    }

    /// Takes in what the rows of a chapter say. It never ends a call: only what comes of it leads on.
    pub(crate) fn read_chapter(&mut self, chapter: u64, rows: &[Option<&[u8]>]) {
        let wanted = self.matcher.wanted();
        let blocks = wanted.blocks(|bucket| row(&self.buckets, rows, bucket));
        self.chapters.insert(chapter, blocks);
        let bytes: usize = rows.iter().flatten().map(|row| row.len()).sum();
        self.bytes_left = self.bytes_left.saturating_sub(bytes.max(SKIP_BYTES));
    }

    /// The blocks from this one on that are indexed and may hold something, at most so many; with it.
    /// They end before a chapter that was not asked yet.
    pub(crate) fn blocks_from(&self, block: u64, most: u64) -> Vec<u64> {
        let end = self.indexed / BLOCK_RECORDS;
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let is_known = |block: &u64| !self.is_unread(chapter_of(*block));
        let may_hold = |block: &u64| self.may_hold(*block);
        match self.order {
            Order::NewestFirst => {
                let blocks = (block_of(self.dropped + 1)..=block)
                    .rev()
                    .take_while(is_known);
                blocks.filter(may_hold).take(most).collect()
            }
            Order::OldestFirst => {
                let blocks = (block..end).take_while(is_known);
                blocks.filter(may_hold).take(most).collect()
            }
        }
    }

    /// Whether a leg of runs has come to what the index knows, and need not go on.
    pub(crate) fn has_reached_index(&self) -> bool {
        self.order == Order::NewestFirst && self.indexed > 0 && self.cursor <= self.indexed + 1
    }

    /// No run is left in this direction, or the index knows the rest.
    pub(crate) fn end_runs(&mut self) {
        if self.order == Order::NewestFirst && self.indexed > 0 {
            self.cursor = self.cursor.min(self.indexed + 1);
        } else {
            self.is_at_end = true;
        }
    }

    /// The numbers of a block's records that may fit and have not been looked at, in order, by its rows.
    pub(crate) fn candidates(&self, block: u64, rows: &[Option<&[u8]>]) -> Vec<u64> {
        let wanted = self.matcher.wanted();
        let places = wanted.places(|bucket| row(&self.buckets, rows, bucket));
        let numbers = places.iter().map(|place| before_block(block) + 1 + place);
        let mut numbers: Vec<u64> = numbers.filter(|seq| self.is_ahead(*seq)).collect();
        if self.order == Order::NewestFirst {
            numbers.reverse();
        }
        numbers
    }

    /// Whether a record has not been looked at.
    pub(crate) fn is_ahead(&self, seq: u64) -> bool {
        match self.order {
            Order::NewestFirst => seq < self.cursor && seq > self.dropped,
            Order::OldestFirst => seq > self.cursor,
        }
    }

    /// All of a block that may fit has been looked at; its rows of the index had so many bytes.
    pub(crate) fn pass_block(&mut self, block: u64, bytes: usize) -> ControlFlow<()> {
        self.leave_block(block);
        self.pay(bytes.max(SKIP_BYTES))
    }

    fn leave_block(&mut self, block: u64) {
        let (before, last) = (before_block(block), before_block(block + 1));
        self.cursor = match self.order {
            Order::NewestFirst => self.cursor.min(before + 1),
            Order::OldestFirst => self.cursor.max(last),
        };
    }

    /// Up to where the trail has been seen: records before this number (or after it) come next.
    /// Not more than a database can count.
    pub(crate) fn cursor(&self) -> i64 {
        i64::try_from(self.cursor).unwrap_or(i64::MAX)
    }

    /// How many records are still wanted.
    pub(crate) fn wanted(&self) -> usize {
        self.limit - self.part.rows.len()
    }

    /// Whether every record is wanted.
    pub(crate) fn is_open(&self) -> bool {
        self.matcher.is_open()
    }

    /// Whether the times of a run allow a record that fits.
    pub(crate) fn can_fit(&self, run: Bounds) -> bool {
        self.matcher.can_fit_between(run.at_min, run.at_max)
    }

    /// Whether a run has to be read at all; passes it by otherwise. Runs come in order.
    pub(crate) fn wants(&mut self, run: Bounds) -> ControlFlow<(), bool> {
        if self.can_fit(run) {
            return ControlFlow::Continue(true);
        }
        self.pass(run, SKIP_BYTES).map_continue(|()| false)
    }

    /// Looks through a run. Breaks when the part is full, or enough was looked at.
    pub(crate) fn read(&mut self, run: Bounds, lines: &[u8]) -> ControlFlow<()> {
        if self.matcher.can_fit_within(lines) {
            let numbered = (run.first_seq..).zip(records(lines));
            match self.order {
                Order::OldestFirst => self.take(numbered)?,
                Order::NewestFirst => {
                    let mut numbered: Vec<_> = numbered.collect();
                    numbered.reverse();
                    self.take(numbered.into_iter())?;
                }
            }
        }
        self.pass(run, lines.len().max(SKIP_BYTES))
    }

    /// As [`Self::wants`], where but a few records of the run are to be looked at.
    pub(crate) fn wants_named(&mut self, run: Bounds, named: &[u64]) -> ControlFlow<(), bool> {
        if self.can_fit(run) {
            return ControlFlow::Continue(true);
        }
        self.cursor = named.last().copied().unwrap_or(self.cursor);
        self.pay(SKIP_BYTES).map_continue(|()| false)
    }

    /// Looks at a few records of a run: those named, in order, which were found among its first `bytes`
    /// bytes. Breaks as [`Self::read`] does.
    pub(crate) fn read_named(
        &mut self,
        named: &[u64],
        found: &[(u64, Vec<u8>)],
        bytes: usize,
    ) -> ControlFlow<()> {
        let lines = found.iter().map(|(seq, line)| (*seq, line.as_slice()));
        match self.order {
            Order::OldestFirst => self.take(lines)?,
            Order::NewestFirst => self.take(lines.rev())?,
        }
        self.cursor = named.last().copied().unwrap_or(self.cursor);
        self.pay((bytes / NAMED_SHARE).max(SKIP_BYTES))
    }

    fn take<'a>(&mut self, lines: impl Iterator<Item = (u64, &'a [u8])>) -> ControlFlow<()> {
        for (seq, line) in lines {
            if !self.is_ahead(seq) || !self.matcher.fits(line) {
                continue;
            }
            let bytes = line.to_vec();
            self.part.rows.push(AuditRow { seq, bytes });
            if self.part.rows.len() >= self.limit {
                self.cursor = seq;
                return self.stop();
            }
        }
        ControlFlow::Continue(())
    }

    /// A run lies behind.
    fn pass(&mut self, run: Bounds, bytes: usize) -> ControlFlow<()> {
        self.cursor = match self.order {
            Order::NewestFirst => run.first_seq,
            Order::OldestFirst => run.last_seq.max(self.cursor),
        };
        self.pay(bytes)
    }

    fn pay(&mut self, bytes: usize) -> ControlFlow<()> {
        match self.bytes_left.checked_sub(bytes) {
            Some(left) => {
                self.bytes_left = left;
                ControlFlow::Continue(())
            }
            None => self.stop(),
        }
    }

    fn stop(&mut self) -> ControlFlow<()> {
        self.set_next();
        ControlFlow::Break(())
    }

    /// The next call goes on here.
    fn set_next(&mut self) {
        let is_end = self.order == Order::NewestFirst && self.cursor <= self.dropped + 1;
        self.part.next = (!is_end).then_some(self.cursor);
    }

    /// What was found. Without a break before, the end of the trail was reached.
    pub(crate) fn finish(self) -> AuditPart {
        self.part
    }
}
