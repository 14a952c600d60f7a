//! What was said of the trees, and signed.

use async_trait::async_trait;
use claviger_core::{id::OrgId, ledger::tree::Hash};
use tokio_postgres::Row;

use super::{
    Postgres,
    fault::Outcome,
    row::{self, Columns},
    session::{Params, Session},
};
use crate::{Checkpoint, CheckpointStore, Page, Result, StoreError, tree_store::may_follow};

#[async_trait]
impl CheckpointStore for Postgres {
    async fn keep_checkpoint(&self, org: OrgId, checkpoint: Checkpoint) -> Result<()> {
        self.write("keep a checkpoint", async move {
            let change = self.sessions.begin().await?;
            let name = org.to_string();
            // The row of the trail is held, so that of two at once one is the last.
            let sql = "select size from ledgers where org = $1 for no key update";
            let found = change.row(sql, &[&name]).await?;
            let found = found.ok_or(StoreError::NotFound("org"))?;
            let records = Columns::of("ledgers", &found).count("size")?;
            let last = last(&change, org).await?.map(|last| (last.size, last.root));
            may_follow(&checkpoint, last.as_ref(), records)?;
            let sql = "insert into audit_checkpoints (org, size, root, note, at)
                 values ($1, $2, $3, $4, $5)
                 on conflict (org, size) do update set note = excluded.note, at = excluded.at";
            let (size, root) = (checkpoint.size.cast_signed(), checkpoint.root.as_bytes());
            let at = checkpoint.at.millis();
            let params: Params<'_> = &[&name, &size, &&root[..], &checkpoint.note, &at];
            change.execute(sql, params).await?;
            change.commit().await
        })
        .await
    }

    async fn last_checkpoint(&self, org: OrgId) -> Result<Option<Checkpoint>> {
        self.read("read the last checkpoint", async {
            let session = self.sessions.session().await?;
            last(&session, org).await
        })
        .await
    }

    async fn list_checkpoints(&self, org: OrgId, page: Page<u64>) -> Result<Vec<Checkpoint>> {
        self.read("list checkpoints", async {
            let session = self.sessions.session().await?;
            let sql = "select size, root, note, at from audit_checkpoints
                 where org = $1 and size > $2 order by size limit $3";
            let after = page.after.map_or(-1, u64::cast_signed);
            let params: Params<'_> = &[&org.to_string(), &after, &i64::from(page.limit)];
            let rows = session.rows(sql, params).await?;
            Ok(row::all(&rows, checkpoint)?)
        })
        .await
    }
}

async fn last(session: &Session, org: OrgId) -> Outcome<Option<Checkpoint>> {
    let sql = "select size, root, note, at from audit_checkpoints
         where org = $1 order by size desc limit 1";
    let found = session.row(sql, &[&org.to_string()]).await?;
    Ok(found.as_ref().map(checkpoint).transpose()?)
}

fn checkpoint(row: &Row) -> Result<Checkpoint> {
    let columns = Columns::of("audit_checkpoints", row);
    Ok(Checkpoint {
        size: columns.count("size")?,
        root: Hash::from_bytes(columns.digest("root")?),
        note: columns.get::<&str>("note")?.to_owned(),
        at: columns.time("at")?,
    })
}
