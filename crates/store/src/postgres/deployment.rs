//! The deployment itself: its one row, the probe, the change of the master key, the end.

use std::time::Duration;

use async_trait::async_trait;
use claviger_core::id::OrgId;
use tokio_postgres::Row;

use super::{
    Postgres, commit,
    fault::{Fault, Outcome},
    row::{Columns, corrupt},
    session::{Change, within},
};
use crate::{Deployment, DeploymentStore, Recorder, Resealer, Result, SealedRow, Written};

/// How long the probe may take.
const PROBE_MAX: Duration = Duration::from_secs(2);

/// How long it may take to seal everything anew, and each part of it.
const REKEY_MAX: Duration = Duration::from_secs(3600);
const REKEY_STEP_MAX: Duration = Duration::from_secs(10);

/// How many rows are sealed anew at once.
const REKEY_ROWS: i64 = 500;

#[async_trait]
impl DeploymentStore for Postgres {
    async fn deployment(&self) -> Result<Deployment> {
        self.read("read the deployment", async {
            let session = self.sessions.session().await?;
            let sql = "select default_org, bootstrap_closed_at, master_key_check from deployment where one = 1";
            if let Some(row) = session.row(sql, &[]).await? {
                return Ok(deployment(&row)?);
            }
            // Without its row the bootstrap counts as closed: absence is never power.
            let sql = "select id as default_org from orgs where name = 'default' \
                       order by deleted_at is null desc, id limit 1";
            let Some(row) = session.row(sql, &[]).await? else {
                return Err(corrupt("the table `deployment`", "its row is missing").into());
            };
            Ok(Deployment {
                default_org: Columns::of("orgs", &row).parse("default_org")?,
                is_bootstrap_open: false,
                master_key_check: None,
            })
        })
        .await
    }

    async fn keep_master_key_check(&self, check: [u8; 32]) -> Result<[u8; 32]> {
        self.write("keep the check value of the master key", async {
            let change = self.sessions.begin_unfenced().await?;
            let sql = "update deployment set master_key_check = coalesce(master_key_check, $1) \
                       where one = 1 and generation = $2 returning master_key_check";
            let own = self.sessions.fence().generation();
            let Some(row) = change.row(sql, &[&&check[..], &own]).await? else {
                return Err(self.refused(&change).await);
            };
            let kept = Columns::of("deployment", &row).digest("master_key_check")?;
            change.commit().await?;
            Ok(kept)
        })
        .await
    }

    async fn probe(&self) -> Result<()> {
        let probed = async {
            self.sessions.fence().allow_writes()?;
            let write = async {
                let change = self.sessions.begin_unfenced().await?;
                // A real write, for only that shows that the disk is not full.
                let sql = "update deployment set generation = generation where one = 1 and generation = $1";
                if change
                    .execute(sql, &[&self.sessions.fence().generation()])
                    .await?
                    == 0
                {
                    return Err(self.refused(&change).await);
                }
                change.commit().await
            };
            self.sessions.run(PROBE_MAX, write).await
        };
        probed
            .await
            .map_err(|fault| fault.into_store("write to the database"))
    }

    async fn rekey(
        &self,
        check: [u8; 32],
        reseal: Resealer,
        record: Recorder<u64>,
    ) -> Result<Written<u64>> {
        let rekeyed = async {
            self.sessions.fence().allow_writes()?;
            self.sessions
                .run(REKEY_MAX, self.reseal_all(check, reseal, record))
                .await
        };
        rekeyed
            .await
            .map_err(|fault| fault.into_store("seal everything anew"))
    }

    async fn close(&self) {
        self.shut().await;
    }
}

impl Postgres {
    /// Why a row of `deployment` with our number was not found.
    async fn refused(&self, change: &Change) -> Fault {
        match self.sessions.check_fence(change).await {
            Err(fault) => fault,
            Ok(()) => Fault::down("the row of the table `deployment` changed meanwhile"),
        }
    }

    async fn reseal_all(
        &self,
        check: [u8; 32],
        mut reseal: Resealer,
        record: Recorder<u64>,
    ) -> Outcome<Written<u64>> {
        let change = self.sessions.begin_unfenced().await?;
        // Every change looks at this row first, so from here on nothing is sealed the old way.
        let sql = "update deployment set master_key_check = $1 where one = 1 and generation = $2";
        let own = self.sessions.fence().generation();
        if change.execute(sql, &[&&check[..], &own]).await? == 0 {
            return Err(self.refused(&change).await);
        }
        let mut count = 0;
        let mut last = (String::new(), String::new());
        while let Some(next) = within(
            REKEY_STEP_MAX,
            reseal_secrets(&change, &last, &mut reseal, &mut count),
        )
        .await?
        {
            last = next;
        }
        let mut last = String::new();
        while let Some(next) = within(
            REKEY_STEP_MAX,
            reseal_channels(&change, &last, &mut reseal, &mut count),
        )
        .await?
        {
            last = next;
        }
        // What a provider gave is not worth sealing anew: its sessions end when they are due.
        let sql = "update sessions set sealed = null where sealed is not null";
        within(REKEY_STEP_MAX, change.execute(sql, &[])).await?;
        within(REKEY_STEP_MAX, commit(change, count, record)).await
    }
}

/// Seals the next secrets anew; gives the place of the last one, or nothing at the end.
async fn reseal_secrets(
    change: &Change,
    last: &(String, String),
    reseal: &mut Resealer,
    count: &mut u64,
) -> Outcome<Option<(String, String)>> {
    let sql = "select workspaces.org, secrets.workspace, secrets.name, secrets.version, secrets.sealed \
               from secrets join workspaces on workspaces.id = secrets.workspace \
               where (secrets.workspace, secrets.name) > ($1, $2) \
               order by secrets.workspace, secrets.name limit $3";
    let rows = change.rows(sql, &[&last.0, &last.1, &REKEY_ROWS]).await?;
    let (mut workspaces, mut names, mut seals) = (Vec::new(), Vec::new(), Vec::new());
    for row in &rows {
        let columns = Columns::of("secrets", row);
        workspaces.push(columns.get::<String>("workspace")?);
        names.push(columns.get::<String>("name")?);
        let row = SealedRow::Secret {
            org: columns.parse("org")?,
            workspace: columns.parse("workspace")?,
            name: columns.get("name")?,
            version: columns.count("version")?,
            sealed: columns.get("sealed")?,
        };
        seals.push(reseal(row).map_err(|reason| corrupt("a sealed secret", reason))?);
        *count += 1;
    }
    let sql = "update secrets set sealed = fresh.sealed \
               from unnest($1::text[], $2::text[], $3::bytea[]) as fresh (workspace, name, sealed) \
               where secrets.workspace = fresh.workspace and secrets.name = fresh.name";
    change.execute(sql, &[&workspaces, &names, &seals]).await?;
    Ok(workspaces.pop().zip(names.pop()))
}

/// Seals the credentials of the next channels anew; gives the id of the last one, or nothing.
async fn reseal_channels(
    change: &Change,
    last: &str,
    reseal: &mut Resealer,
    count: &mut u64,
) -> Outcome<Option<String>> {
    let sql = "select workspaces.org, channels.workspace, channels.id, channels.sealed \
               from channels join workspaces on workspaces.id = channels.workspace \
               where channels.id > $1 order by channels.id limit $2";
    let rows = change.rows(sql, &[&last, &REKEY_ROWS]).await?;
    let (mut ids, mut seals) = (Vec::new(), Vec::new());
    for row in &rows {
        let columns = Columns::of("channels", row);
        ids.push(columns.get::<String>("id")?);
        let row = SealedRow::Channel {
            org: columns.parse("org")?,
            workspace: columns.parse("workspace")?,
            id: columns.parse("id")?,
            sealed: columns.get("sealed")?,
        };
        seals.push(
            reseal(row).map_err(|reason| corrupt("the sealed credentials of a channel", reason))?,
        );
        *count += 1;
    }
    let sql = "update channels set sealed = fresh.sealed \
               from unnest($1::text[], $2::bytea[]) as fresh (id, sealed) where channels.id = fresh.id";
    change.execute(sql, &[&ids, &seals]).await?;
    Ok(ids.pop())
}

fn deployment(row: &Row) -> Result<Deployment> {
    let columns = Columns::of("deployment", row);
    let default_org: OrgId = columns.parse("default_org")?;
    let check: Option<&[u8]> = columns.get("master_key_check")?;
    Ok(Deployment {
        default_org,
        is_bootstrap_open: columns.maybe_time("bootstrap_closed_at")?.is_none(),
        master_key_check: match check {
            Some(_) => Some(columns.digest("master_key_check")?),
            None => None,
        },
    })
}
