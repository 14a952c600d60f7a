//! The index of the trails.

use std::collections::HashMap;

use async_trait::async_trait;
use claviger_core::{
    id::OrgId,
    ledger::index::{
        BLOCK_RECORDS, BUCKETS, Block, CHAPTER_BLOCKS, Chapter, before_block, chapter_of,
    },
};

use super::{Postgres, fault::Outcome, row::Columns, runs, session::Params};
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
        let (before, last) = (before_block(block), before_block(block + 1));
        let mut built = Block::new(block);
        let add = |first_seq, lines: &[u8]| built.add_run(first_seq, lines);
        runs::each_run(&session, org, (before + 1, last), add).await?;
        let spots = (SPOTS, built.spots().to_vec());
        let mut rows = built.into_rows();
        rows.push(spots);
        drop(session);
        let chapter = match (block + 1) % CHAPTER_BLOCKS {
            0 => Some(self.build_chapter(org, block, &rows).await?),
            _ => None,
        };
        Ok(Some(Built {
            org,
            block,
            rows,
            chapter,
        }))
    }

    /// Gathers the rows of a chapter from those of its blocks, of which the last is not kept yet.
    async fn build_chapter(&self, org: OrgId, last: u64, rows: &Rows) -> Outcome<Rows> {
        let mut chapter = Chapter::default();
        let sql = "select block, bucket, places from audit_index
             where org = $1 and block >= $2 and block < $3 order by block, bucket";
        let first = chapter_of(last) * CHAPTER_BLOCKS;
        let session = self.sessions.session().await?;
        let params: Params<'_> = &[&org.to_string(), &first.cast_signed(), &last.cast_signed()];
        for row in &session.rows(sql, params).await? {
            let columns = Columns::of("audit_index", row);
            let bucket = u8::try_from(columns.count("bucket")?).unwrap_or(u8::MAX);
            chapter.add_row(columns.count("block")?, bucket, columns.get("places")?);
        }
        for (bucket, places) in rows {
            chapter.add_row(last, *bucket, places);
        }
        Ok(chapter.into_rows())
    }

    async fn keep(&self, built: &Built) -> Outcome<()> {
        let (org, block) = (built.org.to_string(), built.block.cast_signed());
        let change = self.sessions.begin().await?;
        change.batch("set local synchronous_commit = off").await?;
        let head = "insert into audit_index_heads (org, blocks) values ($1, $2::bigint + 1)
             on conflict (org) do update set blocks = $2::bigint + 1
             where audit_index_heads.blocks = $2::bigint";
        if change.execute(head, &[&org, &block]).await? == 0 {
            return Ok(());
        }
        let insert = "insert into audit_index (org, block, bucket, places)
             select $1, $2, t.bucket, t.places
             from unnest($3::bigint[], $4::bytea[]) as t (bucket, places)";
        let (buckets, places) = columns(&built.rows);
        change
            .execute(insert, &[&org, &block, &buckets, &places])
            .await?;
        if let Some(rows) = &built.chapter {
            let insert = "insert into audit_chapters (org, chapter, bucket, blocks)
                 select $1, $2, t.bucket, t.blocks
                 from unnest($3::bigint[], $4::bytea[]) as t (bucket, blocks)";
            let chapter = chapter_of(built.block).cast_signed();
            let (buckets, blocks) = columns(rows);
            change
                .execute(insert, &[&org, &chapter, &buckets, &blocks])
                .await?;
        }
        change.commit().await
    }

    /// How many blocks of a trail are indexed.
    pub(super) async fn indexed_blocks(&self, org: OrgId) -> Outcome<u64> {
        let session = self.sessions.session().await?;
        let sql = "select blocks from audit_index_heads where org = $1";
        match session.row(sql, &[&org.to_string()]).await? {
            Some(row) => Ok(Columns::of("audit_index_heads", &row).count("blocks")?),
            None => Ok(0),
        }
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

/// Rows as the columns of a statement.
fn columns(rows: &Rows) -> (Vec<i64>, Vec<&[u8]>) {
    rows.iter()
        .map(|(bucket, bytes)| (i64::from(*bucket), bytes.as_slice()))
        .unzip()
}
