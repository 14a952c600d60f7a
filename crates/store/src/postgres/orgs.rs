//! Orgs.

use async_trait::async_trait;
use claviger_core::{id::OrgId, key::Revocation};

use super::{Postgres, commit, fault::Outcome, row, session::Change};
use crate::{Org, OrgDeletion, OrgStore, Page, Recorder, Result, StoreError, Written};

#[async_trait]
impl OrgStore for Postgres {
    async fn insert_org(&self, org: Org, record: Recorder<Org>) -> Result<Written<Org>> {
        self.write("insert an org", async move {
            let change = self.sessions.begin().await?;
            let sql = "insert into orgs (id, name, created_at) values ($1, $2, $3) on conflict do nothing";
            let id = org.id.to_string();
            let at = org.created_at.millis();
            if change.execute(sql, &[&id, &org.name, &at]).await? == 0 {
                return Err(StoreError::Exists("org").into());
            }
            let sql = "insert into ledgers (org, size, peaks) values ($1, 0, '')";
            change.execute(sql, &[&id]).await?;
            commit(change, org, record).await
        })
        .await
    }

    async fn find_org(&self, name_or_id: &str) -> Result<Option<Org>> {
        self.read("find an org", async {
            let session = self.sessions.session().await?;
            // An org that is named like the id of another must not hide it.
            let sql = "select id, name, created_at from orgs \
                       where deleted_at is null and (id = $1 or name = $1) \
                       order by (id = $1) desc limit 1";
            let found = session.row(sql, &[&name_or_id]).await?;
            Ok(found.as_ref().map(row::org).transpose()?)
        })
        .await
    }

    async fn list_orgs(&self, page: Page<OrgId>) -> Result<Vec<Org>> {
        self.read("list orgs", async {
            let session = self.sessions.session().await?;
            let after = page.after.map(|id| id.to_string()).unwrap_or_default();
            let sql = "select id, name, created_at from orgs \
                       where deleted_at is null and id > $1 order by id limit $2";
            let rows = session.rows(sql, &[&after, &i64::from(page.limit)]).await?;
            Ok(row::all(&rows, row::org)?)
        })
        .await
    }

    async fn delete_org(
        &self,
        id: OrgId,
        end: Revocation,
        record: Recorder<OrgDeletion>,
    ) -> Result<Written<OrgDeletion>> {
        self.write("delete an org", async move {
            let _alone = self.many.lock().await;
            let change = self.sessions.begin().await?;
            let id = id.to_string();
            let sql = "select id, name, created_at from orgs \
                       where id = $1 and deleted_at is null for update";
            let found = change.row(sql, &[&id]).await?;
            let org = row::org(&found.ok_or(StoreError::NotFound("org"))?)?;
            let at = end.at.millis();
            let sql = "update keys set revoked_at = $2, revoked_by = $3, revoked_reason = $4 \
                       where org = $1 and revoked_at is null returning digest";
            let keys = change
                .rows(sql, &[&id, &at, &end.by.to_string(), &end.reason])
                .await?;
            let sql = "update workspace_tokens set revoked_at = $2 \
                       where org = $1 and revoked_at is null returning digest";
            let tokens = change.rows(sql, &[&id, &at]).await?;
            change
                .execute("delete from mint_replays where org = $1", &[&id])
                .await?;
            change
                .execute("delete from key_requests where org = $1", &[&id])
                .await?;
            change
                .execute("delete from sessions where org = $1", &[&id])
                .await?;
            change
                .execute("delete from sign_ins where org = $1", &[&id])
                .await?;
            // Channels and secrets go with their workspaces.
            change
                .execute("delete from workspaces where org = $1", &[&id])
                .await?;
            change
                .execute("update orgs set deleted_at = $2 where id = $1", &[&id, &at])
                .await?;
            let deletion = OrgDeletion {
                org,
                keys: row::digests("keys", &keys)?,
                workspace_tokens: row::digests("workspace_tokens", &tokens)?,
            };
            commit(change, deletion, record).await
        })
        .await
    }
}

/// Makes sure that the org lives, and lives until the end of the transaction.
pub(super) async fn require(change: &Change, id: OrgId) -> Outcome<()> {
    let sql = "select 1 from orgs where id = $1 and deleted_at is null for share";
    match change.row(sql, &[&id.to_string()]).await? {
        Some(_) => Ok(()),
        None => Err(StoreError::NotFound("org").into()),
    }
}
