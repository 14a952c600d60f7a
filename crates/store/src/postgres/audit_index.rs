//! The index of the trails.

use std::collections::HashMap;

use async_trait::async_trait;
use claviger_core::{
    id::OrgId,
    ledger::index::{
        BLOCK_RECORDS, BUCKETS, Block, CHAPTER_BLOCKS, Chapter, before_block, block_of, chapter_of,
    },
};

use super::{
    Postgres,
    fault::{Fault, Outcome},
    retention,
    row::Columns,
    runs,
    session::{Change, Params, Session},
};
use crate::{AuditIndexStore, Result};

#[async_trait]
impl AuditIndexStore for Postgres {
    async fn index_audit(&self) -> Result<bool> {
        let next = self.read("read what is to be indexed", self.build_next());
        let Some(built) = next.await? else {
            return Ok(false);
        };
        self.write("index the audit trail", self.keep(&built))
            .await?;
        Ok(true)
    }
}

/// Rows of the index, by the number of their block or chapter, and by bucket.
type Found = HashMap<(u64, u8), Vec<u8>>;

/// The row of a block that says where its records stand in their runs: here a part of a long value can
/// be fetched without the rest.
pub(super) const SPOTS: u8 = BUCKETS;

type Rows = Vec<(u8, Vec<u8>)>;

/// A block that is ready to be kept.
struct Built {
    org: OrgId,
    block: u64,
    /// Up to which record bodies were dropped when it was built.
    dropped: u64,
    /// None where all bodies were.
    rows: Rows,
    /// The rows of the chapter that it ends, if it ends one.
    chapter: Option<Rows>,
}

impl Postgres {
    async fn build_next(&self) -> Outcome<Option<Built>> {
        let session = self.sessions.session().await?;
        let sql = "select ledgers.org, coalesce(head.blocks, 0) as done from ledgers
             left join audit_index_heads as head on head.org = ledgers.org
             where ledgers.size >= (coalesce(head.blocks, 0) + 1) * $1
             order by ledgers.size - coalesce(head.blocks, 0) * $1 desc limit 1";
        let next = session.row(sql, &[&BLOCK_RECORDS.cast_signed()]).await?;
        let Some(next) = next else {
            return Ok(None);
        };
        let columns = Columns::of("ledgers", &next);
        let (org, block) = (columns.parse::<OrgId>("org")?, columns.count("done")?);
        let (_, dropped) = extent(&session, org).await?;
        let is_left = dropped < before_block(block + 1);
        let rows = match is_left {
            true => build_block(&session, org, block).await?,
            false => Rows::new(),
        };
        let mut chapter = None;
        if is_left && (block + 1) % CHAPTER_BLOCKS == 0 {
            let mut gathered = gather(&session, org, block).await?;
            for (bucket, places) in &rows {
                gathered.add_row(block, *bucket, places);
            }
            chapter = Some(gathered.into_rows());
        }
        Ok(Some(Built {
            org,
            block,
            dropped,
            rows,
            chapter,
        }))
    }

    async fn keep(&self, built: &Built) -> Outcome<()> {
        let (org, block) = (built.org.to_string(), built.block.cast_signed());
        let change = self.sessions.begin().await?;
        change.batch("set local synchronous_commit = off").await?;
        if retention::dropped_up_to(&change, built.org).await? != built.dropped {
            return Ok(());
        }
        let head = "insert into audit_index_heads (org, blocks) values ($1, $2::bigint + 1)
             on conflict (org) do update set blocks = $2::bigint + 1
             where audit_index_heads.blocks = $2::bigint";
        if change.execute(head, &[&org, &block]).await? == 0 {
            return Ok(());
        }
        insert_block(&change, built.org, built.block, &built.rows).await?;
        if let Some(rows) = &built.chapter {
            insert_chapter(&change, built.org, chapter_of(built.block), rows).await?;
        }
        change.commit().await
    }

    /// These rows of these blocks, by block and bucket.
    pub(super) async fn index_rows(
        &self,
        org: OrgId,
        blocks: &[u64],
        buckets: &[u8],
    ) -> Outcome<Found> {
        // The limit keeps it a look-up for each pair, whatever is thought of the size of the table. The
        // inner selects hide how many are asked for: one plan is as good as another, and made once.
        let sql = "select asked.number, wanted.bucket, found.places as bytes
             from unnest((select $2::bigint[])) as asked (number)
             cross join unnest((select $3::bigint[])) as wanted (bucket)
             cross join lateral (
                 select places from audit_index
                 where org = $1 and block = asked.number and bucket = wanted.bucket limit 1) as found";
        self.rows_of(sql, org, blocks, buckets).await
    }

    /// These rows of these chapters, by chapter and bucket.
    pub(super) async fn chapter_rows(
        &self,
        org: OrgId,
        chapters: &[u64],
        buckets: &[u8],
    ) -> Outcome<Found> {
        let sql = "select asked.number, wanted.bucket, found.blocks as bytes
             from unnest((select $2::bigint[])) as asked (number)
             cross join unnest((select $3::bigint[])) as wanted (bucket)
             cross join lateral (
                 select blocks from audit_chapters
                 where org = $1 and chapter = asked.number and bucket = wanted.bucket limit 1) as found";
        self.rows_of(sql, org, chapters, buckets).await
    }

    async fn rows_of(
        &self,
        sql: &'static str,
        org: OrgId,
        numbers: &[u64],
        buckets: &[u8],
    ) -> Outcome<Found> {
        let numbers: Vec<i64> = numbers.iter().map(|number| number.cast_signed()).collect();
        let buckets: Vec<i64> = buckets.iter().map(|bucket| i64::from(*bucket)).collect();
        let session = self.sessions.session().await?;
        let params: Params<'_> = &[&org.to_string(), &numbers, &buckets];
        let found = session.rows(sql, params).await?;
        let mut rows = HashMap::with_capacity(found.len());
        for row in &found {
            let columns = Columns::of("audit_index", row);
            let bucket = u8::try_from(columns.count("bucket")?).unwrap_or(u8::MAX);
            rows.insert((columns.count("number")?, bucket), columns.get("bytes")?);
        }
        Ok(rows)
    }
}

/// The rows of a block.
async fn build_block(session: &Session, org: OrgId, block: u64) -> Outcome<Rows> {
    let (before, last) = (before_block(block), before_block(block + 1));
    let mut built = Block::new(block);
    let add = |first_seq, lines: &[u8]| built.add_run(first_seq, lines);
    runs::each_run(session, org, (before + 1, last), add).await?;
    let spots = (SPOTS, built.spots().to_vec());
    let mut rows = built.into_rows();
    rows.push(spots);
    Ok(rows)
}

/// A chapter of the blocks before this one, of those that are kept.
async fn gather(session: &Session, org: OrgId, end: u64) -> Outcome<Chapter> {
    let mut chapter = Chapter::default();
    let sql = "select block, bucket, places from audit_index
         where org = $1 and block >= $2 and block < $3 order by block, bucket";
    let first = chapter_of(end.saturating_sub(1)) * CHAPTER_BLOCKS;
    let params: Params<'_> = &[&org.to_string(), &first.cast_signed(), &end.cast_signed()];
    for row in &session.rows(sql, params).await? {
        let columns = Columns::of("audit_index", row);
        let bucket = u8::try_from(columns.count("bucket")?).unwrap_or(u8::MAX);
        chapter.add_row(columns.count("block")?, bucket, columns.get("places")?);
    }
    Ok(chapter)
}

async fn insert_block(change: &Change, org: OrgId, block: u64, rows: &Rows) -> Outcome<()> {
    let insert = "insert into audit_index (org, block, bucket, places)
         select $1, $2, t.bucket, t.places
         from unnest($3::bigint[], $4::bytea[]) as t (bucket, places)";
    let (buckets, places) = columns(rows);
    let params: Params<'_> = &[&org.to_string(), &block.cast_signed(), &buckets, &places];
    change.execute(insert, params).await?;
    Ok(())
}

async fn insert_chapter(change: &Change, org: OrgId, chapter: u64, rows: &Rows) -> Outcome<()> {
    let insert = "insert into audit_chapters (org, chapter, bucket, blocks)
         select $1, $2, t.bucket, t.blocks
         from unnest($3::bigint[], $4::bytea[]) as t (bucket, blocks)";
    let (buckets, blocks) = columns(rows);
    let params: Params<'_> = &[&org.to_string(), &chapter.cast_signed(), &buckets, &blocks];
    change.execute(insert, params).await?;
    Ok(())
}

/// Takes out of the index what the records up to this one put there, whose bodies are gone. What it
/// says of the others of their block and their chapter is made anew.
pub(super) async fn drop_up_to(change: &Change, org: OrgId, last: u64) -> Outcome<()> {
    let (head, _) = extent(change, org).await?;
    let (id, block) = (org.to_string(), block_of(last + 1));
    let chapter = chapter_of(block);
    let sql = "delete from audit_index where org = $1 and block < $2";
    change.execute(sql, &[&id, &block.cast_signed()]).await?;
    let sql = "delete from audit_chapters where org = $1 and chapter < $2";
    change.execute(sql, &[&id, &chapter.cast_signed()]).await?;
    if block < head && before_block(block) < last {
        let sql = "delete from audit_index where org = $1 and block = $2";
        change.execute(sql, &[&id, &block.cast_signed()]).await?;
        insert_block(change, org, block, &build_block(change, org, block).await?).await?;
    }
    let end = (chapter + 1) * CHAPTER_BLOCKS;
    if end <= head && before_block(end - CHAPTER_BLOCKS) < last {
        let sql = "delete from audit_chapters where org = $1 and chapter = $2";
        change.execute(sql, &[&id, &chapter.cast_signed()]).await?;
        let rows = gather(change, org, end).await?.into_rows();
        insert_chapter(change, org, chapter, &rows).await?;
    }
    Ok(())
}

/// How many blocks of a trail are indexed, and up to which record bodies were dropped.
pub(super) async fn extent(session: &Session, org: OrgId) -> Outcome<(u64, u64)> {
    let sql = "select coalesce((select blocks from audit_index_heads where org = $1), 0) as blocks,
             coalesce((select last_seq from audit_dropped where org = $1), 0) as dropped";
    let row = session.row(sql, &[&org.to_string()]).await?;
    let both = |row| {
        let columns = Columns::of("audit_index_heads", row);
        Ok::<_, Fault>((columns.count("blocks")?, columns.count("dropped")?))
    };
    Ok(row.as_ref().map(both).transpose()?.unwrap_or_default())
}

/// Rows as the columns of a statement.
fn columns(rows: &Rows) -> (Vec<i64>, Vec<&[u8]>) {
    rows.iter()
        .map(|(bucket, bytes)| (i64::from(*bucket), bytes.as_slice()))
        .unzip()
}
