//! What lies in workspaces.

use async_trait::async_trait;
use claviger_core::id::{OrgId, WorkspaceId};
use tokio_postgres::Row;

use super::{
    Postgres,
    row::{self, Columns},
    session::Params,
};
use crate::{ContentCount, ContentName, Contents, ReachStore, Result};

#[async_trait]
impl ReachStore for Postgres {
    async fn count_contents(
        &self,
        org: OrgId,
        workspaces: &[WorkspaceId],
    ) -> Result<Vec<ContentCount>> {
        let sql = "select id, (select count(*) from channels where workspace = workspaces.id) as channels,
                 (select count(*) from secrets where workspace = workspaces.id) as secrets
             from workspaces where org = $1 and id = any($2::text[]) order by id";
        self.read("count what lies in workspaces", async {
            let session = self.sessions.session().await?;
            let params: Params<'_> = &[&org.to_string(), &ids(workspaces)];
            let rows = session.rows(sql, params).await?;
            let counted = row::all(&rows, |row| {
                let columns = Columns::of("workspaces", row);
                Ok(ContentCount {
                    workspace: columns.parse("id")?,
                    channels: columns.count("channels")?,
                    secrets: columns.count("secrets")?,
                })
            });
            Ok(counted?)
        })
        .await
    }

    async fn name_contents(
        &self,
        org: OrgId,
        workspaces: &[WorkspaceId],
        limit: u32,
    ) -> Result<Contents> {
        let channels = "select workspace, name, updated_at from channels
             where workspace in (select id from workspaces where org = $1 and id = any($2::text[]))
             order by workspace, id limit $3";
        let secrets = "select workspace, name, updated_at from secrets
             where workspace in (select id from workspaces where org = $1 and id = any($2::text[]))
             order by workspace, name limit $3";
        self.read("name what lies in workspaces", async {
            let session = self.sessions.session().await?;
            let params: Params<'_> = &[&org.to_string(), &ids(workspaces), &i64::from(limit)];
            Ok(Contents {
                channels: row::all(&session.rows(channels, params).await?, content)?,
                secrets: row::all(&session.rows(secrets, params).await?, content)?,
            })
        })
        .await
    }
}

/// Ids as they are bound.
fn ids(workspaces: &[WorkspaceId]) -> Vec<String> {
    workspaces.iter().map(ToString::to_string).collect()
}

fn content(row: &Row) -> Result<ContentName> {
    let columns = Columns::of("workspaces", row);
    Ok(ContentName {
        workspace: columns.parse("workspace")?,
        name: columns.get("name")?,
        updated_at: columns.time("updated_at")?,
    })
}
