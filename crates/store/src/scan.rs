//! Looking through a trail, run by run, in one of two directions: the same for every database.

use std::ops::ControlFlow;

use claviger_core::{ledger::filter::Matcher, time::Timestamp};

use crate::{AuditFilter, AuditPart, AuditRow, Page};

/// How much of a trail one call looks through, in bytes: a few hundredths of a second. Whoever
/// wants more asks again where this call ended.
pub const SCAN_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What it costs to pass a run by without reading it, in the same bytes.
const SKIP_BYTES: usize = 256;

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

/// A walk through the runs of a trail.
pub(crate) struct Scan {
    matcher: Matcher,
    order: Order,
    cursor: u64,
    limit: usize,
    bytes_left: usize,
    part: AuditPart,
}

impl Scan {
    pub(crate) fn new(filter: AuditFilter, order: Order, page: Page<u64>) -> Self {
        let start = match order {
            Order::NewestFirst => u64::MAX,
            Order::OldestFirst => 0,
        };
        Self {
            matcher: filter.into(),
            order,
            cursor: page.after.unwrap_or(start),
            limit: usize::try_from(page.limit).unwrap_or(usize::MAX),
            bytes_left: SCAN_BYTES_MAX,
            part: AuditPart::default(),
        }
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
            let lines = lines.strip_suffix(b"\n").unwrap_or(lines);
            let numbered = (run.first_seq..).zip(lines.split(|byte| *byte == b'\n'));
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

    fn take<'a>(&mut self, lines: impl Iterator<Item = (u64, &'a [u8])>) -> ControlFlow<()> {
        for (seq, line) in lines {
            let is_next = match self.order {
                Order::NewestFirst => seq < self.cursor,
                Order::OldestFirst => seq > self.cursor,
            };
            if !is_next || !self.matcher.fits(line) {
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
        match self.bytes_left.checked_sub(bytes) {
            Some(left) => {
                self.bytes_left = left;
                ControlFlow::Continue(())
            }
            None => self.stop(),
        }
    }

    fn stop(&mut self) -> ControlFlow<()> {
        let is_end = self.order == Order::NewestFirst && self.cursor <= 1;
        self.part.next = (!is_end).then_some(self.cursor);
        ControlFlow::Break(())
    }

    /// What was found. Without a break before, the end of the trail was reached.
    pub(crate) fn finish(self) -> AuditPart {
        self.part
    }
}
