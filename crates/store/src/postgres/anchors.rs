//! How far the places outside the database know the trails.

use async_trait::async_trait;
use claviger_core::{id::OrgId, ledger::tree::Frontier};
use tokio_postgres::Row;

use super::{
    Postgres,
    fault::Outcome,
    ledgers,
    row::{self, Columns},
    session::{Change, Params},
};
use crate::{AnchorStore, Anchored, Checkpoint, Page, Result, StoreError};

#[async_trait]
impl AnchorStore for Postgres {
    async fn anchors(&self, org: OrgId) -> Result<Vec<Anchored>> {
        self.read("read what was anchored", async {
            let session = self.sessions.session().await?;
            let sql = "select place, size, at, is_given_up from audit_anchors
                 where org = $1 order by place";
            let rows = session.rows(sql, &[&org.to_string()]).await?;
            Ok(row::all(&rows, anchored)?)
        })
        .await
    }

    async fn keep_anchors(
        &self,
        org: OrgId,
        anchored: Vec<Anchored>,
        cosigned: Option<Checkpoint>,
    ) -> Result<()> {
        self.write("keep what was anchored", async move {
            let change = self.sessions.begin().await?;
            if let Some(cosigned) = &cosigned {
                cosign(&change, org, cosigned).await?;
            }
            for new in &anchored {
                keep(&change, org, new).await?;
            }
            change.commit().await
        })
        .await
    }

    async fn list_ledgers(&self, page: Page<OrgId>) -> Result<Vec<(OrgId, u64)>> {
        self.read("list the trails", async {
            let session = self.sessions.session().await?;
            let after = page.after.map(|id| id.to_string()).unwrap_or_default();
            let sql = "select ledgers.org, ledgers.size from ledgers
                 join orgs on orgs.id = ledgers.org
                 where orgs.deleted_at is null and ledgers.org > $1
                 order by ledgers.org limit $2";
            let rows = session.rows(sql, &[&after, &i64::from(page.limit)]).await?;
            Ok(row::all(&rows, |row| {
                let columns = Columns::of("ledgers", row);
                Ok((columns.parse("org")?, columns.count("size")?))
            })?)
        })
        .await
    }

    async fn rebase(&self, org: OrgId, tree: Frontier, last_checkpoint: Option<u64>) -> Result<()> {
        self.write("make the tree of a trail anew", async move {
            let change = self.sessions.begin().await?;
            ledgers::forget(&change, org).await;
            let (name, size, peaks) = (org.to_string(), tree.size(), tree.to_bytes());
            let sql = "update ledgers set peaks = $3 where org = $1 and size = $2";
            let params: Params<'_> = &[&name, &size.cast_signed(), &peaks];
            if change.execute(sql, params).await? != 1 {
                let reason = "the trail has another size";
                return Err(StoreError::CheckpointRefused { size, reason }.into());
            }
            let sql = "delete from audit_checkpoints where org = $1 and size > $2";
            let last = last_checkpoint.map_or(-1, u64::cast_signed);
            change.execute(sql, &[&name, &last]).await?;
            change.commit().await
        })
        .await
    }
}

async fn keep(change: &Change, org: OrgId, new: &Anchored) -> Outcome<()> {
    let sql = "insert into audit_anchors (org, place, size, at, is_given_up)
         select org, $2, $3, $4, $5 from ledgers where org = $1
         on conflict (org, place) do update set
             size = excluded.size, at = excluded.at, is_given_up = excluded.is_given_up";
    let (name, size, at) = (org.to_string(), new.size.cast_signed(), new.at.millis());
    let params: Params<'_> = &[&name, &new.place, &size, &at, &new.is_given_up];
    match change.execute(sql, params).await? {
        1 => Ok(()),
        _ => Err(StoreError::NotFound("org").into()),
    }
}

async fn cosign(change: &Change, org: OrgId, cosigned: &Checkpoint) -> Outcome<()> {
    let sql = "update audit_checkpoints set note = $4 where org = $1 and size = $2 and root = $3";
    let (size, root) = (cosigned.size.cast_signed(), cosigned.root.as_bytes());
    let params: Params<'_> = &[&org.to_string(), &size, &&root[..], &cosigned.note];
    match change.execute(sql, params).await? {
        1 => Ok(()),
        _ => Err(StoreError::NotFound("checkpoint").into()),
    }
}

fn anchored(row: &Row) -> Result<Anchored> {
    let columns = Columns::of("audit_anchors", row);
    Ok(Anchored {
        place: columns.get::<&str>("place")?.to_owned(),
        size: columns.count("size")?,
        at: columns.time("at")?,
        is_given_up: columns.get("is_given_up")?,
    })
}
