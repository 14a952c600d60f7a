//! How far trails were sent to receivers outside.

use async_trait::async_trait;
use claviger_core::{id::OrgId, time::Timestamp};
use rusqlite::{Connection, params};

use super::{
    Sqlite,
    row::{self, IdText, count, parsed},
    writer::{Order, Tx},
};
use crate::{BehindTrail, Page, Result, SinkStore};

#[async_trait]
impl SinkStore for Sqlite {
    async fn begin_sink(&self, name: &str, at: Timestamp) -> Result<bool> {
        let name = name.to_owned();
        let work = move |tx: &mut Tx<'_>| {
            let insert = "insert into audit_sinks (name, begun_at) values (?1, ?2)
                 on conflict do nothing";
            if row::run(tx.sql, insert, params![name, at.millis()])? == 0 {
                return Ok(false);
            }
            let insert = "insert into audit_sink_trails (sink, org, seq)
                 select ?1, org, size from ledgers";
            row::run(tx.sql, insert, params![name])?;
            Ok(true)
        };
        let order = Order::synced("make a receiver of the trails known");
        self.writer.change(order, work).await
    }

    async fn trails_behind(&self, name: &str, page: Page<OrgId>) -> Result<Vec<BehindTrail>> {
        let query = "select ledgers.org, coalesce(sent.seq, 0), ledgers.size from ledgers
             left join audit_sink_trails as sent on sent.org = ledgers.org and sent.sink = ?1
             where ledgers.size > coalesce(sent.seq, 0) and ledgers.org > ?2
             order by ledgers.org limit ?3";
        let name = name.to_owned();
        let after = page.after.map(|id| id.to_string()).unwrap_or_default();
        let work = move |sql: &Connection| {
            row::all(sql, query, params![name, after, page.limit], |row| {
                Ok(BehindTrail {
                    org: parsed(row, 0)?,
                    sent: count(row, 1)?,
                    size: count(row, 2)?,
                })
            })
        };
        self.read("read how far trails were sent", work).await
    }

    async fn count_behind(&self, name: &str) -> Result<u64> {
        let query = "select coalesce(sum(ledgers.size - coalesce(sent.seq, 0)), 0) from ledgers
             left join audit_sink_trails as sent on sent.org = ledgers.org and sent.sink = ?1
             where ledgers.size > coalesce(sent.seq, 0)";
        let name = name.to_owned();
        let work = move |sql: &Connection| {
            let found = row::first(sql, query, params![name], |row| count(row, 0))?;
            Ok(found.unwrap_or(0))
        };
        self.read("count what was not sent", work).await
    }

    async fn keep_sent(&self, name: &str, sent: Vec<(OrgId, u64)>) -> Result<()> {
        let statement = "insert into audit_sink_trails (sink, org, seq) values (?1, ?2, ?3)
             on conflict (sink, org) do update set seq = max(seq, excluded.seq)";
        let name = name.to_owned();
        let work = move |tx: &mut Tx<'_>| {
            for (org, seq) in &sent {
                let bound = params![name, IdText::of(*org), seq.cast_signed()];
                row::run(tx.sql, statement, bound)?;
            }
            Ok(())
        };
        self.writer
            .change(Order::quick("keep how far trails were sent"), work)
            .await
    }
}
