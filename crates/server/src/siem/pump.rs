//! One receiver: what it lacks is read, sent, and then counted as taken.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use claviger_core::id::OrgId;
use claviger_store::{AuditFilter, AuditRow, Page, StoreError};
use tokio::{sync::watch, time::sleep};

use super::{
    Common, STEP_MAX_AT_STOP, Trouble,
    ahead::{Ahead, Lost, Reached, Why},
    collector::Search,
    link::Link,
    meaning::Meaning,
};
use crate::{app::App, clock};

/// The most records of a batch.
const ROWS_MAX: usize = 256;
/// A batch that has so many bytes of records is sent; it may have one record more.
const BYTES_MAX: usize = 1024 * 1024;
/// How many trails are listed at a time.
const TRAILS_PAGE: u32 = 64;
/// How often it is looked for what is new when nothing is heard of commits.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long commits gather before they are read.
const GATHER: Duration = Duration::from_millis(100);
/// The waits between two tries.
const WAIT_MIN: Duration = Duration::from_millis(250);
const WAIT_MAX: Duration = Duration::from_secs(30);
/// How often it is counted what a receiver lacks.
const COUNT_EVERY: Duration = Duration::from_secs(1);
/// Whoever lacks more records of a trail than this takes a place for long scans.
const BEHIND_MAX: u64 = 4096;

/// Records that are sent together.
#[derive(Debug, Default)]
struct Batch {
    rows: Vec<(OrgId, AuditRow)>,
    bytes: usize,
    /// Up to which record the trails were read, and what is missing there.
    reached: Reached,
}

impl Batch {
    fn room(&self) -> usize {
        if self.bytes >= BYTES_MAX {
            return 0;
        }
        ROWS_MAX.saturating_sub(self.rows.len())
    }
}

/// A batch as it is sent.
struct Load {
    records: Vec<Vec<u8>>,
    reached: Reached,
    search: Search,
}

/// Why a step did not come to its end.
enum Stop {
    /// The receiver does not take it.
    Trouble(Trouble),
    /// The store does not answer.
    Store(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What one receiver lacks, and the way to it.
pub(super) struct Pump {
    name: Arc<str>,
    link: Link,
    common: Common,
    /// Whose trail was read last: the next batch begins with the one after it, so that a busy org does
    /// not keep the others waiting.
    after: Option<OrgId>,
    ahead: Ahead,
    /// What the receiver has taken a part of, or is asked which part of it it takes.
    rest: Option<Load>,
    failures: u32,
    counted: Option<Instant>,
    behind: i64,
}

impl Pump {
    pub(super) fn new(name: Arc<str>, link: Link, common: Common) -> Self {
        Self {
            name,
            link,
            common,
            after: None,
            ahead: Ahead::default(),
            rest: None,
            failures: 0,
            counted: None,
            behind: 0,
        }
    }

    /// Sends until the service is told to stop. A batch that is under way then may end, so that it is not
    /// sent again.
    pub(super) async fn run(&mut self, app: &App, stopped: watch::Receiver<bool>) {
        let mut commits = app.ledger.commits();
        loop {
            commits.borrow_and_update();
            let late = async {
                crate::until(stopped.clone()).await;
                sleep(STEP_MAX_AT_STOP).await;
            };
            let outcome = tokio::select! {
                outcome = self.step(app) => outcome,
                () = late => return,
            };
            let wait = match outcome {
                Ok(true) => Duration::ZERO,
                Ok(false) => LOOK_EVERY,
                Err(stop) => self.note(app, stop).await,
            };
            let is_idle = wait == LOOK_EVERY && self.failures == 0;
            tokio::select! {
                biased;
                () = crate::until(stopped.clone()) => return,
                () = sleep(wait) => {}
                // An error means that the service is gone, which is found out at the next look.
                changed = commits.changed(), if is_idle => {
                    changed.unwrap_or_default();
                    sleep(GATHER).await;
                }
            }
        }
    }

    /// Sends what is left, without a second try; whether that was all, and all of it was taken.
    pub(super) async fn finish(&mut self, app: &App) -> bool {
        loop {
            match self.step(app).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(stop) => {
                    self.note(app, stop).await;
                    return false;
                }
            }
        }
        if self.ahead.is_empty() {
            self.link.end().await;
            return true;
        }
        self.link.end().await && self.settle(app, Duration::ZERO).await.is_ok()
    }

    /// One batch; whether there was one.
    async fn step(&mut self, app: &App) -> Result<bool, Stop> {
        self.settle(app, self.link.settles_after()).await?;
        if !self.ahead.is_empty() && self.link.is_gone() {
            self.ahead.clear();
            return Err(Stop::Trouble(Trouble::ended()));
        }
        let mut load = match self.rest.take() {
            Some(rest) => rest,
            None => self.load(app).await?,
        };
        if load.reached.upto.is_empty() {
            self.count(app, self.behind != 0).await?;
            return Ok(false);
        }
        if load.records.is_empty() && self.ahead.is_empty() {
            // Nothing is on its way, so nothing has to be waited for.
            self.keep(app, load.reached).await?;
            return Ok(true);
        }
        if !load.records.is_empty() {
            let sent = self.send(app, &mut load).await;
            if load.search.is_begun() {
                self.rest = Some(load);
                return sent.map(|()| true);
            }
            sent?;
        }
        self.ahead.add(load.reached, Instant::now());
        // What is known to be taken is kept at once: nothing of it is sent again.
        self.settle(app, self.link.settles_after()).await?;
        self.count(app, false).await?;
        Ok(true)
    }

    /// What is to be sent next.
    async fn load(&mut self, app: &App) -> Result<Load, StoreError> {
        let mut batch = self.gather(app).await?;
        Ok(Load {
            records: self.encode(&mut batch),
            reached: batch.reached,
            search: Search::default(),
        })
    }

    /// The records of a batch that the receiver is to get.
    fn encode(&self, batch: &mut Batch) -> Vec<Vec<u8>> {
        let now = clock::now();
        let mut records = Vec::with_capacity(batch.rows.len());
        for (org, row) in &batch.rows {
            match Meaning::read(*org, row) {
                Some(meaning) if meaning.is_wanted(self.common.records) => {
                    records.push(self.link.encode(&self.common.sender, &meaning, now));
                }
                Some(_) => {}
                None => batch.reached.lost.push(Lost {
                    org: *org,
                    from: row.seq,
                    count: 1,
                    why: Why::Unreadable,
                }),
            }
        }
        records
    }

    async fn send(&mut self, app: &App, load: &mut Load) -> Result<(), Stop> {
        let is_first = self.ahead.is_empty();
        let sent = self
            .link
            .send(&load.records, &mut load.search, is_first)
            .await;
        let delivered = sent.map_err(|trouble| {
            self.ahead.clear();
            Stop::Trouble(trouble)
        })?;
        let Some(delivered) = delivered else {
            return Ok(());
        };
        let kind = self.link.kind();
        app.metrics.note_siem_sent(kind, delivered.sent);
        app.metrics.note_siem_dropped(kind, delivered.dropped);
        if delivered.dropped > 0 {
            let reason = delivered.reason.unwrap_or_default();
            let (sink, count) = (&*self.name, delivered.dropped);
            tracing::warn!(
                sink,
                count,
                reason,
                "the receiver does not want these records"
            );
        }
        Ok(())
    }

    /// Keeps what counts as taken.
    async fn settle(&mut self, app: &App, after: Duration) -> Result<(), StoreError> {
        if self.link.is_gone() && !after.is_zero() {
            return Ok(());
        }
        let settled = self.ahead.settled(after, Instant::now());
        if settled.upto.is_empty() {
            return Ok(());
        }
        if self.failures > 0 {
            tracing::info!(sink = &*self.name, "records are sent again");
            self.failures = 0;
        }
        self.keep(app, settled).await
    }

    /// Keeps how far the receiver is, and then tells what it does not get.
    async fn keep(&self, app: &App, reached: Reached) -> Result<(), StoreError> {
        let upto = reached.upto.into_iter().collect();
        app.store.keep_sent(&self.name, upto).await?;
        let sink = &*self.name;
        for lost in reached.lost {
            let (org, from, count) = (lost.org, lost.from, lost.count);
            app.metrics.note_siem_dropped(self.link.kind(), count);
            match lost.why {
                Why::Dropped => {
                    tracing::warn!(sink, %org, from, count, "these records were dropped, as the policy of the org asks, before they could be sent");
                }
                Why::Unreadable => {
                    tracing::error!(sink, %org, seq = from, "a record cannot be read, and is not sent");
                }
            }
        }
        Ok(())
    }

    /// What comes next, of one trail after the other. Empty if the receiver lacks nothing.
    async fn gather(&mut self, app: &App) -> Result<Batch, StoreError> {
        let mut batch = Batch::default();
        let mut is_whole_round = self.after.is_none();
        loop {
            let page = Page {
                after: self.after,
                limit: TRAILS_PAGE,
            };
            let trails = app.store.trails_behind(&self.name, page).await?;
            for trail in &trails {
                let sent = trail.sent.max(self.ahead.sent(trail.org));
                if sent < trail.size {
                    self.read(app, &mut batch, (trail.org, sent, trail.size))
                        .await?;
                }
                self.after = Some(trail.org);
                if batch.room() == 0 {
                    return Ok(batch);
                }
            }
            if u32::try_from(trails.len()).is_ok_and(|count| count >= TRAILS_PAGE) {
                continue;
            }
            self.after = None;
            if is_whole_round || !batch.reached.upto.is_empty() {
                return Ok(batch);
            }
            is_whole_round = true;
        }
    }

    /// Adds what there is room for of a trail.
    async fn read(
        &self,
        app: &App,
        batch: &mut Batch,
        (org, sent, size): (OrgId, u64, u64),
    ) -> Result<(), StoreError> {
        let place = match size - sent {
            0..=BEHIND_MAX => None,
            _ => app.scans.acquire().await.ok(),
        };
        let page = Page {
            after: Some(sent),
            limit: u32::try_from(batch.room()).unwrap_or(1),
        };
        let found = app.store.export_audit(org, AuditFilter::default(), page);
        let part = found.await?;
        drop(place);
        let first = part.rows.first().map_or(0, |row| row.seq);
        let gone = first.saturating_sub(sent + 1);
        if gone > 0 {
            batch.reached.lost.push(Lost {
                org,
                from: sent + 1,
                count: gone,
                why: Why::Dropped,
            });
        }
        let last = part.rows.last().map_or(0, |row| row.seq);
        let mut upto = part.next.unwrap_or_else(|| size.max(last));
        let mut rows = part.rows.into_iter();
        for row in rows.by_ref() {
            batch.bytes += row.bytes.len();
            let seq = row.seq;
            batch.rows.push((org, row));
            if batch.bytes >= BYTES_MAX {
                if rows.len() > 0 {
                    upto = seq;
                }
                break;
            }
        }
        batch.reached.upto.insert(org, upto);
        Ok(())
    }

    /// Counts what the receiver lacks, from time to time.
    async fn count(&mut self, app: &App, is_due: bool) -> Result<(), StoreError> {
        let is_young = |at: Instant| at.elapsed() < COUNT_EVERY;
        if !is_due && self.counted.is_some_and(is_young) {
            return Ok(());
        }
        let behind = app.store.count_behind(&self.name).await?;
        let behind = i64::try_from(behind).unwrap_or(i64::MAX);
        app.metrics
            .note_siem_behind(self.link.kind(), behind - self.behind);
        self.behind = behind;
        self.counted = Some(Instant::now());
        Ok(())
    }

    /// Tells of a failure, and gives how long to wait.
    async fn note(&mut self, app: &App, stop: Stop) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let doubled =
            WAIT_MIN.saturating_mul(1_u32.checked_shl(self.failures - 1).unwrap_or(u32::MAX));
        let mut wait = doubled.min(WAIT_MAX);
        let (sink, failures) = (&*self.name, self.failures);
        match stop {
            Stop::Store(error) => {
                tracing::warn!(sink, %error, "the audit trails cannot be read, so nothing is sent");
            }
            Stop::Trouble(trouble) => {
                // It may ask for a longer wait, and for no shorter one.
                wait = wait.max(trouble.wait.unwrap_or_default());
                let reason = trouble.reason;
                tracing::warn!(
                    sink,
                    reason,
                    failures,
                    "records cannot be sent; trying again"
                );
                // What cannot be counted now is counted at the next look.
                self.count(app, true).await.unwrap_or_default();
            }
        }
        wait
    }
}
