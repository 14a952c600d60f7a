//! The deployment row, the probe, and the change of the master key.

use std::time::Duration;

use async_trait::async_trait;
use claviger_core::id::{ChannelId, OrgId, WorkspaceId};
use rusqlite::{Connection, params};

use super::{Outcome, Sqlite, row, row::IdText, writer::Order};
use crate::{
    Deployment, DeploymentStore, Recorder, Resealer, Result, Sealed, SealedRow, StoreError, Written,
};

/// How long a probe waits.
const PROBE_WAIT_MAX: Duration = Duration::from_secs(2);

/// How long the change of the master key may take: it rewrites every sealed row.
const REKEY_WAIT_MAX: Duration = Duration::from_mins(10);

#[async_trait]
impl DeploymentStore for Sqlite {
    async fn deployment(&self) -> Result<Deployment> {
        self.read("read the deployment", find).await
    }

    async fn keep_master_key_check(&self, check: [u8; 32]) -> Result<[u8; 32]> {
        let order = Order::synced("keep the check of the master key");
        let work = move |sql: &Connection| {
            let keep = "update deployment set master_key_check = ?1 where master_key_check is null";
            row::run(sql, keep, params![check])?;
            let kept = find(sql)?.master_key_check;
            kept.ok_or_else(|| corrupt("has no row to keep the check of the master key in").into())
        };
        self.writer.change(order, move |tx| work(tx.sql)).await
    }

    async fn probe(&self) -> Result<()> {
        let order = Order::quick("write to the database").within(PROBE_WAIT_MAX);
        // It must really differ: SQLite does not write a page that an update leaves as it was, and
        // so would find room on a full disk.
        let work = move |tx: &mut super::writer::Tx<'_>| {
            let read = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
            let before = tx.sql.query_row("pragma user_version", [], read)?;
            tx.sql
                .pragma_update(None, "user_version", (before + 1) % 1_000_000)?;
            Ok(())
        };
        self.writer.change(order, work).await
    }

    async fn rekey(
        &self,
        check: [u8; 32],
        mut reseal: Resealer,
        record: Recorder<u64>,
    ) -> Result<Written<u64>> {
        let order = Order::synced("change the master key").within(REKEY_WAIT_MAX);
        let work = move |tx: &mut super::writer::Tx<'_>| {
            let mut resealed = 0;
            // One workspace at a time: all sealed rows at once may not fit in memory.
            for home in homes(tx.sql)? {
                resealed += reseal_secrets(tx.sql, home, &mut reseal)?;
                resealed += reseal_channels(tx.sql, home, &mut reseal)?;
            }
            // What a provider gave is not worth sealing anew: its sessions end when they are due.
            row::run(tx.sql, "update sessions set sealed = null", [])?;
            let keep = "update deployment set master_key_check = ?1";
            if row::run(tx.sql, keep, params![check])? != 1 {
                return Err(corrupt("has no row to keep the check of the master key in").into());
            }
            tx.written(resealed, record)
        };
        self.writer.change(order, work).await
    }

    async fn close(&self) {
        self.shut().await;
    }
}

fn corrupt(reason: &str) -> StoreError {
    StoreError::Corrupt {
        what: "table `deployment`".to_owned(),
        reason: reason.to_owned(),
    }
}

fn find(sql: &Connection) -> Outcome<Deployment> {
    let query = "select default_org, bootstrap_closed_at is null, master_key_check from deployment";
    let found = row::first(sql, query, [], |row| {
        let has_check = !matches!(row.get_ref(2)?, rusqlite::types::ValueRef::Null);
        Ok(Deployment {
            default_org: row::parsed(row, 0)?,
            is_bootstrap_open: row::number(row, 1)? == 1,
            master_key_check: has_check.then(|| row::digest(row, 2)).transpose()?,
        })
    })?;
    if let Some(deployment) = found {
        return Ok(deployment);
    }
    // Somebody took the row away. What there is goes on; the bootstrap counts as closed.
    let query = "select id from orgs where name = 'default' and deleted_at is null";
    let org = row::first(sql, query, [], |row| row::parsed(row, 0))?;
    Ok(Deployment {
        default_org: org.ok_or_else(|| corrupt("has no row, and there is no org `default`"))?,
        is_bootstrap_open: false,
        master_key_check: None,
    })
}

/// A workspace and its org, as their seals are bound to them.
#[derive(Clone, Copy)]
struct Home {
    org: OrgId,
    workspace: WorkspaceId,
}

fn homes(sql: &Connection) -> Outcome<Vec<Home>> {
    row::all(sql, "select org, id from workspaces", [], |row| {
        Ok(Home {
            org: row::parsed(row, 0)?,
            workspace: row::parsed(row, 1)?,
        })
    })
}

fn reseal_secrets(sql: &Connection, home: Home, reseal: &mut Resealer) -> Outcome<u64> {
    let workspace = IdText::of(home.workspace);
    let query = "select name, version, sealed from secrets where workspace = ?1";
    let keep = "update secrets set sealed = ?3 where workspace = ?1 and name = ?2";
    let mut resealed = 0;
    for secret in row::all(sql, query, params![workspace], row::secret)? {
        let what = format!("secret `{}` of `{}`", secret.name, home.workspace);
        let name = secret.name.clone();
        let sealed = reseal(SealedRow::Secret {
            org: home.org,
            workspace: home.workspace,
            name: secret.name,
            version: secret.version,
            sealed: secret.sealed,
        });
        let sealed = sealed.map_err(|reason| StoreError::Corrupt { what, reason })?;
        row::run(sql, keep, params![workspace, name, sealed])?;
        resealed += 1;
    }
    Ok(resealed)
}

fn reseal_channels(sql: &Connection, home: Home, reseal: &mut Resealer) -> Outcome<u64> {
    let query = "select id, sealed from channels where workspace = ?1";
    let keep = "update channels set sealed = ?2 where id = ?1";
    let convert = |row: &rusqlite::Row<'_>| -> Outcome<(ChannelId, Sealed)> {
        Ok((row::parsed(row, 0)?, row::blob(row, 1)?))
    };
    let mut resealed = 0;
    for (id, sealed) in row::all(sql, query, params![IdText::of(home.workspace)], convert)? {
        let sealed = reseal(SealedRow::Channel {
            org: home.org,
            workspace: home.workspace,
            id,
            sealed,
        });
        let sealed = sealed.map_err(|reason| StoreError::Corrupt {
            what: format!("channel `{id}`"),
            reason,
        })?;
        row::run(sql, keep, params![IdText::of(id), sealed])?;
        resealed += 1;
    }
    Ok(resealed)
}
