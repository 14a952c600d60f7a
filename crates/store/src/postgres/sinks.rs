//! How far trails were sent to receivers outside.

use async_trait::async_trait;
use claviger_core::{id::OrgId, time::Timestamp};

use super::{
    Postgres,
    row::{self, Columns},
    session::Params,
};
use crate::{BehindTrail, Page, Result, SinkStore};

#[async_trait]
impl SinkStore for Postgres {
    async fn begin_sink(&self, name: &str, at: Timestamp) -> Result<bool> {
        self.write("make a receiver of the trails known", async {
            let change = self.sessions.begin().await?;
            let sql = "insert into audit_sinks (name, begun_at) values ($1, $2)
                 on conflict do nothing";
            let is_new = change.execute(sql, &[&name, &at.millis()]).await? == 1;
            if is_new {
                let sql = "insert into audit_sink_trails (sink, org, seq)
                     select $1, org, size from ledgers";
                change.execute(sql, &[&name]).await?;
            }
            change.commit().await?;
            Ok(is_new)
        })
        .await
    }

    async fn trails_behind(&self, name: &str, page: Page<OrgId>) -> Result<Vec<BehindTrail>> {
        self.read("read how far trails were sent", async {
            let session = self.sessions.session().await?;
            let after = page.after.map(|id| id.to_string()).unwrap_or_default();
            let sql = "select ledgers.org, coalesce(sent.seq, 0) as sent, ledgers.size from ledgers
                 left join audit_sink_trails as sent on sent.org = ledgers.org and sent.sink = $1
                 where ledgers.size > coalesce(sent.seq, 0) and ledgers.org > $2
                 order by ledgers.org limit $3";
            let params: Params<'_> = &[&name, &after, &i64::from(page.limit)];
            let rows = session.rows(sql, params).await?;
            Ok(row::all(&rows, |row| {
                let columns = Columns::of("audit_sink_trails", row);
                Ok(BehindTrail {
                    org: columns.parse("org")?,
                    sent: columns.count("sent")?,
                    size: columns.count("size")?,
                })
            })?)
        })
        .await
    }

    async fn count_behind(&self, name: &str) -> Result<u64> {
        self.read("count what was not sent", async {
            let session = self.sessions.session().await?;
            let sql =
                "select coalesce(sum(ledgers.size - coalesce(sent.seq, 0)), 0)::bigint as behind
                 from ledgers
                 left join audit_sink_trails as sent on sent.org = ledgers.org and sent.sink = $1
                 where ledgers.size > coalesce(sent.seq, 0)";
            let found = session.row(sql, &[&name]).await?;
            let counted = found.map(|row| Columns::of("audit_sink_trails", &row).count("behind"));
            Ok(counted.transpose()?.unwrap_or(0))
        })
        .await
    }

    async fn keep_sent(&self, name: &str, sent: Vec<(OrgId, u64)>) -> Result<()> {
        let sql = "insert into audit_sink_trails (sink, org, seq)
             select $1, org, seq from unnest($2::text[], $3::bigint[]) as sent (org, seq)
             on conflict (sink, org) do update set
                 seq = greatest(audit_sink_trails.seq, excluded.seq)";
        let orgs: Vec<String> = sent.iter().map(|(org, _)| org.to_string()).collect();
        let seqs: Vec<i64> = sent.iter().map(|(_, seq)| seq.cast_signed()).collect();
        self.write("keep how far trails were sent", async {
            let change = self.sessions.begin().await?;
            change.batch("set local synchronous_commit = off").await?;
            let params: Params<'_> = &[&name, &orgs, &seqs];
            change.execute(sql, params).await?;
            change.commit().await
        })
        .await
    }
}
