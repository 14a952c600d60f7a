//! Workspace secrets. Values come in and go out sealed.

use async_trait::async_trait;
use claviger_core::{
    id::{OrgId, WorkspaceId},
    tier::Actor,
};

use super::{
    Postgres, commit,
    fault::Outcome,
    keys,
    row::{self, Columns, corrupt},
    session::Change,
    workspaces,
};
use crate::{
    Acting, NewSecret, Page, Recorder, Result, SECRETS_PER_WORKSPACE_MAX, SecretName, SecretRow,
    SecretStore, StoreError, Written,
};

#[async_trait]
impl SecretStore for Postgres {
    async fn put_secret(
        &self,
        org: OrgId,
        workspace: WorkspaceId,
        secret: NewSecret,
        acting: Acting,
        record: Recorder<SecretName>,
    ) -> Result<Written<SecretName>> {
        self.write("set a secret", async move {
            let NewSecret { name, created_by, seal } = secret;
            let change = self.sessions.begin().await?;
            keys::require_actor(&change, org, acting).await?;
            hold_alone(&change, org, workspace).await?;
            let workspace = workspace.to_string();
            let value = next_version(&change, &workspace, (name, created_by), acting).await?;
            let sealed = seal(value.version);
            let sql = "insert into secrets \
                       (workspace, name, version, sealed, created_by, created_at, updated_at) \
                       values ($1, $2, $3, $4, $5, $6, $6) \
                       on conflict (workspace, name) do update set \
                       version = excluded.version, sealed = excluded.sealed, updated_at = excluded.updated_at";
            let version = i64::try_from(value.version).map_err(|error| corrupt("`secrets.version`", error))?;
            let (actor, at) = (value.created_by.to_string(), acting.now.millis());
            change.execute(sql, &[&workspace, &value.name, &version, &sealed, &actor, &at]).await?;
            commit(change, value, record).await
        })
        .await
    }

    async fn list_secrets(
        &self,
        org: OrgId,
        workspace: WorkspaceId,
        page: Page<String>,
    ) -> Result<Vec<SecretName>> {
        self.read("list secrets", async {
            let session = self.sessions.session().await?;
            workspaces::require(&session, org, workspace).await?;
            // No secret has an empty name.
            let after = page.after.unwrap_or_default();
            let sql = "select name, version, created_by, created_at, updated_at from secrets \
                       where workspace = $1 and name > $2 order by name limit $3";
            let workspace = workspace.to_string();
            let rows = session
                .rows(sql, &[&workspace, &after, &i64::from(page.limit)])
                .await?;
            Ok(row::all(&rows, row::secret_name)?)
        })
        .await
    }

    async fn reveal_secrets(
        &self,
        org: OrgId,
        workspace: WorkspaceId,
        acting: Acting,
    ) -> Result<Vec<SecretRow>> {
        self.write("reveal secrets", async move {
            let change = self.sessions.begin().await?;
            workspaces::require_for(&change, org, workspace, acting).await?;
            let sql =
                "select name, version, sealed from secrets where workspace = $1 order by name";
            let rows = change.rows(sql, &[&workspace.to_string()]).await?;
            let secrets = row::all(&rows, row::secret)?;
            change.commit().await?;
            Ok(secrets)
        })
        .await
    }

    async fn delete_secret(
        &self,
        org: OrgId,
        workspace: WorkspaceId,
        name: &str,
        acting: Acting,
        record: Recorder<()>,
    ) -> Result<Written<()>> {
        self.write("delete a secret", async move {
            let change = self.sessions.begin().await?;
            workspaces::require_for(&change, org, workspace, acting).await?;
            let sql = "delete from secrets where workspace = $1 and name = $2";
            if change
                .execute(sql, &[&workspace.to_string(), &name])
                .await?
                == 0
            {
                return Err(StoreError::NotFound("secret").into());
            }
            commit(change, (), record).await
        })
        .await
    }
}

/// Makes sure that the org has the workspace, and that nobody else sets a secret of it before the end
/// of the transaction: versions are numbered and secrets counted.
async fn hold_alone(change: &Change, org: OrgId, id: WorkspaceId) -> Outcome<()> {
    let sql = "select 1 from workspaces where org = $1 and id = $2 for no key update";
    let found = change
        .row(sql, &[&org.to_string(), &id.to_string()])
        .await?;
    found.ok_or(StoreError::NotFound("workspace"))?;
    Ok(())
}

/// The secret as it will be. Nobody else sets one of this workspace now.
async fn next_version(
    change: &Change,
    workspace: &str,
    (name, created_by): (String, Actor),
    acting: Acting,
) -> Outcome<SecretName> {
    let sql = "select name, version, created_by, created_at, updated_at from secrets \
               where workspace = $1 and name = $2 for update";
    if let Some(found) = change.row(sql, &[&workspace, &name]).await? {
        let kept = row::secret_name(&found)?;
        return Ok(SecretName {
            version: kept.version.saturating_add(1),
            updated_at: acting.now,
            ..kept
        });
    }
    let sql = "select count(*) as size from secrets where workspace = $1";
    let size = match change.row(sql, &[&workspace]).await? {
        Some(row) => Columns::of("secrets", &row).count("size")?,
        None => 0,
    };
    if size >= SECRETS_PER_WORKSPACE_MAX {
        return Err(StoreError::LimitReached {
            what: "secrets",
            max: SECRETS_PER_WORKSPACE_MAX,
        }
        .into());
    }
    Ok(SecretName {
        name,
        version: 1,
        created_by,
        created_at: acting.now,
        updated_at: acting.now,
    })
}
