//! The index of the trails.

use std::collections::HashMap;

use async_trait::async_trait;
use claviger_core::{
    id::OrgId,
    ledger::index::{BLOCK_RECORDS, BUCKETS, Block, Term, before_block},
};

use super::{Postgres, fault::Outcome, row::Columns, runs, session::Params};
use crate::{AuditIndexStore, Result};

#[async_trait]
impl AuditIndexStore for Postgres {
    async fn index_audit(&self) -> Result<bool> {
        let next = self.read("read what is to be indexed", self.build_next());
        let Some((org, block, rows)) = next.await? else {
            return Ok(false);
        };
        self.write("index the audit trail", self.keep(org, block, &rows))
            .await?;
        Ok(true)
    }
}

/// The row of a block that says where its records stand in their runs: here a part of a long value can
/// be fetched without the rest.
pub(super) const SPOTS: u8 = BUCKETS;

/// A block that is ready to be kept: its org, its number, its rows.
type Built = (OrgId, i64, Vec<(u8, Vec<u8>)>);

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
        Ok(Some((org, block.cast_signed(), rows)))
    }

    async fn keep(&self, org: OrgId, block: i64, rows: &[(u8, Vec<u8>)]) -> Outcome<()> {
        let change = self.sessions.begin().await?;
        change.batch("set local synchronous_commit = off").await?;
        let head = "insert into audit_index_heads (org, blocks) values ($1, $2::bigint + 1)
             on conflict (org) do update set blocks = $2::bigint + 1
             where audit_index_heads.blocks = $2::bigint";
        let org = org.to_string();
        if change.execute(head, &[&org, &block]).await? == 0 {
            return Ok(());
        }
        let insert = "insert into audit_index (org, block, bucket, places)
             select $1, $2, t.bucket, t.places
             from unnest($3::bigint[], $4::bytea[]) as t (bucket, places)";
        let buckets: Vec<i64> = rows.iter().map(|(bucket, _)| i64::from(*bucket)).collect();
        let places: Vec<&[u8]> = rows.iter().map(|(_, places)| places.as_slice()).collect();
        change
            .execute(insert, &[&org, &block, &buckets, &places])
            .await?;
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

    /// The rows of these terms in these blocks, by block and bucket.
    pub(super) async fn index_rows(
        &self,
        org: OrgId,
        blocks: &[u64],
        terms: &[Term],
    ) -> Outcome<HashMap<(u64, u8), Vec<u8>>> {
        let numbers: Vec<i64> = blocks.iter().map(|block| block.cast_signed()).collect();
        let buckets: Vec<i64> = terms.iter().map(|t| i64::from(t.bucket())).collect();
        // The limit keeps it a look-up for each pair, whatever is thought of the size of the table.
        let sql = "select asked.block, term.bucket, found.places
             from unnest($2::bigint[]) as asked (block)
             cross join unnest($3::bigint[]) as term (bucket)
             cross join lateral (
                 select places from audit_index
                 where org = $1 and block = asked.block and bucket = term.bucket limit 1) as found";
        let session = self.sessions.session().await?;
        let params: Params<'_> = &[&org.to_string(), &numbers, &buckets];
        let found = session.rows(sql, params).await?;
        let mut rows = HashMap::with_capacity(found.len());
        for row in &found {
            let columns = Columns::of("audit_index", row);
            let bucket = u8::try_from(columns.count("bucket")?).unwrap_or(u8::MAX);
            rows.insert((columns.count("block")?, bucket), columns.get("places")?);
        }
        Ok(rows)
    }
}
