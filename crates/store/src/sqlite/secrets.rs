//! Workspace secrets.

use async_trait::async_trait;
use claviger_core::id::{OrgId, WorkspaceId};
use rusqlite::{Connection, params};

use super::{
    Outcome, Sqlite, keys, orgs, row,
    row::{IdText, Query},
    workspaces,
    writer::{Order, Tx},
};
use crate::{
    Acting, NewSecret, Page, Recorder, Result, SECRETS_PER_WORKSPACE_MAX, SecretName, SecretRow,
    SecretStore, StoreError, Written,
};

#[async_trait]
impl SecretStore for Sqlite {
    async fn put_secret(
        &self,
        org: OrgId,
        workspace: WorkspaceId,
        secret: NewSecret,
        acting: Acting,
        record: Recorder<SecretName>,
    ) -> Result<Written<SecretName>> {
        let work = move |tx: &mut Tx<'_>| {
            workspaces::require_for(tx.sql, org, workspace, acting)?;
            let secret = put(tx.sql, workspace, secret, acting)?;
            tx.written(secret, record)
        };
        self.writer
            .change(Order::synced("set a secret"), work)
            .await
    }

    async fn list_secrets(
        &self,
        org: OrgId,
        workspace: WorkspaceId,
        page: Page<String>,
    ) -> Result<Vec<SecretName>> {
        let select = format!(
            "select {} from secrets where workspace = ?",
            row::SECRET_NAME
        );
        let mut query = Query::new(select, workspace.to_string());
        if let Some(after) = page.after {
            query.and("and name > ?", [after.into()]);
        }
        query.and("order by name limit ?", [i64::from(page.limit).into()]);
        let work = move |sql: &Connection| {
            workspaces::require(sql, org, workspace)?;
            query.all(sql, row::secret_name)
        };
        self.read("list secrets", work).await
    }

    async fn reveal_secrets(
        &self,
        org: OrgId,
        workspace: WorkspaceId,
        acting: Acting,
    ) -> Result<Vec<SecretRow>> {
        let query = "select name, version, sealed from secrets where workspace = ?1 order by name";
        let work = move |sql: &Connection| {
            // One snapshot: the values are those of an instant at which the actor was accepted.
            let snapshot = sql.unchecked_transaction()?;
            keys::require_actor(&snapshot, acting)?;
            orgs::require(&snapshot, org)?;
            workspaces::require(&snapshot, org, workspace)?;
            row::all(
                &snapshot,
                query,
                params![IdText::of(workspace)],
                row::secret,
            )
        };
        self.read("reveal secrets", work).await
    }

    async fn delete_secret(
        &self,
        org: OrgId,
        workspace: WorkspaceId,
        name: &str,
        acting: Acting,
        record: Recorder<()>,
    ) -> Result<Written<()>> {
        let name = name.to_owned();
        let statement = "delete from secrets where workspace = ?1 and name = ?2";
        let work = move |tx: &mut Tx<'_>| {
            workspaces::require_for(tx.sql, org, workspace, acting)?;
            if row::run(tx.sql, statement, params![IdText::of(workspace), name])? == 0 {
                return Err(StoreError::NotFound("secret").into());
            }
            tx.written((), record)
        };
        self.writer
            .change(Order::synced("delete a secret"), work)
            .await
    }
}

fn put(
    sql: &Connection,
    workspace: WorkspaceId,
    new: NewSecret,
    acting: Acting,
) -> Outcome<SecretName> {
    let NewSecret {
        name,
        created_by,
        seal,
    } = new;
    let workspace = IdText::of(workspace);
    let query = format!(
        "select {} from secrets where workspace = ?1 and name = ?2",
        row::SECRET_NAME
    );
    let secret = match row::first(sql, &query, params![workspace, name], row::secret_name)? {
        Some(before) => SecretName {
            version: before.version.saturating_add(1),
            updated_at: acting.now,
            ..before
        },
        None => {
            require_room(sql, workspace)?;
            SecretName {
                name,
                version: 1,
                created_by,
                created_at: acting.now,
                updated_at: acting.now,
            }
        }
    };
    let statement = "insert into secrets
         (workspace, name, version, sealed, created_by, created_at, updated_at)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         on conflict (workspace, name) do update
         set version = excluded.version, sealed = excluded.sealed, updated_at = excluded.updated_at";
    let bound = params![
        workspace,
        secret.name,
        i64::try_from(secret.version).unwrap_or(i64::MAX),
        seal(secret.version),
        secret.created_by.to_string(),
        secret.created_at.millis(),
        secret.updated_at.millis(),
    ];
    row::run(sql, statement, bound)?;
    Ok(secret)
}

fn require_room(sql: &Connection, workspace: IdText) -> Outcome<()> {
    let query = "select count(*) from secrets where workspace = ?1";
    let kept = row::first(sql, query, params![workspace], |row| row::count(row, 0))?;
    if kept.unwrap_or(0) >= SECRETS_PER_WORKSPACE_MAX {
        return Err(StoreError::LimitReached {
            what: "secrets",
            max: SECRETS_PER_WORKSPACE_MAX,
        }
        .into());
    }
    Ok(())
}
