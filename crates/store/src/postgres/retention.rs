//! Old records: their bodies are dropped, their hashes stay.

use async_trait::async_trait;
use claviger_core::{
    id::{EventId, OrgId},
    ledger::{retention::cut_run, tree::Hash},
    time::Timestamp,
};

use super::{
    Postgres, audit_index, commit,
    fault::Outcome,
    row::Columns,
    session::{Change, Params},
    tree,
};
use crate::{
    Dropped, Dropping, Recorder, Result, RetentionStore, Written,
    retention_store::{RUNS_MAX, Reach, uncut, whole},
};

/// The last address of each key and secret, where that is as old.
const FORGET_LAST: [&str; 3] = [
    "update keys set last_used_from = null
         where org = $1 and last_used_at < $2 and last_used_from is not null",
    "update keys set secret_used_from = null
         where org = $1 and secret_used_at < $2 and secret_used_from is not null",
    "update old_secrets set used_from = null
         where used_at < $2 and used_from is not null
             and key_id in (select id from keys where org = $1)",
];

#[async_trait]
impl RetentionStore for Postgres {
    async fn count_older(&self, org: OrgId, before: Timestamp) -> Result<u64> {
        // In the order of the primary key: it ends with the first run that is young.
        let sql = "select coalesce(
                 (select first_seq - 1 from audit_runs where org = $1 and at_max >= $2
                  order by first_seq limit 1),
                 (select size from ledgers where org = $1), 0) as old";
        self.read("count old audit records", async {
            let session = self.sessions.session().await?;
            let params: Params<'_> = &[&org.to_string(), &before.millis()];
            let row = session.row(sql, params).await?;
            let old = row.map(|row| Columns::of("audit_runs", &row).count("old"));
            let (_, dropped) = audit_index::extent(&session, org).await?;
            Ok(whole(old.transpose()?.unwrap_or(0)).saturating_sub(dropped))
        })
        .await
    }

    async fn drop_bodies(
        &self,
        org: OrgId,
        before: Timestamp,
        decision: EventId,
        record: Recorder<Dropping>,
    ) -> Result<Option<Written<Dropping>>> {
        self.write("drop old audit records", async move {
            let change = self.sessions.begin().await?;
            let dropped = hold_alone(&change, org).await?;
            let Some(dropping) = plan(&change, org, (dropped, before)).await? else {
                return Ok(None);
            };
            drop_all(&change, org, dropping, decision).await?;
            commit(change, dropping, record).await.map(Some)
        })
        .await
    }

    async fn dropped(&self, org: OrgId) -> Result<Option<Dropped>> {
        let sql = "select last_seq, decision, decided_after from audit_dropped
             where org = $1 and last_seq > 0";
        self.read("read what was dropped of a trail", async {
            let session = self.sessions.session().await?;
            let Some(row) = session.row(sql, &[&org.to_string()]).await? else {
                return Ok(None);
            };
            let columns = Columns::of("audit_dropped", &row);
            Ok(Some(Dropped {
                last: columns.count("last_seq")?,
                decision: columns.parse("decision")?,
                decided_after: columns.count("decided_after")?,
            }))
        })
        .await
    }

    async fn forget_addresses(&self, org: OrgId, before: Timestamp, limit: u32) -> Result<u64> {
        let sql = "delete from key_addresses where (key_id, address) in
             (select key_id, address from key_addresses join keys on keys.id = key_id
              where keys.org = $1 and last_at < $2 limit $3)";
        self.write("forget old addresses", async {
            let change = self.sessions.begin().await?;
            let params: Params<'_> = &[&org.to_string(), &before.millis(), &i64::from(limit)];
            let gone = change.execute(sql, params).await?;
            for update in FORGET_LAST {
                let params: Params<'_> = &[&org.to_string(), &before.millis()];
                change.execute(update, params).await?;
            }
            change.commit().await?;
            Ok(gone)
        })
        .await
    }
}

/// Makes the row of a trail, if there is none.
async fn expect_row(change: &Change, org: &str) -> Outcome<()> {
    let sql = "insert into audit_dropped (org, last_seq, decided_after) values ($1, 0, 0)
         on conflict (org) do nothing";
    change.execute(sql, &[&org]).await?;
    Ok(())
}

/// Up to which record bodies were dropped. Until the end of the transaction no more are.
pub(super) async fn dropped_up_to(change: &Change, org: OrgId) -> Outcome<u64> {
    let org = org.to_string();
    expect_row(change, &org).await?;
    let sql = "select last_seq from audit_dropped where org = $1 for share";
    last_seq(change, sql, &org).await
}

/// The same for who drops some: nobody derives anything from bodies meanwhile.
async fn hold_alone(change: &Change, org: OrgId) -> Outcome<u64> {
    let org = org.to_string();
    expect_row(change, &org).await?;
    let sql = "select last_seq from audit_dropped where org = $1 for update";
    last_seq(change, sql, &org).await
}

async fn last_seq(change: &Change, sql: &'static str, org: &str) -> Outcome<u64> {
    let row = change.row(sql, &[&org]).await?;
    let last = row.map(|row| Columns::of("audit_dropped", &row).count("last_seq"));
    Ok(last.transpose()?.unwrap_or(0))
}

/// What is to be dropped now.
async fn plan(
    change: &Change,
    org: OrgId,
    (dropped, before): (u64, Timestamp),
) -> Outcome<Option<Dropping>> {
    let mut reach = Reach::new(dropped, before);
    let id = org.to_string();
    let sql =
        "select first_seq, last_seq, at_max, octet_length(lines)::bigint as bytes from audit_runs
         where org = $1 and first_seq > $2 order by first_seq limit $3";
    let params: Params<'_> = &[&id, &dropped.cast_signed(), &RUNS_MAX.cast_signed()];
    for run in &change.rows(sql, params).await? {
        let columns = Columns::of("audit_runs", run);
        let numbers = (columns.count("first_seq")?, columns.count("last_seq")?);
        if !reach.take(numbers, columns.time("at_max")?, columns.count("bytes")?) {
            break;
        }
    }
    let sql = "select size, root from audit_checkpoints
         where org = $1 order by size desc limit 1";
    let Some(row) = change.row(sql, &[&id]).await? else {
        return Ok(None);
    };
    let columns = Columns::of("audit_checkpoints", &row);
    let signed = (
        columns.count("size")?,
        Hash::from_bytes(columns.digest("root")?),
    );
    let tiled = tree::records_in_tiles(change, org).await?;
    Ok(reach.dropping(tiled, signed))
}

/// Drops the bodies, and all that was derived of them.
async fn drop_all(
    change: &Change,
    org: OrgId,
    dropping: Dropping,
    decision: EventId,
) -> Outcome<()> {
    let (id, last) = (org.to_string(), dropping.last.cast_signed());
    cut(change, org, dropping.last).await?;
    let sql = "delete from audit_runs where org = $1 and first_seq <= $2";
    change.execute(sql, &[&id, &last]).await?;
    let sql = "update audit_dropped set last_seq = $2, decision = $3,
             decided_after = (select size from ledgers where org = $1)
         where org = $1";
    change
        .execute(sql, &[&id, &last, &decision.to_string()])
        .await?;
    audit_index::drop_up_to(change, org, dropping.last).await
}

/// Of a run that goes on behind this record, what comes behind it becomes a run of its own.
async fn cut(change: &Change, org: OrgId, last: u64) -> Outcome<()> {
    let id = org.to_string();
    let sql = "select first_seq, last_seq, lines from audit_runs
         where org = $1 and first_seq <= $2 and last_seq > $2
         order by first_seq desc limit 1";
    let Some(row) = change.row(sql, &[&id, &last.cast_signed()]).await? else {
        return Ok(());
    };
    let columns = Columns::of("audit_runs", &row);
    let first_seq = columns.count("first_seq")?;
    let last_seq = columns.count("last_seq")?;
    let rest = cut_run(columns.get("lines")?, last - first_seq + 1, last_seq - last);
    let rest = rest.ok_or_else(|| uncut(org, first_seq))?;
    let sql = "insert into audit_runs (org, first_seq, last_seq, at_min, at_max, lines)
         values ($1, $2, $3, $4, $5, $6)";
    let next = (last + 1).cast_signed();
    let (at_min, at_max) = (rest.at_min.millis(), rest.at_max.millis());
    let params: Params<'_> = &[
        &id,
        &next,
        &last_seq.cast_signed(),
        &at_min,
        &at_max,
        &rest.lines,
    ];
    change.execute(sql, params).await?;
    Ok(())
}
