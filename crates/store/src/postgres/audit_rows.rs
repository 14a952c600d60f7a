//! The rows of the trails, as they stand.

use async_trait::async_trait;
use claviger_core::id::OrgId;
use tokio_postgres::Row;

use super::{
    Postgres,
    audit_index::SPOTS,
    fault::Outcome,
    row::{self, Columns},
    session::{Params, Session},
};
use crate::{
    AuditRowStore, IndexRow, LedgerRow, Result, RunRow, StoreError,
    audit_rows::{ROWS_BYTES_MAX, RUN_ROWS_MAX},
};

#[async_trait]
impl AuditRowStore for Postgres {
    fn spots_bucket(&self) -> Option<u8> {
        Some(SPOTS)
    }

    async fn ledger_row(&self, org: OrgId) -> Result<LedgerRow> {
        self.read("read what is kept of a trail", async {
            let session = self.sessions.session().await?;
            let sql = "select ledgers.size, coalesce(ledgers.peaks, '') as peaks,
                     coalesce(blocks.blocks, 0) as blocks, coalesce(tiles.tiles, 0) as tiles,
                     coalesce(dropped.last_seq, 0) as dropped
                 from ledgers left join audit_index_heads as blocks on blocks.org = ledgers.org
                 left join audit_tile_heads as tiles on tiles.org = ledgers.org
                 left join audit_dropped as dropped on dropped.org = ledgers.org
                 where ledgers.org = $1";
            let found = session.row(sql, &[&org.to_string()]).await?;
            let row = found.ok_or(StoreError::NotFound("org"))?;
            let columns = Columns::of("ledgers", &row);
            Ok(LedgerRow {
                size: columns.count("size")?,
                peaks: columns.get("peaks")?,
                blocks: columns.count("blocks")?,
                tiles: columns.count("tiles")?,
                dropped: columns.count("dropped")?,
            })
        })
        .await
    }

    async fn run_rows(&self, org: OrgId, after: u64) -> Result<Vec<RunRow>> {
        let work = async {
            let session = self.sessions.session().await?;
            runs(&session, org, after).await
        };
        self.read("read the runs of a trail", work).await
    }

    async fn block_rows(&self, org: OrgId, block: u64) -> Result<Vec<IndexRow>> {
        self.read("read a block of the index", async {
            let session = self.sessions.session().await?;
            let sql = "select bucket, places from audit_index where org = $1 and block = $2
                 order by bucket";
            let params: Params<'_> = &[&org.to_string(), &block.cast_signed()];
            let rows = session.rows(sql, params).await?;
            Ok(row::all(&rows, |row| {
                let columns = Columns::of("audit_index", row);
                Ok(IndexRow {
                    bucket: columns.count("bucket")?,
                    places: columns.get("places")?,
                })
            })?)
        })
        .await
    }

    async fn next_block(&self, org: OrgId, from: u64) -> Result<Option<u64>> {
        self.read("read which blocks are indexed", async {
            let session = self.sessions.session().await?;
            let sql = "select block from audit_index where org = $1 and block >= $2
                 order by block limit 1";
            let params: Params<'_> = &[&org.to_string(), &from.cast_signed()];
            let found = session.row(sql, params).await?;
            let block = |row| Columns::of("audit_index", row).count("block");
            Ok(found.as_ref().map(block).transpose()?)
        })
        .await
    }

    async fn rows_of_chapter(&self, org: OrgId, chapter: u64) -> Result<Vec<IndexRow>> {
        self.read("read a chapter of the index", async {
            let session = self.sessions.session().await?;
            let sql = "select bucket, blocks from audit_chapters where org = $1 and chapter = $2
                 order by bucket";
            let params: Params<'_> = &[&org.to_string(), &chapter.cast_signed()];
            let rows = session.rows(sql, params).await?;
            Ok(row::all(&rows, |row| {
                let columns = Columns::of("audit_chapters", row);
                Ok(IndexRow {
                    bucket: columns.count("bucket")?,
                    places: columns.get("blocks")?,
                })
            })?)
        })
        .await
    }

    async fn next_chapter(&self, org: OrgId, from: u64) -> Result<Option<u64>> {
        self.read("read which chapters are made", async {
            let session = self.sessions.session().await?;
            let sql = "select chapter from audit_chapters where org = $1 and chapter >= $2
                 order by chapter limit 1";
            let params: Params<'_> = &[&org.to_string(), &from.cast_signed()];
            let found = session.row(sql, params).await?;
            let chapter = |row| Columns::of("audit_chapters", row).count("chapter");
            Ok(found.as_ref().map(chapter).transpose()?)
        })
        .await
    }

    async fn tile_row(&self, org: OrgId, (level, tile): (u8, u64)) -> Result<Option<Vec<u8>>> {
        self.read("read a tile of a tree", async {
            let session = self.sessions.session().await?;
            let sql =
                "select hashes from audit_tiles where org = $1 and level = $2 and number = $3";
            let params: Params<'_> = &[&org.to_string(), &i64::from(level), &tile.cast_signed()];
            let found = session.row(sql, params).await?;
            let hashes = |row| Columns::of("audit_tiles", row).get("hashes");
            Ok(found.as_ref().map(hashes).transpose()?)
        })
        .await
    }

    async fn next_tile(&self, org: OrgId, (level, from): (u8, u64)) -> Result<Option<u64>> {
        self.read("read which tiles are made", async {
            let session = self.sessions.session().await?;
            let sql = "select number from audit_tiles
                 where org = $1 and level = $2 and number >= $3 order by number limit 1";
            let params: Params<'_> = &[&org.to_string(), &i64::from(level), &from.cast_signed()];
            let found = session.row(sql, params).await?;
            let number = |row| Columns::of("audit_tiles", row).count("number");
            Ok(found.as_ref().map(number).transpose()?)
        })
        .await
    }
}

/// First how long they are, so that no more are sent than are wanted.
async fn runs(session: &Session, org: OrgId, after: u64) -> Outcome<Vec<RunRow>> {
    let sql = "select first_seq, octet_length(lines)::bigint as bytes from audit_runs
         where org = $1 and first_seq > $2 order by first_seq limit $3";
    let most = i64::try_from(RUN_ROWS_MAX).unwrap_or(i64::MAX);
    let params: Params<'_> = &[&org.to_string(), &after.cast_signed(), &most];
    let (mut last, mut bytes) = (None, 0);
    for run in &session.rows(sql, params).await? {
        let columns = Columns::of("audit_runs", run);
        last = Some(columns.get::<i64>("first_seq")?);
        bytes += usize::try_from(columns.count("bytes")?).unwrap_or(usize::MAX);
        if bytes >= ROWS_BYTES_MAX {
            break;
        }
    }
    let Some(last) = last else {
        return Ok(Vec::new());
    };
    let sql = "select first_seq, last_seq, at_min, at_max, lines from audit_runs
         where org = $1 and first_seq > $2 and first_seq <= $3 order by first_seq";
    let params: Params<'_> = &[&org.to_string(), &after.cast_signed(), &last];
    let rows = session.rows(sql, params).await?;
    Ok(row::all(&rows, run)?)
}

fn run(row: &Row) -> Result<RunRow> {
    let columns = Columns::of("audit_runs", row);
    Ok(RunRow {
        first_seq: columns.count("first_seq")?,
        last_seq: columns.count("last_seq")?,
        at_min: columns.get("at_min")?,
        at_max: columns.get("at_max")?,
        lines: columns.get("lines")?,
    })
}
