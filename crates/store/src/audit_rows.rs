//! What every backend does for those who compare what is kept beside the records with the records: it
//! gives the rows as they stand, without using one of them to find another.

use async_trait::async_trait;
use claviger_core::id::OrgId;

use crate::Result;

/// How many bytes of lines one call reads, beyond the first run.
pub(crate) const ROWS_BYTES_MAX: usize = 1024 * 1024;

/// How many runs one call reads.
pub(crate) const RUN_ROWS_MAX: usize = 1024;

/// What is kept of a trail as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerRow {
    /// How many records it has (`ledgers.size`).
    pub size: u64,
    /// The peaks of its tree (`ledgers.peaks`).
    pub peaks: Vec<u8>,
    /// How many blocks are indexed (`audit_index_heads.blocks`).
    pub blocks: u64,
    /// How many tiles of level 0 are made (`audit_tile_heads.tiles`).
    pub tiles: u64,
    /// Up to which record bodies were dropped (`audit_dropped.last_seq`).
    pub dropped: u64,
}

/// A row of `audit_runs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRow {
    /// The number of its first record.
    pub first_seq: u64,
    /// The number of its last record.
    pub last_seq: u64,
    /// When the earliest of them began, in milliseconds since 1970.
    pub at_min: i64,
    /// When the latest of them began, in milliseconds since 1970.
    pub at_max: i64,
    /// The records, each with a line break after it.
    pub lines: Vec<u8>,
}

/// A row of `audit_index`, of a block that is known, or of `audit_chapters`, of a chapter that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexRow {
    /// Its number within the block or the chapter.
    pub bucket: u64,
    /// What it holds; see [`Block::into_rows`](claviger_core::ledger::index::Block::into_rows) and
    /// [`Chapter::into_rows`](claviger_core::ledger::index::Chapter::into_rows).
    pub places: Vec<u8>,
}

/// The rows of the trails, as they stand.
#[async_trait]
pub trait AuditRowStore: Send + Sync + 'static {
    /// Whether the index has a row more for each block, which says where its records stand in their
    /// runs: the number of that row.
    fn spots_bucket(&self) -> Option<u8>;

    /// What is kept of the trail as a whole, read at one instant.
    ///
    /// # Errors
    /// [`StoreError::NotFound`](crate::StoreError::NotFound) when there is no such trail;
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    async fn ledger_row(&self, org: OrgId) -> Result<LedgerRow>;

    /// The runs that begin behind this number, in order: some of them; none at the end.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    async fn run_rows(&self, org: OrgId, after: u64) -> Result<Vec<RunRow>>;

    /// Every row of a block of the index, in the order of the buckets.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    async fn block_rows(&self, org: OrgId, block: u64) -> Result<Vec<IndexRow>>;

    /// The first block from this one on of which the index has a row.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    async fn next_block(&self, org: OrgId, from: u64) -> Result<Option<u64>>;

    /// Every row of a chapter of the index, in the order of the buckets.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    async fn rows_of_chapter(&self, org: OrgId, chapter: u64) -> Result<Vec<IndexRow>>;

    /// The first chapter from this one on of which there is a row.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    async fn next_chapter(&self, org: OrgId, from: u64) -> Result<Option<u64>>;

    /// A row of `audit_tiles`: level and number to hashes.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    async fn tile_row(&self, org: OrgId, tile: (u8, u64)) -> Result<Option<Vec<u8>>>;

    /// The first tile of a level from this number on that has a row.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    async fn next_tile(&self, org: OrgId, from: (u8, u64)) -> Result<Option<u64>>;
}
